// One decision: filter, score, choose. Pure; chance comes in as a number.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/filter/filter.h"
#include "scheduler/state.h"

namespace kybern::scheduler {

struct Decision {
  const NodeState* node = nullptr;  // null: nowhere
  std::string message;              // why nowhere: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable."
  std::size_t next_start = 0;       // where the next cycle begins its search, so that nodes are looked at in turn
};

// Large clusters are sampled as upstream does: enough fitting nodes are found, then scored (percentageOfNodesToScore).
std::size_t enough_nodes(std::size_t all);

Decision decide(const PodNeeds& pod, const std::vector<NodeState*>& nodes, std::size_t start, std::uint64_t chance);

}  // namespace kybern::scheduler
