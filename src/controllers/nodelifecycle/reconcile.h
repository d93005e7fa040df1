// What becomes of a node that is silent or not well: its conditions, and the taints that follow from them (core/v1 Node,
// "Taint Nodes by Condition").
//
//   silent for 50 s            ->  Ready and the pressure conditions become Unknown
//   Ready is Unknown           ->  taint node.kubernetes.io/unreachable, NoSchedule at once, NoExecute when eviction is allowed
//   Ready is False             ->  taint node.kubernetes.io/not-ready, likewise
//   MemoryPressure is True ... ->  taint node.kubernetes.io/memory-pressure NoSchedule ...
#pragma once

#include <string_view>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::nodelifecycle {

inline constexpr std::string_view unreachable_taint = "node.kubernetes.io/unreachable";
inline constexpr std::string_view not_ready_taint = "node.kubernetes.io/not-ready";

struct Limits {
  Duration grace{std::chrono::seconds(50)};          // of silence
  Duration startup_grace{std::chrono::seconds(60)};  // of a node that never said anything
};

enum class Evictions {
  allowed,
  later,      // the rate is used up: look again
  suspended,  // every zone is down: it is more likely us; no node is tainted NoExecute, and taints are taken back
};

struct Observed {
  Duration silent_for{};  // since its lease or its status changed last
  Evictions evictions = Evictions::allowed;
  std::vector<Document> pods = {};  // on a node that has just ceased to be ready: they become not ready with it
  Time now = {};
};

Plan reconcile(const Document& node, const Observed& observed, const Limits& limits);

// Whether the next plan would add a NoExecute taint (the caller then asks its rate limiter).
bool wants_eviction(Value node);

enum class ZoneState { normal, partial, full };
// partial: at least 55% and more than two of its nodes are not ready. full: all of them.
ZoneState zone_state(std::size_t ready, std::size_t not_ready);
std::string zone_of(Value node);  // "region:\0:zone" as a key; all nodes without labels are one zone
bool node_is_ready(Value node);

}  // namespace kybern::controllers::nodelifecycle
