// The desired nftables state of one node, and how to get there.
//
// Two tables, "ip kybern" and "ip6 kybern", whose chains do not depend on the services: all that is per service are
// elements of sets and maps. The key of most of them is "address . protocol . port" (K below):
//
//   services      K : goto pick-N | split | sticky      what to do with a new connection to K
//   endpoints     slot . K : address . port             slot 0..N-1: inside targets; 65536..: outside targets
//   from-inside   K : goto pick-N                       of split frontends, for pods and the node itself
//   from-outside  K : goto local-N
//   fresh         K : goto pick-N | split               of frontends with affinity: a client not seen before
//   affine        K : goto remember-SECONDS             notes which target a client got, in the map "affinity"
//   rewrite-source K : goto masquerade-always | -local  by the destination before translation
//   no-endpoints  K : goto reject-traffic | drop
//   fenced        K                                     load balancer addresses with source ranges
//   allowed       prefix . K                            ... and who may use them
//   hairpin       address . address                     a target that reaches itself through its service
//   cluster-ips   address                               unknown ports are rejected
//
// Chains pick-N (and local-N) exist for every number of targets up to a bound; each is one rule: translate to a random
// slot. The bound grows in blocks, by a full load. Chains of affinity are made when first needed and stay until the next
// full load: kernels before 6.2 refuse to delete a chain that an element has only just stopped to point to. IPv6 frontends
// with affinity have two maps and two chains of their own: nft 1.0.6 cannot write a rule that notes more than 16 bytes of
// key or data. A full load forgets which client had which target.
//
// Example: a service 10.96.0.10 tcp 80 with two targets contributes, in table ip kybern,
//   services   { 10.96.0.10 . tcp . 80 : goto pick-2 }
//   endpoints  { 0 . 10.96.0.10 . tcp . 80 : 10.244.0.5 . 8080, 1 . 10.96.0.10 . tcp . 80 : 10.244.0.6 . 8080 }
//   cluster-ips { 10.96.0.10 }
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/rules/frontend.h"
#include "proxy/rules/services.h"

namespace kybern::proxy {

// One atomic step of the kernel's state, and what has to be cleaned up after it.
struct Transaction {
  std::string script;  // nft commands; empty: nothing to do
  // Of a large full load: what follows, to be run in turn. When tables of an earlier process are there all of it has to be
  // one script, so that no service is missing for a moment; else step by step, which needs much less memory.
  std::vector<std::string> more;
  std::vector<FrontendKey> stale_affinity;  // frontends some of whose remembered targets may be gone
  std::vector<FrontendKey> stale_udp;       // UDP frontends whose tracked flows may go to targets that are gone
  bool full = false;                        // replaces everything
  bool empty() const { return script.empty() && stale_affinity.empty() && stale_udp.empty(); }
};

class Ruleset {
 public:
  static constexpr std::size_t max_targets = 65536;       // of one frontend and policy; more are not used
  static constexpr std::size_t part_elements = 10000;     // of one script of a full load
  static constexpr std::size_t max_spare_objects = 4096;  // chains of affinity, before a full load drops the unused ones

  explicit Ruleset(NodeInfo node);
  ~Ruleset();
  Ruleset(Ruleset&&) noexcept;

  // What the service "namespace/name" contributes from now on; empty rules remove it. When two services claim the same
  // frontend (an external IP), the first in the order of names has it.
  void set_service(const std::string& service, ServiceRules rules);

  // From nothing (or anything an earlier process left) to this state.
  Transaction full();
  // From the state of the last full() or changes() to this one; full() when that cannot be done in place. Empty when
  // nothing differs.
  Transaction changes();

  const Frontend* find(const FrontendKey& key) const;
  std::size_t services() const;
  std::size_t frontends() const;

  // Of the output of `nft list map`: the commands that make it forget the clients of targets that are gone.
  std::string forget_affinity(const FrontendKey& key, std::string_view listing) const;
  // The maps that hold a frontend's affinity: one for all in IPv4, the frontend's own in IPv6.
  static std::string affinity_map(const FrontendKey& key);  // "ip kybern affinity"

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kybern::proxy
