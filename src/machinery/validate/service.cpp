// Services and Endpoints.
#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::int64_t affinity_max_s = 86400;
constexpr const char* balancer_only = "may only be used when `type` is 'LoadBalancer'";
const Path spec_path("spec");

struct Service {
  explicit Service(Value object) : spec(object["spec"]), type(text(spec, "type")), ips(spec["clusterIPs"]), families(spec["ipFamilies"]) {}
  Value spec;
  std::string_view type;
  Value ips, families;
  bool headless() const { return ips.size() == 1 && ips[0].as_string() == "None"; }
  bool balancer() const { return type == "LoadBalancer"; }
  bool external_name() const { return type == "ExternalName"; }
  bool reachable_from_outside() const { return balancer() || type == "NodePort" || (type == "ClusterIP" && !spec["externalIPs"].empty()); }
  bool needs_health_check() const { return balancer() && text(spec, "externalTrafficPolicy") == "Local"; }
};

void port(Findings& f, Value port, bool need_name, std::set<std::string, std::less<>>& seen, const Path& path) {
  std::string_view name = text(port, "name");
  if (need_name && name.empty()) f.required(path.child("name"));
  else if (!name.empty()) {
    dns_label(f, name, path.child("name"));
    if (!seen.emplace(name).second) f.duplicate(path.child("name"), name);
  }
  f.say(path.child("port"), port["port"].as_int(), names::port_number(port["port"].as_int()));
  f.one_of(path.child("protocol"), text(port, "protocol"), {"SCTP", "TCP", "UDP"});
  port_number_or_name(f, port["targetPort"], path.child("targetPort"));
  if (set(port, "appProtocol")) qualified(f, text(port, "appProtocol"), path.child("appProtocol"));
}

void by_type(Findings& f, const Service& service) {
  Path ips = spec_path.child("clusterIPs");
  if (service.headless() && (service.balancer() || service.type == "NodePort")) {
    f.invalid(ips.index(0), "None", fmt::format("may not be set to 'None' for {} services", service.type));
  }
  if (!service.external_name()) return;
  constexpr const char* not_external = "may not be set for ExternalName services";
  if (!service.ips.empty()) f.forbidden(ips, not_external);
  if (!service.families.empty()) f.forbidden(spec_path.child("ipFamilies"), not_external);
  if (set(service.spec, "ipFamilyPolicy")) f.forbidden(spec_path.child("ipFamilyPolicy"), not_external);
  std::string_view name = text(service.spec, "externalName");
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty()) f.required(spec_path.child("externalName"));
  else dns_subdomain(f, name, spec_path.child("externalName"));
}

void session_affinity(Findings& f, const Service& service) {
  std::string_view affinity = text(service.spec, "sessionAffinity");
  Value config = service.spec["sessionAffinityConfig"], timeout = config["clientIP"]["timeoutSeconds"];
  Path path = spec_path.child("sessionAffinityConfig"), client = path.child("clientIP");
  f.one_of(spec_path.child("sessionAffinity"), affinity, {"ClientIP", "None"});
  if (affinity == "None" && !config.is_null()) f.forbidden(path, "must not be set when session affinity is None");
  if (affinity != "ClientIP") return;
  constexpr const char* needed = "when session affinity type is ClientIP";
  if (config.is_null()) f.required(path, needed);
  else if (!set(config, "clientIP")) f.required(client, needed);
  else if (timeout.is_null()) f.required(client.child("timeoutSeconds"), needed);
  else if (timeout.as_int() <= 0 || timeout.as_int() > affinity_max_s) {
    f.invalid(client.child("timeoutSeconds"), timeout.as_int(), fmt::format("must be greater than 0 and less than {}", affinity_max_s));
  }
}

Kept texts_of(Value list) {
  Kept out;
  for (Value item : list.items()) out.push_back(item.as_string());
  return out;
}

std::vector<std::string> texts(Value list) {
  std::vector<std::string> out;
  for (Value item : list.items()) out.push_back(item.str());
  return out;
}

void families_match(Findings& f, const Service& service, const Path& path) {
  if (service.headless()) return;
  for (std::size_t i = 0; i < service.ips.size() && i < service.families.size(); ++i) {
    std::string_view ip = service.ips[i].as_string(), family = service.families[i].as_string();
    bool v6 = names::ip_family(ip) == names::Family::ipv6;
    if (family == "IPv4" && v6) f.invalid(path.index(i), ip, fmt::format("expected an IPv4 value as indicated by `ipFamilies[{}]`", i));
    if (family == "IPv6" && !v6) f.invalid(path.index(i), ip, fmt::format("expected an IPv6 value as indicated by `ipFamilies[{}]`", i));
  }
}

void cluster_ips(Findings& f, const Service& service, const Kept& kept) {
  if (service.external_name()) return;
  Path path = spec_path.child("clusterIPs"), families = spec_path.child("ipFamilies");
  std::string_view first = text(service.spec, "clusterIP");
  if (!first.empty() && service.ips.empty()) f.required(path);
  else if (!first.empty() && service.ips[0].as_string() != first) f.invalid(path, service.ips, "first value must match `clusterIP`");
  else if (first.empty() && !service.ips.empty()) f.invalid(path, service.ips, "must be empty when `clusterIP` is not specified");
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < service.families.size(); ++i) {
    std::string_view family = service.families[i].as_string();
    f.enumerated(families.index(i), family, {"IPv4", "IPv6"});
    if (!seen.insert(family).second) f.duplicate(families.index(i), family);
  }
  if (set(service.spec, "ipFamilyPolicy")) {
    f.enumerated(spec_path.child("ipFamilyPolicy"), text(service.spec, "ipFamilyPolicy"),
                 {"PreferDualStack", "RequireDualStack", "SingleStack"});
  }
  bool wrong = false;
  for (std::size_t i = 0; i < service.ips.size(); ++i) {
    if (i == 0 && service.ips[0].as_string() == "None") {
      if (service.ips.size() > 1) f.invalid(path, service.ips, "'None' must be the first and only value"), wrong = true;
      continue;
    }
    std::size_t before = f.size();
    ip_address(f, service.ips[i].as_string(), path.index(i), kept);
    wrong |= f.size() > before;
  }
  if (service.ips.size() > 2) f.invalid(path, service.ips, "may only hold up to 2 values");
  if (wrong) return;
  if (service.ips.size() > 1 && !dual_stack(texts(service.ips)))
    f.invalid(path, service.ips, "may specify no more than one IP for each IP family");
  families_match(f, service, path);
}

void duplicate_ports(Findings& f, const Service& service) {
  Path path = spec_path.child("ports");
  Value ports = service.spec["ports"];
  for (const char* key : {"nodePort", "port"}) {
    bool node = std::string_view(key) == "nodePort";
    std::set<std::pair<std::int64_t, std::string_view>> taken;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      if (node && ports[i][key].as_int() == 0) continue;
      bool seen = !taken.emplace(ports[i][key].as_int(), text(ports[i], "protocol")).second;
      Path at = path.index(i);
      if (seen && node) f.duplicate(at.child("nodePort"), ports[i][key]);
      if (!seen || node) continue;
      // The whole port is shown as upstream's struct prints.
      Document shown = Draft::object({{"Name", ""},
                                      {"Protocol", text(ports[i], "protocol")},
                                      {"AppProtocol", nullptr},
                                      {"Port", ports[i]["port"].as_int()},
                                      {"TargetPort", 0},
                                      {"NodePort", 0}})
                           .freeze();
      f.duplicate(at, shown.root());
    }
  }
}

void source_ranges(Findings& f, const Service& service, Value annotations, Value before) {
  constexpr const char* annotation = "service.beta.kubernetes.io/load-balancer-source-ranges";
  Value ranges = service.spec["loadBalancerSourceRanges"];
  if (!ranges.empty()) {
    Path path = spec_path.child("LoadBalancerSourceRanges");
    if (!service.balancer()) f.forbidden(path, balancer_only);
    Kept kept;
    for (Value range : before["spec"]["loadBalancerSourceRanges"].items()) kept.push_back(trim(range.as_string()));
    for (std::size_t i = 0; i < ranges.size(); ++i) cidr(f, trim(ranges[i].as_string()), path.index(i), kept);
  } else if (Value value = annotations[annotation]; value.exists()) {
    const Path list("metadata.annotations");
    Path path = list.key(annotation);
    if (!service.balancer()) f.forbidden(path, balancer_only);
    std::string_view all = trim(value.as_string());
    if (all.empty() || before["metadata"]["annotations"][annotation] == value) return;
    for (std::string_view range : split(all, ',')) cidr(f, trim(range), path);
  }
}

void balancer_class(Findings& f, const Service& service) {
  Value name = service.spec["loadBalancerClass"];
  if (name.is_null()) return;
  if (service.balancer()) qualified(f, name.as_string(), spec_path.child("loadBalancerClass"));
  else f.forbidden(spec_path.child("loadBalancerClass"), balancer_only);
}

void traffic(Findings& f, const Service& service) {
  std::string_view external = text(service.spec, "externalTrafficPolicy");
  std::int64_t health = service.spec["healthCheckNodePort"].as_int();
  if (service.reachable_from_outside()) f.one_of(spec_path.child("externalTrafficPolicy"), external, {"Cluster", "Local"});
  else if (!external.empty())
    f.invalid(spec_path.child("externalTrafficPolicy"), external, "may only be set for externally-accessible services");
  if (service.needs_health_check()) {
    if (health == 0) f.required(spec_path.child("healthCheckNodePort"));
    else f.say(spec_path.child("healthCheckNodePort"), health, names::port_number(health));
  } else if (health != 0) {
    f.invalid(spec_path.child("healthCheckNodePort"), health,
              "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
  }
  bool inside = service.type == "NodePort" || service.balancer() || service.type == "ClusterIP";
  if (set(service.spec, "internalTrafficPolicy"))
    f.enumerated(spec_path.child("internalTrafficPolicy"), text(service.spec, "internalTrafficPolicy"), {"Cluster", "Local"});
  else if (inside) f.required(spec_path.child("internalTrafficPolicy"));
  if (set(service.spec, "trafficDistribution")) {
    f.enumerated(spec_path.child("trafficDistribution"), text(service.spec, "trafficDistribution"),
                 {"PreferClose", "PreferSameZone", "PreferSameNode"});
  }
}

// From one to two addresses and back; the first stays.
void primary_stays(Findings& f, const Service& now, const Service& old, Value before, Value after, const char* field,
                   const char* secondary) {
  Path path = spec_path.child(field);
  if (before.size() == after.size()) {
    bool ips = std::string_view(field) == "clusterIPs";
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (!(before[i] == after[i])) f.invalid(path.index(ips ? i : 0), after, "may not change once set");
    }
    return;
  }
  bool released = before.size() > after.size();
  if (released && now.ips.empty()) f.invalid(path.index(0), after, fmt::format("primary {} can not be unset", secondary));
  if (!before.empty() && !after.empty() && !(before[0] == after[0])) f.invalid(path.index(0), now.ips, "may not change once set");
  if (released && after.size() == 1 && text(now.spec, "ipFamilyPolicy") != "SingleStack") {
    f.invalid(spec_path.child("ipFamilyPolicy"), now.spec["ipFamilyPolicy"],
              fmt::format("must be set to 'SingleStack' when releasing the secondary {}", secondary));
  }
  (void)old;
}

void endpoint_address(Findings& f, Value address, const Path& path) {
  ip_address(f, text(address, "ip"), path.child("ip"));
  if (!text(address, "hostname").empty()) dns_label(f, text(address, "hostname"), path.child("hostname"));
  if (set(address, "nodeName")) dns_subdomain(f, text(address, "nodeName"), path.child("nodeName"));
  ordinary_ip(f, text(address, "ip"), path.child("ip"));
}

void endpoint_port(Findings& f, Value port, bool need_name, const Path& path) {
  std::string_view name = text(port, "name");
  if (need_name && name.empty()) f.required(path.child("name"));
  else if (!name.empty()) dns_label(f, name, path.child("name"));
  f.say(path.child("port"), port["port"].as_int(), names::port_number(port["port"].as_int()));
  f.one_of(path.child("protocol"), text(port, "protocol"), {"SCTP", "TCP", "UDP"});
  if (set(port, "appProtocol")) qualified(f, text(port, "appProtocol"), path.child("appProtocol"));
}

// `before`: what is replaced, whose name and addresses stay good.
void service_rules(Findings& f, Value object, Value before) {
  Service service(object);
  Value annotations = object["metadata"]["annotations"];
  object_meta(f, object, true, before.is_null() ? name_is_label : name_is_anything);
  Value hints = annotations["service.kubernetes.io/topology-aware-hints"], mode = annotations["service.kubernetes.io/topology-mode"];
  if (hints.exists() && mode.exists() && !(hints == mode)) {
    const Path path("metadata.annotations");
    f.invalid(path.key("service.kubernetes.io/topology-mode"), mode.as_string(),
              "must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified");
  }
  Value ports = service.spec["ports"];
  if (ports.empty() && !service.headless() && !service.external_name()) f.required(spec_path.child("ports"));
  by_type(f, service);
  Path port_path = spec_path.child("ports");
  std::set<std::string, std::less<>> seen;
  for (std::size_t i = 0; i < ports.size(); ++i) port(f, ports[i], ports.size() > 1, seen, port_path.index(i));
  f.add(validate_labels(service.spec["selector"], spec_path.child("selector")));
  session_affinity(f, service);
  cluster_ips(f, service, texts_of(before["spec"]["clusterIPs"]));
  Path external = spec_path.child("externalIPs");
  Kept kept = texts_of(before["spec"]["externalIPs"]);
  std::size_t i = 0;
  for (Value ip : service.spec["externalIPs"].items()) {
    Path at = external.index(i++);
    std::size_t so_far = f.size();
    ip_address(f, ip.as_string(), at, kept);
    if (f.size() == so_far) ordinary_ip(f, ip.as_string(), at);
  }
  f.one_of(spec_path.child("type"), service.type, {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"});
  for (std::size_t j = 0; service.type == "ClusterIP" && j < ports.size(); ++j) {
    if (ports[j]["nodePort"].as_int() != 0) f.forbidden(port_path.index(j, "nodePort"), "may not be used when `type` is 'ClusterIP'");
  }
  duplicate_ports(f, service);
  source_ranges(f, service, annotations, before);
  bool allocates = set(service.spec, "allocateLoadBalancerNodePorts");
  if (allocates && !service.balancer()) f.forbidden(spec_path.child("allocateLoadBalancerNodePorts"), balancer_only);
  if (!allocates && service.balancer()) f.required(Path("allocateLoadBalancerNodePorts"));
  balancer_class(f, service);
  traffic(f, service);
}

}  // namespace

void service_create(Findings& f, Value object) { service_rules(f, object, {}); }

void service_update(Findings& f, Value object, Value before) {
  Service now(object), old(before);
  object_meta_update(f, object, before);
  bool settled = !now.external_name() && !old.external_name();
  if (settled && !(now.headless() && old.headless())) primary_stays(f, now, old, old.ips, now.ips, "clusterIPs", "clusterIP");
  if (settled && now.headless() == old.headless() && !now.headless())
    primary_stays(f, now, old, old.families, now.families, "ipFamilies", "ipFamily");
  if (now.balancer() && old.balancer() && !same(now.spec["loadBalancerClass"], old.spec["loadBalancerClass"])) {
    f.invalid(spec_path.child("loadBalancerClass"), now.spec["loadBalancerClass"], "may not change once set");
  }
  balancer_class(f, now);
  if (now.needs_health_check() && old.needs_health_check() &&
      now.spec["healthCheckNodePort"].as_int() != old.spec["healthCheckNodePort"].as_int()) {
    f.forbidden(spec_path.child("healthCheckNodePort"), "field is immutable");
  }
  service_rules(f, object, before);
}

void service_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  const Path path("status.loadBalancer.ingress");
  Value list = object["status"]["loadBalancer"]["ingress"];
  if (text(object["spec"], "type") != "LoadBalancer" && !list.empty())
    return f.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'");
  Kept kept = balancer_ips(old);
  std::size_t i = 0;
  for (Value ingress : list.items()) {
    Path at = path.index(i++);
    std::string_view ip = text(ingress, "ip"), host = text(ingress, "hostname");
    if (!ip.empty()) ip_address(f, ip, at.child("ip"), kept);
    if (!set(ingress, "ipMode")) {
      if (!ip.empty()) f.required(at.child("ipMode"), "must be specified when `ip` is set");
    } else if (ip.empty()) {
      f.forbidden(at.child("ipMode"), "may not be specified when `ip` is not set");
    } else {
      f.enumerated(at.child("ipMode"), text(ingress, "ipMode"), {"Proxy", "VIP"});
    }
    if (host.empty()) continue;
    dns_subdomain(f, host, at.child("hostname"));
    if (names::ip_family(host) != names::Family::none) f.invalid(at.child("hostname"), host, "must be a DNS name, not an IP address");
  }
}

Kept balancer_ips(Value object) {
  Kept out;
  for (Value ingress : object["status"]["loadBalancer"]["ingress"].items()) out.push_back(text(ingress, "ip"));
  return out;
}

namespace {

void subsets(Findings& f, Value object) {
  const Path path("subsets");
  std::size_t i = 0;
  for (Value subset : object["subsets"].items()) {
    Path at = path.index(i++);
    if (subset["addresses"].empty() && subset["notReadyAddresses"].empty())
      f.required(at, "must specify `addresses` or `notReadyAddresses`");
    for (const char* list : {"addresses", "notReadyAddresses"}) {
      Path addresses = at.child(list);
      std::size_t j = 0;
      for (Value address : subset[list].items()) endpoint_address(f, address, addresses.index(j++));
    }
    Path ports = at.child("ports");
    std::size_t j = 0;
    for (Value port : subset["ports"].items()) endpoint_port(f, port, subset["ports"].size() > 1, ports.index(j++));
  }
}

}  // namespace

void endpoints_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  subsets(f, object);
}

// Addresses that nobody touches are not judged again: rules were looser once.
void endpoints_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  object_meta(f, object, true, name_is_subdomain);
  if (!same(object["subsets"], old["subsets"])) subsets(f, object);
}

}  // namespace kybern::rules
