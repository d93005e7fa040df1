// Ingresses and their classes, network policies, addresses and ranges of services.
#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t controller_max_bytes = 250;
constexpr std::size_t policy_types_max = 2, ranges_max = 2;
constexpr const char* class_annotation = "kubernetes.io/ingress.class";

void path_segment(Findings& f, std::string_view name, const Path& path) {
  if (name.empty()) f.required(path);
  else f.say(path, name, names::path_segment(name));
}

void typed_reference(Findings& f, Value reference, const Path& path) {
  if (set(reference, "apiGroup")) dns_subdomain(f, text(reference, "apiGroup"), path.child("apiGroup"));
  path_segment(f, text(reference, "kind"), path.child("kind"));
  path_segment(f, text(reference, "name"), path.child("name"));
}

void backend(Findings& f, Value backend, const Path& path) {
  Value resource = backend["resource"], service = backend["service"], port = service["port"];
  if (!resource.is_null() && !service.is_null()) return f.invalid(path, "", "cannot set both resource and service backends");
  if (!resource.is_null()) return typed_reference(f, resource, path.child("resource"));
  if (service.is_null()) return f.invalid(path, "", "resource or service backend is required");
  Path service_path = path.child("service");
  if (text(service, "name").empty()) f.required(service_path.child("name"));
  else f.say(service_path.child("name"), text(service, "name"), names::dns1123_label(text(service, "name")));
  std::string_view name = text(port, "name");
  std::int64_t number = port["number"].as_int();
  if (!name.empty() && number != 0) f.invalid(path, "", "cannot set both port name & port number");
  else if (!name.empty()) f.say(service_path.child("port.name"), name, names::port_name(name));
  else if (number != 0) f.say(service_path.child("port.number"), number, names::port_number(number));
  else f.required(path, "port name or number is required");
}

void http_path(Findings& f, Value entry, const Path& path) {
  Value type = entry["pathType"];
  std::string_view at = text(entry, "path");
  Path path_path = path.child("path");
  if (type.is_null()) return f.required(path.child("pathType"), "pathType must be specified");
  bool strict = type.as_string() == "Exact" || type.as_string() == "Prefix";
  if (!strict) f.enumerated(path.child("pathType"), type.as_string(), {"Exact", "ImplementationSpecific", "Prefix"});
  bool known = strict || type.as_string() == "ImplementationSpecific";
  if (known && !at.starts_with('/') && (strict || !at.empty())) f.invalid(path_path, at, "must be an absolute path");
  if (strict) {
    for (std::string_view bad : {"//", "/./", "/../", "%2f", "%2F"}) {
      if (at.find(bad) != std::string_view::npos) f.invalid(path_path, at, fmt::format("must not contain '{}'", bad));
    }
    for (std::string_view bad : {"/..", "/."}) {
      if (at.ends_with(bad)) f.invalid(path_path, at, fmt::format("cannot end with '{}'", bad));
    }
  }
  backend(f, entry["backend"], path.child("backend"));
}

void host_name(Findings& f, std::string_view host, const Path& path) {
  if (host.find('*') == std::string_view::npos) dns_subdomain(f, host, path);
  else f.say(path, host, names::wildcard_dns1123_subdomain(host));
}

void http_paths(Findings& f, Value rule, const Path& rule_path) {
  if (!set(rule, "http")) return;
  Path paths = rule_path.child("http.paths");
  if (rule["http"]["paths"].empty()) f.required(paths);
  std::size_t i = 0;
  for (Value entry : rule["http"]["paths"].items()) http_path(f, entry, paths.index(i++));
}

bool is_wildcard(Value rule) { return text(rule, "host").find('*') != std::string_view::npos; }

void ingress_rules(Findings& f, Value rules, bool any_wildcard_rule, const Path& path) {
  std::size_t i = 0;
  for (Value rule : rules.items()) {
    Path at = path.index(i++), host_path = at.child("host");
    std::string_view host = text(rule, "host");
    if (names::ip_family(host) != names::Family::none) f.invalid(host_path, host, "must be a DNS name, not an IP address");
    if (!host.empty()) host_name(f, host, host_path);
    if (!any_wildcard_rule || !is_wildcard(rule)) http_paths(f, rule, at);
  }
}

// What was let through once and is still stored: the names of TLS secrets, the paths of rules for "*.example.com".
bool has_odd_secret(Value spec) {
  for (Value entry : spec["tls"].items()) {
    std::string_view name = text(entry, "secretName");
    if (!name.empty() && !names::dns1123_subdomain(name).empty()) return true;
  }
  return false;
}

bool has_odd_wildcard(Value spec) {
  for (Value rule : spec["rules"].items()) {
    Findings f;
    if (is_wildcard(rule)) http_paths(f, rule, Path());
    if (!f.empty()) return true;
  }
  return false;
}

void ingress_spec(Findings& f, Value spec, Value before) {
  const Path path("spec");
  Value rules = spec["rules"];
  if (rules.empty() && !set(spec, "defaultBackend")) f.invalid(path, rules, "either `defaultBackend` or `rules` must be specified");
  if (set(spec, "defaultBackend")) backend(f, spec["defaultBackend"], path.child("defaultBackend"));
  ingress_rules(f, rules, has_odd_wildcard(before), path.child("rules"));
  bool any_secret = has_odd_secret(before);
  Path tls = path.child("tls");
  std::size_t i = 0;
  for (Value entry : spec["tls"].items()) {
    Path at = tls.index(i++), hosts = at.child("hosts");
    std::size_t j = 0;
    for (Value host : entry["hosts"].items()) host_name(f, host.as_string(), hosts.index(j++));
    if (!any_secret && !text(entry, "secretName").empty()) dns_subdomain(f, text(entry, "secretName"), at.child("secretName"));
  }
  if (set(spec, "ingressClassName")) dns_subdomain(f, text(spec, "ingressClassName"), path.child("ingressClassName"));
}

void class_parameters(Findings& f, Value parameters, const Path& path) {
  if (parameters.is_null()) return;
  typed_reference(f, parameters, path);
  std::string_view scope = text(parameters, "scope");
  Path space = path.child("namespace");
  if (!set(parameters, "scope")) return f.required(path.child("scope"));
  f.enumerated(path.child("scope"), scope, {"Cluster", "Namespace"});
  if (scope == "Cluster" && set(parameters, "namespace")) f.forbidden(space, "`parameters.scope` is set to 'Cluster'");
  if (scope != "Namespace") return;
  if (!set(parameters, "namespace")) f.required(space, "`parameters.scope` is set to 'Namespace'");
  else dns_label(f, text(parameters, "namespace"), space);
}

void class_spec(Findings& f, Value spec) {
  const Path path("spec");
  std::string_view controller = text(spec, "controller");
  if (controller.size() > controller_max_bytes) f.too_long(path.child("controller"), controller_max_bytes);
  if (controller.empty()) f.required(path.child("controller"));
  else f.say(path.child("controller"), controller, names::domain_prefixed_path(controller));
  class_parameters(f, spec["parameters"], path.child("parameters"));
}

void policy_port(Findings& f, Value entry, const Path& path) {
  if (set(entry, "protocol")) f.enumerated(path.child("protocol"), text(entry, "protocol"), {"TCP", "UDP", "SCTP"});
  Value port = entry["port"], end = entry["endPort"];
  Path end_path = path.child("endPort");
  if (port.is_null()) {
    if (!end.is_null()) f.invalid(end_path, end.as_int(), "may not be specified when `port` is not specified");
    return;
  }
  if (port.is_string() && !end.is_null()) f.invalid(end_path, end.as_int(), "may not be specified when `port` is non-numeric");
  port_number_or_name(f, port, path.child("port"));
  if (port.is_string() || end.is_null()) return;
  if (end.as_int() < port.as_int()) f.invalid(end_path, end.as_int(), "must be greater than or equal to `port`");
  f.say(end_path, end.as_int(), names::port_number(end.as_int()));
}

int prefix_bits(std::string_view range) {
  std::size_t slash = range.find('/');
  int bits = 0;
  for (char c : range.substr(slash + 1)) bits = bits * 10 + (c - '0');
  return bits;
}

bool strictly_within(std::string_view inner, std::string_view outer) {
  int bits = prefix_bits(outer);
  if (names::cidr_family(inner) != names::cidr_family(outer) || bits >= prefix_bits(inner)) return false;
  std::string_view address = inner.substr(0, inner.find('/'));
  return names::canonical_cidr(fmt::format("{}/{}", address, bits)) == names::canonical_cidr(outer);
}

void ip_block(Findings& f, Value block, const Kept& kept, const Path& path) {
  std::string_view range = text(block, "cidr");
  if (range.empty()) return f.required(path.child("cidr"));
  cidr(f, range, path.child("cidr"), kept);
  if (names::cidr_family(range) == names::Family::none) return;
  Path except = path.child("except");
  std::size_t i = 0;
  for (Value one : block["except"].items()) {
    Path at = except.index(i++);
    cidr(f, one.as_string(), at, kept);
    if (names::cidr_family(one.as_string()) == names::Family::none) continue;
    if (!strictly_within(one.as_string(), range)) f.invalid(at, one.as_string(), "must be a strict subset of `cidr`");
  }
}

void policy_peer(Findings& f, Value peer, const Kept& kept, const Path& path) {
  int selectors = 0;
  for (const char* selector : {"podSelector", "namespaceSelector"}) {
    if (!set(peer, selector)) continue;
    ++selectors;
    f.add(validate_label_selector(peer[selector], path.child(selector)));
  }
  bool block = set(peer, "ipBlock");
  if (block) ip_block(f, peer["ipBlock"], kept, path.child("ipBlock"));
  if (!block && selectors == 0) f.required(path, "must specify a peer");
  else if (block && selectors > 0) f.forbidden(path, "may not specify both ipBlock and another peer");
}

void policy_direction(Findings& f, Value rules, const char* peers_field, const Kept& kept, const Path& path) {
  std::size_t i = 0;
  for (Value rule : rules.items()) {
    Path at = path.index(i++), ports = at.child("ports"), peers = at.child(peers_field);
    std::size_t j = 0, k = 0;
    for (Value port : rule["ports"].items()) policy_port(f, port, ports.index(j++));
    for (Value peer : rule[peers_field].items()) policy_peer(f, peer, kept, peers.index(k++));
  }
}

Kept ranges_of(Value spec) {
  Kept out;
  for (auto [rules, peers] : {std::pair("ingress", "from"), std::pair("egress", "to")}) {
    for (Value rule : spec[rules].items()) {
      for (Value peer : rule[peers].items()) {
        out.push_back(text(peer["ipBlock"], "cidr"));
        for (Value except : peer["ipBlock"]["except"].items()) out.push_back(except.as_string());
      }
    }
  }
  return out;
}

void policy_spec(Findings& f, Value spec, Value before) {
  const Path path("spec");
  Kept kept = ranges_of(before);
  f.add(validate_label_selector(spec["podSelector"], path.child("podSelector")));
  policy_direction(f, spec["ingress"], "from", kept, path.child("ingress"));
  policy_direction(f, spec["egress"], "to", kept, path.child("egress"));
  Value types = spec["policyTypes"];
  Path types_path = path.child("policyTypes");
  if (types.size() > policy_types_max) return f.invalid(types_path, types, "may not specify more than two policyTypes");
  for (std::size_t i = 0; i < types.size(); ++i) f.enumerated(types_path.index(i), types[i].as_string(), {"Ingress", "Egress"});
}

}  // namespace

void ingress_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  Value spec = object["spec"], annotation = object["metadata"]["annotations"][class_annotation];
  ingress_spec(f, spec, {});
  if (!annotation.exists() || !set(spec, "ingressClassName") || annotation == spec["ingressClassName"]) return;
  const Path annotations("annotations");
  f.invalid(annotations.child(class_annotation), annotation.as_string(), "must match `ingressClassName` when both are specified");
}

void ingress_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  object_meta(f, object, true, name_is_subdomain);
  ingress_spec(f, object["spec"], old["spec"]);
}

void ingress_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  const Path path("status.loadBalancer.ingress");
  Kept kept = balancer_ips(old);
  std::size_t i = 0;
  for (Value entry : object["status"]["loadBalancer"]["ingress"].items()) {
    Path at = path.index(i++);
    std::string_view ip = text(entry, "ip"), host = text(entry, "hostname");
    if (!ip.empty()) ip_address(f, ip, at.child("ip"), kept);
    if (host.empty()) continue;
    dns_subdomain(f, host, at.child("hostname"));
    if (names::ip_family(host) != names::Family::none) f.invalid(at.child("hostname"), host, "must be a DNS name, not an IP address");
  }
}

void ingress_class_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  class_spec(f, object["spec"]);
}

void ingress_class_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  f.add(validate_immutable(object["spec"]["controller"], old["spec"]["controller"], Path("spec.controller")));
  ingress_class_create(f, object);
}

void network_policy_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  policy_spec(f, object["spec"], {});
}

// Upstream checks the new policy twice.
void network_policy_update(Findings& f, Value object, Value old) {
  object_meta(f, object, true, name_is_subdomain);
  policy_spec(f, object["spec"], old["spec"]);
  object_meta_update(f, object, old);
  policy_spec(f, object["spec"], old["spec"]);
}

names::Messages name_is_ip(std::string_view name, bool) {
  if (std::string_view fault = address_fault(name); !fault.empty()) return {std::string(fault)};
  std::string canonical = names::canonical_ip(name);
  if (canonical != name) return {fmt::format("must be in canonical form ({})", go_quote(canonical))};
  return {};
}

void ip_address_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_ip);
  Value parent = object["spec"]["parentRef"];
  const Path path("spec.parentRef");
  if (parent.is_null()) return f.required(path);
  if (!text(parent, "group").empty()) dns_subdomain(f, text(parent, "group"), path.child("group"));
  path_segment(f, text(parent, "resource"), path.child("resource"));
  path_segment(f, text(parent, "name"), path.child("name"));
  if (!text(parent, "namespace").empty())
    f.say(path.child("namespace"), text(parent, "namespace"), names::path_segment(text(parent, "namespace")));
}

void ip_address_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  f.add(validate_immutable(object["spec"]["parentRef"], old["spec"]["parentRef"], Path("spec.parentRef")));
}

namespace {

void service_ranges(Findings& f, Value spec) {
  Value ranges = spec["cidrs"];
  const Path path("spec.cidrs");
  if (ranges.empty()) return f.required(path, "at least one CIDR required");
  if (ranges.size() > ranges_max) {
    Document shown = Draft::object({{"CIDRs", Draft(ranges)}}).freeze();  // the whole spec, as upstream's struct prints
    return f.invalid(path, shown.root(), "may only hold up to 2 values");
  }
  for (std::size_t i = 0; i < ranges.size(); ++i) canonical_cidr(f, ranges[i].as_string(), path.index(i));
  names::Family first = names::cidr_family(ranges[0].as_string());
  if (ranges.size() == ranges_max && first != names::Family::none && names::cidr_family(ranges[1].as_string()) == first)
    f.invalid(path, ranges, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
}

}  // namespace

void service_cidr_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  service_ranges(f, object["spec"]);
}

// One range may become two, of both families; else they stay as they are.
void service_cidr_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  constexpr const char* immutable = "field is immutable";
  Value now = object["spec"]["cidrs"], before = old["spec"]["cidrs"];
  const Path path("spec.cidrs");
  bool upgraded = before.size() == 1 && now.size() == 2;
  if (!upgraded && before.size() != now.size()) return f.invalid(path, now, immutable);
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (!(now[i] == before[i])) f.invalid(path.index(i), now[i], immutable);
  }
  if (upgraded) service_ranges(f, object["spec"]);
}

}  // namespace kybern::rules
