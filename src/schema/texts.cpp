// The grammars of quantities, times and durations, and what upstream's decoders say when a text breaks them.
#include <charconv>

#include <fmt/format.h>

#include "base/strings.h"
#include "base/time.h"
#include "schema/convert.h"
#include "schema/wire.h"

namespace kybern::schema {

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

bool known_suffix(std::string_view suffix) {
  constexpr std::string_view suffixes[] = {"", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  for (std::string_view known : suffixes) {
    if (suffix == known) { return true; }
  }
  if (suffix.size() < 2 || (suffix[0] != 'e' && suffix[0] != 'E')) { return false; }
  std::string_view exponent = suffix.substr(suffix[1] == '+' ? 2 : 1);
  int value = 0;
  auto [end, error] = std::from_chars(exponent.data(), exponent.data() + exponent.size(), value);
  return error == std::errc() && end == exponent.data() + exponent.size() && !exponent.empty();
}

// Walks a text along a layout's elements, as Go's time.Parse does, to tell which element does not fit.
struct TimeWalk {
  std::string_view text, rest, layout;
  std::string error;

  bool bad(std::string_view element) {
    error =
        fmt::format("parsing time {} as {}: cannot parse {} as {}", go_quote(text), go_quote(layout), go_quote(rest), go_quote(element));
    return false;
  }

  bool digits(std::string_view element, std::size_t count, int low, int high, std::string_view what) {
    if (rest.size() < count) { return bad(element); }
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!digit(rest[i])) { return bad(element); }
      value = value * 10 + (rest[i] - '0');
    }
    if (value < low || value > high) {
      error = fmt::format("parsing time {}: {} out of range", go_quote(text), what);
      return false;
    }
    rest.remove_prefix(count);
    return true;
  }

  bool literal(char c) {
    if (rest.empty() || rest[0] != c) { return bad(std::string_view(&c, 1)); }
    rest.remove_prefix(1);
    return true;
  }

  bool fraction(bool micro) {
    if (!micro) {
      if (rest.size() > 1 && rest[0] == '.' && digit(rest[1])) {
        rest.remove_prefix(1);
        while (!rest.empty() && digit(rest[0])) { rest.remove_prefix(1); }
      }
      return true;
    }
    if (rest.size() < 7 || rest[0] != '.') { return bad(".000000"); }
    for (std::size_t i = 1; i < 7; ++i) {
      if (!digit(rest[i])) { return bad(".000000"); }
    }
    rest.remove_prefix(7);
    return true;
  }

  bool zone() {
    if (rest.starts_with('Z')) {
      rest.remove_prefix(1);
    } else if (rest.size() >= 6 && (rest[0] == '+' || rest[0] == '-') && digit(rest[1]) && digit(rest[2]) && rest[3] == ':' &&
               digit(rest[4]) && digit(rest[5])) {
      rest.remove_prefix(6);
    } else {
      return bad("Z07:00");
    }
    if (!rest.empty()) {
      error = fmt::format("parsing time {}: extra text: {}", go_quote(text), go_quote(rest));
      return false;
    }
    return true;
  }
};

}  // namespace

std::string quantity_error(std::string_view text) {
  constexpr std::string_view wrong_format = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  if (text.empty()) { return std::string(wrong_format); }
  std::size_t at = text[0] == '-' || text[0] == '+' ? 1 : 0;
  while (at < text.size() && digit(text[at])) { ++at; }
  if (at < text.size() && text[at] == '.') {
    ++at;
    while (at < text.size() && digit(text[at])) { ++at; }
  }
  std::size_t suffix = at;
  while (at < text.size() && std::string_view("eEinumkKMGTP").find(text[at]) != std::string_view::npos) { ++at; }
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) { ++at; }
  while (at < text.size() && digit(text[at])) { ++at; }
  if (at < text.size()) { return std::string(wrong_format); }
  return known_suffix(text.substr(suffix)) ? "" : "unable to parse quantity's suffix";
}

std::string time_error(std::string_view text, bool micro) {
  std::string_view layout = micro ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00";
  TimeWalk walk{text, text, layout, {}};
  bool good = walk.digits("2006", 4, 0, 9999, "year") && walk.literal('-') && walk.digits("01", 2, 1, 12, "month") && walk.literal('-') &&
              walk.digits("02", 2, 0, 99, "day") && walk.literal('T') && walk.digits("15", 2, 0, 23, "hour") && walk.literal(':') &&
              walk.digits("04", 2, 0, 59, "minute") && walk.literal(':') && walk.digits("05", 2, 0, 59, "second") && walk.fraction(micro) &&
              walk.zone();
  if (good && !parse_wire_time(text)) { return fmt::format("parsing time {}: day out of range", go_quote(text)); }
  return walk.error;
}

std::string duration_error(std::string_view text) {
  if (parse_duration(text)) { return ""; }
  std::string quoted = go_quote(text);
  std::string_view rest = text;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) { rest.remove_prefix(1); }
  while (!rest.empty() && (digit(rest[0]) || rest[0] == '.')) {
    std::size_t numbers = rest.find_first_not_of("0123456789.");
    if (numbers == std::string_view::npos) {
      return rest == "." ? "time: invalid duration " + quoted : "time: missing unit in duration " + quoted;
    }
    rest.remove_prefix(numbers);
    std::size_t unit_end = rest.find_first_of("0123456789.");
    std::string_view unit = rest.substr(0, unit_end);
    if (unit != "h" && unit != "m" && unit != "s" && unit != "ms" && unit != "us" && unit != "µs" && unit != "μs" && unit != "ns") {
      return fmt::format("time: unknown unit {} in duration {}", go_quote(unit), quoted);
    }
    rest.remove_prefix(unit.size());
  }
  return "time: invalid duration " + quoted;
}

}  // namespace kybern::schema
