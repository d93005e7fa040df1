// The formats of texts that upstream's validator knows, and compiled patterns.
#include <cctype>
#include <functional>
#include <mutex>
#include <unordered_map>

#include "base/strings.h"
#include "base/time.h"
#include "machinery/cel/civil.h"
#include "machinery/custom/json_schema.h"
#include "machinery/custom/patterns.h"
#include "machinery/names.h"

namespace kybern::custom {

namespace {

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

bool matches(std::string_view pattern, std::string_view text) { return shared_pattern(pattern)->matches(text); }

bool hostname(std::string_view text) {
  return text.size() <= 255 && matches(
                                   "^([a-zA-Z0-9\\p{S}\\p{L}]((-?[a-zA-Z0-9\\p{S}\\p{L}]{0,62})?)|([a-zA-Z0-9\\p{S}\\p{L}](([a-zA-Z0-9-\\p{"
                                   "S}\\p{L}]{0,61}[a-zA-Z0-9\\p{S}\\p{L}])?)(\\.)){1,}([a-zA-Z\\p{L}]){2,63})$",
                                   text);
}
bool date(std::string_view text) { return text.size() == 10 && cel::parse_instant(text); }
bool date_time(std::string_view text) { return text.size() > 10 && cel::parse_instant(text); }
bool uuid(std::string_view text) { return matches("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$", text); }
bool uuid3(std::string_view text) { return matches("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$", text); }
bool uuid4(std::string_view text) { return matches("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$", text); }
bool uuid5(std::string_view text) { return matches("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$", text); }
bool email(std::string_view text) { return matches("^[^@\\s<>\"]+@[^@\\s<>\"]+$", text); }
bool base64(std::string_view text) { return text.size() % 4 == 0 && base64_decode(text).has_value(); }
bool mac(std::string_view text) {
  return matches("^([0-9a-fA-F]{2}([:-])([0-9a-fA-F]{2}[:-]){4}[0-9a-fA-F]{2}|([0-9a-fA-F]{4}\\.){2}[0-9a-fA-F]{4})$", text);
}
bool ipv4(std::string_view text) { return names::ip_family(text) == names::Family::ipv4 && text.find(':') == text.npos; }
bool ipv6(std::string_view text) { return names::ip_family(text) != names::Family::none && text.find(':') != text.npos; }
bool cidr(std::string_view text) { return names::cidr_family(text) != names::Family::none; }
bool uri(std::string_view text) { return matches("^([a-zA-Z][a-zA-Z0-9+.-]*:[^\\s]+|/[^\\s]*)$", text); }
bool duration(std::string_view text) {
  return parse_duration(text) || matches(
                                     "^[0-9]+\\s*(ns|nano|nanosecond|us|µs|micro|microsecond|ms|milli|millisecond|s|sec|second|m|min|"
                                     "minute|h|hr|hour|d|day|w|wk|week)s?$",
                                     text);
}
bool credit_card(std::string_view text) { return matches("^[0-9 -]{13,23}$", text); }
bool color_hex(std::string_view text) { return matches("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$", text); }
bool color_rgb(std::string_view text) { return matches("^rgb\\(\\s*[0-9]{1,3}\\s*,\\s*[0-9]{1,3}\\s*,\\s*[0-9]{1,3}\\s*\\)$", text); }
bool ssn(std::string_view text) { return matches("^\\d{3}[- ]?\\d{2}[- ]?\\d{4}$", text); }
bool isbn(std::string_view text) { return matches("^[0-9-]{9,16}[0-9X]$", text); }
bool object_id(std::string_view text) { return matches("^[0-9a-fA-F]{24}$", text); }
bool short_name(std::string_view text) { return names::dns1123_label(text).empty(); }
bool long_name(std::string_view text) { return names::dns1123_subdomain(text).empty(); }

struct Row {
  std::string_view format;
  bool (*fits)(std::string_view);
};
constexpr Row rows[] = {
    {"date", date},
    {"date-time", date_time},
    {"datetime", date_time},
    {"uuid", uuid},
    {"uuid3", uuid3},
    {"uuid4", uuid4},
    {"uuid5", uuid5},
    {"email", email},
    {"byte", base64},
    {"mac", mac},
    {"ipv4", ipv4},
    {"ipv6", ipv6},
    {"cidr", cidr},
    {"uri", uri},
    {"duration", duration},
    {"hostname", hostname},
    {"creditcard", credit_card},
    {"hexcolor", color_hex},
    {"rgbcolor", color_rgb},
    {"ssn", ssn},
    {"isbn", isbn},
    {"isbn10", isbn},
    {"isbn13", isbn},
    {"bsonobjectid", object_id},
    {"k8s-short-name", short_name},
    {"k8s-long-name", long_name},
};

}  // namespace

bool fits_format(std::string_view format, std::string_view text) {
  for (const Row& row : rows)
    if (row.format == format) return row.fits(text);
  return true;
}

bool known_format(std::string_view format) {
  auto plain = [](std::string_view text) {  // dashes say nothing: "date-time" is "datetime"
    std::string out(text);
    std::erase(out, '-');
    return out;
  };
  const std::string wanted = plain(format);
  for (const Row& row : rows)
    if (plain(row.format) == wanted) return true;
  return wanted == "password";
}

std::shared_ptr<const cel::Regex> shared_pattern(std::string_view pattern) {
  static std::mutex mutex;
  static std::unordered_map<std::string, std::shared_ptr<const cel::Regex>, TextHash, std::equal_to<>> known;
  std::lock_guard lock(mutex);
  if (auto at = known.find(pattern); at != known.end()) return at->second;
  if (known.size() >= shared_patterns_max) known.clear();
  auto regex = std::make_shared<const cel::Regex>(pattern);
  known.emplace(pattern, regex);
  return regex;
}

}  // namespace kybern::custom
