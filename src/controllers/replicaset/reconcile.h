// ReplicaSet: as many active pods of one template as spec.replicas says (apps/v1 ReplicaSet).
//
//   {replicas: 3}, pods a(ready), b(deleting)   ->  create 2 pods; status {replicas: 1, readyReplicas: 1, terminatingReplicas: 1}
//   {replicas: 1}, pods a(ready), b(pending)    ->  delete b; status {replicas: 2, ...}
#pragma once

#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::replicaset {

// Pods made or deleted by one plan.
inline constexpr std::size_t burst_replicas = 500;

struct Observed {
  std::vector<Document> pods;     // those whose controller is this ReplicaSet, and those of its namespace that have none
  std::vector<Document> related;  // pods of the ReplicaSets with the same controller (its own among them): for ranking
  Time now;
  const Failure* failure = nullptr;  // of the attempt just made
};

// An object that is being deleted, or whose selector is malformed, gets a plan without creations and deletions.
Plan reconcile(const Document& replica_set, const Observed& observed);

// The pods to delete come first: unassigned before assigned, pending before running, not ready before ready, low
// controller.kubernetes.io/pod-deletion-cost before high, doubled up on a node before alone, ready for less time before
// ready for longer (in powers of two), more restarts before fewer, newer before older (in powers of two).
std::vector<Document> rank_for_deletion(std::vector<Document> pods, const std::vector<Document>& related, Time now);

}  // namespace kybern::controllers::replicaset
