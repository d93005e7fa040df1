// Does a configuration fit the schema? The wording is upstream's.
#include <fmt/format.h>

#include <set>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/apply/compare.h"
#include "machinery/patch/patch.h"

namespace kybern::apply {
namespace {

std::string_view go_kind(Value value) {
  switch (value.kind()) {
    case Kind::boolean: return "bool";
    case Kind::integer: return "int64";
    case Kind::number: return "float64";
    case Kind::string: return "string";
    case Kind::array: return "[]interface {}";
    case Kind::object: return "map[string]interface {}";
    default: return "<nil>";
  }
}

std::string printed(Value value) { return fmt::format("&{{{}}}", go_text(Draft(value))); }

// As Go shows the value with its syntax.
std::string go_syntax(Value value) {
  if (value.is_string()) return go_quote(value.as_string());
  if (value.is_array()) return "[]interface {}{...}";
  if (value.is_object()) return "map[string]interface {}{...}";
  return go_text(Draft(value));
}

class Checker {
 public:
  std::vector<std::pair<std::string, std::string>> errors;  // path, message

  // Where the walk is, spelled out only when something is wrong: a long key may have many members.
  struct At {
    const At* parent = nullptr;
    std::string_view key{};      // of a member
    std::string_view element{};  // of a list's item
    std::size_t index = 0;       // of an item that has no element

    std::string text() const {
      if (!parent) return {};
      if (key.data()) return parent->text() + "." + std::string(key);
      return parent->text() + (element.empty() ? fmt::format("[{}]", index) : element_text(element));
    }
  };

  void check(const Place& place, Value value, const At& path) {
    Rule rule = place.rule(value);
    bool list = rule == Rule::set || rule == Rule::keyed || (rule == Rule::atomic && is_list(place, value));
    if (rule == Rule::scalar) return scalar(place, value, path);
    if (value.is_null()) return;
    if (list) return items(place, rule, value, path);
    if (!value.is_object()) return add(path, fmt::format("expected map, got {}", printed(value)));
    for (Member m : value.members()) {
      At inner{.parent = &path, .key = m.key};
      if (!place.declared(m.key)) {
        add(inner, "field not declared in schema");
        return;  // upstream does not look at what follows
      }
      check(place.member(m.key), m.value, inner);
    }
  }

 private:
  static bool is_list(const Place& place, Value value) { return place.atomic_list() || (place.deduced() && value.is_array()); }
  void add(const At& path, std::string message) {
    if (told_bytes_ >= told_max_bytes) return;
    errors.emplace_back(path.text(), std::move(message));
    told_bytes_ += errors.back().first.size() + errors.back().second.size();
  }

  void scalar(const Place& place, Value value, const At& path) {
    if (value.is_null()) return;
    bool number = value.is_int() || value.kind() == Kind::number;
    switch (place.scalar()) {
      case ScalarType::number:
        if (!number) add(path, fmt::format("expected numeric (int or float), got {}", go_kind(value)));
        return;
      case ScalarType::string:
        if (!value.is_string()) add(path, fmt::format("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value)));
        return;
      case ScalarType::boolean:
        if (!value.is_bool()) add(path, fmt::format("expected boolean, got {}", printed(value)));
        return;
      case ScalarType::any:
        if (value.is_array() || value.is_object()) add(path, fmt::format("expected any scalar, got {}", printed(value)));
        return;
    }
  }

  void items(const Place& place, Rule rule, Value value, const At& path) {
    if (!value.is_array()) return add(path, fmt::format("expected list, got {}", printed(value)));
    std::set<std::string_view> seen;
    Place inside = place.item();
    for (std::size_t i = 0; i < value.size(); ++i) {
      At inner{.parent = &path, .index = i};
      if (rule != Rule::atomic) {
        auto element = place.element(value[i], texts_);
        if (!element) return add(path, fmt::format("element {}: {}", i, element.error().message));
        if (!seen.insert(element->text).second) add(path, fmt::format("duplicate entries for key {}", element_text(element->text)));
        inner.element = element->text;
      }
      check(inside, value[i], inner);
    }
  }

  static constexpr std::size_t told_max_bytes = 1 << 20;  // of what is wrong: the rest is not told
  FieldTexts texts_;
  std::size_t told_bytes_ = 0;
};

}  // namespace

Result<void> check(const Place& root, Value config) {
  Checker checker;
  checker.check(root, config, {});
  if (checker.errors.empty()) return {};
  auto text = [](const std::pair<std::string, std::string>& e) { return e.first.empty() ? e.second : e.first + ": " + e.second; };
  if (checker.errors.size() == 1) return fail(Code::invalid, text(checker.errors[0]));
  std::string all = "errors:";
  for (const auto& e : checker.errors) all += "\n  " + text(e);
  return fail(Code::invalid, all);
}

}  // namespace kybern::apply
