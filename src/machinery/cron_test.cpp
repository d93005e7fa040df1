#include "machinery/cron.h"

#include <gtest/gtest.h>

namespace kybern {
namespace {

std::string next(std::string_view schedule, std::string_view after, Duration offset = {}) {
  auto parsed = CronSchedule::parse(schedule);
  if (!parsed) return parsed.error().message;
  auto at = parsed->next(*parse_rfc3339(after), offset);
  return at ? format_rfc3339(*at) : "never";
}

TEST(Cron, Next) {
  struct Case {
    const char *schedule, *after, *next;
  };
  for (auto [schedule, after, want] : {
           Case{"* * * * *", "2026-01-02T03:04:05Z", "2026-01-02T03:05:00Z"},
           Case{"*/15 * * * *", "2026-01-02T03:45:00Z", "2026-01-02T04:00:00Z"},
           Case{"0 0 29 2 *", "2026-01-02T03:04:05Z", "2028-02-29T00:00:00Z"},
           Case{"30 9 * * mon-fri", "2026-01-02T09:30:00Z", "2026-01-05T09:30:00Z"},
           Case{"0 0 13 * 5", "2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"},  // either
           Case{"0 0 */2 * 5", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"},
           Case{"5,10-12 23 31 dec ?", "2026-12-31T23:05:00Z", "2026-12-31T23:10:00Z"},
           Case{"50/5 * * * *", "2026-01-02T03:50:01Z", "2026-01-02T03:55:00Z"},
           Case{"@hourly", "2026-01-02T03:00:00Z", "2026-01-02T04:00:00Z"},
           Case{"@every 90s", "2026-01-02T03:00:00Z", "2026-01-02T03:01:30Z"},
           Case{"0 0 31 2 *", "2026-01-02T03:00:00Z", "never"},
       }) {
    EXPECT_EQ(next(schedule, after), want) << schedule;
  }
  EXPECT_EQ(next("0 8 * * *", "2026-01-02T06:59:00Z", std::chrono::hours(1)), "2026-01-02T07:00:00Z");
}

TEST(Cron, Refusals) {
  struct Case {
    const char *schedule, *message;
  };
  for (auto [schedule, message] : {
           Case{"", "empty spec string"},
           Case{"* * * *", "expected exactly 5 fields, found 4: [* * * *]"},
           Case{"error", "expected exactly 5 fields, found 1: [error]"},
           Case{"60 * * * *", "end of range (60) above maximum (59): 60"},
           Case{"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
           Case{"9-3 * * * *", "beginning of range (9) beyond end of range (3): 9-3"},
           Case{"1-2-3 * * * *", "too many hyphens: 1-2-3"},
           Case{"*/0 * * * *", "step of range should be a positive number: */0"},
           Case{"x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"},
           Case{"@never", "unrecognized descriptor: @never"},
       }) {
    EXPECT_EQ(next(schedule, "2026-01-02T03:04:05Z"), message) << schedule;
  }
}

}  // namespace
}  // namespace kybern
