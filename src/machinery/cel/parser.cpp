// CEL source to nodes: recursive descent, one function for each rule of the grammar.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "machinery/cel/lexer.h"
#include "machinery/cel/macros.h"

namespace kybern::cel {

namespace {

constexpr std::string_view primary_tokens =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

constexpr std::string_view reserved[] = {"as",  "break", "const",   "continue",  "else",   "for", "function", "if",   "import",
                                         "let", "loop",  "package", "namespace", "return", "var", "void",     "while"};

class Parser {
 public:
  Parser(std::string_view source, Ast& ast, std::vector<Problem>& problems, bool bindings)
      : lexer_(source), make_(ast, problems, bindings), problems_(problems) {}

  bool run(Ast& ast) {
    std::uint32_t root = expression();
    if (problems_.empty() && lexer_.token != Token::end) {
      std::string shown = token_text();
      std::uint32_t offset = lexer_.offset;
      bool invalid = lexer_.token == Token::invalid;
      lexer_.next();
      if (invalid)
        complain(offset, lexer_.problem.empty() ? fmt::format("Syntax error: token recognition error at: {}", shown) : lexer_.problem);
      else
        complain(offset,
                 fmt::format("Syntax error: {} input {} expecting <EOF>", lexer_.token == Token::end ? "extraneous" : "mismatched", shown));
    }
    ast.root = root;
    return problems_.empty();
  }

 private:
  // After the first problem everything collapses: nothing is read on, so one fault gives one message.
  bool failed() const { return !problems_.empty(); }
  std::uint32_t complain(std::uint32_t offset, std::string text) {
    if (!failed()) problems_.push_back({offset, std::move(text)});
    return 0;
  }
  std::string token_text() const { return lexer_.token == Token::end ? "'<EOF>'" : fmt::format("'{}'", lexer_.text); }
  std::uint32_t unexpected(std::string_view expected) {
    if (lexer_.token == Token::invalid) return complain(lexer_.offset, lexer_.problem);
    return complain(lexer_.offset, fmt::format("Syntax error: mismatched input {} expecting {}", token_text(), expected));
  }
  bool take(Token token) {
    if (failed() || lexer_.token != token) return false;
    lexer_.next();
    return true;
  }
  bool need(Token token, std::string_view expected) {
    if (take(token)) return true;
    if (!failed()) unexpected(expected);
    return false;
  }

  std::uint32_t expression();
  std::uint32_t chain(Token token, Op op, std::string_view name, std::uint32_t (Parser::*part)());
  std::uint32_t conditional_or() { return chain(Token::logical_or, Op::logical_or, "_||_", &Parser::conditional_and); }
  std::uint32_t conditional_and() { return chain(Token::logical_and, Op::logical_and, "_&&_", &Parser::relation); }
  std::uint32_t relation();
  std::uint32_t sum();
  std::uint32_t product();
  std::uint32_t unary();
  std::uint32_t member();
  std::uint32_t primary();
  std::uint32_t literal();
  std::uint32_t name_or_call(bool leading_dot);
  std::uint32_t list();
  std::uint32_t map();
  std::uint32_t structure(std::string name, std::uint32_t offset);
  std::uint32_t select_or_call(std::uint32_t target);
  std::uint32_t index(std::uint32_t target);
  std::uint32_t number_literal(bool negative, std::uint32_t offset);
  bool arguments(std::vector<std::uint32_t>& out);
  bool qualified_name(std::uint32_t node, std::string& out) const;

  Lexer lexer_;
  Maker make_;
  std::vector<Problem>& problems_;
  int depth_ = 0;
};

std::uint32_t Parser::expression() {
  if (++depth_ > max_nesting) return complain(lexer_.offset, fmt::format("expression recursion limit exceeded: {}", max_nesting));
  std::uint32_t condition = conditional_or();
  std::uint32_t offset = lexer_.offset;
  if (take(Token::question)) {
    std::uint32_t yes = conditional_or();
    need(Token::colon, "':'");
    std::uint32_t no = failed() ? 0 : expression();
    condition = make_.call("_?_:_", Op::conditional, {condition, yes, no}, offset);
  }
  --depth_;
  return condition;
}

// a && b && c as a balanced tree, so that long chains do not nest deeply.
std::uint32_t Parser::chain(Token token, Op op, std::string_view name, std::uint32_t (Parser::*part)()) {
  std::vector<std::uint32_t> terms{(this->*part)()};
  std::vector<std::uint32_t> offsets;
  while (!failed() && lexer_.token == token) {
    offsets.push_back(lexer_.offset);
    lexer_.next();
    terms.push_back((this->*part)());
  }
  auto build = [&](auto&& self, std::size_t low, std::size_t high) -> std::uint32_t {
    if (low == high) return terms[low];
    std::size_t middle = (low + high) / 2;
    std::uint32_t left = self(self, low, middle), right = self(self, middle + 1, high);
    return make_.call(name, op, {left, right}, offsets[middle]);
  };
  return failed() ? 0 : build(build, 0, terms.size() - 1);
}

std::uint32_t Parser::relation() {
  struct Row {
    Token token;
    Op op;
    std::string_view name;
  };
  static constexpr Row rows[] = {{Token::equal, Op::equal, "_==_"},    {Token::not_equal, Op::not_equal, "_!=_"},
                                 {Token::less, Op::less, "_<_"},       {Token::less_equal, Op::less_equal, "_<=_"},
                                 {Token::greater, Op::greater, "_>_"}, {Token::greater_equal, Op::greater_equal, "_>=_"},
                                 {Token::kw_in, Op::in, "@in"}};
  std::uint32_t left = sum();
  for (;;) {
    const Row* row = std::ranges::find(rows, lexer_.token, &Row::token);
    if (failed() || row == std::end(rows)) return left;
    std::uint32_t offset = lexer_.offset;
    lexer_.next();
    left = make_.call(row->name, row->op, {left, sum()}, offset);
  }
}

std::uint32_t Parser::sum() {
  std::uint32_t left = product();
  while (!failed() && (lexer_.token == Token::plus || lexer_.token == Token::minus)) {
    bool plus = lexer_.token == Token::plus;
    std::uint32_t offset = lexer_.offset;
    lexer_.next();
    left = make_.call(plus ? "_+_" : "_-_", plus ? Op::add : Op::subtract, {left, product()}, offset);
  }
  return left;
}

std::uint32_t Parser::product() {
  struct Row {
    Token token;
    Op op;
    std::string_view name;
  };
  static constexpr Row rows[] = {
      {Token::star, Op::multiply, "_*_"}, {Token::slash, Op::divide, "_/_"}, {Token::percent, Op::modulo, "_%_"}};
  std::uint32_t left = unary();
  for (;;) {
    const Row* row = std::ranges::find(rows, lexer_.token, &Row::token);
    if (failed() || row == std::end(rows)) return left;
    std::uint32_t offset = lexer_.offset;
    lexer_.next();
    left = make_.call(row->name, row->op, {left, unary()}, offset);
  }
}

std::uint32_t Parser::unary() {
  Token token = lexer_.token;
  if (failed() || (token != Token::bang && token != Token::minus)) return member();
  std::uint32_t offset = lexer_.offset;
  int times = 0;
  while (lexer_.token == token) {
    ++times;
    lexer_.next();
  }
  bool number = lexer_.token == Token::integer || lexer_.token == Token::number;
  if (token == Token::minus && times == 1 && number) {
    std::uint32_t made = number_literal(true, offset);
    while (!failed() && (lexer_.token == Token::dot || lexer_.token == Token::left_bracket))
      made = lexer_.token == Token::dot ? select_or_call(made) : index(made);
    return made;
  }
  std::uint32_t inner = member();
  if (times % 2 == 0) return inner;
  return token == Token::bang ? make_.call("!_", Op::logical_not, {inner}, offset) : make_.call("-_", Op::negate, {inner}, offset);
}

std::uint32_t Parser::member() {
  std::uint32_t node = primary();
  while (!failed() && (lexer_.token == Token::dot || lexer_.token == Token::left_bracket || lexer_.token == Token::left_brace)) {
    if (lexer_.token == Token::dot) {
      node = select_or_call(node);
    } else if (lexer_.token == Token::left_bracket) {
      node = index(node);
    } else {
      std::string name;
      if (!qualified_name(node, name)) return unexpected("<EOF>");
      node = structure(std::move(name), lexer_.offset);
    }
  }
  return node;
}

std::uint32_t Parser::select_or_call(std::uint32_t target) {
  std::uint32_t offset = lexer_.offset;
  lexer_.next();
  bool optional = take(Token::question);
  if (failed() || lexer_.token != Token::ident) return unexpected("IDENTIFIER");
  std::string name(lexer_.text);
  lexer_.next();
  if (optional) return make_.call("_?._", Op::optional_select, {target, make_.text(name, offset)}, offset);
  if (lexer_.token != Token::left_paren) return make_.select(target, name, offset);
  offset = lexer_.offset;
  lexer_.next();
  std::vector<std::uint32_t> args;
  if (!arguments(args)) return 0;
  if (auto expanded = make_.expand_member(target, name, args, offset)) return *expanded;
  if (failed()) return 0;
  args.insert(args.begin(), target);
  return make_.member_call(name, args, offset);
}

std::uint32_t Parser::index(std::uint32_t target) {
  std::uint32_t offset = lexer_.offset;
  lexer_.next();
  bool optional = take(Token::question);
  std::uint32_t inner = expression();
  if (!need(Token::right_bracket, "']'")) return 0;
  return optional ? make_.call("_[?_]", Op::optional_index, {target, inner}, offset)
                  : make_.call("_[_]", Op::index, {target, inner}, offset);
}

bool Parser::arguments(std::vector<std::uint32_t>& out) {
  if (take(Token::right_paren)) return true;
  do { out.push_back(expression()); } while (take(Token::comma));
  return need(Token::right_paren, "')'");
}

bool Parser::qualified_name(std::uint32_t node, std::string& out) const {
  const Node& n = make_.ast().nodes[node];
  if (n.kind == NodeKind::ident) {
    out = make_.ast().name(n);
    return true;
  }
  if (n.kind != NodeKind::select || n.flags & Node::test_only || !qualified_name(make_.ast().kid(n, 0), out)) return false;
  out += '.';
  out += make_.ast().name(n);
  return true;
}

std::uint32_t Parser::primary() {
  if (failed()) return 0;
  std::uint32_t offset = lexer_.offset;
  switch (lexer_.token) {
    case Token::left_paren: {
      lexer_.next();
      std::uint32_t inner = expression();
      need(Token::right_paren, "')'");
      return inner;
    }
    case Token::left_bracket: return list();
    case Token::left_brace: return map();
    case Token::dot:
      lexer_.next();
      if (lexer_.token != Token::ident) return unexpected("IDENTIFIER");
      return name_or_call(true);
    case Token::ident: return name_or_call(false);
    case Token::end:
    case Token::invalid: return unexpected(primary_tokens);
    default: (void)offset; return literal();
  }
}

std::uint32_t Parser::name_or_call(bool leading_dot) {
  std::uint32_t offset = lexer_.offset;
  std::string name(lexer_.text);
  lexer_.next();
  if (lexer_.token != Token::left_paren && std::ranges::find(reserved, name) != std::end(reserved))
    return complain(offset, fmt::format("reserved identifier: {}", name));
  if (lexer_.token != Token::left_paren) return make_.ident(leading_dot ? "." + name : name, offset);
  std::uint32_t at = lexer_.offset;
  lexer_.next();
  std::vector<std::uint32_t> args;
  if (!arguments(args)) return 0;
  if (auto expanded = make_.expand_global(name, args, at)) return *expanded;
  return failed() ? 0 : make_.call(name, Op::none, args, at);
}

std::uint32_t Parser::literal() {
  std::uint32_t offset = lexer_.offset;
  switch (lexer_.token) {
    case Token::integer:
    case Token::uint:
    case Token::number: return number_literal(false, offset);
    case Token::string: {
      std::string value = std::move(lexer_.value);
      lexer_.next();
      return make_.text(std::move(value), offset);
    }
    case Token::bytes: {
      std::string value = std::move(lexer_.value);
      lexer_.next();
      return make_.text(std::move(value), offset, Tag::bytes);
    }
    case Token::kw_true:
    case Token::kw_false: {
      bool value = lexer_.token == Token::kw_true;
      lexer_.next();
      return make_.constant(Val::of(value), offset);
    }
    case Token::kw_null: lexer_.next(); return make_.constant(Val::null(), offset);
    default: return unexpected(primary_tokens);
  }
}

std::uint32_t Parser::number_literal(bool negative, std::uint32_t offset) {
  std::string text(negative ? "-" : "");
  Token token = lexer_.token;
  text += lexer_.text;
  lexer_.next();
  if (token == Token::number) {
    double value = 0;
    auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc() || !std::isfinite(value)) return complain(offset, "invalid double literal");
    return make_.constant(Val::of(value), offset);
  }
  std::string_view digits = text;
  if (token == Token::uint) digits.remove_suffix(1);
  bool minus = digits.starts_with('-');
  if (minus) digits.remove_prefix(1);
  int base = digits.starts_with("0x") ? 16 : 10;
  if (base == 16) digits.remove_prefix(2);
  std::uint64_t value = 0;
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (token == Token::uint)
    return ec == std::errc() ? make_.constant(Val::of_uint(value), offset) : complain(offset, "invalid uint literal");
  if (ec != std::errc() || value > (1ull << 63) - (minus ? 0 : 1)) return complain(offset, "invalid int literal");
  return make_.constant(Val::of(static_cast<std::int64_t>(minus ? 0 - value : value)), offset);
}

std::uint32_t Parser::list() {
  std::uint32_t offset = lexer_.offset;
  lexer_.next();
  std::vector<std::uint32_t> items, optionals;
  while (!failed() && lexer_.token != Token::right_bracket) {
    if (take(Token::question)) optionals.push_back(static_cast<std::uint32_t>(items.size()));
    items.push_back(expression());
    if (!take(Token::comma)) break;
  }
  if (!need(Token::right_bracket, "']'")) return 0;
  return make_.aggregate(NodeKind::list, items, optionals, offset);
}

std::uint32_t Parser::map() {
  std::uint32_t offset = lexer_.offset;
  lexer_.next();
  std::vector<std::uint32_t> items, optionals;
  while (!failed() && lexer_.token != Token::right_brace) {
    if (take(Token::question)) optionals.push_back(static_cast<std::uint32_t>(items.size() / 2));
    items.push_back(expression());
    if (!need(Token::colon, "':'")) return 0;
    items.push_back(expression());
    if (!take(Token::comma)) break;
  }
  if (!need(Token::right_brace, "'}'")) return 0;
  return make_.aggregate(NodeKind::map, items, optionals, offset);
}

std::uint32_t Parser::structure(std::string name, std::uint32_t offset) {
  lexer_.next();
  std::vector<std::uint32_t> items, optionals;
  while (!failed() && lexer_.token != Token::right_brace) {
    if (take(Token::question)) optionals.push_back(static_cast<std::uint32_t>(items.size() / 2));
    if (lexer_.token != Token::ident) return unexpected("IDENTIFIER");
    items.push_back(make_.text(std::string(lexer_.text), lexer_.offset));
    lexer_.next();
    if (!need(Token::colon, "':'")) return 0;
    items.push_back(expression());
    if (!take(Token::comma)) break;
  }
  if (!need(Token::right_brace, "'}'")) return 0;
  std::uint32_t made = make_.aggregate(NodeKind::structure, items, optionals, offset);
  make_.set_name(made, name);
  return made;
}

}  // namespace

bool parse(std::string_view source, Ast& ast, std::vector<Problem>& problems, bool bindings) {
  if (source.size() > max_expression_bytes) {
    problems.push_back(
        {0, fmt::format("expression code point size exceeds limit: size: {}, limit {}", source.size(), max_expression_bytes)});
    return false;
  }
  return Parser(source, ast, problems, bindings).run(ast);
}

std::string show_problems(std::string_view source, const std::vector<Problem>& problems) {
  std::string out;
  for (const Problem& problem : problems) {
    std::size_t offset = std::min<std::size_t>(problem.offset, source.size());
    std::size_t begin = offset ? source.rfind('\n', offset - 1) : source.npos;
    begin = begin == source.npos ? 0 : begin + 1;
    std::size_t line = static_cast<std::size_t>(std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(begin), '\n')) + 1;
    std::string_view text = source.substr(begin, source.find('\n', begin) - begin);
    std::size_t column = characters(source.substr(begin, offset - begin));
    if (!out.empty()) out += '\n';
    out += fmt::format("ERROR: <input>:{}:{}: {}\n | {}\n | {}^", line, column + 1, problem.text, text, std::string(column, '.'));
  }
  return out;
}

}  // namespace kybern::cel
