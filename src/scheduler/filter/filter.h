// Which nodes can run a pod, and why the others cannot. Pure.
#pragma once

#include <string>
#include <vector>

#include "scheduler/state.h"

namespace kybern::scheduler {

// Why one node does not fit: the reasons of the first filter that refused, in upstream's words.
struct Refusal {
  std::vector<std::string> reasons;
  bool resolvable = true;  // evicting pods from the node could help
};

// Empty reasons: the node fits. The filters run in upstream's order.
Refusal check_node(const PodNeeds& pod, const NodeState& node);

bool tolerates(Value tolerations, const Taint& taint);
bool matches_terms(Value terms, Value node);  // nodeSelectorTerms: any of them
bool matches_term(Value term, Value node);    // one: all its expressions and fields

}  // namespace kybern::scheduler
