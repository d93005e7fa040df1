// Pods that do not tolerate a NoExecute taint of their node leave it; those that tolerate it for a time, when the time is
// over ("Taints and Tolerations"; the defaults for not-ready and unreachable are 300 s, set at admission).
#pragma once

#include <optional>

#include "controllers/plan.h"

namespace kybern::controllers::tainteviction {

// When the pod has to go; nothing: it may stay. Time runs from the taint's timeAdded; for one that has none, from
// `pending_since`, or else from now.
std::optional<Time> due(Value pod, Value node, std::optional<Time> pending_since, Time now);
// `pending_since`: when a plan first said wake_after for this pod (a cancellation is then told).
Plan reconcile(const Document& pod, const Document& node, std::optional<Time> pending_since, Time now);

}  // namespace kybern::controllers::tainteviction
