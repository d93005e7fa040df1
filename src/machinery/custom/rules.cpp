#include "machinery/custom/rules.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/cel/cel.h"
#include "machinery/custom/json_schema.h"
#include "machinery/custom/object_type.h"

namespace kybern::custom {

namespace {

using FieldType = FieldError::Type;

constexpr std::uint64_t request_max_bytes = 3 << 20;  // of a write, by which unbounded sizes are judged
constexpr std::uint64_t rule_cost_max = 10'000'000, schema_cost_max = 100'000'000;
constexpr std::size_t message_max_bytes = 5 * 1024;

// Types of schemas, and how few bytes a value of each takes as JSON: that bounds how many fit into a request.
class Typist {
 public:
  explicit Typist(cel::TypePool& pool) : pool_(pool) {}
  struct Made {
    const cel::Type* type = nullptr;  // nullptr: expressions cannot see it
    std::uint64_t least_bytes = 1;
  };

  Made run(Value s, bool resource, const std::string& name) {
    if (is_int_or_string(s)) return sized(cel::TypeKind::dyn, request_max_bytes - 2, s, 1);
    std::string_view type = s["type"].as_string(), format = s["format"].as_string();
    if (type == "boolean") return sized(cel::TypeKind::boolean, 1, s, 4);
    if (type == "integer") return sized(cel::TypeKind::integer, 1, s, 1);
    if (type == "number") return sized(cel::TypeKind::number, 1, s, 1);
    if (type == "string") return text(s, format);
    if (type == "array") return list(s, name);
    if (type == "object" || resource) return object(s, resource, name);
    return {};
  }

 private:
  Made sized(cel::TypeKind kind, std::uint64_t max_size, Value s, std::uint64_t least) {
    cel::Type* made = pool_.make(kind);
    made->max_size = max_size;
    made->nullable = is_nullable(s);
    return {made, least};
  }
  Made text(Value s, std::string_view format) {
    Value most = s["maxLength"];
    if (format == "byte")
      return sized(cel::TypeKind::bytes, most.is_int() ? static_cast<std::uint64_t>(most.as_int()) : request_max_bytes - 2, s, 2);
    if (format == "duration") return sized(cel::TypeKind::duration, 1, s, 4);
    if (format == "date") return sized(cel::TypeKind::timestamp, 1, s, 12);
    if (format == "date-time") return sized(cel::TypeKind::timestamp, 1, s, 22);
    if (Value allowed = s["enum"]; allowed.size()) {
      std::size_t longest = 0;
      for (Value one : allowed.items()) longest = std::max(longest, one.as_string().size());
      return sized(cel::TypeKind::string, longest, s, 2);
    }
    return sized(cel::TypeKind::string, most.is_int() ? static_cast<std::uint64_t>(most.as_int()) * 4 : request_max_bytes - 2, s, 2);
  }
  Made list(Value s, const std::string& name) {
    Made item = run(items_of(s), is_embedded(items_of(s)), name + ".@idx");
    if (!item.type) return {};
    cel::Type* made = pool_.make(cel::TypeKind::list);
    made->params = {item.type};
    made->nullable = is_nullable(s);
    made->max_size =
        s["maxItems"].is_int() ? static_cast<std::uint64_t>(s["maxItems"].as_int()) : (request_max_bytes - 2) / (item.least_bytes + 1);
    std::string_view semantics = list_type(s);
    made->semantics = semantics == "set"   ? cel::ListSemantics::set
                      : semantics == "map" ? cel::ListSemantics::map
                                           : cel::ListSemantics::atomic;
    for (Value key : s["x-kubernetes-list-map-keys"].items()) made->keys.push_back(key.str());
    return {made, 2};
  }
  Made object(Value s, bool resource, const std::string& name) {
    if (Value additional = s["additionalProperties"]; additional.is_object()) {
      Made value = run(additional, is_embedded(additional), name + ".@elem");
      if (!value.type) return {};
      cel::Type* made = pool_.make(cel::TypeKind::map);
      made->params = {&cel::types::string, value.type};
      made->nullable = is_nullable(s);
      made->max_size = s["maxProperties"].is_int() ? static_cast<std::uint64_t>(s["maxProperties"].as_int())
                                                   : (request_max_bytes - 2) / (value.least_bytes + 6);
      return {made, 2};
    }
    cel::Type* made = pool_.make(cel::TypeKind::object);
    made->name = name;
    made->nullable = is_nullable(s);
    std::uint64_t least = 2;
    auto add = [&](std::string_view property, const cel::Type* type) {
      std::string escaped;
      if (cel::escape_property(property, escaped)) made->fields.push_back({escaped, std::string(property), type});
    };
    for (Member m : s["properties"].members()) {
      if (resource && (m.key == "apiVersion" || m.key == "kind" || m.key == "metadata")) continue;
      Made field = run(m.value, is_embedded(m.value), fmt::format("{}.{}", name, m.key));
      if (!field.type) continue;
      add(m.key, field.type);
      for (Value needed : s["required"].items())
        if (needed.as_string() == m.key && !m.value["default"].exists()) least += m.key.size() + field.least_bytes + 4;
    }
    if (resource) {
      cel::Type* metadata = pool_.make(cel::TypeKind::object);
      metadata->name = name + ".metadata";
      const cel::Type* bounded = sized(cel::TypeKind::string, 253, {}, 2).type;
      metadata->fields = {{"generateName", "generateName", bounded}, {"name", "name", bounded}};
      add("apiVersion", bounded);
      add("kind", bounded);
      add("metadata", metadata);
    }
    std::ranges::sort(made->fields, {}, &cel::TypeField::name);
    return {made, least};
  }

  cel::TypePool& pool_;
};

bool has_rules(Value s) {
  if (s["x-kubernetes-validations"].size()) return true;
  for (Member m : s["properties"].members())
    if (has_rules(m.value)) return true;
  for (Value part : s["allOf"].items())
    if (has_rules(part)) return true;
  Value additional = s["additionalProperties"], items = items_of(s);
  return (additional.is_object() && has_rules(additional)) || (items.exists() && has_rules(items));
}

std::string rule_text(Value rule) {
  std::string_view message = trim(rule["message"].as_string());
  return std::string(message.empty() ? trim(rule["rule"].as_string()) : message);
}

std::string shown_factor(std::uint64_t cost, std::uint64_t limit) {
  double factor = static_cast<double>(cost) / static_cast<double>(limit);
  // Nobody is told that he is over by a factor of 1.0.
  return factor > 100 ? "more than 100x" : factor < 1.5 ? fmt::format("{:.6f}x", factor) : fmt::format("{:.1f}x", factor);
}

const cel::Type* optional_of(cel::TypePool& pool, const cel::Type* type) { return pool.wrap(cel::TypeKind::optional, type); }

cel::Environment environment_of(cel::TypePool& pool, const cel::Type* self, bool optional_old) {
  cel::Environment environment;
  environment.declare("self", self);
  environment.declare("oldSelf", optional_old ? optional_of(pool, self) : self);
  return environment;
}

// .a.b and ['c'] as a path below the schema; nothing when there is no such field.
std::optional<std::string> field_path(std::string_view text, Value schema) {
  std::string out;
  while (!text.empty()) {
    std::string name;
    if (text.starts_with("['")) {
      std::size_t end = text.find("']");
      if (end == text.npos) return {};
      name = text.substr(2, end - 2);
      text.remove_prefix(end + 2);
    } else if (text.starts_with('.')) {
      text.remove_prefix(1);
      std::size_t end = std::min(text.find_first_of(".["), text.size());
      name = text.substr(0, end);
      text.remove_prefix(end);
    } else {
      return {};
    }
    Value below = schema["properties"][name];
    if (!below.exists() && schema["additionalProperties"].is_object()) {
      below = schema["additionalProperties"];
      out += fmt::format("[{}]", name);
    } else {
      out += (out.empty() ? "" : ".") + name;
    }
    if (!below.exists() || name.empty()) return {};
    schema = below;
  }
  return out;
}

// Walks a schema with its types and hands every node that has rules to `visit`.
class RuleChecker {
 public:
  explicit RuleChecker(std::string path) : path_(std::move(path)) {}
  FieldErrors errors;

  void run(Value schema) {
    Typist typist(pool_);
    node(schema, typist.run(schema, true, "selfType").type, path_, 1, true, "");
    if (total_ > schema_cost_max) {
      for (const auto& [all, at] : most_expensive_)
        errors.push_back(
            {FieldType::forbidden, at, "", "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"});
      errors.push_back({FieldType::forbidden, path_, "",
                        fmt::format("x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by "
                                    "factor of {} (try simplifying the rule, or adding maxItems, "
                                    "maxProperties, and maxLength where arrays, maps, and strings are declared)",
                                    shown_factor(total_, schema_cost_max))});
    }
  }

 private:
  // `times`: how often the node may be in one object. `correlated`: there is one old value for it.
  void node(Value s, const cel::Type* type, const std::string& at, std::uint64_t times, bool correlated,
            const std::string& uncorrelated_at) {
    Value rules = s["x-kubernetes-validations"];
    for (std::size_t i = 0; i < rules.size(); ++i)
      rule(s, rules[i], type, fmt::format("{}.x-kubernetes-validations[{}]", at, i), times, correlated, uncorrelated_at);
    if (!type) return;
    auto scaled = [&](std::uint64_t by) { return by && times > ~0ull / by ? ~0ull : times * by; };
    bool atomic_map = s["x-kubernetes-map-type"].as_string() == "atomic";
    // The outermost place where the old value is lost is told.
    auto lost = [&](bool kept) -> const std::string& { return kept || !correlated ? uncorrelated_at : at; };
    for (Member m : s["properties"].members()) {
      std::string escaped;
      if (!has_rules(m.value) || type->kind != cel::TypeKind::object || !cel::escape_property(m.key, escaped)) continue;
      std::string below = fmt::format("{}.properties[{}]", at, m.key);
      if (const cel::TypeField* field = type->find(escaped))
        node(m.value, field->type, below, times, correlated && !atomic_map, lost(!atomic_map));
    }
    if (Value items = items_of(s); items.exists() && has_rules(items) && type->kind == cel::TypeKind::list)
      node(items, type->item(), at + ".items", scaled(type->max_size), correlated && list_type(s) == "map", lost(list_type(s) == "map"));
    if (Value additional = s["additionalProperties"]; additional.is_object() && has_rules(additional) && type->kind == cel::TypeKind::map)
      node(additional, type->item(), at + ".additionalProperties", scaled(type->max_size), correlated && !atomic_map, lost(!atomic_map));
    for (std::size_t i = 0; i < s["allOf"].size(); ++i)
      for (std::size_t k = 0; k < s["allOf"][i]["x-kubernetes-validations"].size(); ++k)
        rule(s, s["allOf"][i]["x-kubernetes-validations"][k], type, fmt::format("{}.allOf[{}].x-kubernetes-validations[{}]", at, i, k),
             times, correlated, uncorrelated_at);
  }

  void rule(Value s, Value rule, const cel::Type* type, const std::string& at, std::uint64_t times, bool correlated,
            const std::string& uncorrelated_at) {
    auto add = [&](FieldType kind, std::string_view field, std::string_view value, std::string detail) {
      errors.push_back({kind, fmt::format("{}.{}", at, field),
                        kind == FieldType::forbidden || kind == FieldType::required ? "" : go_quote(value), std::move(detail)});
    };
    std::string_view text = trim(rule["rule"].as_string()), message = rule["message"].as_string(),
                     expression = rule["messageExpression"].as_string();
    if (text.empty()) return add(FieldType::required, "rule", "", "rule is not specified");
    if (!message.empty() && trim(message).empty()) add(FieldType::invalid, "message", message, "message must be non-empty if specified");
    else if (trim(message).find_first_of("\r\n") != message.npos)
      add(FieldType::invalid, "message", message, "message must not contain line breaks");
    else if (text.find_first_of("\r\n") != text.npos && trim(message).empty())
      add(FieldType::required, "message", "", "message must be specified if rule contains line breaks");
    if (!expression.empty() && trim(expression).empty())
      add(FieldType::required, "messageExpression", "", "messageExpression must be non-empty if specified");
    std::string_view reason = rule["reason"].as_string();
    if (!reason.empty() && reason != "FieldValueInvalid" && reason != "FieldValueForbidden" && reason != "FieldValueRequired" &&
        reason != "FieldValueDuplicate")
      add(FieldType::not_supported, "reason", reason,
          "supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"");
    const std::string_view path = rule["fieldPath"].as_string();
    if (!path.empty() && trim(path).empty()) add(FieldType::invalid, "fieldPath", path, "fieldPath must be non-empty if specified");
    if (path.find_first_of("\r\n") != path.npos) add(FieldType::invalid, "fieldPath", path, "fieldPath must not contain line breaks");
    if (!path.empty() && !field_path(path, s))
      add(FieldType::invalid, "fieldPath", path, "fieldPath must be a valid path: does not refer to a valid field");
    if (!type) return;
    auto environment = environment_of(pool_, type, rule["optionalOldSelf"].as_bool());
    auto compiled = cel::Program::compile(environment, text);
    bool good = false;
    if (!compiled) {
      add(FieldType::invalid, "rule", rule["rule"].as_string(), "compilation failed: " + compiled.error());
    } else if (compiled->type()->kind != cel::TypeKind::boolean) {
      add(FieldType::invalid, "rule", rule["rule"].as_string(), "compilation failed: cel expression must evaluate to a bool");
    } else {
      cost("rule", compiled->estimate().high, times, at);
      good = true;
    }
    if (!trim(expression).empty()) {
      auto worded = cel::Program::compile(environment, expression);
      if (!worded) add(FieldType::invalid, "messageExpression", expression, "messageExpression compilation failed: " + worded.error());
      else if (worded->type()->kind != cel::TypeKind::string)
        add(FieldType::invalid, "messageExpression", expression, "messageExpression must evaluate to a string");
      else cost("messageExpression", worded->estimate().high, 1, at);  // however often the rule is run
    }
    if (!good) return;
    if (compiled->uses("oldSelf") && !correlated)
      add(FieldType::invalid, "rule", rule["rule"].as_string(),
          fmt::format("oldSelf cannot be used on the uncorrelatable portion of the schema within {}", uncorrelated_at));
    else if (!compiled->uses("oldSelf") && rule["optionalOldSelf"].is_bool())
      errors.push_back({FieldType::invalid, at + ".optionalOldSelf", rule["optionalOldSelf"].as_bool() ? "true" : "false",
                        "may not be set if oldSelf is not used in rule"});
  }

  void cost(std::string_view what, std::uint64_t one, std::uint64_t times, const std::string& at) {
    std::uint64_t all = one && times > ~0ull / one ? ~0ull : one * times;
    total_ = total_ + all < total_ ? ~0ull : total_ + all;
    if (all >= told_cost_min) {
      auto place = std::ranges::find_if(most_expensive_, [&](const auto& other) { return other.first < all; });
      most_expensive_.insert(place, {all, fmt::format("{}.{}", at, what)});
      if (most_expensive_.size() > told_max) most_expensive_.pop_back();
    }
    if (all <= rule_cost_max) return;
    errors.push_back({FieldType::forbidden, fmt::format("{}.{}", at, what), "",
                      fmt::format("estimated {} cost exceeds budget by factor of {} (try simplifying the rule, or adding maxItems, "
                                  "maxProperties, and maxLength where arrays, maps, and strings are declared)",
                                  what, shown_factor(all, rule_cost_max))});
  }

  std::string path_;
  cel::TypePool pool_;
  std::uint64_t total_ = 0;
  // Who made the total what it is: the four that cost most, of those that cost a hundredth of what a schema may.
  static constexpr std::uint64_t told_cost_min = schema_cost_max / 100;
  static constexpr std::size_t told_max = 4;
  std::vector<std::pair<std::uint64_t, std::string>> most_expensive_;
};

struct Compiled {
  Value rule;
  std::optional<cel::Program> program, message;
  std::string error, path;
  bool uses_old = false, optional_old = false;
};

}  // namespace

const cel::Type* object_type(cel::TypePool& pool, Value schema, const std::string& name, const cel::Type* metadata) {
  if (preserves_unknown(schema) || schema["properties"].empty()) return &cel::types::dyn;
  const cel::Type* made = Typist(pool).run(schema, true, name).type;
  if (!made) return &cel::types::dyn;
  cel::Type* whole = pool.make(cel::TypeKind::object);
  *whole = *made;
  for (cel::TypeField& field : whole->fields)
    if (field.property == "metadata") field.type = metadata;
  return whole;
}

FieldErrors check_rules(Value schema, const std::string& path) {
  if (!has_rules(schema)) return {};
  RuleChecker checker(path);
  checker.run(schema);
  return std::move(checker.errors);
}

struct Rules::Node {
  Value schema;
  const cel::Type* type = nullptr;
  std::vector<Compiled> rules;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> properties;
  std::unique_ptr<Node> items, additional;
};

struct Rules::Parts {
  cel::TypePool pool;
  std::unique_ptr<Node> root;

  void compile_rules(Node& node, Value rules) {
    for (Value rule : rules.items()) {
      Compiled out;
      out.rule = rule;
      out.optional_old = rule["optionalOldSelf"].as_bool();
      auto environment = environment_of(pool, node.type, out.optional_old);
      auto program = cel::Program::compile(environment, trim(rule["rule"].as_string()));
      if (program) {
        out.uses_old = program->uses("oldSelf");
        out.program.emplace(std::move(*program));
      } else {
        out.error = program.error();
      }
      if (std::string_view text = rule["messageExpression"].as_string(); !text.empty())
        if (auto message = cel::Program::compile(environment, text)) out.message.emplace(std::move(*message));
      out.path = field_path(rule["fieldPath"].as_string(), node.schema).value_or("");
      node.rules.push_back(std::move(out));
    }
  }

  std::unique_ptr<Node> make(Value schema, const cel::Type* type) {
    if (!type || !has_rules(schema)) return nullptr;
    auto node = std::make_unique<Node>();
    node->schema = schema;
    node->type = type;
    compile_rules(*node, schema["x-kubernetes-validations"]);
    for (Value part : schema["allOf"].items()) compile_rules(*node, part["x-kubernetes-validations"]);
    for (Member m : schema["properties"].members()) {
      std::string escaped;
      if (type->kind != cel::TypeKind::object || !cel::escape_property(m.key, escaped)) continue;
      if (const cel::TypeField* field = type->find(escaped))
        if (auto below = make(m.value, field->type)) node->properties.emplace(m.key, std::move(below));
    }
    if (Value items = items_of(schema); items.exists() && type->kind == cel::TypeKind::list) node->items = make(items, type->item());
    if (Value additional = schema["additionalProperties"]; additional.is_object() && type->kind == cel::TypeKind::map)
      node->additional = make(additional, type->item());
    return node;
  }
};

namespace {

// One object under its rules, with the budget of the request.
template <class Node>
class Runner {
 public:
  explicit Runner(std::vector<std::string>* warnings) : warnings_(warnings) {}
  FieldErrors errors;

  void node(const Node& n, Value value, Value old, const std::string& at, bool same_above) {
    if (value.is_null() || stopped_) return;
    bool same = same_above || (old.exists() && old == value);
    for (const Compiled& rule : n.rules) {
      if (stopped_) return;
      one(n, rule, value, old, at, same);
    }
    if (value.is_array()) {
      if (!n.items) return;
      bool keyed = list_type(n.schema) == "map";
      for (std::size_t i = 0; i < value.size(); ++i)
        node(*n.items, value[i], keyed && old.is_array() ? correlated_item(old, n.schema, value[i]) : Value(), fmt::format("{}[{}]", at, i),
             same);
      return;
    }
    bool correlated = n.schema["x-kubernetes-map-type"].as_string() != "atomic";
    for (Member m : value.members()) {
      Value before = correlated ? old[m.key] : Value();
      if (auto below = n.properties.find(m.key); below != n.properties.end())
        node(*below->second, m.value, before, at.empty() ? std::string(m.key) : at + "." + std::string(m.key), same);
      else if (n.additional) node(*n.additional, m.value, before, fmt::format("{}[{}]", at, m.key), same);
    }
  }

 private:
  // A simple value is told, a list or an object is not.
  static std::string shown(Value value) {
    if (value.is_string()) return go_quote(value.as_string());
    return value.is_bool() || value.is_int() || value.kind() == Kind::number ? to_json(value) : std::string();
  }

  void stop(const std::string& at, std::string_view type, std::string detail) {
    errors.push_back({FieldType::invalid, at, go_quote(type), std::move(detail)});
    stopped_ = true;
  }

  void one(const Node& n, const Compiled& rule, Value value, Value old, const std::string& at, bool same) {
    std::string_view type = n.schema["type"].as_string();
    std::string text = rule_text(rule.rule);
    auto invalid = [&](std::string detail) { errors.push_back({FieldType::invalid, at, go_quote(type), std::move(detail)}); };
    if (!rule.program) return invalid("rule compile error: " + rule.error);
    bool has_old = old.exists() && !old.is_null();
    if (rule.uses_old && !has_old && !rule.optional_old) return;
    if (left_ <= 0) return stop(at, type, "validation failed due to running out of cost budget, no further validation rules will be run");
    cel::Val before = cel::Program::value(old, n.type);
    cel::Val values[] = {cel::Program::value(value, n.type),
                         rule.optional_old ? cel::Val::of_optional(has_old ? &before : nullptr) : before};
    cel::Outcome outcome = rule.program->evaluate(values);
    if (outcome.kind != cel::Outcome::Kind::cost_exceeded && static_cast<std::int64_t>(outcome.cost) > left_)
      return stop(at, type, "validation failed due to running out of cost budget, no further validation rules will be run");
    left_ -= static_cast<std::int64_t>(std::min<std::uint64_t>(outcome.cost, cel::per_request_limit));
    if (outcome.kind == cel::Outcome::Kind::cost_exceeded)
      return stop(
          at, type,
          fmt::format("'{}': no further validation rules will be run due to call cost exceeds limit for rule: {}", outcome.message, text));
    if (outcome.kind == cel::Outcome::Kind::error) {
      if (outcome.message.starts_with("no such overload"))
        return invalid(fmt::format("'{}': call arguments did not match a supported operator, function or macro signature for rule: {}",
                                   outcome.message, text));
      return invalid(fmt::format("{} evaluating rule: {}", outcome.message, text));
    }
    if (outcome.truth) return;
    FieldError error{FieldType::invalid,
                     rule.path.empty()            ? at
                     : at.empty()                 ? rule.path
                     : rule.path.starts_with('[') ? at + rule.path
                                                  : at + "." + rule.path,
                     shown(value), message(rule, values, text)};
    std::string_view reason = rule.rule["reason"].as_string();
    if (reason == "FieldValueForbidden") error.type = FieldType::forbidden, error.value.clear();
    else if (reason == "FieldValueRequired") error.type = FieldType::required, error.value.clear();
    else if (reason == "FieldValueDuplicate") error.type = FieldType::duplicate, error.detail.clear();
    if (!rule.uses_old && same) {
      if (warnings_) warnings_->push_back(error.field + ": " + error.message());
      return;
    }
    errors.push_back(std::move(error));
  }

  std::string message(const Compiled& rule, std::span<const cel::Val> values, const std::string& text) {
    std::string_view plain = trim(rule.rule["message"].as_string());
    std::string fallback = plain.empty() ? "failed rule: " + text : std::string(plain);
    if (!rule.message) return fallback;
    cel::Outcome outcome = rule.message->evaluate(values);
    left_ -= static_cast<std::int64_t>(std::min<std::uint64_t>(outcome.cost, cel::per_request_limit));
    std::string_view said = trim(outcome.text);
    bool good =
        outcome.kind == cel::Outcome::Kind::value && !said.empty() && said.size() <= message_max_bytes && said.find('\n') == said.npos;
    return good ? std::string(said) : fallback;
  }

  std::vector<std::string>* warnings_;
  std::int64_t left_ = cel::per_request_limit;
  bool stopped_ = false;
};

}  // namespace

Rules::Rules(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Rules::~Rules() = default;

std::unique_ptr<const Rules> Rules::compile(Value schema) {
  if (!has_rules(schema)) return nullptr;
  auto parts = std::make_unique<Parts>();
  parts->root = parts->make(schema, Typist(parts->pool).run(schema, true, "selfType").type);
  if (!parts->root) return nullptr;
  return std::unique_ptr<const Rules>(new Rules(std::move(parts)));
}

FieldErrors Rules::run(Value object, Value old, std::vector<std::string>* warnings) const {
  Runner<Node> runner(warnings);
  runner.node(*parts_->root, object, old, "", false);
  return std::move(runner.errors);
}

std::size_t Rules::memory() const {
  auto count = [](auto&& self, const Node& n) -> std::size_t {
    std::size_t bytes = sizeof n;
    for (const Compiled& rule : n.rules)
      bytes += sizeof rule + (rule.program ? rule.program->memory() : 0) + (rule.message ? rule.message->memory() : 0);
    for (const auto& [key, below] : n.properties) bytes += 64 + self(self, *below);
    return bytes + (n.items ? self(self, *n.items) : 0) + (n.additional ? self(self, *n.additional) : 0);
  };
  return parts_->pool.memory() + count(count, *parts_->root);
}

}  // namespace kybern::custom
