// The scheduler: binds pods without a node to one, through the API.
//
// Reads pods and nodes by mirrors, keeps what is used of each node, decides one pod at a time (cycle/), and binds while
// the next is decided: a decided pod counts on its node at once. Pods that fit nowhere wait until something changes that
// may help, with a growing delay (1 s to 10 s), and are tried again after five minutes in any case.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/world.h"
#include "client/transport.h"

namespace kybern::scheduler {

struct SchedulerOptions {
  std::string name = "default-scheduler";  // of spec.schedulerName
  std::size_t binds_at_once = 32;
};

class Scheduler {
 public:
  static Result<std::unique_ptr<Scheduler>> start(client::Transport& transport, World world, SchedulerOptions options);
  ~Scheduler();
  void stop();

 private:
  struct State;
  explicit Scheduler(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace kybern::scheduler
