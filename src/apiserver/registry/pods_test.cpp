// What the registry itself adds to a new pod.
#include <gtest/gtest.h>

#include "apiserver/testing/asking.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

class NewPodsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(asking_.refusal("create", "v1/namespaces", "{metadata: {name: demo}}"), "");
    ASSERT_EQ(asking_.refusal("create", "v1/serviceaccounts", "{metadata: {name: default}}", "demo"), "");
  }
  Document made(std::string_view rest) {
    std::string pod = "{metadata: {name: p, labels: {hash: h1}}, spec: {containers: [{name: c, image: i}], " + std::string(rest) + "}}";
    EXPECT_EQ(asking_.refusal("create", "v1/pods", pod, "demo"), "");
    return asking_.ask("get", "v1/pods/p", "", "demo")->object;
  }
  testing::Asking asking_;
};

TEST_F(NewPodsTest, ThoseBehindGatesSaySo) {
  Document pod = made("schedulingGates: [{name: a.io/b}]");
  Value condition = pod["status"]["conditions"][0];
  EXPECT_EQ(condition["type"].as_string(), "PodScheduled");
  EXPECT_EQ(condition["status"].as_string(), "False");
  EXPECT_EQ(condition["reason"].as_string(), "SchedulingGated");
  EXPECT_EQ(condition["message"].as_string(), "Scheduling is blocked due to non-empty scheduling gates");
}

TEST_F(NewPodsTest, LabelKeysSelectTheirOwnKind) {
  Document pod = made(
      "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: "
      "a}}, "
      "matchLabelKeys: [hash]}]");
  EXPECT_EQ(to_json(pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]),
            R"({"matchLabels":{"app":"a"},"matchExpressions":[{"key":"hash","operator":"In","values":["h1"]}]})");
  EXPECT_FALSE(pod["status"]["conditions"].exists());
}

}  // namespace
}  // namespace kybern::apiserver
