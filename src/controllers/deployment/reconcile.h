// Deployment: pods of the current template, brought in by a new ReplicaSet while the old ones go (apps/v1 Deployment).
//
// One plan is one step: claim ReplicaSets; make or mark the new one; scale up; scale down; clean up; and when nothing is
// left of these, the status. The runner asks again after each step.
//
//   {replicas: 10, maxSurge: 3, maxUnavailable: 2}, old 10 (all available)  ->  create new with 3
//   old 10, new 3 (0 available)                                             ->  scale old to 8
//   old 8, new 3 (3 available)                                              ->  scale new to 5 (13 pods at most), old to 5 (8 available at
//   least)
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::deployment {

struct Observed {
  std::vector<Document> replica_sets;  // those whose controller is this Deployment, and those of its namespace that have none
  std::vector<Document> pods;          // of the ReplicaSets it controls; needed for strategy Recreate only
  std::function<Document(std::string_view name)> replica_set_named;  // of the namespace, whoever owns it
  Time now;
  const Failure* failure = nullptr;  // of the attempt just made
};

Plan reconcile(const Document& deployment, const Observed& observed);

// maxSurge (rounded up) and maxUnavailable (rounded down) of a rolling update; never both zero. Zero for Recreate.
struct Fenceposts {
  std::int64_t surge = 0, unavailable = 0;
};
Fenceposts fenceposts(Value deployment);

}  // namespace kybern::controllers::deployment
