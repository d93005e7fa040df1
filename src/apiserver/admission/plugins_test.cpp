// Built-in admission through the whole registry.
#include "apiserver/admission/plugins.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/testing/asking.h"

namespace kybern::apiserver {
namespace {

using Lines = std::vector<std::string>;

class PluginsTest : public ::testing::Test, protected testing::Asking {
 protected:
  PluginsTest() { space("ns", ""); }
  void space(const std::string& name, const std::string& labels) {
    EXPECT_EQ(refusal("create", "v1/namespaces",
                      fmt::format("{{apiVersion: v1, kind: Namespace, metadata: {{name: {}, labels: {{{}}}}}}}", name, labels)),
              "");
    EXPECT_EQ(refusal("create", "v1/serviceaccounts", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default}}", name), "");
  }
  std::string pod(const std::string& ns, const std::string& spec, const std::string& name = "p") {
    return refusal("create", "v1/pods", fmt::format("{{apiVersion: v1, kind: Pod, metadata: {{name: {}}}, spec: {{{}}}}}", name, spec), ns);
  }
};

constexpr const char* plain = "containers: [{name: c, image: i}]";
constexpr const char* missing =
    R"x(allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"))x";

TEST_F(PluginsTest, PodsAreHeldToTheStandard) {
  space("strict", "pod-security.kubernetes.io/enforce: restricted");
  EXPECT_EQ(pod("strict", plain), fmt::format(R"(pods "p" is forbidden: violates PodSecurity "restricted:latest": {})", missing));
  EXPECT_EQ(code, 403);
  EXPECT_EQ(reason, "Forbidden");
  EXPECT_EQ(audit["pod-security.kubernetes.io/enforce-policy"], "restricted:latest");
  EXPECT_EQ(pod("strict",
                "securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: c, image: i, "
                "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]"),
            "");
  EXPECT_EQ(
      refusal("patch", "v1/pods/p/ephemeralcontainers",
              "{spec: {ephemeralContainers: [{name: e, image: i, securityContext: {privileged: true, allowPrivilegeEscalation: true}}]}}",
              "strict")
          .substr(0, 75),
      R"(pods "p" is forbidden: violates PodSecurity "restricted:latest": privileged)");
  EXPECT_EQ(refusal("patch", "v1/pods/p", "{metadata: {labels: {a: b}}}", "strict"), "");
}

TEST_F(PluginsTest, StandardsThatWarnOrAreNoted) {
  space("told",
        "pod-security.kubernetes.io/warn: restricted, pod-security.kubernetes.io/warn-version: v1.30, pod-security.kubernetes.io/audit: "
        "baseline");
  EXPECT_EQ(pod("told", plain), "");
  EXPECT_EQ(warnings, (Lines{fmt::format(R"(would violate PodSecurity "restricted:v1.30": {})", missing)}));
  EXPECT_EQ(audit["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");
  EXPECT_FALSE(audit.contains("pod-security.kubernetes.io/audit-violations"));
  EXPECT_EQ(pod("told", "hostNetwork: true, containers: [{name: c, image: i}]", "q"), "");
  EXPECT_EQ(audit["pod-security.kubernetes.io/audit-violations"],
            R"x(would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true))x");
  // What makes pods is never refused.
  std::string job =
      "{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {restartPolicy: Never, hostPID: true, containers: "
      "[{name: c, image: i}]}}}}";
  EXPECT_EQ(refusal("create", "batch/v1/jobs", job, "told"), "");
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_TRUE(warnings[0].starts_with(R"x(would violate PodSecurity "restricted:v1.30": host namespaces (hostPID=true), allow)x"))
      << warnings[0];
  space("strict", "pod-security.kubernetes.io/enforce: restricted");
  EXPECT_EQ(refusal("create", "batch/v1/jobs", job, "strict"), "");
  EXPECT_TRUE(warnings.empty());
}

TEST_F(PluginsTest, LabelsOfANamespace) {
  EXPECT_EQ(
      refusal("create", "v1/namespaces",
              "{apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {pod-security.kubernetes.io/enforce: strict}}}"),
      R"(Namespace "x" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted)");
  EXPECT_EQ(code, 422);
  EXPECT_EQ(pod("ns", "hostNetwork: true, containers: [{name: c, image: i}]", "b"), "");
  EXPECT_EQ(pod("ns", "hostNetwork: true, containers: [{name: c, image: i}]", "a"), "");
  EXPECT_EQ(refusal("patch", "v1/namespaces/ns", "{metadata: {labels: {pod-security.kubernetes.io/enforce: baseline}}}"), "");
  EXPECT_EQ(warnings, (Lines{R"(existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest")",
                             "a (and 1 other pod): host namespaces"}));
  EXPECT_EQ(refusal("patch", "v1/namespaces/ns", "{metadata: {labels: {other: label}}}"), "");
  EXPECT_TRUE(warnings.empty());
}

TEST_F(PluginsTest, IngressesGetTheDefaultClass) {
  auto ingress = [&](const std::string& name, const std::string& annotations, const std::string& more) {
    auto made = ask("create", "networking.k8s.io/v1/ingresses",
                    fmt::format("{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: {}, annotations: {{{}}}}}, spec: "
                                "{{{}defaultBackend: {{service: {{name: s, port: {{number: 1}}}}}}}}}}",
                                name, annotations, more),
                    "ns");
    return made ? made->object["spec"]["ingressClassName"].str() : made.error().message;
  };
  EXPECT_EQ(ingress("none", "", ""), "");
  for (const char* name : {"b", "a"})
    EXPECT_EQ(refusal("create", "networking.k8s.io/v1/ingressclasses",
                      fmt::format("{{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {{name: {}, annotations: "
                                  "{{ingressclass.kubernetes.io/is-default-class: 'true'}}}}, spec: {{controller: x.io/y}}}}",
                                  name)),
              "");
  EXPECT_EQ(ingress("one", "", "").size(), 1u);
  EXPECT_EQ(ingress("own", "", "ingressClassName: mine, "), "mine");
  EXPECT_EQ(ingress("old", "kubernetes.io/ingress.class: nginx", ""), "");
}

TEST_F(PluginsTest, ClaimsGrowWhereTheirClassAllows) {
  for (const char* name : {"grows", "stays"})
    EXPECT_EQ(refusal("create", "storage.k8s.io/v1/storageclasses",
                      fmt::format("{{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {{name: {0}}}, provisioner: x.io/y, "
                                  "allowVolumeExpansion: {1}}}",
                                  name, name == std::string_view("grows"))),
              "");
  struct Row {
    const char *name, *cls, *phase, *expected;
  };
  constexpr const char* unsupported =
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
  for (const Row& row : {Row{"a", "grows", "Bound", ""}, Row{"b", "stays", "Bound", unsupported}, Row{"c", "missing", "Bound", unsupported},
                         Row{"d", "''", "Bound", unsupported}}) {
    std::string path = fmt::format("v1/persistentvolumeclaims/{}", row.name);
    EXPECT_EQ(refusal("create", "v1/persistentvolumeclaims",
                      fmt::format("{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {}}}, spec: {{accessModes: "
                                  "[ReadWriteOnce], storageClassName: {}, resources: {{requests: {{storage: 1Gi}}}}}}}}",
                                  row.name, row.cls),
                      "ns"),
              "");
    EXPECT_EQ(refusal("patch", path + "/status", fmt::format("{{status: {{phase: {}}}}}", row.phase), "ns"), "");
    std::string expected = *row.expected ? fmt::format(R"(persistentvolumeclaims "{}" is forbidden: {})", row.name, row.expected) : "";
    EXPECT_EQ(refusal("patch", path, "{spec: {resources: {requests: {storage: 2Gi}}}}", "ns"), expected) << row.name;
    EXPECT_EQ(refusal("patch", path, "{metadata: {labels: {a: b}}}", "ns"), "") << row.name;
  }
}

TEST_F(PluginsTest, OnePriorityClassIsTheDefault) {
  auto cls = [&](const std::string& name, bool is_default) {
    return refusal(
        "create", "scheduling.k8s.io/v1/priorityclasses",
        fmt::format("{{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {{name: {}}}, value: 7, globalDefault: {}}}", name,
                    is_default));
  };
  EXPECT_EQ(cls("first", true), "");
  EXPECT_EQ(
      cls("second", true),
      R"(priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass first is already marked as default. Only one default can exist)");
  EXPECT_EQ(cls("second", false), "");
  EXPECT_EQ(
      refusal("patch", "scheduling.k8s.io/v1/priorityclasses/second", "{globalDefault: true}"),
      R"(priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass first is already marked as default. Only one default can exist)");
  EXPECT_EQ(refusal("patch", "scheduling.k8s.io/v1/priorityclasses/first", "{description: d}"), "");
  // A pod keeps its priority, also when an update does not repeat it.
  EXPECT_EQ(pod("ns", plain), "");
  auto made = ask("get", "v1/pods/p", "", "ns");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->object["spec"]["priority"].as_int(), 7);
  Draft repeated(made->object);
  repeated["spec"].erase("priority");
  repeated["spec"].erase("preemptionPolicy");
  repeated["metadata"]["labels"]["a"] = "b";
  EXPECT_EQ(refusal("update", "v1/pods/p", to_json(repeated), "ns"), "");
}

TEST_F(PluginsTest, PodsHaveTheTopologyOfTheirNode) {
  EXPECT_EQ(refusal("create", "v1/nodes",
                    "{apiVersion: v1, kind: Node, metadata: {name: near, labels: {topology.kubernetes.io/zone: z, "
                    "topology.kubernetes.io/region: r, other: o}}}"),
            "");
  auto labels = [&] { return to_json(ask("get", "v1/pods/p", "", "ns")->object["metadata"]["labels"]); };
  EXPECT_EQ(pod("ns", "nodeName: near, containers: [{name: c, image: i}]"), "");
  EXPECT_EQ(labels(), R"({"topology.kubernetes.io/zone":"z","topology.kubernetes.io/region":"r"})");
  EXPECT_EQ(refusal("delete", "v1/pods/p", "{gracePeriodSeconds: 0}", "ns"), "");
  EXPECT_EQ(pod("ns", "nodeName: unknown, containers: [{name: c, image: i}]"), "");
  EXPECT_EQ(labels(), "null");
  EXPECT_EQ(refusal("delete", "v1/pods/p", "{gracePeriodSeconds: 0}", "ns"), "");
  EXPECT_EQ(pod("ns", "containers: [{name: c, image: i}]"), "");
  EXPECT_EQ(refusal("create", "v1/pods/p/binding",
                    "{apiVersion: v1, kind: Binding, metadata: {name: p, labels: {topology.kubernetes.io/zone: own}}, target: {kind: Node, "
                    "name: near}}",
                    "ns"),
            "");
  EXPECT_EQ(labels(), R"({"topology.kubernetes.io/zone":"own","topology.kubernetes.io/region":"r"})");
}

TEST_F(PluginsTest, TolerationsOfAClassAreMerged) {
  EXPECT_EQ(refusal("create", "node.k8s.io/v1/runtimeclasses",
                    "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: vm}, handler: vm, scheduling: {tolerations: [{key: "
                    "a, operator: Equal, value: x, effect: NoSchedule}, {key: b, operator: Exists}]}}"),
            "");
  EXPECT_EQ(pod("ns",
                "runtimeClassName: vm, tolerations: [{key: a, operator: Exists, effect: NoSchedule}, {key: b, operator: Exists, effect: "
                "NoExecute}], containers: [{name: c, image: i}]"),
            "");
  auto made = ask("get", "v1/pods/p", "", "ns");
  ASSERT_TRUE(made);
  std::string list;
  for (Value t : made->object["spec"]["tolerations"].items())
    list += fmt::format("{}/{}/{} ", t["key"].as_string(), t["operator"].as_string(), t["effect"].as_string());
  EXPECT_TRUE(list.starts_with("a/Exists/NoSchedule ")) << list;
  EXPECT_NE(list.find("b/Exists/ "), std::string::npos) << list;
  EXPECT_EQ(list.find("a/Equal"), std::string::npos) << list;
  EXPECT_EQ(list.find("b/Exists/NoExecute"), std::string::npos) << list;
}

}  // namespace
}  // namespace kybern::apiserver
