#include "controllers/podgc/reconcile.h"

#include <gtest/gtest.h>

#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::podgc {
namespace {

using namespace testing_objects;

TEST(PodGc, Table) {
  struct Row {
    const char* what;
    Document pod;
    NodeState node;
    std::string plan;
  };
  const Row rows[] = {
      {"its node is there", pod("a"), NodeState::exists, ""},
      {"its node is gone", pod("a"), NodeState::missing, "patch pods/status d/a; delete pods d/a"},
      {"finished, its node is gone", pod("a", {.phase = "Succeeded"}), NodeState::missing, "delete pods d/a"},
      {"not scheduled", pod("a", {.node = ""}), NodeState::missing, ""},
      {"deleted before it was scheduled", pod("a", {.node = "", .deleting = true}), NodeState::missing,
       "patch pods/status d/a; delete pods d/a"},
      {"deleted on a node out of service", pod("a", {.deleting = true}), NodeState::out_of_service,
       "patch pods/status d/a; delete pods d/a"},
      {"on a node out of service", pod("a"), NodeState::out_of_service, ""},
  };
  for (const Row& row : rows) EXPECT_EQ(describe(reconcile(row.pod, row.node)), row.plan) << row.what;
  const Plan plan = reconcile(pod("a"), NodeState::missing);
  EXPECT_EQ(plan.actions[1].body["gracePeriodSeconds"].as_int(-1), 0);
  EXPECT_EQ(plan.actions[0].body["status"]["phase"].as_string(), "Failed");
}

TEST(PodGc, TheOldestFinishedGo) {
  const std::vector<Document> pods = {pod("new", {.phase = "Failed", .age = 1}), pod("old", {.phase = "Failed", .age = 9}),
                                      pod("middle", {.phase = "Succeeded", .age = 5})};
  EXPECT_EQ(describe(reconcile_finished(pods, 1)), "delete pods d/old; delete pods d/middle");
  EXPECT_EQ(describe(reconcile_finished(pods, 3)), "");
  EXPECT_EQ(describe(reconcile_finished(pods, 0)), "");
}

}  // namespace
}  // namespace kybern::controllers::podgc
