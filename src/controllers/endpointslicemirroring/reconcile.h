// EndpointSlices for Endpoints that somebody else than the cluster wrote: a Service without a selector has its addresses
// there, and whoever routes reads slices only (KEP-752, "Mirroring").
#pragma once

#include <string_view>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::endpointslicemirroring {

inline constexpr std::string_view managed_by = "endpointslicemirroring-controller.k8s.io";
inline constexpr std::size_t addresses_limit = 1000;  // of one subset; more are left out

struct Observed {
  Document endpoints;            // may be empty
  Document service;              // of the same name; may be empty
  std::vector<Document> slices;  // of the Service, by label; those of others are ignored
};
Plan reconcile(const Observed& observed);

}  // namespace kybern::controllers::endpointslicemirroring
