// Rules that no recorded conversation covers: a row per refusal.
#include "machinery/testing/judging.h"

namespace kybern {
namespace {

using testing::findings;
using testing::Typed;
using testing::typed;

struct Rule {
  const char *group, *version, *kind, *object, *findings;
};

constexpr const char* scaler_head = R"("scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"maxReplicas":3,)";
constexpr const char* job_head = R"("manualSelector":true,"selector":{"matchLabels":{"a":"b"}},)";
constexpr const char* job_pods =
    R"("template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}})";

TEST(ValidateRules, Autoscalers) {
  struct Row {
    const char *spec, *findings;
  };
  for (
      auto [spec, want] : {
          Row{R"("metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}])", ""},
          Row{R"("metrics":[{"type":"Pods","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}])",
              "spec.metrics[0].pods: Required value: must populate information for the given metric source"},
          Row{R"("metrics":[{"type":"External","external":{"metric":{"name":"q"},"target":{"type":"Value"}}}])",
              "spec.metrics[0].external.target.averageValue: Required value: must set either a target value for metric or a per-pod "
              "target"},
          Row{R"("metrics":[{"type":"Object","object":{"describedObject":{"apiVersion":"a/b/c","kind":"K","name":"n"},"metric":{"name":"q"},"target":{"type":"Value"}}}])",
              "spec.metrics[0].object.describedObject.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c | "
              "spec.metrics[0].object.target.averageValue: Required value: must set either a target value or averageValue"},
          Row{R"("metrics":[{"type":"Pods","pods":{"metric":{"name":"q"},"target":{"type":"AverageValue","averageValue":"0"}}}])",
              "spec.metrics[0].pods.target.averageValue: Invalid value: \"0\": must be positive"},
          Row{R"("metrics":[{"type":"ContainerResource","containerResource":{"name":"gpu","container":"C","target":{"type":"Utilization","averageUtilization":50}}}])",
              "spec.metrics[0].containerResource.name: Invalid value: \"gpu\": must be a standard resource type or fully qualified | "
              "spec.metrics[0].containerResource.name: Invalid value: \"gpu\": must be a standard resource for containers | "
              "spec.metrics[0].containerResource.container: Invalid value: \"C\": a lowercase RFC 1123 label must consist of lower case "
              "alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
              "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"},
          Row{R"("metrics":[{"type":"Odd"}])",
              R"(spec.metrics[0].type: Unsupported value: "Odd": supported values: "ContainerResource", "External", "Object", "Pods", "Resource" | )"
              R"(spec.metrics[0].type: Unsupported value: "Odd": supported values: "ContainerResource", "External", "Object", "Pods", "Resource")"},
          Row{R"("behavior":{"scaleDown":{"policies":[{"type":"Pods","value":1,"periodSeconds":1}],"tolerance":"-1"}})",
              "spec.behavior.scaleDown.tolerance: Invalid value: \"-1\": must be greater than or equal to 0"},
          Row{R"("behavior":{"scaleUp":{"policies":[{"type":"Pods","value":0,"periodSeconds":3000}]}})",
              "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero | "
              "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 3000: must be less than or equal to 1800"},
      }) {
    Typed one = typed("autoscaling", "v2", "HorizontalPodAutoscaler", std::string(R"({"spec":{)") + scaler_head + spec + "}}");
    EXPECT_EQ(findings(validate(*one.resource, one.object)), want) << spec;
  }
  Typed old = typed("autoscaling", "v1", "HorizontalPodAutoscaler",
                    std::string(R"({"spec":{)") + scaler_head + R"("targetCPUUtilizationPercentage":0}})");
  EXPECT_EQ(findings(validate(*old.resource, old.object)),
            "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0");
}

// A target's version is needed to find it; what was there before that was asked for is let be.
TEST(ValidateRules, WhatAutoscalersScale) {
  auto scaler = [](std::string_view target, int least = 1) {
    return "{spec: {scaleTargetRef: {name: d, " + std::string(target) + "}, maxReplicas: 3, minReplicas: " + std::to_string(least) + "}}";
  };
  auto created = [&](std::string_view target) { return testing::refused("autoscaling", "v2", "HorizontalPodAutoscaler", scaler(target)); };
  auto changed = [&](const std::string& before, const std::string& after) {
    return testing::refused_change("autoscaling", "v2", "HorizontalPodAutoscaler", before, after);
  };
  const std::string refusal = "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group";
  EXPECT_EQ(created("kind: Deployment, apiVersion: apps/v1"), "");
  EXPECT_EQ(created("kind: Deployment, apiVersion: v1"), refusal);
  EXPECT_EQ(created("kind: ReplicationController, apiVersion: v1"), "");
  EXPECT_EQ(changed(scaler("kind: Deployment, apiVersion: v1"), scaler("kind: Deployment, apiVersion: v1")), "");
  EXPECT_EQ(changed(scaler("kind: Deployment, apiVersion: apps/v1"), scaler("kind: Deployment, apiVersion: v1")), refusal);
  std::string asleep = scaler("kind: Deployment, apiVersion: apps/v1", 0);
  EXPECT_EQ(changed(scaler("kind: Deployment, apiVersion: apps/v1"), asleep),
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1 | spec.metrics: Forbidden: must specify at least one "
            "Object or External metric to support scaling to zero replicas");
  EXPECT_EQ(changed(asleep, asleep),
            "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas");
}

TEST(ValidateRules, Jobs) {
  struct Row {
    const char *spec, *findings;
  };
  for (auto [spec, want] : {
           Row{R"("completions":2)", ""},
           Row{R"("completionMode":"Indexed","parallelism":1)", "spec.completions: Required value: when completion mode is Indexed"},
           Row{R"("completionMode":"Some")",
               R"(spec.completionMode: Unsupported value: "Some": supported values: "NonIndexed", "Indexed")"},
           Row{R"("backoffLimitPerIndex":1)", "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"},
           Row{R"("podFailurePolicy":{"rules":[{"action":"FailJob"}]})",
               "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"},
           Row{R"("podFailurePolicy":{"rules":[{"action":"Ignore","onExitCodes":{"operator":"In","values":[3,0]}}]})",
               "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator | "
               "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0]: must be ordered"},
           Row{R"("podReplacementPolicy":"Never")",
               R"(spec.podReplacementPolicy: Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed")"},
           Row{R"("managedBy":"me")", R"(spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo"))"},
       }) {
    Typed one = typed("batch", "v1", "Job", std::string(R"({"spec":{)") + job_head + job_pods + "," + spec + "}}");
    EXPECT_EQ(findings(validate(*one.resource, one.object)), want) << spec;
  }
}

TEST(ValidateRules, CronJobs) {
  struct Row {
    const char *spec, *findings;
  };
  for (auto [spec, want] : {
           Row{R"("schedule":"*/5 * * * *","timeZone":"Europe/Berlin")", ""},
           Row{R"("schedule":"*/5 * * *")",
               R"(spec.schedule: Invalid value: "*/5 * * *": expected exactly 5 fields, found 4: [*/5 * * *])"},
           Row{R"("schedule":"")", "spec.schedule: Required value"},
           Row{R"("schedule":"TZ=UTC 0 * * * *")",
               R"(spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead)"},
           Row{R"("schedule":"@daily","concurrencyPolicy":"Maybe")",
               R"(spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace")"},
           Row{R"("schedule":"@daily","failedJobsHistoryLimit":-1)",
               "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0"},
       }) {
    Typed one = typed("batch", "v1", "CronJob", std::string(R"({"spec":{"jobTemplate":{"spec":{)") + job_pods + "}}," + spec + "}}");
    EXPECT_EQ(findings(validate(*one.resource, one.object)), want) << spec;
  }
}

constexpr Rule others[] = {
    {"policy", "v1", "PodDisruptionBudget", R"({"metadata":{"name":"a","finalizers":["plain"]},"spec":{"minAvailable":1}})", ""},
    {"policy", "v1", "PodDisruptionBudget", R"({"spec":{"minAvailable":1,"maxUnavailable":1,"unhealthyPodEvictionPolicy":"Some"}})",
     R"(spec: Invalid value: {"minAvailable":1,"maxUnavailable":1,"unhealthyPodEvictionPolicy":"Some"}: minAvailable and maxUnavailable cannot be both set | spec.unhealthyPodEvictionPolicy: Unsupported value: "Some": supported values: "AlwaysAllow", "IfHealthyBudget")"},
    {"coordination.k8s.io", "v1", "Lease", R"({"metadata":{"name":"a","finalizers":["plain"]},"spec":{"leaseTransitions":-1}})",
     "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"},
    {"node.k8s.io", "v1", "RuntimeClass", R"({"metadata":{"name":"a","finalizers":["plain"]},"handler":"h"})", ""},
    {"node.k8s.io", "v1", "RuntimeClass",
     R"({"handler":"h","overhead":{"podFixed":{"x":"1"}},"scheduling":{"tolerations":[{"key":"k","operator":"In"},{"key":"k","operator":"In","tolerationSeconds":1}]}})",
     R"(overhead.limits[x]: Invalid value: "x": must be a standard resource type or fully qualified | overhead.limits[x]: Invalid value: "x": must be a standard resource for containers | scheduling.tolerations[0].operator: Unsupported value: "In": supported values: "Equal", "Exists" | scheduling.tolerations[1].effect: Invalid value: "": effect must be 'NoExecute' when `tolerationSeconds` is set | scheduling.tolerations[1].operator: Unsupported value: "In": supported values: "Equal", "Exists" | scheduling.tolerations[1]: Duplicate value: {"key":"k","operator":"In","tolerationSeconds":1})"},
    {"scheduling.k8s.io", "v1", "PriorityClass", R"({"metadata":{"name":"system-x"},"value":1})",
     "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a "
     "known "
     "system priority class"},
    {"", "v1", "LimitRange",
     R"({"spec":{"limits":[{"type":"Pod","default":{"cpu":"1"},"max":{"cpu":"1"},"min":{"cpu":"2"}},{"type":"Pod"}]}})",
     "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod' | spec.limits[0].min[cpu]: Invalid value: \"2\": min "
     "value "
     "2 is greater than max value 1 | spec.limits[1].type: Duplicate value: \"Pod\""},
    {"", "v1", "ConfigMap", R"({"data":{"a":"x","..":"y"},"binaryData":{"a":"eA=="}})",
     "data[a]: Invalid value: \"a\": duplicate of key present in binaryData | data[..]: Invalid value: \"..\": must not be '..'"},
    {"", "v1", "Event",
     R"({"involvedObject":{"namespace":"other"},"eventTime":"2026-01-01T00:00:00.000000Z","reportingComponent":"x.io/c","reportingInstance":"i","action":"A","reason":"R","source":{}})",
     ""},
    {"", "v1", "Event", R"({"involvedObject":{"namespace":"other"},"reason":"R"})",
     R"(involvedObject.namespace: Invalid value: "other": does not match event.namespace)"},
    {"policy", "v1", "PodDisruptionBudget", R"({"spec":{"minAvailable":1,"selector":{}}})", ""},
    {"policy", "v1", "PodDisruptionBudget", R"({"spec":{"minAvailable":"120%"}})",
     R"(spec.minAvailable: Invalid value: "120%": must not be greater than 100%)"},
    {"policy", "v1", "PodDisruptionBudget", R"({"spec":{"maxUnavailable":-1}})",
     "spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"},
    {"discovery.k8s.io", "v1", "EndpointSlice",
     R"({"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"port":80,"protocol":"TCP","name":""}]})", ""},
    {"discovery.k8s.io", "v1", "EndpointSlice", R"({"addressType":"IPv4","endpoints":[{"addresses":["fd00::1"]},{"addresses":[]}]})",
     R"(endpoints[0].addresses: Invalid value: "fd00::1": must be an IPv4 address | endpoints[1].addresses: Required value: must contain at least 1 address)"},
    {"discovery.k8s.io", "v1", "EndpointSlice", R"({"addressType":"IPv5","endpoints":[]})",
     R"(addressType: Unsupported value: "IPv5": supported values: "FQDN", "IPv4", "IPv6")"},
    {"discovery.k8s.io", "v1", "EndpointSlice",
     R"({"addressType":"IPv4","endpoints":[],"ports":[{"name":"a","port":1},{"name":"a","port":2}]})",
     R"(ports[1].name: Duplicate value: "a")"},
    {"storage.k8s.io", "v1", "CSIStorageCapacity", R"({"storageClassName":"A","capacity":"-1"})",
     R"(storageClassName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*') | capacity: Invalid value: "-1": must be greater than or equal to 0)"},
    {"networking.k8s.io", "v1", "IPAddress", R"({"metadata":{"name":"10.0.0.1"},"spec":{"parentRef":{"resource":"services","name":"s"}}})",
     ""},
    {"networking.k8s.io", "v1", "IPAddress", R"({"metadata":{"name":"10.0.0.1"},"spec":{}})", "spec.parentRef: Required value"},
    {"networking.k8s.io", "v1", "ServiceCIDR", R"({"spec":{"cidrs":["10.0.0.0/24"]}})", ""},
    {"networking.k8s.io", "v1", "ServiceCIDR", R"({"spec":{"cidrs":["10.0.0.1/24"]}})",
     R"(spec.cidrs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length)"},
    {"flowcontrol.apiserver.k8s.io", "v1", "FlowSchema",
     R"({"spec":{"matchingPrecedence":5,"priorityLevelConfiguration":{"name":"l"},"rules":[{"subjects":[{"kind":"User","user":{"name":"*"}}],"resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"namespaces":["*"]}]}]}})",
     ""},
    {"flowcontrol.apiserver.k8s.io", "v1", "FlowSchema",
     R"({"spec":{"matchingPrecedence":20000,"priorityLevelConfiguration":{"name":""}}})",
     "spec.matchingPrecedence: Invalid value: 20000: must not be greater than 10000 | spec.priorityLevelConfiguration.name: Required "
     "value: must reference a priority level"},
    {"flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", R"({"spec":{"type":"Limited"}})",
     "spec.limited: Required value: must not be empty when type is Limited"},
    {"flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration",
     R"({"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Queue","queuing":{"queues":4,"handSize":8,"queueLengthLimit":2}}}}})",
     "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"},
    {"authorization.k8s.io", "v1", "SubjectAccessReview",
     R"({"metadata":{},"spec":{"nonResourceAttributes":{"path":"/x","verb":"get"},"user":"u"}})", ""},
    {"authorization.k8s.io", "v1", "SubjectAccessReview", R"({"metadata":{},"spec":{"nonResourceAttributes":{"path":"/x","verb":"get"}}})",
     R"(spec.user: Invalid value: "": at least one of user or group must be specified)"},
};

TEST(ValidateRules, Others) {
  for (const Rule& row : others) {
    Typed one = typed(row.group, row.version, row.kind, row.object);
    if (!one.object) continue;
    EXPECT_EQ(findings(validate(*one.resource, one.object)), row.findings) << row.kind << " " << row.object;
  }
}

struct Change {
  const char *group, *version, *kind, *before, *after, *findings;
};
constexpr Change updates[] = {
    {"policy", "v1", "PodDisruptionBudget", R"({"spec":{"minAvailable":1}})", R"({"spec":{"minAvailable":-1}})",
     "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"},
    {"scheduling.k8s.io", "v1", "PriorityClass", R"({"value":1})", R"({"value":2,"preemptionPolicy":"Never"})",
     "value: Forbidden: may not be changed in an update. | preemptionPolicy: Invalid value: \"Never\": field is immutable"},
    {"", "v1", "ConfigMap", R"({"immutable":true,"data":{"a":"b"}})", R"({"data":{"a":"c"}})",
     "immutable: Forbidden: field is immutable when `immutable` is set | data: Forbidden: field is immutable when `immutable` is set"},
    {"events.k8s.io", "v1", "Event",
     R"({"regarding":{"namespace":"ns"},"eventTime":"2026-01-01T00:00:00.000000Z","reportingController":"x.io/c","reportingInstance":"i","action":"A","reason":"R","type":"Normal","series":{"count":1,"lastObservedTime":"2026-01-01T00:00:00.000000Z"}})",
     R"({"regarding":{"namespace":"ns"},"eventTime":"2026-01-01T00:00:00.000000Z","reportingController":"x.io/c","reportingInstance":"i","action":"A","reason":"S","type":"Normal","series":{"count":1,"lastObservedTime":"2026-01-01T00:00:00.000000Z"}})",
     R"(reason: Invalid value: "S": field is immutable | reason: Invalid value: "S": field is immutable)"},
    {"policy", "v1", "PodDisruptionBudget", R"({"spec":{"minAvailable":1}})", R"({"spec":{"minAvailable":2}})", ""},
    {"discovery.k8s.io", "v1", "EndpointSlice", R"({"addressType":"IPv4","endpoints":[]})", R"({"addressType":"IPv6","endpoints":[]})",
     R"(addressType: Invalid value: "IPv6": field is immutable)"},
    {"apps", "v1", "StatefulSet",
     R"({"spec":{"serviceName":"s","selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})",
     R"({"spec":{"serviceName":"s","replicas":4,"minReadySeconds":3,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b","c":"d"}},"spec":{"containers":[{"name":"c","image":"i:2"}]}}}})",
     ""},
    {"apps", "v1", "StatefulSet",
     R"({"spec":{"serviceName":"s","selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})",
     R"({"spec":{"serviceName":"t","selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})",
     "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
     "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
     "'minReadySeconds' are forbidden"},
    {"networking.k8s.io", "v1", "ServiceCIDR", R"({"spec":{"cidrs":["10.0.0.0/24"]}})",
     R"({"spec":{"cidrs":["10.0.0.0/24","fd00::/112"]}})", ""},
    {"coordination.k8s.io", "v1", "Lease", R"({"spec":{"leaseDurationSeconds":15}})", R"({"spec":{"leaseDurationSeconds":0}})",
     "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"},
    {"storage.k8s.io", "v1", "CSIDriver", R"({"spec":{}})", R"({"spec":{"attachRequired":false,"fsGroupPolicy":"None"}})",
     "spec.attachedRequired: Invalid value: false: field is immutable"},
};

TEST(ValidateRules, Updates) {
  for (const Change& row : updates) {
    auto settled = [&](std::string_view text) {
      Typed one = typed(row.group, row.version, row.kind, text);
      Draft draft(one.object);
      draft["metadata"]["resourceVersion"] = "1";
      draft["metadata"]["uid"] = "u";
      return Typed{one.resource, draft.freeze()};
    };
    Typed before = settled(row.before), after = settled(row.after);
    EXPECT_EQ(findings(validate_update(*after.resource, after.object, before.object)), row.findings) << row.kind << " " << row.after;
  }
}

// Upstream judges a namespace's metadata on its way in, once more as that of a new one, and once more as a change.
TEST(ValidateRules, Namespaces) {
  constexpr std::string_view before = R"({"metadata":{"name":"a"}})", after = R"({"metadata":{"name":"a","annotations":{"-":"x"}}})";
  Typed old = stored("", "v1", "Namespace", before), now = stored("", "v1", "Namespace", after);
  std::string all = findings(validate_update(*now.resource, now.object, old.object));
  std::size_t said = 0, found = 0;
  for (; (found = all.find("metadata.annotations: Invalid value: \"-\": ", found)) != std::string::npos; ++found) ++said;
  EXPECT_EQ(said, 3U) << all;
}

// Suspended jobs that have not started may still be told where to run.
TEST(ValidateRules, SuspendedJobs) {
  auto job = [](const char* suspend, const char* selector) {
    std::string pods = std::string(R"("template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never",)") + selector +
                       R"("containers":[{"name":"c","image":"i"}]}})";
    Typed one = typed("batch", "v1", "Job",
                      std::string(R"({"metadata":{"name":"a","resourceVersion":"1","uid":"u"},"spec":{)") + job_head + pods +
                          R"(,"suspend":)" + suspend + "}}");
    return one;
  };
  Typed waiting = job("true", ""), placed = job("true", R"("nodeSelector":{"x":"y"},)"), running = job("false", "");
  EXPECT_EQ(findings(validate_update(*placed.resource, placed.object, waiting.object)), "");
  FieldErrors refused = validate_update(*placed.resource, placed.object, running.object);
  ASSERT_EQ(refused.size(), 1u) << findings(refused);
  EXPECT_EQ(refused[0].field, "spec.template");
}

}  // namespace
}  // namespace kybern
