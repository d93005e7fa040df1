// The handler threads: few while handlers are quick, more while they wait for something, fewer again when idle.
//
// Tasks wait in line by flow (fair_queue.h). A task goes to the thread that went idle last, so that the others stay idle long enough to
// end. New threads are not started for every task that finds no idle one: the reactor looks every 2 ms while tasks wait (supervise), and
// starts threads only when the tasks wait for threads rather than for the processor.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/time.h"
#include "net/server/fair_queue.h"

namespace kybern::net {

class Pool {
 public:
  using Task = FairQueue::Task;
#ifdef __SANITIZE_ADDRESS__
  static constexpr std::size_t usual_stack_bytes = 16 << 20;  // its frames are several times as large
#else
  static constexpr std::size_t usual_stack_bytes = 2 << 20;
#endif
  struct Options {
    std::size_t min_threads = 1, max_threads = 128;
    std::chrono::milliseconds idle_end{10000};
    std::size_t stack_bytes = usual_stack_bytes;
  };

  // `call_supervisor` is called from any thread when tasks begin to wait: supervise() is to be called soon.
  Pool(Options options, std::function<void()> call_supervisor);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  struct Flowing {
    Task task;
    std::uint64_t flow;
  };
  void post(Task task, std::uint64_t flow = 0);  // after stop(): dropped
  void post_all(std::vector<Flowing>& tasks);    // empties it
  // One caller. Absent when nothing waits; else when it wants to be called again.
  std::optional<std::chrono::milliseconds> supervise(Instant now);
  void stop();  // runs what is queued, then ends the threads; not from a task
  std::size_t threads() const;

 private:
  struct Worker;
  void spawn(std::unique_lock<std::mutex>& lock);
  void work(Worker& self);
  bool wait_for_work(Worker& self, std::unique_lock<std::mutex>& lock);
  void wake_one(std::unique_lock<std::mutex>& lock);
  void hand_out(bool& call);
  bool too_busy(Instant now);

  const Options options_;
  const std::size_t processors_;
  const std::function<void()> call_supervisor_;

  mutable std::mutex mutex_;
  std::condition_variable ended_;
  FairQueue queue_;
  std::vector<Worker*> idle_;  // the one that went idle last is at the end
  std::vector<std::unique_ptr<Worker>> workers_, finished_;
  bool supervised_ = false;  // supervise() will be called
  bool stopping_ = false;

  Instant measured_at_;  // of the supervisor alone
  Duration measured_cpu_{0};
  int busy_rounds_ = 0;
};

}  // namespace kybern::net
