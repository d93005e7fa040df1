// Evictions, asked of a registry whose budgets' statuses the test writes as the controller would.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/testing/asking.h"

namespace kybern::apiserver {
namespace {

class EvictionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    must("create", "v1/namespaces", "{metadata: {name: d}}", "");
    must("create", "v1/serviceaccounts", "{metadata: {name: default}}");
  }
  void must(std::string_view verb, std::string_view path, const std::string& body, std::string_view ns = "d") {
    EXPECT_EQ(asking_.refusal(verb, path, body, ns), "") << verb << " " << path << " " << body;
  }
  void pod(const std::string& name, const std::string& phase, bool ready = true) {
    must(
        "create", "v1/pods",
        fmt::format("{{metadata: {{name: {}, labels: {{app: web}}}}, spec: {{nodeName: n1, containers: [{{name: c, image: i}}]}}}}", name));
    must("patch", fmt::format("v1/pods/{}/status", name),
         fmt::format("{{status: {{phase: {}, conditions: [{{type: Ready, status: '{}'}}]}}}}", phase, ready ? "True" : "False"));
  }
  void budget(const std::string& name, const std::string& spec, const std::string& status) {
    must("create", "policy/v1/poddisruptionbudgets",
         fmt::format("{{metadata: {{name: {}}}, spec: {{selector: {{matchLabels: {{app: web}}}}, {}}}}}", name, spec));
    must("patch", fmt::format("policy/v1/poddisruptionbudgets/{}/status", name), fmt::format("{{status: {{{}}}}}", status));
  }
  std::string evict(const std::string& name, const std::string& more = "") {
    auto answer =
        asking_.ask("create", fmt::format("v1/pods/{}/eviction", name), fmt::format("{{metadata: {{name: {}}}{}}}", name, more), "d");
    if (answer) return std::to_string(answer->code);
    last_ = answer.error();
    return fmt::format("{} {}", last_.code, last_.causes.empty() ? last_.message : last_.causes[0].reason + ": " + last_.causes[0].message);
  }
  Document read(std::string_view group, std::string_view plural, std::string_view name) {
    return asking_.registry().read(group, "v1", plural, "d", name);
  }

  testing::Asking asking_;
  Status last_;
};

TEST_F(EvictionTest, TakesFromTheBudgetAndMarksThePod) {
  pod("a", "Running");
  pod("b", "Running");
  budget("pdb", "minAvailable: 1", "observedGeneration: 1, disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2");
  EXPECT_EQ(evict("a", ", deleteOptions: {dryRun: [All]}"), "201");
  EXPECT_EQ(read("policy", "poddisruptionbudgets", "pdb")["status"]["disruptionsAllowed"].as_int(), 1) << "a dry run takes nothing";
  EXPECT_FALSE(read("", "pods", "a")["metadata"]["deletionTimestamp"].exists());
  EXPECT_EQ(evict("a"), "201");
  Document went = read("", "pods", "a"), left = read("policy", "poddisruptionbudgets", "pdb");
  EXPECT_TRUE(went["metadata"]["deletionTimestamp"].exists());
  bool marked = false;
  for (Value c : went["status"]["conditions"].items())
    if (c["type"].as_string() == "DisruptionTarget")
      marked = c["reason"].as_string() == "EvictionByEvictionAPI" && c["message"].as_string() == "Eviction API: evicting" &&
               c["status"].as_string() == "True";
  EXPECT_TRUE(marked);
  EXPECT_EQ(left["status"]["disruptionsAllowed"].as_int(), 0);
  EXPECT_TRUE(left["status"]["disruptedPods"]["a"].is_string());
  EXPECT_EQ(left["status"]["conditions"][0]["reason"].as_string(), "InsufficientPods");
  EXPECT_EQ(evict("b"), "429 DisruptionBudget: The disruption budget pdb needs 1 healthy pods and has 2 currently");
  EXPECT_EQ(last_.message, "Cannot evict pod as it would violate the pod's disruption budget.");
  EXPECT_EQ(last_.reason, "TooManyRequests");
  EXPECT_EQ(evict("a"), "201") << "what goes already needs no budget";
}

TEST_F(EvictionTest, Refusals) {
  pod("a", "Running");
  EXPECT_EQ(evict("none"), "404 pods \"none\" not found");
  auto other = asking_.refusal("create", "v1/pods/a/eviction", "{metadata: {name: b}}", "d");
  EXPECT_EQ(other, "name in URL does not match name in Eviction object");
  budget("pdb", "minAvailable: 1", "disruptionsAllowed: 1");
  EXPECT_EQ(evict("a"), "429 DisruptionBudget: The disruption budget pdb is still being processed by the server.");
  EXPECT_EQ(last_.retry_after_seconds, 10);
  must("patch", "policy/v1/poddisruptionbudgets/pdb/status",
       "{status: {observedGeneration: 1, disruptionsAllowed: 0, conditions: [{type: DisruptionAllowed, status: 'False', reason: "
       "SyncFailed, message: oops, lastTransitionTime: '2026-01-01T00:00:00Z'}]}}");
  EXPECT_EQ(evict("a"),
            "429 DisruptionBudget: The disruption budget pdb does not allow evicting pods currently because it failed sync: oops");
  budget("second", "minAvailable: 1", "observedGeneration: 1");
  EXPECT_EQ(evict("a"), "500 This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
  EXPECT_EQ(last_.reason, "");
  EXPECT_EQ(evict("a", ", deleteOptions: {preconditions: {uid: other}}"),
            "500 This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
  EXPECT_FALSE(read("", "pods", "a")["metadata"]["deletionTimestamp"].exists());
}

TEST_F(EvictionTest, Preconditions) {
  pod("a", "Running");
  EXPECT_EQ(evict("a", ", deleteOptions: {preconditions: {uid: other}}").substr(0, 86),
            "409 Operation cannot be fulfilled on Pod \"a\": the UID in the precondition (other) does");
  EXPECT_EQ(evict("a", ", deleteOptions: {preconditions: {resourceVersion: '1'}}").substr(0, 76),
            "409 Operation cannot be fulfilled on Pod \"a\": the ResourceVersion in the pre");
  const std::string version = read("", "pods", "a")["metadata"]["resourceVersion"].str();
  EXPECT_EQ(evict("a", ", deleteOptions: {preconditions: {resourceVersion: '" + version + "'}}"), "201");
}

TEST_F(EvictionTest, UnhealthyPods) {
  struct Row {
    const char *what, *spec, *status, *answer;
    std::int64_t allowed_after;
  };
  const Row rows[] = {
      {"the budget is met", "minAvailable: 2", "observedGeneration: 1, currentHealthy: 2, desiredHealthy: 2", "201", 0},
      {"it is met and would allow more", "minAvailable: 2",
       "observedGeneration: 1, currentHealthy: 3, desiredHealthy: 2, disruptionsAllowed: 1", "201", 1},
      {"it is not met", "minAvailable: 2", "observedGeneration: 1, currentHealthy: 1, desiredHealthy: 2",
       "429 DisruptionBudget: The disruption budget pdb needs 2 healthy pods and has 1 currently", 0},
      {"always", "minAvailable: 2, unhealthyPodEvictionPolicy: AlwaysAllow", "observedGeneration: 1, currentHealthy: 1, desiredHealthy: 2",
       "201", 0},
      {"if healthy", "minAvailable: 2, unhealthyPodEvictionPolicy: IfHealthyBudget",
       "observedGeneration: 1, currentHealthy: 1, desiredHealthy: 2",
       "429 DisruptionBudget: The disruption budget pdb needs 2 healthy pods and has 1 currently", 0},
      {"nothing is desired", "minAvailable: 0", "observedGeneration: 1, currentHealthy: 1, desiredHealthy: 0, disruptionsAllowed: 1", "201",
       0},
  };
  int serial = 0;
  for (const Row& row : rows) {
    const std::string name = fmt::format("p{}", serial++);
    pod(name, "Running", false);
    budget("pdb", row.spec, row.status);
    EXPECT_EQ(evict(name), row.answer) << row.what;
    EXPECT_EQ(read("policy", "poddisruptionbudgets", "pdb")["status"]["disruptionsAllowed"].as_int(), row.allowed_after) << row.what;
    must("delete", "policy/v1/poddisruptionbudgets/pdb", "{}");
  }
}

TEST_F(EvictionTest, PodsThatDisruptNobodyNeedNoBudget) {
  budget("pdb", "minAvailable: 9", "observedGeneration: 1");
  for (const char* phase : {"Pending", "Succeeded", "Failed"}) {
    const std::string name = std::string("p-") + static_cast<char>(phase[0] + 32);
    pod(name, phase);
    EXPECT_EQ(evict(name), "201") << phase;
  }
}

}  // namespace
}  // namespace kybern::apiserver
