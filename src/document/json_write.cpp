#include <emmintrin.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstring>

#include "document/block.h"
#include "document/json.h"

namespace kybern {

using namespace detail;

namespace {

constexpr char hex[] = "0123456789abcdef";
constexpr std::size_t vector_bytes = 16;
constexpr std::size_t slack = 2 * vector_bytes;  // there is always room for this much after what is written

// The bytes among 16 that must be escaped; e2 is among them because U+2028 and U+2029 (e2 80 a8, e2 80 a9) begin with it.
unsigned special_mask(__m128i v) {
  __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
  __m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
  __m128i separator = _mm_cmpeq_epi8(v, _mm_set1_epi8(static_cast<char>(0xe2)));
  __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), _mm_or_si128(low, separator))));
}

bool special(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\' || c == static_cast<char>(0xe2); }

// Writes behind what a string holds already, into room that it makes ahead; flush() gives the string its true length.
class Output {
 public:
  Output(std::string& text, std::size_t expected) : text_(text) { grow(text.size(), expected); }

  // Room for `count` bytes, and for `slack` bytes more that may be scribbled on.
  void room(std::size_t count) {
    if (static_cast<std::size_t>(end_ - at_) < count + slack) [[unlikely]]
      grow(used(), count);
  }
  void put(char c) { *at_++ = c; }  // within room()
  void raw(std::string_view text) {
    room(text.size());
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  char* at() { return at_; }
  void advance(std::size_t count) { at_ += count; }
  void flush() { set_size(used()); }

 private:
  std::size_t used() const { return static_cast<std::size_t>(at_ - text_.data()); }
  void set_size(std::size_t size) {
    text_.resize_and_overwrite(size, [](char*, std::size_t n) { return n; });
  }
  void grow(std::size_t used, std::size_t count) {
    std::size_t size = used + count + slack;
    // `used` bytes count as written, so that a reallocation carries them over. Room that is there is not grown.
    set_size(size <= text_.capacity() ? text_.capacity() : std::max(size, 2 * used));
    at_ = text_.data() + used;
    end_ = text_.data() + text_.size();
  }

  std::string& text_;
  char* at_ = nullptr;
  char* end_ = nullptr;
};

void write_escape(Output& out, const char* at, const char* end, std::size_t& taken) {
  taken = 1;
  switch (*at) {
    case '"': return out.raw("\\\"");
    case '\\': return out.raw("\\\\");
    case '\n': return out.raw("\\n");
    case '\r': return out.raw("\\r");
    case '\t': return out.raw("\\t");
    case '\b': return out.raw("\\b");
    case '\f': return out.raw("\\f");
    case static_cast<char>(0xe2):
      if (end - at >= 3 && at[1] == static_cast<char>(0x80) && (at[2] == static_cast<char>(0xa8) || at[2] == static_cast<char>(0xa9))) {
        taken = 3;
        return out.raw(at[2] == static_cast<char>(0xa8) ? "\\u2028" : "\\u2029");
      }
      return out.raw({at, 1});
    default: {
      char text[6] = {'\\', 'u', '0', '0', hex[static_cast<unsigned char>(*at) >> 4], hex[*at & 15]};
      return out.raw({text, 6});
    }
  }
}

// `limit`: up to where bytes may be read, which is the end of the block when the text lies in one.
void write_string(Output& out, std::string_view text, const char* limit) {
  const char* at = text.data();
  const char* end = at + text.size();
  out.room(text.size() + 2);
  out.put('"');
  while (at != end) {
    auto left = static_cast<std::size_t>(end - at);
    if (left >= vector_bytes || limit - at >= static_cast<std::ptrdiff_t>(vector_bytes)) [[likely]] {
      __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out.at()), v);
      std::size_t take = std::min(left, vector_bytes);
      unsigned mask = special_mask(v) & ((1u << take) - 1);
      if (!mask) [[likely]] {
        out.advance(take);
        at += take;
        continue;
      }
      take = static_cast<std::size_t>(__builtin_ctz(mask));
      out.advance(take);
      at += take;
    } else if (!special(*at)) {
      out.put(*at++);
      continue;
    }
    std::size_t taken;
    write_escape(out, at, end, taken);
    at += taken;
    out.room(static_cast<std::size_t>(end - at) + 2);
  }
  out.put('"');
}

// The shortest digits that give the number back, laid out as ECMAScript and Go do: plain between 1e-6 and 1e21.
void write_number(std::string& out, double d) {
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

// Walks slots, not Values: this is what a list of ten thousand objects spends its time on.
class JsonWriter {
 public:
  JsonWriter(const Block* block, Output& out)
      : block_(block), limit_(reinterpret_cast<const char*>(bytes_of(block)) + block->size), out_(out) {}

  void value(const Slot& slot) {
    switch (tag_of(slot)) {
      case tag_boolean: return out_.raw(slot.high ? "true" : "false");
      case tag_inline_integer: return integer(inline_integer(slot));
      case tag_far_integer: return integer(far<std::int64_t>(slot));
      case tag_number: {
        std::string text;
        write_number(text, far<double>(slot));
        return out_.raw(text);
      }
      case tag_inline_string: return write_string(out_, {reinterpret_cast<const char*>(&slot) + 1, slot.low >> 4 & 15u}, limit_);
      case tag_far_string: return write_string(out_, {reinterpret_cast<const char*>(at(slot)), count_of(slot)}, limit_);
      case tag_array: return array(slot);
      case tag_object:
      case tag_sorted_object: return object(slot);
      default: return out_.raw("null");
    }
  }

 private:
  const std::byte* at(const Slot& slot) const { return bytes_of(block_) + slot.high; }
  template <class T>
  T far(const Slot& slot) const {
    T value;
    std::memcpy(&value, at(slot), sizeof value);
    return value;
  }

  void integer(std::int64_t value) {
    out_.room(24);
    out_.advance(static_cast<std::size_t>(std::to_chars(out_.at(), out_.at() + 24, value).ptr - out_.at()));
  }

  void array(const Slot& slot) {
    const auto* item = reinterpret_cast<const Slot*>(at(slot));
    out_.room(2);
    out_.put('[');
    for (std::size_t i = 0, n = count_of(slot); i < n; ++i) {
      if (i) {
        out_.room(1);
        out_.put(',');
      }
      value(item[i]);
    }
    out_.room(1);
    out_.put(']');
  }

  void object(const Slot& slot) {
    const auto* member = reinterpret_cast<const MemberSlot*>(at(slot));
    out_.room(2);
    out_.put('{');
    for (std::size_t i = 0, n = count_of(slot); i < n; ++i) {
      if (i) {
        out_.room(1);
        out_.put(',');
      }
      key(member[i].key);
      value(member[i].slot);
    }
    out_.room(1);
    out_.put('}');
  }

  void key(std::uint32_t key) {
    if (key & far_key) {
      write_string(out_, key_text(block_, key), limit_);
      out_.room(1);
      out_.put(':');
      return;
    }
    const char* from = quoted_names + quoted_at[key];
    std::size_t size = quoted_at[key + 1] - quoted_at[key];
    out_.room(size);
    char* to = out_.at();
    for (std::size_t i = 0; i < size; i += vector_bytes)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    out_.advance(size);
  }

  const Block* block_;
  const char* limit_;
  Output& out_;
};

void newline(std::string& out, int width) {
  out += '\n';
  out.append(static_cast<std::size_t>(width), ' ');
}

void write_key(std::string_view key, std::string& out) {
  Output to(out, key.size() + 2);
  write_string(to, key, key.data() + key.size());
  to.flush();
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
      write_key(m.key, out);
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
  if (!value.exists()) {
    out += "null";
    return;
  }
  detail::ValueParts parts(value);
  // A block is about as large as its text; a subtree's text is not worth guessing.
  Output to(out, parts.slot == &parts.block->root ? parts.block->size : 256);
  JsonWriter(parts.block, to).value(*parts.slot);
  to.flush();
}

void write_json_indented(Value value, std::string& out, int indent) { write_indented(value, out, indent, 0); }

std::string to_json(Value value) {
  std::string out;
  write_json(value, out);
  return out;
}

std::string to_json(const Draft& value) { return to_json(value.freeze().root()); }

}  // namespace kybern
