// A real node through what happens to nodes: its runtime dies, pods come from files, ports are forwarded.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "base/strings.h"
#include "document/json.h"
#include "kubelet/files.h"
#include "kubelet/probes/checks.h"
#include "kubelet/runtime/cri.h"
#include "kubelet/serve/websocket.h"
#include "kubelet/testing/isolation.h"
#include "kubelet/testing/real_node.h"

namespace kybern::kubelet {
namespace {

using testing::RealNode;

class RealNodeLife : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::string why = testing::why_no_real_pods(); !why.empty()) GTEST_SKIP() << why;
    node_ = &RealNode::shared();
    ASSERT_EQ(node_->problem(), "");
  }
  void TearDown() override {
    if (node_ == nullptr || !node_->problem().empty()) return;
    for (const std::string& name : list_dir(node_->options().static_pod_path))
      ::unlink((node_->options().static_pod_path + "/" + name).c_str());
    for (const Document& pod : node_->api().list("/api/v1/namespaces/default/pods")) {
      if (!pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].exists()) node_->remove(pod["metadata"]["name"].str(), 0);
    }
    EXPECT_TRUE(node_->eventually([&] { return node_->api().list("/api/v1/namespaces/default/pods").empty(); }));
  }
  void simple(const std::string& name, const std::string& more_spec = "", const std::string& more_container = "") {
    node_->run(fmt::format(
        R"({{"metadata":{{"name":"{}"}},"spec":{{"terminationGracePeriodSeconds":1{},"containers":[{{"name":"c","image":"kybern.io/busybox:1",
        "command":["sh","-c","echo up; sleep 1000"],"imagePullPolicy":"IfNotPresent"{}}}]}}}})",
        name, more_spec.empty() ? "" : "," + more_spec, more_container.empty() ? "" : "," + more_container));
  }
  Value container(const Document& pod) { return pod["status"]["containerStatuses"][0]; }
  int containerd_pid() {
    auto text = read_file(node_->data_dir() + "/containerd/containerd.pid");
    return text ? static_cast<int>(parse_int(split(*text, ' ')[0]).value_or(0)) : 0;
  }
  RealNode* node_ = nullptr;
};

TEST_F(RealNodeLife, ContainerdMayDieWithoutItsPods) {
  simple("survivor");
  ASSERT_TRUE(node_->phase_becomes("survivor", "Running"));
  std::string id = container(node_->pod("survivor"))["containerID"].str();
  int old = containerd_pid();
  ASSERT_GT(old, 1);
  ::kill(old, SIGKILL);
  ASSERT_TRUE(node_->eventually([&] { return containerd_pid() != old && containerd_pid() > 1; }));
  simple("after");
  ASSERT_TRUE(node_->phase_becomes("after", "Running")) << node_->describe("after");
  EXPECT_EQ(container(node_->pod("survivor"))["containerID"].str(), id);
  EXPECT_EQ(container(node_->pod("survivor"))["restartCount"].as_int(), 0);
  EXPECT_EQ(node_->exec("/exec/default/survivor/c?command=echo&command=alive&output=1", "").out, "alive\n");
  // Ends are still noticed: the event stream stands again.
  node_->exec("/exec/default/survivor/c?command=kill&command=-9&command=-1&output=1", "");
  Document pod = node_->pod("survivor");
  node_->remove("survivor", 1);
  EXPECT_TRUE(node_->eventually([&] { return node_->nothing_left_of(pod["metadata"]["uid"].str()); }));
}

TEST_F(RealNodeLife, AnEndIsNoticedAtOnce) {
  simple("ender", R"("restartPolicy":"Never")", "");
  ASSERT_TRUE(node_->phase_becomes("ender", "Running"));
  auto cri = Cri::connect(node_->kubelet().runtime_endpoint());
  ASSERT_TRUE(cri.has_value());
  auto pid = (*cri)->container_pid(container(node_->pod("ender"))["containerID"].str().substr(13));
  ASSERT_TRUE(pid.has_value()) << pid.error().message;
  auto begin = std::chrono::steady_clock::now();
  ::kill(*pid, SIGKILL);
  ASSERT_TRUE(node_->phase_becomes("ender", "Failed")) << node_->describe("ender");
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count();
  std::printf("end reported after %lld ms\n", static_cast<long long>(took));
  EXPECT_LT(took, 15000);  // without an event it would be looked for after a minute
  EXPECT_EQ(container(node_->pod("ender"))["state"]["terminated"]["exitCode"].as_int(), 137);
}

TEST_F(RealNodeLife, PodsWithoutTheirSandboxGetANewOne) {
  simple("resandbox");
  ASSERT_TRUE(node_->phase_becomes("resandbox", "Running"));
  std::string uid = node_->pod("resandbox")["metadata"]["uid"].str();
  auto cri = Cri::connect(node_->kubelet().runtime_endpoint());
  auto boxes = (*cri)->list_sandboxes(uid);
  ASSERT_EQ(boxes->size(), 1u);
  ASSERT_TRUE((*cri)->stop_sandbox(boxes->front().id).has_value());
  ASSERT_TRUE(node_->eventually([&] {
    return container(node_->pod("resandbox"))["restartCount"].as_int() >= 1 && node_->condition(node_->pod("resandbox"), "Ready") == "True";
  })) << node_->describe("resandbox");
  EXPECT_TRUE(node_->eventually([&] {
    return node_->has_event("resandbox", "Normal SandboxChanged: Pod sandbox changed, it will be killed and re-created.");
  })) << node_->describe("resandbox");
}

TEST_F(RealNodeLife, StaticPodsRunAndHaveMirrors) {
  std::string folder = node_->options().static_pod_path;
  const char* manifest =
      "apiVersion: v1\nkind: Pod\nmetadata:\n  name: fixed\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: c\n    "
      "image: kybern.io/busybox:1\n    imagePullPolicy: Never\n    command: [sleep, \"1000\"]\n";
  ASSERT_TRUE(write_file(folder + "/fixed.yaml", manifest).has_value());
  ASSERT_TRUE(node_->phase_becomes("fixed-test-node", "Running")) << node_->describe("fixed-test-node");
  Document mirror = node_->pod("fixed-test-node");
  EXPECT_EQ(mirror["metadata"]["annotations"]["kubernetes.io/config.source"].as_string(), "file");
  EXPECT_EQ(mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"].str(),
            mirror["metadata"]["annotations"]["kubernetes.io/config.hash"].str());
  std::string uid = mirror["metadata"]["annotations"]["kubernetes.io/config.hash"].str();
  // Its object alone does not end it: it comes again.
  node_->api().erase("/api/v1/namespaces/default/pods/fixed-test-node");
  ASSERT_TRUE(node_->eventually([&] { return node_->pod("fixed-test-node")["status"]["phase"].as_string() == "Running"; }));
  ::unlink((folder + "/fixed.yaml").c_str());
  EXPECT_TRUE(node_->eventually([&] { return !node_->pod("fixed-test-node"); }));
  EXPECT_TRUE(node_->eventually([&] { return node_->nothing_left_of(uid); }));
}

TEST_F(RealNodeLife, PortsAreForwardedAndHostPortsOpen) {
  node_->run(
      R"({"metadata":{"name":"fwd"},"spec":{"terminationGracePeriodSeconds":1,"containers":[{"name":"c","image":"kybern.io/sample-web:1","imagePullPolicy":"IfNotPresent",
      "ports":[{"containerPort":8080,"hostPort":18080}],"readinessProbe":{"tcpSocket":{"port":8080},"periodSeconds":1}}]}})");
  ASSERT_TRUE(node_->eventually([&] { return node_->condition(node_->pod("fwd"), "Ready") == "True"; })) << node_->describe("fwd");
  HttpTarget target;
  target.host = "10.199.0.1";  // the bridge's own address: the node
  target.port = 18080;
  target.path = "/healthz";
  EXPECT_EQ(check_http(target, std::chrono::seconds(3)).output, "");

  net::ClientRequest request;
  request.target = "/portForward/default/fwd?port=8080";
  request.headers.add("connection", "Upgrade");
  request.headers.add("upgrade", "websocket");
  request.headers.add("sec-websocket-version", "13");
  request.headers.add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
  request.headers.add("sec-websocket-protocol", "v4.channel.k8s.io");
  auto http = node_->client();
  auto stream = http->upgrade(std::move(request));
  ASSERT_TRUE(stream.has_value()) << stream.error().message;
  std::string text = std::string(1, '\0') + "GET /healthz HTTP/1.0\r\n\r\n";
  std::string frame = websocket::frame(websocket::Opcode::binary, text);
  frame[1] = static_cast<char>(frame[1] | 0x80);
  frame.insert(2, std::string(4, '\0'));
  ASSERT_TRUE((*stream)->write(frame).has_value());
  websocket::Reader reader(false);
  std::string data, errors;
  while (data.find("ok\n") == std::string::npos) {
    auto bytes = (*stream)->read_for(std::chrono::seconds(10));
    ASSERT_TRUE(bytes.has_value() && !bytes->empty()) << data << errors;
    auto messages = reader.feed(*bytes);
    ASSERT_TRUE(messages.has_value());
    for (auto& m : *messages) (m.bytes[0] == 0 ? data : errors) += m.bytes.substr(1);
  }
  EXPECT_EQ(data.substr(0, 2), std::string("\x90\x1f"));  // 8080, the low byte first
  EXPECT_NE(data.find("200 OK"), std::string::npos);
}

TEST_F(RealNodeLife, HostNetworkPodsHaveTheNodesAddressAndName) {
  simple("hostnet", R"("hostNetwork":true)");
  ASSERT_TRUE(node_->phase_becomes("hostnet", "Running")) << node_->describe("hostnet");
  EXPECT_EQ(node_->pod("hostnet")["status"]["podIP"].as_string(), "127.0.0.1");
  char name[256];
  ::gethostname(name, sizeof name);
  EXPECT_EQ(node_->exec("/exec/default/hostnet/c?command=hostname&output=1", "").out, std::string(name) + "\n");
  EXPECT_NE(node_->exec("/exec/default/hostnet/c?command=cat&command=/etc/hosts&output=1", "").out.find("(host network)"),
            std::string::npos);
}

TEST_F(RealNodeLife, EphemeralContainersJoin) {
  simple("debugged");
  ASSERT_TRUE(node_->phase_becomes("debugged", "Running"));
  node_->api().change("/api/v1/namespaces/default/pods/debugged", [](Draft& pod) {
    pod["spec"]["ephemeralContainers"].push_back(Draft::object({{"name", "dbg"},
                                                                {"image", "kybern.io/busybox:1"},
                                                                {"imagePullPolicy", "Never"},
                                                                {"targetContainerName", "c"},
                                                                {"command", Draft::array({"sh", "-c", "ps; sleep 1000"})}}));
  });
  ASSERT_TRUE(node_->eventually([&] {
    return node_->pod("debugged")["status"]["ephemeralContainerStatuses"][0]["state"]["running"].is_object();
  })) << node_->describe("debugged");
  EXPECT_NE(node_->wait_log("debugged", "dbg", "sleep 1000").find("sleep 1000"), std::string::npos);
}

TEST_F(RealNodeLife, WhatDoesNotFitIsRefused) {
  simple("huge", "", R"("resources":{"requests":{"cpu":"10000"}})");
  ASSERT_TRUE(node_->phase_becomes("huge", "Failed")) << node_->describe("huge");
  EXPECT_EQ(node_->pod("huge")["status"]["reason"].as_string(), "OutOfcpu");
  EXPECT_TRUE(node_->pod("huge")["status"]["message"].as_string().starts_with(
      "Pod was rejected: Node didn't have enough resource: cpu, requested: 10000000, used: "));
  simple("elsewhere", R"("nodeSelector":{"no":"such"})");
  ASSERT_TRUE(node_->phase_becomes("elsewhere", "Failed"));
  EXPECT_EQ(node_->pod("elsewhere")["status"]["reason"].as_string(), "NodeAffinity");
}

TEST_F(RealNodeLife, ResourcesChangeInPlace) {
  simple(
      "resized", "",
      R"("resizePolicy":[{"resourceName":"cpu","restartPolicy":"NotRequired"},{"resourceName":"memory","restartPolicy":"RestartContainer"}],
      "resources":{"requests":{"cpu":"100m","memory":"32Mi"},"limits":{"cpu":"200m","memory":"64Mi"}})");
  ASSERT_TRUE(node_->phase_becomes("resized", "Running")) << node_->describe("resized");
  std::string id = container(node_->pod("resized"))["containerID"].str();
  auto set = [&](const char* kind, const char* name, const char* value) {
    node_->api().change("/api/v1/namespaces/default/pods/resized",
                        [&](Draft& pod) { pod["spec"]["containers"].items()[0]["resources"][kind][name] = value; });
  };
  auto cgroup = [&](const char* controller, const char* file, bool of_container) {
    Document pod = node_->pod("resized");
    std::string path = fmt::format("/sys/fs/cgroup/{}{}/kubepods/burstable/pod{}", controller, node_->options().cgroup_base,
                                   pod["metadata"]["uid"].as_string());
    if (of_container) path += "/" + container(pod)["containerID"].str().substr(13);
    return read_file(path + "/" + file).value_or("");
  };
  set("limits", "cpu", "400m");
  EXPECT_TRUE(node_->eventually([&] { return container(node_->pod("resized"))["resources"]["limits"]["cpu"].as_string() == "400m"; }))
      << node_->describe("resized");
  EXPECT_EQ(container(node_->pod("resized"))["containerID"].str(), id);
  EXPECT_EQ(node_->condition(node_->pod("resized"), "PodResizeInProgress"), "");
  if (is_dir("/sys/fs/cgroup/memory")) {
    EXPECT_EQ(cgroup("cpu", "cpu.cfs_quota_us", true), "40000\n");
    EXPECT_EQ(cgroup("cpu", "cpu.cfs_quota_us", false), "40000\n");
  }
  set("limits", "memory", "96Mi");
  EXPECT_TRUE(node_->eventually([&] {
    return container(node_->pod("resized"))["restartCount"].as_int() == 1 && node_->condition(node_->pod("resized"), "Ready") == "True";
  })) << node_->describe("resized");
  EXPECT_TRUE(node_->eventually([&] { return node_->has_event("resized", "Normal Killing: Container c resize requires restart"); }));
  if (is_dir("/sys/fs/cgroup/memory")) {
    EXPECT_TRUE(node_->eventually([&] { return cgroup("memory", "memory.limit_in_bytes", true) == "100663296\n"; }));
  }
  set("requests", "cpu", "100");
  EXPECT_TRUE(node_->eventually([&] { return node_->condition(node_->pod("resized"), "PodResizePending") == "True"; }))
      << node_->describe("resized");
  EXPECT_EQ(container(node_->pod("resized"))["allocatedResources"]["cpu"].as_string(), "100m");
  set("requests", "cpu", "150m");
  EXPECT_TRUE(node_->eventually([&] {
    return node_->condition(node_->pod("resized"), "PodResizePending") == "" &&
           container(node_->pod("resized"))["allocatedResources"]["cpu"].as_string() == "150m";
  })) << node_->describe("resized");
}

TEST_F(RealNodeLife, ImagesAreVolumes) {
  node_->run(
      R"({"metadata":{"name":"imgvol"},"spec":{"terminationGracePeriodSeconds":1,"restartPolicy":"Never","volumes":[{"name":"v","image":{"reference":"kybern.io/sample-web:1","pullPolicy":"IfNotPresent"}}],
      "containers":[{"name":"c","image":"kybern.io/busybox:1","imagePullPolicy":"Never","command":["sh","-c","cat /v/www/healthz; cat /one; touch /v/x 2>&1"],
        "volumeMounts":[{"name":"v","mountPath":"/v"},{"name":"v","mountPath":"/one","subPath":"www/healthz"}]}]}})");
  ASSERT_TRUE(node_->phase_becomes("imgvol", "Failed")) << node_->describe("imgvol");
  EXPECT_EQ(node_->log("imgvol", "c"), "ok\nok\ntouch: /v/x: Read-only file system\n");
  EXPECT_TRUE(node_->remove_and_wait("imgvol")) << node_->describe("imgvol");
}

TEST_F(RealNodeLife, SysctlsAreSetOrRefused) {
  simple("sysctl", R"("securityContext":{"sysctls":[{"name":"kernel.shm_rmid_forced","value":"1"}]})");
  ASSERT_TRUE(node_->phase_becomes("sysctl", "Running")) << node_->describe("sysctl");
  EXPECT_EQ(node_->exec("/exec/default/sysctl/c?command=cat&command=/proc/sys/kernel/shm_rmid_forced&output=1", "").out, "1\n");
  simple("badsysctl", R"("securityContext":{"sysctls":[{"name":"kernel.msgmax","value":"1"}]})");
  ASSERT_TRUE(node_->phase_becomes("badsysctl", "Failed"));
  EXPECT_EQ(node_->pod("badsysctl")["status"]["reason"].as_string(), "SysctlForbidden");
}

TEST_F(RealNodeLife, TokensAreRenewed) {
  node_->api().token_life = "5s";
  node_->run(R"({"metadata":{"name":"token"},"spec":{"terminationGracePeriodSeconds":1,"serviceAccountName":"default",
      "volumes":[{"name":"t","projected":{"sources":[{"serviceAccountToken":{"path":"token"}}]}}],
      "containers":[{"name":"c","image":"kybern.io/busybox:1","imagePullPolicy":"Never","command":["sh","-c","cat /t/token; echo; while true; do cat /t/token; echo; sleep 0.5; done"],
        "volumeMounts":[{"name":"t","mountPath":"/t"}]}]}})");
  ASSERT_TRUE(node_->phase_becomes("token", "Running")) << node_->describe("token");
  std::string first = split(node_->wait_log("token", "c", "token-"), '\n')[0].data();
  first = first.substr(0, first.find('\n'));
  EXPECT_TRUE(node_->eventually([&] {
    std::string last = node_->log("token", "c");
    last.pop_back();
    return last.substr(last.rfind('\n') + 1) != first;
  })) << node_->log("token", "c");
  node_->api().token_life = "3600s";
}

TEST_F(RealNodeLife, ForcedDeletionCleansUp) {
  simple("forced");
  ASSERT_TRUE(node_->phase_becomes("forced", "Running"));
  std::string uid = node_->pod("forced")["metadata"]["uid"].str();
  node_->api().erase("/api/v1/namespaces/default/pods/forced");
  EXPECT_TRUE(node_->eventually([&] { return node_->nothing_left_of(uid); }));
}

TEST_F(RealNodeLife, ManyPodsStartSideBySide) {
  constexpr int count = 12;
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) simple(fmt::format("many{}", i));
  for (int i = 0; i < count; ++i)
    ASSERT_TRUE(node_->phase_becomes(fmt::format("many{}", i), "Running")) << node_->describe(fmt::format("many{}", i));
  std::printf(
      "%d pods running after %lld ms\n", count,
      static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count()));
}

}  // namespace
}  // namespace kybern::kubelet
