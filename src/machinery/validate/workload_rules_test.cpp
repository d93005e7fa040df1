// Deployments, replica sets, stateful sets, daemon sets, revisions, replication controllers: a row per refusal.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "machinery/testing/judging.h"

namespace kybern {
namespace {

using namespace testing;

struct WorkloadRow {
  const char *group, *kind, *spec, *findings;
};

// A spec with a selector that fits its template, and `rest` besides.
std::string workload(std::string_view spec, std::string_view pods = "", std::string_view status = "", std::string_view meta = "name: a") {
  const std::string pod = with_containers(pods);
  return fmt::format(
      "{{metadata: {{{}}}, spec: {{selector: {{matchLabels: {{a: b}}}}, template: {{metadata: {{labels: {{a: b}}}}, spec: "
      "{{{}}}}}{}{}}}, status: {{{}}}}}",
      meta, pod, spec.empty() ? "" : ", ", spec, status);
}

constexpr const char* not_a_label =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
    "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

constexpr WorkloadRow workloads[] = {
    {"apps", "Deployment", "", ""},
    {"apps", "Deployment", "replicas: -1, minReadySeconds: -1, revisionHistoryLimit: -1, progressDeadlineSeconds: -2",
     "spec.replicas: Invalid value: -1: must be greater than or equal to 0 | spec.minReadySeconds: Invalid value: -1: must be greater than "
     "or equal to 0 | spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0 | spec.progressDeadlineSeconds: "
     "Invalid value: -2: must be greater than or equal to 0 | spec.progressDeadlineSeconds: Invalid value: -2: must be greater than "
     "minReadySeconds"},
    {"apps", "Deployment", "strategy: {type: Recreate, rollingUpdate: {}}",
     "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"},
    {"apps", "Deployment", "strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 0%}}",
     "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"},
    {"apps", "Deployment", "strategy: {rollingUpdate: {maxUnavailable: 101%, maxSurge: x}}",
     "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": a valid percent string must be a numeric string followed by an ending "
     "'%' "
     "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%') | spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "
     "\"101%\": must not be greater than 100%"},
    {"apps", "ReplicaSet", "replicas: -1, minReadySeconds: -1",
     "spec.replicas: Invalid value: -1: must be greater than or equal to 0 | spec.minReadySeconds: Invalid value: -1: must be greater than "
     "or equal to 0"},
    {"apps", "StatefulSet", "podManagementPolicy: Some, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}",
     "spec.podManagementPolicy: Invalid value: \"Some\": must be 'OrderedReady' or 'Parallel' | spec.updateStrategy.rollingUpdate: Invalid "
     "value: {\"partition\":1}: only allowed for updateStrategy 'RollingUpdate'"},
    // `maxUnavailable` is behind a gate that is off, and left out before anything is judged.
    {"apps", "StatefulSet", "updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: -1, maxUnavailable: 0}}",
     "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"},
    {"apps", "StatefulSet", "persistentVolumeClaimRetentionPolicy: {whenDeleted: Never}, ordinals: {start: -1}",
     R"(spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Never": supported values: "Retain", "Delete" | )"
     "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"},
    {"apps", "StatefulSet", "volumeClaimTemplates: [{metadata: {name: d}, spec: {resources: {requests: {storage: 0}}}}]",
     "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required | "
     "spec.volumeClaimTemplates[0].spec.resources[storage]: Invalid value: \"0\": must be greater than zero"},
    {"apps", "DaemonSet", "updateStrategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}",
     "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"},
    {"apps", "DaemonSet", "updateStrategy: {rollingUpdate: {maxUnavailable: 0}}, minReadySeconds: -1, revisionHistoryLimit: -1",
     "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0 | spec.updateStrategy.rollingUpdate.maxUnavailable: "
     "Required value: cannot be 0 when maxSurge is 0 | spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"},
};

TEST(ValidateWorkloads, Specs) {
  for (const WorkloadRow& row : workloads) EXPECT_EQ(refused(row.group, "v1", row.kind, workload(row.spec)), row.findings) << row.spec;
}

TEST(ValidateWorkloads, Templates) {
  for (auto [kind, words] : {std::pair("Deployment", "ReplicaSet"), std::pair("ReplicaSet", "ReplicaSet"),
                             std::pair("StatefulSet", "StatefulSet"), std::pair("DaemonSet", "DaemonSet")}) {
    EXPECT_EQ(refused("apps", "v1", kind, workload("", "restartPolicy: Never, activeDeadlineSeconds: 5")),
              fmt::format("spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\" | "
                          "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in {} is not Supported",
                          words));
    // Everything that a pod is judged by.
    EXPECT_EQ(refused("apps", "v1", kind, workload("", "containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v}]}]")),
              "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"v\"");
  }
  constexpr const char* empty = "{spec: {selector: {}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}";
  for (auto [kind, words] : {std::pair("Deployment", "deployment"), std::pair("ReplicaSet", "deployment"),
                             std::pair("StatefulSet", "statefulset"), std::pair("DaemonSet", "daemonset")}) {
    EXPECT_EQ(refused("apps", "v1", kind, empty),
              fmt::format("spec.selector: Invalid value: {{}}: empty selector is invalid for {}", words));
  }
  constexpr const char* none = "{spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}";
  EXPECT_EQ(
      refused("apps", "v1", "StatefulSet", none),
      "spec.selector: Required value | spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template "
      "`labels`");
}

TEST(ValidateWorkloads, StatefulSets) {
  // A claim is a volume of each pod, before one of the template by that name; what the controller overwrites is not judged.
  constexpr const char* claims =
      "serviceName: s, volumeClaimTemplates: [{metadata: {name: d}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: "
      "1Gi}}}}]";
  constexpr const char* mounted =
      "hostname: A.b, subdomain: A.b, volumes: [{name: d, nfs: {}}], containers: [{name: c, image: i, volumeMounts: [{name: d, mountPath: "
      "/d}]}]";
  EXPECT_EQ(refused("apps", "v1", "StatefulSet", workload(claims, mounted)), "");
  EXPECT_EQ(refused("apps", "v1", "StatefulSet", workload("serviceName: S")),
            std::string("spec.serviceName: Invalid value: \"S\": ") + not_a_label);
  // What does not change is let be; a set that would be refused now is not held to its pods' rules.
  EXPECT_EQ(refused_change("apps", "v1", "StatefulSet", workload("serviceName: S"), workload("serviceName: S, replicas: 3")), "");
  std::string broken = workload("", "nodeSelector: {-: x}"), scaled = workload("replicas: 3", "nodeSelector: {-: x}");
  EXPECT_EQ(refused_change("apps", "v1", "StatefulSet", broken, scaled), "");
  EXPECT_EQ(refused_change("apps", "v1", "StatefulSet", workload(""), workload("", "dnsPolicy: Some")),
            R"(spec.template.spec.dnsPolicy: Unsupported value: "Some": supported values: "ClusterFirstWithHostNet", "ClusterFirst", )"
            R"("Default", "None")");
  EXPECT_EQ(refused_change("apps", "v1", "StatefulSet", broken, workload("replicas: -1", "nodeSelector: {-: x}")),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
}

TEST(ValidateWorkloads, Statuses) {
  struct Row {
    const char *kind, *before, *after, *findings;
  };
  for (
      auto [kind, before, after, want] : {
          Row{"Deployment", "collisionCount: 2", "replicas: 1, updatedReplicas: 2, readyReplicas: -1, availableReplicas: 1",
              "status.readyReplicas: Invalid value: -1: must be greater than or equal to 0 | status.updatedReplicas: Invalid value: 2: "
              "cannot be greater than status.replicas | status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas | "
              "status.collisionCount: Invalid value: 0: cannot be decremented"},
          Row{"Deployment", "", "terminatingReplicas: -1",
              "status.terminatingReplicas: Invalid value: -1: must be greater than or equal to 0"},
          Row{"ReplicaSet", "", "replicas: 1, fullyLabeledReplicas: 2, readyReplicas: 1, availableReplicas: 2",
              "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas | status.availableReplicas: Invalid "
              "value: 2: cannot be greater than status.replicas | status.availableReplicas: Invalid value: 2: cannot be greater than "
              "readyReplicas"},
          Row{"StatefulSet", "collisionCount: 1", "replicas: 0, currentReplicas: 1, availableReplicas: 1, collisionCount: 0",
              "status.currentReplicas: Invalid value: 1: cannot be greater than status.replicas | status.availableReplicas: Invalid value: "
              "1: cannot be greater than status.replicas | status.availableReplicas: Invalid value: 1: cannot be greater than "
              "status.readyReplicas | status.collisionCount: Invalid value: 0: cannot be decremented"},
          Row{"DaemonSet", "", "currentNumberScheduled: -1, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0",
              "status.currentNumberScheduled: Invalid value: -1: must be greater than or equal to 0"},
      }) {
    EXPECT_EQ(refused_change("apps", "v1", kind, workload("", "", before), workload("", "", after), "status"), want) << kind << after;
  }
}

TEST(ValidateWorkloads, Selectors) {
  auto selecting = [](const char* label) {
    return fmt::format(
        "{{spec: {{selector: {{matchLabels: {{a: {0}}}}}, template: {{metadata: {{labels: {{a: {0}}}}}, spec: {{containers: "
        "[{{name: c, image: i}}]}}}}}}}}",
        label);
  };
  for (const char* kind : {"Deployment", "ReplicaSet", "DaemonSet"}) {
    EXPECT_EQ(refused_change("apps", "v1", kind, selecting("b"), selecting("c")),
              R"(spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable)")
        << kind;
  }
}

TEST(ValidateWorkloads, Revisions) {
  auto created = [](std::string_view rest) { return refused("apps", "v1", "ControllerRevision", rest); };
  EXPECT_EQ(created("{revision: 1, data: {a: b}}"), "");
  EXPECT_EQ(created("{revision: -1}"),
            "revision: Invalid value: -1: must be greater than or equal to 0 | data: Required value: data is mandatory");
  EXPECT_EQ(refused_change("apps", "v1", "ControllerRevision", "{revision: 1, data: {a: b}}", "{revision: -1, data: {a: c}}"),
            "revision: Invalid value: -1: must be greater than or equal to 0 | data: Invalid value: {\"a\":\"c\"}: field is immutable");
}

TEST(ValidateWorkloads, ReplicationControllers) {
  auto controller = [](std::string_view spec, std::string_view pods = "") {
    return fmt::format("{{spec: {{template: {{metadata: {{labels: {{a: b}}}}, spec: {{containers: [{{name: c, image: i}}]{}}}}}, {}}}}}",
                       pods, spec);
  };
  EXPECT_EQ(refused("", "v1", "ReplicationController", controller("selector: {a: b}")), "");
  EXPECT_EQ(
      refused("", "v1", "ReplicationController",
              controller("selector: {a: c}, replicas: -1, minReadySeconds: -1", ", restartPolicy: Never, activeDeadlineSeconds: 1")),
      "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0 | spec.replicas: Invalid value: -1: must be greater "
      "than or equal to 0 | spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels` | "
      "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\" | "
      "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported");
  // As an update it is judged twice.
  EXPECT_EQ(
      refused_change("", "v1", "ReplicationController", controller("selector: {a: b}"), controller("selector: {a: b}, replicas: -1")),
      "spec.replicas: Invalid value: -1: must be greater than or equal to 0 | spec.replicas: Invalid value: -1: must be greater than or "
      "equal to 0");
  EXPECT_EQ(refused("", "v1", "PodTemplate", "{template: {metadata: {labels: {-: x}}, spec: {containers: [{name: c, image: i}]}}}"),
            "template.labels: Invalid value: \"-\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and "
            "end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')");
}

}  // namespace
}  // namespace kybern
