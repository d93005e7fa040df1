#include "controllers/nodelifecycle/reconcile.h"

#include <gtest/gtest.h>

#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::nodelifecycle {
namespace {

using namespace testing_objects;
using std::chrono::seconds;

// taints: "not-ready:NoSchedule other:NoExecute" (of node.kubernetes.io but for "other")
Document node(const char* ready, std::vector<std::pair<const char*, const char*>> taints = {}, bool unschedulable = false) {
  Draft out = object("v1", "Node", "", "n1");
  out["status"]["conditions"] = Draft::array();
  if (ready) {
    out["status"]["conditions"].push_back(Draft::object({{"type", "Ready"}, {"status", ready}, {"reason", "KubeletReady"}}));
    out["status"]["conditions"].push_back(
        Draft::object({{"type", "MemoryPressure"}, {"status", ready == std::string_view("Unknown") ? "Unknown" : "False"}}));
  }
  if (unschedulable) out["spec"]["unschedulable"] = true;
  for (auto [key, effect] : taints) {
    const std::string full = key == std::string_view("other") ? "other" : "node.kubernetes.io/" + std::string(key);
    out["spec"]["taints"].push_back(Draft::object({{"key", full}, {"effect", effect}}));
  }
  return out.freeze();
}

std::string taints_of(const Plan& plan) {
  for (const Action& action : plan.actions) {
    if (action.verb != Action::Verb::merge_patch) continue;
    std::string out;
    for (Value taint : action.body["spec"]["taints"].items()) {
      std::string_view key = taint["key"].as_string();
      if (key.starts_with("node.kubernetes.io/")) key.remove_prefix(19);
      out += (out.empty() ? "" : " ") + std::string(key) + ":" + taint["effect"].str();
    }
    return out.empty() ? "none" : out;
  }
  return "";
}

TEST(NodeLifecycle, Taints) {
  struct Row {
    const char* what;
    Document node;
    Evictions evictions;
    std::string taints;
  };
  const Row rows[] = {
      {"well", node("True"), Evictions::allowed, ""},
      {"not ready", node("False"), Evictions::allowed, "not-ready:NoSchedule not-ready:NoExecute"},
      {"unknown", node("Unknown"), Evictions::allowed, "unreachable:NoSchedule unreachable:NoExecute"},
      {"too many at once", node("Unknown"), Evictions::later, "unreachable:NoSchedule"},
      {"everything is down", node("Unknown"), Evictions::suspended, "unreachable:NoSchedule"},
      {"everything is down: taints are taken back", node("Unknown", {{"unreachable", "NoSchedule"}, {"unreachable", "NoExecute"}}),
       Evictions::suspended, "unreachable:NoSchedule"},
      {"one that is evicted goes on being so", node("Unknown", {{"unreachable", "NoSchedule"}, {"unreachable", "NoExecute"}}),
       Evictions::later, ""},
      {"from not ready to unknown", node("Unknown", {{"not-ready", "NoSchedule"}, {"not-ready", "NoExecute"}}), Evictions::later,
       "unreachable:NoSchedule unreachable:NoExecute"},
      {"well again", node("True", {{"not-ready", "NoSchedule"}, {"other", "NoExecute"}, {"not-ready", "NoExecute"}}), Evictions::allowed,
       "other:NoExecute"},
      {"well again, nothing else", node("True", {{"not-ready", "NoSchedule"}}), Evictions::allowed, "none"},
      {"cordoned", node("True", {}, true), Evictions::allowed, "unschedulable:NoSchedule"},
      {"uncordoned", node("True", {{"unschedulable", "NoSchedule"}}), Evictions::allowed, "none"},
      {"new: it has said nothing yet", node(nullptr), Evictions::allowed, ""},
  };
  for (const Row& row : rows)
    EXPECT_EQ(taints_of(reconcile(row.node, {.silent_for = seconds(1), .evictions = row.evictions, .now = at(0)}, {})), row.taints)
        << row.what;
}

TEST(NodeLifecycle, Silence) {
  Plan plan = reconcile(node("True"), {.silent_for = seconds(45), .now = at(0)}, {});
  EXPECT_EQ(describe(plan), "wake after 5.01s");
  plan = reconcile(node("True"), {.silent_for = seconds(51), .pods = {pod("a", {.ready_for = 5}), pod("b")}, .now = at(0)}, {});
  EXPECT_EQ(describe(plan), "replace nodes/status n1; patch pods/status d/a");
  const Value conditions = plan.actions[0].body["status"]["conditions"];
  EXPECT_EQ(condition(conditions, "Ready")["status"].as_string(), "Unknown");
  EXPECT_EQ(condition(conditions, "Ready")["reason"].as_string(), "NodeStatusUnknown");
  EXPECT_EQ(condition(conditions, "Ready")["message"].as_string(), "Kubelet stopped posting node status.");
  EXPECT_EQ(condition(conditions, "PIDPressure")["reason"].as_string(), "NodeStatusNeverUpdated");
  EXPECT_EQ(plan.actions[1].body["status"]["conditions"][0]["status"].as_string(), "False");
  EXPECT_EQ(taints_of(reconcile(plan.actions[0].body, {.silent_for = seconds(51), .now = at(0)}, {})),
            "unreachable:NoSchedule unreachable:NoExecute");

  EXPECT_EQ(describe(reconcile(node(nullptr), {.silent_for = seconds(41), .now = at(0)}, {})), "wake after 19.01s");
  EXPECT_EQ(describe(reconcile(node(nullptr), {.silent_for = seconds(61), .now = at(0)}, {})), "replace nodes/status n1");
}

TEST(NodeLifecycle, Zones) {
  EXPECT_EQ(zone_state(3, 0), ZoneState::normal);
  EXPECT_EQ(zone_state(1, 2), ZoneState::normal);
  EXPECT_EQ(zone_state(2, 3), ZoneState::partial);
  EXPECT_EQ(zone_state(0, 1), ZoneState::full);
  EXPECT_EQ(zone_state(0, 0), ZoneState::normal);
}

}  // namespace
}  // namespace kybern::controllers::nodelifecycle
