// A whole kubelet with its own containerd, running real pods.
#include "kubelet/kubelet.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "document/json.h"
#include "kubelet/files.h"
#include "kubelet/testing/isolation.h"
#include "kubelet/testing/real_node.h"

namespace kybern::kubelet {
namespace {

using testing::RealNode;
using namespace std::chrono_literals;

class RealPods : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::string why = testing::why_no_real_pods(); !why.empty()) GTEST_SKIP() << why;
    node_ = &RealNode::shared();
    ASSERT_EQ(node_->problem(), "");
  }
  RealNode* node_ = nullptr;
};

TEST_F(RealPods, NodeIsRegisteredReadyAndHasALease) {
  ASSERT_TRUE(node_->eventually([&] { return node_->condition(node_->node(), "Ready") == "True"; })) << to_json(node_->node().root());
  Document node = node_->node();
  EXPECT_EQ(node["metadata"]["labels"]["kubernetes.io/os"].as_string(), "linux");
  EXPECT_EQ(node["metadata"]["labels"]["kubernetes.io/hostname"].as_string(), "test-node");
  EXPECT_EQ(node["status"]["nodeInfo"]["containerRuntimeVersion"].as_string().substr(0, 13), "containerd://");
  EXPECT_GE(node["status"]["images"].size(), 2u);
  EXPECT_TRUE(node_->eventually([&] {
    return node_->api().get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/test-node")["spec"]["renewTime"].is_string();
  }));
}

TEST_F(RealPods, APodRunsAndIsReported) {
  auto begin = std::chrono::steady_clock::now();
  node_->run(R"({"metadata":{"name":"first","namespace":"default"},"spec":{"containers":[
      {"name":"main","image":"kybern.io/busybox:1","command":["sh","-c","echo hello; sleep 1000"],"imagePullPolicy":"IfNotPresent"}]}})");
  ASSERT_TRUE(node_->phase_becomes("first", "Running")) << node_->describe("first");
  auto took = std::chrono::steady_clock::now() - begin;
  std::printf("pod running after %lld ms\n", static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  Document pod = node_->pod("first");
  Value status = pod["status"];
  EXPECT_EQ(node_->condition(pod, "Ready"), "True");
  EXPECT_EQ(status["containerStatuses"][0]["containerID"].as_string().substr(0, 13), "containerd://");
  EXPECT_TRUE(status["podIP"].as_string().starts_with("10.199.")) << node_->describe("first");
  EXPECT_EQ(status["qosClass"].as_string(), "BestEffort");
  EXPECT_TRUE(node_->eventually([&] { return node_->has_event("first", "Normal Started: Container started"); }))
      << node_->describe("first");
  EXPECT_TRUE(node_->has_event("first", "Normal Created: Container created"));
  EXPECT_TRUE(node_->has_event(
      "first", "Normal Pulled: Container image \"kybern.io/busybox:1\" already present on machine and can be accessed by the pod"));

  node_->remove("first", 1);
  EXPECT_TRUE(node_->eventually([&] { return !node_->pod("first"); })) << node_->describe("first");
  EXPECT_TRUE(node_->eventually([&] { return node_->has_event("first", "Normal Killing: Stopping container main"); }));
  EXPECT_TRUE(node_->eventually([&] { return node_->nothing_left_of(pod["metadata"]["uid"].str()); }));
}

}  // namespace
}  // namespace kybern::kubelet
