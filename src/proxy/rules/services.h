// From API objects to frontends: the pure heart of the proxy.
#pragma once

#include <string>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "proxy/rules/frontend.h"

namespace kybern::proxy {

struct NodeInfo {
  std::string name;
  std::string zone;                // label topology.kubernetes.io/zone
  std::vector<Address> addresses;  // node ports are served on these
  std::vector<Prefix> pod_cidrs;   // of all pods of the cluster (or of this node); empty: unknown
  bool masquerade_all = false;     // replace the source of everything that goes to a cluster IP
};

// Whether this proxy handles the service: it has a cluster IP, and no other proxy is named by the label
// service.kubernetes.io/service-proxy-name.
bool is_proxied(api::core_v1::Service service);
// The same for a slice (that label, and service.kubernetes.io/headless); its service's "namespace/name", "" without one.
bool is_proxied(api::discovery_v1::EndpointSlice slice);
std::string service_of(api::discovery_v1::EndpointSlice slice);

// `slices`: those of this service, in any order.
ServiceRules rules_of(api::core_v1::Service service, const std::vector<api::discovery_v1::EndpointSlice>& slices, const NodeInfo& node);

}  // namespace kybern::proxy
