#include "proxy/rules/endpoints.h"

#include <algorithm>
#include <map>

namespace kybern::proxy {
namespace {

int worth(const Candidate& c) { return c.ready ? 3 : c.serving && c.terminating ? 2 : c.serving ? 1 : 0; }

Candidate read(api::discovery_v1::Endpoint endpoint, const NodeInfo& node) {
  Candidate out;
  out.on_node = endpoint.node_name().value_or("") == node.name && !node.name.empty();
  out.target.local = out.on_node || !endpoint.node_name();
  out.ready = endpoint.conditions().ready().value_or(true);
  out.serving = endpoint.conditions().serving().value_or(true);
  out.terminating = endpoint.conditions().terminating().value_or(false);
  for (auto hint : endpoint.hints().for_nodes()) {
    out.has_node_hints = true;
    out.hints_node |= hint.name() == node.name;
  }
  for (auto hint : endpoint.hints().for_zones()) {
    out.has_zone_hints = true;
    out.hints_zone |= hint.name() == node.zone;
  }
  return out;
}

template <class Wanted>
Targets collect(const std::vector<Candidate>& candidates, Wanted wanted) {
  auto out = std::make_shared<std::vector<Target>>();
  for (const Candidate& c : candidates) {
    if (wanted(c)) out->push_back(c.target);
  }
  return out;  // candidates() has sorted them
}

// Hints count only when every ready endpoint has them and one names this node (or zone).
enum class Topology { none, same_node, same_zone };
Topology topology(const std::vector<Candidate>& candidates) {
  bool any = false, all_nodes = true, all_zones = true, for_node = false, for_zone = false;
  for (const Candidate& c : candidates) {
    if (!c.ready) continue;
    any = true;
    all_nodes &= c.has_node_hints;
    all_zones &= c.has_zone_hints;
    for_node |= c.hints_node;
    for_zone |= c.hints_zone;
  }
  if (any && all_nodes && for_node) return Topology::same_node;
  if (any && all_zones && for_zone) return Topology::same_zone;
  return Topology::none;
}

}  // namespace

std::vector<Candidate> candidates(const std::vector<api::discovery_v1::EndpointSlice>& slices, bool v6, std::string_view port_name,
                                  Protocol protocol, const NodeInfo& node) {
  std::map<std::pair<Address, std::uint16_t>, Candidate> best;
  for (const auto& slice : slices) {
    if (slice.address_type() != (v6 ? "IPv6" : "IPv4")) continue;
    for (auto port : slice.ports()) {
      std::string_view wire = port.protocol().value_or("TCP");
      const bool same_protocol = wire == (protocol == Protocol::tcp ? "TCP" : protocol == Protocol::udp ? "UDP" : "SCTP");
      const std::int32_t number = port.port().value_or(0);
      if (!same_protocol || port.name().value_or("") != port_name || number < 1 || number > 65535) continue;
      for (auto endpoint : slice.endpoints()) {
        // Every address of an endpoint stands for the same pod; only the first one is used.
        std::optional<Address> ip = endpoint.addresses().empty() ? std::nullopt : parse_address(endpoint.addresses()[0]);
        if (!ip || ip->v6 != v6) continue;
        Candidate candidate = read(endpoint, node);
        candidate.target.ip = *ip;
        candidate.target.port = static_cast<std::uint16_t>(number);
        auto [place, fresh] = best.try_emplace({*ip, candidate.target.port}, candidate);
        if (!fresh && worth(candidate) > worth(place->second)) place->second = candidate;
      }
    }
  }
  std::vector<Candidate> out;
  out.reserve(best.size());
  for (auto& [key, candidate] : best) out.push_back(std::move(candidate));
  return out;
}

Choice choose(const std::vector<Candidate>& candidates, bool wants_cluster, bool wants_local) {
  static const Targets nobody = std::make_shared<const std::vector<Target>>();
  Choice out{nobody, nobody, false};
  auto draining = [](const Candidate& c) { return c.serving && c.terminating; };
  if (wants_cluster) {
    const Topology mode = topology(candidates);
    out.cluster = collect(candidates, [&](const Candidate& c) {
      return c.ready && (mode == Topology::none || (mode == Topology::same_node ? c.hints_node : c.hints_zone));
    });
    if (out.cluster->empty()) out.cluster = collect(candidates, draining);
    out.anywhere = !out.cluster->empty();
  }
  if (wants_local) {
    out.anywhere |= std::ranges::any_of(candidates, [&](const Candidate& c) { return c.ready || draining(c); });
    out.local = collect(candidates, [&](const Candidate& c) { return c.on_node && c.ready; });
    if (out.local->empty()) out.local = collect(candidates, [&](const Candidate& c) { return c.on_node && draining(c); });
  }
  return out;
}

}  // namespace kybern::proxy
