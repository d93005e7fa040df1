// What happens to a simulated cluster: a list of actions of users and of faults, drawn from a seed. A plan is its seed and
// the numbers of the incidents that are left of it: that is all that a replay needs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "sim/world.h"

namespace kybern::sim {

struct Incident {
  enum class Kind {
    // of users
    make,
    scale,
    update,
    erase,
    erase_pod,
    evict,
    drain,
    make_namespace,
    erase_namespace,
    make_pod,
    // of components
    crash_controllers,
    crash_scheduler,
    crash_server,
    cut_power,
    pause_controllers,
    pause_scheduler,
    // of the network
    lose_requests,
    lose_answers,
    delay_watches,
    drop_watches,
    // of the disk and the clock
    disk_errors,
    disk_full,
    clock_jump,
    // of nodes
    crash_node,
    restart_agent,
    mute_node,
    lose_zone,
    count
  } kind = Kind::make;
  std::size_t number = 0;  // in its plan
  Duration at{};
  Duration lasts{};        // of a fault: until it is mended
  std::uint64_t pick = 0;  // which object, node, zone; taken modulo what there is
  int amount = 0;          // replicas, per cent, seconds

  bool is_fault() const { return kind >= Kind::crash_controllers; }
};
std::string describe(const Incident& incident);

struct PlanOptions {
  Duration span = std::chrono::seconds(120);
  int actions = 16, faults = 10;
};

struct Plan {
  std::uint64_t seed = 1;
  PlanOptions options;
  std::vector<Incident> incidents;  // by time
};
Plan make_plan(std::uint64_t seed, const PlanOptions& options);
// Only the incidents with these numbers.
Plan only(const Plan& plan, const std::vector<std::size_t>& numbers);

}  // namespace kybern::sim
