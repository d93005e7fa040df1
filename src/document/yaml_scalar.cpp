#include "document/yaml_scalar.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>

namespace kybern {
namespace {

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// Digits with an optional sign and base prefix (0b, 0o, 0x, a leading 0 for octal); underscores are dropped before.
bool parse_integer(std::string_view text, YamlScalar& out) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    char c = text[1];
    if (c == 'x' || c == 'X') base = 16;
    else if (c == 'b' || c == 'B') base = 2;
    else base = 8;
    text.remove_prefix(base == 8 && c != 'o' && c != 'O' ? 1 : 2);
  }
  std::uint64_t magnitude;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), magnitude, base);
  if (text.empty() || problem != std::errc() || end != text.data() + text.size()) return false;
  std::uint64_t limit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (magnitude > limit + (negative ? 1 : 0)) {
    out.kind = Kind::number;
    out.number = static_cast<double>(magnitude) * (negative ? -1 : 1);
    return true;
  }
  out.kind = Kind::integer;
  out.integer = negative ? static_cast<std::int64_t>(0 - magnitude) : static_cast<std::int64_t>(magnitude);
  return true;
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool parse_float(std::string_view text, YamlScalar& out) {
  std::string_view rest = text;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  auto digits = [&] {
    std::size_t n = 0;
    while (n < rest.size() && rest[n] >= '0' && rest[n] <= '9') ++n;
    rest.remove_prefix(n);
    return n;
  };
  std::size_t before = digits(), after = 0;
  if (!rest.empty() && rest[0] == '.') {
    rest.remove_prefix(1);
    after = digits();
  }
  if (before + after == 0) return false;
  if (!rest.empty() && (rest[0] == 'e' || rest[0] == 'E')) {
    rest.remove_prefix(1);
    if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
    if (digits() == 0) return false;
  }
  if (!rest.empty()) return false;
  if (text[0] == '+') text.remove_prefix(1);
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out.number);
  if (problem != std::errc() || end != text.data() + text.size()) return false;
  out.kind = Kind::number;
  return true;
}

}  // namespace

YamlScalar resolve_yaml_scalar(std::string_view text) {
  YamlScalar out;
  if (one_of(text, {"", "~", "null", "Null", "NULL"})) {
    out.kind = Kind::null;
    return out;
  }
  if (one_of(text, {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})) {
    out.kind = Kind::boolean;
    out.boolean = true;
    return out;
  }
  if (one_of(text, {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})) {
    out.kind = Kind::boolean;
    return out;
  }
  char c = text[0];
  if (!((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.')) return out;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (one_of(text, {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"})) return {Kind::number, false, 0, infinity};
  if (one_of(text, {"-.inf", "-.Inf", "-.INF"})) return {Kind::number, false, 0, -infinity};
  if (one_of(text, {".nan", ".NaN", ".NAN"})) return {Kind::number, false, 0, std::numeric_limits<double>::quiet_NaN()};
  std::string plain(text);
  std::erase(plain, '_');
  if (parse_integer(plain, out) || parse_float(plain, out)) return out;
  return {};
}

}  // namespace kybern
