// Config maps, secrets, namespaces, nodes, quotas, limit ranges, service accounts, replication controllers.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t data_max_bytes = 1024 * 1024;
constexpr const char* frozen = "field is immutable when `immutable` is set";

std::size_t decoded_size(Value bytes) {
  std::string_view encoded = bytes.as_string();
  std::size_t padding = encoded.ends_with("==") ? 2 : encoded.ends_with('=') ? 1 : 0;
  return encoded.size() / 4 * 3 - std::min(padding, encoded.size() / 4 * 3);
}

void need_key(Findings& f, Value data, const char* key) {
  const Path path("data");
  if (!data[key].exists()) f.required(path.key(key));
}

void docker_config(Findings& f, Value data, const char* key) {
  const Path path("data");
  if (!data[key].exists()) return f.required(path.key(key));
  auto content = base64_decode(data[key].as_string());
  auto parsed = parse_json(content.value_or(""));
  if (!parsed) return f.invalid(path.key(key), "<secret contents redacted>", parsed.error().message);
  if (parsed->root().is_object() || parsed->root().is_null()) return;
  f.invalid(path.key(key), "<secret contents redacted>", "json: cannot unmarshal into Go value of type map[string]interface {}");
}

void secret_type(Findings& f, Value object) {
  std::string_view type = text(object, "type");
  Value data = object["data"];
  if (type == "kubernetes.io/service-account-token") {
    const Path annotations("metadata.annotations");
    constexpr const char* key = "kubernetes.io/service-account.name";
    if (object["metadata"]["annotations"][key].as_string().empty()) f.required(annotations.key(key));
  } else if (type == "kubernetes.io/dockercfg") {
    docker_config(f, data, ".dockercfg");
  } else if (type == "kubernetes.io/dockerconfigjson") {
    docker_config(f, data, ".dockerconfigjson");
  } else if (type == "kubernetes.io/basic-auth") {
    if (data["username"].exists() || data["password"].exists()) return;
    need_key(f, data, "username");
    need_key(f, data, "password");
  } else if (type == "kubernetes.io/ssh-auth") {
    const Path path("data");
    if (data["ssh-privatekey"].as_string().empty()) f.required(path.key("ssh-privatekey"));
  } else if (type == "kubernetes.io/tls") {
    need_key(f, data, "tls.crt");
    need_key(f, data, "tls.key");
  }
}

void immutable_data(Findings& f, Value object, Value old, std::initializer_list<const char*> fields) {
  if (!old["immutable"].as_bool()) return;
  if (!object["immutable"].as_bool()) f.forbidden(Path("immutable"), frozen);
  for (const char* field : fields) {
    bool both_empty = object[field].empty() && old[field].empty();
    if (!both_empty && !same(object[field], old[field])) f.forbidden(Path(field), frozen);
  }
}

void taints(Findings& f, Value list, const Path& path) {
  std::set<std::pair<std::string, std::string>> seen;
  std::size_t i = 0;
  for (Value taint : list.items()) {
    Path at = path.index(i++);
    f.add(validate_label_name(text(taint, "key"), at.child("key")));
    if (auto messages = names::label_value(text(taint, "value")); !messages.empty())
      f.invalid(at.child("value"), text(taint, "value"), join(messages, ";"));
    taint_effect(f, text(taint, "effect"), false, at.child("effect"));
    if (seen.emplace(text(taint, "effect"), text(taint, "key")).second) continue;
    FieldError error = field::duplicate(at, taint);
    error.detail = "taints must be unique by key and effect pair";
    f.add(std::move(error));
  }
}

void node_amounts(Findings& f, Value object) {
  for (const char* which : {"capacity", "allocatable"}) {
    const Path status("status");
    Path path = status.child(which);
    for (Member amount : object["status"][which].members()) resource_amount(f, amount.key, amount.value, path.child(amount.key));
  }
}

void quota_amounts(Findings& f, Value amounts, const Path& path) {
  for (Member amount : amounts.members()) {
    quota_resource_name(f, amount.key, path.key(amount.key));
    resource_amount(f, amount.key, amount.value, path.key(amount.key));
  }
}

bool known_scope(std::string_view scope) {
  for (std::string_view known : {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
                                 "CrossNamespacePodAffinity", "VolumeAttributesClass"}) {
    if (scope == known) return true;
  }
  return false;
}

bool scope_fits(std::string_view scope, std::string_view resource) {
  if (scope == "BestEffort") return resource == "pods";
  if (scope == "VolumeAttributesClass") return resource == "persistentvolumeclaims" || resource == "requests.storage";
  for (std::string_view known : {"pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}) {
    if (resource == known) return known_scope(scope);
  }
  return !known_scope(scope);
}

void conflicting_scopes(Findings& f, const std::set<std::string, std::less<>>& scopes, Value shown, const Path& path) {
  if (scopes.contains("BestEffort") && scopes.contains("NotBestEffort")) f.invalid(path, shown, "conflicting scopes");
  if (scopes.contains("Terminating") && scopes.contains("NotTerminating")) f.invalid(path, shown, "conflicting scopes");
}

void quota_scopes(Findings& f, Value spec, const Path& spec_path) {
  Path path = spec_path.child("scopes");
  Value scopes = spec["scopes"];
  std::set<std::string, std::less<>> hard, seen;
  for (Member amount : spec["hard"].members()) hard.emplace(amount.key);
  for (Value scope : scopes.items()) {
    if (!known_scope(scope.as_string())) f.invalid(path, scopes, "unsupported scope");
    for (const std::string& resource : hard) {
      if (is_standard_quota_resource(resource) && !scope_fits(scope.as_string(), resource))
        f.invalid(path, scopes, "unsupported scope applied to resource");
    }
    seen.emplace(scope.as_string());
  }
  conflicting_scopes(f, seen, scopes, path);
}

void scope_requirement(Findings& f, Value requirement, const Path& path) {
  std::string_view scope = text(requirement, "scopeName"), op = text(requirement, "operator");
  bool plain = scope == "BestEffort" || scope == "NotBestEffort" || scope == "Terminating" || scope == "NotTerminating" ||
               scope == "CrossNamespacePodAffinity";
  if (plain && op != "Exists") {
    f.invalid(path.child("operator"), op,
              "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
              "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
              "ResourceQuotaScopeCrossNamespacePodAffinity");
  }
  if (op == "In" || op == "NotIn") {
    if (requirement["values"].empty())
      f.required(path.child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (!requirement["values"].empty())
      f.invalid(path.child("values"), requirement["values"],
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
  } else {
    f.invalid(path.child("operator"), op, "not a valid selector operator");
  }
}

void scope_selector(Findings& f, Value spec, const Path& spec_path) {
  Value selector = spec["scopeSelector"];
  Path path = spec_path.child("scopeSelector.matchExpressions");
  std::set<std::string, std::less<>> hard, seen;
  for (Member amount : spec["hard"].members()) hard.emplace(amount.key);
  for (Value requirement : selector["matchExpressions"].items()) {
    std::string_view scope = text(requirement, "scopeName");
    if (!known_scope(scope)) f.invalid(path.child("scopeName"), scope, "unsupported scope");
    for (const std::string& resource : hard) {
      if (is_standard_quota_resource(resource) && !scope_fits(scope, resource))
        f.invalid(path, selector, "unsupported scope applied to resource");
    }
    scope_requirement(f, requirement, path);
    seen.emplace(scope);
  }
  conflicting_scopes(f, seen, spec["scopes"], path);
}

void quota_spec(Findings& f, Value spec) {
  const Path path("spec");
  quota_amounts(f, spec["hard"], path.child("hard"));
  quota_scopes(f, spec, path);
  scope_selector(f, spec, path);
}

void limit_resource_name(Findings& f, std::string_view type, std::string_view name, const Path& path) {
  if (type == "Pod" || type == "Container") container_resource_name(f, name, path);
  else resource_name(f, name, path);
}

struct Limits {
  std::map<std::string, Quantity, std::less<>> min, max, defaults, requests, ratios;
  std::set<std::string, std::less<>> names;
};

void collect(Findings& f, Value item, const char* which, std::map<std::string, Quantity, std::less<>>& into, Limits& limits,
             const Path& path) {
  Path at = path.child(which);
  for (Member amount : item[which].members()) {
    limit_resource_name(f, text(item, "type"), amount.key, at.key(amount.key));
    limits.names.emplace(amount.key);
    into.emplace(amount.key, Quantity::of(amount.value));
  }
}

void compare_limits(Findings& f, const Limits& limits, const std::string& name, const Path& path) {
  auto find = [&](const std::map<std::string, Quantity, std::less<>>& in) -> const Quantity* {
    auto it = in.find(name);
    return it == in.end() ? nullptr : &it->second;
  };
  const Quantity *min = find(limits.min), *max = find(limits.max), *limit = find(limits.defaults), *request = find(limits.requests),
                 *ratio = find(limits.ratios);
  auto above = [&](const char* where, const Quantity* more, const Quantity* less, const Quantity& shown, const char* words) {
    if (more == nullptr || less == nullptr || *more <= *less) return;
    Path at = path.child(where);
    f.invalid(at.key(name), shown.str(), fmt::format(fmt::runtime(words), more->str(), less->str()));
  };
  if (min != nullptr) above("min", min, max, *min, "min value {} is greater than max value {}");
  if (request != nullptr) {
    above("defaultRequest", min, request, *request, "min value {} is greater than default request value {}");
    above("defaultRequest", request, max, *request, "default request value {} is greater than max value {}");
    above("defaultRequest", request, limit, *request, "default request value {} is greater than default limit value {}");
  }
  if (min != nullptr) above("default", min, limit, *min, "min value {} is greater than default value {}");
  if (max != nullptr) above("default", limit, max, *max, "default value {} is greater than max value {}");
  Path ratios = path.child("maxLimitRequestRatio"), requests = path.child("defaultRequest");
  if (ratio != nullptr && *ratio < Quantity(1))
    f.invalid(ratios.key(name), ratio->str(), fmt::format("ratio {} is less than 1", ratio->str()));
  if (ratio != nullptr && min != nullptr && max != nullptr) {
    double most = max->approximate() / min->approximate();
    if (ratio->approximate() > most)
      f.invalid(ratios.key(name), ratio->str(), fmt::format("ratio {} is greater than max/min = {:f}", ratio->str(), most));
  }
  if (!is_overcommit_allowed(name) && limit != nullptr && request != nullptr && *limit != *request) {
    f.invalid(requests.key(name), request->str(),
              fmt::format("default value {} must equal to defaultRequest value {} in {}", limit->str(), request->str(), name));
  }
}

void limit_type(Findings& f, std::string_view type, const Path& path) {
  auto messages = names::qualified_name(type);
  f.say(path, type, messages);
  bool standard = type == "Pod" || type == "Container" || type == "PersistentVolumeClaim";
  if (messages.empty() && type.find('/') == std::string_view::npos && !standard)
    f.invalid(path, type, "must be a standard limit type or fully qualified");
}

void limit_item(Findings& f, Value item, const Path& path) {
  Limits limits;
  collect(f, item, "max", limits.max, limits, path);
  collect(f, item, "min", limits.min, limits, path);
  std::string_view type = text(item, "type");
  if (type == "Pod") {
    for (const char* key : {"default", "defaultRequest"}) {
      if (!item[key].empty()) f.forbidden(path.child(key), "may not be specified when `type` is 'Pod'");
    }
  } else {
    collect(f, item, "default", limits.defaults, limits, path);
    collect(f, item, "defaultRequest", limits.requests, limits, path);
  }
  if (type == "PersistentVolumeClaim" && !item["min"]["storage"].exists() && !item["max"]["storage"].exists()) {
    f.required(path.child("limits"), "either minimum or maximum storage value is required, but neither was provided");
  }
  collect(f, item, "maxLimitRequestRatio", limits.ratios, limits, path);
  for (const std::string& name : limits.names) compare_limits(f, limits, name, path);
}

}  // namespace

void config_map_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  const Path data("data"), binary("binaryData");
  std::size_t total = 0;
  for (Member entry : object["data"].members()) {
    f.say(data.key(entry.key), entry.key, names::config_map_key(entry.key));
    if (object["binaryData"][entry.key].exists()) f.invalid(data.key(entry.key), entry.key, "duplicate of key present in binaryData");
    total += entry.value.as_string().size();
  }
  for (Member entry : object["binaryData"].members()) {
    f.say(binary.key(entry.key), entry.key, names::config_map_key(entry.key));
    total += decoded_size(entry.value);
  }
  if (total > data_max_bytes) f.too_long(Path(), data_max_bytes);
}

void config_map_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  immutable_data(f, object, old, {"data", "binaryData"});
  config_map_create(f, object);
}

void secret_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  const Path path("data");
  std::size_t total = 0;
  for (Member entry : object["data"].members()) {
    f.say(path.key(entry.key), entry.key, names::config_map_key(entry.key));
    total += decoded_size(entry.value);
  }
  if (total > data_max_bytes) f.too_long(path, data_max_bytes);
  secret_type(f, object);
}

void secret_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  f.add(validate_immutable(object["type"], old["type"], Path("type")));
  immutable_data(f, object, old, {"data"});
  secret_create(f, object);
}

void namespace_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_label);
  const Path path("spec.finalizers");
  for (Value finalizer : object["spec"]["finalizers"].items()) {
    std::string_view name = finalizer.as_string();
    qualified(f, name, path);
    if (name.find('/') == std::string_view::npos && name != "kubernetes" && name != "orphan" && name != "foregroundDeletion") {
      f.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
  }
}

void namespace_update(Findings& f, Value object, Value old) {
  namespace_create(f, object);
  object_meta_update(f, object, old);
}

void namespace_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  bool deleted = set(object["metadata"], "deletionTimestamp");
  std::string_view phase = text(object["status"], "phase");
  const Path path("status.Phase");
  if (!deleted && phase != "Active") f.invalid(path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
  if (deleted && phase != "Terminating") f.invalid(path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
}

void namespace_finalize_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  const Path path("spec.finalizers");
  std::size_t i = 0;
  for (Value finalizer : object["spec"]["finalizers"].items()) {
    Path at = path.index(i++);
    std::string_view name = finalizer.as_string();
    qualified(f, name, at);
    if (name.find('/') == std::string_view::npos && name != "kubernetes" && name != "orphan" && name != "foregroundDeletion") {
      f.invalid(at, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
  }
}

void node_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  taints(f, object["spec"]["taints"], Path("metadata.taints"));
  node_amounts(f, object);
  Value cidrs = object["spec"]["podCIDRs"];
  const Path path("spec.podCIDRs");
  std::vector<std::string> all;
  for (std::size_t i = 0; i < cidrs.size(); ++i) {
    all.push_back(cidrs[i].str());
    cidr(f, all.back(), path.index(i));
  }
  if (all.size() > 1 && (!dual_stack(all) || all.size() > 2))
    f.invalid(path, cidrs, "may specify no more than one CIDR for each IP family");
  std::set<std::string> seen;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!seen.insert(all[i]).second) f.duplicate(path.index(i), all[i]);
  }
}

void node_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  node_amounts(f, object);
  const Path addresses("status.addresses"), cidrs("spec.podCIDRs");
  Value list = object["status"]["addresses"], before = old["spec"]["podCIDRs"], now = object["spec"]["podCIDRs"];
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!seen.emplace(text(list[i], "type"), text(list[i], "address")).second) f.duplicate(addresses.index(i), list[i]);
  }
  constexpr const char* fixed = "node updates may not change podCIDR except from \"\" to valid";
  if (!before.empty() && before.size() != now.size()) f.forbidden(cidrs, fixed);
  for (std::size_t i = 0; before.size() == now.size() && i < before.size(); ++i) {
    if (!(before[i] == now[i])) f.forbidden(cidrs, fixed);
  }
  std::string_view provider = text(old["spec"], "providerID");
  if (!provider.empty() && provider != text(object["spec"], "providerID")) {
    f.forbidden(Path("spec.providerID"), "node updates may not change providerID except from \"\" to valid");
  }
  taints(f, object["spec"]["taints"], Path("metadata.taints"));
  if (text(object["spec"], "externalID") != text(old["spec"], "externalID")) f.forbidden(Path("spec.externalID"), "may not be updated");
}

void resource_quota_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  quota_spec(f, object["spec"]);
  quota_amounts(f, object["status"]["hard"], Path("status.hard"));
  quota_amounts(f, object["status"]["used"], Path("status.used"));
}

void resource_quota_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  quota_spec(f, object["spec"]);
  std::set<std::string> now, before;
  for (Value scope : object["spec"]["scopes"].items()) now.insert(scope.str());
  for (Value scope : old["spec"]["scopes"].items()) before.insert(scope.str());
  if (now != before) f.invalid(Path("spec.scopes"), object["spec"]["scopes"], "field is immutable");
}

void resource_quota_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  quota_amounts(f, object["status"]["hard"], Path("status.hard"));
  quota_amounts(f, object["status"]["used"], Path("status.used"));
}

void limit_range_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  const Path path("spec.limits");
  std::set<std::string, std::less<>> types;
  std::size_t i = 0;
  for (Value item : object["spec"]["limits"].items()) {
    Path at = path.index(i++);
    std::string_view type = text(item, "type");
    limit_type(f, type, at.child("type"));
    if (!types.emplace(type).second) f.duplicate(at.child("type"), type);
    limit_item(f, item, at);
  }
}

void limit_range_update(Findings& f, Value object, Value) { limit_range_create(f, object); }

void service_account_create(Findings& f, Value object) { object_meta(f, object, true, name_is_subdomain); }
void service_account_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  service_account_create(f, object);
}

namespace {

void controller_template(Findings& f, Value spec, Value before, const Path& path) {
  Value pod_template_value = spec["template"];
  if (pod_template_value.is_null()) return f.required(path);
  Value labels = pod_template_value["metadata"]["labels"];
  if (!spec["selector"].empty() && !LabelSelector::from_map(spec["selector"]).matches(labels)) {
    f.invalid(path.child("metadata.labels"), labels, "`selector` does not match template `labels`");
  }
  pod_template(f, pod_template_value, path, before["template"]);
  std::string_view restart = text(pod_template_value["spec"], "restartPolicy");
  if (restart != "Always") f.not_supported(path.child("spec.restartPolicy"), restart, {"Always"});
  if (set(pod_template_value["spec"], "activeDeadlineSeconds")) {
    f.forbidden(path.child("spec.activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicationController is not Supported");
  }
}

void controller_spec(Findings& f, Value spec, Value before = {}) {
  const Path path("spec");
  f.nonnegative(path.child("minReadySeconds"), spec["minReadySeconds"]);
  if (spec["selector"].empty()) f.required(path.child("selector"));
  f.nonnegative(path.child("replicas"), spec["replicas"]);
  controller_template(f, spec, before, path.child("template"));
}

}  // namespace

void replication_controller_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  controller_spec(f, object["spec"]);
}

void replication_controller_update(Findings& f, Value object, Value old) {
  object_meta(f, object, true, name_is_subdomain);  // upstream judges it twice
  controller_spec(f, object["spec"], old["spec"]);
  object_meta_update(f, object, old);
  controller_spec(f, object["spec"], old["spec"]);
}

}  // namespace kybern::rules
