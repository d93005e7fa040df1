// The parser: one pass, recursive, straight into a BlockWriter. Text between specials is found 16 bytes at a time.
#include <emmintrin.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "base/strings.h"
#include "document/block.h"
#include "document/json.h"
#include "document/names_table.h"

namespace kybern {
namespace {

struct Path {  // where the parser is, for naming duplicates: built only when one is found
  const Path* parent;
  std::string_view key;
  std::size_t index;  // of an array item; npos for a member
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

  std::string text() const {
    std::string head = parent ? parent->text() : std::string();
    if (index != npos) return head + fmt::format("[{}]", index);
    return head.empty() ? std::string(key) : head + "." + std::string(key);
  }
};

class Parser {
 public:
  Parser(std::string_view text, const JsonOptions& options, BlockWriter& writer)
      : at_(text.data()), end_(text.data() + text.size()), options_(options), writer_(writer) {}

  Result<void> run() {
    skip_space();
    if (!value(nullptr, 0)) return failure();
    skip_space();
    if (at_ != end_) {
      unexpected("after top-level value");
      return failure();
    }
    return {};
  }

 private:
  std::unexpected<Error> failure() { return fail(Code::invalid, std::move(error_)); }
  bool error(std::string text) {
    if (error_.empty()) error_ = std::move(text);
    return false;
  }
  // "invalid character 'x' looking for ...": `at_` stands on the character; at the end of the text that is what is wrong.
  bool unexpected(std::string_view context) {
    if (at_ == end_) return error("unexpected end of JSON input");
    return error(fmt::format("invalid character {} {}", quoted(at_), context));
  }
  std::string quoted(const char* p) const {
    if (*p == '\'') return "'\\''";
    if (*p == '"') return "'\"'";
    auto c = static_cast<unsigned char>(*p);                                          // Go takes each byte for a character here
    if ((c >= 0x80 && c <= 0xa0) || c == 0xad) return fmt::format("'\\u{:04x}'", c);  // which do not print
    std::string q =
        go_quote(c < 0x80 ? std::string(1, *p) : std::string{static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 63))});
    return "'" + q.substr(1, q.size() - 2) + "'";
  }

  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }

  bool value(const Path* path, std::size_t depth) {
    if (at_ == end_) return error("unexpected end of JSON input");
    switch (*at_) {
      case '{': return object(path, depth);
      case '[': return array(path, depth);
      case '"': {
        std::string_view text;
        if (!string(text)) return false;
        writer_.string(text);
        return true;
      }
      case 't': return literal("true") && (writer_.boolean(true), true);
      case 'f': return literal("false") && (writer_.boolean(false), true);
      case 'n': return literal("null") && (writer_.null(), true);
      default: break;
    }
    if (*at_ == '-' || (*at_ >= '0' && *at_ <= '9')) return number();
    return unexpected("looking for beginning of value");
  }

  bool literal(std::string_view word) {
    for (std::size_t i = 0; i < word.size(); ++i, ++at_)
      if (at_ == end_ || *at_ != word[i]) return unexpected(fmt::format("in literal {} (expecting '{}')", word, word[i]));
    return true;
  }

  bool object(const Path* path, std::size_t depth) {
    if (depth >= options_.max_depth) return error("exceeded max depth");
    ++at_;
    writer_.begin_object();
    skip_space();
    Path here{path, {}, Path::npos};
    std::string held;
    if (at_ != end_ && *at_ == '}') {
      ++at_;
      writer_.end_object();
      return true;
    }
    while (true) {
      if (at_ == end_ || *at_ != '"') return unexpected("looking for beginning of object key string");
      std::string_view key;
      if (!string(key)) return false;
      writer_.key(key);
      here.key = key;
      if (key.data() == scratch_.data()) here.key = held = key;  // the scratch buffer is used again below
      skip_space();
      if (at_ == end_ || *at_ != ':') return unexpected("after object key");
      ++at_;
      skip_space();
      if (!value(&here, depth + 1)) return false;
      skip_space();
      if (at_ != end_ && *at_ == ',') {
        ++at_;
        skip_space();
        continue;
      }
      if (at_ != end_ && *at_ == '}') {
        ++at_;
        end_object(path);
        return true;
      }
      return unexpected("after object key:value pair");
    }
  }

  void end_object(const Path* path) {
    std::vector<std::string> dropped;
    bool told = options_.duplicates && options_.duplicates->size() < duplicates_max && duplicates_bytes_ < duplicates_max_bytes;
    if (!writer_.end_object(told ? &dropped : nullptr)) return;
    for (const std::string& key : dropped) {
      if (options_.duplicates->size() >= duplicates_max || duplicates_bytes_ >= duplicates_max_bytes) return;
      options_.duplicates->push_back(Path{path, key, Path::npos}.text());
      duplicates_bytes_ += options_.duplicates->back().size();
    }
  }

  bool array(const Path* path, std::size_t depth) {
    if (depth >= options_.max_depth) return error("exceeded max depth");
    ++at_;
    writer_.begin_array();
    skip_space();
    if (at_ != end_ && *at_ == ']') {
      ++at_;
      writer_.end_array();
      return true;
    }
    Path here{path, {}, 0};
    while (true) {
      if (!value(&here, depth + 1)) return false;
      ++here.index;
      skip_space();
      if (at_ != end_ && *at_ == ',') {
        ++at_;
        skip_space();
        continue;
      }
      if (at_ != end_ && *at_ == ']') {
        ++at_;
        writer_.end_array();
        return true;
      }
      return unexpected("after array element");
    }
  }

  bool number() {
    const char* first = at_;
    auto digit = [&] { return at_ != end_ && *at_ >= '0' && *at_ <= '9'; };
    if (*at_ == '-') {
      ++at_;
      if (!digit()) return unexpected("in numeric literal");
    }
    if (*at_ == '0') ++at_;
    else
      while (digit()) ++at_;
    bool whole = true;
    if (at_ != end_ && *at_ == '.') {
      whole = false;
      ++at_;
      if (!digit()) return unexpected("after decimal point in numeric literal");
      while (digit()) ++at_;
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      whole = false;
      ++at_;
      if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!digit()) return unexpected("in exponent of numeric literal");
      while (digit()) ++at_;
    }
    if (whole) {
      std::int64_t v;
      if (std::from_chars(first, at_, v).ec == std::errc()) {
        writer_.integer(v);
        return true;
      }
    }
    double d;
    auto [end, problem] = std::from_chars(first, at_, d);
    if (problem != std::errc() || end != at_) {
      // Too small is zero, too large is out of range.
      if (problem == std::errc::result_out_of_range && tiny(std::string_view(first, static_cast<std::size_t>(at_ - first)))) d = 0;
      else
        return error(fmt::format("json: cannot unmarshal number {} into Go value of type float64",
                                 std::string_view(first, static_cast<std::size_t>(at_ - first))));
    }
    writer_.number(d);
    return true;
  }

  static bool tiny(std::string_view text) {
    auto e = text.find_first_of("eE");
    if (e != std::string_view::npos) return e + 1 < text.size() && text[e + 1] == '-';
    return text.starts_with("0.") || text.starts_with("-0.");
  }

  // On the opening quote. `out` views the input, or the scratch buffer when something in it stands for something else.
  bool string(std::string_view& out) {
    const char* first = ++at_;
    if (!plain()) return false;
    if (at_ != end_ && *at_ == '"') {
      out = {first, static_cast<std::size_t>(at_ - first)};
      ++at_;
      return true;
    }
    scratch_.assign(first, at_);
    while (true) {
      if (at_ == end_) return error("unexpected end of JSON input");
      if (*at_ == '"') {
        ++at_;
        out = scratch_;
        return true;
      }
      if (*at_ == '\\') {
        if (!escape()) return false;
      } else if (static_cast<signed char>(*at_) < 0) {
        if (!mend()) return false;
      } else {
        return unexpected("in string literal");
      }
      const char* from = at_;
      if (!plain()) return false;
      scratch_.append(from, at_);
    }
  }

  // Moves over text up to a quote, a backslash, a control character, the end, or bytes among which some are no UTF-8.
  bool plain() {
    while (true) {
      while (end_ - at_ >= 16) {
        __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at_));
        __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
        __m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
        __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));  // signed: controls, and every byte from 0x80
        int mask = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), low));
        if (mask) {
          at_ += __builtin_ctz(static_cast<unsigned>(mask));
          break;
        }
        at_ += 16;
      }
      while (at_ != end_ && static_cast<signed char>(*at_) >= 0x20 && *at_ != '"' && *at_ != '\\') ++at_;
      if (at_ == end_ || static_cast<signed char>(*at_) >= 0) return true;
      const char* from = at_;
      while (at_ != end_ && static_cast<signed char>(*at_) < 0) ++at_;
      if (valid_utf8({from, static_cast<std::size_t>(at_ - from)})) continue;
      at_ = from;
      return true;
    }
  }

  // On bytes from 0x80 of which some are no UTF-8: each such byte is replaced, as upstream's decoders do.
  bool mend() {
    while (at_ != end_ && static_cast<signed char>(*at_) < 0) {
      std::size_t size = 2;
      while (size <= 4 && (at_ + size > end_ || !valid_utf8({at_, size}))) ++size;
      if (size <= 4) {
        scratch_.append(at_, size);
        at_ += size;
      } else {
        replacement();
        ++at_;
      }
    }
    if (scratch_.size() > detail::max_count) return error("invalid UTF-8 in string literal");  // three bytes for each of the text's
    return true;
  }

  void replacement() {
    scratch_ += "\xef\xbf\xbd";
    if (options_.replaced) *options_.replaced = true;
  }

  bool hex4(unsigned& out) {
    out = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at_ == end_) return error("unexpected end of JSON input");
      char c = *at_;
      unsigned d = c >= '0' && c <= '9'                 ? static_cast<unsigned>(c - '0')
                   : (c | 32) >= 'a' && (c | 32) <= 'f' ? static_cast<unsigned>((c | 32) - 'a' + 10)
                                                        : 16;
      if (d == 16) return unexpected("in \\u hexadecimal character escape");
      out = out * 16 + d;
    }
    return true;
  }

  bool escape() {
    ++at_;
    if (at_ == end_) return error("unexpected end of JSON input");
    switch (*at_) {
      case '"':
      case '\\':
      case '/': scratch_ += *at_; break;
      case 'b': scratch_ += '\b'; break;
      case 'f': scratch_ += '\f'; break;
      case 'n': scratch_ += '\n'; break;
      case 'r': scratch_ += '\r'; break;
      case 't': scratch_ += '\t'; break;
      case 'u': return unicode();
      default: return unexpected("in string escape code");
    }
    ++at_;
    return true;
  }

  bool unicode() {
    ++at_;
    unsigned c;
    if (!hex4(c)) return false;
    if (c >= 0xd800 && c <= 0xdfff) {
      // Half of a pair without the other is replaced; what follows it stands for itself.
      const char* behind = at_;
      unsigned low = 0;
      if (c <= 0xdbff && end_ - at_ >= 2 && at_[0] == '\\' && at_[1] == 'u') {
        at_ += 2;
        if (!hex4(low)) return false;
      }
      if (low < 0xdc00 || low > 0xdfff) {
        at_ = behind;
        replacement();
        return true;
      }
      c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c < 0x80) {
      scratch_ += static_cast<char>(c);
    } else if (c < 0x800) {
      scratch_ += static_cast<char>(0xc0 | c >> 6);
      scratch_ += static_cast<char>(0x80 | (c & 63));
    } else if (c < 0x10000) {
      scratch_ += static_cast<char>(0xe0 | c >> 12);
      scratch_ += static_cast<char>(0x80 | (c >> 6 & 63));
      scratch_ += static_cast<char>(0x80 | (c & 63));
    } else {
      scratch_ += static_cast<char>(0xf0 | c >> 18);
      scratch_ += static_cast<char>(0x80 | (c >> 12 & 63));
      scratch_ += static_cast<char>(0x80 | (c >> 6 & 63));
      scratch_ += static_cast<char>(0x80 | (c & 63));
    }
    return true;
  }

  // A long key above many duplicates would be told with each of them.
  static constexpr std::size_t duplicates_max = 100, duplicates_max_bytes = 64 << 10;

  const char* at_;
  const char* end_;
  const JsonOptions& options_;
  BlockWriter& writer_;
  std::string scratch_, error_;
  std::size_t duplicates_bytes_ = 0;  // of what was told
};

}  // namespace

Result<void> parse_json(std::string_view text, BlockWriter& out, const JsonOptions& options) { return Parser(text, options, out).run(); }

Result<Document> parse_json(std::string_view text, const JsonOptions& options) {
  BlockWriter writer(text.size() + text.size() / 8);
  Result<void> parsed = parse_json(text, writer, options);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  return writer.finish();
}

}  // namespace kybern
