// Which endpoints of a service port a node uses: ready ones, else those that still serve while they terminate; those of
// the node or zone that the hints name (KEP-2433, KEP-3015); those of this node for the traffic policies "Local"
// (KEP-2086, KEP-1669).
#pragma once

#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "proxy/rules/frontend.h"
#include "proxy/rules/services.h"

namespace kybern::proxy {

struct Candidate {
  Target target;
  bool on_node = false;  // by nodeName
  bool ready = false, serving = false, terminating = false;
  bool has_node_hints = false, hints_node = false;  // hints_node: this node is among them
  bool has_zone_hints = false, hints_zone = false;
};

// The endpoints of one port in one family. Slices of the other family are passed over; of endpoints that several slices
// name, the best one counts (ready before serving before the rest).
std::vector<Candidate> candidates(const std::vector<api::discovery_v1::EndpointSlice>& slices, bool v6, std::string_view port_name,
                                  Protocol protocol, const NodeInfo& node);

struct Choice {
  Targets cluster;        // of the policy "Cluster"
  Targets local;          // of the policy "Local"
  bool anywhere = false;  // some endpoint in the cluster could take traffic, even if this node may not use it
};
// `wants_cluster`, `wants_local`: which policies the service port has in use; the other list is left empty.
Choice choose(const std::vector<Candidate>& candidates, bool wants_cluster, bool wants_local);

}  // namespace kybern::proxy
