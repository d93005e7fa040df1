// Autoscalers, version 1 and 2: the first is a shorthand for one metric of the second.
#include <fmt/format.h>

#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::int64_t stabilization_max_s = 3600, period_max_s = 1800;

void path_segment(Findings& f, std::string_view name, std::string_view missing, const Path& path) {
  if (name.empty()) f.required(path, missing);
  else f.say(path, name, names::path_segment(name));
}

// Which versions a reference may name; those that were there before the rule was are let be.
struct Versions {
  bool any = false, without_group = false;
};

std::string wrong_version(std::string_view version, Versions allowed) {
  if (allowed.any) return {};
  std::size_t slash = version.find('/');
  bool one_slash = slash != std::string_view::npos && version.find('/', slash + 1) == std::string_view::npos;
  if (slash != std::string_view::npos && !one_slash) return fmt::format("unexpected GroupVersion string: {}", version);
  if (!allowed.without_group && (!one_slash || slash == 0)) return "apiVersion must specify API group";
  return {};
}

void reference(Findings& f, Value target, Versions allowed, const Path& path) {
  path_segment(f, text(target, "kind"), {}, path.child("kind"));
  path_segment(f, text(target, "name"), {}, path.child("name"));
  if (std::string why = wrong_version(text(target, "apiVersion"), allowed); !why.empty())
    f.invalid(path.child("apiVersion"), text(target, "apiVersion"), why);
}

void metric_target(Findings& f, Value target, const Path& path) {
  std::string_view type = text(target, "type");
  if (type.empty()) f.required(path.child("type"), "must specify a metric target type");
  if (type != "Utilization" && type != "Value" && type != "AverageValue")
    f.invalid(path.child("type"), type, "must be either Utilization, Value, or AverageValue");
  for (const char* amount : {"value", "averageValue"}) {
    if (set(target, amount) && Quantity::of(target[amount]).sign() != 1) f.invalid(path.child(amount), target[amount], "must be positive");
  }
  Value percent = target["averageUtilization"];
  if (!percent.is_null() && percent.as_int() < 1) f.invalid(path.child("averageUtilization"), percent.as_int(), "must be greater than 0");
}

void identifier(Findings& f, Value metric, const Path& path) {
  path_segment(f, text(metric, "name"), "must specify a metric name", path.child("name"));
}

void object_metric(Findings& f, Value source, Versions allowed, const Path& path) {
  Value target = source["target"];
  reference(f, source["describedObject"], allowed, path.child("describedObject"));
  identifier(f, source["metric"], path.child("metric"));
  metric_target(f, target, path.child("target"));
  if (!set(target, "value") && !set(target, "averageValue"))
    f.required(path.child("target.averageValue"), "must set either a target value or averageValue");
}

void external_metric(Findings& f, Value source, Versions, const Path& path) {
  Value target = source["target"];
  identifier(f, source["metric"], path.child("metric"));
  metric_target(f, target, path.child("target"));
  bool total = set(target, "value"), average = set(target, "averageValue");
  if (!total && !average) f.required(path.child("target.averageValue"), "must set either a target value for metric or a per-pod target");
  if (total && average) f.forbidden(path.child("target.value"), "may not set both a target value for metric and a per-pod target");
}

void pods_metric(Findings& f, Value source, Versions, const Path& path) {
  Value target = source["target"];
  identifier(f, source["metric"], path.child("metric"));
  metric_target(f, target, path.child("target"));
  if (!set(target, "averageValue")) f.required(path.child("target.averageValue"), "must specify a positive target averageValue");
}

void resource_target(Findings& f, Value target, const Path& path) {
  metric_target(f, target, path);
  bool percent = set(target, "averageUtilization"), average = set(target, "averageValue");
  if (!percent && !average) f.required(path.child("averageUtilization"), "must set either a target raw value or a target utilization");
  if (percent && average) f.forbidden(path.child("averageValue"), "may not set both a target raw value and a target utilization");
}

void resource_metric(Findings& f, Value source, Versions, const Path& path) {
  if (text(source, "name").empty()) f.required(path.child("name"), "must specify a resource name");
  resource_target(f, source["target"], path.child("target"));
}

void container_metric(Findings& f, Value source, Versions, const Path& path) {
  std::string_view name = text(source, "name"), container = text(source, "container");
  if (name.empty()) f.required(path.child("name"), "must specify a resource name");
  else container_resource_name(f, name, path.child("name"));
  if (container.empty()) f.required(path.child("container"), "must specify a container");
  else dns_label(f, container, path.child("container"));
  resource_target(f, source["target"], path.child("target"));
}

struct Source {
  std::string_view type;
  const char* field;
  void (*rule)(Findings& f, Value source, Versions allowed, const Path& path);
};
constexpr Source sources[] = {
    {"Object", "object", object_metric},
    {"External", "external", external_metric},
    {"Pods", "pods", pods_metric},
    {"Resource", "resource", resource_metric},
    {"ContainerResource", "containerResource", container_metric},
};

void metric(Findings& f, Value spec, Versions allowed, const Path& path) {
  std::string_view type = text(spec, "type");
  if (type.empty()) f.required(path.child("type"), "must specify a metric source type");
  const Source* expected = nullptr;
  for (const Source& source : sources) {
    if (source.type == type) expected = &source;
  }
  auto unknown = [&] {
    if (expected == nullptr) f.not_supported(path.child("type"), type, {"ContainerResource", "External", "Object", "Pods", "Resource"});
  };
  unknown();
  std::size_t present = 0;
  for (const Source& source : sources) {
    if (!set(spec, source.field)) continue;
    if (++present == 1) source.rule(f, spec[source.field], allowed, path.child(source.field));
  }
  if (expected != nullptr && !set(spec, expected->field))
    f.required(path.child(expected->field), "must populate information for the given metric source");
  unknown();  // upstream says so twice
  for (const Source& source : sources) {
    if (present > 1 && &source != expected && set(spec, source.field))
      f.forbidden(path.child(source.field), "must populate the given metric source only");
  }
}

void scaling_rules(Findings& f, Value rules, const Path& path) {
  if (rules.is_null()) return;
  Value window = rules["stabilizationWindowSeconds"];
  if (window.as_int() < 0) f.invalid(path.child("stabilizationWindowSeconds"), window.as_int(), "must be greater than or equal to zero");
  if (window.as_int() > stabilization_max_s) {
    f.invalid(path.child("stabilizationWindowSeconds"), window.as_int(),
              fmt::format("must be less than or equal to {}", stabilization_max_s));
  }
  if (set(rules, "selectPolicy")) f.enumerated(path.child("selectPolicy"), text(rules, "selectPolicy"), {"Disabled", "Max", "Min"});
  Path list = path.child("policies");
  if (rules["policies"].empty()) f.required(list, "must specify at least one Policy");
  std::size_t i = 0;
  for (Value policy : rules["policies"].items()) {
    Path at = list.index(i++);
    std::int64_t period = policy["periodSeconds"].as_int();
    f.enumerated(at.child("type"), text(policy, "type"), {"Percent", "Pods"});
    if (policy["value"].as_int() <= 0) f.invalid(at.child("value"), policy["value"].as_int(), "must be greater than zero");
    if (period <= 0) f.invalid(at.child("periodSeconds"), period, "must be greater than zero");
    if (period > period_max_s) f.invalid(at.child("periodSeconds"), period, fmt::format("must be less than or equal to {}", period_max_s));
  }
  if (set(rules, "tolerance") && Quantity::of(rules["tolerance"]).sign() < 0)
    f.invalid(path.child("tolerance"), Quantity::of(rules["tolerance"]).str(), "must be greater than or equal to 0");
}

void scaler_spec(Findings& f, Value spec, Value before = {}) {
  const Path path("spec");
  Value target = spec["scaleTargetRef"], old_target = before["scaleTargetRef"];
  bool unmoved =
      !before.is_null() && text(target, "apiVersion") == text(old_target, "apiVersion") && text(target, "kind") == text(old_target, "kind");
  Versions of_target{.any = unmoved, .without_group = text(target, "kind") == "ReplicationController"}, of_objects{.without_group = true};
  for (Value one : before["metrics"].items()) {
    Value object = one["object"];
    if (text(one, "type") == "Object" && !object.is_null() &&
        !wrong_version(text(object["describedObject"], "apiVersion"), of_objects).empty())
      of_objects.any = true;
  }
  std::int64_t least = !before.is_null() && set(before, "minReplicas") && before["minReplicas"].as_int() == 0 ? 0 : 1;
  Value min = spec["minReplicas"], percent = spec["targetCPUUtilizationPercentage"];
  std::int64_t max = spec["maxReplicas"].as_int();
  if (!min.is_null() && min.as_int() < least)
    f.invalid(path.child("minReplicas"), min.as_int(), fmt::format("must be greater than or equal to {}", least));
  if (max < 1) f.invalid(path.child("maxReplicas"), max, "must be greater than 0");
  if (!min.is_null() && max < min.as_int()) f.invalid(path.child("maxReplicas"), max, "must be greater than or equal to `minReplicas`");
  reference(f, target, of_target, path.child("scaleTargetRef"));
  Path metrics = path.child("metrics");
  bool from_outside = false;
  std::size_t i = 0;
  for (Value one : spec["metrics"].items()) {
    from_outside |= text(one, "type") == "Object" || text(one, "type") == "External";
    metric(f, one, of_objects, metrics.index(i++));
  }
  if (!percent.is_null() && percent.as_int() < 1)
    f.invalid(path.child("metrics[0].resource.target.averageUtilization"), percent.as_int(), "must be greater than 0");
  if (!min.is_null() && min.as_int() == 0 && !from_outside)
    f.forbidden(metrics, "must specify at least one Object or External metric to support scaling to zero replicas");
  Path behavior = path.child("behavior");
  scaling_rules(f, spec["behavior"]["scaleUp"], behavior.child("scaleUp"));
  scaling_rules(f, spec["behavior"]["scaleDown"], behavior.child("scaleDown"));
}

}  // namespace

void autoscaler_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  scaler_spec(f, object["spec"]);
}

void autoscaler_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  scaler_spec(f, object["spec"], old["spec"]);
}

void autoscaler_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  const Path path("status");
  for (const char* count : {"currentReplicas", "desiredReplicas"}) f.nonnegative(path.child(count), object["status"][count]);
}

}  // namespace kybern::rules
