#include "dns/dns.h"

#include <condition_variable>
#include <mutex>

#include "base/log.h"
#include "dns/serve/feed.h"
#include "dns/serve/server.h"

namespace kybern::dns {

struct DnsServer::State {
  std::unique_ptr<Server> server;
  std::unique_ptr<Feed> feed;
  DnsStatus last;  // after stop()
  int port = 0;
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  bool synced = false;

  void publish(std::shared_ptr<const Index> index) {
    server->set_index(std::move(index));
    std::lock_guard lock(mutex);
    if (!synced) log_info("dns", "serving the cluster zone", {{"services", std::to_string(server->index()->services())}});
    synced = true;
    changed.notify_all();
  }
};

Result<std::unique_ptr<DnsServer>> DnsServer::start(client::Transport& transport, World world, DnsOptions options) {
  Result<std::unique_ptr<Server>> server = Server::start(world, options);
  if (!server) return std::unexpected(server.error());
  auto state = std::make_unique<State>();
  state->port = (*server)->port();
  state->server = std::move(*server);
  State* self = state.get();
  state->feed = std::make_unique<Feed>(transport, world, options.coalesce,
                                       [self](std::shared_ptr<const Index> index) { self->publish(std::move(index)); });
  return std::unique_ptr<DnsServer>(new DnsServer(std::move(state)));
}

DnsServer::DnsServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
DnsServer::~DnsServer() { stop(); }

void DnsServer::stop() {
  if (!state_->server) return;
  state_->feed.reset();
  state_->last = state_->server->status();
  state_->server.reset();
}

int DnsServer::port() const { return state_->port; }
DnsStatus DnsServer::status() const { return state_->server ? state_->server->status() : state_->last; }

bool DnsServer::wait_synced(std::chrono::milliseconds limit) const {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, limit, [&] { return state_->synced; });
}

}  // namespace kybern::dns
