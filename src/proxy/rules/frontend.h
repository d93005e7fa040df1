// What one node does with traffic to services, as data: for every (address, protocol, port) that a service answers on, a
// Frontend. Made by services.h, turned into nftables elements by ruleset.h.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/rules/address.h"

namespace kybern::proxy {

enum class Protocol : std::uint8_t { tcp = 6, udp = 17, sctp = 132 };  // IANA numbers
std::string_view protocol_name(Protocol protocol);                     // "tcp"

struct FrontendKey {
  Address ip;
  Protocol protocol = Protocol::tcp;
  std::uint16_t port = 0;
  friend auto operator<=>(const FrontendKey&, const FrontendKey&) = default;
};

struct Target {
  Address ip;
  std::uint16_t port = 0;
  bool local = false;  // may run on this node: traffic to itself must be masqueraded
  friend auto operator<=>(const Target&, const Target&) = default;
};
// Sorted by address and port, without repetitions; shared by the frontends of one service port. Never null.
using Targets = std::shared_ptr<const std::vector<Target>>;

// Whose source address is replaced by the node's, so that answers come back this way. For cluster IPs (`cluster_ip`) it is
// `never` here: one rule of the tables decides for all of them.
enum class Masquerade : std::uint8_t { never, local, always };

// What happens to traffic that has no target.
enum class Refusal : std::uint8_t { none, reject, drop };

struct Frontend {
  Targets inside;           // for everybody; when `split`, for pods and for this node itself
  Targets outside;          // when `split`, for traffic from elsewhere: targets on this node only
  bool split = false;       // externalTrafficPolicy Local
  bool cluster_ip = false;  // unknown ports of the address are rejected
  bool fenced = false;      // only `sources` may come in (loadBalancerSourceRanges)
  Masquerade masquerade = Masquerade::never;
  Refusal refusal = Refusal::none;
  std::int32_t affinity_seconds = 0;  // ClientIP affinity; 0: none
  std::vector<Prefix> sources;        // sorted

  bool reaches(const Address& ip, std::uint16_t port) const;
  friend bool operator==(const Frontend& a, const Frontend& b);
};

// All that one service contributes on this node.
struct ServiceRules {
  std::vector<std::pair<FrontendKey, Frontend>> frontends;
  std::uint16_t health_check_port = 0;  // spec.healthCheckNodePort of a service with externalTrafficPolicy Local; 0: none
  std::size_t local_ready = 0;          // its ready endpoints on this node
};

}  // namespace kybern::proxy
