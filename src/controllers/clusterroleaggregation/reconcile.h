// ClusterRoles that collect (aggregationRule): their rules are those of the roles that their selectors choose.
#pragma once

#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::clusterroleaggregation {

// Of all ClusterRoles. Rules come in the order of their roles' names, each once. A role that collects from one that
// collects follows it: what the plan changes makes another one.
Plan reconcile(std::vector<Document> roles);

}  // namespace kybern::controllers::clusterroleaggregation
