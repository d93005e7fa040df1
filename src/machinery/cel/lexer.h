// Tokens of CEL source (cel-spec "Syntax").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kybern::cel {

enum class Token : std::uint8_t {
  end,
  invalid,
  ident,
  integer,
  uint,
  number,
  string,
  bytes,
  kw_true,
  kw_false,
  kw_null,
  kw_in,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  logical_and,
  logical_or,
  left_bracket,
  right_bracket,
  left_brace,
  right_brace,
  left_paren,
  right_paren,
  dot,
  comma,
  minus,
  bang,
  question,
  colon,
  plus,
  star,
  slash,
  percent,
};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) { next(); }

  Token token = Token::end;
  std::uint32_t offset = 0;  // of the token, in bytes
  std::string_view text;     // the token as written
  std::string value;         // a string's or bytes' value
  std::string problem;       // of an invalid token

  void next();

 private:
  bool skip_blanks();
  void number();
  void word();
  bool quoted(std::size_t prefix);
  bool escape(std::size_t& at, bool bytes);
  void set(Token kind, std::size_t length);

  std::string_view source_;
  std::size_t at_ = 0;
};

}  // namespace kybern::cel
