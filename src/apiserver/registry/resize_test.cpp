// pods/resize and pods/ephemeralcontainers: what they take of a request, what they leave, what they refuse.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/testing/asking.h"

namespace kybern::apiserver {
namespace {

class ResizeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(asking_.refusal("create", "v1/namespaces", "{metadata: {name: demo}}"), "");
    ASSERT_EQ(asking_.refusal("create", "v1/serviceaccounts", "{metadata: {name: default}}", "demo"), "");
    ASSERT_EQ(asking_.refusal("create", "v1/pods", R"(
metadata: {name: p}
spec:
  initContainers:
  - {name: once, image: i, resources: {requests: {cpu: 100m}}}
  - {name: side, image: i, restartPolicy: Always, resources: {requests: {cpu: 100m}}}
  containers:
  - {name: a, image: i, resources: {requests: {cpu: 100m}}}
  - {name: b, image: i, resources: {requests: {cpu: 100m}}}
)",
                              "demo"),
              "");
  }
  std::string patch(std::string_view sub, std::string_view body, PatchKind kind = PatchKind::strategic) {
    return asking_.refusal("patch", "v1/pods/p/" + std::string(sub), body, "demo", kind);
  }
  Document pod() { return asking_.ask("get", "v1/pods/p", "", "demo")->object; }
  testing::Asking asking_;
};

TEST_F(ResizeTest, OnlyTheAmountsAreTaken) {
  EXPECT_EQ(
      patch("resize",
            "{metadata: {labels: {l: v}}, spec: {priority: 5, containers: [{name: b, image: other, resources: {requests: {cpu: 200m}}}]}}"),
      "");
  Document now = pod();
  EXPECT_EQ(now["spec"]["containers"][1]["resources"]["requests"]["cpu"].as_string(), "200m");
  EXPECT_EQ(now["spec"]["containers"][1]["image"].as_string(), "i");
  EXPECT_FALSE(now["metadata"]["labels"].exists());
  EXPECT_EQ(now["metadata"]["generation"].as_int(), 2);
}

TEST_F(ResizeTest, SidecarsAreResizedToo) {
  EXPECT_EQ(patch("resize", "{spec: {initContainers: [{name: side, resources: {requests: {cpu: 300m}}}]}}"), "");
  EXPECT_EQ(pod()["spec"]["initContainers"][1]["resources"]["requests"]["cpu"].as_string(), "300m");
  EXPECT_NE(patch("resize", "{spec: {initContainers: [{name: once, resources: {requests: {cpu: 300m}}}]}}"), "");
  EXPECT_EQ(asking_.code, 422);
  EXPECT_EQ(pod()["spec"]["initContainers"][0]["resources"]["requests"]["cpu"].as_string(), "100m");
}

TEST_F(ResizeTest, ContainersStayWhoTheyAre) {
  // Another order and a new one: neither is taken.
  EXPECT_EQ(patch("resize",
                  R"({"spec":{"containers":[{"name":"b","image":"i","resources":{"requests":{"cpu":"500m"}}},{"name":"c","image":"i"},)"
                  R"({"name":"a","image":"i","resources":{"requests":{"cpu":"100m"}}}]}})",
                  PatchKind::merge),
            "");
  Document now = pod();
  ASSERT_EQ(now["spec"]["containers"].size(), 2u);
  EXPECT_EQ(now["spec"]["containers"][0]["name"].as_string(), "a");
  EXPECT_EQ(now["spec"]["containers"][1]["resources"]["requests"]["cpu"].as_string(), "500m");
}

TEST_F(ResizeTest, WhatIsRefused) {
  EXPECT_NE(patch("resize", R"({"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"100m","ephemeral-storage":"1Gi"}}}]}})")
                .find("only cpu and memory resources are mutable"),
            std::string::npos);
  // Without any amounts it would be of another class.
  EXPECT_NE(patch("resize", R"({"spec":{"containers":[{"name":"a","resources":null},{"name":"b","resources":null}]}})"), "");
  EXPECT_EQ(asking_.code, 422);
  EXPECT_EQ(asking_.refusal("patch", "v1/pods/nobody/resize", "{}", "demo"), "pods \"nobody\" not found");
}

TEST_F(ResizeTest, EphemeralContainersOnlyGrow) {
  EXPECT_EQ(patch("ephemeralcontainers", "{spec: {priority: 5, ephemeralContainers: [{name: d, image: busy, targetContainerName: a}]}}"),
            "");
  EXPECT_EQ(pod()["spec"]["ephemeralContainers"][0]["name"].as_string(), "d");
  EXPECT_NE(patch("ephemeralcontainers", "{spec: {ephemeralContainers: [{name: d, image: other}]}}")
                .find("existing ephemeral containers \"d\" may not be changed"),
            std::string::npos);
  EXPECT_NE(patch("ephemeralcontainers", R"({"spec":{"ephemeralContainers":null}})", PatchKind::merge)
                .find("existing ephemeral containers \"d\" may not be removed"),
            std::string::npos);
  EXPECT_NE(patch("ephemeralcontainers", "{spec: {ephemeralContainers: [{name: a, image: i}]}}"), "");  // a name that is taken
  EXPECT_NE(patch("ephemeralcontainers", "{spec: {ephemeralContainers: [{name: e, image: i, ports: [{containerPort: 80}]}]}}")
                .find("cannot be set for an Ephemeral Container"),
            std::string::npos);
  EXPECT_EQ(pod()["spec"]["ephemeralContainers"].size(), 1u);
}

}  // namespace
}  // namespace kybern::apiserver
