#include "apiserver/flow/retry_after.h"

#include <algorithm>

namespace kybern::apiserver {

int RetryAfter::refused(std::string_view name, std::int64_t second) {
  std::lock_guard lock(mutex_);
  auto at = levels_.find(name);
  if (at == levels_.end()) at = levels_.emplace(std::string(name), Level()).first;
  Level& level = at->second;
  if (!level.past.empty() && level.past.back().second == second) {
    ++level.past.back().refused;
    return static_cast<int>(level.seconds);
  }
  // A new second: what happened in the whole ones before it decides.
  std::int64_t lately = 0;
  for (const Level::Second& one : level.past)
    if (one.second < second && second - one.second <= level.seconds) lately += one.refused;
  if (second - level.grown_at >= level.seconds && lately >= 3 * level.seconds) {
    level.seconds = std::min(level.seconds * 2, longest_seconds);
    level.grown_at = second;
  } else if (lately < level.seconds && level.seconds > 1) {
    --level.seconds;
  }
  level.past.push_back({second, 1});
  while (second - level.past.front().second > longest_seconds) level.past.pop_front();
  return static_cast<int>(level.seconds);
}

}  // namespace kybern::apiserver
