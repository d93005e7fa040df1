// Pods that nobody else will ever remove: on nodes that do not exist, deleted before they had a node, and the oldest of too
// many finished ones.
#pragma once

#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::podgc {

inline constexpr Duration quarantine = std::chrono::seconds(40);  // a node has to be missing for as long

enum class NodeState { exists, missing, out_of_service };  // out_of_service: not ready, and tainted node.kubernetes.io/out-of-service

// Empty: the pod stays.
Plan reconcile(const Document& pod, NodeState node);
// Of `finished` pods, all of them terminal, those beyond the limit.
Plan reconcile_finished(std::vector<Document> finished, std::size_t limit);
NodeState state_of(Value node);  // absent: missing

}  // namespace kybern::controllers::podgc
