// Texts. Positions count characters, not bytes.
#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/cel/format.h"
#include "machinery/cel/functions.h"

namespace kybern::cel {

namespace {

using Args = std::span<const Val>;

// Where character `index` begins, or npos when there are fewer.
std::size_t byte_of(std::string_view text, std::int64_t index) {
  std::size_t at = 0;
  for (; index > 0; --index) {
    if (at >= text.size()) return text.npos;
    for (++at; at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;) ++at;
  }
  return at;
}

std::size_t next_character(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;) ++at;
  return at;
}

Val out_of_range(Evaluation& e, std::int64_t index) { return e.error(fmt::format("index out of range: {}", index)); }

Val contains(Evaluation&, Args a) { return Val::of(a[0].str().find(a[1].str()) != std::string_view::npos); }
Val starts_with(Evaluation&, Args a) { return Val::of(a[0].str().starts_with(a[1].str())); }
Val ends_with(Evaluation&, Args a) { return Val::of(a[0].str().ends_with(a[1].str())); }

Val char_at(Evaluation& e, Args a) {
  std::string_view text = a[0].str();
  std::int64_t index = a[1].integer;
  std::size_t at = index < 0 ? text.npos : byte_of(text, index);
  if (at == text.npos || at > text.size()) return out_of_range(e, index);
  return Val::of(at == text.size() ? std::string_view("") : text.substr(at, next_character(text, at) - at));
}

Val string_index_of(Evaluation& e, Args a) {
  std::string_view text = a[0].str();
  std::size_t from = 0;
  if (a.size() > 2) {
    from = a[2].integer < 0 ? text.npos : byte_of(text, a[2].integer);
    if (from == text.npos) return out_of_range(e, a[2].integer);
  }
  std::size_t at = text.find(a[1].str(), from);
  return Val::of(at == text.npos ? std::int64_t{-1} : static_cast<std::int64_t>(characters(text.substr(0, at))));
}

Val string_last_index_of(Evaluation& e, Args a) {
  std::string_view text = a[0].str();
  std::size_t from = text.npos;
  if (a.size() > 2) {
    from = a[2].integer < 0 ? text.npos : byte_of(text, a[2].integer);
    if (from == text.npos) return out_of_range(e, a[2].integer);
  }
  std::size_t at = text.rfind(a[1].str(), from);
  return Val::of(at == text.npos ? std::int64_t{-1} : static_cast<std::int64_t>(characters(text.substr(0, at))));
}

template <char low, char high>
Val ascii(Evaluation& e, Args a) {
  std::string out(a[0].str());
  for (char& c : out)
    if (c >= low && c <= high) c = static_cast<char>(c ^ 32);
  return e.string(out);
}

Val replace(Evaluation& e, Args a) {
  std::string_view text = a[0].str(), from = a[1].str(), to = a[2].str();
  std::int64_t left = a.size() > 3 ? a[3].integer : -1;
  std::string out;
  std::size_t at = 0;
  auto room = [&] { return out.size() + to.size() <= Evaluation::memory_max_bytes || !e.reserve(~0ull); };
  if (from.empty()) {
    for (; left != 0; --left) {
      if (!room() || e.exhausted()) return e.no_overload();
      out += to;
      if (at >= text.size()) break;
      std::size_t next = next_character(text, at);
      out += text.substr(at, next - at);
      at = next;
    }
  } else {
    for (; left != 0; --left) {
      std::size_t found = text.find(from, at);
      if (found == text.npos) break;
      if (!room() || e.exhausted()) return e.no_overload();
      out += text.substr(at, found - at);
      out += to;
      at = found + from.size();
    }
  }
  if (at < text.size()) out += text.substr(at);
  return e.reserve(out.size()) ? e.string(out) : e.no_overload();
}

Val split(Evaluation& e, Args a) {
  std::string_view text = a[0].str(), separator = a[1].str();
  std::int64_t most = a.size() > 2 ? a[2].integer : -1;
  BuiltList* out = e.new_list(0);
  if (most == 0 || !e.reserve((text.size() + 1) * sizeof(Val))) return e.list(out);
  std::size_t at = 0;
  while (most < 0 || static_cast<std::int64_t>(out->size) + 1 < most) {
    if (separator.empty()) {
      if (at >= text.size()) return e.list(out);
      std::size_t next = next_character(text, at);
      if (next >= text.size()) break;
      e.push(*out, Val::of(text.substr(at, next - at)));
      at = next;
    } else {
      std::size_t found = text.find(separator, at);
      if (found == text.npos) break;
      e.push(*out, Val::of(text.substr(at, found - at)));
      at = found + separator.size();
    }
  }
  e.push(*out, Val::of(text.substr(at)));
  return e.list(out);
}

Val join(Evaluation& e, Args a) {
  std::string_view separator = a.size() > 1 ? a[1].str() : std::string_view();
  std::string out;
  for (std::size_t i = 0; i < e.length(a[0]); ++i) {
    Val item = e.at(a[0], i);
    if (item.tag != Tag::string) return e.no_overload();
    if (!e.reserve(out.size() + separator.size() + item.text.size)) return e.no_overload();
    if (i) out += separator;
    out += item.str();
  }
  return e.string(out);
}

Val substring(Evaluation& e, Args a) {
  std::string_view text = a[0].str();
  std::int64_t from = a[1].integer;
  std::size_t begin = from < 0 ? text.npos : byte_of(text, from);
  if (begin == text.npos) return out_of_range(e, from);
  if (a.size() == 2) return Val::of(text.substr(begin));
  std::int64_t to = a[2].integer;
  if (from > to) return e.error(fmt::format("invalid substring range. start: {}, end: {}", from, to));
  std::size_t end = to < 0 ? text.npos : byte_of(text, to);
  if (end == text.npos) return out_of_range(e, to);
  return Val::of(text.substr(begin, end - begin));
}

// White space of Unicode at both ends.
Val trim_blanks(Evaluation&, Args a) {
  std::string_view text = a[0].str();
  static constexpr std::string_view wide[] = {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
                                              "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                              "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  auto cut = [&](bool front) {
    char c = front ? text.front() : text.back();
    if (std::string_view(" \t\n\v\f\r").find(c) != std::string_view::npos)
      return front ? text.remove_prefix(1) : text.remove_suffix(1), true;
    for (std::string_view blank : wide) {
      if (front && text.starts_with(blank)) return text.remove_prefix(blank.size()), true;
      if (!front && text.ends_with(blank)) return text.remove_suffix(blank.size()), true;
    }
    return false;
  };
  while (!text.empty() && cut(true)) {}
  while (!text.empty() && cut(false)) {}
  return Val::of(text);
}

Val format(Evaluation& e, Args a) { return format_text(e, a[0].str(), a[1]); }

Val quote(Evaluation& e, Args a) {
  std::string out = "\"";
  for (char c : a[0].str()) {
    static constexpr std::string_view from = "\a\b\f\n\r\t\v\\\"", to = "abfnrtv\\\"";
    auto i = from.find(c);
    if (i == from.npos) out += c;
    else out += '\\', out += to[i];
  }
  return e.string(out + "\"");
}

// A key as a part of a JSON pointer (RFC 6901).
Val escape_key(Evaluation& e, std::span<const Val> a) {
  std::string out;
  for (char c : a[0].str()) {
    if (c == '~') out += "~0";
    else if (c == '/') out += "~1";
    else out += c;
  }
  return e.string(out);
}

constexpr FunctionRow table_of_strings[] = {
    {"contains", "contains_string", "string.(string) bool", contains},
    {"endsWith", "ends_with_string", "string.(string) bool", ends_with},
    {"startsWith", "starts_with_string", "string.(string) bool", starts_with},
    {"charAt", "string_char_at_int", "string.(int) string", char_at},
    {"indexOf", "string_index_of_string", "string.(string) int", string_index_of},
    {"indexOf", "string_index_of_string_int", "string.(string, int) int", string_index_of},
    {"lastIndexOf", "string_last_index_of_string", "string.(string) int", string_last_index_of},
    {"lastIndexOf", "string_last_index_of_string_int", "string.(string, int) int", string_last_index_of},
    {"lowerAscii", "string_lower_ascii", "string.() string", ascii<'A', 'Z'>},
    {"upperAscii", "string_upper_ascii", "string.() string", ascii<'a', 'z'>},
    {"replace", "string_replace_string_string", "string.(string, string) string", replace},
    {"replace", "string_replace_string_string_int", "string.(string, string, int) string", replace},
    {"split", "string_split_string", "string.(string) list<string>", split},
    {"split", "string_split_string_int", "string.(string, int) list<string>", split},
    {"join", "list_join", "list<string>.() string", join},
    {"join", "list_join_string", "list<string>.(string) string", join},
    {"substring", "string_substring_int", "string.(int) string", substring},
    {"substring", "string_substring_int_int", "string.(int, int) string", substring},
    {"trim", "string_trim", "string.() string", trim_blanks},
    {"format", "string_format", "string.(list<dyn>) string", format},
    {"strings.quote", "strings_quote", "(string) string", quote},
    {"jsonpatch.escapeKey", "jsonpatch_escape_key", "(string) string", escape_key},
};

}  // namespace

std::span<const FunctionRow> string_rows() { return table_of_strings; }

}  // namespace kybern::cel
