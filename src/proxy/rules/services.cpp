#include "proxy/rules/services.h"

#include <algorithm>
#include <set>

#include "proxy/rules/endpoints.h"

namespace kybern::proxy {
namespace {

constexpr std::string_view proxy_name_label = "service.kubernetes.io/service-proxy-name";
constexpr std::string_view headless_label = "service.kubernetes.io/headless";
constexpr std::string_view service_name_label = "kubernetes.io/service-name";
constexpr std::int32_t default_affinity_seconds = 10800;

std::optional<Protocol> protocol_of(std::string_view text) {
  if (text.empty() || text == "TCP") return Protocol::tcp;
  if (text == "UDP") return Protocol::udp;
  if (text == "SCTP") return Protocol::sctp;
  return std::nullopt;
}

// The service as the ports of it need it, in one family.
struct Shape {
  std::vector<Address> cluster_ips, external_ips, balancer_ips;
  bool internal_local = false, external_local = false;
  std::int32_t affinity_seconds = 0;
  bool fenced = false;
  std::vector<Prefix> sources;
};

template <class Texts>
std::vector<Address> of_family(const Texts& texts, bool v6) {
  std::vector<Address> out;
  for (std::string_view text : texts) {
    std::optional<Address> address = parse_address(text);
    if (address && address->v6 == v6 && std::ranges::find(out, *address) == out.end()) out.push_back(*address);
  }
  return out;
}

std::vector<Address> balancer_ips(api::core_v1::Service service, bool v6) {
  std::vector<std::string_view> texts;
  if (service.spec().type() == "LoadBalancer") {
    for (auto ingress : service.status().load_balancer().ingress()) {
      // With ipMode "Proxy" the load balancer wants traffic to really pass through it.
      if (ingress.ip_mode().value_or("VIP") != "Proxy") texts.push_back(ingress.ip());
    }
  }
  return of_family(texts, v6);
}

// loadBalancerSourceRanges, or its older annotation. A range that holds the node itself lets the load balancer's own
// addresses in, because a node that has them as local addresses sends with them as source.
void read_sources(api::core_v1::Service service, bool v6, const NodeInfo& node, Shape& shape) {
  if (service.spec().type() != "LoadBalancer") return;
  std::set<Prefix> sources;
  bool any = false;
  auto take = [&](std::string_view text) {
    std::optional<Prefix> prefix = parse_prefix(text);
    if (!prefix) return;
    any = true;
    if (prefix->base.v6 == v6) sources.insert(*prefix);
  };
  for (std::string_view text : service.spec().load_balancer_source_ranges()) take(text);
  if (service.spec().load_balancer_source_ranges().empty()) {
    std::string_view rest = service.metadata().annotations()["service.beta.kubernetes.io/load-balancer-source-ranges"];
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      take(rest.substr(0, comma));
      rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  if (!any) return;
  shape.fenced = true;
  const bool node_allowed = std::ranges::any_of(sources, [&](const Prefix& prefix) {
    return std::ranges::any_of(node.addresses, [&](const Address& address) { return prefix.contains(address); });
  });
  if (node_allowed) {
    for (const Address& ip : shape.balancer_ips) sources.insert(single(ip));
  }
  // An interval set does not take overlapping elements: a range inside another one says nothing new.
  for (const Prefix& prefix : sources) {
    const bool covered =
        std::ranges::any_of(sources, [&](const Prefix& other) { return other.bits < prefix.bits && other.contains(prefix.base); });
    if (!covered) shape.sources.push_back(prefix);
  }
}

Shape shape_of(api::core_v1::Service service, bool v6, const NodeInfo& node) {
  Shape shape;
  shape.cluster_ips = of_family(service.spec().cluster_ips(), v6);
  if (service.spec().cluster_ips().empty()) shape.cluster_ips = of_family(std::vector{service.spec().cluster_ip()}, v6);
  shape.external_ips = of_family(service.spec().external_ips(), v6);
  shape.balancer_ips = balancer_ips(service, v6);
  shape.internal_local = service.spec().internal_traffic_policy().value_or("Cluster") == "Local";
  shape.external_local = service.spec().external_traffic_policy() == "Local";
  if (service.spec().session_affinity() == "ClientIP") {
    shape.affinity_seconds = service.spec().session_affinity_config().client_ip().timeout_seconds().value_or(default_affinity_seconds);
  }
  read_sources(service, v6, node, shape);
  return shape;
}

Frontend internal_frontend(const Shape& shape, const Choice& choice) {
  static const Targets nobody = std::make_shared<const std::vector<Target>>();
  Frontend out;
  out.inside = shape.internal_local ? choice.local : choice.cluster;
  out.outside = nobody;
  out.cluster_ip = true;
  out.affinity_seconds = shape.affinity_seconds;
  if (out.inside->empty()) out.refusal = choice.anywhere ? Refusal::drop : Refusal::reject;
  return out;
}

Frontend external_frontend(const Shape& shape, const Choice& choice) {
  static const Targets nobody = std::make_shared<const std::vector<Target>>();
  Frontend out;
  out.inside = choice.cluster;
  out.outside = shape.external_local ? choice.local : nobody;
  out.split = shape.external_local;
  out.affinity_seconds = shape.affinity_seconds;
  out.masquerade = shape.external_local ? Masquerade::local : Masquerade::always;
  const bool nobody_takes = shape.external_local ? out.outside->empty() : out.inside->empty();
  if (nobody_takes) out.refusal = choice.anywhere ? Refusal::drop : Refusal::reject;
  return out;
}

void add_port(const Shape& shape, api::core_v1::ServicePort port, const std::vector<api::discovery_v1::EndpointSlice>& slices, bool v6,
              const NodeInfo& node, ServiceRules& out) {
  const std::optional<Protocol> protocol = protocol_of(port.protocol());
  if (!protocol || port.port() < 1 || port.port() > 65535 || shape.cluster_ips.empty()) return;
  const std::uint16_t number = static_cast<std::uint16_t>(port.port());
  const bool has_node_port = port.node_port() > 0 && port.node_port() <= 65535;
  const bool accessible = has_node_port || !shape.external_ips.empty() || !shape.balancer_ips.empty();
  // Even with externalTrafficPolicy Local, pods and the node itself reach an external address as the cluster would.
  const bool wants_cluster = !shape.internal_local || accessible;
  const bool wants_local = shape.internal_local || (shape.external_local && accessible);
  const Choice choice = choose(candidates(slices, v6, port.name(), *protocol, node), wants_cluster, wants_local);

  auto add = [&](const Address& ip, std::uint16_t at, Frontend frontend) {
    out.frontends.emplace_back(FrontendKey{ip, *protocol, at}, std::move(frontend));
  };
  for (const Address& ip : shape.cluster_ips) add(ip, number, internal_frontend(shape, choice));
  for (const Address& ip : shape.external_ips) add(ip, number, external_frontend(shape, choice));
  for (const Address& ip : shape.balancer_ips) {
    Frontend frontend = external_frontend(shape, choice);
    frontend.fenced = shape.fenced;
    frontend.sources = shape.sources;
    add(ip, number, std::move(frontend));
  }
  if (!has_node_port) return;
  for (const Address& ip : node.addresses) {
    if (ip.v6 == v6) add(ip, static_cast<std::uint16_t>(port.node_port()), external_frontend(shape, choice));
  }
}

// An address that is given twice (an external IP that is also the load balancer's) is one frontend: the first stays.
void drop_repeated(ServiceRules& rules) {
  std::set<FrontendKey> seen;
  std::erase_if(rules.frontends, [&](const auto& entry) { return !seen.insert(entry.first).second; });
}

std::size_t local_ready(const std::vector<api::discovery_v1::EndpointSlice>& slices, const NodeInfo& node) {
  std::set<std::string_view> addresses;
  for (const auto& slice : slices) {
    for (auto endpoint : slice.endpoints()) {
      const bool here = !node.name.empty() && endpoint.node_name().value_or("") == node.name;
      if (here && endpoint.conditions().ready().value_or(true) && !endpoint.addresses().empty()) addresses.insert(endpoint.addresses()[0]);
    }
  }
  return addresses.size();
}

}  // namespace

std::string_view protocol_name(Protocol protocol) {
  switch (protocol) {
    case Protocol::tcp: return "tcp";
    case Protocol::udp: return "udp";
    case Protocol::sctp: return "sctp";
  }
  return "";
}

bool Frontend::reaches(const Address& ip, std::uint16_t port) const {
  auto among = [&](const Targets& targets) {
    return std::ranges::any_of(*targets, [&](const Target& target) { return target.ip == ip && target.port == port; });
  };
  return among(inside) || among(outside);
}

bool operator==(const Frontend& a, const Frontend& b) {
  auto same = [](const Targets& x, const Targets& y) { return x == y || *x == *y; };
  return a.split == b.split && a.cluster_ip == b.cluster_ip && a.fenced == b.fenced && a.masquerade == b.masquerade &&
         a.refusal == b.refusal && a.affinity_seconds == b.affinity_seconds && a.sources == b.sources && same(a.inside, b.inside) &&
         same(a.outside, b.outside);
}

bool is_proxied(api::core_v1::Service service) {
  const std::string_view ip = service.spec().cluster_ip();
  if (ip.empty() || ip == "None" || service.spec().type() == "ExternalName") return false;
  return !service.metadata().labels().contains(proxy_name_label);
}

bool is_proxied(api::discovery_v1::EndpointSlice slice) {
  auto labels = slice.metadata().labels();
  return !labels.contains(proxy_name_label) && !labels.contains(headless_label) && labels.contains(service_name_label);
}

std::string service_of(api::discovery_v1::EndpointSlice slice) {
  const std::string_view name = slice.metadata().labels()[service_name_label];
  if (name.empty()) return {};
  std::string out(slice.metadata().namespace_());
  out += '/';
  out += name;
  return out;
}

ServiceRules rules_of(api::core_v1::Service service, const std::vector<api::discovery_v1::EndpointSlice>& slices, const NodeInfo& node) {
  ServiceRules out;
  if (!is_proxied(service)) return out;
  for (bool v6 : {false, true}) {
    const Shape shape = shape_of(service, v6, node);
    for (auto port : service.spec().ports()) add_port(shape, port, slices, v6, node, out);
  }
  drop_repeated(out);
  const std::int32_t health_port = service.spec().health_check_node_port();
  if (service.spec().external_traffic_policy() == "Local" && health_port > 0 && health_port <= 65535) {
    out.health_check_port = static_cast<std::uint16_t>(health_port);
    out.local_ready = local_ready(slices, node);
  }
  return out;
}

}  // namespace kybern::proxy
