// ResourceQuota: what a new object would take is counted against every quota of its namespace that it falls under, and
// written into the quota's status before the object is stored. What is given back is counted again by the controller.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <set>

#include "apiserver/admission/amounts.h"
#include "apiserver/admission/plugins.h"
#include "base/strings.h"
#include "machinery/labels.h"

namespace kybern::apiserver::admission {
namespace {

constexpr std::string_view class_infix = ".storageclass.storage.k8s.io/";

std::string count_name(const Served& served) {
  std::string name = "count/" + std::string(served.plural());
  return served.group().empty() ? name : name + "." + std::string(served.group());
}

bool is_extended(std::string_view name) {
  return name.find('/') != std::string_view::npos && name.find("kubernetes.io/") == std::string_view::npos && !name.starts_with("requests.");
}

// What a pod, or one of its containers, takes in the names of quotas.
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
    if (type == "NodePort" || (balanced && (service["spec"]["allocateLoadBalancerNodePorts"].as_bool(true) || port["nodePort"].as_int()))) ++ports;
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

Amounts usage_of(const Work& work, Value object) {
  Amounts out;
  if (work.is("", "pods")) out = usage_of_pod(object);
  else if (work.is("", "services")) out = usage_of_service(object);
  else if (work.is("", "persistentvolumeclaims")) out = usage_of_claim(object);
  else if (work.served->group().empty())
    for (std::string_view counted : {"configmaps", "secrets", "replicationcontrollers", "resourcequotas"})
      if (work.served->plural() == counted) out[std::string(counted)] = Quantity(1);
  out[count_name(*work.served)] = Quantity(1);
  return out;
}

// Whether a kind's usage can be counted under a quota's name, whatever the object says.
bool tracks(const Work& work, std::string_view name) {
  if (name == count_name(*work.served)) return true;
  if (work.is("", "pods")) {
    static constexpr std::string_view names[] = {"pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"};
    if (std::find(std::begin(names), std::end(names), name) != std::end(names)) return true;
    if (name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")) return true;
    return name.starts_with("requests.") && is_extended(name.substr(9));
  }
  if (work.is("", "services")) return name == "services" || name == "services.nodeports" || name == "services.loadbalancers";
  if (work.is("", "persistentvolumeclaims")) return name == "persistentvolumeclaims" || name == "requests.storage" || name.find(class_infix) != std::string_view::npos;
  return work.served->group().empty() && name == work.served->plural();
}

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
  std::string_view given = scope == "PriorityClass" ? object["spec"]["priorityClassName"].as_string() : object["spec"]["volumeAttributesClassName"].as_string();
  bool listed = false;
  for (Value v : values.items()) listed = listed || v.as_string() == given;
  if (op == "DoesNotExist") return given.empty();
  if (op == "NotIn") return given.empty() || !listed;
  if (op == "In") return !given.empty() && listed;
  return !given.empty();
}

bool in_scopes(const Work& work, Value quota, Value object) {
  Value spec = quota["spec"];
  if (spec["scopes"].empty() && spec["scopeSelector"]["matchExpressions"].empty()) return true;
  if (!work.is("", "pods") && !work.is("", "persistentvolumeclaims")) return false;
  for (Value scope : spec["scopes"].items())
    if (!in_scope(object, scope.as_string(), "Exists", {})) return false;
  for (Value e : spec["scopeSelector"]["matchExpressions"].items())
    if (!in_scope(object, e["scopeName"].as_string(), e["operator"].as_string(), e["values"])) return false;
  return true;
}

std::string pretty(const Amounts& amounts, const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    auto found = amounts.find(name);
    out.push_back(fmt::format("{}={}", name, found == amounts.end() ? "0" : found->second.str()));
  }
  return join(out, ",");
}

// A quota of cpu or memory obliges each container to say how much it takes.
std::string missing_amounts(Value pod, const std::vector<std::string>& tracked) {
  std::map<std::string, std::set<std::string>> missing;
  for (const std::string& name : tracked) {
    std::string_view bare = name;
    for (std::string_view prefix : {"requests.", "limits."})
      if (bare.starts_with(prefix)) bare.remove_prefix(prefix.size());
    if (bare != "cpu" && bare != "memory") continue;
    for (std::string_view list : {"containers", "initContainers"})
      for (Value c : pod["spec"][list].items())
        if (!compute_usage(amounts_of(c["resources"]["requests"]), amounts_of(c["resources"]["limits"])).contains(name)) missing[name].insert(c["name"].str());
  }
  std::vector<std::string> out;
  for (const auto& [name, containers] : missing) out.push_back(fmt::format("{} for: {}", name, join(std::vector<std::string>(containers.begin(), containers.end()), ",")));
  return join(out, "; ");
}

// The quota's new usage with the object; empty when it is not concerned.
ApiResult<std::optional<Amounts>> charge(const AdmissionAttributes& a, Value quota, Value object) {
  const Work& work = a.work;
  auto refuse = [&](std::string why) { return fail(forbidden(work.served->group(), work.served->plural(), work.name, why)); };
  Amounts hard = amounts_of(quota["status"]["hard"]), used = amounts_of(quota["status"]["used"]);
  std::vector<std::string> tracked;
  for (const auto& [name, amount] : hard)
    if (tracks(work, name)) tracked.push_back(name);
  if (tracked.empty() || !in_scopes(work, quota, object)) return std::nullopt;
  std::string_view quota_name = quota["metadata"]["name"].as_string();
  if (work.is("", "pods"))
    if (std::string missing = missing_amounts(object, tracked); !missing.empty()) return refuse(fmt::format("failed quota: {}: must specify {}", quota_name, missing));
  for (const std::string& name : tracked)
    if (!used.contains(name)) return refuse(fmt::format("status unknown for quota: {}, resources: {}", quota_name, join(tracked, ",")));
  Amounts wanted = usage_of(work, object);
  Amounts before = a.before.exists() && in_scopes(work, quota, a.before) ? usage_of(work, a.before) : Amounts();
  Amounts delta;
  std::vector<std::string> exceeded;
  for (const std::string& name : tracked) {
    auto found = wanted.find(name);
    if (found == wanted.end()) continue;
    if (found->second.sign() < 0) return refuse("quota usage is negative for resource(s): " + name);
    Quantity more = found->second;
    if (auto old = before.find(name); old != before.end()) more -= old->second;
    if (more.sign() <= 0) continue;
    delta[name] = more;
    Quantity sum = used[name];
    sum += more;
    if (hard[name] < sum) exceeded.push_back(name);
    else used[name] = sum;
  }
  if (delta.empty()) return std::nullopt;
  if (!exceeded.empty())
    return refuse(fmt::format("exceeded quota: {}, requested: {}, used: {}, limited: {}", quota_name, pretty(delta, exceeded), pretty(used, exceeded), pretty(hard, exceeded)));
  return std::optional(std::move(used));
}

bool counts(const AdmissionAttributes& a) {
  const Work& work = a.work;
  if (!work.served->namespaced() || work.served->traits->short_lived) return false;
  if (work.is("", "pods")) return (a.operation == "CREATE" && work.subresource.empty()) || (a.operation == "UPDATE" && work.subresource == "resize");
  if (!work.subresource.empty()) return false;
  if (work.is("", "services") || work.is("", "persistentvolumeclaims")) return a.operation == "CREATE" || a.operation == "UPDATE";
  return a.operation == "CREATE";
}

}  // namespace

ApiResult<void> charge_quotas(const AdmissionAttributes& a, Value object) {
  if (!counts(a)) return {};
  Registry& registry = a.work.registry;
  std::vector<Document> quotas;
  auto read_quotas = [&] {
    quotas.clear();
    registry.each("", "v1", "resourcequotas", a.work.ns, [&](Value quota) {
      quotas.push_back(quota.document());
      return true;
    });
  };
  read_quotas();
  if (quotas.empty()) return {};
  // One at a time in a namespace: many creates at once would otherwise fail each other's writes of the usage.
  static std::array<std::mutex, 64> locks;
  std::lock_guard lock(locks[std::hash<std::string>()(a.work.ns) % locks.size()]);
  read_quotas();
  // All are asked before any is charged.
  for (const Document& quota : quotas)
    if (auto charged = charge(a, quota, object); !charged) return fail(std::move(charged.error()));
  if (a.work.dry_run) return {};
  for (const Document& quota : quotas) {
    Work work{.registry = registry, .world = a.work.world, .user = {"system:apiserver", "", {"system:masters"}, {}}, .served = registry.catalog().find("", "v1", "resourcequotas"),
              .ns = a.work.ns, .name = quota["metadata"]["name"].str(), .subresource = "status"};
    work.verb = "update";
    auto charged = registry.modify(work, [&](Value now) -> ApiResult<Draft> {
      auto used = charge(a, now, object);
      if (!used) return fail(std::move(used.error()));
      Draft next(now);
      if (*used)
        for (const auto& [name, amount] : **used) next["status"]["used"][name] = amount.str();
      return next;
    }, true);
    if (!charged && charged.error().code != 404) return fail(std::move(charged.error()));
  }
  return {};
}

}  // namespace kybern::apiserver::admission
