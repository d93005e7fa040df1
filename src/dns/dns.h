// The cluster's DNS server: answers the cluster zone from Services, EndpointSlices and Namespaces, and hands everything else
// to the host's resolvers.
//
//   auto dns = dns::DnsServer::start(transport, real_world(), {.addresses = {"192.0.2.1"}, .port = 10053});
//   ...
//   (*dns)->stop();
//
// Over UDP and TCP, one thread, no CPU while nobody asks. Names and records: answer/answer.h. The address that pods use is
// that of the Service kube-system/kube-dns, whose endpoints are these addresses and this port.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/world.h"
#include "client/transport.h"

namespace kybern::dns {

struct DnsOptions {
  std::vector<std::string> addresses = {"127.0.0.1"};  // IPv4 or IPv6; "0.0.0.0" and "::" are fine
  int port = 10053;                                    // 0: any free one
  std::string domain = "cluster.local";
  std::uint32_t ttl_s = 30;                            // of the records of the cluster zone
  std::string resolv_conf = "/etc/resolv.conf";        // nameservers for all other names; read again when it changes
  std::vector<std::string> upstreams = {};             // "192.0.2.53", "192.0.2.53:5353", "[fd00::53]:53": instead of resolv.conf
  std::vector<std::string> own_addresses = {};         // other addresses that lead here (the cluster IP): never an upstream
  Duration upstream_timeout{std::chrono::seconds(2)};  // of one attempt
  int attempts = 3;                                    // over all upstreams, then SERVFAIL
  std::size_t max_forwarded = 1000;                    // queries under way to upstreams; more are answered SERVFAIL
  std::size_t max_connections = 256;                   // over TCP; more are closed at once
  Duration idle_timeout{std::chrono::seconds(10)};     // of a TCP connection
  std::size_t cache_entries = 1000;                    // answers of upstreams, kept for at most 30 s; 0: none
  Duration coalesce{std::chrono::milliseconds(20)};    // changes that come within this are one new index
};

struct DnsStatus {
  bool synced = false;  // before, the cluster zone is answered SERVFAIL
  std::size_t services = 0;
  std::uint64_t queries = 0, forwarded = 0, cached = 0, failed = 0;  // failed: SERVFAIL for want of an upstream's answer
};

class DnsServer {
 public:
  // Errors: invalid (an address does not parse, no such port), already_exists (the port is in use), unavailable.
  static Result<std::unique_ptr<DnsServer>> start(client::Transport& transport, World world, DnsOptions options);
  ~DnsServer();  // stop()
  void stop();
  int port() const;
  DnsStatus status() const;
  bool wait_synced(std::chrono::milliseconds limit) const;

 private:
  struct State;
  explicit DnsServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kybern::dns
