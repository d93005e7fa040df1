#include "apiserver/discovery/openapi.h"

namespace kybern::apiserver {

std::optional<net::Response> openapi_answer(const Catalog&, const net::Request&, std::string_view) { return std::nullopt; }

}  // namespace kybern::apiserver
