#include "base/time.h"

#include <fmt/format.h>

#include <cctype>

namespace kybern {
namespace {

struct Civil {
  int year, month, day, hour, minute, second;
  std::int64_t nanos;
};

Civil civil(Time t) {
  using namespace std::chrono;
  auto day = floor<days>(t);
  year_month_day ymd{day};
  auto rest = t - day;
  auto whole = duration_cast<seconds>(rest);
  std::int64_t s = whole.count();
  return {int(ymd.year()), int(unsigned(ymd.month())), int(unsigned(ymd.day())), int(s / 3600), int(s / 60 % 60),
          int(s % 60),     (rest - whole).count()};
}

// Every object that is written has a few of them.
std::string head(const Civil& c) {
  if (c.year < 0 || c.year > 9999)
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second);
  std::string out;
  out.reserve(32);
  out = "0000-00-00T00:00:00";
  auto put = [&](std::size_t last, int value) {
    for (; value > 0; value /= 10) out[last--] = static_cast<char>('0' + value % 10);
  };
  put(3, c.year), put(6, c.month), put(9, c.day), put(12, c.hour), put(15, c.minute), put(18, c.second);
  return out;
}

bool digits(std::string_view text, std::size_t at, std::size_t count, int& out) {
  if (at + count > text.size()) return false;
  out = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    out = out * 10 + (text[i] - '0');
  }
  return true;
}

// Trims the zeros at the end of a fraction, and the point when nothing is left.
std::string trim_fraction(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

std::string format_rfc3339(Time t) { return head(civil(t)) += 'Z'; }

std::string format_rfc3339_micro(Time t) {
  Civil c = civil(t);
  return head(c) + fmt::format(".{:06}Z", c.nanos / 1000);
}

std::string format_rfc3339_nano(Time t) {
  Civil c = civil(t);
  return head(c) + (c.nanos ? trim_fraction(fmt::format(".{:09}", c.nanos)) : "") + "Z";
}

std::optional<Time> parse_rfc3339(std::string_view s) {
  using namespace std::chrono;
  int y, mo, d, h, mi, sec;
  if (!digits(s, 0, 4, y) || s.size() < 20 || s[4] != '-' || !digits(s, 5, 2, mo) || s[7] != '-' || !digits(s, 8, 2, d) ||
      (s[10] != 'T' && s[10] != 't') || !digits(s, 11, 2, h) || s[13] != ':' || !digits(s, 14, 2, mi) || s[16] != ':' ||
      !digits(s, 17, 2, sec))
    return std::nullopt;
  std::size_t at = 19;
  std::int64_t nanos = 0;
  if (s[at] == '.' || s[at] == ',') {
    std::int64_t scale = 100'000'000;
    std::size_t first = ++at;
    for (; at < s.size() && s[at] >= '0' && s[at] <= '9'; ++at) {
      nanos += (s[at] - '0') * scale;
      scale /= 10;
    }
    if (at == first) return std::nullopt;
  }
  if (at >= s.size()) return std::nullopt;
  int offset_minutes = 0;
  if (s[at] == 'Z' || s[at] == 'z') {
    if (at + 1 != s.size()) return std::nullopt;
  } else if (s[at] == '+' || s[at] == '-') {
    int oh, om;
    if (at + 6 != s.size() || !digits(s, at + 1, 2, oh) || s[at + 3] != ':' || !digits(s, at + 4, 2, om) || oh > 24 || om > 59)
      return std::nullopt;
    offset_minutes = (oh * 60 + om) * (s[at] == '-' ? -1 : 1);
  } else {
    return std::nullopt;
  }
  year_month_day ymd{year{y}, month{unsigned(mo)}, day{unsigned(d)}};
  if (!ymd.ok() || h > 23 || mi > 59 || sec > 59) return std::nullopt;
  return Time(sys_days(ymd)) + hours(h) + minutes(mi) + seconds(sec) + nanoseconds(nanos) - minutes(offset_minutes);
}

std::string format_duration(Duration d) {
  std::int64_t n = d.count();
  if (n == 0) return "0s";
  bool negative = n < 0;
  std::uint64_t u = negative ? 0 - static_cast<std::uint64_t>(n) : static_cast<std::uint64_t>(n);
  std::string out;
  if (u < 1000) {
    out = fmt::format("{}ns", u);
  } else if (u < 1'000'000) {
    out = trim_fraction(fmt::format("{}.{:03}", u / 1000, u % 1000)) + "µs";
  } else if (u < 1'000'000'000) {
    out = trim_fraction(fmt::format("{}.{:06}", u / 1'000'000, u % 1'000'000)) + "ms";
  } else {
    std::uint64_t seconds = u / 1'000'000'000;
    std::string tail = trim_fraction(fmt::format("{}.{:09}", seconds % 60, u % 1'000'000'000)) + "s";
    if (seconds >= 3600) out = fmt::format("{}h{}m", seconds / 3600, seconds / 60 % 60) + tail;
    else if (seconds >= 60) out = fmt::format("{}m", seconds / 60) + tail;
    else out = tail;
  }
  return negative ? "-" + out : out;
}

std::optional<Duration> parse_duration(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return Duration(0);
  if (text.empty()) return std::nullopt;
  long double total = 0;
  while (!text.empty()) {
    long double value = 0, scale = 1;
    bool any = false, point = false;
    while (!text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) || (text[0] == '.' && !point))) {
      if (text[0] == '.') {
        point = true;
      } else {
        any = true;
        if (point) value += (text[0] - '0') * (scale /= 10);
        else value = value * 10 + (text[0] - '0');
      }
      text.remove_prefix(1);
    }
    if (!any) return std::nullopt;
    struct Unit {
      std::string_view name;
      std::int64_t nanos;
    };
    static constexpr Unit units[] = {{"ns", 1},         {"us", 1000},         {"µs", 1000},          {"μs", 1000},
                                     {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}};
    const Unit* found = nullptr;
    for (const Unit& unit : units)
      if (text.starts_with(unit.name) && (!found || unit.name.size() > found->name.size())) found = &unit;
    if (!found) return std::nullopt;
    text.remove_prefix(found->name.size());
    total += value * static_cast<long double>(found->nanos);
  }
  if (total > 9.2233720368547758e18L) return std::nullopt;
  auto n = static_cast<std::int64_t>(total + 0.5L);
  return Duration(negative ? -n : n);
}

}  // namespace kybern
