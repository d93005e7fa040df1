// For benchmarks that measure a process at rest.
#pragma once

#include <time.h>

#include <chrono>
#include <thread>

namespace kybern::bench {

inline double own_cpu_seconds() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

// Until this process has used less than 1 % of a core for a tenth of a second; false when it is still busy after the limit.
inline bool wait_until_still(std::chrono::seconds limit = std::chrono::seconds(20)) {
  using Steady = std::chrono::steady_clock;
  const auto end = Steady::now() + limit;
  while (Steady::now() < end) {
    const double before = own_cpu_seconds();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (own_cpu_seconds() - before < 0.001) return true;
  }
  return false;
}

}  // namespace kybern::bench
