#include "apiserver/registry/views.h"

#include "document/json.h"

namespace kybern::apiserver {
namespace {

// --- HorizontalPodAutoscaler: v1 shows the CPU metric as a field; what it cannot say is kept in annotations.

constexpr std::string_view metrics_annotation = "autoscaling.alpha.kubernetes.io/metrics";
constexpr std::string_view behavior_annotation = "autoscaling.alpha.kubernetes.io/behavior";
constexpr std::string_view current_annotation = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr std::string_view conditions_annotation = "autoscaling.alpha.kubernetes.io/conditions";

bool is_cpu_utilization(const Draft& metric) {
  const Draft* type = metric.find("type");
  const Draft* name = metric.find_path({"resource", "name"});
  return type && type->as_string() == "Resource" && name && name->as_string() == "cpu";
}

Document autoscaler_v2_to_v1(Value stored) {
  Draft d(stored);
  d["apiVersion"] = "autoscaling/v1";
  Draft others = Draft::array();
  if (Draft* metrics = d.find_path({"spec", "metrics"}); metrics && metrics->is_array()) {
    for (const Draft& metric : metrics->items()) {
      const Draft* target = metric.find_path({"resource", "target", "averageUtilization"});
      if (is_cpu_utilization(metric) && target) d["spec"]["targetCPUUtilizationPercentage"] = *target;
      else others.push_back(metric);
    }
    d["spec"].erase("metrics");
  }
  if (others.size()) d["metadata"]["annotations"][metrics_annotation] = to_json(others);
  if (Draft* behavior = d.find_path({"spec", "behavior"})) {
    d["metadata"]["annotations"][behavior_annotation] = to_json(*behavior);
    d["spec"].erase("behavior");
  }
  if (Draft* status = d.find("status")) {
    if (const Draft* current = status->find("currentMetrics"); current && current->is_array() && current->size()) {
      for (const Draft& metric : current->items()) {
        const Draft* value = metric.find_path({"resource", "current", "averageUtilization"});
        if (is_cpu_utilization(metric) && value) (*status)["currentCPUUtilizationPercentage"] = *value;
      }
      d["metadata"]["annotations"][current_annotation] = to_json(*current);
    }
    status->erase("currentMetrics");
    if (const Draft* conditions = status->find("conditions"); conditions && conditions->size())
      d["metadata"]["annotations"][conditions_annotation] = to_json(*conditions);
    status->erase("conditions");
    for (std::string_view field : {"currentReplicas", "desiredReplicas"})
      if (!status->find(field)) (*status)[field] = 0;
  }
  return d.freeze();
}

// Takes an annotation's JSON out of the object; null when it is absent or malformed.
Draft take_annotation(Draft& d, std::string_view name) {
  Draft* annotations = d.find_path({"metadata", "annotations"});
  const Draft* text = annotations ? annotations->find(name) : nullptr;
  if (!text) return nullptr;
  auto parsed = parse_json(text->as_string());
  annotations->erase(name);
  if (annotations->size() == 0) d["metadata"].erase("annotations");
  return parsed ? Draft(*parsed) : Draft(nullptr);
}

Document autoscaler_v1_to_v2(Value served) {
  Draft d(served);
  d["apiVersion"] = "autoscaling/v2";
  Draft metrics = Draft::array();
  if (Draft* target = d.find_path({"spec", "targetCPUUtilizationPercentage"})) {
    Draft aim = Draft::object({{"type", "Utilization"}, {"averageUtilization", *target}});
    metrics.push_back(Draft::object({{"type", "Resource"}, {"resource", Draft::object({{"name", "cpu"}, {"target", std::move(aim)}})}}));
    d["spec"].erase("targetCPUUtilizationPercentage");
  }
  if (Draft others = take_annotation(d, metrics_annotation); others.is_array())
    for (const Draft& metric : others.items()) metrics.push_back(metric);
  if (metrics.size()) d["spec"]["metrics"] = std::move(metrics);
  if (Draft behavior = take_annotation(d, behavior_annotation); behavior.is_object()) d["spec"]["behavior"] = std::move(behavior);
  Draft current = take_annotation(d, current_annotation), conditions = take_annotation(d, conditions_annotation);
  if (Draft* status = d.find("status")) {
    status->erase("currentCPUUtilizationPercentage");
    (*status)["currentMetrics"] = current.is_array() ? std::move(current) : Draft(nullptr);
    if (conditions.is_array()) (*status)["conditions"] = std::move(conditions);
  }
  return d.freeze();
}

// --- Events: the newer group has other names for some fields.

void rename(Draft& d, std::string_view from, std::string_view to) {
  if (Draft* value = d.find(from)) {
    Draft held = std::move(*value);
    d.erase(from);
    d[to] = std::move(held);
  }
}

constexpr std::pair<std::string_view, std::string_view> event_fields[] = {
    // core/v1, events.k8s.io/v1
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

Document event_core_to_new(Value stored) {
  Draft d(stored);
  d["apiVersion"] = "events.k8s.io/v1";
  for (auto [core, fresh] : event_fields) rename(d, core, fresh);
  return d.freeze();
}
Document event_new_to_core(Value served) {
  Draft d(served);
  d["apiVersion"] = "v1";
  for (auto [core, fresh] : event_fields) rename(d, fresh, core);
  for (std::string_view time : {"firstTimestamp", "lastTimestamp"})
    if (!d.find(time)) d[time] = nullptr;
  for (std::string_view object : {"involvedObject", "source"})
    if (!d.find(object)) d[object] = Draft::object();
  for (std::string_view text : {"reportingComponent", "reportingInstance"})
    if (!d.find(text)) d[text] = "";
  return d.freeze();
}

constexpr View all[] = {
    {"autoscaling", "v1", "horizontalpodautoscalers", "autoscaling", "v2", autoscaler_v2_to_v1, autoscaler_v1_to_v2},
    {"events.k8s.io", "v1", "events", "", "v1", event_core_to_new, event_new_to_core},
};

}  // namespace

std::span<const View> views() { return all; }

}  // namespace kybern::apiserver
