// Schedules of cron jobs: five fields of a crontab, or a descriptor (@hourly, @every 90s).
//
//   auto schedule = CronSchedule::parse("*/15 9-17 * * mon-fri");
//   schedule->next(now);  // the first moment after `now`, in UTC
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace kybern {

class CronSchedule {
 public:
  // Code::invalid, in the words of the library that upstream uses.
  static Result<CronSchedule> parse(std::string_view text);

  // `offset`: of the zone in which the schedule is read, east of UTC positive. Nothing within five years: never.
  std::optional<Time> next(Time after, Duration offset = {}) const;

 private:
  enum Part { minute, hour, day, month, weekday, parts };
  struct Bits {
    std::uint64_t set = 0;
    bool star = false;  // "*" or "?": does not restrict the days
    bool has(unsigned value) const { return (set >> value & 1U) != 0; }
  };
  struct Bounds;
  static const Bounds& bounds(Part part);
  static Result<Bits> read_field(std::string_view text, Part part);
  static Result<Bits> read_range(std::string_view text, Part part);
  bool day_matches(unsigned day_of_month, unsigned day_of_week) const;

  std::array<Bits, parts> fields_{};
  Duration every_{};  // of "@every"; zero otherwise
};

}  // namespace kybern
