#include "cli/jsonpath.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "cli/output.h"
#include "document/json.h"

namespace kybern::cli {

struct JsonPath::Node {
  enum class Type { text, path, range } type = Type::text;
  struct Filter;
  struct Step {
    enum class Type { fields, deep, every, slice, filter } type;
    std::vector<std::vector<std::string>> names;   // fields: a union of field paths
    std::optional<std::int64_t> from, to, stride;  // slice
    std::shared_ptr<const Filter> condition;
  };
  struct Operand {
    bool is_path = false;
    std::vector<Step> path;
    Document literal;
  };
  struct Filter {
    Operand left, right;
    std::string op;  // empty: the left side exists
  };
  std::string text;
  std::vector<Step> steps;
  std::vector<Node> body;
};

namespace {

using Node = JsonPath::Node;
using Step = Node::Step;
constexpr int most_nested = 64;

struct Parser {
  std::string_view in;
  std::size_t at = 0;
  int depth = 0;

  bool end() const { return at >= in.size(); }
  char peek() const { return end() ? '\0' : in[at]; }
  void skip_spaces() {
    while (!end() && (in[at] == ' ' || in[at] == '\t' || in[at] == '\n')) ++at;
  }

  Result<std::string> quoted() {
    const char quote = in[at++];
    std::string out;
    while (!end() && in[at] != quote) {
      char c = in[at++];
      if (c == '\\' && !end()) {
        c = in[at++];
        if (c == 'n') c = '\n';
        else if (c == 't') c = '\t';
        else if (c == 'r') c = '\r';
      }
      out += c;
    }
    if (end()) return fail(Code::invalid, "unterminated quoted string");
    ++at;
    return out;
  }

  std::string bare_name() {
    std::string out;
    while (!end()) {
      char c = in[at];
      if (c == '\\' && at + 1 < in.size()) {
        out += in[at + 1];
        at += 2;
        continue;
      }
      if (std::string_view(" \t\n.[]{}()=!<>,|&'\"?@").find(c) != std::string_view::npos) break;
      out += c;
      ++at;
    }
    return out;
  }

  Result<Step> bracket();
  Result<std::vector<Step>> path();
  Result<Node::Operand> operand();
  Result<std::shared_ptr<const Node::Filter>> filter();
  Result<std::vector<Node>> nodes(bool in_range);
};

Result<Step> Parser::bracket() {
  ++at;  // [
  skip_spaces();
  Step step{Step::Type::slice, {}, {}, {}, {}, {}};
  if (peek() == '?') {
    ++at;
    if (peek() != '(') return fail(Code::invalid, "unexpected character in a filter: " + std::string(1, peek()));
    ++at;
    auto condition = filter();
    if (!condition) return std::unexpected(condition.error());
    step.type = Step::Type::filter;
    step.condition = *std::move(condition);
    skip_spaces();
    if (peek() != ')') return fail(Code::invalid, "unterminated filter");
    ++at;
  } else if (peek() == '*') {
    ++at;
    step.type = Step::Type::every;
  } else if (peek() == '\'' || peek() == '"') {
    step.type = Step::Type::fields;
    while (true) {
      auto name = quoted();
      if (!name) return std::unexpected(name.error());
      std::vector<std::string> whole{*name};
      step.names.push_back(std::move(whole));
      skip_spaces();
      if (peek() != ',') break;
      ++at;
      skip_spaces();
      if (peek() != '\'' && peek() != '"') return fail(Code::invalid, "invalid union");
    }
  } else {
    const std::size_t close = in.find(']', at);
    if (close == std::string_view::npos) return fail(Code::invalid, "unterminated array");
    const std::string_view inside = trim(in.substr(at, close - at));
    at = close;
    if (inside.find(',') != std::string_view::npos) {
      step.type = Step::Type::fields;
      for (std::string_view piece : split(inside, ',')) step.names.push_back({std::string(trim(piece))});
    } else {
      const auto pieces = split(inside, ':');
      const auto number = [](std::string_view text) { return parse_int(trim(text)); };
      if (pieces.size() > 3) return fail(Code::invalid, "invalid array index " + std::string(inside));
      for (std::string_view piece : pieces)
        if (!trim(piece).empty() && !number(piece)) return fail(Code::invalid, "invalid array index " + std::string(inside));
      if (pieces.size() == 1) {
        step.from = number(pieces[0]);
        if (!step.from) return fail(Code::invalid, "invalid array index " + std::string(inside));
        step.to = std::nullopt;
        step.stride = 0;  // one element
      } else {
        step.from = number(pieces[0]);
        step.to = number(pieces[1]);
        step.stride = pieces.size() == 3 ? number(pieces[2]) : std::nullopt;
        if (!step.stride) step.stride = 1;
        if (*step.stride <= 0) return fail(Code::invalid, "step must be > 0");
      }
    }
  }
  skip_spaces();
  if (peek() != ']') return fail(Code::invalid, "unterminated array");
  ++at;
  return step;
}

Result<std::vector<Step>> Parser::path() {
  std::vector<Step> out;
  if (peek() == '$' || peek() == '@') ++at;
  while (!end()) {
    if (peek() == '.') {
      ++at;
      if (peek() == '.') {
        ++at;
        out.push_back({Step::Type::deep, {}, {}, {}, {}, {}});
      }
      if (peek() == '[') continue;
      if (peek() == '*') {
        ++at;
        out.push_back({Step::Type::every, {}, {}, {}, {}, {}});
        continue;
      }
      std::string name = bare_name();
      if (name.empty()) {
        if (!out.empty() && out.back().type == Step::Type::deep) return fail(Code::invalid, "invalid recursive descent");
        break;  // "." alone: the root
      }
      out.push_back({Step::Type::fields, {{std::move(name)}}, {}, {}, {}, {}});
    } else if (peek() == '[') {
      auto step = bracket();
      if (!step) return std::unexpected(step.error());
      out.push_back(*std::move(step));
    } else {
      break;
    }
  }
  return out;
}

Result<Node::Operand> Parser::operand() {
  skip_spaces();
  Node::Operand out;
  if (peek() == '@' || peek() == '$' || peek() == '.') {
    out.is_path = true;
    auto steps = path();
    if (!steps) return std::unexpected(steps.error());
    out.path = *std::move(steps);
    return out;
  }
  if (peek() == '\'' || peek() == '"') {
    auto text = quoted();
    if (!text) return std::unexpected(text.error());
    out.literal = Draft(*text).freeze();
    return out;
  }
  const std::size_t start = at;
  while (!end() && std::string_view(" )=!<>").find(in[at]) == std::string_view::npos) ++at;
  const std::string_view word = in.substr(start, at - start);
  if (word.empty()) return fail(Code::invalid, "expected a value in a filter");
  auto parsed = parse_json(word);
  if (!parsed) return fail(Code::invalid, "unrecognized value in a filter: " + std::string(word));
  out.literal = *std::move(parsed);
  return out;
}

Result<std::shared_ptr<const Node::Filter>> Parser::filter() {
  if (++depth > most_nested) return fail(Code::too_large, "filters are nested deeper than 64");
  auto out = std::make_shared<Node::Filter>();
  auto left = operand();
  if (!left) return std::unexpected(left.error());
  out->left = *std::move(left);
  skip_spaces();
  for (std::string_view op : {"==", "!=", "<=", ">=", "<", ">"}) {
    if (!in.substr(at).starts_with(op)) continue;
    out->op = std::string(op);
    at += op.size();
    auto right = operand();
    if (!right) return std::unexpected(right.error());
    out->right = *std::move(right);
    break;
  }
  --depth;
  return out;
}

Result<std::vector<Node>> Parser::nodes(bool in_range) {
  if (++depth > most_nested) return fail(Code::too_large, "ranges are nested deeper than 64");
  std::vector<Node> out;
  while (!end()) {
    if (peek() != '{') {
      const std::size_t start = at, brace = in.find('{', at);
      at = brace == std::string_view::npos ? in.size() : brace;
      out.push_back({Node::Type::text, std::string(in.substr(start, at - start)), {}, {}});
      continue;
    }
    ++at;
    skip_spaces();
    while (peek() != '}') {
      if (end()) return fail(Code::invalid, "unclosed action");
      const std::string_view rest = in.substr(at);
      if (peek() == '\'' || peek() == '"') {
        auto text = quoted();
        if (!text) return std::unexpected(text.error());
        out.push_back({Node::Type::text, *std::move(text), {}, {}});
      } else if (rest.starts_with("range")) {
        at += 5;
        skip_spaces();
        Node node{Node::Type::range, {}, {}, {}};
        auto steps = path();
        if (!steps) return std::unexpected(steps.error());
        node.steps = *std::move(steps);
        skip_spaces();
        if (peek() != '}') return fail(Code::invalid, "unclosed action");
        ++at;
        auto body = nodes(true);
        if (!body) return std::unexpected(body.error());
        node.body = *std::move(body);
        out.push_back(std::move(node));
        goto next;  // the body has eaten {end}
      } else if (rest.starts_with("end")) {
        at += 3;
        skip_spaces();
        if (peek() != '}') return fail(Code::invalid, "unclosed action");
        ++at;
        if (!in_range) return fail(Code::invalid, "not in range, nothing to end");
        --depth;
        return out;
      } else if (peek() == '.' || peek() == '[' || peek() == '@' || peek() == '$') {
        const std::size_t before = at;
        auto steps = path();
        if (!steps) return std::unexpected(steps.error());
        if (at == before) return fail(Code::invalid, "unrecognized character in action");
        out.push_back({Node::Type::path, {}, *std::move(steps), {}});
      } else if (std::string name = bare_name(); !name.empty()) {
        return fail(Code::invalid, "unrecognized identifier " + name);
      } else {
        return fail(Code::invalid, "unrecognized character in action: " + std::string(1, peek()));
      }
      skip_spaces();
    }
    ++at;
  next:;
  }
  if (in_range) return fail(Code::invalid, "unexpected end of range");
  --depth;
  return out;
}

void deep(Value value, std::vector<Value>& out) {
  if (value.is_object() || value.is_array()) out.push_back(value);
  for (Member member : value.members()) deep(member.value, out);
  for (Value item : value.items()) deep(item, out);
}

std::vector<Value> walk(const std::vector<Step>& steps, std::vector<Value> now);

bool holds(const Node::Filter& filter, Value item) {
  const auto values = [&](const Node::Operand& side) {
    return side.is_path ? walk(side.path, {item}) : std::vector<Value>{side.literal.root()};
  };
  const auto left = values(filter.left);
  if (filter.op.empty()) return !left.empty();
  const auto right = values(filter.right);
  if (left.empty() || right.empty()) return false;
  const Value a = left[0], b = right[0];
  int order = 0;
  const bool numbers = (a.is_int() || a.kind() == Kind::number) && (b.is_int() || b.kind() == Kind::number);
  if (numbers) {
    order = a.as_double() < b.as_double() ? -1 : a.as_double() > b.as_double();
  } else {
    order = plain_text(a).compare(plain_text(b));
  }
  if (filter.op == "==") return order == 0;
  if (filter.op == "!=") return order != 0;
  if (filter.op == "<") return order < 0;
  if (filter.op == "<=") return order <= 0;
  if (filter.op == ">") return order > 0;
  return order >= 0;
}

void take_slice(const Step& step, Value list, std::vector<Value>& out) {
  const auto size = static_cast<std::int64_t>(list.size());
  if (*step.stride == 0) {
    const std::int64_t index = *step.from < 0 ? *step.from + size : *step.from;
    if (index >= 0 && index < size) out.push_back(list[static_cast<std::size_t>(index)]);
    return;
  }
  const auto bound = [&](std::optional<std::int64_t> given, std::int64_t fallback) {
    if (!given) return fallback;
    return std::clamp<std::int64_t>(*given < 0 ? *given + size : *given, 0, size);
  };
  for (std::int64_t i = bound(step.from, 0); i < bound(step.to, size); i += *step.stride) out.push_back(list[static_cast<std::size_t>(i)]);
}

std::vector<Value> walk(const std::vector<Step>& steps, std::vector<Value> now) {
  for (const Step& step : steps) {
    std::vector<Value> next;
    for (Value value : now) {
      switch (step.type) {
        case Step::Type::fields:
          for (const auto& names : step.names) {
            Value found = value;
            for (const std::string& name : names) {
              if (found.is_array()) {
                const auto index = parse_int(name);
                found = index && *index >= 0 ? found[static_cast<std::size_t>(*index)] : Value();
              } else {
                found = found[std::string_view(name)];
              }
            }
            if (found.exists()) next.push_back(found);
          }
          break;
        case Step::Type::deep: deep(value, next); break;
        case Step::Type::every:
          for (Member member : value.members()) next.push_back(member.value);
          for (Value item : value.items()) next.push_back(item);
          break;
        case Step::Type::slice:
          if (value.is_array()) take_slice(step, value, next);
          break;
        case Step::Type::filter:
          for (Value item : value.items())
            if (holds(*step.condition, item)) next.push_back(item);
          break;
      }
    }
    now = std::move(next);
  }
  return now;
}

void print_nodes(const std::vector<Node>& nodes, Value root, std::string& out) {
  for (const Node& node : nodes) {
    if (node.type == Node::Type::text) {
      out += node.text;
      continue;
    }
    const auto found = walk(node.steps, {root});
    if (node.type == Node::Type::range) {
      for (Value value : found) print_nodes(node.body, value, out);
      continue;
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (i > 0) out += ' ';
      out += plain_text(found[i]);
    }
  }
}

}  // namespace

std::string plain_text(Value value) {
  if (value.is_string()) return value.str();
  if (value.is_null()) return value.exists() ? "null" : "";
  return value.is_object() || value.is_array() ? to_json(sorted(value).root()) : to_json(value);
}

Result<JsonPath> JsonPath::parse(std::string_view text) {
  Parser parser{text};
  auto nodes = parser.nodes(false);
  if (!nodes) return std::unexpected(nodes.error());
  JsonPath out;
  out.nodes_ = std::make_shared<const std::vector<Node>>(*std::move(nodes));
  return out;
}

Result<JsonPath> JsonPath::parse_relaxed(std::string_view text) {
  text = trim(text);
  if (text.starts_with('{') && text.ends_with('}')) return parse(text);
  if (text.find_first_of("{}") != std::string_view::npos)
    return fail(Code::invalid, "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'");
  return parse("{" + std::string(text.starts_with('.') || text.starts_with('[') || text.starts_with('$') ? "" : ".") + std::string(text) +
               "}");
}

std::string JsonPath::print(Value root) const {
  std::string out;
  print_nodes(*nodes_, root, out);
  return out;
}

std::vector<Value> JsonPath::find(Value root) const {
  std::vector<Value> out;
  for (const Node& node : *nodes_)
    if (node.type == Node::Type::path)
      for (Value value : walk(node.steps, {root})) out.push_back(value);
  return out;
}

}  // namespace kybern::cli
