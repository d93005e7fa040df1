// The health check node ports of services with externalTrafficPolicy Local: a load balancer asks there whether this node has
// ready endpoints of the service (200) or not (503).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace kybern::proxy {

class HealthServers {
 public:
  explicit HealthServers(std::string bind_address);
  ~HealthServers();
  // Port 0: the service has none (any more). Opens and closes listeners as needed; a port that cannot be opened is logged once and waits
  // for retry().
  void set(const std::string& service, std::uint16_t port, std::size_t local_endpoints);
  void retry();                    // opens what could not be opened before
  std::size_t open() const;        // how many listen
  void set_healthy(bool healthy);  // whether the kernel holds the rules: not healthy answers 503

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The body of an answer.
std::string health_body(const std::string& service, std::size_t local_endpoints, bool healthy);

}  // namespace kybern::proxy
