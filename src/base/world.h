// The world as parameters: clock, randomness, and where work runs. Production code gets `real_world()`; the simulator
// passes its own, so that a whole cluster runs in one process from a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/time.h"

namespace kybern {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;        // wall clock
  virtual Instant steady() const = 0;  // never goes back
};

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;  // uniform over 64 bits; thread-safe
};

using Task = std::move_only_function<void()>;
using TimerId = std::uint64_t;  // 0: no timer

// Runs tasks. Tasks may run at the same time on several threads (or all on one, in the simulator): a task that needs
// order keeps its own lock or queue. A task may block for a bounded time.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void post(Task task) = 0;
  virtual TimerId post_after(Duration delay, Task task) = 0;
  virtual void cancel(TimerId id) = 0;       // a task that has begun is not stopped; an unknown id is ignored
  virtual void wait(Duration duration) = 0;  // holds the task that calls, others go on
};

struct World {
  Clock& clock;
  Random& random;
  Executor& executor;
};

// The machine's clock and random source, and a pool of threads that grows to `max_threads` while tasks wait and shrinks
// when idle. One per process; lives until exit. `stop_real_world` waits for running tasks and drops the rest.
World real_world();
void set_real_world_threads(std::size_t max_threads);
void stop_real_world();

std::string new_uuid(Random& random);                           // RFC 4122 version 4, lower case
std::string random_suffix(Random& random, std::size_t length);  // of generateName: characters bcdfghjklmnpqrstvwxz2456789
double random_unit(Random& random);                             // [0, 1)

}  // namespace kybern
