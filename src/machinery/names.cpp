#include "machinery/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace kybern::names {
namespace {

#define KYBERN_LABEL "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
constexpr const char* label_pattern = KYBERN_LABEL;
constexpr const char* subdomain_pattern = KYBERN_LABEL "(\\." KYBERN_LABEL ")*";
constexpr const char* wildcard_pattern = "\\*\\." KYBERN_LABEL "(\\." KYBERN_LABEL ")*";
#undef KYBERN_LABEL
#define KYBERN_LABEL "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
constexpr const char* underscore_pattern = KYBERN_LABEL "(\\." KYBERN_LABEL ")*";
#undef KYBERN_LABEL

constexpr std::size_t label_max = 63, subdomain_max = 253, port_name_max = 15;

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return lower(c) || (c >= 'A' && c <= 'Z'); }
bool lower_or_digit(char c) { return lower(c) || digit(c); }
bool letter_or_digit(char c) { return letter(c) || digit(c); }

template <class Inner>
bool all(std::string_view text, Inner inner) {
  return std::all_of(text.begin(), text.end(), inner);
}

// first, then any number of inner, then last: first([inner]*last)?
template <class First, class Inner, class Last>
bool shaped(std::string_view text, First first, Inner inner, Last last) {
  if (text.empty() || !first(text.front()) || !last(text.back())) return false;
  return all(text, inner);
}

bool label_shape(std::string_view text) {
  return shaped(
      text, lower_or_digit, [](char c) { return lower_or_digit(c) || c == '-'; }, lower_or_digit);
}

bool underscore_label_shape(std::string_view text) {
  if (!text.empty() && text.front() == '_') text.remove_prefix(1);
  return shaped(
      text, lower_or_digit, [](char c) { return lower_or_digit(c) || c == '-' || c == '_'; }, lower_or_digit);
}

template <class Shape>
bool dotted(std::string_view text, Shape shape) {
  for (;;) {
    std::size_t dot = text.find('.');
    if (!shape(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool subdomain_shape(std::string_view text) { return dotted(text, label_shape); }

bool qualified_part_shape(std::string_view text) {
  return shaped(
      text, letter_or_digit, [](char c) { return letter_or_digit(c) || c == '-' || c == '_' || c == '.'; }, letter_or_digit);
}

std::string pattern_error(std::string_view what, std::string_view pattern, std::initializer_list<std::string_view> examples) {
  std::string text(what);
  std::string_view separator = " (e.g. ";
  for (std::string_view example : examples) {
    fmt::format_to(std::back_inserter(text), "{}'{}', ", separator, example);
    separator = " or ";
  }
  fmt::format_to(std::back_inserter(text), "{}regex used for validation is '{}')", examples.size() == 0 ? " (" : "", pattern);
  return text;
}

void check_length(Messages& out, std::string_view text, std::size_t max) {
  if (text.size() > max) out.push_back(max_length_error(max));
}

void check_dots(Messages& out, std::string_view text) {
  if (text == ".") out.push_back("must not be '.'");
  else if (text == "..") out.push_back("must not be '..'");
  else if (text.starts_with("..")) out.push_back("must not start with '..'");
}

constexpr const char* empty_error = "must be non-empty";

Messages joined(const Messages& messages) { return messages.empty() ? messages : Messages{join(messages, ",")}; }

}  // namespace

std::string max_length_error(std::size_t bytes) { return fmt::format("must be no more than {} bytes", bytes); }
std::string range_error(std::int64_t low, std::int64_t high) { return fmt::format("must be between {} and {}, inclusive", low, high); }

Messages dns1123_label(std::string_view text) {
  Messages out;
  check_length(out, text, label_max);
  if (label_shape(text)) return out;
  if (subdomain_shape(text)) {
    out.push_back("must not contain dots");
  } else {
    out.push_back(pattern_error(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
        "character",
        label_pattern, {"my-name", "123-abc"}));
  }
  return out;
}

Messages dns1123_subdomain(std::string_view text) {
  Messages out;
  check_length(out, text, subdomain_max);
  if (!subdomain_shape(text)) {
    out.push_back(pattern_error(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
        "alphanumeric character",
        subdomain_pattern, {"example.com"}));
  }
  return out;
}

Messages dns1123_subdomain_with_underscore(std::string_view text) {
  Messages out;
  check_length(out, text, subdomain_max);
  if (!dotted(text, underscore_label_shape)) {
    out.push_back(
        pattern_error("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start "
                      "and end with an "
                      "alphanumeric character",
                      underscore_pattern, {"example.com"}));
  }
  return out;
}

Messages dns1035_label(std::string_view text) {
  Messages out;
  check_length(out, text, label_max);
  if (!shaped(
          text, lower, [](char c) { return lower_or_digit(c) || c == '-'; }, lower_or_digit)) {
    out.push_back(pattern_error(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
        "alphanumeric character",
        "[a-z]([-a-z0-9]*[a-z0-9])?", {"my-name", "abc-123"}));
  }
  return out;
}

Messages wildcard_dns1123_subdomain(std::string_view text) {
  Messages out;
  check_length(out, text, subdomain_max);
  if (!text.starts_with("*.") || !subdomain_shape(text.substr(2))) {
    out.push_back(
        pattern_error("a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower "
                      "case alphanumeric "
                      "characters, '-' or '.' and end with an alphanumeric character",
                      wildcard_pattern, {"*.example.com"}));
  }
  return out;
}

Messages fully_qualified_name(std::string_view text) {
  if (Messages out = dns1123_subdomain(text); !out.empty()) return joined(out);
  if (std::count(text.begin(), text.end(), '.') < 2) return {"should be a domain with at least three segments separated by dots"};
  return {};
}

Messages fully_qualified_domain_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (Messages out = dns1123_subdomain(text); !out.empty()) return joined(out);
  if (std::count(text.begin(), text.end(), '.') < 1) return {"should be a domain with at least two segments separated by dots"};
  for (std::string_view label : split(text, '.')) {
    if (Messages out = dns1123_label(label); !out.empty()) return joined(out);
  }
  return {};
}

Messages qualified_name(std::string_view text) {
  static constexpr std::string_view rule =
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
  static constexpr std::string_view pattern = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
  Messages out;
  std::string_view name = text;
  if (std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    std::string_view prefix = text.substr(0, slash);
    name = text.substr(slash + 1);
    if (name.find('/') != std::string_view::npos) {
      return {pattern_error(fmt::format("a valid label key {}", rule), pattern, {"MyName", "my.name", "123-abc"}) +
              " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"};
    }
    if (prefix.empty()) out.push_back(fmt::format("prefix part {}", empty_error));
    else
      for (const std::string& message : dns1123_subdomain(prefix)) out.push_back("prefix part " + message);
  }
  if (name.empty()) out.push_back(fmt::format("name part {}", empty_error));
  else if (name.size() > label_max) out.push_back("name part " + max_length_error(label_max));
  if (!qualified_part_shape(name))
    out.push_back(pattern_error(fmt::format("name part {}", rule), pattern, {"MyName", "my.name", "123-abc"}));
  return out;
}

Messages label_value(std::string_view text) {
  Messages out;
  check_length(out, text, label_max);
  if (!text.empty() && !qualified_part_shape(text)) {
    out.push_back(pattern_error(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character",
        "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", {"MyValue", "my_value", "12345"}));
  }
  return out;
}

Messages http_path_part(std::string_view text) {
  auto allowed = [](char c) { return letter_or_digit(c) || std::string_view("/-._~%!$&'()*+,;=:").find(c) != std::string_view::npos; };
  if (!text.empty() && all(text, allowed)) return {};
  return {pattern_error("Invalid path", "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+", {})};
}

Messages domain_prefixed_path(std::string_view text) {
  std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == text.size()) {
    return {"must be a domain-prefixed path (such as \"acme.io/foo\")"};
  }
  Messages out = dns1123_subdomain(text.substr(0, slash));
  for (std::string& message : http_path_part(text.substr(slash + 1))) out.push_back(std::move(message));
  return out;
}

Messages c_identifier(std::string_view text) {
  auto inner = [](char c) { return letter_or_digit(c) || c == '_'; };
  if (shaped(
          text, [](char c) { return letter(c) || c == '_'; }, inner, inner))
    return {};
  return {pattern_error(
      "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
      "[A-Za-z_][A-Za-z0-9_]*", {"my_name", "MY_NAME", "MyName"})};
}

Messages in_range(std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return {};
  return {range_error(low, high)};
}

Messages port_number(std::int64_t number) { return in_range(number, 1, 65535); }
Messages user_id(std::int64_t id) { return in_range(id, 0, 2147483647); }
Messages group_id(std::int64_t id) { return in_range(id, 0, 2147483647); }

Messages port_name(std::string_view text) {
  Messages out;
  check_length(out, text, port_name_max);
  if (text.empty() || !all(text, [](char c) { return lower_or_digit(c) || c == '-'; })) {
    out.push_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  if (std::none_of(text.begin(), text.end(), lower)) out.push_back("must contain at least one letter (a-z)");
  if (text.find("--") != std::string_view::npos) out.push_back("must not contain consecutive hyphens");
  if (text.starts_with('-') || text.ends_with('-')) out.push_back("must not begin or end with a hyphen");
  return out;
}

Messages percent(std::string_view text) {
  if (text.size() > 1 && text.back() == '%' && all(text.substr(0, text.size() - 1), digit)) return {};
  return {pattern_error("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", {"1%", "93%"})};
}

Messages http_header(std::string_view text) {
  if (!text.empty() && all(text, [](char c) { return letter_or_digit(c) || c == '-'; })) return {};
  return {pattern_error("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", {"X-Header-Name"})};
}

Messages env_var(std::string_view text) {
  Messages out;
  if (text.empty()) out.push_back(fmt::format("environment variable name {}", empty_error));
  if (!all(text, [](char c) { return c >= ' ' && c <= '~' && c != '='; })) {
    out.push_back("a valid environment variable name must consist only of printable ASCII characters other than '='");
  }
  return out;
}

Messages config_map_key(std::string_view text) {
  Messages out;
  check_length(out, text, subdomain_max);
  if (text.empty() || !all(text, [](char c) { return letter_or_digit(c) || c == '-' || c == '_' || c == '.'; })) {
    out.push_back(pattern_error("a valid config key must consist of alphanumeric characters, '-', '_' or '.'", "[-._a-zA-Z0-9]+",
                                {"key.name", "KEY_NAME", "key-name"}));
  }
  check_dots(out, text);
  return out;
}

Messages path_segment(std::string_view text) {
  if (text == "." || text == "..") return {fmt::format("may not be '{}'", text)};
  return path_segment_prefix(text);
}

Messages path_segment_prefix(std::string_view text) {
  Messages out;
  for (char c : {'/', '%'}) {
    if (text.find(c) != std::string_view::npos) out.push_back(fmt::format("may not contain '{}'", c));
  }
  return out;
}

Messages condition_reason(std::string_view text) {
  if (shaped(
          text, letter, [](char c) { return letter_or_digit(c) || c == '_' || c == ',' || c == ':'; },
          [](char c) { return letter_or_digit(c) || c == '_'; })) {
    return {};
  }
  return {
      pattern_error("a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters "
                    "or '_,:', and must end "
                    "with an alphanumeric character or '_'",
                    "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", {"my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"})};
}

std::string_view without_trailing_dash(std::string_view prefix) {
  if (prefix.size() > 1 && prefix.back() == '-') prefix.remove_suffix(1);
  return prefix;
}

}  // namespace kybern::names
