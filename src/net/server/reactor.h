// The event loop: one thread that waits in epoll for sockets, timers and work that other threads hand it.
//
// Everything but post(), schedule() and wake() belongs to the reactor thread. Nothing that runs here may block.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "net/server/timer_wheel.h"

namespace kybern::net {

// Several want the thread: it takes one of each flow in turn (fair_queue.h says why), and not all of them in one turn.
class InTurn {
 public:
  void set_flow(std::uint64_t flow) { flow_ = flow; }

 private:
  friend class Reactor;
  std::uint64_t flow_ = 0;
};

// A file descriptor's owner. Events that are not dealt with come again.
class Watched : public InTurn {
 public:
  virtual void on_events(std::uint32_t events) = 0;  // EPOLL* bits

 protected:
  ~Watched() = default;
};

// Something that other threads ask to be looked at; it sees to it itself that it is scheduled once at a time.
class Scheduled {
 public:
  virtual void on_schedule() = 0;

 protected:
  ~Scheduled() = default;
};

// Asked at the end of a turn to send what the turn has produced.
class Flushed : public InTurn {
 public:
  virtual void on_flush() = 0;

 protected:
  ~Flushed() = default;

 private:
  friend class Reactor;
  bool flush_wanted_ = false;
};

class Reactor {
 public:
  static constexpr std::size_t scratch_bytes = 64 << 10;

  static Result<std::unique_ptr<Reactor>> make();
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // Any thread.
  void post(std::move_only_function<void()> task);
  void schedule(std::shared_ptr<Scheduled> work);
  void wake();  // a turn runs soon

  void run();   // until stop()
  void stop();  // any thread; what is posted until then still runs
  // Called at the end of each turn; says how long the reactor may sleep at most, < 0 for as long as it likes.
  void at_turn_end(std::function<int()> hook) { turn_end_ = std::move(hook); }

  Instant now() const { return now_; }
  TimerWheel& timers() { return timers_; }
  char* scratch() { return scratch_.get(); }  // scratch_bytes, for whoever runs now
  bool watch(int fd, std::uint32_t events, Watched& owner);
  void rewatch(int fd, std::uint32_t events, Watched& owner);
  void unwatch(int fd);
  void want_flush(Flushed& item);
  void unwant_flush(Flushed& item);
  void retire(std::shared_ptr<void> object);  // let go of it when the turn is over: an event of this turn may still name it

 private:
  struct Events;
  Reactor(int epoll_fd, int event_fd);
  void wait(int timeout_ms);
  void deal_with(std::size_t count);  // of events_
  bool run_posted();
  void flush_all();
  bool flush_in_turn(std::vector<Flushed*>& items);  // false: time was up

  int epoll_fd_, event_fd_;
  Instant now_;
  TimerWheel timers_;
  std::unique_ptr<char[]> scratch_;
  std::function<int()> turn_end_;
  std::vector<Flushed*> flushes_;
  std::unique_ptr<Events> events_;
  std::vector<std::shared_ptr<void>> retired_;

  std::mutex mutex_;
  std::vector<std::move_only_function<void()>> posted_;
  std::vector<std::shared_ptr<Scheduled>> scheduled_;
  bool stopping_ = false;
  std::atomic<bool> sleeping_ = false;
};

}  // namespace kybern::net
