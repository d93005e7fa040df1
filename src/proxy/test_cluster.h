// For the proxy's tests: a small cluster as API documents, and the ruleset that follows from it.
#pragma once

#include <map>
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

  static std::string key_of(Value object) {
    return object["metadata"]["namespace"].str() + "/" + object["metadata"]["name"].str();
  }
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

  void put_yaml(std::string_view text, const NodeInfo& node, Ruleset& ruleset) {
    for (const Document& object : *parse_yaml(text)) update(put(object), node, ruleset);
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

}  // namespace kybern::proxy::test
