// The sockets of the DNS server and its one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/published.h"
#include "base/result.h"
#include "base/world.h"
#include "dns/answer/answer.h"
#include "dns/answer/index.h"
#include "dns/dns.h"
#include "dns/serve/forwarder.h"

namespace kybern::dns {

class Server {
 public:
  static Result<std::unique_ptr<Server>> start(World world, const DnsOptions& options);
  ~Server();

  void set_index(std::shared_ptr<const Index> index) { index_.store(std::move(index)); }
  std::shared_ptr<const Index> index() const { return index_.load(); }
  int port() const { return port_; }
  DnsStatus status() const;

 private:
  struct Listener {
    int file = -1;
    bool tcp = false, wildcard = false;
  };
  struct Connection {
    std::uint64_t number = 0;
    int file = -1;
    std::string in, out;
    std::size_t under_way = 0;  // queries that are not answered yet
    bool ended = false;         // the client will send no more
    Instant last{};
  };
  // The datagrams of one turn: read with one call, answered with one call.
  struct Batch;

  Server(World world, const DnsOptions& options);
  Result<void> listen(const Ip& ip, int port);
  Result<std::vector<SocketAddress>> open_listeners();
  void run();
  int wait_ms(Instant now) const;
  void dispatch(int file, std::uint32_t events);
  void read_datagrams(const Listener& listener);
  void send_replies();
  void accept_all(const Listener& listener);
  void on_connection(Connection& connection, std::uint32_t events);
  void read_queries(Connection& connection);
  void flush(Connection& connection);
  void watch(Connection& connection);
  void resume_connections();
  void close_connection(std::uint64_t number);
  void close_idle(Instant now);
  void handle(std::string_view message, Client client);
  void reply(const Client& client, std::string message);

  World world_;
  const DnsOptions options_;
  Zone zone_;
  int epoll_ = -1, wake_ = -1, port_ = 0;
  std::vector<Listener> listeners_;
  std::unique_ptr<Forwarder> forwarder_;
  std::unique_ptr<Batch> batch_;
  std::unordered_map<std::uint64_t, Connection> connections_;
  std::unordered_map<int, std::uint64_t> connection_of_;  // by file
  std::vector<std::uint64_t> resumable_;                  // connections that had reached their limit of queries and may go on
  std::uint64_t last_connection_ = 0, shuffle_ = 1;
  Instant next_idle_look_{};
  Published<Index> index_;
  std::atomic<std::uint64_t> queries_{0}, forwarded_{0}, cached_{0}, failed_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace kybern::dns
