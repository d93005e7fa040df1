#include "controllers/podgc/reconcile.h"

#include <algorithm>

#include "controllers/objects.h"

namespace kybern::controllers::podgc {
namespace {

Action erase_now(const Document& pod) {
  Action action = erase_action("pods", pod);
  Draft options(action.body);
  options["gracePeriodSeconds"] = 0;
  action.body = options.freeze();
  return action;
}

// A pod that has not finished fails first, so that whoever waits for its end learns of it.
void remove(Plan& plan, const Document& pod, const char* why) {
  if (!is_terminal(pod)) {
    Draft status = Draft::object({{"phase", "Failed"}});
    if (why) {
      status["conditions"] = Draft::array(
          {Draft::object({{"type", "DisruptionTarget"}, {"status", "True"}, {"reason", "DeletionByPodGC"}, {"message", why}})});
    }
    Draft patch = Draft::object({{"metadata", Draft::object({{"uid", uid_of(pod)}})}, {"status", std::move(status)}});
    Action mark = patch_action(Action::Verb::strategic_patch, "pods", pod, patch.freeze(), "status");
    mark.gone_is_fine = true;
    plan.actions.push_back(std::move(mark));
  }
  plan.actions.push_back(erase_now(pod));
}

}  // namespace

NodeState state_of(Value node) {
  if (node.is_null()) return NodeState::missing;
  if (condition(node["status"]["conditions"], "Ready")["status"].as_string() == "True") return NodeState::exists;
  for (Value taint : node["spec"]["taints"].items())
    if (taint["key"].as_string() == "node.kubernetes.io/out-of-service") return NodeState::out_of_service;
  return NodeState::exists;
}

Plan reconcile(const Document& pod, NodeState node) {
  Plan plan;
  plan.about = pod;
  const bool scheduled = !pod["spec"]["nodeName"].as_string().empty();
  if (!scheduled) {
    if (is_deleting(pod)) remove(plan, pod, nullptr);
  } else if (node == NodeState::missing) {
    remove(plan, pod, "PodGC: node no longer exists");
  } else if (node == NodeState::out_of_service && is_deleting(pod)) {
    remove(plan, pod, nullptr);
  }
  return plan;
}

Plan reconcile_finished(std::vector<Document> finished, std::size_t limit) {
  Plan plan;
  if (limit == 0 || finished.size() <= limit) return plan;
  std::sort(finished.begin(), finished.end(), [](const Document& a, const Document& b) { return created_before(a, b); });
  finished.resize(finished.size() - limit);
  for (const Document& pod : finished) {
    Action action = erase_now(pod);
    action.pace = Action::Pace::parallel;
    plan.actions.push_back(std::move(action));
  }
  return plan;
}

}  // namespace kybern::controllers::podgc
