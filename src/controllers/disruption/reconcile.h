// PodDisruptionBudgets: how many of the pods that a budget covers may be taken away now. The eviction subresource takes from
// that number; what it took is in status.disruptedPods until the pods are gone.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "controllers/plan.h"

namespace kybern::controllers::disruption {

inline constexpr Duration deletion_timeout = std::chrono::minutes(2);  // an evicted pod that is still there then counts again
inline constexpr Duration retry_after_failure = std::chrono::seconds(10);

// How many pods a pod's controller wants, and the uid by which it is counted once: of a Deployment for its ReplicaSets.
struct Scale {
  std::string uid;
  std::int64_t replicas = 0;
};

struct Observed {
  std::vector<Document> pods;           // that the budget selects, whatever their state
  std::map<std::string, Scale> scales;  // by the uid of the pods' controller reference; missing: it has no scale
  Time now{};
};

bool selects(Value budget, Value pod);
// Whether the scale of the pods' controllers has to be known: not for a number in minAvailable.
bool needs_scale(Value budget);
// Of all that is written about a pod, what a budget counts.
bool matters(Value before, Value now);
Plan reconcile(const Document& budget, const Observed& observed);

// A pod that was to be disrupted and is not: its condition DisruptionTarget is taken back after a while.
std::optional<Plan> forget_disruption(const Document& pod, Time now);

}  // namespace kybern::controllers::disruption
