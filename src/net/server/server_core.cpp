#include "net/server/server_core.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "base/log.h"
#include "net/server/listener.h"

namespace kybern::net {
namespace {
constexpr int accepts_per_turn = 64;
constexpr int looks_for_room = 64;
constexpr std::chrono::milliseconds accept_pause{100};     // when the process has no descriptors left
constexpr std::chrono::milliseconds files_interval{1000};  // certificate files are looked at this often at most
}  // namespace

ServerCore::ServerCore(ServerOptions options, Handler handler, std::shared_ptr<Runtime> runtime, std::shared_ptr<TlsContext> tls,
                       int listen_fd)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      runtime_(std::move(runtime)),
      tls_(std::move(tls)),
      listen_fd_(listen_fd) {}

ServerCore::~ServerCore() { close_listener(); }

void ServerCore::begin() {
  files_checked_ = reactor().now();
  accepting_ = reactor().watch(listen_fd_, EPOLLIN, *this);
}

void ServerCore::dispatch(std::shared_ptr<ServerExchange> exchange) {
  if (options_.at_once) {
    try {
      if (options_.at_once(exchange)) return;
    } catch (const std::exception& error) { return log_error("net", "a handler threw an exception", {{"error", error.what()}}); }
  }
  const std::uint64_t flow = exchange->flow();
  dispatched_.push_back({[this, exchange = std::move(exchange)]() mutable {
                           if (!exchange->gone()) handler_(std::move(exchange));
                         },
                         flow});
}

int ServerCore::at_turn_end() {
  runtime_->pool->post_all(dispatched_);
  auto again = runtime_->pool->supervise(std::chrono::steady_clock::now());
  return again ? static_cast<int>(again->count()) : -1;
}

bool ServerCore::reserve_body(std::size_t bytes) {
  if (body_bytes_ + bytes > options_.max_receiving_body_bytes) return false;
  body_bytes_ += bytes;
  return true;
}

Response ServerCore::refusal(int status, std::string_view message) const {
  if (options_.refusal) return options_.refusal(status, message);
  Response response;
  response.status = status;
  response.headers.add("content-type", "text/plain; charset=utf-8");
  response.body = std::string(message);
  return response;
}

// ---- accepting

void ServerCore::on_events(std::uint32_t) { accept_all(); }

void ServerCore::on_timer(Instant) {
  if (!reloading_) pause_accepting(false);
}

void ServerCore::pause_accepting(bool paused) {
  if (listen_fd_ < 0 || accepting_ == !paused) return;
  accepting_ = !paused;
  reactor().rewatch(listen_fd_, paused ? 0u : static_cast<std::uint32_t>(EPOLLIN), *this);
}

// Whoever fills the server with connections that do nothing must not keep others out: one of those gives way. The looks
// that it takes go round all connections, a few for each new one.
bool ServerCore::make_room() {
  for (int looks = 0; looks < looks_for_room && !connections_.empty(); ++looks) {
    Connection& connection = *connections_.front();
    connections_.splice(connections_.end(), connections_, connections_.begin());
    if (!connection.idle()) continue;
    connection.kill();
    return true;
  }
  return false;
}

void ServerCore::accept_all() {
  if (listen_fd_ < 0 || !accepting_ || reload_first()) return;
  for (int i = 0; i < accepts_per_turn; ++i) {
    const bool full = connections() >= options_.max_connections;
    pollfd waiting{listen_fd_, POLLIN, 0};
    if (full && ::poll(&waiting, 1, 0) <= 0) return;
    if (full && !make_room()) {
      if (!full_logged_)
        log_warn("net", "no more connections are accepted until some end", {{"limit", std::to_string(options_.max_connections)}});
      full_logged_ = true;
      return pause_accepting(true);
    }
    sockaddr_storage address{};
    socklen_t bytes = sizeof address;
    int fd = ::accept4(listen_fd_, reinterpret_cast<sockaddr*>(&address), &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      log_error("net", "a connection cannot be accepted", {{"error", ::strerror(errno)}});
      reactor().timers().arm(*this, reactor().now() + accept_pause);
      return pause_accepting(true);
    }
    tune_accepted(fd, options_);
    auto connection = std::make_shared<Connection>(*this, fd, peer_name(address));
    connection->place = connections_.insert(connections_.end(), connection);
    count_.fetch_add(1, std::memory_order_relaxed);
    connection->start();
  }
}

// A rotated certificate serves the first connection after it, so accepting waits while a pool thread reads it.
bool ServerCore::reload_first() {
  if (!tls_ || reactor().now() - files_checked_ < files_interval) return false;
  files_checked_ = reactor().now();
  if (!tls_->stale(*options_.tls)) return false;
  reloading_ = true;
  pause_accepting(true);
  runtime_->pool->post([this] {
    auto loaded = TlsContext::load(*options_.tls);
    if (!loaded) log_error("net", "the changed TLS files are not used", {{"error", loaded.error().message}});
    reactor().post([this, context = loaded ? *loaded : nullptr] {
      if (context) tls_ = context;
      reloading_ = false;
      pause_accepting(false);
    });
  });
  return true;
}

void ServerCore::remove(Connection& connection) {
  reactor().retire(std::move(*connection.place));
  connections_.erase(connection.place);
  std::size_t left = count_.fetch_sub(1, std::memory_order_relaxed) - 1;
  if (left == 0) {
    std::lock_guard lock(empty_mutex_);
    empty_.notify_all();
  }
  if (!accepting_ && !reloading_ && !armed() && left < options_.max_connections) {
    full_logged_ = false;
    pause_accepting(false);
  }
}

// ---- the end

void ServerCore::close_listener() {
  if (listen_fd_ < 0) return;
  reactor().unwatch(listen_fd_);
  ::close(listen_fd_);
  listen_fd_ = -1;
  accepting_ = false;
  if (!options_.unix_path.empty()) ::unlink(options_.unix_path.c_str());
}

void ServerCore::begin_stop() {
  reactor().timers().disarm(*this);
  close_listener();
  for (auto next = connections_.begin(); next != connections_.end();) {
    Connection& connection = **next++;
    connection.stop();
  }
}

void ServerCore::kill_all() {
  while (!connections_.empty()) connections_.front()->kill();
}

bool ServerCore::wait_until_empty(std::chrono::milliseconds limit) {
  std::unique_lock lock(empty_mutex_);
  return empty_.wait_for(lock, limit, [&] { return connections() == 0; });
}

}  // namespace kybern::net
