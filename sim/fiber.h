// Stacks of their own for tasks that wait: a task that waits is left where it is, and another stack goes on.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace kybern::sim {

class Fiber {
 public:
  Fiber();                                     // the stack that the caller is on
  explicit Fiber(std::function<void()> main);  // a new one; `main` never returns
  ~Fiber();
  Fiber(const Fiber&) = delete;

  // Leaves `this`, on which the caller is, for `other`, until somebody comes back.
  void switch_to(Fiber& other);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kybern::sim
