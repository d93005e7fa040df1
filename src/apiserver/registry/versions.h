// An object in another version of its resource, and an object that somebody else has changed, back in its type.
#pragma once

#include <string_view>

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

// What is of another kind than the resource (a Scale, an Eviction) stays as it is; an absent object stays absent.
ApiResult<Document> in_version(const Registry& registry, const Served& from, const Served& to, Value object);

// A changed object, decoded leniently into its type, with defaults. `subresource` says what it is where it is not the
// resource's own kind.
ApiResult<Document> retyped(const Work& work, const Served& served, std::string_view subresource, Document object);

}  // namespace kybern::apiserver
