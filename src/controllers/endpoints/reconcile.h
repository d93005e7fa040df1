// Endpoints of a Service: the older form of EndpointSlices, one object of the Service's name (core/v1 Endpoints).
#pragma once

#include <string_view>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::endpoints {

inline constexpr std::size_t addresses_limit = 1000;  // more are cut off, and the object says so

struct Observed {
  std::vector<Document> pods;  // that the Service selects
  Document endpoints;          // of the Service's name; may be empty
};

Plan reconcile(const Document& service, const Observed& observed);
Plan reconcile_gone(const Document& endpoints);  // the Service does not exist any more

}  // namespace kybern::controllers::endpoints
