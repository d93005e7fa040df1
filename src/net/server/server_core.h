// The listener and what its connections share. Reactor thread only, but for what says otherwise.
#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "net/server.h"
#include "net/server/connection.h"
#include "net/server/exchange.h"
#include "net/server/pool.h"
#include "net/server/stream_core.h"

namespace kybern::net {

class ServerCore final : public Watched, public Timer {
 public:
  ServerCore(ServerOptions options, Handler handler, std::shared_ptr<Runtime> runtime, std::shared_ptr<TlsContext> tls, int listen_fd);
  ~ServerCore();

  const ServerOptions& options() const { return options_; }
  Reactor& reactor() { return *runtime_->reactor; }
  const std::shared_ptr<Runtime>& runtime() const { return runtime_; }
  const std::shared_ptr<TlsContext>& tls() const { return tls_; }
  bool stopping() const { return runtime_->stopping.load(std::memory_order_relaxed); }
  void dispatch(std::shared_ptr<ServerExchange> exchange);
  // Bodies that are being received, over all connections. False when there is no room.
  bool reserve_body(std::size_t bytes);
  void release_body(std::size_t bytes) { body_bytes_ -= bytes; }
  std::size_t body_limit(const Request& head) const { return options_.body_limit ? options_.body_limit(head) : options_.max_body_bytes; }
  std::uint64_t flow_of(const Request& request) const { return options_.flow_of ? options_.flow_of(request) : 0; }
  Response refusal(int status, std::string_view message) const;  // the answer to a request that no handler sees
  void remove(Connection& connection);

  void begin();  // accepts
  int at_turn_end();
  void begin_stop();
  void kill_all();
  void on_events(std::uint32_t events) override;
  void on_timer(Instant now) override;

  // Any thread.
  std::size_t connections() const { return count_.load(std::memory_order_relaxed); }
  bool wait_until_empty(std::chrono::milliseconds limit);

 private:
  void accept_all();
  bool make_room();
  void pause_accepting(bool paused);
  bool reload_first();  // true: new certificates are being read, and accepting waits for them
  void close_listener();

  const ServerOptions options_;
  const Handler handler_;
  const std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<TlsContext> tls_;
  int listen_fd_;
  std::list<std::shared_ptr<Connection>> connections_;
  std::vector<Pool::Flowing> dispatched_;  // in this turn
  std::size_t body_bytes_ = 0;
  bool accepting_ = false, reloading_ = false, full_logged_ = false;
  Instant files_checked_;

  std::atomic<std::size_t> count_ = 0;
  std::mutex empty_mutex_;
  std::condition_variable empty_;
};

}  // namespace kybern::net
