// Pods that do not tolerate a NoExecute taint of their node leave it; those that tolerate it for a time, when the time is
// over ("Taints and Tolerations"; the defaults for not-ready and unreachable are 300 s, set at admission).
#pragma once

#include <optional>

#include "controllers/plan.h"

namespace kybern::controllers::tainteviction {

// When the pod has to go; nothing: it may stay.
std::optional<Time> due(Value pod, Value node, Time now);
// `pending`: an eviction was announced before by a plan's wake_after (a cancellation is then told).
Plan reconcile(const Document& pod, const Document& node, bool pending, Time now);

}  // namespace kybern::controllers::tainteviction
