#include "controllers/nodelifecycle/reconcile.h"

#include <algorithm>

#include "controllers/objects.h"

namespace kybern::controllers::nodelifecycle {
namespace {

constexpr std::string_view watched_conditions[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};

struct ByCondition {
  std::string_view condition, status, taint;
};
constexpr ByCondition no_schedule_taints[] = {
    {"Ready", "False", not_ready_taint},
    {"Ready", "Unknown", unreachable_taint},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure"},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure"},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure"},
};
constexpr std::string_view unschedulable_taint = "node.kubernetes.io/unschedulable";

std::string_view ready_status(Value node) {
  const Value ready = condition(node["status"]["conditions"], "Ready");
  return ready["status"].as_string("Unknown");
}

bool has_taint(Value node, std::string_view key, std::string_view effect) {
  for (Value taint : node["spec"]["taints"].items())
    if (taint["key"].as_string() == key && taint["effect"].as_string() == effect) return true;
  return false;
}

// Silent for too long: nobody knows how it is.
Document with_unknown_conditions(const Document& node, Time now) {
  Draft out(node);
  Draft& conditions = out["status"]["conditions"];
  if (!conditions.is_array()) conditions = Draft::array();
  const std::string time = format_rfc3339(now);
  for (std::string_view type : watched_conditions) {
    Draft* found = find_condition(conditions, type);
    if (!found) {
      conditions.push_back(Draft::object({{"type", type},
                                          {"status", "Unknown"},
                                          {"lastHeartbeatTime", node["metadata"]["creationTimestamp"]},
                                          {"lastTransitionTime", time},
                                          {"reason", "NodeStatusNeverUpdated"},
                                          {"message", "Kubelet never posted node status."}}));
    } else if ((*found)["status"].as_string() != "Unknown") {
      (*found)["status"] = "Unknown";
      (*found)["reason"] = "NodeStatusUnknown";
      (*found)["message"] = "Kubelet stopped posting node status.";
      (*found)["lastTransitionTime"] = time;
    }
  }
  return out.freeze();
}

struct Wanted {
  std::vector<std::string_view> no_schedule;
  std::string_view no_execute;  // "" for none
};

Wanted wanted_taints(Value node, Evictions evictions) {
  Wanted out;
  const Value conditions = node["status"]["conditions"];
  for (const ByCondition& rule : no_schedule_taints)
    if (condition(conditions, rule.condition)["status"].as_string() == rule.status) out.no_schedule.push_back(rule.taint);
  if (node["spec"]["unschedulable"].as_bool()) out.no_schedule.push_back(unschedulable_taint);
  const std::string_view ready = ready_status(node);
  if (ready == "True" || evictions == Evictions::suspended || !condition(conditions, "Ready").exists()) return out;
  out.no_execute = ready == "False" ? not_ready_taint : unreachable_taint;
  const bool evicting = has_taint(node, not_ready_taint, "NoExecute") || has_taint(node, unreachable_taint, "NoExecute");
  if (evictions == Evictions::later && !evicting) out.no_execute = {};
  return out;
}

bool is_ours(std::string_view key, std::string_view effect) {
  if (effect == "NoExecute") return key == unreachable_taint || key == not_ready_taint;
  if (effect != "NoSchedule") return false;
  return key == unschedulable_taint ||
         std::any_of(std::begin(no_schedule_taints), std::end(no_schedule_taints), [&](const ByCondition& r) { return r.taint == key; });
}

// The node's taints with ours as wanted; those of others are kept, and ours that stay keep their time.
Draft new_taints(Value node, const Wanted& wanted, Time now, bool* changed) {
  Draft out = Draft::array();
  std::vector<std::string_view> missing = wanted.no_schedule;
  bool missing_no_execute = !wanted.no_execute.empty();
  for (Value taint : node["spec"]["taints"].items()) {
    const std::string_view key = taint["key"].as_string(), effect = taint["effect"].as_string();
    bool keep = !is_ours(key, effect);
    if (!keep && effect == "NoExecute" && key == wanted.no_execute) {
      keep = true;
      missing_no_execute = false;
    } else if (!keep && effect == "NoSchedule") {
      keep = std::erase(missing, key) > 0;
    }
    if (keep) out.push_back(taint);
    else *changed = true;
  }
  const auto add = [&](std::string_view key, const char* effect) {
    out.push_back(Draft::object({{"key", key}, {"effect", effect}, {"timeAdded", format_rfc3339(now)}}));
    *changed = true;
  };
  for (std::string_view key : missing) add(key, "NoSchedule");
  if (missing_no_execute) add(wanted.no_execute, "NoExecute");
  return out;
}

Action mark_not_ready(const Document& pod, Time now) {
  Draft changed(pod);
  Draft* ready = find_condition(changed["status"]["conditions"], "Ready");
  (*ready)["status"] = "False";
  (*ready)["lastTransitionTime"] = format_rfc3339(now);
  Draft patch = Draft::object(
      {{"metadata", Draft::object({{"uid", uid_of(pod)}})}, {"status", Draft::object({{"conditions", Draft::array({*ready})}})}});
  Action action = patch_action(Action::Verb::strategic_patch, "pods", pod, patch.freeze(), "status");
  action.pace = Action::Pace::parallel;
  action.gone_is_fine = true;
  action.about = pod;
  action.done = Notice{"Warning", "NodeNotReady", "Node is not ready"};
  return action;
}

}  // namespace

bool node_is_ready(Value node) { return ready_status(node) == "True"; }

bool wants_eviction(Value node) {
  return condition(node["status"]["conditions"], "Ready").exists() && !node_is_ready(node) &&
         !has_taint(node, unreachable_taint, "NoExecute") && !has_taint(node, not_ready_taint, "NoExecute");
}

ZoneState zone_state(std::size_t ready, std::size_t not_ready) {
  if (ready == 0 && not_ready > 0) return ZoneState::full;
  const double share = static_cast<double>(not_ready) / static_cast<double>(std::max<std::size_t>(1, ready + not_ready));
  return not_ready > 2 && share >= 0.55 ? ZoneState::partial : ZoneState::normal;
}

std::string zone_of(Value node) {
  const Value labels = node["metadata"]["labels"];
  return labels["topology.kubernetes.io/region"].str() + std::string(":\0:", 3) + labels["topology.kubernetes.io/zone"].str();
}

Plan reconcile(const Document& node, const Observed& observed, const Limits& limits) {
  Plan plan;
  plan.about = node;
  if (is_deleting(node)) return plan;
  const Value ready = condition(node["status"]["conditions"], "Ready");
  const Duration grace = ready.exists() ? limits.grace : limits.startup_grace;
  Document current = node;
  if (observed.silent_for > grace) current = with_unknown_conditions(node, observed.now);
  else plan.wake_after = grace - observed.silent_for + std::chrono::milliseconds(10);
  const bool went_unknown = !(current["status"] == node["status"]);
  if (went_unknown) plan.actions.push_back(replace_action("nodes", current, "status"));
  if (!node_is_ready(current)) {
    for (const Document& pod : observed.pods)
      if (is_ready(pod) && !is_deleting(pod)) plan.actions.push_back(mark_not_ready(pod, observed.now));
  }
  if (went_unknown) return plan;  // its taints in the next step, on the version that this one makes

  bool changed = false;
  Draft taints = new_taints(node, wanted_taints(node, observed.evictions), observed.now, &changed);
  if (changed) {
    Draft patch = Draft::object({{"metadata", Draft::object({{"resourceVersion", node["metadata"]["resourceVersion"]}})}});
    patch["spec"]["taints"] = taints.empty() ? Draft(nullptr) : std::move(taints);
    plan.actions.push_back(patch_action(Action::Verb::merge_patch, "nodes", node, patch.freeze()));
  }
  if (observed.evictions == Evictions::later && wants_eviction(node)) plan.wake_after = std::chrono::seconds(5);
  return plan;
}

}  // namespace kybern::controllers::nodelifecycle
