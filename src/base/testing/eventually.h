// For tests: a bounded wait for a state of the world that other threads or processes bring about.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

namespace kybern {

// Asks again and again whether the condition holds; false when it has not come true within the limit, and then says on
// stderr what was waited for.
//     ASSERT_TRUE(eventually([&] { return pods() == 3; }, "three pods"));
inline bool eventually(const std::function<bool()>& holds, std::string_view what,
                       std::chrono::milliseconds limit = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (auto pause = std::chrono::microseconds(50); !holds(); pause = std::min(2 * pause, std::chrono::microseconds(5000))) {
    if (std::chrono::steady_clock::now() > end) {
      if (!what.empty())
        std::fprintf(stderr, "waited %lld ms in vain for: %s\n", static_cast<long long>(limit.count()), std::string(what).c_str());
      return false;
    }
    std::this_thread::sleep_for(pause);
  }
  return true;
}
inline bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
  return eventually(holds, std::string_view(), limit);
}

}  // namespace kybern
