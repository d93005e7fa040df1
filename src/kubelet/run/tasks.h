// Threads for work that may block for long: image pulls, the grace of a dying container, hooks. They are not the world's
// executor's, so that a hundred pods in their grace period cannot keep the node's lease from being renewed.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "base/world.h"

namespace kybern::kubelet {

class Tasks {
 public:
  // Threads come when a task waits and none is idle, at most `max_threads`, and go after some seconds without work.
  // 0: everything goes to the world's executor (the simulator).
  Tasks(World world, std::size_t max_threads);
  ~Tasks();  // as stop()
  void post(Task task);
  // Drops what has not begun and waits for what has.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::kubelet
