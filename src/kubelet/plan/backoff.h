// How long to wait before something that failed is tried again: 10 s, doubling to 300 s, forgotten after 10 minutes of
// peace. The same arithmetic serves crashing containers (measured from when they ended) and image pulls (from the last try).
#pragma once

#include <algorithm>
#include <chrono>

#include "base/time.h"

namespace kybern::kubelet {

struct Backoff {
  static constexpr Duration first = std::chrono::seconds(10);
  static constexpr Duration longest = std::chrono::seconds(300);

  Duration delay{};  // 0: nothing failed yet
  Time updated;

  // What happened at `event` is so long after the last failure that it counts as the first again.
  bool forgotten(Time event) const { return delay == Duration() || event - updated > 2 * longest; }
  // How long after `event` there is still to wait; zero when it may be tried now.
  Duration remaining(Time event, Time now) const {
    if (forgotten(event)) return Duration();
    return std::max(Duration(), delay - (now - event));
  }
  void next(Time event, Time now) {
    delay = forgotten(event) ? first : std::min(2 * delay, longest);
    updated = now;
  }
  friend bool operator==(const Backoff&, const Backoff&) = default;
};

}  // namespace kybern::kubelet
