// What nodes and pods use, from summaries that the test gives.
#include "apiserver/usage/usage_api.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>

#include "apiserver/testing/asking.h"

namespace kybern::apiserver {
namespace {

class UsageTest : public ::testing::Test {
 protected:
  UsageTest() : usage_(asking_.registry(), [this](const std::string& node) { return summary(node); }) {
    must("v1/namespaces", "{metadata: {name: d}}", "");
    must("v1/serviceaccounts", "{metadata: {name: default}}");
    must("v1/nodes", "{metadata: {name: n1, labels: {size: large}}}", "");
    must("v1/nodes", "{metadata: {name: silent}}", "");
    must("v1/pods",
         "{metadata: {name: web, labels: {app: web}}, spec: {nodeName: n1, containers: [{name: a, image: i}, {name: b, image: i}]}}");
    must("v1/pods", "{metadata: {name: waits}, spec: {containers: [{name: a, image: i}]}}");
    EXPECT_EQ(asking_.refusal("patch", "v1/pods/web/status", "{status: {phase: Running}}", "d"), "");
  }
  void must(std::string_view path, const std::string& body, std::string_view ns = "d") {
    EXPECT_EQ(asking_.refusal("create", path, body, ns), "") << path;
  }
  // Each look is two seconds after the last; the node takes one core, the containers 20 and 5 hundredths.
  ApiResult<Document> summary(const std::string& node) {
    if (node == "silent") return fail(service_unavailable("nobody there"));
    const std::int64_t seconds = 2 * ++looks_;
    const std::string time = format_rfc3339(begun_ + std::chrono::seconds(seconds));
    auto use = [&](std::int64_t hundredths, std::int64_t bytes) {
      return fmt::format(R"("cpu":{{"time":"{}","usageCoreNanoSeconds":{}}},"memory":{{"workingSetBytes":{}}})", time,
                         seconds * hundredths * 10'000'000, bytes);
    };
    return *parse_json(fmt::format(
        R"({{"node":{{"nodeName":"n1",{}}},"pods":[{{"podRef":{{"name":"web","namespace":"d"}},"containers":[{{"name":"a",{}}},{{"name":"b",{}}}]}}]}})",
        use(100, 3 << 20), use(20, 5000 * 1024), use(5, 1 << 20)));
  }
  ApiResult<Document> ask(std::string_view verb, std::string_view plural, std::string_view ns = "", std::string_view name = "",
                          std::string_view query = "") {
    RequestInfo info;
    info.is_resource = true;
    info.verb = verb;
    info.group = UsageApi::group;
    info.version = "v1beta1";
    info.resource = plural;
    info.ns = ns;
    info.name = name;
    auto work = begin_work(asking_.registry(), asking_.user, info, Query(query));
    if (!work) return fail(std::move(work.error()));
    EXPECT_TRUE(UsageApi::serves(*work));
    return usage_.answer(*work);
  }

  const Time begun_ = real_world().clock.now();
  std::atomic<std::int64_t> looks_{0};
  testing::Asking asking_;
  UsageApi usage_;
};

TEST_F(UsageTest, NodesAndPods) {
  auto nodes = ask("list", "nodes");
  ASSERT_TRUE(nodes) << nodes.error().message;
  EXPECT_EQ((*nodes)["kind"].as_string(), "NodeMetricsList");
  ASSERT_EQ((*nodes)["items"].size(), 1u) << "a node that does not answer has no figures";
  Value node = (*nodes)["items"][0];
  EXPECT_EQ(node["metadata"]["name"].as_string(), "n1");
  EXPECT_EQ(node["metadata"]["labels"]["size"].as_string(), "large");
  EXPECT_EQ(to_json(node["usage"]), R"({"cpu":"1","memory":"3Mi"})");
  EXPECT_EQ(node["window"].as_string(), "2.000s");
  EXPECT_EQ(looks_, 2) << "the first time it looks twice";
  auto pods = ask("list", "pods", "d");
  ASSERT_TRUE(pods);
  EXPECT_EQ(looks_, 2) << "fresh figures are used again";
  ASSERT_EQ((*pods)["items"].size(), 1u);
  EXPECT_EQ(to_json((*pods)["items"][0]["containers"]),
            R"([{"name":"a","usage":{"cpu":"200m","memory":"5000Ki"}},{"name":"b","usage":{"cpu":"50m","memory":"1Mi"}}])");
}

TEST_F(UsageTest, SelectorsAndNames) {
  EXPECT_EQ((*ask("list", "nodes", "", "", "labelSelector=size%3Dlarge"))["items"].size(), 1u);
  EXPECT_EQ((*ask("list", "nodes", "", "", "labelSelector=size%3Dsmall"))["items"].size(), 0u);
  EXPECT_EQ((*ask("list", "pods", "", "", "labelSelector=app%3Dweb"))["items"].size(), 1u);
  EXPECT_EQ((*ask("list", "pods", "", "", "fieldSelector=metadata.name%3Dother"))["items"].size(), 0u);
  auto one = ask("get", "pods", "d", "web");
  ASSERT_TRUE(one);
  EXPECT_EQ((*one)["kind"].as_string(), "PodMetrics");
  auto none = ask("get", "pods", "d", "waits");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "pods.metrics.k8s.io \"d/waits\" not found");
  none = ask("get", "nodes", "", "silent");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "nodes.metrics.k8s.io \"silent\" not found");
  EXPECT_EQ(ask("delete", "pods", "d", "web").error().code, 405);
}

}  // namespace
}  // namespace kybern::apiserver
