// The simulated network between components and the API server: requests that travel, get lost on their way or on their way
// back; watches that are late, or end and begin anew. A component sees what it would see over HTTP.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>

#include "apiserver/server.h"
#include "client/transport.h"
#include "sim/world.h"

namespace kybern::sim {

constexpr std::string_view administrator = "system:admin";  // of the cluster

struct NetworkOptions {
  // Both zero: a request takes no time, and nothing else happens meanwhile.
  Duration shortest_request{}, longest_request{};
  Duration shortest_delivery = std::chrono::microseconds(50), longest_delivery = std::chrono::milliseconds(5);
};

// What is wrong with the network now. Faults change it (sim/faults.h); all zero is a good day.
struct Weather {
  double lost_requests = 0;    // part of the requests that never reach the server
  double lost_answers = 0;     // part whose answer never comes: the write has happened
  Duration late_deliveries{};  // added to every delivery of a watch, up to
  bool is_good() const { return lost_requests == 0 && lost_answers == 0 && late_deliveries == Duration::zero(); }
};

class Network {
 public:
  Network(SimulatedWorld& world, NetworkOptions options) : world_(world), options_(options) {}

  // The server that requests reach; null while it is down. Before a server goes all watches at it are ended.
  void set_server(apiserver::ApiServer* server);
  apiserver::ApiServer* server() const { return server_; }

  // A component's connection. `lane` runs its callbacks.
  std::unique_ptr<client::Transport> connect(std::string user, Lane& lane);
  // From now on nothing of this lane reaches the server: its process is about to be gone.
  void cut(const Lane& lane) { cut_.insert(&lane); }
  void drop_watches(double part);  // this part of all watches loses its connection

  Weather weather;
  std::uint64_t calls = 0, watch_events = 0, lost = 0, drops = 0;
  std::map<std::string, std::uint64_t, std::less<>> calls_by_kind;  // "PATCH pods/status"
  std::int64_t call_ns = 0;                                         // of the real processor, inside the server
  std::size_t watches() const { return ends_.size(); }
  // Told of every answer of the server, at the moment it is made: for those who check.
  std::function<void(const std::string& user, const client::Call& call, const ApiResult<Document>& answer)> observer;

 private:
  friend class Connection;
  friend class WatchEnd;
  SimulatedWorld& world_;
  const NetworkOptions options_;
  apiserver::ApiServer* server_ = nullptr;
  std::uint64_t incarnation_ = 0;
  std::unordered_set<const Lane*> cut_;
  std::vector<class WatchEnd*> ends_;  // in the order of their making
};

}  // namespace kybern::sim
