// How long a refused client is told to wait. Upstream's rule, which copies TCP's: while many are refused the time doubles,
// up to half a minute; with few it shrinks by a second at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace kybern::apiserver {

class RetryAfter {
 public:
  // One of this level was refused in that second of the wall clock; gives the seconds to tell.
  int refused(std::string_view level, std::int64_t second);

 private:
  static constexpr std::int64_t longest_seconds = 32;
  struct Level {
    struct Second {
      std::int64_t second, refused;
    };
    std::deque<Second> past;  // the last of them is the present one
    std::int64_t seconds = 1, grown_at = 0;
  };
  std::mutex mutex_;
  std::map<std::string, Level, std::less<>> levels_;  // as many as there are levels
};

}  // namespace kybern::apiserver
