#include "machinery/labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "machinery/names.h"

namespace kybern {
namespace {

using Op = LabelOperator;

constexpr std::array<std::string_view, 9> operator_texts = {"=", "==", "!=", "in", "notin", "exists", "!", "gt", "lt"};
constexpr const char* binary_operators = "in, notin, =, ==, !=, gt, lt";

enum class Token { error, end, close, comma, bang, double_equals, equals, greater, identifier, in, less, not_equals, not_in, open };

struct Piece {
  Token token;
  std::string text;
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_special(char c) { return std::string_view("=!(),><").find(c) != std::string_view::npos; }

Token special_token(std::string_view text) {
  static constexpr std::pair<std::string_view, Token> table[] = {
      {")", Token::close},          {",", Token::comma},       {"!", Token::bang},
      {"==", Token::double_equals}, {"=", Token::equals},      {">", Token::greater},
      {"<", Token::less},           {"!=", Token::not_equals}, {"(", Token::open}};
  for (auto [symbol, token] : table) {
    if (symbol == text) return token;
  }
  return Token::error;
}

std::vector<Piece> scan_selector(std::string_view text) {
  std::vector<Piece> pieces;
  std::size_t at = 0;
  for (;;) {
    while (at < text.size() && is_space(text[at])) ++at;
    if (at == text.size() || text[at] == '\0') break;
    std::size_t start = at;
    if (!is_special(text[at])) {
      while (at < text.size() && !is_special(text[at]) && !is_space(text[at]) && text[at] != '\0') ++at;
      std::string word(text.substr(start, at - start));
      Token token = word == "in" ? Token::in : word == "notin" ? Token::not_in : Token::identifier;
      pieces.push_back({token, std::move(word)});
      if (at < text.size() && text[at] == '\0') ++at;
      continue;
    }
    // The longest symbol; every symbol begins with one that is a symbol by itself.
    std::size_t length = at + 1 < text.size() && special_token(text.substr(at, 2)) != Token::error ? 2 : 1;
    pieces.push_back({special_token(text.substr(at, length)), std::string(text.substr(at, length))});
    at += length;
  }
  pieces.push_back({Token::end, ""});
  return pieces;
}

std::unexpected<Error> wrong(std::string message) { return fail(Code::invalid, std::move(message)); }

std::unexpected<Error> found(std::string_view text, std::string_view expected) {
  return wrong(fmt::format("found '{}', expected: {}", text, expected));
}

std::string aggregate(const FieldErrors& errors) {
  std::vector<std::string> texts;
  for (const FieldError& error : errors) {
    std::string text = error.field + ": " + error.message();
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(std::move(text));
  }
  return texts.size() == 1 ? texts.front() : "[" + join(texts, ", ") + "]";
}

// A set, sorted, as upstream keeps the values that it parses.
void insert(std::vector<std::string>& values, std::string value) {
  auto at = std::lower_bound(values.begin(), values.end(), value);
  if (at == values.end() || *at != value) values.insert(at, std::move(value));
}

class Parser {
 public:
  explicit Parser(std::string_view text) : pieces_(scan_selector(text)) {}

  Result<std::vector<LabelRequirement>> parse() {
    std::vector<LabelRequirement> out;
    for (;;) {
      const Piece& next = look();
      if (value_token(next) == Token::end) return out;
      if (value_token(next) != Token::identifier && next.token != Token::bang) return found(next.text, "!, identifier, or 'end of string'");
      auto requirement = parse_requirement();
      if (!requirement) return wrong("unable to parse requirement: " + requirement.error().message);
      out.push_back(std::move(*requirement));
      const Piece& after = take();
      if (after.token == Token::end) return out;
      if (after.token != Token::comma) return found(after.text, "',' or 'end of string'");
      const Piece& follower = look();
      if (value_token(follower) != Token::identifier && follower.token != Token::bang) return found(follower.text, "identifier after ','");
    }
  }

 private:
  const Piece& look() const { return pieces_[at_]; }
  const Piece& take() { return at_ + 1 < pieces_.size() ? pieces_[at_++] : pieces_[at_]; }
  // Where a value may stand, "in" and "notin" are values.
  static Token value_token(const Piece& piece) {
    return piece.token == Token::in || piece.token == Token::not_in ? Token::identifier : piece.token;
  }

  Result<LabelRequirement> parse_requirement() {
    LabelRequirement requirement{{}, Op::exists, {}};
    bool negated = look().token == Token::bang;
    if (negated) take();
    const Piece& key = take();
    if (value_token(key) != Token::identifier) return found(key.text, "identifier");
    if (auto messages = names::qualified_name(key.text); !messages.empty()) {
      return wrong(fmt::format("<nil>: Invalid value: {}: {}", go_quote(key.text), join(messages, "; ")));
    }
    requirement.key = key.text;
    bool last = look().token == Token::end || look().token == Token::comma;
    if (negated) requirement.op = Op::does_not_exist;
    if (!negated && !last) {
      auto done = parse_restriction(requirement);
      if (!done) return std::unexpected(done.error());
    }
    if (auto errors = check_requirement(requirement, Path()); !errors.empty()) return wrong(aggregate(errors));
    return requirement;
  }

  Result<void> parse_restriction(LabelRequirement& requirement) {
    const Piece& op = take();
    switch (op.token) {
      case Token::in: requirement.op = Op::in; break;
      case Token::not_in: requirement.op = Op::not_in; break;
      case Token::equals: requirement.op = Op::equals; break;
      case Token::double_equals: requirement.op = Op::double_equals; break;
      case Token::not_equals: requirement.op = Op::not_equals; break;
      case Token::greater: requirement.op = Op::greater; break;
      case Token::less: requirement.op = Op::less; break;
      default: return found(op.text, binary_operators);
    }
    if (requirement.op == Op::in || requirement.op == Op::not_in) return parse_values(requirement.values);
    if (look().token == Token::end || look().token == Token::comma) {
      requirement.values = {""};
      return {};
    }
    const Piece& value = take();
    if (value_token(value) != Token::identifier) return found(value.text, "identifier");
    requirement.values = {value.text};
    return {};
  }

  // (a,,b): an empty place is the empty value.
  Result<void> parse_values(std::vector<std::string>& values) {
    const Piece& open = take();
    if (open.token != Token::open) return wrong(fmt::format("found '{}' expected: '('", open.text));
    if (look().token == Token::close) {
      take();
      values = {""};
      return {};
    }
    if (value_token(look()) != Token::identifier && look().token != Token::comma) return found(look().text, "',', ')' or identifier");
    for (;;) {
      const Piece& piece = take();
      if (value_token(piece) == Token::identifier) {
        insert(values, piece.text);
        if (look().token == Token::comma) continue;
        if (look().token != Token::close) return found(look().text, "',' or ')'");
        take();
        return {};
      }
      if (piece.token != Token::comma) return found(piece.text, "',', or identifier");
      if (values.empty()) insert(values, "");
      if (look().token == Token::close) {
        insert(values, "");
        take();
        return {};
      }
      if (look().token == Token::comma) insert(values, "");
    }
  }

  std::vector<Piece> pieces_;
  std::size_t at_ = 0;
};

std::string shown_list(const std::vector<std::string>& values) {
  std::string out = "[";
  for (const std::string& value : values) out += (out.size() > 1 ? "," : "") + go_quote(value);
  return out + "]";
}

std::optional<Op> object_operator(std::string_view text) {
  if (text == "In") return Op::in;
  if (text == "NotIn") return Op::not_in;
  if (text == "Exists") return Op::exists;
  if (text == "DoesNotExist") return Op::does_not_exist;
  return std::nullopt;
}

}  // namespace

bool LabelRequirement::matches(std::optional<std::string_view> value) const {
  auto listed = [&] { return std::find(values.begin(), values.end(), *value) != values.end(); };
  switch (op) {
    case Op::equals:
    case Op::double_equals:
    case Op::in: return value && listed();
    case Op::not_equals:
    case Op::not_in: return !value || !listed();
    case Op::exists: return value.has_value();
    case Op::does_not_exist: return !value;
    case Op::greater:
    case Op::less: {
      if (!value || values.size() != 1) return false;
      auto have = parse_int(*value), bound = parse_int(values.front());
      return have && bound && (op == Op::greater ? *have > *bound : *have < *bound);
    }
  }
  return false;
}

bool LabelRequirement::matches(Value labels) const {
  Value value = labels[key];
  return matches(value.exists() ? std::optional(value.as_string()) : std::nullopt);
}

std::string LabelRequirement::str() const {
  if (op == Op::exists) return key;
  if (op == Op::does_not_exist) return "!" + key;
  std::vector<std::string> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  std::string list = join(sorted, ",");
  switch (op) {
    case Op::in:
    case Op::not_in: return fmt::format("{} {} ({})", key, operator_texts[static_cast<std::size_t>(op)], list);
    case Op::greater: return key + ">" + list;
    case Op::less: return key + "<" + list;
    default: return fmt::format("{}{}{}", key, operator_texts[static_cast<std::size_t>(op)], list);
  }
}

FieldErrors check_requirement(const LabelRequirement& requirement, const Path& path) {
  FieldErrors out;
  if (auto messages = names::qualified_name(requirement.key); !messages.empty()) {
    out.push_back(field::invalid(path.child("key"), requirement.key, join(messages, "; ")));
  }
  Path values = path.child("values");
  auto bad_values = [&](std::string_view why) {
    FieldError error = field::invalid(values, "", why);
    error.value = shown_list(requirement.values);
    out.push_back(std::move(error));
  };
  std::size_t count = requirement.values.size();
  switch (requirement.op) {
    case Op::in:
    case Op::not_in:
      if (count == 0) bad_values("for 'in', 'notin' operators, values set can't be empty");
      break;
    case Op::equals:
    case Op::double_equals:
    case Op::not_equals:
      if (count != 1) bad_values("exact-match compatibility requires one single value");
      break;
    case Op::exists:
    case Op::does_not_exist:
      if (count != 0) bad_values("values set must be empty for exists and does not exist");
      break;
    case Op::greater:
    case Op::less:
      if (count != 1) bad_values("for 'Gt', 'Lt' operators, exactly one value is required");
      for (std::size_t i = 0; i < count; ++i) {
        if (!parse_int(requirement.values[i])) {
          out.push_back(field::invalid(values.index(i), requirement.values[i], "for 'Gt', 'Lt' operators, the value must be an integer"));
        }
      }
      break;
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (auto messages = names::label_value(requirement.values[i]); !messages.empty()) {
      Path at = values.index(i);
      out.push_back(field::invalid(at.key(requirement.key), requirement.values[i], join(messages, "; ")));
    }
  }
  return out;
}

LabelSelector LabelSelector::nothing() {
  LabelSelector selector;
  selector.nothing_ = true;
  return selector;
}

void LabelSelector::add(LabelRequirement requirement) {
  auto at =
      std::upper_bound(requirements_.begin(), requirements_.end(), requirement, [](const auto& a, const auto& b) { return a.key < b.key; });
  requirements_.insert(at, std::move(requirement));
}

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  auto requirements = Parser(text).parse();
  if (!requirements) return std::unexpected(requirements.error());
  LabelSelector selector;
  for (LabelRequirement& requirement : *requirements) selector.add(std::move(requirement));
  return selector;
}

Result<LabelSelector> LabelSelector::from(Value object) {
  if (object.is_null()) return nothing();
  LabelSelector selector;
  auto add = [&](LabelRequirement requirement) -> Result<void> {
    if (auto errors = check_requirement(requirement, Path()); !errors.empty()) return wrong(aggregate(errors));
    selector.add(std::move(requirement));
    return {};
  };
  for (Member label : object["matchLabels"].members()) {
    if (auto added = add({std::string(label.key), Op::equals, {label.value.str()}}); !added) return std::unexpected(added.error());
  }
  for (Value expression : object["matchExpressions"].items()) {
    auto op = object_operator(expression["operator"].as_string());
    if (!op) return wrong(fmt::format("{} is not a valid label selector operator", go_quote(expression["operator"].as_string())));
    LabelRequirement requirement{expression["key"].str(), *op, {}};
    for (Value value : expression["values"].items()) requirement.values.push_back(value.str());
    if (auto added = add(std::move(requirement)); !added) return std::unexpected(added.error());
  }
  return selector;
}

LabelSelector LabelSelector::from_map(Value labels) {
  LabelSelector selector;
  for (Member label : labels.members()) selector.add({std::string(label.key), Op::equals, {label.value.str()}});
  return selector;
}

bool LabelSelector::matches(Value labels) const {
  return !nothing_ &&
         std::all_of(requirements_.begin(), requirements_.end(), [&](const LabelRequirement& one) { return one.matches(labels); });
}

std::optional<std::string_view> LabelSelector::exact(std::string_view key) const {
  for (const LabelRequirement& one : requirements_) {
    if (one.key != key) continue;
    bool exact = one.values.size() == 1 && (one.op == Op::equals || one.op == Op::double_equals || one.op == Op::in);
    return exact ? std::optional<std::string_view>(one.values.front()) : std::nullopt;
  }
  return std::nullopt;
}

std::string LabelSelector::str() const {
  std::vector<std::string> texts;
  for (const LabelRequirement& one : requirements_) texts.push_back(one.str());
  return join(texts, ",");
}

FieldErrors validate_label_name(std::string_view name, const Path& path) {
  FieldErrors out;
  for (const std::string& message : names::qualified_name(name)) out.push_back(field::invalid(path, name, message));
  return out;
}

FieldErrors validate_labels(Value labels, const Path& path) {
  FieldErrors out;
  for (Member label : labels.members()) {
    field::append(out, validate_label_name(label.key, path));
    for (const std::string& message : names::label_value(label.value.as_string())) {
      out.push_back(field::invalid(path, label.value.as_string(), message));
    }
  }
  return out;
}

FieldErrors validate_label_selector(Value selector, const Path& path) {
  FieldErrors out = validate_labels(selector["matchLabels"], path.child("matchLabels"));
  Path expressions = path.child("matchExpressions");
  std::size_t i = 0;
  for (Value expression : selector["matchExpressions"].items()) {
    Path at = expressions.index(i++), values_path = at.child("values");
    std::string_view op = expression["operator"].as_string();
    Value values = expression["values"];
    auto known = object_operator(op);
    if (!known) {
      out.push_back(field::invalid(at.child("operator"), op, "not a valid selector operator"));
    } else if (*known == Op::in || *known == Op::not_in) {
      if (values.empty()) out.push_back(field::required(values_path, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (!values.empty()) {
      out.push_back(field::forbidden(values_path, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    }
    field::append(out, validate_label_name(expression["key"].as_string(), at.child("key")));
    std::size_t j = 0;
    for (Value value : values.items()) {
      for (const std::string& message : names::label_value(value.as_string())) {
        out.push_back(field::invalid(values_path.index(j), value.as_string(), message));
      }
      ++j;
    }
  }
  return out;
}

}  // namespace kybern
