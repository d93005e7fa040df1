#include "schema/wire.h"

#include "base/time.h"

namespace kybern::schema {

namespace {

constexpr std::int64_t seconds_per_day = 86400;

// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, counted in eras of 400 years.
std::int64_t days_of(std::int64_t year, int month, int day) {
  year -= month <= 2;
  std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  std::int64_t year_of_era = year - era * 400;
  std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

void digits(char*& out, std::int64_t value, int count) {
  for (int i = count - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  out += count;
}

int number(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') { return -1; }
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

int days_in_month(int year, int month) {
  constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : days[month - 1];
}

}  // namespace

std::size_t format_wire_time(WireTime time, bool micro, char* out) {
  std::int64_t days = time.seconds / seconds_per_day, rest = time.seconds % seconds_per_day;
  if (rest < 0) {
    rest += seconds_per_day;
    --days;
  }
  if (days < -719528 || days > 2932896) {  // 0000-01-01 to 9999-12-31
    return 0;
  }
  std::int64_t shifted = days + 719468;
  std::int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  std::int64_t day_of_era = shifted - era * 146097;
  std::int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  std::int64_t month_from_march = (5 * day_of_year + 2) / 153;
  std::int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  std::int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  char* begin = out;
  digits(out, year_of_era + era * 400 + (month <= 2), 4);
  *out++ = '-';
  digits(out, month, 2);
  *out++ = '-';
  digits(out, day, 2);
  *out++ = 'T';
  digits(out, rest / 3600, 2);
  *out++ = ':';
  digits(out, rest / 60 % 60, 2);
  *out++ = ':';
  digits(out, rest % 60, 2);
  if (micro) {
    *out++ = '.';
    digits(out, time.nanos / 1000, 6);
  }
  *out++ = 'Z';
  return static_cast<std::size_t>(out - begin);
}

std::optional<WireTime> parse_wire_time(std::string_view text) {
  // 2026-01-02T03:04:05[.digits](Z|+hh:mm|-hh:mm)
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  int year = number(text, 0, 4), month = number(text, 5, 2), day = number(text, 8, 2);
  int hour = number(text, 11, 2), minute = number(text, 14, 2), second = number(text, 17, 2);
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || second < 0 || second > 59) {
    return std::nullopt;
  }
  WireTime time{days_of(year, month, day) * seconds_per_day + hour * 3600 + minute * 60 + second, 0};
  std::size_t at = 19;
  if (text[at] == '.') {
    std::int32_t unit = 100000000;
    std::size_t first = ++at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      time.nanos += unit * (text[at] - '0');
      unit /= 10;
    }
    if (at == first) { return std::nullopt; }
  }
  if (at + 1 == text.size() && text[at] == 'Z') { return time; }
  if (at + 6 != text.size() || (text[at] != '+' && text[at] != '-') || text[at + 3] != ':') { return std::nullopt; }
  int hours = number(text, at + 1, 2), minutes = number(text, at + 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) { return std::nullopt; }
  int offset = hours * 3600 + minutes * 60;
  time.seconds += text[at] == '+' ? -offset : offset;
  return time;
}

}  // namespace kybern::schema
