// From a request's body to the typed object that the registry works on.
#pragma once

#include "apiserver/registry/work.h"

namespace kybern::apiserver {

// Fills in the kind and apiVersion of the path when the body has none; 400 when they are others.
ApiResult<Document> check_kind(std::string_view api_version, std::string_view kind, Document body);
// The same, fitted to its type: of what subresources take.
ApiResult<Document> typed_body(std::string_view api_version, std::string_view kind, Document body);
// What a subresource answers that has nothing to show.
Document success_status(int code = 201);

}  // namespace kybern::apiserver
