#include "controllers/tainteviction/reconcile.h"

#include <algorithm>
#include <chrono>

#include "controllers/objects.h"

namespace kybern::controllers::tainteviction {
namespace {

bool tolerates(Value toleration, Value taint) {
  const std::string_view effect = toleration["effect"].as_string(), key = toleration["key"].as_string();
  if (!effect.empty() && effect != taint["effect"].as_string()) return false;
  if (!key.empty() && key != taint["key"].as_string()) return false;
  if (toleration["operator"].as_string() == "Exists") return true;
  return !key.empty() && toleration["value"].as_string() == taint["value"].as_string();
}

}  // namespace

std::optional<Time> due(Value pod, Value node, std::optional<Time> pending_since, Time now) {
  std::optional<Time> earliest;
  for (Value taint : node["spec"]["taints"].items()) {
    if (taint["effect"].as_string() != "NoExecute") continue;
    bool tolerated = false;
    std::optional<std::int64_t> seconds;  // the shortest of the tolerations that match
    for (Value toleration : pod["spec"]["tolerations"].items()) {
      if (!tolerates(toleration, taint)) continue;
      tolerated = true;
      const Value limit = toleration["tolerationSeconds"];
      if (!limit.is_null() && (!seconds || limit.as_int() < *seconds)) seconds = limit.as_int();
    }
    if (!tolerated) return now;
    if (!seconds) continue;
    const Time from = time_of(taint["timeAdded"]).value_or(pending_since.value_or(now));
    const Time end = from + std::chrono::seconds(std::max<std::int64_t>(0, *seconds));
    if (!earliest || end < *earliest) earliest = end;
  }
  return earliest;
}

Plan reconcile(const Document& pod, const Document& node, std::optional<Time> pending_since, Time now) {
  Plan plan;
  plan.about = pod;
  if (!pod || is_deleting(pod) || is_terminal(pod)) return plan;
  const std::string name = std::string(namespace_of(pod)) + "/" + std::string(name_of(pod));
  const std::optional<Time> time = node ? due(pod, node, pending_since, now) : std::nullopt;
  if (!time) {
    if (pending_since) plan.notices.push_back({"Normal", "TaintManagerEviction", "Cancelling deletion of Pod " + name});
    return plan;
  }
  if (*time > now) {
    plan.wake_after = *time - now;
    return plan;
  }
  plan.notices.push_back({"Normal", "TaintManagerEviction", "Marking for deletion Pod " + name});
  const std::string since = format_rfc3339(now);
  Draft target = Draft::object({{"type", "DisruptionTarget"},
                                {"status", "True"},
                                {"lastTransitionTime", since},
                                {"reason", "DeletionByTaintManager"},
                                {"message", "Taint manager: deleting due to NoExecute taint"}});
  if (condition(pod["status"]["conditions"], "DisruptionTarget")["status"].as_string() != "True") {
    Draft patch = Draft::object({{"metadata", Draft::object({{"uid", uid_of(pod)}})},
                                 {"status", Draft::object({{"conditions", Draft::array({std::move(target)})}})}});
    Action mark = patch_action(Action::Verb::strategic_patch, "pods", pod, patch.freeze(), "status");
    mark.gone_is_fine = true;
    plan.actions.push_back(std::move(mark));
  }
  plan.actions.push_back(erase_action("pods", pod));
  return plan;
}

}  // namespace kybern::controllers::tainteviction
