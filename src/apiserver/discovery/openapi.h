// OpenAPI v2 and v3 from the tables (discovery/openapi*.cpp).
#pragma once

#include <optional>
#include <string_view>

#include "apiserver/registry/served.h"
#include "net/http.h"

namespace kybern::apiserver {

// /openapi/v2, /openapi/v3 and /openapi/v3/<group version>; empty for other paths.
std::optional<net::Response> openapi_answer(const Catalog& catalog, const net::Request& request, std::string_view path);

}  // namespace kybern::apiserver
