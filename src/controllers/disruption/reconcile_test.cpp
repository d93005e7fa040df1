#include "controllers/disruption/reconcile.h"

#include <gtest/gtest.h>

#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::disruption {
namespace {

using namespace testing_objects;

Document budget(std::string_view spec, std::string_view status = "{}") {
  Draft out = object("policy/v1", "PodDisruptionBudget", "d", "pdb");
  out["spec"] = *parse_json(spec);
  out["spec"]["selector"] = Draft::object({{"matchLabels", Draft::object({{"app", "web"}})}});
  out["status"] = *parse_json(status);
  return out.freeze();
}

std::vector<Document> pods(int ready, int unready) {
  std::vector<Document> out;
  for (int i = 0; i < ready + unready; ++i) out.push_back(pod("web-" + std::to_string(i), {.ready_for = i < ready ? 10 : -1}));
  return out;
}

struct Row {
  const char* what;
  const char* spec;
  int ready, unready;
  std::int64_t scale;
  const char* numbers;  // current/desired/expected/allowed
};
constexpr Row rows[] = {
    {"a number that must stay", R"({"minAvailable":2})", 3, 0, 5, "3/2/3/1"},
    {"fewer than must stay", R"({"minAvailable":2})", 1, 1, 5, "1/2/2/0"},
    {"a part that must stay, rounded up", R"({"minAvailable":"50%"})", 3, 0, 3, "3/2/3/1"},
    {"a number that may be missing, of the scale", R"({"maxUnavailable":1})", 3, 0, 3, "3/2/3/1"},
    {"pods that are not there count as missing", R"({"maxUnavailable":1})", 2, 0, 3, "2/2/3/0"},
    {"a part that may be missing, rounded up", R"({"maxUnavailable":"30%"})", 5, 0, 5, "5/3/5/2"},
    {"all may be missing", R"({"maxUnavailable":"100%"})", 3, 0, 3, "3/0/3/3"},
    {"more than there are", R"({"maxUnavailable":9})", 3, 0, 3, "3/0/3/3"},
    {"no pods: nothing is allowed yet", R"({"minAvailable":0})", 0, 0, 0, "0/0/0/0"},
    {"neither", R"({})", 3, 0, 3, "3/0/0/0"},
};

std::string numbers(Value status) {
  std::string out;
  for (const char* name : {"currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"})
    out += (out.empty() ? "" : "/") + std::to_string(status[name].as_int());
  return out;
}

TEST(Disruption, CountsWhatMayGo) {
  for (const Row& row : rows) {
    Observed observed{pods(row.ready, row.unready), {{"uid-web", {"uid-web", row.scale}}}, at(0)};
    const Plan plan = reconcile(budget(row.spec), observed);
    ASSERT_TRUE(plan.status) << row.what;
    const Value status = plan.status->body["status"];
    EXPECT_EQ(numbers(status), row.numbers) << row.what;
    const Value allowed = condition(status["conditions"], "DisruptionAllowed");
    EXPECT_EQ(allowed["reason"].as_string(), status["disruptionsAllowed"].as_int() > 0 ? "SufficientPods" : "InsufficientPods") << row.what;
    EXPECT_EQ(allowed["observedGeneration"].as_int(), 1);
    EXPECT_EQ(status["observedGeneration"].as_int(), 1);
    // What is written is not written again.
    EXPECT_FALSE(reconcile(plan.status->body, observed).status) << row.what;
  }
}

TEST(Disruption, EvictedPodsDoNotCountUntilTheyAreGoneOrTooLate) {
  const Document held = budget(R"({"minAvailable":1})", R"({"disruptedPods":{"web-0":")" + format_rfc3339(at(-60)) + R"(","gone":")" +
                                                            format_rfc3339(at(-60)) + R"("}})");
  Plan plan = reconcile(held, {pods(3, 0), {}, at(0)});
  ASSERT_TRUE(plan.status);
  EXPECT_EQ(numbers(plan.status->body["status"]), "2/1/3/1");
  EXPECT_EQ(plan.status->body["status"]["disruptedPods"].size(), 1u) << "of a pod that is gone nothing is remembered";
  EXPECT_EQ(plan.wake_after, Duration(std::chrono::seconds(61)));
  plan = reconcile(held, {pods(3, 0), {}, at(61)});
  EXPECT_EQ(numbers(plan.status->body["status"]), "3/1/3/2");
  EXPECT_FALSE(plan.status->body["status"]["disruptedPods"].exists());
  ASSERT_EQ(plan.notices.size(), 1u);
  EXPECT_EQ(plan.notices[0].reason, "NotDeleted");
}

TEST(Disruption, ControllersWithoutScaleFailTheBudget) {
  const Plan plan = reconcile(budget(R"({"maxUnavailable":1})", R"({"disruptionsAllowed":3})"), {pods(3, 0), {}, at(0)});
  ASSERT_TRUE(plan.status);
  const Value status = plan.status->body["status"];
  EXPECT_EQ(status["disruptionsAllowed"].as_int(), 0);
  const Value allowed = condition(status["conditions"], "DisruptionAllowed");
  EXPECT_EQ(allowed["reason"].as_string(), "SyncFailed");
  EXPECT_EQ(allowed["message"].as_string(), "found no controllers for pod \"web-0\"");
  EXPECT_EQ(plan.wake_after, retry_after_failure);
  ASSERT_EQ(plan.notices.size(), 1u);
  EXPECT_EQ(plan.notices[0].reason, "CalculateExpectedPodCountFailed");
}

TEST(Disruption, PodsOfNobodyAreNamed) {
  const Plan plan = reconcile(budget(R"({"maxUnavailable":1})"), {{pod("bare", {.owner = "", .ready_for = 3})}, {}, at(0)});
  ASSERT_EQ(plan.notices.size(), 1u);
  EXPECT_EQ(plan.notices[0].reason, "UnmanagedPods");
  EXPECT_EQ(numbers(plan.status->body["status"]), "1/0/0/0");
}

TEST(Disruption, ADisruptionThatDidNotComeIsTakenBack) {
  Draft stays(pod("web-0"));
  stays["status"]["conditions"] = Draft::array({Draft::object({{"type", "DisruptionTarget"},
                                                               {"status", "True"},
                                                               {"reason", "EvictionByEvictionAPI"},
                                                               {"lastTransitionTime", format_rfc3339(at(0))}})});
  const Document target = stays.freeze();
  auto early = forget_disruption(target, at(30));
  ASSERT_TRUE(early);
  EXPECT_TRUE(early->actions.empty());
  EXPECT_EQ(early->wake_after, Duration(std::chrono::seconds(90)));
  auto late = forget_disruption(target, at(120));
  ASSERT_TRUE(late);
  ASSERT_EQ(late->actions.size(), 1u);
  EXPECT_EQ(late->actions[0].body["status"]["conditions"][0]["status"].as_string(), "False");
  EXPECT_FALSE(forget_disruption(pod("web-1"), at(120)));
}

}  // namespace
}  // namespace kybern::controllers::disruption
