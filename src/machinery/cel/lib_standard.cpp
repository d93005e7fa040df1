// Conversions, sizes and types: the functions that every CEL has.
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "base/strings.h"
#include "base/time.h"
#include "machinery/cel/civil.h"
#include "machinery/cel/functions.h"
#include "machinery/cel/numbers.h"

namespace kybern::cel {

namespace {

using Args = std::span<const Val>;

Val same(Evaluation&, Args a) { return a[0]; }
Val size(Evaluation& e, Args a) {
  if (a[0].tag == Tag::map && a[0].rep == Rep::lookup) return e.no_overload();
  return Val::of(static_cast<std::int64_t>(size_of(a[0])));
}

Val type_of(Evaluation& e, Args a) {
  switch (a[0].tag) {
    case Tag::null: return Val::of_type(&types::null);
    case Tag::boolean: return Val::of_type(&types::boolean);
    case Tag::integer: return Val::of_type(&types::integer);
    case Tag::uint: return Val::of_type(&types::uint);
    case Tag::number: return Val::of_type(&types::number);
    case Tag::string: return Val::of_type(&types::string);
    case Tag::bytes: return Val::of_type(&types::bytes);
    case Tag::timestamp: return Val::of_type(&types::timestamp);
    case Tag::duration: return Val::of_type(&types::duration);
    case Tag::list: return Val::of_type(&types::list_of_dyn);
    case Tag::map: return Val::of_type(a[0].type && a[0].type->kind == TypeKind::object ? a[0].type : &types::map_of_dyn);
    case Tag::type: return Val::of_type(named_type("type") ? named_type("type") : &types::dyn);
    case Tag::opaque:
      if (const Type* named = named_type(a[0].opaque->type_name())) return Val::of_type(named);
      return e.no_overload();
    default: return e.no_overload();
  }
}

Val to_bool(Evaluation& e, Args a) {
  if (a[0].tag == Tag::boolean) return a[0];
  std::string_view text = a[0].str();
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == yes) return Val::of(true);
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"})
    if (text == no) return Val::of(false);
  return e.error("Type conversion error from 'string' to 'bool'");
}

Val to_bytes(Evaluation&, Args a) { return Val::of(a[0].str(), Tag::bytes); }

Val to_double(Evaluation& e, Args a) {
  switch (a[0].tag) {
    case Tag::integer: return Val::of(static_cast<double>(a[0].integer));
    case Tag::uint: return Val::of(static_cast<double>(a[0].uint));
    case Tag::number: return a[0];
    default: break;
  }
  std::string_view text = a[0].str();
  if (text.starts_with('+')) text.remove_prefix(1);
  double v = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc() || end != text.data() + text.size() || text.empty())
    return e.error(fmt::format("strconv.ParseFloat: parsing {}: invalid syntax", go_quote(a[0].str())));
  return Val::of(v);
}

Val to_int(Evaluation& e, Args a) {
  switch (a[0].tag) {
    case Tag::integer: return a[0];
    case Tag::duration: return Val::of(a[0].integer);
    case Tag::timestamp: return Val::of(a[0].time.seconds);
    case Tag::uint: return a[0].uint > INT64_MAX ? e.overflow("integer") : Val::of(static_cast<std::int64_t>(a[0].uint));
    case Tag::number:
      if (!(a[0].number > -9223372036854775808.0 && a[0].number < 9223372036854775808.0)) return e.overflow("integer");
      return Val::of(static_cast<std::int64_t>(a[0].number));
    default: break;
  }
  std::string_view text = a[0].str();
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t v = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (end != text.data() + text.size() || text.empty() || ec == std::errc::invalid_argument)
    return e.error(fmt::format("strconv.ParseInt: parsing {}: invalid syntax", go_quote(a[0].str())));
  if (ec != std::errc()) return e.error(fmt::format("strconv.ParseInt: parsing {}: value out of range", go_quote(a[0].str())));
  return Val::of(v);
}

Val to_uint(Evaluation& e, Args a) {
  switch (a[0].tag) {
    case Tag::uint: return a[0];
    case Tag::integer: return a[0].integer < 0 ? e.overflow("unsigned integer") : Val::of_uint(static_cast<std::uint64_t>(a[0].integer));
    case Tag::number:
      if (!(a[0].number >= 0 && a[0].number < 18446744073709551616.0)) return e.overflow("unsigned integer");
      return Val::of_uint(static_cast<std::uint64_t>(a[0].number));
    default: break;
  }
  std::string_view text = a[0].str();
  std::uint64_t v = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc() || end != text.data() + text.size() || text.empty())
    return e.error(fmt::format("strconv.ParseUint: parsing {}: invalid syntax", go_quote(text)));
  return Val::of_uint(v);
}

Val to_string(Evaluation& e, Args a) {
  switch (a[0].tag) {
    case Tag::string: return a[0];
    case Tag::boolean: return Val::of(std::string_view(a[0].boolean ? "true" : "false"));
    case Tag::bytes: return valid_utf8(a[0].str()) ? Val::of(a[0].str()) : e.error("invalid UTF-8 in bytes, cannot convert to string");
    case Tag::integer: return e.string(fmt::format("{}", a[0].integer));
    case Tag::uint: return e.string(fmt::format("{}", a[0].uint));
    case Tag::number: return e.string(number_text(a[0].number));
    case Tag::timestamp: return e.string(format_instant(a[0].time));
    case Tag::duration: return e.string(duration_seconds_text(a[0].integer));
    default: return e.no_overload();
  }
}

Val to_duration(Evaluation& e, Args a) {
  if (a[0].tag == Tag::duration) return a[0];
  if (a[0].tag == Tag::integer) return Val::of_duration(a[0].integer);
  auto parsed = parse_duration(a[0].str());
  return parsed ? Val::of_duration(parsed->count()) : e.error(fmt::format("time: invalid duration {}", go_quote(a[0].str())));
}

Val to_timestamp(Evaluation& e, Args a) {
  if (a[0].tag == Tag::timestamp) return a[0];
  if (a[0].tag == Tag::integer) {
    Instant64 time{a[0].integer, 0};
    return in_range(time) ? Val::of_time(time) : e.overflow("timestamp");
  }
  auto parsed = a[0].str().size() > 10 ? parse_instant(a[0].str()) : std::nullopt;
  return parsed ? Val::of_time(*parsed)
                : e.error(fmt::format("parsing time {} as \"2006-01-02T15:04:05Z07:00\": cannot parse {} as \"2006\"", go_quote(a[0].str()),
                                      go_quote(a[0].str())));
}

constexpr FunctionRow table_of_standard[] = {
    {"size", "size_bytes", "(bytes) int", size},
    {"size", "size_list", "(list<A>) int", size},
    {"size", "size_map", "(map<A, B>) int", size},
    {"size", "size_string", "(string) int", size},
    {"size", "bytes_size", "bytes.() int", size},
    {"size", "list_size", "list<A>.() int", size},
    {"size", "map_size", "map<A, B>.() int", size},
    {"size", "string_size", "string.() int", size},
    {"type", "type", "(A) type<A>", type_of},
    {"dyn", "to_dyn", "(A) dyn", same},
    {"bool", "bool_to_bool", "(bool) bool", to_bool},
    {"bool", "string_to_bool", "(string) bool", to_bool},
    {"bytes", "bytes_to_bytes", "(bytes) bytes", to_bytes},
    {"bytes", "string_to_bytes", "(string) bytes", to_bytes},
    {"double", "double_to_double", "(double) double", to_double},
    {"double", "int64_to_double", "(int) double", to_double},
    {"double", "string_to_double", "(string) double", to_double},
    {"double", "uint64_to_double", "(uint) double", to_double},
    {"duration", "duration_to_duration", "(duration) duration", to_duration},
    {"duration", "int64_to_duration", "(int) duration", to_duration},
    {"duration", "string_to_duration", "(string) duration", to_duration},
    {"int", "double_to_int64", "(double) int", to_int},
    {"int", "duration_to_int64", "(duration) int", to_int},
    {"int", "int64_to_int64", "(int) int", to_int},
    {"int", "string_to_int64", "(string) int", to_int},
    {"int", "timestamp_to_int64", "(timestamp) int", to_int},
    {"int", "uint64_to_int64", "(uint) int", to_int},
    {"string", "string_to_string", "(string) string", to_string},
    {"string", "bool_to_string", "(bool) string", to_string},
    {"string", "bytes_to_string", "(bytes) string", to_string},
    {"string", "double_to_string", "(double) string", to_string},
    {"string", "duration_to_string", "(duration) string", to_string},
    {"string", "int64_to_string", "(int) string", to_string},
    {"string", "timestamp_to_string", "(timestamp) string", to_string},
    {"string", "uint64_to_string", "(uint) string", to_string},
    {"timestamp", "timestamp_to_timestamp", "(timestamp) timestamp", to_timestamp},
    {"timestamp", "int64_to_timestamp", "(int) timestamp", to_timestamp},
    {"timestamp", "string_to_timestamp", "(string) timestamp", to_timestamp},
    {"uint", "uint64_to_uint64", "(uint) uint", to_uint},
    {"uint", "double_to_uint64", "(double) uint", to_uint},
    {"uint", "int64_to_uint64", "(int) uint", to_uint},
    {"uint", "string_to_uint64", "(string) uint", to_uint},
};

}  // namespace

std::span<const FunctionRow> standard_rows() { return table_of_standard; }

}  // namespace kybern::cel
