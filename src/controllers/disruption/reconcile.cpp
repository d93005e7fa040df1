#include "controllers/disruption/reconcile.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "controllers/objects.h"
#include "machinery/budget.h"
#include "machinery/labels.h"

namespace kybern::controllers::disruption {
namespace {

struct Expected {
  std::int64_t pods = 0, healthy = 0;
  std::vector<std::string> unmanaged;
  std::string error;
};

// The sum of what the pods' controllers want.
void add_scales(const Observed& observed, Expected& out) {
  std::set<std::string> counted;
  for (const Document& pod : observed.pods) {
    const Value controller = controller_of(pod);
    if (!controller.exists()) {
      out.unmanaged.emplace_back(name_of(pod));
      continue;
    }
    const auto scale = observed.scales.find(controller["uid"].str());
    if (scale == observed.scales.end()) {
      out.error = fmt::format("found no controllers for pod \"{}\"", name_of(pod));
      return;
    }
    if (counted.insert(scale->second.uid).second) out.pods += scale->second.replicas;
  }
}

Expected expected_of(Value budget, const Observed& observed) {
  Expected out;
  const Value spec = budget["spec"], least = spec["minAvailable"], most_gone = spec["maxUnavailable"];
  if (!least.is_null() && !least.is_string()) {
    out.pods = static_cast<std::int64_t>(observed.pods.size());
    out.healthy = least.as_int();
    return out;
  }
  if (least.is_null() && most_gone.is_null()) return out;
  add_scales(observed, out);
  if (!most_gone.is_null()) out.healthy = std::max<std::int64_t>(0, out.pods - scaled(most_gone, out.pods, true));
  else out.healthy = scaled(least, out.pods, true);
  return out;
}

// The evictions whose pods are still to go; those that took too long are reported and forgotten.
std::optional<Time> still_disrupted(Value budget, const Observed& observed, Draft& out, Plan& plan) {
  std::optional<Time> check;
  for (const Document& pod : observed.pods) {
    const Value since = budget["status"]["disruptedPods"][name_of(pod)];
    const std::optional<Time> begun = time_of(since);
    if (is_deleting(pod) || !begun) continue;
    const Time limit = *begun + deletion_timeout;
    if (limit < observed.now) {
      plan.notices.push_back({"Warning", "NotDeleted",
                              fmt::format("Pod {} was expected by PDB {}/{} to be deleted but it wasn't", name_of(pod),
                                          namespace_of(budget), name_of(budget))});
      continue;
    }
    if (!check || limit < *check) check = limit;
    out[name_of(pod)] = since;
  }
  return check;
}

}  // namespace

bool selects(Value budget, Value pod) {
  const auto selector = LabelSelector::from(budget["spec"]["selector"]);
  return selector && selector->matches(pod["metadata"]["labels"]);
}

bool needs_scale(Value budget) {
  const Value spec = budget["spec"];
  return spec["minAvailable"].is_string() || !spec["maxUnavailable"].is_null();
}

bool matters(Value before, Value now) {
  if (before.is_null() || now.is_null()) return true;
  return is_ready(before) != is_ready(now) || is_deleting(before) != is_deleting(now) ||
         !(before["metadata"]["labels"] == now["metadata"]["labels"]) ||
         !(before["metadata"]["ownerReferences"] == now["metadata"]["ownerReferences"]);
}

Plan reconcile(const Document& budget, const Observed& observed) {
  Plan plan;
  plan.about = budget;
  if (is_deleting(budget)) return plan;
  if (observed.pods.empty()) plan.notices.push_back({"Normal", "NoPods", "No matching pods found"});
  Draft wanted(budget);
  Draft& status = wanted["status"];
  const Expected expected = expected_of(budget, observed);
  if (!expected.error.empty()) {
    plan.notices.push_back(
        {"Warning", "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: " + expected.error});
    status["disruptionsAllowed"] = 0;
    status["observedGeneration"] = budget["metadata"]["generation"];
    set_disruption_sync_failed(status, expected.error, observed.now);
    plan.wake_after = retry_after_failure;
  } else {
    if (!expected.unmanaged.empty()) {
      const auto selector = LabelSelector::from(budget["spec"]["selector"]);
      plan.notices.push_back({"Warning", "UnmanagedPods",
                              fmt::format("Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a "
                                          "result, the status of the PDB cannot be "
                                          "calculated correctly, which may result in undefined behavior. To account for these pods please "
                                          "set \".spec.minAvailable\" field "
                                          "of the PDB to an integer value.",
                                          selector ? selector->str() : "")});
    }
    Draft disrupted = Draft::object();
    const std::optional<Time> check = still_disrupted(budget, observed, disrupted, plan);
    std::int64_t healthy = 0;
    for (const Document& pod : observed.pods)
      if (!is_deleting(pod) && !disrupted.find(name_of(pod)) && is_ready(pod)) ++healthy;
    std::int64_t allowed = healthy - expected.healthy;
    if (expected.pods <= 0 || allowed <= 0) allowed = 0;
    status["currentHealthy"] = healthy;
    status["desiredHealthy"] = expected.healthy;
    status["expectedPods"] = expected.pods;
    status["disruptionsAllowed"] = allowed;
    if (disrupted.size()) status["disruptedPods"] = std::move(disrupted);
    else status.erase("disruptedPods");
    status["observedGeneration"] = budget["metadata"]["generation"];
    set_disruption_allowed(status, observed.now);
    if (check) plan.wake_after = *check - observed.now + std::chrono::seconds(1);
  }
  const Document now = wanted.freeze();
  if (!(now["status"] == budget["status"])) plan.status = replace_action("poddisruptionbudgets", now, "status");
  return plan;
}

std::optional<Plan> forget_disruption(const Document& pod, Time now) {
  const Value target = condition(pod["status"]["conditions"], "DisruptionTarget");
  // What the kubelet says of its own terminations holds however long they take.
  if (is_deleting(pod) || is_terminal(pod) || target["status"].as_string() != "True" ||
      target["reason"].as_string() == "TerminationByKubelet")
    return {};
  Plan plan;
  plan.about = pod;
  const Time limit = time_of(target["lastTransitionTime"]).value_or(now) + deletion_timeout;
  if (now < limit) {
    plan.wake_after = limit - now;
    return plan;
  }
  Draft patch = Draft::object();
  Draft done = Draft::object({{"type", "DisruptionTarget"},
                              {"status", "False"},
                              {"reason", nullptr},
                              {"message", nullptr},
                              {"lastTransitionTime", format_rfc3339(now)}});
  if (pod["metadata"]["generation"].exists()) done["observedGeneration"] = pod["metadata"]["generation"];
  patch["metadata"]["uid"] = pod["metadata"]["uid"];
  patch["status"]["conditions"] = Draft::array({done});
  plan.actions.push_back(patch_action(Action::Verb::strategic_patch, "pods", pod, patch.freeze(), "status"));
  plan.actions.back().gone_is_fine = true;
  return plan;
}

}  // namespace kybern::controllers::disruption
