// Ingresses and their classes, network policies, addresses and ranges of services.
#include <fmt/format.h>

#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t controller_max_bytes = 250;
constexpr std::size_t policy_types_max = 2, ranges_max = 2;
constexpr const char* class_annotation = "kubernetes.io/ingress.class";

void path_segment(Findings& f, std::string_view name, std::string_view missing, const Path& path) {
  if (name.empty()) f.required(path, missing);
  else f.say(path, name, names::path_segment(name));
}

void typed_reference(Findings& f, Value reference, const Path& path) {
  if (set(reference, "apiGroup")) dns_subdomain(f, text(reference, "apiGroup"), path.child("apiGroup"));
  path_segment(f, text(reference, "kind"), "kind is required", path.child("kind"));
  path_segment(f, text(reference, "name"), "name is required", path.child("name"));
}

void backend(Findings& f, Value backend, const Path& path) {
  Value resource = backend["resource"], service = backend["service"], port = service["port"];
  if (!resource.is_null() && !service.is_null()) return f.invalid(path, "", "cannot set both resource and service backends");
  if (!resource.is_null()) return typed_reference(f, resource, path.child("resource"));
  if (service.is_null()) return f.invalid(path, "", "resource or service backend is required");
  Path service_path = path.child("service");
  if (text(service, "name").empty()) f.required(service_path.child("name"));
  else f.say(service_path.child("name"), text(service, "name"), names::dns1035_label(text(service, "name")));
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

void ingress_rules(Findings& f, Value rules, const Path& path) {
  Path first = path.index(0);  // upstream reports every rule's paths under the first rule
  Path paths = first.child("http.paths");
  std::size_t i = 0;
  for (Value rule : rules.items()) {
    Path at = path.index(i++, "host");
    std::string_view host = text(rule, "host");
    if (names::ip_family(host) != names::Family::none) f.invalid(at, host, "must be a DNS name, not an IP address");
    if (!host.empty()) host_name(f, host, at);
    if (!set(rule, "http")) continue;
    if (rule["http"]["paths"].empty()) f.required(paths);
    std::size_t j = 0;
    for (Value entry : rule["http"]["paths"].items()) http_path(f, entry, paths.index(j++));
  }
}

void ingress_spec(Findings& f, Value spec) {
  const Path path("spec");
  Value rules = spec["rules"];
  if (rules.empty() && !set(spec, "defaultBackend")) f.invalid(path, rules, "either `defaultBackend` or `rules` must be specified");
  if (set(spec, "defaultBackend")) backend(f, spec["defaultBackend"], path.child("defaultBackend"));
  ingress_rules(f, rules, path.child("rules"));
  Path tls = path.child("tls");
  std::size_t i = 0;
  for (Value entry : spec["tls"].items()) {
    Path at = tls.index(i++), hosts = at.child("hosts");
    std::size_t j = 0;
    for (Value host : entry["hosts"].items()) host_name(f, host.as_string(), hosts.index(j++));
    if (!text(entry, "secretName").empty()) dns_subdomain(f, text(entry, "secretName"), at.child("secretName"));
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
  if (text(parameters, "namespace").empty()) f.required(space, "`parameters.scope` is set to 'Namespace'");
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
  if (end.as_int() < port.as_int()) f.invalid(end_path, port.as_int(), "must be greater than or equal to `port`");
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

void ip_block(Findings& f, Value block, const Path& path) {
  std::string_view range = text(block, "cidr");
  if (range.empty()) return f.required(path.child("cidr"));
  cidr(f, range, path.child("cidr"));
  if (names::cidr_family(range) == names::Family::none) return;
  Path except = path.child("except");
  std::size_t i = 0;
  for (Value one : block["except"].items()) {
    Path at = except.index(i++);
    if (names::cidr_family(one.as_string()) == names::Family::none) cidr(f, one.as_string(), at);
    else if (!strictly_within(one.as_string(), range)) f.invalid(at, one.as_string(), "must be a strict subset of `cidr`");
  }
}

void policy_peer(Findings& f, Value peer, const Path& path) {
  int selectors = 0;
  for (const char* selector : {"podSelector", "namespaceSelector"}) {
    if (!set(peer, selector)) continue;
    ++selectors;
    f.add(validate_label_selector(peer[selector], path.child(selector)));
  }
  bool block = set(peer, "ipBlock");
  if (block) ip_block(f, peer["ipBlock"], path.child("ipBlock"));
  if (!block && selectors == 0) f.required(path, "must specify a peer");
  else if (block && selectors > 0) f.forbidden(path, "may not specify both ipBlock and another peer");
}

void policy_direction(Findings& f, Value rules, const char* peers_field, const Path& path) {
  std::size_t i = 0;
  for (Value rule : rules.items()) {
    Path at = path.index(i++), ports = at.child("ports"), peers = at.child(peers_field);
    std::size_t j = 0, k = 0;
    for (Value port : rule["ports"].items()) policy_port(f, port, ports.index(j++));
    for (Value peer : rule[peers_field].items()) policy_peer(f, peer, peers.index(k++));
  }
}

void policy_spec(Findings& f, Value spec) {
  const Path path("spec");
  f.add(validate_label_selector(spec["podSelector"], path.child("podSelector")));
  policy_direction(f, spec["ingress"], "from", path.child("ingress"));
  policy_direction(f, spec["egress"], "to", path.child("egress"));
  Value types = spec["policyTypes"];
  Path types_path = path.child("policyTypes");
  if (types.size() > policy_types_max) return f.invalid(types_path, types, "may not specify more than two policyTypes");
  for (std::size_t i = 0; i < types.size(); ++i) f.enumerated(types_path.index(i), types[i].as_string(), {"Ingress", "Egress"});
}

}  // namespace

void ingress_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  Value spec = object["spec"], annotation = object["metadata"]["annotations"][class_annotation];
  ingress_spec(f, spec);
  if (!annotation.exists() || !set(spec, "ingressClassName") || annotation == spec["ingressClassName"]) return;
  const Path annotations("annotations");
  f.invalid(annotations.child(class_annotation), annotation.as_string(), "must match `ingressClassName` when both are specified");
}

void ingress_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  ingress_spec(f, object["spec"]);
}

void ingress_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  const Path path("status.loadBalancer.ingress");
  std::size_t i = 0;
  for (Value entry : object["status"]["loadBalancer"]["ingress"].items()) {
    Path at = path.index(i++);
    std::string_view ip = text(entry, "ip"), host = text(entry, "hostname");
    if (!ip.empty()) ip_address(f, ip, at.child("ip"));
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
  class_spec(f, object["spec"]);
}

void network_policy_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  policy_spec(f, object["spec"]);
}

// Upstream checks the new policy twice.
void network_policy_update(Findings& f, Value object, Value old) {
  network_policy_create(f, object);
  object_meta_update(f, object, old);
  policy_spec(f, object["spec"]);
}

names::Messages name_is_ip(std::string_view name, bool) {
  if (names::ip_family(name) == names::Family::none) return {std::string(names::not_an_ip)};
  std::string canonical = names::canonical_ip(name);
  if (canonical != name) return {fmt::format("must be in canonical form (\"{}\")", canonical)};
  return {};
}

void ip_address_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_ip);
  Value parent = object["spec"]["parentRef"];
  const Path path("spec.parentRef");
  if (parent.is_null()) return f.required(path);
  if (!text(parent, "group").empty()) dns_subdomain(f, text(parent, "group"), path.child("group"));
  path_segment(f, text(parent, "resource"), {}, path.child("resource"));
  path_segment(f, text(parent, "name"), {}, path.child("name"));
  if (!text(parent, "namespace").empty())
    f.say(path.child("namespace"), text(parent, "namespace"), names::path_segment(text(parent, "namespace")));
}

void ip_address_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  f.add(validate_immutable(object["spec"]["parentRef"], old["spec"]["parentRef"], Path("spec.parentRef")));
}

void service_cidr_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  Value ranges = object["spec"]["cidrs"];
  const Path path("spec.cidrs");
  if (ranges.empty()) return f.required(path, "at least one CIDR required");
  if (ranges.size() > ranges_max) return f.invalid(path, ranges, "may only hold up to 2 values");
  std::vector<std::string> all;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    all.push_back(ranges[i].str());
    std::string canonical = names::canonical_cidr(all.back());
    if (canonical.empty()) cidr(f, all.back(), path.index(i));
    else if (canonical != all.back()) f.invalid(path.index(i), all.back(), fmt::format("must be in canonical form (\"{}\")", canonical));
  }
  if (all.size() > 1 && !dual_stack(all))
    f.invalid(path, ranges, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
}

void service_cidr_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  Value now = object["spec"]["cidrs"], before = old["spec"]["cidrs"];
  const Path path("spec.cidrs");
  bool upgraded = before.size() == 1 && now.size() == 2 && now[0] == before[0];  // to two families
  if (!upgraded) f.add(validate_immutable(now, before, path));
  else service_cidr_create(f, object);
}

}  // namespace kybern::rules
