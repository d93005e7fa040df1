// Parts of timestamps, in UTC or in a zone, and of durations.
#include <fmt/format.h>

#include "machinery/cel/civil.h"
#include "machinery/cel/functions.h"

namespace kybern::cel {

namespace {

using Args = std::span<const Val>;

template <class Part>
Val part(Evaluation& e, Args a, Part read) {
  std::int64_t seconds = a[0].time.seconds;
  if (a.size() > 1) {
    auto offset = zone_offset(a[1].str(), seconds);
    if (!offset) return e.error(fmt::format("unknown time zone {}", a[1].str()));
    seconds += *offset;
  }
  return Val::of(static_cast<std::int64_t>(read(civil(seconds))));
}

#define KYBERN_CEL_PART(name, what)                         \
  Val name(Evaluation& e, Args a) {                         \
    return part(e, a, [](const Civil& c) { return what; }); \
  }
KYBERN_CEL_PART(full_year, c.year)
KYBERN_CEL_PART(month, c.month - 1)
KYBERN_CEL_PART(date, c.day)
KYBERN_CEL_PART(day_of_month, c.day - 1)
KYBERN_CEL_PART(day_of_week, c.weekday)
KYBERN_CEL_PART(day_of_year, c.day_of_year)
KYBERN_CEL_PART(hours, c.hour)
KYBERN_CEL_PART(minutes, c.minute)
KYBERN_CEL_PART(seconds, c.second)
#undef KYBERN_CEL_PART

Val milliseconds(Evaluation&, Args a) { return Val::of(static_cast<std::int64_t>(a[0].time.nanos / 1'000'000)); }

constexpr std::int64_t second = 1'000'000'000;
Val duration_hours(Evaluation&, Args a) { return Val::of(a[0].integer / (3600 * second)); }
Val duration_minutes(Evaluation&, Args a) { return Val::of(a[0].integer / (60 * second)); }
Val duration_seconds(Evaluation&, Args a) { return Val::of(a[0].integer / second); }
Val duration_milliseconds(Evaluation&, Args a) { return Val::of(a[0].integer / 1'000'000); }

#define KYBERN_CEL_ROWS(name, id, impl) \
  {name, id, "timestamp.() int", impl}, { name, id "_with_tz", "timestamp.(string) int", impl }
constexpr FunctionRow table_of_time[] = {
    KYBERN_CEL_ROWS("getFullYear", "timestamp_to_year", full_year),
    KYBERN_CEL_ROWS("getMonth", "timestamp_to_month", month),
    KYBERN_CEL_ROWS("getDate", "timestamp_to_day_of_month_1_based", date),
    KYBERN_CEL_ROWS("getDayOfMonth", "timestamp_to_day_of_month", day_of_month),
    KYBERN_CEL_ROWS("getDayOfWeek", "timestamp_to_day_of_week", day_of_week),
    KYBERN_CEL_ROWS("getDayOfYear", "timestamp_to_day_of_year", day_of_year),
    KYBERN_CEL_ROWS("getHours", "timestamp_to_hours", hours),
    KYBERN_CEL_ROWS("getMinutes", "timestamp_to_minutes", minutes),
    KYBERN_CEL_ROWS("getSeconds", "timestamp_to_seconds", seconds),
    KYBERN_CEL_ROWS("getMilliseconds", "timestamp_to_milliseconds", milliseconds),
    {"getHours", "duration_to_hours", "duration.() int", duration_hours},
    {"getMinutes", "duration_to_minutes", "duration.() int", duration_minutes},
    {"getSeconds", "duration_to_seconds", "duration.() int", duration_seconds},
    {"getMilliseconds", "duration_to_milliseconds", "duration.() int", duration_milliseconds},
};
#undef KYBERN_CEL_ROWS

}  // namespace

std::span<const FunctionRow> time_rows() { return table_of_time; }

}  // namespace kybern::cel
