// Queries that upstream resolvers have to answer: each on a socket of its own, so that every one has a random port besides its
// random id. Part of the server's one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/world.h"
#include "dns/answer/answer.h"
#include "dns/answer/message.h"
#include "dns/serve/address.h"
#include "dns/serve/cache.h"
#include "dns/serve/upstreams.h"

namespace kybern::dns {

// Who asked, and how the answer gets there.
struct Client {
  int socket = -1;  // UDP: the socket it came in on
  SocketAddress peer;
  std::string local;             // UDP on a wildcard address: the control message that names the address asked
  std::uint64_t connection = 0;  // TCP: the connection's number; 0: UDP
};

struct ForwardOptions {
  Duration timeout{};
  int attempts = 3;
  std::size_t max_pending = 1000;
};
struct ForwardCounts {
  std::uint64_t forwarded = 0, cached = 0, failed = 0;
};

class Forwarder {
 public:
  using Reply = std::function<void(const Client& client, std::string message)>;

  // Registers its sockets at `epoll` with their file number as data.
  Forwarder(int epoll, World world, ForwardOptions options, Upstreams upstreams, Cache cache, Reply reply);
  ~Forwarder();

  void forward(Query query, std::string_view message, Client client);
  // Completes an answer that ends in a CNAME to elsewhere.
  void chase(Query query, Answer answer, Client client);

  bool owns(int file) const { return pending_.contains(file); }
  void on_event(int file, std::uint32_t events);
  std::optional<Instant> next_deadline() const;
  void expire(Instant now);

  // New upstreams are asked a name that nobody else knows. When the question arrives here, they lead back to this server.
  void look_at_upstreams(Instant now);
  bool came_back(const std::vector<std::string>& labels);  // true: this was such a question

  const ForwardCounts& counts() const { return counts_; }
  std::size_t pending() const { return pending_.size(); }

 private:
  struct Pending;
  using Deadlines = std::multimap<Instant, int>;
  void start(std::unique_ptr<Pending> pending);
  bool attempt(std::unique_ptr<Pending>& pending);
  bool open_socket(Pending& pending, const SocketAddress& upstream);
  std::unique_ptr<Pending> take(int file);
  void retry(std::unique_ptr<Pending> pending);
  void give_up(Pending& pending);
  bool write_some(Pending& pending);
  bool read_some(Pending& pending, bool& broken);
  void finish(Pending& pending, std::string message);

  int epoll_;
  World world_;
  ForwardOptions options_;
  Upstreams upstreams_;
  Cache cache_;
  Reply reply_;
  std::unordered_map<int, std::unique_ptr<Pending>> pending_;
  Deadlines deadlines_;
  std::map<std::string, SocketAddress> probes_;  // by the first label of the name asked
  ForwardCounts counts_;
};

}  // namespace kybern::dns
