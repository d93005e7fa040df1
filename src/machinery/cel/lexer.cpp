#include "machinery/cel/lexer.h"

#include <cctype>

namespace kybern::cel {

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool word_start(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

int hex_value(char c) {
  if (digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 63));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 63));
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  }
}

}  // namespace

void Lexer::set(Token kind, std::size_t length) {
  token = kind;
  text = source_.substr(at_, length);
  at_ += length;
}

bool Lexer::skip_blanks() {
  while (at_ < source_.size()) {
    char c = source_[at_];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
      ++at_;
    } else if (source_.substr(at_).starts_with("//")) {
      while (at_ < source_.size() && source_[at_] != '\n') ++at_;
    } else {
      return true;
    }
  }
  return false;
}

void Lexer::next() {
  bool more = skip_blanks();
  offset = static_cast<std::uint32_t>(at_);
  if (!more) return set(Token::end, 0);
  std::string_view rest = source_.substr(at_);
  char c = rest[0], d = rest.size() > 1 ? rest[1] : '\0';
  // A letter before a quote belongs to a text: r'', b"", rb'''...'''.
  std::size_t prefix = 0;
  while (prefix < 2 && prefix < rest.size() &&
         (std::tolower(static_cast<unsigned char>(rest[prefix])) == 'r' || std::tolower(static_cast<unsigned char>(rest[prefix])) == 'b'))
    ++prefix;
  if (prefix == 2 && std::tolower(static_cast<unsigned char>(rest[0])) == std::tolower(static_cast<unsigned char>(rest[1]))) prefix = 3;
  if (prefix < 3 && prefix < rest.size() && (rest[prefix] == '"' || rest[prefix] == '\'')) {
    if (quoted(prefix)) return;
    token = Token::invalid;
    text = rest.substr(0, prefix + 1);
    at_ += prefix + 1;
    return;
  }
  if (digit(c) || (c == '.' && digit(d))) return number();
  if (word_start(c)) return word();
  struct Two {
    char a, b;
    Token token;
  };
  static constexpr Two twos[] = {{'=', '=', Token::equal},         {'!', '=', Token::not_equal},   {'<', '=', Token::less_equal},
                                 {'>', '=', Token::greater_equal}, {'&', '&', Token::logical_and}, {'|', '|', Token::logical_or}};
  for (const Two& two : twos)
    if (c == two.a && d == two.b) return set(two.token, 2);
  static constexpr std::string_view ones = "<>[]{}().,-!?:+*/%";
  static constexpr Token kinds[] = {Token::less,        Token::greater,    Token::left_bracket, Token::right_bracket, Token::left_brace,
                                    Token::right_brace, Token::left_paren, Token::right_paren,  Token::dot,           Token::comma,
                                    Token::minus,       Token::bang,       Token::question,     Token::colon,         Token::plus,
                                    Token::star,        Token::slash,      Token::percent};
  if (auto i = ones.find(c); i != ones.npos) return set(kinds[i], 1);
  std::size_t length = 1;
  while (length < rest.size() && (static_cast<unsigned char>(rest[length]) & 0xc0) == 0x80) ++length;
  set(Token::invalid, length);
  problem = "Syntax error: token recognition error at: '" + std::string(text) + "'";
}

void Lexer::word() {
  std::size_t length = 1;
  while (at_ + length < source_.size() && (word_start(source_[at_ + length]) || digit(source_[at_ + length]))) ++length;
  std::string_view word = source_.substr(at_, length);
  set(word == "true"    ? Token::kw_true
      : word == "false" ? Token::kw_false
      : word == "null"  ? Token::kw_null
      : word == "in"    ? Token::kw_in
                        : Token::ident,
      length);
}

// 12, 0x1f, 12u, 1.5, .5, 1e9. A dot that no digit follows is a selection.
void Lexer::number() {
  std::string_view rest = source_.substr(at_);
  std::size_t n = 0;
  auto at = [&](std::size_t i) { return i < rest.size() ? rest[i] : '\0'; };
  Token kind = Token::integer;
  if (rest[0] == '0' && at(1) == 'x' && hex_value(at(2)) >= 0) {
    n = 2;
    while (hex_value(at(n)) >= 0) ++n;
  } else {
    while (digit(at(n))) ++n;
    if (at(n) == '.' && digit(at(n + 1))) {
      kind = Token::number;
      for (++n; digit(at(n));) ++n;
    }
    std::size_t e = n;
    if (at(e) == 'e' || at(e) == 'E') {
      ++e;
      if (at(e) == '+' || at(e) == '-') ++e;
      if (digit(at(e))) {
        kind = Token::number;
        while (digit(at(e))) ++e;
        n = e;
      }
    }
  }
  if (kind == Token::integer && (at(n) == 'u' || at(n) == 'U')) {
    kind = Token::uint;
    ++n;
  }
  set(kind, n);
}

bool Lexer::quoted(std::size_t prefix) {
  bool raw = false, bytes = false;
  for (std::size_t i = 0; i < prefix; ++i) {
    char c = static_cast<char>(std::tolower(static_cast<unsigned char>(source_[at_ + i])));
    (c == 'r' ? raw : bytes) = true;
  }
  std::size_t at = at_ + prefix;
  char quote = source_[at];
  bool triple = source_.substr(at, 3) == std::string(3, quote);
  at += triple ? 3 : 1;
  value.clear();
  problem = "Syntax error: token recognition error at: '" + std::string(source_.substr(at_)) + "'";
  while (at < source_.size()) {
    char c = source_[at];
    if (triple ? source_.substr(at, 3) == std::string(3, quote) : c == quote) {
      at += triple ? 3 : 1;
      set(bytes ? Token::bytes : Token::string, at - at_);
      problem.clear();
      return true;
    }
    if (!triple && (c == '\n' || c == '\r')) return false;
    if (c == '\\' && !raw) {
      if (!escape(at, bytes)) return false;
    } else if (c == '\\' && at + 1 < source_.size()) {
      value.append(source_.substr(at, 2));
      at += 2;
    } else {
      value += c;
      ++at;
    }
  }
  return false;
}

bool Lexer::escape(std::size_t& at, bool bytes) {
  if (at + 1 >= source_.size()) return false;
  char c = source_[at + 1];
  at += 2;
  static constexpr std::string_view from = "abfnrtv\\'\"`?", to = "\a\b\f\n\r\t\v\\'\"`?";
  if (auto i = from.find(c); i != from.npos) {
    value += to[i];
    return true;
  }
  std::size_t digits = 0;
  int base = 16;
  if (c == 'x' || c == 'X') digits = 2;
  else if (c == 'u' && !bytes) digits = 4;
  else if (c == 'U' && !bytes) digits = 8;
  else if (c >= '0' && c <= '3') digits = 3, base = 8, --at;
  else return false;
  std::uint32_t code = 0;
  for (std::size_t i = 0; i < digits; ++i, ++at) {
    int v = at < source_.size() ? hex_value(source_[at]) : -1;
    if (v < 0 || v >= base) return false;
    code = code * static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(v);
  }
  if (bytes) {
    if (code > 255) return false;
    value += static_cast<char>(code);
    return true;
  }
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
  append_utf8(value, code);
  return true;
}

}  // namespace kybern::cel
