#include "proxy/run/health.h"

#include <fmt/format.h>

#include <atomic>
#include <map>

#include "base/log.h"
#include "net/server.h"

namespace kybern::proxy {
namespace {

struct CheckedService {
  std::atomic<std::size_t> local_endpoints{0};
  std::unique_ptr<net::Server> server;
  std::uint16_t port = 0;
  bool told = false;  // that it cannot be opened
};

void answer(net::Exchange& exchange, const std::string& service, std::size_t local_endpoints, bool healthy) {
  net::Response response;
  response.status = local_endpoints > 0 && healthy ? 200 : 503;
  response.headers.set("Content-Type", "application/json");
  response.headers.set("X-Content-Type-Options", "nosniff");
  response.headers.set("X-Load-Balancing-Endpoint-Weight", std::to_string(local_endpoints));
  response.body = health_body(service, local_endpoints, healthy);
  exchange.respond(std::move(response));
}

}  // namespace

struct HealthServers::State {
  std::string bind_address;
  std::shared_ptr<std::atomic<bool>> healthy = std::make_shared<std::atomic<bool>>(false);
  std::map<std::string, std::shared_ptr<CheckedService>> services;

  void open(const std::string& name, const std::shared_ptr<CheckedService>& service);
};

HealthServers::HealthServers(std::string bind_address) : state_(std::make_unique<State>()) {
  state_->bind_address = std::move(bind_address);
}
HealthServers::~HealthServers() = default;

void HealthServers::set(const std::string& name, std::uint16_t port, std::size_t local_endpoints) {
  auto found = state_->services.find(name);
  if (found != state_->services.end() && found->second->port != port) {
    if (found->second->server) found->second->server->stop(std::chrono::milliseconds(0));
    state_->services.erase(found);
    found = state_->services.end();
  }
  if (port == 0) return;
  if (found == state_->services.end()) {
    found = state_->services.emplace(name, std::make_shared<CheckedService>()).first;
    found->second->port = port;
  }
  found->second->local_endpoints = local_endpoints;
  if (!found->second->server) state_->open(name, found->second);
}

void HealthServers::State::open(const std::string& name, const std::shared_ptr<CheckedService>& service) {
  net::ServerOptions options;
  options.bind_address = bind_address;
  options.port = service->port;
  options.max_body_bytes = 0;
  options.max_threads = 2;
  options.min_threads = 0;
  options.max_connections = 64;
  std::weak_ptr<CheckedService> weak = service;
  auto started = net::Server::start(options, [name, weak, healthy = healthy](std::shared_ptr<net::Exchange> exchange) {
    const std::shared_ptr<CheckedService> self = weak.lock();
    answer(*exchange, name, self ? self->local_endpoints.load() : 0, healthy->load());
  });
  if (started) service->server = std::move(*started);
  else if (!service->told)
    log_error("proxy", "health check node port cannot be opened; tried again until it can",
              {{"service", name}, {"port", std::to_string(service->port)}, {"error", started.error().message}});
  service->told = !started;
}

void HealthServers::retry() {
  for (const auto& [name, service] : state_->services)
    if (!service->server) state_->open(name, service);
}

std::size_t HealthServers::open() const {
  std::size_t out = 0;
  for (const auto& [name, service] : state_->services) out += service->server ? 1 : 0;
  return out;
}

void HealthServers::set_healthy(bool healthy) { state_->healthy->store(healthy); }

std::string health_body(const std::string& service, std::size_t local_endpoints, bool healthy) {
  const std::size_t slash = service.find('/');
  return fmt::format(
      "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{}\",\n\t\t\"name\": \"{}\"\n\t}},\n\t\"localEndpoints\": "
      "{},\n\t\"serviceProxyHealthy\": {}\n}}",
      service.substr(0, slash), slash == service.npos ? "" : service.substr(slash + 1), local_endpoints, healthy);
}

}  // namespace kybern::proxy
