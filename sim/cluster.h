// A whole cluster in one process and one thread: the product's API server (without a listener), store, controllers and
// scheduler, and simulated nodes; driven from a seed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apiserver/server.h"
#include "base/result.h"
#include "client/leader.h"
#include "controllers/controllers.h"
#include "scheduler/scheduler.h"
#include "sim/disk.h"
#include "sim/fleet.h"
#include "sim/network.h"
#include "sim/world.h"

namespace kybern::sim {

struct ClusterOptions {
  std::uint64_t seed = 1;
  int nodes = 20;
  Duration nodes_within = std::chrono::seconds(5);  // they register one after another
  NodeModel node;
  NetworkOptions network;
  // Controllers and scheduler run twice, as on two machines: one of each leads, the other stands by.
  bool elect = false;
};

enum class Component { server, controllers, scheduler, controllers_standby, scheduler_standby };
constexpr std::size_t component_count = 5;
std::string_view name_of(Component component);

// For a program that ends at once: the folders of its clusters, which their destructors would remove.
void remove_own_folders();

class Cluster {
 public:
  explicit Cluster(ClusterOptions options);
  ~Cluster();
  Result<void> start();

  SimulatedWorld& world() { return world_; }
  Network& network() { return network_; }
  Fleet& fleet() { return *fleet_; }
  Disk& disk() { return disk_; }
  store::Store* store() { return server_ ? &server_->store() : nullptr; }
  client::Transport& user() { return *user_; }  // a cluster administrator
  Lane& user_lane() { return user_lane_; }
  void run_for(Duration duration) { world_.run_for(duration); }
  bool run_until(const std::function<bool()>& holds, Duration limit, Duration step = std::chrono::milliseconds(200));

  // The process of a component is gone at once. One in the middle of a request loses its connection first, and is gone as
  // soon as it notices. A server whose power is cut loses what its disk has not made durable (all that it acknowledged
  // is).
  void crash(Component component, bool power = false);
  void restart(Component component);  // does nothing while it runs
  bool is_up(Component component) const;
  Lane* lane(Component component);
  // With elections: of a component and its standby the one that leads now, or else the first.
  Component leading(Component component) const;
  bool leads(Component component) const;  // believes that it does
  std::uint64_t server_starts() const { return server_starts_; }
  std::function<void()> server_started;  // called each time, before anybody reaches it

  // All objects under a prefix such as "/pods/", as the store has them.
  std::vector<Document> objects(std::string_view prefix);
  std::uint64_t digest();  // of all that happened, and of what is stored now

 private:
  struct Process {
    Lane* lane = nullptr;
    bool doomed = false;
    std::map<std::string, std::unique_ptr<client::Transport>> transports;
    std::unique_ptr<client::LeaderElection> election;
    std::unique_ptr<controllers::ControllerManager> controllers;
    std::unique_ptr<scheduler::Scheduler> scheduler;
  };
  bool exists(Component component) const;

  client::Transport& connect(Process& process, const std::string& user);
  Result<void> start_server();
  void start_process(Component component);
  void work(Component component);  // what the process is there for
  void end(Component component, bool power);

  const ClusterOptions options_;
  std::string folder_;
  SimulatedWorld world_;
  Disk disk_;
  Network network_;
  Process processes_[component_count];
  Lane& user_lane_;
  std::unique_ptr<client::Transport> user_;
  std::unique_ptr<apiserver::ApiServer> server_;
  std::uint64_t server_starts_ = 0;
  std::uint64_t incarnations_ = 0;  // of processes that take part in elections
  std::unique_ptr<Fleet> fleet_;
};

}  // namespace kybern::sim
