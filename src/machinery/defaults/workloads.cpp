// apps, batch, autoscaling.
#include <cstdint>
#include <limits>
#include <string>

#include "machinery/defaults/defaults.h"
#include "machinery/defaults/fill.h"

namespace kybern::defaults {
namespace {

constexpr int history_limit = 10;

Draft* spec_with_template(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return nullptr;
  if (Draft* pod_template = open(*spec, "template")) default_pod_template(*pod_template);
  return spec;
}

void claim_retention(Draft& spec) {
  Draft* policy = open(spec, "persistentVolumeClaimRetentionPolicy");
  if (policy == nullptr) return;
  put_text(*policy, "whenDeleted", "Retain");
  put_text(*policy, "whenScaled", "Retain");
}

void job_spec(Draft& spec) {
  if (!has(spec, "completions") && !has(spec, "parallelism")) spec["completions"] = 1;
  put(spec, "parallelism", 1);
  put(spec, "backoffLimit", has(spec, "backoffLimitPerIndex") ? std::numeric_limits<std::int32_t>::max() : 6);
  put(spec, "completionMode", "NonIndexed");
  put(spec, "suspend", false);
  put(spec, "manualSelector", false);
  put(spec, "podReplacementPolicy", has(spec, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed");
  if (Draft* policy = inner(spec, "podFailurePolicy")) {
    each(*policy, "rules",
         [](Draft& rule) { each(rule, "onPodConditions", [](Draft& condition) { put_text(condition, "status", "True"); }); });
  }
}

Draft scaling_policy(const char* type, int value) { return Draft::object({{"type", type}, {"value", value}, {"periodSeconds", 15}}); }

}  // namespace

void deployment(Draft& object) {
  Draft* spec = spec_with_template(object);
  if (spec == nullptr) return;
  put(*spec, "replicas", 1);
  if (Draft* strategy = open(*spec, "strategy")) {
    put_text(*strategy, "type", "RollingUpdate");
    if (text(*strategy, "type") == "RollingUpdate") {
      if (Draft* rolling = open(*strategy, "rollingUpdate")) {
        put(*rolling, "maxUnavailable", "25%");
        put(*rolling, "maxSurge", "25%");
      }
    }
  }
  put(*spec, "revisionHistoryLimit", history_limit);
  put(*spec, "progressDeadlineSeconds", 600);
}

void replica_set(Draft& object) {
  if (Draft* spec = spec_with_template(object)) put(*spec, "replicas", 1);
}

void stateful_set(Draft& object) {
  Draft* spec = spec_with_template(object);
  if (spec == nullptr) return;
  put_text(*spec, "podManagementPolicy", "OrderedReady");
  if (Draft* strategy = open(*spec, "updateStrategy")) {
    if (text(*strategy, "type").empty()) {
      (*strategy)["type"] = "RollingUpdate";
      put(*strategy, "rollingUpdate", Draft::object());
    }
    Draft* rolling = inner(*strategy, "rollingUpdate");
    if (rolling != nullptr && text(*strategy, "type") == "RollingUpdate") put(*rolling, "partition", 0);
  }
  claim_retention(*spec);
  put(*spec, "replicas", 1);
  put(*spec, "revisionHistoryLimit", history_limit);
  each(*spec, "volumeClaimTemplates", [](Draft& claim) {
    put_text(claim, "kind", "PersistentVolumeClaim");
    put_text(claim, "apiVersion", "v1");
    persistent_volume_claim(claim);
  });
}

void daemon_set(Draft& object) {
  Draft* spec = spec_with_template(object);
  if (spec == nullptr) return;
  if (Draft* strategy = open(*spec, "updateStrategy")) {
    put_text(*strategy, "type", "RollingUpdate");
    if (text(*strategy, "type") == "RollingUpdate") {
      if (Draft* rolling = open(*strategy, "rollingUpdate")) {
        put(*rolling, "maxUnavailable", 1);
        put(*rolling, "maxSurge", 0);
      }
    }
  }
  put(*spec, "revisionHistoryLimit", history_limit);
}

void job(Draft& object) {
  Draft* spec = spec_with_template(object);
  if (spec == nullptr) return;
  job_spec(*spec);
  const Draft* found = spec->find_path({"template", "metadata", "labels"});
  if (found == nullptr || !found->is_object() || found->empty()) return;
  Draft labels = *found;
  Draft* metadata = open(object, "metadata");
  const Draft* own = metadata == nullptr ? nullptr : metadata->find("labels");
  if (metadata != nullptr && (own == nullptr || own->empty())) (*metadata)["labels"] = std::move(labels);
}

void cron_job(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  put_text(*spec, "concurrencyPolicy", "Allow");
  put(*spec, "suspend", false);
  put(*spec, "successfulJobsHistoryLimit", 3);
  put(*spec, "failedJobsHistoryLimit", 1);
  // The jobs are filled in when they are made; only their pods are described completely here.
  Draft* job_template = open(*spec, "jobTemplate");
  Draft* inside = job_template == nullptr ? nullptr : open(*job_template, "spec");
  if (Draft* pod_template = inside == nullptr ? nullptr : open(*inside, "template")) default_pod_template(*pod_template);
}

void autoscaler_v1(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  put(*spec, "minReplicas", 1);
  // Other metrics of this old version hide in an annotation; without any the processor is the metric.
  const Draft* metrics = object.find_path({"metadata", "annotations", "autoscaling.alpha.kubernetes.io/metrics"});
  if (metrics == nullptr) put(*spec, "targetCPUUtilizationPercentage", 80);
}

void autoscaler_v2(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  put(*spec, "minReplicas", 1);
  const Draft* metrics = spec->find("metrics");
  if (metrics == nullptr || metrics->empty()) {
    Draft target = Draft::object({{"type", "Utilization"}, {"averageUtilization", 80}});
    Draft cpu = Draft::object({{"name", "cpu"}, {"target", std::move(target)}});
    (*spec)["metrics"] = Draft::array({Draft::object({{"type", "Resource"}, {"resource", std::move(cpu)}})});
  }
  Draft* behavior = inner(*spec, "behavior");
  if (behavior == nullptr) return;
  if (Draft* up = open(*behavior, "scaleUp")) {
    put(*up, "stabilizationWindowSeconds", 0);
    put(*up, "selectPolicy", "Max");
    put(*up, "policies", Draft::array({scaling_policy("Pods", 4), scaling_policy("Percent", 100)}));
  }
  if (Draft* down = open(*behavior, "scaleDown")) {
    put(*down, "selectPolicy", "Max");
    put(*down, "policies", Draft::array({scaling_policy("Percent", 100)}));
  }
}

}  // namespace kybern::defaults
