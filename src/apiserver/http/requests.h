// The requests on resources, apart from how they came in: over HTTP, or from a component in the same process.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "apiserver/http/media.h"
#include "apiserver/http/request_info.h"
#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

// A subresource that is a plain exchange of objects: scale, binding, eviction, token, ...
struct SubresourceCall {
  Work& work;
  std::string_view verb;  // get create update patch
  Document body;
  PatchKind patch = PatchKind::strategic;
};
using SubresourceHandler = ApiResult<Answer> (*)(SubresourceCall& call);
// By group, plural, subresource; nullptr when it is not of this sort. "status" is the registry's own.
SubresourceHandler find_subresource(std::string_view group, std::string_view plural, std::string_view subresource);

// Resources that are never stored: reviews of access, tokens, bindings.
using ReviewHandler = ApiResult<Answer> (*)(Work& work, Document body);
ReviewHandler find_review(std::string_view group, std::string_view plural);

// Runs a request that answers with one object (everything but list, watch and streams).
ApiResult<Answer> run_object_request(Work& work, std::string_view verb, Document body, PatchKind patch);

// The Work of a request; a Status when the resource is unknown, the verb is not served, or the scope is wrong.
ApiResult<Work> begin_work(Registry& registry, const User& user, const RequestInfo& info, Query query);

}  // namespace kybern::apiserver
