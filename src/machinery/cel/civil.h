// Points in time from year 1 to 9999, and the zones in which expressions read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "machinery/cel/value.h"

namespace kybern::cel {

struct Civil {
  std::int64_t year;
  unsigned month, day, hour, minute, second;  // month and day from 1
  unsigned weekday;                           // 0: Sunday
  unsigned day_of_year;                       // from 0
};

Civil civil(std::int64_t seconds);
std::int64_t seconds_of(std::int64_t year, unsigned month, unsigned day);
std::optional<Instant64> parse_instant(std::string_view text);  // RFC 3339, or a date alone
std::string format_instant(Instant64 time);                     // RFC 3339 in UTC, fraction as long as needed
bool in_range(Instant64 time);                                  // years 1 to 9999

// Seconds east of UTC at that moment. `zone`: "UTC", "+05:30", "Europe/Paris" (of the system's zone files); nothing
// when it is unknown.
std::optional<std::int64_t> zone_offset(std::string_view zone, std::int64_t seconds);

}  // namespace kybern::cel
