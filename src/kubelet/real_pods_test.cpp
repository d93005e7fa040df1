// What pods do, on a real runtime: environment, volumes, restarts, probes, hooks, ends.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "base/strings.h"
#include "document/json.h"
#include "kubelet/files.h"
#include "kubelet/testing/isolation.h"
#include "kubelet/testing/real_node.h"

namespace kybern::kubelet {
namespace {

using testing::RealNode;

class RealPods2 : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::string why = testing::why_no_real_pods(); !why.empty()) GTEST_SKIP() << why;
    node_ = &RealNode::shared();
    ASSERT_EQ(node_->problem(), "");
  }
  void TearDown() override {
    if (node_ == nullptr || !node_->problem().empty()) return;
    for (const Document& pod : node_->api().list("/api/v1/namespaces/default/pods")) node_->remove(pod["metadata"]["name"].str(), 0);
    EXPECT_TRUE(node_->eventually([&] { return node_->api().list("/api/v1/namespaces/default/pods").empty(); }));
  }
  // A pod of one container that runs a shell script.
  void script(const std::string& name, const std::string& text, const std::string& more = "", const std::string& spec = "") {
    node_->run(
        fmt::format(R"({{"metadata":{{"name":"{0}","labels":{{"app":"{0}"}}}},"spec":{{"terminationGracePeriodSeconds":1{3},"containers":[
        {{"name":"c","image":"kybern.io/busybox:1","command":["sh","-c",{1}],"imagePullPolicy":"IfNotPresent"{2}}}]}}}})",
                    name, to_json(Draft(text)), more.empty() ? "" : "," + more, spec.empty() ? "" : "," + spec));
  }
  Value container(const Document& pod) { return pod["status"]["containerStatuses"][0]; }
  RealNode* node_ = nullptr;
};

TEST_F(RealPods2, EnvironmentConfigMapsSecretsFieldsAndServices) {
  node_->api().put("/api/v1/namespaces/default/configmaps",
                   R"({"metadata":{"name":"conf","namespace":"default"},"data":{"COLOR":"blue","size":"7"}})");
  node_->api().put("/api/v1/namespaces/default/secrets",
                   fmt::format(R"({{"metadata":{{"name":"sec","namespace":"default"}},"data":{{"pass":"{}"}}}})", base64_encode("s3cret")));
  node_->api().put(
      "/api/v1/namespaces/default/services",
      R"({"metadata":{"name":"my-svc","namespace":"default"},"spec":{"clusterIP":"10.96.0.9","ports":[{"name":"web","port":80,"protocol":"TCP"}]}})");
  script("env", "env; echo args $0 $1",
         R"j("args":["$(GREETING)","$$(X)"],"envFrom":[{"configMapRef":{"name":"conf"}},{"prefix":"P_","secretRef":{"name":"sec"}}],
      "resources":{"limits":{"cpu":"500m","memory":"64Mi"}},
      "env":[{"name":"NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}},{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},
             {"name":"LABEL","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['app']"}}},{"name":"GREETING","value":"hi $(COLOR) $(MY_SVC_SERVICE_HOST) $(NOPE)"},
             {"name":"PASS","valueFrom":{"secretKeyRef":{"name":"sec","key":"pass"}}},{"name":"MEM","valueFrom":{"resourceFieldRef":{"resource":"limits.memory","divisor":"1Mi"}}}])j",
         R"("restartPolicy":"Never")");
  ASSERT_TRUE(node_->phase_becomes("env", "Succeeded")) << node_->describe("env");
  std::string log = node_->log("env", "c");
  for (const char* line : {"COLOR=blue\n", "P_pass=s3cret\n", "NODE=test-node\n", "LABEL=env\n", "PASS=s3cret\n", "MEM=64\n",
                           "MY_SVC_SERVICE_PORT_WEB=80\n", "MY_SVC_PORT_80_TCP=tcp://10.96.0.9:80\n",
                           "GREETING=hi blue 10.96.0.9 $(NOPE)\n", "args hi blue 10.96.0.9 $(NOPE) $(X)\n", "IP=10.199.0."}) {
    EXPECT_NE(log.find(line), std::string::npos) << line << "\n" << log;
  }
  Document pod = node_->pod("env");
  EXPECT_EQ(container(pod)["state"]["terminated"]["reason"].as_string(), "Completed");
  EXPECT_EQ(node_->condition(pod, "Initialized"), "True");
  EXPECT_EQ(node_->condition(pod, "Ready"), "False");
}

TEST_F(RealPods2, MissingConfigMapKeepsTheContainerWaitingUntilItComes) {
  script("waits", "echo got $V; sleep 1000", R"("env":[{"name":"V","valueFrom":{"configMapKeyRef":{"name":"later","key":"k"}}}])");
  ASSERT_TRUE(node_->eventually([&] {
    return container(node_->pod("waits"))["state"]["waiting"]["reason"].as_string() == "CreateContainerConfigError";
  })) << node_->describe("waits");
  EXPECT_EQ(container(node_->pod("waits"))["state"]["waiting"]["message"].as_string(), "configmap \"later\" not found");
  EXPECT_TRUE(node_->eventually([&] { return node_->has_event("waits", "Warning Failed: Error: configmap \"later\" not found"); }));
  node_->api().put("/api/v1/namespaces/default/configmaps", R"({"metadata":{"name":"later","namespace":"default"},"data":{"k":"it"}})");
  ASSERT_TRUE(node_->phase_becomes("waits", "Running")) << node_->describe("waits");
  EXPECT_NE(node_->wait_log("waits", "c", "got it").find("got it"), std::string::npos);
}

TEST_F(RealPods2, VolumesAreMountedAndUpdateInPlace) {
  node_->api().put("/api/v1/namespaces/default/configmaps",
                   R"({"metadata":{"name":"files","namespace":"default"},"data":{"a":"one","b":"two"}})");
  std::string host = testing::run_folder() + "/hostpath";
  node_->run(fmt::format(
      R"({{"metadata":{{"name":"vols","annotations":{{"note":"n1"}}}},"spec":{{"terminationGracePeriodSeconds":1,"serviceAccountName":"default",
    "securityContext":{{"fsGroup":4444}},
    "volumes":[{{"name":"cm","configMap":{{"name":"files","items":[{{"key":"a","path":"sub/a.txt","mode":256}}]}}}},
      {{"name":"whole","configMap":{{"name":"files"}}}},{{"name":"mem","emptyDir":{{"medium":"Memory","sizeLimit":"1Mi"}}}},{{"name":"disk","emptyDir":{{}}}},
      {{"name":"host","hostPath":{{"path":"{}","type":"DirectoryOrCreate"}}}},
      {{"name":"proj","projected":{{"sources":[{{"serviceAccountToken":{{"path":"token","expirationSeconds":600}}}},{{"configMap":{{"name":"files","items":[{{"key":"b","path":"bb"}}]}}}},
        {{"downwardAPI":{{"items":[{{"path":"note","fieldRef":{{"fieldPath":"metadata.annotations['note']"}}}}]}}}}]}}}}],
    "containers":[{{"name":"c","image":"kybern.io/busybox:1","imagePullPolicy":"IfNotPresent","command":["sh","-c","cat /cm/sub/a.txt; echo; stat -c %a /cm/..data/sub/a.txt; mount | grep ' /mem '; cat /proj/token; echo; cat /proj/bb; echo; cat /single; echo; echo data > /host/written; id; touch /disk/x && stat -c %g /disk/x; cat /etc/hosts; hostname; echo done; while true; do cat /whole/a /proj/note; echo; sleep 0.2; done"],
      "volumeMounts":[{{"name":"cm","mountPath":"/cm"}},{{"name":"whole","mountPath":"/whole"}},{{"name":"mem","mountPath":"/mem"}},{{"name":"disk","mountPath":"/disk"}},{{"name":"host","mountPath":"/host"}},{{"name":"proj","mountPath":"/proj"}},
        {{"name":"whole","mountPath":"/single","subPath":"b"}}]}}]}}}})",
      host));
  ASSERT_TRUE(node_->phase_becomes("vols", "Running")) << node_->describe("vols");
  std::string log = node_->wait_log("vols", "c", "done\n");
  for (const char* text : {"one\n440\n", "tmpfs on /mem type tmpfs", "size=1024k", "token-", "\ntwo\ntwo\n", "groups=0(root)", "4444",
                           "# Kubernetes-managed hosts file.\n", "\tvols\n", "\nvols\ndone"}) {
    EXPECT_NE(log.find(text), std::string::npos) << text << "\n" << log << node_->describe("vols");
  }
  EXPECT_EQ(read_file(host + "/written").value_or(""), "data\n");
  node_->api().put("/api/v1/namespaces/default/configmaps",
                   R"({"metadata":{"name":"files","namespace":"default"},"data":{"a":"changed","b":"two"}})");
  node_->api().change("/api/v1/namespaces/default/pods/vols", [](Draft& pod) { pod["metadata"]["annotations"]["note"] = "n2"; });
  log = node_->wait_log("vols", "c", "changedn2");
  EXPECT_NE(log.find("changedn2"), std::string::npos);
  EXPECT_TRUE(node_->remove_and_wait("vols")) << node_->describe("vols");
  EXPECT_TRUE(path_exists(host + "/written"));
}

// What no strict reader would take is told with U+FFFD in the place of each such byte.
TEST_F(RealPods2, BytesThatAreNoTextAreReplaced) {
  script("bytes", R"(printf 'a\377b' > /dev/termination-log; exit 1)", "", R"("restartPolicy":"Never")");
  ASSERT_TRUE(node_->phase_becomes("bytes", "Failed")) << node_->describe("bytes");
  EXPECT_EQ(container(node_->pod("bytes"))["state"]["terminated"]["message"].as_string(),
            "a\xef\xbf\xbd"
            "b");
  script("unready", "sleep 1000",
         R"j("readinessProbe":{"exec":{"command":["sh","-c","printf 'nicht f\\374r'; exit 1"]},"periodSeconds":1})j");
  EXPECT_TRUE(node_->eventually([&] {
    return node_->has_event("unready", "Warning Unhealthy: Readiness probe failed: nicht f\xef\xbf\xbdr");
  })) << node_->describe("unready");
}

// The end of a long message is kept, as of a log.
TEST_F(RealPods2, TheEndOfALongTerminationMessageIsKept) {
  script("long", R"(head -c 5000 /dev/zero | tr '\0' x > /dev/termination-log; echo end >> /dev/termination-log; exit 1)", "",
         R"("restartPolicy":"Never")");
  ASSERT_TRUE(node_->phase_becomes("long", "Failed")) << node_->describe("long");
  EXPECT_EQ(container(node_->pod("long"))["state"]["terminated"]["message"].str(), std::string(4092, 'x') + "end\n");
}

TEST_F(RealPods2, CrashesBackOff) {
  script("crash", "echo attempt; echo bye > /dev/termination-log; exit 3");
  ASSERT_TRUE(node_->eventually([&] {
    return container(node_->pod("crash"))["state"]["waiting"]["reason"].as_string() == "CrashLoopBackOff";
  })) << node_->describe("crash");
  Document pod = node_->pod("crash");
  Value c = container(pod);
  EXPECT_EQ(c["restartCount"].as_int(), 1);
  EXPECT_EQ(c["state"]["waiting"]["message"].str(),
            fmt::format("back-off 10s restarting failed container=c pod=crash_default({})", pod["metadata"]["uid"].as_string()));
  EXPECT_EQ(c["lastState"]["terminated"]["exitCode"].as_int(), 3);
  EXPECT_EQ(c["lastState"]["terminated"]["message"].as_string(), "bye\n");
  EXPECT_EQ(pod["status"]["phase"].as_string(), "Running");
  EXPECT_TRUE(node_->eventually([&] {
    return node_->has_event("crash", fmt::format("Warning BackOff: Back-off restarting failed container c in pod crash_default({})",
                                                 pod["metadata"]["uid"].as_string()));
  })) << node_->describe("crash");
}

TEST_F(RealPods2, InitContainersAndSidecars) {
  node_->run(
      R"({"metadata":{"name":"inits"},"spec":{"terminationGracePeriodSeconds":5,"restartPolicy":"Never","volumes":[{"name":"v","emptyDir":{}}],
    "initContainers":[{"name":"one","image":"kybern.io/busybox:1","imagePullPolicy":"IfNotPresent","command":["sh","-c","echo 1 >> /v/order"],"volumeMounts":[{"name":"v","mountPath":"/v"}]},
      {"name":"side","image":"kybern.io/busybox:1","imagePullPolicy":"IfNotPresent","restartPolicy":"Always","command":["sh","-c","echo side >> /v/order; trap 'exit 0' TERM; sleep 1000 & wait"],"volumeMounts":[{"name":"v","mountPath":"/v"}]},
      {"name":"two","image":"kybern.io/busybox:1","imagePullPolicy":"IfNotPresent","command":["sh","-c","sleep 0.3; echo 2 >> /v/order"],"volumeMounts":[{"name":"v","mountPath":"/v"}]}],
    "containers":[{"name":"main","image":"kybern.io/busybox:1","imagePullPolicy":"IfNotPresent","command":["sh","-c","cat /v/order"],"volumeMounts":[{"name":"v","mountPath":"/v"}]}]}})");
  ASSERT_TRUE(node_->phase_becomes("inits", "Succeeded")) << node_->describe("inits");
  EXPECT_EQ(node_->log("inits", "main"), "1\nside\n2\n");
  Value init = node_->pod("inits")["status"]["initContainerStatuses"];
  EXPECT_TRUE(init[0]["ready"].as_bool());
  EXPECT_EQ(init[1]["state"]["terminated"]["exitCode"].as_int(-1), 0);
}

TEST_F(RealPods2, FailedInitEndsAPodThatNeverRestarts) {
  node_->run(R"({"metadata":{"name":"badinit"},"spec":{"restartPolicy":"Never",
    "initContainers":[{"name":"one","image":"kybern.io/busybox:1","imagePullPolicy":"IfNotPresent","command":["sh","-c","exit 4"]}],
    "containers":[{"name":"main","image":"kybern.io/busybox:1","imagePullPolicy":"IfNotPresent","command":["true"]}]}})");
  ASSERT_TRUE(node_->phase_becomes("badinit", "Failed")) << node_->describe("badinit");
  Document pod = node_->pod("badinit");
  EXPECT_EQ(pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_string(), "PodInitializing");
  EXPECT_EQ(node_->condition(pod, "Initialized"), "False");
}

TEST_F(RealPods2, ProbesDecideReadinessAndRestarts) {
  script("probed", "touch /tmp/alive; echo up; sleep 1000",
         R"("startupProbe":{"exec":{"command":["cat","/tmp/alive"]},"periodSeconds":1,"timeoutSeconds":20,"failureThreshold":30},
            "readinessProbe":{"exec":{"command":["cat","/tmp/ready"]},"periodSeconds":1,"timeoutSeconds":20,"failureThreshold":1},
            "livenessProbe":{"exec":{"command":["cat","/tmp/alive"]},"periodSeconds":1,"timeoutSeconds":20,"failureThreshold":1})");
  ASSERT_TRUE(node_->eventually([&] { return container(node_->pod("probed"))["started"].as_bool(); })) << node_->describe("probed");
  EXPECT_FALSE(container(node_->pod("probed"))["ready"].as_bool());
  EXPECT_TRUE(node_->eventually([&] {
    return node_->has_event("probed",
                            "Warning Unhealthy: Readiness probe failed: cat: can't open '/tmp/ready': No such file or directory\n");
  })) << node_->describe("probed");
  EXPECT_EQ(node_->exec("/exec/default/probed/c?command=touch&command=/tmp/ready&output=1&error=1", "").err, "");
  ASSERT_TRUE(node_->eventually([&] { return node_->condition(node_->pod("probed"), "Ready") == "True"; })) << node_->describe("probed");
  node_->exec("/exec/default/probed/c?command=rm&command=/tmp/alive&output=1&error=1", "");
  ASSERT_TRUE(node_->eventually([&] { return container(node_->pod("probed"))["restartCount"].as_int() == 1; }))
      << node_->describe("probed");
  EXPECT_TRUE(node_->eventually([&] {
    return node_->has_event("probed", "Normal Killing: Container c failed liveness probe, will be restarted");
  })) << node_->describe("probed");
}

TEST_F(RealPods2, HttpAndTcpProbesReachThePod) {
  node_->run(
      R"({"metadata":{"name":"web"},"spec":{"terminationGracePeriodSeconds":1,"containers":[{"name":"c","image":"kybern.io/sample-web:1","imagePullPolicy":"IfNotPresent",
      "ports":[{"name":"http","containerPort":8080}],
      "readinessProbe":{"httpGet":{"path":"/healthz","port":"http"},"periodSeconds":1},"livenessProbe":{"tcpSocket":{"port":8080},"periodSeconds":1}}]}})");
  ASSERT_TRUE(node_->eventually([&] { return node_->condition(node_->pod("web"), "Ready") == "True"; })) << node_->describe("web");
  script("noweb", "sleep 1000", R"("readinessProbe":{"httpGet":{"path":"/x","port":81},"periodSeconds":1})");
  EXPECT_TRUE(node_->eventually([&] {
    std::string ip = node_->pod("noweb")["status"]["podIP"].str();
    return node_->has_event(
        "noweb",
        fmt::format("Warning Unhealthy: Readiness probe failed: Get \"http://{0}:81/x\": dial tcp {0}:81: connect: connection refused",
                    ip));
  })) << node_->describe("noweb");
}

TEST_F(RealPods2, HooksRunAndFailuresAreTold) {
  std::string host = testing::run_folder() + "/hooks";
  script(
      "hooked", "while true; do sleep 1; done",
      R"("lifecycle":{"postStart":{"exec":{"command":["sh","-c","echo started >> /h/log"]}},"preStop":{"exec":{"command":["sh","-c","echo stopping >> /h/log"]}}},"volumeMounts":[{"name":"h","mountPath":"/h"}])",
      fmt::format(R"("volumes":[{{"name":"h","hostPath":{{"path":"{}","type":"DirectoryOrCreate"}}}}])", host));
  ASSERT_TRUE(node_->phase_becomes("hooked", "Running")) << node_->describe("hooked");
  EXPECT_EQ(read_file(host + "/log").value_or(""), "started\n");
  node_->remove("hooked", 5);
  ASSERT_TRUE(node_->eventually([&] { return !node_->pod("hooked"); }));
  EXPECT_EQ(read_file(host + "/log").value_or(""), "started\nstopping\n");
  script("badhook", "sleep 1000", R"("lifecycle":{"postStart":{"exec":{"command":["sh","-c","exit 5"]}}})");
  EXPECT_TRUE(node_->eventually([&] { return node_->has_event("badhook", "Warning FailedPostStartHook: PostStartHook failed"); }))
      << node_->describe("badhook");
}

TEST_F(RealPods2, ImageProblemsAreTold) {
  node_->run(
      R"({"metadata":{"name":"never"},"spec":{"containers":[{"name":"c","image":"kybern.io/not-here:1","imagePullPolicy":"Never"}]}})");
  node_->run(
      R"({"metadata":{"name":"pull"},"spec":{"containers":[{"name":"c","image":"127.0.0.1:9/none:1","imagePullPolicy":"Always"}]}})");
  node_->run(R"({"metadata":{"name":"odd"},"spec":{"containers":[{"name":"c","image":"Bad_Name::","imagePullPolicy":"IfNotPresent"}]}})");
  auto reason = [&](const char* name) { return container(node_->pod(name))["state"]["waiting"]["reason"].str(); };
  EXPECT_TRUE(node_->eventually([&] { return reason("never") == "ErrImageNeverPull"; })) << node_->describe("never");
  EXPECT_EQ(container(node_->pod("never"))["state"]["waiting"]["message"].as_string(),
            "Container image \"kybern.io/not-here:1\" is not present with pull policy of Never");
  EXPECT_TRUE(node_->eventually([&] { return reason("pull") == "ErrImagePull"; })) << node_->describe("pull");
  EXPECT_TRUE(node_->eventually([&] { return reason("pull") == "ImagePullBackOff"; })) << node_->describe("pull");
  EXPECT_TRUE(node_->eventually([&] { return node_->has_event("pull", "Normal BackOff: Back-off pulling image \"127.0.0.1:9/none:1\""); }))
      << node_->describe("pull");
  EXPECT_TRUE(node_->eventually([&] { return reason("odd") == "InvalidImageName"; })) << node_->describe("odd");
  EXPECT_EQ(node_->pod("pull")["status"]["phase"].as_string(), "Pending");
}

TEST_F(RealPods2, LimitsAreInTheCgroups) {
  script("limited", "sleep 1000", R"("resources":{"requests":{"cpu":"250m","memory":"32Mi"},"limits":{"cpu":"500m","memory":"64Mi"}})");
  ASSERT_TRUE(node_->phase_becomes("limited", "Running")) << node_->describe("limited");
  Document pod = node_->pod("limited");
  EXPECT_EQ(pod["status"]["qosClass"].as_string(), "Burstable");
  std::string below = fmt::format("{}/kubepods/burstable/pod{}", node_->options().cgroup_base, pod["metadata"]["uid"].as_string());
  std::string id = container(pod)["containerID"].str().substr(13);
  if (!is_dir("/sys/fs/cgroup/memory")) GTEST_SKIP() << "the figures below are those of cgroup v1";
  EXPECT_EQ(read_file("/sys/fs/cgroup/memory" + below + "/memory.limit_in_bytes").value_or(""), "67108864\n");
  EXPECT_EQ(read_file("/sys/fs/cgroup/memory" + below + "/" + id + "/memory.limit_in_bytes").value_or(""), "67108864\n");
  EXPECT_EQ(read_file("/sys/fs/cgroup/cpu" + below + "/cpu.cfs_quota_us").value_or(""), "50000\n");
  EXPECT_EQ(read_file("/sys/fs/cgroup/cpu" + below + "/" + id + "/cpu.shares").value_or(""), "256\n");
}

TEST_F(RealPods2, LogsAreServed) {
  // The two streams reach the log by ways of their own: the second is written only when the first has arrived.
  script("logs", "for i in 1 2 3 4 5; do echo line $i; done; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo problem >&2; sleep 1000");
  node_->wait_log("logs", "c", "line 5");
  ASSERT_TRUE(node_->phase_becomes("logs", "Running"));  // by then it may be asked to run something
  node_->exec("/exec/default/logs/c?command=touch&command=/tmp/go&output=1", "");
  node_->wait_log("logs", "c", "problem");
  EXPECT_EQ(node_->get("/containerLogs/default/logs/c"), "line 1\nline 2\nline 3\nline 4\nline 5\nproblem\n");
  EXPECT_EQ(node_->get("/containerLogs/default/logs/c?tailLines=2"), "line 5\nproblem\n");
  EXPECT_EQ(node_->get("/containerLogs/default/logs/c?limitBytes=8"), "line 1\nl");
  EXPECT_EQ(node_->get("/containerLogs/default/logs/c?tailLines=1&timestamps=true").substr(4, 1), "-");
  EXPECT_EQ(node_->get("/containerLogs/default/logs/c?previous=true", 400),
            "previous terminated container \"c\" in pod \"logs\" not found");
  EXPECT_EQ(node_->get("/containerLogs/default/nope/c", 404), "pod \"nope\" does not exist\n");
  net::ClientRequest request;
  request.target = "/containerLogs/default/logs/c?follow=true&tailLines=0";
  auto http = node_->client();
  auto stream = http->stream(std::move(request));
  ASSERT_TRUE(stream.has_value());
  // Where the tail begins is looked up some time after the answer's head: written until it is seen.
  std::string seen;
  EXPECT_TRUE(node_->eventually([&] {
    node_->exec("/exec/default/logs/c?command=sh&command=-c&command=echo+more+>/proc/1/fd/1&output=1", "");
    if (auto bytes = (*stream)->read_for(std::chrono::seconds(2))) seen += *bytes;
    return seen.find("more\n") != std::string::npos;
  }));
  EXPECT_TRUE(seen.starts_with("more\n")) << seen;
}

TEST_F(RealPods2, ExecOverWebSocket) {
  script("exec", "sleep 1000");
  ASSERT_TRUE(node_->phase_becomes("exec", "Running"));
  auto plain = node_->exec("/exec/default/exec/c?command=sh&command=-c&command=echo+out;+echo+err+>%262;+exit+3&output=1&error=1", "");
  EXPECT_EQ(plain.out, "out\n");
  EXPECT_EQ(plain.err, "err\n");
  EXPECT_NE(plain.error.find("NonZeroExitCode"), std::string::npos) << plain.error;
  EXPECT_NE(plain.error.find("\"3\""), std::string::npos) << plain.error;
  auto piped = node_->exec("/exec/default/exec/c?command=wc&command=-c&input=1&output=1&error=1", std::string(100'000, 'x'));
  EXPECT_EQ(piped.out, "100000\n") << piped.error;
  EXPECT_NE(piped.error.find("Success"), std::string::npos) << piped.error;
  EXPECT_NE(node_->exec("/exec/default/exec/c?command=nothing-like-this&output=1", "").error.find("Failure"), std::string::npos);
}

TEST_F(RealPods2, StrangersAreRefused) {
  net::ClientRequest request;
  request.target = "/pods";
  auto answer = node_->client(false)->call(request);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 403);
  EXPECT_EQ(node_->get("/healthz"), "ok");
  EXPECT_NE(node_->get("/pods").find("PodList"), std::string::npos);
}

TEST_F(RealPods2, FiguresAreServed) {
  script("figures", "while true; do :; done");
  ASSERT_TRUE(node_->phase_becomes("figures", "Running"));
  EXPECT_TRUE(node_->eventually([&] {
    auto summary = parse_json(node_->get("/stats/summary"));
    if (!summary) return false;
    for (Value p : (*summary)["pods"].items()) {
      if (p["podRef"]["name"].as_string() == "figures")
        return p["cpu"]["usageNanoCores"].as_int() > 1'000'000 && p["memory"]["workingSetBytes"].as_int() > 0 &&
               p["network"]["rxBytes"].exists();
    }
    return false;
  })) << node_->get("/stats/summary");
  EXPECT_NE(
      node_->get("/metrics/resource").find("container_cpu_usage_seconds_total{container=\"c\",namespace=\"default\",pod=\"figures\"}"),
      std::string::npos);
}

TEST_F(RealPods2, RestartedKubeletTakesOverWhatRuns) {
  script("kept", "echo once; sleep 1000", R"("readinessProbe":{"exec":{"command":["true"]},"periodSeconds":1})");
  ASSERT_TRUE(node_->phase_becomes("kept", "Running"));
  ASSERT_TRUE(node_->eventually([&] { return node_->condition(node_->pod("kept"), "Ready") == "True"; })) << node_->describe("kept");
  // As it is told: an answer of the probe after the restart must not be the first to say it again.
  node_->api().change("/api/v1/namespaces/default/pods/kept", [](Draft& pod) {
    for (Draft& c : pod["status"]["conditions"].items()) c["lastTransitionTime"] = "2026-01-01T00:00:00Z";
  });
  std::string id = container(node_->pod("kept"))["containerID"].str();
  node_->restart_kubelet();
  ASSERT_EQ(node_->problem(), "");
  node_->exec("/exec/default/kept/c?command=true&output=1", "");
  ASSERT_TRUE(node_->eventually([&] { return node_->get("/pods").find(id) != std::string::npos; })) << node_->get("/pods");
  EXPECT_EQ(container(node_->pod("kept"))["containerID"].str(), id);
  EXPECT_EQ(container(node_->pod("kept"))["restartCount"].as_int(), 0);
  Document kept = node_->pod("kept");
  for (Value c : kept["status"]["conditions"].items()) {
    EXPECT_EQ(c["status"].as_string(), "True") << c["type"].as_string();
    EXPECT_EQ(c["lastTransitionTime"].as_string(), "2026-01-01T00:00:00Z") << c["type"].as_string();
  }
}

TEST_F(RealPods2, PodsDeletedWhileTheKubeletWasAwayAreEnded) {
  script("orphan", "sleep 1000", R"("resources":{"requests":{"cpu":"10m"}})");  // its cgroup is not where that of an unknown one is
  ASSERT_TRUE(node_->phase_becomes("orphan", "Running"));
  std::string uid = node_->pod("orphan")["metadata"]["uid"].str();
  node_->restart_kubelet([&] { node_->api().erase("/api/v1/namespaces/default/pods/orphan"); });
  EXPECT_TRUE(node_->eventually([&] { return node_->nothing_left_of(uid); }, std::chrono::seconds(60)));
}

TEST_F(RealPods2, IdlePodsCostNextToNothing) {
  for (int i = 0; i < 4; ++i) script(fmt::format("idle{}", i), "sleep 1000");
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(node_->phase_becomes(fmt::format("idle{}", i), "Running"));
  std::this_thread::sleep_for(std::chrono::seconds(3));  // what is measured is the time after everything has settled
  auto cpu_ms = [] {
    rusage u;
    ::getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000.0 + static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000.0;
  };
  double share = 1;
  for (int i = 0; i < 3 && share >= 0.002; ++i) {  // a quiet stretch is enough
    double before = cpu_ms();
    std::this_thread::sleep_for(std::chrono::seconds(20));
    share = std::min(share, (cpu_ms() - before) / 20'000.0);
  }
  std::printf("four idle pods: %.3f %% of a core\n", share * 100);
  EXPECT_LT(share, 0.002);
}

TEST_F(RealPods2, DeadlineEndsAPod) {
  script("deadline", "sleep 1000", "", R"("activeDeadlineSeconds":1)");
  ASSERT_TRUE(node_->phase_becomes("deadline", "Failed")) << node_->describe("deadline");
  EXPECT_EQ(node_->pod("deadline")["status"]["reason"].as_string(), "DeadlineExceeded");
}

TEST_F(RealPods2, RunAsNonRootIsKept) {
  script("nonroot", "true", R"("securityContext":{"runAsNonRoot":true})");
  EXPECT_TRUE(node_->eventually([&] {
    return container(node_->pod("nonroot"))["state"]["waiting"]["reason"].as_string() == "CreateContainerConfigError";
  })) << node_->describe("nonroot");
  EXPECT_NE(container(node_->pod("nonroot"))["state"]["waiting"]["message"].as_string().find(
                "container has runAsNonRoot and image will run as root"),
            std::string_view::npos);
  script("user", "id -u; id -g; touch /x 2>&1; cat /proc/self/status | grep NoNewPrivs",
         R"("securityContext":{"runAsUser":1234,"runAsGroup":55,"allowPrivilegeEscalation":false,"readOnlyRootFilesystem":true})",
         R"("restartPolicy":"Never")");
  ASSERT_TRUE(node_->phase_becomes("user", "Succeeded")) << node_->describe("user");
  EXPECT_EQ(node_->log("user", "c"), "1234\n55\ntouch: /x: Read-only file system\nNoNewPrivs:\t1\n");
}

}  // namespace
}  // namespace kybern::kubelet
