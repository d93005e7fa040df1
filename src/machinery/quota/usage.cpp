#include "machinery/quota/usage.h"

#include <algorithm>

namespace kybern::quota {
namespace {

constexpr std::string_view class_infix = ".storageclass.storage.k8s.io/";

bool is_core(const Kind& kind, std::string_view plural) { return kind.group.empty() && kind.plural == plural; }

bool is_extended(std::string_view name) {
  return name.find('/') != std::string_view::npos && name.find("kubernetes.io/") == std::string_view::npos &&
         !name.starts_with("requests.");
}

}  // namespace

Amounts amounts_of(Value object) {
  Amounts out;
  for (Member m : object.members()) out[std::string(m.key)] = Quantity::of(m.value);
  return out;
}

void add(Amounts& to, const Amounts& more) {
  for (const auto& [name, amount] : more) to[name] += amount;
}

void raise(Amounts& to, const Amounts& at_least) {
  for (const auto& [name, amount] : at_least)
    if (auto found = to.find(name); found == to.end()) to.emplace(name, amount);
    else if (found->second < amount) found->second = amount;
}

Amounts amounts_of_pod(Value spec, std::string_view field, bool overhead) {
  Amounts out, sidecars, largest;
  for (Value c : spec["containers"].items()) add(out, amounts_of(c["resources"][field]));
  for (Value c : spec["initContainers"].items()) {
    Amounts one = amounts_of(c["resources"][field]);
    if (c["restartPolicy"].as_string() == "Always") {
      add(out, one);
      add(sidecars, one);
      raise(largest, sidecars);
    } else {
      // It runs beside the sidecars that were started before it.
      add(one, sidecars);
      raise(largest, one);
    }
  }
  raise(out, largest);
  for (auto& [name, amount] : amounts_of(spec["resources"][field])) out[name] = amount;
  if (overhead)
    for (auto& [name, amount] : amounts_of(spec["overhead"]))
      if (field == "requests" || out.contains(name)) out[name] += amount;
  return out;
}

std::string count_name(const Kind& kind) {
  std::string name = "count/" + std::string(kind.plural);
  return kind.group.empty() ? name : name + "." + std::string(kind.group);
}

Amounts compute_usage(const Amounts& requests, const Amounts& limits) {
  Amounts out;
  for (const auto& [name, amount] : requests) {
    bool native = name == "cpu" || name == "memory" || name == "ephemeral-storage" || name.starts_with("hugepages-");
    if (native) out[name] = amount;
    if (native || is_extended(name)) out["requests." + name] = amount;
  }
  for (const auto& [name, amount] : limits)
    if (name == "cpu" || name == "memory" || name == "ephemeral-storage") out["limits." + name] = amount;
  return out;
}

namespace {

Amounts usage_of_pod(Value pod) {
  std::string_view phase = pod["status"]["phase"].as_string();
  if (phase == "Failed" || phase == "Succeeded") return {};
  Amounts out = compute_usage(amounts_of_pod(pod["spec"], "requests", true), amounts_of_pod(pod["spec"], "limits", true));
  out["pods"] = Quantity(1);
  return out;
}

Amounts usage_of_service(Value service) {
  Amounts out{{"services", Quantity(1)}};
  std::string_view type = service["spec"]["type"].as_string();
  bool balanced = type == "LoadBalancer";
  std::int64_t ports = 0;
  for (Value port : service["spec"]["ports"].items())
    if (type == "NodePort" || (balanced && (service["spec"]["allocateLoadBalancerNodePorts"].as_bool(true) || port["nodePort"].as_int())))
      ++ports;
  if (ports) out["services.nodeports"] = Quantity(ports);
  if (balanced) out["services.loadbalancers"] = Quantity(1);
  return out;
}

Amounts usage_of_claim(Value claim) {
  Amounts out{{"persistentvolumeclaims", Quantity(1)}};
  std::string of_class = claim["spec"]["storageClassName"].str();
  if (!of_class.empty()) out[of_class + std::string(class_infix) + "persistentvolumeclaims"] = Quantity(1);
  Value storage = claim["spec"]["resources"]["requests"]["storage"];
  if (!storage.exists()) return out;
  out["requests.storage"] = Quantity::of(storage);
  if (!of_class.empty()) out[of_class + std::string(class_infix) + "requests.storage"] = Quantity::of(storage);
  return out;
}

}  // namespace

Amounts usage_of(const Kind& kind, Value object) {
  Amounts out;
  if (is_core(kind, "pods")) out = usage_of_pod(object);
  else if (is_core(kind, "services")) out = usage_of_service(object);
  else if (is_core(kind, "persistentvolumeclaims")) out = usage_of_claim(object);
  else if (kind.group.empty())
    for (std::string_view counted : {"configmaps", "secrets", "replicationcontrollers", "resourcequotas"})
      if (kind.plural == counted) out[std::string(counted)] = Quantity(1);
  out[count_name(kind)] = Quantity(1);
  return out;
}

bool tracks(const Kind& kind, std::string_view name) {
  if (name == count_name(kind)) return true;
  if (is_core(kind, "pods")) {
    static constexpr std::string_view names[] = {"pods",
                                                 "cpu",
                                                 "memory",
                                                 "ephemeral-storage",
                                                 "requests.cpu",
                                                 "requests.memory",
                                                 "requests.ephemeral-storage",
                                                 "limits.cpu",
                                                 "limits.memory",
                                                 "limits.ephemeral-storage"};
    if (std::find(std::begin(names), std::end(names), name) != std::end(names)) return true;
    if (name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")) return true;
    return name.starts_with("requests.") && is_extended(name.substr(9));
  }
  if (is_core(kind, "services")) return name == "services" || name == "services.nodeports" || name == "services.loadbalancers";
  if (is_core(kind, "persistentvolumeclaims"))
    return name == "persistentvolumeclaims" || name == "requests.storage" || name.find(class_infix) != std::string_view::npos;
  return kind.group.empty() && name == kind.plural;
}

namespace {

bool crosses_namespaces(Value pod) {
  for (std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    Value affinity = pod["spec"]["affinity"][kind];
    auto crosses = [](Value term) { return !term["namespaces"].empty() || term["namespaceSelector"].is_object(); };
    for (Value term : affinity["requiredDuringSchedulingIgnoredDuringExecution"].items())
      if (crosses(term)) return true;
    for (Value term : affinity["preferredDuringSchedulingIgnoredDuringExecution"].items())
      if (crosses(term["podAffinityTerm"])) return true;
  }
  return false;
}

bool in_scope(Value object, std::string_view scope, std::string_view op, Value values) {
  if (scope == "Terminating") return object["spec"]["activeDeadlineSeconds"].is_int();
  if (scope == "NotTerminating") return !object["spec"]["activeDeadlineSeconds"].is_int();
  if (scope == "BestEffort") return object["status"]["qosClass"].as_string() == "BestEffort";
  if (scope == "NotBestEffort") return object["status"]["qosClass"].as_string() != "BestEffort";
  if (scope == "CrossNamespacePodAffinity") return crosses_namespaces(object);
  std::string_view given =
      scope == "PriorityClass" ? object["spec"]["priorityClassName"].as_string() : object["spec"]["volumeAttributesClassName"].as_string();
  bool listed = false;
  for (Value v : values.items()) listed = listed || v.as_string() == given;
  if (op == "DoesNotExist") return given.empty();
  if (op == "NotIn") return given.empty() || !listed;
  if (op == "In") return !given.empty() && listed;
  return !given.empty();
}

}  // namespace

bool in_scopes(const Kind& kind, Value quota, Value object) {
  Value spec = quota["spec"];
  if (spec["scopes"].empty() && spec["scopeSelector"]["matchExpressions"].empty()) return true;
  if (!is_core(kind, "pods") && !is_core(kind, "persistentvolumeclaims")) return false;
  for (Value scope : spec["scopes"].items())
    if (!in_scope(object, scope.as_string(), "Exists", {})) return false;
  for (Value e : spec["scopeSelector"]["matchExpressions"].items())
    if (!in_scope(object, e["scopeName"].as_string(), e["operator"].as_string(), e["values"])) return false;
  return true;
}

}  // namespace kybern::quota
