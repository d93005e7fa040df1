#include "machinery/duration_text.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>

namespace kybern {

std::string human_duration(Duration age) {
  using namespace std::chrono;
  // A clock that lags a little behind the server's shows no negative ages.
  std::int64_t s = duration_cast<seconds>(age).count();
  if (s < -1) return "<invalid>";
  if (s < 0) return "0s";
  constexpr std::int64_t minute = 60, hour = 60 * minute, day = 24 * hour, year = 365 * day;
  auto pair = [](std::int64_t a, const char* unit, std::int64_t b, const char* small) {
    return b == 0 ? fmt::format("{}{}", a, unit) : fmt::format("{}{}{}{}", a, unit, b, small);
  };
  if (s < 2 * minute) return fmt::format("{}s", s);
  if (s < 10 * minute) return pair(s / minute, "m", s % minute, "s");
  if (s < 3 * hour) return fmt::format("{}m", s / minute);
  if (s < 8 * hour) return pair(s / hour, "h", s / minute % 60, "m");
  if (s < 2 * day) return fmt::format("{}h", s / hour);
  if (s < 8 * day) return pair(s / day, "d", s / hour % 24, "h");
  if (s < 2 * year) return fmt::format("{}d", s / day);
  if (s < 8 * year) return pair(s / year, "y", s / day % 365, "d");
  return fmt::format("{}y", s / year);
}

std::string human_age(Time t, Time now) { return t == Time() ? "<unknown>" : human_duration(now - t); }

}  // namespace kybern
