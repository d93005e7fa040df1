// OpenAPI v2 and v3 from the tables (discovery/openapi*.cpp).
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "apiserver/discovery/discovery.h"
#include "apiserver/registry/served.h"
#include "net/http.h"

namespace kybern::apiserver {

// /openapi/v2, /openapi/v3 and /openapi/v3/<group version>; empty for other paths.
// `others`: group-versions of other servers, which the index of v3 names too.
std::optional<net::Response> openapi_answer(const Catalog& catalog, const net::Request& request, std::string_view path,
                                            const std::vector<ExternalVersion>& others = {});

}  // namespace kybern::apiserver
