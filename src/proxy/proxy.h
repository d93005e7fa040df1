// The service proxy of one node: keeps the kernel's nftables in step with Services and EndpointSlices.
//
//   auto proxy = proxy::Proxy::start(transport, real_world(), {.node_name = "n1", .node_ips = {"192.0.2.2"}, .pod_cidr = "10.244.0.0/16"});
//   ...
//   (*proxy)->stop(true);
//
// Serves cluster IPs, node ports (on node_ips), external IPs and load balancer addresses (ipMode VIP) for TCP, UDP and SCTP
// over IPv4 and IPv6, with the traffic policies, session affinity, source ranges, topology hints and health check node
// ports of core/v1 Service. Host ports are the network plugin's. Needs CAP_NET_ADMIN and nftables with NAT.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/world.h"
#include "client/transport.h"

namespace kybern::proxy {

struct ProxyOptions {
  std::string node_name = {};
  std::vector<std::string> node_ips = {};             // node ports are served on these; IPv4, IPv6 or both
  std::string pod_cidr = {};                          // of the cluster's pods, comma-separated for both families; "" when not known
  bool masquerade_all = false;                        // hide the source of everything that goes to a cluster IP
  bool set_sysctls = true;                            // ip_forward, br_netfilter, limits of connection tracking
  bool flush_udp = true;                              // forget tracked UDP flows to targets that are gone
  std::string health_address = "0.0.0.0";             // where spec.healthCheckNodePort listens
  Duration coalesce{std::chrono::milliseconds(20)};   // changes that come within this are one transaction
  Duration check_interval{std::chrono::seconds(30)};  // looks whether somebody removed our tables; 0: never
};

struct ProxyStatus {
  bool synced = false;  // the first full load is in the kernel
  std::size_t services = 0, frontends = 0;
  std::uint64_t transactions = 0, full_loads = 0, failures = 0;
  Duration last_apply{};   // how long nftables took for the last one
  std::string last_error;  // "" when the last transaction worked
};

class Proxy {
 public:
  // Errors: invalid (an address does not parse), forbidden (no right to change nftables or a needed sysctl), unavailable.
  // Acts on the network namespace of the calling thread. Returns before the first load; see wait_synced.
  static Result<std::unique_ptr<Proxy>> start(client::Transport& transport, World world, ProxyOptions options);
  ~Proxy();  // stop(false)

  // Ends the work; the rules stay, so that traffic goes on while the program is replaced, unless they are to be removed.
  void stop(bool remove_rules);
  ProxyStatus status() const;
  bool wait_synced(std::chrono::milliseconds limit) const;

 private:
  struct Core;
  explicit Proxy(std::shared_ptr<Core> core);
  std::shared_ptr<Core> core_;
};

}  // namespace kybern::proxy
