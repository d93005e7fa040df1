// For the proxy's tests: a small cluster as API documents, and the ruleset that follows from it.
#pragma once

#include <array>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "document/document.h"
#include "document/yaml.h"
#include "proxy/rules/ruleset.h"
#include "proxy/rules/services.h"

namespace kybern::proxy::test {

class Cluster {
 public:
  std::map<std::string, Document> services, slices;  // by "namespace/name"

  static std::string key_of(Value object) { return object["metadata"]["namespace"].str() + "/" + object["metadata"]["name"].str(); }
  static std::string service_of_slice(Value slice) {
    return slice["metadata"]["namespace"].str() + "/" + slice["metadata"]["labels"]["kubernetes.io/service-name"].str();
  }

  // The service it concerns.
  std::string put(const Document& object) {
    const std::string key = key_of(object.root());
    if (object["kind"].as_string() == "Service") {
      services[key] = object;
      return key;
    }
    slices[key] = object;
    return service_of_slice(object.root());
  }
  std::string erase(std::string_view kind, const std::string& key) {
    if (kind == "Service") {
      services.erase(key);
      return key;
    }
    const std::string service = service_of_slice(slices[key].root());
    slices.erase(key);
    return service;
  }

  void update(const std::string& service, const NodeInfo& node, Ruleset& ruleset) const {
    auto found = services.find(service);
    if (found == services.end()) {
      ruleset.set_service(service, {});
      return;
    }
    std::vector<api::discovery_v1::EndpointSlice> of_service;
    for (const auto& [key, slice] : slices) {
      api::discovery_v1::EndpointSlice view(slice);
      if (is_proxied(view) && service_of(view) == service) of_service.push_back(view);
    }
    ruleset.set_service(service, rules_of(api::core_v1::Service(found->second), of_service, node));
  }
};

inline NodeInfo node_of(Value object) {
  NodeInfo out;
  out.name = object["metadata"]["name"].str();
  out.zone = object["metadata"]["labels"]["topology.kubernetes.io/zone"].str();
  for (Value address : object["addresses"].items()) out.addresses.push_back(*parse_address(address.as_string()));
  for (Value prefix : object["podCIDRs"].items()) out.pod_cidrs.push_back(*parse_prefix(prefix.as_string()));
  return out;
}

// Rules that no service would have together, but that the ruleset has to bear.
class RandomCluster {
 public:
  explicit RandomCluster(unsigned seed) : random_(seed) {
    node_.name = "n0";
    node_.addresses = {*parse_address("192.0.2.1"), *parse_address("fd00::1")};
    node_.pod_cidrs = {*parse_prefix("10.244.0.0/16")};
  }
  const NodeInfo& node() const { return node_; }
  unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }

  ServiceRules rules() {
    ServiceRules out;
    std::map<FrontendKey, Frontend> frontends;
    const unsigned count = below(4);
    for (unsigned i = 0; i < count; ++i) {
      FrontendKey key;
      key.ip = *parse_address(below(3) == 0 ? "fd00:96::" + std::to_string(below(6)) : "10.96.0." + std::to_string(below(8)));
      key.protocol = std::array{Protocol::tcp, Protocol::udp, Protocol::sctp}[below(3)];
      key.port = static_cast<std::uint16_t>(80 + below(2));
      frontends[key] = frontend(key.ip.v6);
    }
    out.frontends.assign(frontends.begin(), frontends.end());
    return out;
  }

 private:
  Targets targets(bool v6) {
    std::map<std::pair<Address, std::uint16_t>, Target> chosen;
    const unsigned count = below(8) == 0 ? below(80) : below(5);
    for (unsigned i = 0; i < count; ++i) {
      const unsigned host = below(count * 2);
      Target target{*parse_address((v6 ? "fd01::" : "10.244.0.") + std::to_string(host)), static_cast<std::uint16_t>(8080 + below(2)),
                    host % 2 == 0};
      chosen[{target.ip, target.port}] = target;
    }
    auto out = std::make_shared<std::vector<Target>>();
    for (auto& [key, target] : chosen) out->push_back(target);
    return out;
  }
  Frontend frontend(bool v6) {
    Frontend out;
    out.split = below(3) == 0;
    out.inside = targets(v6);
    out.outside = out.split ? targets(v6) : std::make_shared<std::vector<Target>>();
    out.cluster_ip = below(2) == 0;
    out.fenced = below(5) == 0;
    if (out.fenced && !v6) out.sources = {*parse_prefix("10." + std::to_string(below(3)) + ".0.0/16")};
    out.masquerade = std::array{Masquerade::never, Masquerade::local, Masquerade::always}[below(3)];
    out.refusal = out.inside->empty() ? std::array{Refusal::reject, Refusal::drop}[below(2)] : Refusal::none;
    out.affinity_seconds = below(3) == 0 ? static_cast<int>(10 + below(2)) : 0;
    return out;
  }
  std::mt19937 random_;
  NodeInfo node_;
};

}  // namespace kybern::proxy::test
