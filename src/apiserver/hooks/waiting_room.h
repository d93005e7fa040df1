// Threads for work that waits for webhooks. A request that a webhook concerns leaves the server's handler threads and its
// seat (flow control) and goes on here, so that a webhook that hangs holds up only those whom it concerns.
//
// Threads come when there is work for them and end after a while without; what comes when all are taken waits in a
// queue, and is refused when that is full.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace kybern::apiserver {

class WaitingRoom {
 public:
  static constexpr std::size_t max_threads = 512;
  static constexpr std::size_t max_queued = 4096;

  WaitingRoom() = default;
  ~WaitingRoom() { stop(); }
  void stop();  // waits for what is running; what is queued is run first, nothing is taken any more
  WaitingRoom(const WaitingRoom&) = delete;

  bool post(std::function<void()> task);      // false: the queue is full
  bool post_now(std::function<void()> task);  // false also when it would have to wait: the caller then does it himself
  std::size_t busy() const;

 private:
  void run();
  bool push(std::function<void()> task);  // with the lock
  mutable std::mutex mutex_;
  std::condition_variable work_, gone_;
  std::deque<std::function<void()>> queue_;
  std::size_t threads_ = 0, idle_ = 0;
  bool stopping_ = false;
};

// How many may be inside at once, and how many may wait for it: what one webhook gets of the server's threads.
class Gate {
 public:
  static constexpr std::size_t max_inside = 128, max_waiting = 64;

  struct Leave {
    void operator()(Gate* gate) const { gate->leave(); }
  };
  using Place = std::unique_ptr<Gate, Leave>;  // whoever holds one is inside

  // None when too many wait already, or when it took too long.
  template <class Deadline>
  Place enter(Deadline deadline) {
    std::unique_lock lock(mutex_);
    if (inside_ >= max_inside) {
      if (waiting_ >= max_waiting) return nullptr;
      ++waiting_;
      bool room = left_.wait_until(lock, deadline, [&] { return inside_ < max_inside; });
      --waiting_;
      if (!room) return nullptr;
    }
    ++inside_;
    return Place(this);
  }

 private:
  void leave() {
    {
      std::lock_guard lock(mutex_);
      --inside_;
    }
    left_.notify_one();
  }
  std::mutex mutex_;
  std::condition_variable left_;
  std::size_t inside_ = 0, waiting_ = 0;
};

}  // namespace kybern::apiserver
