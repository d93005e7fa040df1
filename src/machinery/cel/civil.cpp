#include "machinery/cel/civil.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <fmt/format.h>

namespace kybern::cel {

namespace {

constexpr std::int64_t day_seconds = 86400;

// Howard Hinnant's algorithms for the proleptic Gregorian calendar.
std::int64_t days_from_civil(std::int64_t y, unsigned m, unsigned d) {
  y -= m <= 2;
  std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  auto yoe = static_cast<unsigned>(y - era * 400);
  unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<std::int64_t>(doe) - 719468;
}

bool leap(std::int64_t y) { return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0); }

unsigned month_days(std::int64_t y, unsigned m) {
  static constexpr unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return m == 2 && leap(y) ? 29 : days[m - 1];
}

bool digits(std::string_view text, std::size_t at, std::size_t n, unsigned& out) {
  out = 0;
  if (at + n > text.size()) return false;
  for (std::size_t i = at; i < at + n; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    out = out * 10 + static_cast<unsigned>(text[i] - '0');
  }
  return true;
}

// The transitions of one zone, as RFC 9636 (TZif) stores them.
struct Zone {
  std::vector<std::int64_t> moments;
  std::vector<std::int32_t> offsets;  // from moments[i] on
  std::int32_t first = 0;
};

std::int64_t big_endian(std::string_view bytes, std::size_t at, std::size_t n) {
  std::uint64_t v = 0;
  for (std::size_t i = 0; i < n; ++i) v = v << 8 | static_cast<unsigned char>(bytes[at + i]);
  return n == 4 ? static_cast<std::int32_t>(v) : static_cast<std::int64_t>(v);
}

std::shared_ptr<const Zone> load_zone(std::string_view name) {
  for (char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && std::string_view("/_-+").find(c) == std::string_view::npos) return nullptr;
  if (name.empty() || name.front() == '/') return nullptr;
  std::ifstream file("/usr/share/zoneinfo/" + std::string(name), std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  constexpr std::size_t header = 44;
  if (bytes.size() < header || !bytes.starts_with("TZif")) return nullptr;
  auto counts = [&](std::size_t base, std::size_t i) { return static_cast<std::size_t>(big_endian(bytes, base + 20 + i * 4, 4)); };
  std::size_t base = 0, width = 4;
  if (bytes[4] >= '2') {
    base = header + counts(0, 3) * 5 + counts(0, 4) * 6 + counts(0, 5) + counts(0, 2) * 8 + counts(0, 1) + counts(0, 0);
    width = 8;
    if (base + header > bytes.size()) return nullptr;
  }
  std::size_t times = counts(base, 3), kinds = counts(base, 4), at = base + header;
  if (kinds == 0 || times > bytes.size() || kinds > bytes.size() || at + times * (width + 1) + kinds * 6 > bytes.size()) return nullptr;
  auto zone = std::make_shared<Zone>();
  std::size_t kinds_at = at + times * (width + 1);
  zone->first = static_cast<std::int32_t>(big_endian(bytes, kinds_at, 4));
  for (std::size_t i = 0; i < times; ++i) {
    std::size_t kind = static_cast<unsigned char>(bytes[at + times * width + i]);
    if (kind >= kinds) return nullptr;
    zone->moments.push_back(big_endian(bytes, at + i * width, width));
    zone->offsets.push_back(static_cast<std::int32_t>(big_endian(bytes, kinds_at + kind * 6, 4)));
  }
  return zone;
}

std::shared_ptr<const Zone> find_zone(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const Zone>, std::less<>> zones;
  constexpr std::size_t zones_max = 600;
  std::lock_guard lock(mutex);
  if (auto at = zones.find(name); at != zones.end()) return at->second;
  auto zone = load_zone(name);
  if (zone && zones.size() < zones_max) zones.emplace(name, zone);
  return zone;
}

}  // namespace

std::int64_t seconds_of(std::int64_t year, unsigned month, unsigned day) { return days_from_civil(year, month, day) * day_seconds; }

Civil civil(std::int64_t seconds) {
  std::int64_t days = seconds / day_seconds, rest = seconds % day_seconds;
  if (rest < 0) rest += day_seconds, --days;
  std::int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
  auto doe = static_cast<unsigned>(z - era * 146097);
  unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  Civil c{};
  c.day = doy - (153 * mp + 2) / 5 + 1;
  c.month = mp < 10 ? mp + 3 : mp - 9;
  c.year = static_cast<std::int64_t>(yoe) + era * 400 + (c.month <= 2);
  c.hour = static_cast<unsigned>(rest / 3600);
  c.minute = static_cast<unsigned>(rest / 60 % 60);
  c.second = static_cast<unsigned>(rest % 60);
  std::int64_t weekday = (days + 4) % 7;
  c.weekday = static_cast<unsigned>(weekday < 0 ? weekday + 7 : weekday);
  c.day_of_year = static_cast<unsigned>(days - days_from_civil(c.year, 1, 1));
  return c;
}

bool in_range(Instant64 time) { return time.seconds >= -62135596800 && time.seconds <= 253402300799; }

std::optional<Instant64> parse_instant(std::string_view text) {
  unsigned year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!digits(text, 0, 4, year) || !digits(text, 5, 2, month) || !digits(text, 8, 2, day) || text[4] != '-' || text[7] != '-') return {};
  if (month < 1 || month > 12 || day < 1 || day > month_days(year, month) || year == 0) return {};
  Instant64 out{seconds_of(year, month, day), 0};
  if (text.size() == 10) return out;
  if (text.size() < 20 || text[10] != 'T' || !digits(text, 11, 2, hour) || !digits(text, 14, 2, minute) || !digits(text, 17, 2, second))
    return {};
  if (text[13] != ':' || text[16] != ':' || hour > 23 || minute > 59 || second > 59) return {};
  out.seconds += hour * 3600 + minute * 60 + second;
  std::size_t at = 19;
  if (text[at] == '.' || text[at] == ',') {
    std::size_t begin = ++at;
    std::int64_t scale = 100'000'000;
    for (; at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])); ++at, scale /= 10)
      out.nanos += static_cast<std::int32_t>((text[at] - '0') * scale);
    if (at == begin) return {};
  }
  std::string_view zone = text.substr(at);
  if (zone != "Z") {
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':' || !digits(zone, 1, 2, hour) ||
        !digits(zone, 4, 2, minute) || hour > 23 || minute > 59)
      return {};
    auto offset = static_cast<std::int64_t>(hour * 3600 + minute * 60);
    out.seconds -= zone[0] == '+' ? offset : -offset;
  }
  if (!in_range(out)) return {};
  return out;
}

std::string format_instant(Instant64 time) {
  Civil c = civil(time.seconds);
  std::string out = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second);
  if (time.nanos) {
    std::string fraction = fmt::format(".{:09}", time.nanos);
    out += fraction.substr(0, fraction.find_last_not_of('0') + 1);
  }
  return out + "Z";
}

std::optional<std::int64_t> zone_offset(std::string_view name, std::int64_t seconds) {
  if (name.empty() || name == "UTC") return 0;
  if (std::size_t colon = name.find(':'); colon != name.npos) {  // 05:30, +05:30, -08:00
    bool minus = name.starts_with('-');
    if (minus || name.starts_with('+')) name.remove_prefix(1);
    unsigned hour = 0, minute = 0;
    if (name.size() != 5 || name[2] != ':' || !digits(name, 0, 2, hour) || !digits(name, 3, 2, minute)) return {};
    auto offset = static_cast<std::int64_t>(hour * 3600 + minute * 60);
    return minus ? -offset : offset;
  }
  auto zone = find_zone(name);
  if (!zone) return {};
  auto at = std::upper_bound(zone->moments.begin(), zone->moments.end(), seconds);
  return at == zone->moments.begin() ? zone->first : zone->offsets[static_cast<std::size_t>(at - zone->moments.begin()) - 1];
}

}  // namespace kybern::cel
