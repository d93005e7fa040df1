// Leader election by a coordination.k8s.io/v1 Lease, with upstream's times (lease 15 s, renew deadline 10 s, retry 2 s).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/world.h"
#include "client/transport.h"

namespace kybern::client {

struct LeaderOptions {
  std::string ns = "kube-system", name, identity;
  Duration lease{std::chrono::seconds(15)}, renew_deadline{std::chrono::seconds(10)}, retry{std::chrono::seconds(2)};
};
class LeaderElection {
 public:
  // `leading` is called once when the lease is won, `lost` when it could not be renewed in time, also while a call for it still waits for
  // its answer (the caller ends its process or stops its work).
  LeaderElection(Transport& transport, World world, LeaderOptions options, std::function<void()> leading, std::function<void()> lost);
  ~LeaderElection();  // gives the lease up when it is held
  void start();
  bool is_leader() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::client
