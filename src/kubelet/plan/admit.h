// Whether this node takes a pod that the API has bound to it. A scheduler has looked at all of this before; pods that were
// bound by other means, or by a scheduler with an older view, have not.
#pragma once

#include <optional>
#include <vector>

#include "kubelet/plan/plan.h"
#include "kubelet/plan/resources.h"

namespace kybern::kubelet {

// The pod's end when it is refused: phase Failed, reason OutOfcpu, NodeAffinity, TaintToleration, ...
// `others`: pods of this node that are not over; `node`: its object, may be empty before it is known.
std::optional<Ending> refuse_pod(const PodView& pod, const std::vector<PodView>& others, const Amounts& allocatable, const Document& node);

// Why a pod that runs cannot have these resources: reason Infeasible (it never could here) or Deferred (others have them now).
std::optional<Problem> refuse_resize(const PodView& wanted, const std::vector<PodView>& others, const Amounts& allocatable);

bool selects_node(const PodView& pod, const Document& node);  // nodeSelector and required node affinity
bool tolerates(const PodView& pod, Value taint);

}  // namespace kybern::kubelet
