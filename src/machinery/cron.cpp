#include "machinery/cron.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "base/strings.h"

namespace kybern {

struct CronSchedule::Bounds {
  unsigned low, high;
  std::span<const std::string_view> names;  // the first stands for `low`
};

namespace {

constexpr std::string_view month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::string_view day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr int years_ahead = 5;

struct Descriptor {
  std::string_view name, fields;
};
constexpr Descriptor descriptors[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
};

std::unexpected<Error> bad(std::string why) { return fail(Code::invalid, std::move(why)); }

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (!(text = trim(text)).empty()) {
    std::size_t end = std::min(text.find_first_of(" \t\r\n\v\f"), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

Result<unsigned> read_number(std::string_view text) {
  bool digits = !text.empty() && text.find_first_not_of("0123456789", text[0] == '-' || text[0] == '+' ? 1 : 0) == std::string_view::npos;
  auto number = digits ? parse_int(text.starts_with('+') ? text.substr(1) : text) : std::nullopt;
  if (!number) return bad(fmt::format("failed to parse int from {}: strconv.Atoi: parsing {}: invalid syntax", text, go_quote(text)));
  if (*number < 0) return bad(fmt::format("negative number ({}) not allowed: {}", *number, text));
  return static_cast<unsigned>(std::min<std::int64_t>(*number, 1'000'000));
}

Result<unsigned> read_value(std::string_view text, std::span<const std::string_view> names, unsigned low) {
  std::string lowered = to_lower(text);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == lowered) return static_cast<unsigned>(i) + low;
  }
  return read_number(text);
}

}  // namespace

const CronSchedule::Bounds& CronSchedule::bounds(Part part) {
  static const Bounds all[] = {{0, 59, {}}, {0, 23, {}}, {1, 31, {}}, {1, 12, month_names}, {0, 6, day_names}};
  return all[part];
}

// number | number "-" number [ "/" number ] | "*" [ "/" number ]
Result<CronSchedule::Bits> CronSchedule::read_range(std::string_view text, Part part) {
  const Bounds& in = bounds(part);
  std::vector<std::string_view> range_and_step = split(text, '/');
  std::vector<std::string_view> ends = split(range_and_step[0], '-');
  Bits out;
  unsigned start = in.low, end = in.high, step = 1;
  bool single = ends.size() == 1;
  if (ends[0] == "*" || ends[0] == "?") {
    out.star = true;
  } else {
    auto first = read_value(ends[0], in.names, in.low);
    if (!first) return std::unexpected(first.error());
    start = end = *first;
    if (ends.size() > 2) return bad(fmt::format("too many hyphens: {}", text));
    if (ends.size() == 2) {
      auto last = read_value(ends[1], in.names, in.low);
      if (!last) return std::unexpected(last.error());
      end = *last;
    }
  }
  if (range_and_step.size() > 2) return bad(fmt::format("too many slashes: {}", text));
  if (range_and_step.size() == 2) {
    auto given = read_number(range_and_step[1]);
    if (!given) return std::unexpected(given.error());
    step = *given;
    if (single) end = in.high;  // "N/step" is "N-max/step"
    if (step > 1) out.star = false;
  }
  if (start < in.low) return bad(fmt::format("beginning of range ({}) below minimum ({}): {}", start, in.low, text));
  if (end > in.high) return bad(fmt::format("end of range ({}) above maximum ({}): {}", end, in.high, text));
  if (start > end) return bad(fmt::format("beginning of range ({}) beyond end of range ({}): {}", start, end, text));
  if (step == 0) return bad(fmt::format("step of range should be a positive number: {}", text));
  for (unsigned value = start; value <= end; value += step) out.set |= std::uint64_t{1} << value;
  return out;
}

Result<CronSchedule::Bits> CronSchedule::read_field(std::string_view text, Part part) {
  Bits out;
  for (std::string_view range : split(text, ',')) {
    if (range.empty()) continue;
    auto bits = read_range(range, part);
    if (!bits) return std::unexpected(bits.error());
    out.set |= bits->set;
    out.star |= bits->star;
  }
  return out;
}

Result<CronSchedule> CronSchedule::parse(std::string_view text) {
  if (text.empty()) return bad("empty spec string");
  CronSchedule out;
  if (text.starts_with("@")) {
    constexpr std::string_view every = "@every ";
    if (text.starts_with(every)) {
      auto period = parse_duration(text.substr(every.size()));
      if (!period)
        return bad(fmt::format("failed to parse duration {}: time: invalid duration {}", text, go_quote(text.substr(every.size()))));
      out.every_ = std::max<Duration>(std::chrono::floor<std::chrono::seconds>(*period), std::chrono::seconds(1));
      return out;
    }
    const Descriptor* found =
        std::find_if(std::begin(descriptors), std::end(descriptors), [&](const Descriptor& one) { return one.name == text; });
    if (found == std::end(descriptors)) return bad(fmt::format("unrecognized descriptor: {}", text));
    return parse(found->fields);
  }
  std::vector<std::string_view> given = words(text);
  if (given.size() != parts)
    return bad(fmt::format("expected exactly {} fields, found {}: [{}]", static_cast<int>(parts), given.size(), fmt::join(given, " ")));
  for (int part = 0; part < parts; ++part) {
    auto bits = read_field(given[static_cast<std::size_t>(part)], static_cast<Part>(part));
    if (!bits) return std::unexpected(bits.error());
    out.fields_[static_cast<std::size_t>(part)] = *bits;
  }
  return out;
}

// Days restricted in both ways match in either.
bool CronSchedule::day_matches(unsigned day_of_month, unsigned day_of_week) const {
  bool by_month = fields_[day].has(day_of_month), by_week = fields_[weekday].has(day_of_week);
  if (fields_[day].star || fields_[weekday].star) return by_month && by_week;
  return by_month || by_week;
}

std::optional<Time> CronSchedule::next(Time after, Duration offset) const {
  using namespace std::chrono;
  if (every_ > Duration::zero()) return Time(floor<seconds>(after) + every_);
  auto local = floor<minutes>(after + offset) + minutes(1);
  auto date = floor<days>(local);
  auto from = local - date;  // of the first day only
  const sys_days last = date + days(366 * years_ahead);
  for (; date < last; date += days(1), from = {}) {
    year_month_day calendar(date);
    if (!fields_[month].has(static_cast<unsigned>(calendar.month()))) continue;
    if (!day_matches(static_cast<unsigned>(calendar.day()), year_month_weekday(date).weekday().c_encoding())) continue;
    for (minutes at = duration_cast<minutes>(from); at < hours(24); at += minutes(1)) {
      if (!fields_[hour].has(static_cast<unsigned>(at / hours(1)))) {
        at = floor<hours>(at) + minutes(59);
        continue;
      }
      if (fields_[minute].has(static_cast<unsigned>(at.count() % 60))) return Time(date + at - offset);
    }
  }
  return std::nullopt;
}

}  // namespace kybern
