// Priority classes, leases, runtime classes, disruption budgets, endpoint slices, registrations of API services.
#include <fmt/format.h>

#include <array>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::int64_t user_priority_max = 1'000'000'000;
constexpr std::string_view system_prefix = "system-";
struct SystemPriority {
  std::string_view name;
  std::int64_t value;
};
constexpr SystemPriority system_priorities[] = {{"system-node-critical", 2'000'001'000}, {"system-cluster-critical", 2'000'000'000}};

constexpr std::size_t slice_endpoints_max = 1000, slice_addresses_max = 100, slice_ports_max = 20'000;
constexpr std::size_t slice_hints_max = 8;
constexpr std::int64_t group_priority_max = 20'000, version_priority_max = 1000;

std::string not_a_system_priority(Value object) {
  std::string_view name = text(object["metadata"], "name");
  for (const SystemPriority& known : system_priorities) {
    if (known.name != name) continue;
    if (object["value"].as_int() != known.value) return fmt::format("value of {} PriorityClass must be {}", name, known.value);
    if (object["globalDefault"].as_bool()) return fmt::format("globalDefault of {} PriorityClass must be false", name);
    return {};
  }
  return fmt::format("{} is not a known system priority class", name);
}

void lease_spec(Findings& f, Value spec) {
  const Path path("spec");
  Value duration = spec["leaseDurationSeconds"], transitions = spec["leaseTransitions"];
  if (!duration.is_null() && duration.as_int() <= 0)
    f.invalid(path.child("leaseDurationSeconds"), duration.as_int(), "must be greater than 0");
  if (transitions.as_int() < 0) f.invalid(path.child("leaseTransitions"), transitions.as_int(), "must be greater than or equal to 0");
  if (set(spec, "preferredHolder") && !text(spec, "preferredHolder").empty() && text(spec, "strategy").empty()) {
    f.forbidden(path.child("preferredHolder"), "may only be specified when `strategy` is defined");
  }
}

void runtime_scheduling(Findings& f, Value scheduling) {
  if (scheduling.is_null()) return;
  const Path path("scheduling");
  Path list = path.child("tolerations");
  f.add(validate_labels(scheduling["nodeSelector"], path.child("nodeSelector")));
  tolerations(f, scheduling["tolerations"], list);
  std::set<std::array<std::string_view, 4>> seen;
  std::size_t i = 0;
  for (Value one : scheduling["tolerations"].items()) {
    Path at = list.index(i++);
    if (!seen.insert({text(one, "key"), text(one, "operator"), text(one, "value"), text(one, "effect")}).second) f.duplicate(at, one);
  }
}

void budget_spec(Findings& f, Value spec) {
  const Path path("spec");
  bool least = set(spec, "minAvailable"), most = set(spec, "maxUnavailable");
  if (least && most) f.invalid(path, spec, "minAvailable and maxUnavailable cannot be both set");
  for (const char* field : {"minAvailable", "maxUnavailable"}) {
    Value amount = spec[field];
    if (amount.is_null()) continue;
    amount_or_percent(f, amount, path.child(field));
    bool percent = amount.is_string() && names::percent(amount.as_string()).empty();
    if (percent && parse_int(amount.as_string().substr(0, amount.as_string().size() - 1)).value_or(0) > 100)
      f.invalid(path.child(field), amount, "must not be greater than 100%");
  }
  f.add(validate_label_selector(spec["selector"], path.child("selector")));
  if (set(spec, "unhealthyPodEvictionPolicy"))
    f.enumerated(path.child("unhealthyPodEvictionPolicy"), text(spec, "unhealthyPodEvictionPolicy"), {"AlwaysAllow", "IfHealthyBudget"});
}

void slice_address(Findings& f, std::string_view type, std::string_view address, const Path& path, const Path& list) {
  if (type == "FQDN") return f.say(path, address, names::fully_qualified_domain_name(address));
  if (type != "IPv4" && type != "IPv6") return;
  if (!address_fault(address).empty()) return ip_address(f, address, path);
  if ((names::ip_family(address) == names::Family::ipv4) != (type == "IPv4"))
    f.invalid(list, address, fmt::format("must be an {} address", type));
  ordinary_ip(f, address, path);
}

void slice_hints(Findings& f, Value hints, const Path& path) {
  Path zones = path.child("forZones"), nodes = path.child("forNodes");
  std::set<std::string, std::less<>> seen;
  if (hints["forZones"].size() > slice_hints_max) return f.too_many(zones, hints["forZones"].size(), slice_hints_max);
  std::size_t i = 0;
  for (Value zone : hints["forZones"].items()) {
    Path at = zones.index(i++, "name");
    if (!seen.emplace(text(zone, "name")).second) f.duplicate(at, text(zone, "name"));
    else f.add(validate_label_name(text(zone, "name"), at));
  }
  if (hints["forNodes"].size() > slice_hints_max) return f.too_many(nodes, hints["forNodes"].size(), slice_hints_max);
  seen.clear();
  std::size_t j = 0;
  for (Value node : hints["forNodes"].items()) {
    Path at = nodes.index(j++, "name");
    if (!seen.emplace(text(node, "name")).second) f.duplicate(at, text(node, "name"));
    else dns_subdomain(f, text(node, "name"), at);
  }
}

void slice_endpoint(Findings& f, std::string_view type, Value endpoint, const Path& path) {
  Path addresses = path.child("addresses");
  Value list = endpoint["addresses"];
  if (list.empty()) f.required(addresses, "must contain at least 1 address");
  else if (list.size() > slice_addresses_max) f.too_many(addresses, list.size(), slice_addresses_max);
  for (std::size_t i = 0; i < list.size(); ++i) slice_address(f, type, list[i].as_string(), addresses.index(i), addresses);
  if (set(endpoint, "nodeName")) dns_subdomain(f, text(endpoint, "nodeName"), path.child("nodeName"));
  Path topology = path.child("deprecatedTopology");
  f.add(validate_labels(endpoint["deprecatedTopology"], topology));
  if (endpoint["deprecatedTopology"]["kubernetes.io/hostname"].exists())
    f.invalid(topology.key("kubernetes.io/hostname"), "kubernetes.io/hostname", "may not be set");
  if (set(endpoint, "hints")) slice_hints(f, endpoint["hints"], path.child("hints"));
  if (set(endpoint, "hostname")) dns_label(f, text(endpoint, "hostname"), path.child("hostname"));
}

void slice_ports(Findings& f, Value ports) {
  const Path path("ports");
  if (ports.size() > slice_ports_max) return f.too_many(path, ports.size(), slice_ports_max);
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value port : ports.items()) {
    Path at = path.index(i++);
    std::string_view name = text(port, "name");
    if (!name.empty()) dns_label(f, name, at.child("name"));
    if (!seen.emplace(name).second) f.duplicate(at.child("name"), name);
    f.one_of(at.child("protocol"), text(port, "protocol"), {"SCTP", "TCP", "UDP"});
    if (set(port, "appProtocol")) qualified(f, text(port, "appProtocol"), at.child("appProtocol"));
  }
}

void api_service_spec(Findings& f, Value spec) {
  const Path path("spec");
  std::string_view group = text(spec, "group"), version = text(spec, "version");
  std::int64_t group_priority = spec["groupPriorityMinimum"].as_int(), version_priority = spec["versionPriority"].as_int();
  if (group.empty() && version != "v1") f.required(path.child("group"), "only v1 may have an empty group and it better be legacy kube");
  if (!group.empty()) dns_subdomain(f, group, path.child("group"));
  f.say(path.child("version"), version, names::dns1035_label(version));
  if (group_priority <= 0 || group_priority > group_priority_max)
    f.invalid(path.child("groupPriorityMinimum"), group_priority, "must be positive and less than 20000");
  if (version_priority <= 0 || version_priority > version_priority_max)
    f.invalid(path.child("versionPriority"), version_priority, "must be positive and less than 1000");
  Value service = spec["service"];
  bool unchecked = spec["insecureSkipTLSVerify"].as_bool();
  std::size_t bundle = text(spec, "caBundle").size();
  if (service.is_null()) {
    if (bundle != 0)
      f.invalid(path.child("caBundle"), fmt::format("{} bytes", bundle * 3 / 4), "local APIServices may not have a caBundle");
    if (unchecked)
      f.invalid(path.child("insecureSkipTLSVerify"), spec["insecureSkipTLSVerify"], "local APIServices may not have insecureSkipTLSVerify");
    return;
  }
  Path at = path.child("service");
  for (const char* field : {"namespace", "name"}) {
    if (text(service, field).empty()) f.required(at.child(field));
  }
  std::int64_t port = service["port"].as_int(443);
  if (auto messages = names::port_number(port); !messages.empty())
    f.invalid(at.child("port"), port, "port is not valid: " + join(messages, ", "));
  if (unchecked && bundle != 0)
    f.invalid(path.child("insecureSkipTLSVerify"), spec["insecureSkipTLSVerify"], "may not be true if caBundle is present");
}

}  // namespace

void priority_class_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  std::string_view name = text(object["metadata"], "name");
  if (name.starts_with(system_prefix)) {
    if (std::string why = not_a_system_priority(object); !why.empty()) {
      f.forbidden(Path("metadata.name"), "priority class names with 'system-' prefix are reserved for system use only. error: " + why);
    }
  } else if (object["value"].as_int() > user_priority_max) {
    f.forbidden(Path("value"), fmt::format("maximum allowed value of a user defined priority is {}", user_priority_max));
  }
  if (set(object, "preemptionPolicy"))
    f.one_of(Path("preemptionPolicy"), text(object, "preemptionPolicy"), {"PreemptLowerPriority", "Never"});
}

void priority_class_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  if (object["value"].as_int() != old["value"].as_int()) f.forbidden(Path("value"), "may not be changed in an update.");
  f.add(validate_immutable(object["preemptionPolicy"], old["preemptionPolicy"], Path("preemptionPolicy")));
}

// Leases and runtime classes may have finalizers without a domain: upstream judges their metadata by the general rules alone.
void lease_create(Findings& f, Value object) {
  f.add(validate_object_meta(object["metadata"], true, name_is_subdomain));
  lease_spec(f, object["spec"]);
}

void lease_update(Findings& f, Value object, Value old) {
  f.add(validate_object_meta_update(object["metadata"], old["metadata"]));
  lease_spec(f, object["spec"]);
}

void runtime_class_create(Findings& f, Value object) {
  f.add(validate_object_meta(object["metadata"], false, name_is_subdomain));
  dns_label(f, text(object, "handler"), Path("handler"));
  if (set(object, "overhead")) {
    Document limits = Draft::object({{"limits", Draft(object["overhead"]["podFixed"])}}).freeze();
    resource_requirements(f, limits, {}, Path("overhead"));
  }
  runtime_scheduling(f, object["scheduling"]);
}

void runtime_class_update(Findings& f, Value object, Value old) {
  runtime_class_create(f, object);
  f.add(validate_object_meta_update(object["metadata"], old["metadata"]));
  f.add(validate_immutable(object["handler"], old["handler"], Path("handler")));
}

// Of a budget's metadata only what every object has to keep is judged, where its rules are called.
void disruption_budget_create(Findings& f, Value object) { budget_spec(f, object["spec"]); }
void disruption_budget_update(Findings& f, Value object, Value) { budget_spec(f, object["spec"]); }

void disruption_budget_status(Findings& f, Value object, Value) {
  const Path path("status");
  f.add(validate_conditions(object["status"]["conditions"], path.child("conditions")));
  for (const char* count : {"disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"})
    f.nonnegative(path.child(count), object["status"][count]);
}

namespace {

void slice_endpoints(Findings& f, Value object) {
  const Path path("endpoints");
  Value endpoints = object["endpoints"];
  if (endpoints.size() > slice_endpoints_max) return f.too_many(path, endpoints.size(), slice_endpoints_max);
  for (std::size_t i = 0; i < endpoints.size(); ++i) slice_endpoint(f, text(object, "addressType"), endpoints[i], path.index(i));
}

// Endpoints that nobody touches are not judged again: rules were looser once.
void slice_rules(Findings& f, Value object, Value old) {
  object_meta(f, object, true, name_is_subdomain);
  f.one_of(Path("addressType"), text(object, "addressType"), {"FQDN", "IPv4", "IPv6"});
  if (old.is_null() || !same(object["endpoints"], old["endpoints"])) slice_endpoints(f, object);
  slice_ports(f, object["ports"]);
}

}  // namespace

void endpoint_slice_create(Findings& f, Value object) { slice_rules(f, object, {}); }

void endpoint_slice_update(Findings& f, Value object, Value old) {
  slice_rules(f, object, old);
  f.add(validate_immutable(object["addressType"], old["addressType"], Path("addressType")));
}

void api_service_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_path_segment);
  Value spec = object["spec"];
  std::string wanted = fmt::format("{}.{}", text(spec, "version"), text(spec, "group"));
  std::string_view name = text(object["metadata"], "name");
  if (!name.empty() && name != wanted)
    f.invalid(Path("metadata.name"), name, fmt::format("must be `spec.version+\".\"+spec.group`: {}", go_quote(wanted)));
  api_service_spec(f, spec);
}

void api_service_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  api_service_create(f, object);
}

void api_service_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  const Path path("status.conditions");
  std::size_t i = 0;
  for (Value condition : object["status"]["conditions"].items()) {
    Path at = path.index(i++);
    f.enumerated(at.child("status"), text(condition, "status"), {"True", "False", "Unknown"});
  }
}

}  // namespace kybern::rules
