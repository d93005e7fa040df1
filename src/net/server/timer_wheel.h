// Timers of the reactor: arming, moving and disarming cost O(1); a tick is 16 ms and a timer fires up to two ticks late.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/time.h"

namespace kybern::net {

class TimerWheel;

// Embedded in what it belongs to. It leaves its wheel when it is destroyed.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual void on_timer(Instant now) = 0;  // disarmed when called; may be armed again
  bool armed() const { return wheel_ != nullptr; }
  Instant due() const { return due_; }  // of an armed timer

 protected:
  ~Timer();

 private:
  friend class TimerWheel;
  Timer* next_ = nullptr;
  Timer** link_ = nullptr;  // what points at this one
  TimerWheel* wheel_ = nullptr;
  Instant due_;
};

class TimerWheel {
 public:
  static constexpr std::chrono::milliseconds tick{16};

  explicit TimerWheel(Instant start) : start_(start) {}
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  void arm(Timer& timer, Instant due);  // moves one that is armed
  void disarm(Timer& timer);
  void advance(Instant now);  // fires what is due
  // How long nothing can be due, absent without timers. It may be less than the time until the next timer: those more
  // than a turn (16 s) away are looked at on the way.
  std::optional<std::chrono::milliseconds> quiet(Instant now);

 private:
  friend class Timer;
  static constexpr std::size_t slots = 1024;
  std::uint64_t tick_of(Instant t) const;
  void unlink(Timer& timer);

  Instant start_;
  std::uint64_t handled_ = 0;  // every tick up to this one has been handled
  std::size_t armed_ = 0;
  std::array<Timer*, slots> lists_{};
  std::array<std::uint64_t, slots / 64> occupied_{};  // a bit per slot; it may be set for an empty one
};

}  // namespace kybern::net
