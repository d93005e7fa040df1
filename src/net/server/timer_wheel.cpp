#include "net/server/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace kybern::net {

Timer::~Timer() {
  if (wheel_) wheel_->unlink(*this);
}

TimerWheel::~TimerWheel() {
  for (Timer*& list : lists_) {
    while (list) unlink(*list);
  }
}

std::uint64_t TimerWheel::tick_of(Instant t) const { return t <= start_ ? 0 : static_cast<std::uint64_t>((t - start_) / Duration(tick)); }

void TimerWheel::unlink(Timer& timer) {
  *timer.link_ = timer.next_;
  if (timer.next_) timer.next_->link_ = timer.link_;
  timer.next_ = nullptr;
  timer.link_ = nullptr;
  timer.wheel_ = nullptr;
  --armed_;
}

void TimerWheel::arm(Timer& timer, Instant due) {
  if (timer.wheel_) timer.wheel_->unlink(timer);
  timer.due_ = due;
  // A timer lies in the slot of the tick after its time, so that it is due when the slot is handled.
  std::uint64_t at = std::max(tick_of(due) + 1, handled_ + 1);
  std::size_t slot = at % slots;
  Timer*& list = lists_[slot];
  occupied_[slot / 64] |= std::uint64_t(1) << (slot % 64);
  timer.wheel_ = this;
  timer.next_ = list;
  timer.link_ = &list;
  if (list) list->link_ = &timer.next_;
  list = &timer;
  ++armed_;
}

void TimerWheel::disarm(Timer& timer) {
  if (timer.wheel_) unlink(timer);
}

void TimerWheel::advance(Instant now) {
  std::uint64_t target = tick_of(now);
  if (armed_ == 0) {
    handled_ = std::max(handled_, target);
    return;
  }
  // After a long sleep each slot is looked at once.
  if (target > handled_ + slots) handled_ = target - slots;
  while (handled_ < target) {
    ++handled_;
    // The slot's list is taken off first: a timer that arms itself again goes to a later slot, maybe this list's next turn.
    Timer* taken = nullptr;
    Timer*& list = lists_[handled_ % slots];
    if (!list) continue;
    taken = list;
    taken->link_ = &taken;
    list = nullptr;
    while (taken) {
      Timer& timer = *taken;
      unlink(timer);
      if (timer.due_ <= now) {
        timer.on_timer(now);
      } else {
        arm(timer, timer.due_);
      }
    }
  }
}

std::optional<std::chrono::milliseconds> TimerWheel::quiet(Instant now) {
  if (armed_ == 0) return std::nullopt;
  for (std::uint64_t at = handled_ + 1; at <= handled_ + slots;) {
    std::size_t slot = at % slots;
    std::uint64_t bits = occupied_[slot / 64] >> (slot % 64);
    if (bits == 0) {
      at += 64 - slot % 64;
      continue;
    }
    at += static_cast<std::uint64_t>(std::countr_zero(bits));
    slot = at % slots;
    if (!lists_[slot]) {
      occupied_[slot / 64] &= ~(std::uint64_t(1) << (slot % 64));
      continue;
    }
    Instant when = start_ + Duration(tick) * static_cast<std::int64_t>(at);
    return when <= now ? std::chrono::milliseconds(0) : std::chrono::ceil<std::chrono::milliseconds>(when - now);
  }
  return tick;
}

}  // namespace kybern::net
