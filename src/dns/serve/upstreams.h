// The resolvers that know the rest of the world: from resolv.conf or fixed, without those that would lead back here.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "dns/serve/address.h"

namespace kybern::dns {

// The nameserver lines of a resolv.conf, at most 15; what is no address is passed over.
std::vector<SocketAddress> read_resolv_conf(std::string_view text);

class Upstreams {
 public:
  // `own`: addresses on which this server answers; an upstream there is this server.
  Upstreams(std::string resolv_conf, std::vector<SocketAddress> fixed, std::vector<SocketAddress> own);

  // Reads resolv.conf again when it has changed, looking at most every 5 s. True when the list is a new one.
  bool refresh(Instant now);
  const std::vector<SocketAddress>& list() const { return usable_; }

  // The index in list() of the next one to try for a query that these were tried for already: one tried least, then one
  // that has not failed lately, then by the order of the list.
  std::size_t choose(const std::vector<SocketAddress>& tried, Instant now) const;
  void failed(const SocketAddress& upstream, Instant now);
  void worked(const SocketAddress& upstream);
  void drop(const SocketAddress& upstream);  // it leads back here: until the next new list

 private:
  void take(std::vector<SocketAddress> found);
  std::string file_;
  std::vector<SocketAddress> fixed_, own_, usable_;
  std::vector<Instant> bad_until_;  // beside usable_
  Instant next_look_{};
  std::int64_t seen_time_ns_ = -1, seen_size_ = -1;
};

}  // namespace kybern::dns
