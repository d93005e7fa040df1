#include <emmintrin.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstring>

#include "document/json.h"

namespace kybern {
namespace {

constexpr char hex[] = "0123456789abcdef";

// The first byte that must be escaped, or the end. U+2028 and U+2029 (e2 80 a8, e2 80 a9) are among them.
const char* next_special(const char* at, const char* end) {
  while (end - at >= 16) {
    __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i separator = _mm_cmpeq_epi8(v, _mm_set1_epi8(static_cast<char>(0xe2)));
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    int mask = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), _mm_or_si128(low, separator)));
    if (mask) return at + __builtin_ctz(static_cast<unsigned>(mask));
    at += 16;
  }
  while (at != end && static_cast<unsigned char>(*at) >= 0x20 && *at != '"' && *at != '\\' && *at != static_cast<char>(0xe2)) ++at;
  return at;
}

void write_string(std::string_view text, std::string& out) {
  out += '"';
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    const char* stop = next_special(at, end);
    out.append(at, stop);
    if (stop == end) break;
    at = stop + 1;
    switch (*stop) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case static_cast<char>(0xe2):
        if (end - stop >= 3 && stop[1] == static_cast<char>(0x80) && (stop[2] == static_cast<char>(0xa8) || stop[2] == static_cast<char>(0xa9))) {
          out += stop[2] == static_cast<char>(0xa8) ? "\\u2028" : "\\u2029";
          at = stop + 3;
        } else {
          out += *stop;
        }
        break;
      default:
        out += "\\u00";
        out += hex[static_cast<unsigned char>(*stop) >> 4];
        out += hex[*stop & 15];
    }
  }
  out += '"';
}

// The shortest digits that give the number back, laid out as ECMAScript and Go do: plain between 1e-6 and 1e21.
void write_number(double d, std::string& out) {
  if (!std::isfinite(d)) {  // JSON has no such number, and no parser of ours makes one
    out += "null";
    return;
  }
  char buffer[64];
  double size = std::fabs(d);
  auto [end, problem] = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific);  // d.ddde[+-]dd
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  std::size_t e = text.find('e');
  std::string_view mantissa = text.substr(0, e);
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(), exponent);
  if (size != 0 && (size < 1e-6 || size >= 1e21)) {
    fmt::format_to(std::back_inserter(out), "{}e{}{}", mantissa, exponent < 0 ? "" : "+", exponent);
    return;
  }
  if (mantissa[0] == '-') {
    out += '-';
    mantissa.remove_prefix(1);
  }
  std::string digits(1, mantissa[0]);
  if (mantissa.size() > 2) digits += mantissa.substr(2);
  auto whole = static_cast<std::size_t>(exponent < 0 ? 0 : exponent + 1);
  if (exponent < 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-exponent - 1), '0');
    out += digits;
  } else if (digits.size() <= whole) {
    out += digits;
    out.append(whole - digits.size(), '0');
  } else {
    out.append(digits, 0, whole);
    out += '.';
    out.append(digits, whole);
  }
}

void write_scalar(Value value, std::string& out) {
  switch (value.kind()) {
    case Kind::boolean: out += value.as_bool() ? "true" : "false"; break;
    case Kind::integer: {
      char buffer[24];
      auto end = std::to_chars(buffer, buffer + sizeof buffer, value.as_int()).ptr;
      out.append(buffer, end);
      break;
    }
    case Kind::number: write_number(value.as_double(), out); break;
    case Kind::string: write_string(value.as_string(), out); break;
    default: out += "null";
  }
}

void newline(std::string& out, int width) {
  out += '\n';
  out.append(static_cast<std::size_t>(width), ' ');
}

void write_indented(Value value, std::string& out, int indent, int width) {
  if (value.is_array() && !value.empty()) {
    out += '[';
    bool first = true;
    for (Value item : value.items()) {
      if (!first) out += ',';
      first = false;
      newline(out, width + indent);
      write_indented(item, out, indent, width + indent);
    }
    newline(out, width);
    out += ']';
  } else if (value.is_object() && !value.empty()) {
    out += '{';
    bool first = true;
    for (Member m : value.members()) {
      if (!first) out += ',';
      first = false;
      newline(out, width + indent);
      write_string(m.key, out);
      out += ": ";
      write_indented(m.value, out, indent, width + indent);
    }
    newline(out, width);
    out += '}';
  } else {
    write_json(value, out);
  }
}

}  // namespace

void write_json(Value value, std::string& out) {
  switch (value.kind()) {
    case Kind::array: {
      out += '[';
      std::size_t n = value.size();
      for (std::size_t i = 0; i < n; ++i) {
        if (i) out += ',';
        write_json(value[i], out);
      }
      out += ']';
      return;
    }
    case Kind::object: {
      out += '{';
      std::size_t n = value.size();
      for (std::size_t i = 0; i < n; ++i) {
        if (i) out += ',';
        Member m = value.member(i);
        write_string(m.key, out);
        out += ':';
        write_json(m.value, out);
      }
      out += '}';
      return;
    }
    default: write_scalar(value, out);
  }
}

void write_json_indented(Value value, std::string& out, int indent) { write_indented(value, out, indent, 0); }

std::string to_json(Value value) {
  std::string out;
  write_json(value, out);
  return out;
}

std::string to_json(const Draft& value) { return to_json(value.freeze().root()); }

}  // namespace kybern
