// WorkQueue: keys that wait to be worked on. A key waits at most once, is never worked on twice at the same time, and is
// never lost: added while in work, it comes again afterwards. Failures come again after a growing delay.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/world.h"

namespace kybern::client {

struct Outcome {
  enum class Kind { done, retry, again_after } kind = Kind::done;
  Duration after{};  // of again_after
  static Outcome done() { return {}; }
  static Outcome retry() { return {Kind::retry, {}}; }                       // with back-off per key: 5 ms doubling to 1000 s
  static Outcome again_after(Duration d) { return {Kind::again_after, d}; }  // counts as success
};

class WorkQueue {
 public:
  // At most `workers` keys at once, on the world's executor.
  WorkQueue(std::string name, World world, std::size_t workers, std::function<Outcome(const std::string& key)> work);
  ~WorkQueue();  // stops
  void add(std::string key);
  void add_after(std::string key, Duration delay);
  void start();  // keys added before wait until now
  void stop();   // waits for keys in work, which may still add others; what is added is dropped from now on
  std::size_t depth() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::client
