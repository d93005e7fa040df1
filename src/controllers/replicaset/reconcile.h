// ReplicaSet: as many active pods of one template as spec.replicas says (apps/v1 ReplicaSet); and ReplicationController
// (core/v1), which is the same thing with a plain map for a selector and without terminatingReplicas.
//
//   {replicas: 3}, pods a(ready), b(deleting)   ->  create 2 pods; status {replicas: 1, readyReplicas: 1, terminatingReplicas: 1}
//   {replicas: 1}, pods a(ready), b(pending)    ->  delete b; status {replicas: 2, ...}
#pragma once

#include <string_view>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::replicaset {

// Pods made or deleted by one plan.
inline constexpr std::size_t burst_replicas = 500;

struct Flavor {
  std::string_view kind, resource, api_version;
  bool plain_selector, counts_terminating;
};
inline constexpr Flavor replica_set_flavor{"ReplicaSet", "replicasets", "apps/v1", false, true};
inline constexpr Flavor replication_controller_flavor{"ReplicationController", "replicationcontrollers", "v1", true, false};

// Whether an object of that flavor selects the pod.
bool selects(const Flavor& flavor, Value set, Value pod);

struct Observed {
  std::vector<Document> pods;     // those whose controller is this ReplicaSet, and those of its namespace that have none
  std::vector<Document> related;  // pods of the ReplicaSets with the same controller (its own among them): for ranking
  Time now;
  const Failure* failure = nullptr;  // of the attempt just made
};

// An object that is being deleted, or whose selector is malformed, gets a plan without creations and deletions.
Plan reconcile(const Document& replica_set, const Observed& observed, const Flavor& flavor = replica_set_flavor);

// The pods to delete come first: unassigned before assigned, pending before running, not ready before ready, low
// controller.kubernetes.io/pod-deletion-cost before high, doubled up on a node before alone, ready for less time before
// ready for longer (in powers of two), more restarts before fewer, newer before older (in powers of two).
std::vector<Document> rank_for_deletion(std::vector<Document> pods, const std::vector<Document>& related, Time now);

}  // namespace kybern::controllers::replicaset
