// How well a fitting node suits a pod: 0 to 100 for each aspect, weighted as upstream's default profile. Pure.
#pragma once

#include <span>
#include <vector>

#include "scheduler/state.h"

namespace kybern::scheduler {

// One total for each node, in order. Taint and affinity scores are relative to the best of these nodes.
std::vector<std::int64_t> score_nodes(const PodNeeds& pod, std::span<const NodeState* const> nodes);

std::int64_t least_allocated(const PodNeeds& pod, const NodeState& node);      // free share after the pod, mean of cpu and memory
std::int64_t balanced_allocation(const PodNeeds& pod, const NodeState& node);  // 100 when cpu and memory are used in equal shares

}  // namespace kybern::scheduler
