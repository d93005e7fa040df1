// EndpointSlices of a Service: the addresses behind it, in slices of at most 100 (discovery/v1 EndpointSlice, KEP-752).
//
// Slices are changed as little as possible: every write of one goes to every node. An endpoint stays in its slice; new
// ones fill slices that are written anyway, then the fullest slice that has room for all of them, then a new slice.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "controllers/endpointslice/slices.h"
#include "controllers/plan.h"

namespace kybern::controllers::endpointslice {

inline constexpr std::string_view service_label = "kubernetes.io/service-name";
inline constexpr std::string_view managed_by_label = "endpointslice.kubernetes.io/managed-by";
inline constexpr std::string_view managed_by = "endpointslice-controller.k8s.io";

struct Observed {
  std::vector<Document> pods;                           // that the Service selects
  std::vector<Document> slices;                         // of the Service, by label; those of others are ignored
  std::function<Document(std::string_view name)> node;  // empty: there is none
};

Plan reconcile(const Document& service, const Observed& observed);

}  // namespace kybern::controllers::endpointslice
