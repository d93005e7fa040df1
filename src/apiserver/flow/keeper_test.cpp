// What upstream's bootstrap of priority and fairness does with its own objects (pkg/registry/flowcontrol/ensurer).
#include <gtest/gtest.h>

#include "apiserver/flow/flow_control.h"
#include "apiserver/testing/asking.h"

namespace kybern::apiserver {
namespace {

class FlowObjectsTest : public ::testing::Test {
 protected:
  FlowObjectsTest() { ensure(); }
  void ensure() {
    auto ok = ensure_flow_objects(asking_.registry(), real_world());
    ASSERT_TRUE(ok) << ok.error().message;
  }
  Document get(std::string_view plural, std::string_view name) { return asking_.registry().read(flow_group, "v1", plural, "", name); }
  void merge(std::string_view plural, std::string_view name, std::string_view patch) {
    EXPECT_EQ(asking_.refusal("patch", path(plural, name), patch), "");
  }
  void remove(std::string_view plural, std::string_view name) { EXPECT_EQ(asking_.refusal("delete", path(plural, name)), ""); }
  static std::string path(std::string_view plural, std::string_view name) {
    return std::string(flow_group) + "/v1/" + std::string(plural) + "/" + std::string(name);
  }
  static constexpr std::string_view levels = "prioritylevelconfigurations", schemas = "flowschemas";
  std::string annotation(std::string_view plural, std::string_view name) {
    return get(plural, name)["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"].str();
  }
  std::int64_t shares(std::string_view name) { return get(levels, name)["spec"]["limited"]["nominalConcurrencyShares"].as_int(); }
  // "status reason: message"
  std::string dangling(std::string_view schema) {
    for (Value one : get(schemas, schema)["status"]["conditions"].items())
      if (one["type"].as_string() == "Dangling") return one["status"].str() + " " + one["reason"].str() + ": " + one["message"].str();
    return {};
  }

  testing::Asking asking_;
};

TEST_F(FlowObjectsTest, ASuggestedObjectFollowsUnlessItSaysNo) {
  EXPECT_EQ(annotation(levels, "workload-low"), "true");
  merge(levels, "workload-low", "{spec: {limited: {nominalConcurrencyShares: 7}}}");
  ensure();
  EXPECT_EQ(shares("workload-low"), 100);
  merge(levels, "workload-low", R"({metadata: {annotations: {apf.kubernetes.io/autoupdate-spec: "false"}},
                                    spec: {limited: {nominalConcurrencyShares: 7}}})");
  ensure();
  EXPECT_EQ(shares("workload-low"), 7);
  EXPECT_EQ(annotation(levels, "workload-low"), "false");
  // Without a word, what somebody changed is his, and it is noted so.
  merge(levels, "workload-high", R"({metadata: {annotations: {apf.kubernetes.io/autoupdate-spec: null}},
                                     spec: {limited: {nominalConcurrencyShares: 8}}})");
  ensure();
  EXPECT_EQ(shares("workload-high"), 8);
  EXPECT_EQ(annotation(levels, "workload-high"), "false");
  remove(schemas, "global-default");
  ensure();
  EXPECT_EQ(get(schemas, "global-default")["spec"]["matchingPrecedence"].as_int(), 9900);
}

TEST_F(FlowObjectsTest, AMandatoryObjectIsBroughtBack) {
  merge(schemas, "catch-all", R"({metadata: {annotations: {apf.kubernetes.io/autoupdate-spec: "false"}}})");
  remove(schemas, "exempt");
  merge(levels, "exempt", "{spec: {exempt: {lendablePercent: 20}}}");
  ensure();
  EXPECT_EQ(annotation(schemas, "catch-all"), "true");
  EXPECT_EQ(get(schemas, "exempt")["spec"]["matchingPrecedence"].as_int(), 1);
  EXPECT_EQ(get(levels, "exempt")["spec"]["exempt"]["lendablePercent"].as_int(), 20) << "that is the operator's";
  // Nothing is written when nothing differs.
  const auto before = asking_.registry().store().revision();
  ensure();
  EXPECT_EQ(asking_.registry().store().revision(), before);
}

TEST_F(FlowObjectsTest, WhatWasOneOfOursIsRemoved) {
  auto schema = [](std::string_view name, std::string_view annotation) {
    return "{metadata: {name: " + std::string(name) + ", annotations: {" + std::string(annotation) +
           "}}, spec: {matchingPrecedence: 700, priorityLevelConfiguration: {name: system}}}";
  };
  const std::string all = std::string(flow_group) + "/v1/flowschemas";
  EXPECT_EQ(asking_.refusal("create", all, schema("former", R"(apf.kubernetes.io/autoupdate-spec: "true")")), "");
  EXPECT_EQ(asking_.refusal("create", all, schema("kept", R"(apf.kubernetes.io/autoupdate-spec: "false")")), "");
  EXPECT_EQ(asking_.refusal("create", all, schema("own", "")), "");
  ensure();
  EXPECT_FALSE(get(schemas, "former"));
  EXPECT_TRUE(get(schemas, "kept"));
  EXPECT_TRUE(get(schemas, "own"));
}

TEST_F(FlowObjectsTest, ASchemaSaysWhetherItsLevelExists) {
  EXPECT_EQ(dangling("service-accounts"),
            "False Found: This FlowSchema references the PriorityLevelConfiguration object named \"workload-low\" and it exists");
  EXPECT_EQ(asking_.refusal("create", std::string(flow_group) + "/v1/flowschemas",
                            "{metadata: {name: own}, spec: {matchingPrecedence: 700, priorityLevelConfiguration: {name: mine}}}"),
            "");
  ASSERT_TRUE(tell_dangling(asking_.registry(), real_world()));
  EXPECT_EQ(dangling("own"),
            "True NotFound: This FlowSchema references the PriorityLevelConfiguration object named \"mine\" but there is no such object");
  EXPECT_EQ(asking_.refusal("create", std::string(flow_group) + "/v1/prioritylevelconfigurations",
                            "{metadata: {name: mine}, spec: {type: Limited, limited: {limitResponse: {type: Reject}}}}"),
            "");
  ASSERT_TRUE(tell_dangling(asking_.registry(), real_world()));
  EXPECT_EQ(dangling("own"), "False Found: This FlowSchema references the PriorityLevelConfiguration object named \"mine\" and it exists");
}

}  // namespace
}  // namespace kybern::apiserver
