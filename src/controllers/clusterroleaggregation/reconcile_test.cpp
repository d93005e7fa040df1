#include "controllers/clusterroleaggregation/reconcile.h"

#include <gtest/gtest.h>

#include "controllers/test_objects.h"

namespace kybern::controllers::clusterroleaggregation {
namespace {

using testing_objects::json;

Document role(std::string_view name, std::string_view label, std::string_view rules, std::string_view collects = "") {
  Draft out = testing_objects::object("rbac.authorization.k8s.io/v1", "ClusterRole", "", name);
  if (!label.empty()) out["metadata"]["labels"][label] = "true";
  out["rules"] = json(rules).root();
  if (!collects.empty()) {
    Draft selector = Draft::object();
    selector["matchLabels"][collects] = "true";
    out["aggregationRule"]["clusterRoleSelectors"].push_back(std::move(selector));
  }
  return out.freeze();
}

TEST(ClusterRoleAggregation, RulesAreThoseOfTheChosenByNameEachOnce) {
  const Document parts[] = {role("z", "to-view", R"([{"verbs":["get"],"apiGroups":["a.io"],"resources":["x"]}])"),
                            role("b", "to-view", R"([{"verbs":["list"],"apiGroups":["b.io"],"resources":["y"]},
                                                     {"verbs":["get"],"apiGroups":["a.io"],"resources":["x"]}])"),
                            role("other", "to-edit", R"([{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}])")};
  // It has a label that it selects by itself: its own rules are no part of it.
  const Document view = role("view", "to-view", R"([{"verbs":["watch"],"apiGroups":["old.io"],"resources":["w"]}])", "to-view");
  Plan plan = reconcile({view, parts[0], parts[1], parts[2]});
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(plan.actions[0].name, "view");
  EXPECT_EQ(to_json(plan.actions[0].body["rules"]),
            R"([{"verbs":["list"],"apiGroups":["b.io"],"resources":["y"]},{"verbs":["get"],"apiGroups":["a.io"],"resources":["x"]}])");
  // What is as it should be is left alone; so is a role that collects nothing and has nothing.
  EXPECT_TRUE(reconcile({plan.actions[0].body, parts[0], parts[1]}).actions.empty());
  EXPECT_TRUE(reconcile({role("empty", "", "[]", "nobody")}).actions.empty());
}

TEST(ClusterRoleAggregation, WhatLosesItsPartsLosesTheirRules) {
  const Document view = role("view", "", R"([{"verbs":["get"],"apiGroups":["a.io"],"resources":["x"]}])", "to-view");
  Plan plan = reconcile({view, role("a", "elsewhere", R"([{"verbs":["get"],"apiGroups":["a.io"],"resources":["x"]}])")});
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(to_json(plan.actions[0].body["rules"]), "[]");
}

}  // namespace
}  // namespace kybern::controllers::clusterroleaggregation
