// Rules about pods that no recorded conversation knows, as they are younger: a row per refusal.
#include <gtest/gtest.h>

#include "machinery/testing/judging.h"

namespace kybern {
namespace {

using namespace testing;

// A pod whose spec has `rest` besides one container, which has `container`.
std::string pod(std::string_view rest, std::string_view container = "", std::string_view meta = "name: a", std::string_view status = "") {
  std::string out = "{metadata: {" + std::string(meta) + "}, spec: {containers: [{name: c, image: i";
  if (!container.empty()) out += ", " + std::string(container);
  out += "}]";
  if (!rest.empty()) out += ", " + std::string(rest);
  return json(out + "}, status: {" + std::string(status) + "}}");
}

std::string created(const std::string& text) { return refused("", "v1", "Pod", text); }

struct PodRow {
  const char *rest, *container, *findings;
};

void check(std::initializer_list<PodRow> rows) {
  for (const PodRow& row : rows) EXPECT_EQ(created(pod(row.rest, row.container)), row.findings) << row.rest << " " << row.container;
}

TEST(ValidatePods, RestartRulesOfContainers) {
  check({
      {"", "restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]", ""},
      {"", "restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]",
       "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"},
      {"", "restartPolicy: Sometimes",
       R"(spec.containers[0].restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure")"},
      {"", "restartPolicy: Never, restartPolicyRules: [{action: Stop}, {action: Restart, exitCodes: {operator: Is}}]",
       R"(spec.containers[0].restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart" | )"
       R"(spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified | )"
       R"(spec.containers[0].restartPolicyRules[1].exitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn")"},
  });
  std::string codes = "[0", rules = "[{action: Restart, exitCodes: {operator: In}}";
  for (int i = 1; i < 256; ++i) codes += ", " + std::to_string(i);
  for (int i = 1; i < 21; ++i) rules += ", {action: Restart, exitCodes: {operator: In}}";
  EXPECT_EQ(
      created(pod("", "restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: " + codes + "]}}]")),
      "spec.containers[0].restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items");
  EXPECT_EQ(created(pod("", "restartPolicy: Never, restartPolicyRules: " + rules + "]")),
            "spec.containers[0].restartPolicyRules: Too many: 21: must have at most 20 items");
}

TEST(ValidatePods, VariablesFromFiles) {
  check({
      {"volumes: [{name: v, emptyDir: {}}]", "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: a/b, key: K}}}]", ""},
      {"", "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: ../b, key: A=B}}}]",
       "spec.containers[0].env[0].valueFrom.fileKeyRef.key: Invalid value: \"A=B\": a valid environment variable name must consist only of "
       "printable ASCII characters other than '=' | spec.containers[0].env[0].valueFrom.fileKeyRef.path: Invalid value: \"../b\": must not "
       "contain '..' | spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: \"v\""},
      {"volumes: [{name: v, emptyDir: {}}]", "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: /a, key: K}}}]", ""},
      {"initContainers: [{name: m, image: i, env: [{name: A, valueFrom: {fileKeyRef: {volumeName: V, path: a, key: K}}}]}]", "",
       "spec.initContainers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: \"V\": a lowercase RFC 1123 label must consist of "
       "lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
       "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?') | "
       "spec.initContainers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: \"V\""},
      {"", "env: [{name: A, valueFrom: {}}]",
       "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, "
       "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"},
      {"volumes: [{name: v, hostPath: {path: /x}}]", "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: a, key: K}}}]",
       "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: \"v\": referenced volume must be of type emptyDir"},
      {"", "env: [{name: A, valueFrom: {fileKeyRef: {}}}]",
       "spec.containers[0].env[0].valueFrom.fileKeyRef.key: Required value | "
       "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Required value | "
       "spec.containers[0].env[0].valueFrom.fileKeyRef.path: Required value | "
       "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: \"\""},
  });
}

TEST(ValidatePods, NamesAndNamespaces) {
  check({
      {"hostnameOverride: a.b.example.com", "", ""},
      {"hostnameOverride: a.b, hostNetwork: true", "", "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true"},
      {"hostnameOverride: a.b, setHostnameAsFQDN: true", "",
       "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true"},
      {"hostUsers: false, volumes: [{name: v, persistentVolumeClaim: {claimName: p}}]", "volumeDevices: [{name: v, devicePath: /dev/x}]",
       "spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false"},
      {"hostUsers: false, hostNetwork: true, hostPID: true, hostIPC: true", "",
       "spec.hostNetwork: Forbidden: when `hostUsers` is false | spec.HostPID: Forbidden: when `hostUsers` is false | "
       "spec.HostIPC: Forbidden: when `hostUsers` is false"},
      {"hostnameOverride: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_a, serviceAccountName: B", "",
       "spec.hostnameOverride: Too long: may not be more than 64 bytes | spec.hostnameOverride: Invalid value: "
       "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_a\": a lowercase RFC 1123 subdomain must consist of lower case "
       "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
       "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*') | spec.serviceAccountName: Invalid value: \"B\": "
       "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
       "alphanumeric character (e.g. 'example.com', regex used for validation is "
       "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"},
      {"securityContext: {seLinuxChangePolicy: Recursive}", "", ""},
      {"securityContext: {seLinuxChangePolicy: MountOption}", "",
       R"(spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive")"},
      {"os: {name: windows}, securityContext: {seLinuxChangePolicy: Recursive}", "",
       "spec.securityContext.seLinuxChangePolicy: Forbidden: cannot be set for a windows pod"},
      {"tolerations: [{key: k, operator: Exists, value: v}]", "",
       "spec.tolerations[0].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'"},
      {"resourceClaims: [{name: r, resourceClaimName: x}]",
       "resources: {claims: [{name: r, request: a}, {name: r, request: a}, {name: r}, {name: r, request: b}]}",
       "spec.containers[0].resources.claims[1]: Duplicate value: \"r/a\" | spec.containers[0].resources.claims[2]: Duplicate value: \"r\" "
       "| "
       "spec.containers[0].resources.claims[3]: Duplicate value: \"r\""},
      {"initContainers: [{name: m, image: i, resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]}]", "", ""},
  });
}

TEST(ValidatePods, ResourcesOfThePod) {
  check({
      {"resources: {requests: {cpu: 300m}, limits: {cpu: 1, memory: 1Gi}}", "resources: {requests: {cpu: 200m}, limits: {cpu: 500m}}", ""},
      {"resources: {requests: {cpu: 100m}, limits: {cpu: 1}}, initContainers: [{name: s, image: i, restartPolicy: Always, resources: "
       "{requests: {cpu: 50m}}}, {name: m, image: i, resources: {requests: {cpu: 300m}}}]",
       "resources: {requests: {cpu: 200m}}",
       "spec.resources.requests[cpu]: Invalid value: \"100m\": must be greater than or equal to aggregate container requests of 350m"},
      {"resources: {limits: {cpu: 1}}", "resources: {limits: {cpu: 2}, requests: {cpu: 100m}}",
       "spec.resources.containers[0][cpu].limits: Invalid value: \"2\": must be less than or equal to pod limits of 1"},
      {"resources: {limits: {cpu: 1}}, os: {name: windows}", "", "spec.resources: Forbidden: may not be set for a windows pod"},
      {"resources: {limits: {nvidia.com/gpu: 1, storage: 1}}", "",
       R"(spec.resources.limits[nvidia.com/gpu]: Unsupported value: "nvidia.com/gpu": supported values: "cpu", "memory" | )"
       R"(spec.resources.limits[storage]: Unsupported value: "storage": supported values: "cpu", "memory")"},
      {"resources: {limits: {cpu: 1, hugepages-2Mi: 2Mi}, requests: {cpu: 1, hugepages-2Mi: 2Mi}}, initContainers: [{name: s, image: i, "
       "restartPolicy: Always, resources: {limits: {cpu: 1m, hugepages-2Mi: 2Mi}}}]",
       "resources: {limits: {cpu: 1m, hugepages-2Mi: 2Mi}}",
       "spec.resources.requests[hugepages-2Mi]: Invalid value: \"2Mi\": must be greater than or equal to aggregate container requests of "
       "4Mi | spec.resources.limits[hugepages-2Mi]: Invalid value: \"2Mi\": must be greater than or equal to aggregate container limits of "
       "4Mi"},
      {"resources: {claims: [{name: x}], limits: {cpu: 1}}", "",
       "spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level | spec.resources.claims[0]: Not found: \"x\": "
       "must "
       "be one of the names in pod.spec.resourceClaims which is empty"},
  });
}

TEST(ValidatePods, ProfilesInAnnotations) {
  auto meta = [](std::string_view annotations, std::string_view rest = "", std::string_view container = "") {
    return created(pod(rest, container, "name: a, annotations: {" + std::string(annotations) + "}"));
  };
  EXPECT_EQ(meta("seccomp.security.alpha.kubernetes.io/pod: odd"),
            "metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: \"odd\": must be a valid seccomp profile");
  EXPECT_EQ(meta("container.apparmor.security.beta.kubernetes.io/other: odd"),
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: \"other\": container not found | "
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: \"odd\": invalid AppArmor profile "
            "name: \"odd\"");
  EXPECT_EQ(meta("seccomp.security.alpha.kubernetes.io/pod: unconfined", "securityContext: {seccompProfile: {type: RuntimeDefault}}"),
            "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match");
  EXPECT_EQ(meta("container.seccomp.security.alpha.kubernetes.io/c: localhost/p", "",
                 "securityContext: {seccompProfile: {type: Localhost, localhostProfile: q}}"),
            "spec.containers[0].securityContext.seccompProfile.localhostProfile: Forbidden: seccomp profile in annotation and field must "
            "match");
}

constexpr const char* odd_affinity =
    "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: k, operator: "
    "In, values: [\"-1\"]}]}]}}}";

// No node has such a label. What was let through once may stay.
TEST(ValidatePods, ValuesOfNodeAffinity) {
  const std::string refusal =
      "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values[0]: "
      "Invalid "
      "value: \"-1\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
      "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
      "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
  EXPECT_EQ(created(pod(odd_affinity)), refusal);
  EXPECT_EQ(created(pod("affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: "
                        "{matchExpressions: [{key: k, operator: In, values: [\"-1\"]}]}}]}}")),
            "");
  Typed old = stored("", "v1", "Pod", pod(odd_affinity)), now = stored("", "v1", "Pod", pod(odd_affinity, "", "name: a, labels: {l: v}"));
  EXPECT_EQ(findings(validate_update(*now.resource, now.object, old.object)), "");
  auto deployment = [](std::string_view affinity) {
    return stored(
        "apps", "v1", "Deployment",
        json("{metadata: {name: a}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: "
             "[{name: c, image: i}], " +
             std::string(affinity) + "}}}}"));
  };
  Typed plain = deployment("nodeName: w"), odd = deployment(odd_affinity);
  EXPECT_EQ(findings(validate_update(*odd.resource, odd.object, odd.object)), "");
  EXPECT_EQ(findings(validate_update(*odd.resource, odd.object, plain.object)), "spec.template." + refusal);
}

TEST(ValidatePods, WhatRunsAgainMayLeaveItsEnd) {
  auto status = [](std::string_view container, const char* pod_policy, int code) {
    std::string rest = std::string("restartPolicy: ") + pod_policy;
    Typed old = stored(
              "", "v1", "Pod",
              pod(rest, container, "name: a",
                  "qosClass: BestEffort, containerStatuses: [{name: c, state: {terminated: {exitCode: " + std::to_string(code) + "}}}]")),
          now = stored("", "v1", "Pod",
                       pod(rest, container, "name: a", "qosClass: BestEffort, containerStatuses: [{name: c, state: {running: {}}}]"));
    return findings(validate_subresource_update(*now.resource, "status", now.object, old.object));
  };
  const std::string refused = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state";
  const char* rule = "restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]";
  EXPECT_EQ(status("", "Never", 1), refused);
  EXPECT_EQ(status("", "OnFailure", 1), "");
  EXPECT_EQ(status("", "OnFailure", 0), refused);
  EXPECT_EQ(status("restartPolicy: Always", "Never", 0), "");
  EXPECT_EQ(status(rule, "Never", 42), "");
  EXPECT_EQ(status(rule, "Never", 1), refused);
  Typed old = stored("", "v1", "Pod", pod("", "", "name: a", "qosClass: BestEffort")),
        now = stored("", "v1", "Pod", pod("", "", "name: a", "qosClass: Burstable"));
  EXPECT_EQ(findings(validate_subresource_update(*now.resource, "status", now.object, old.object)),
            "status.qosClass: Invalid value: \"Burstable\": field is immutable");
  Typed claims = stored("", "v1", "Pod", pod("", "", "name: a", "qosClass: BestEffort, resourceClaimStatuses: [{name: x}]"));
  EXPECT_EQ(findings(validate_subresource_update(*now.resource, "status", claims.object, old.object)),
            "status.resourceClaimStatuses[0].name: Invalid value: \"x\": must match the name of an entry in `spec.resourceClaims`");
}

TEST(ValidatePods, Resizes) {
  auto resized = [](std::string_view before, std::string_view after, std::string_view rest = "",
                    std::string_view status = "qosClass: Burstable") {
    Typed old = stored("", "v1", "Pod", pod(rest, before, "name: a", status)),
          now = stored("", "v1", "Pod", pod(rest, after, "name: a", status));
    return findings(validate_subresource_update(*now.resource, "resize", now.object, old.object));
  };
  EXPECT_EQ(resized("resources: {requests: {cpu: 100m}}", "resources: {requests: {cpu: 200m}}"), "");
  EXPECT_EQ(resized("resources: {requests: {cpu: 100m, memory: 1Mi}}", "resources: {requests: {cpu: 100m}}"),
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed");
  EXPECT_EQ(resized("resources: {requests: {cpu: 100m}}", "resources: {requests: {cpu: 200m}}, workingDir: /x"),
            "spec: Forbidden: only cpu and memory resources are mutable");
  EXPECT_EQ(resized("resources: {requests: {cpu: 100m}}", "resources: {requests: {cpu: 200m}}", "os: {name: windows}"),
            ": Forbidden: windows pods cannot be resized");
  EXPECT_EQ(resized("resources: {requests: {cpu: 100m}}", "resources: {requests: {cpu: 200m}}", "",
                    "qosClass: Burstable, containerStatuses: [{name: c, state: {running: {}}}]"),
            "spec: Forbidden: Pod running on node without support for resize");
  EXPECT_EQ(resized("resources: {requests: {cpu: 100m}}", "resources: {requests: {cpu: 100m}, limits: {cpu: 200m}}"), "");
}

TEST(NewPods, LabelKeysGoIntoSelectors) {
  auto merged = [](std::string_view yaml) {
    Draft draft((*parse_yaml(yaml))[0]);
    merge_label_keys(draft);
    return to_json(draft);
  };
  EXPECT_EQ(
      merged("{metadata: {labels: {a: x}}, spec: {topologySpreadConstraints: [{labelSelector: {matchLabels: {b: z}}, matchLabelKeys: [a, "
             "none]}, {matchLabelKeys: [a]}]}}"),
      R"({"metadata":{"labels":{"a":"x"}},"spec":{"topologySpreadConstraints":[{"labelSelector":{"matchLabels":{"b":"z"},)"
      R"("matchExpressions":[{"key":"a","operator":"In","values":["x"]}]},"matchLabelKeys":["a","none"]},{"matchLabelKeys":["a"]}]}})");
  EXPECT_EQ(
      merged(
          "{metadata: {labels: {a: x}}, spec: {affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, "
          "podAffinityTerm: {labelSelector: {}, mismatchLabelKeys: [a]}}]}}}}"),
      R"({"metadata":{"labels":{"a":"x"}},"spec":{"affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":)"
      R"([{"weight":1,"podAffinityTerm":{"labelSelector":{"matchExpressions":[{"key":"a","operator":"NotIn","values":["x"]}]},)"
      R"("mismatchLabelKeys":["a"]}}]}}}})");
}

}  // namespace
}  // namespace kybern
