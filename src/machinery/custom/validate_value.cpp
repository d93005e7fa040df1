#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/cel/regex.h"
#include "machinery/custom/json_schema.h"
#include "machinery/custom/patterns.h"
#include "machinery/metadata.h"

namespace kybern::custom {

namespace {

using Type = FieldError::Type;

std::string_view kind_name(Value v) {
  switch (v.kind()) {
    case Kind::null: return "null";
    case Kind::boolean: return "boolean";
    case Kind::integer: return "integer";
    case Kind::number: return v.as_double() == std::trunc(v.as_double()) && std::fabs(v.as_double()) < 9e15 ? "integer" : "number";
    case Kind::string: return "string";
    case Kind::array: return "array";
    case Kind::object: return "object";
  }
  return "null";
}

bool is_number(Value v) { return v.is_int() || v.kind() == Kind::number; }

// 3 of 3.0, as Go prints a float64.
std::string number_shown(Value v) {
  double d = v.as_double();
  if (v.is_int()) return std::to_string(v.as_int());
  return d == std::trunc(d) && std::fabs(d) < 1e15 ? fmt::format("{}", static_cast<std::int64_t>(d)) : fmt::format("{}", d);
}

class Validator {
 public:
  FieldErrors errors;

  void run(Value v, Value schema, const std::string& name, Value old, bool ratchet) {
    if (ratchet && old.exists() && old == v) return;
    bool typed = type(v, schema, name);
    if (!v.is_null()) {
      combine(v, schema, name);
      if (v.is_string()) text(v.as_string(), schema, name);
      if (is_number(v)) number(v, schema, name);
      if (v.is_array()) list(v, schema, name, old, ratchet);
    }
    if (typed) enumeration(v, schema, name);
    if (v.is_object()) object(v, schema, name, old, ratchet);
  }

 private:
  void add(Type type, const std::string& name, std::string value, std::string detail) {
    errors.push_back({type, name, std::move(value), std::move(detail)});
  }
  void invalid(const std::string& name, std::string value, std::string_view what) {
    add(Type::invalid, name, std::move(value), fmt::format("{} in body {}", name, what));
  }

  bool type(Value v, Value schema, const std::string& name) {
    std::string_view wanted = schema["type"].as_string(), given = kind_name(v);
    if (v.is_null() && is_nullable(schema)) return true;
    if (is_int_or_string(schema)) {
      if (given == "integer" || given == "string") return true;
      type_error(name, "integer,string", given);
      return false;
    }
    if (wanted.empty()) return true;
    if (wanted == given || (wanted == "number" && given == "integer")) return true;
    type_error(name, wanted, given);
    return false;
  }
  void type_error(const std::string& name, std::string_view wanted, std::string_view given) {
    add(Type::type_invalid, name, go_quote(given), fmt::format("{} in body must be of type {}: {}", name, wanted, go_quote(given)));
  }

  // Errors of the alternative that was broken least.
  static FieldErrors tried(Value v, Value schema, const std::string& name) {
    Validator inner;
    inner.run(v, schema, name, {}, false);
    return std::move(inner.errors);
  }
  void combine(Value v, Value schema, const std::string& name) {
    std::string quoted = go_quote(name);
    if (Value any = schema["anyOf"]; any.size()) {
      FieldErrors best;
      bool good = false;
      for (std::size_t i = 0; i < any.size() && !good; ++i) {
        FieldErrors found = tried(v, any[i], name);
        good = found.empty();
        if (i == 0 || found.size() < best.size()) best = std::move(found);
      }
      if (!good) {
        add(Type::invalid, name, "\"\"", quoted + " must validate at least one schema (anyOf)");
        field::append(errors, std::move(best));
      }
    }
    if (Value one = schema["oneOf"]; one.size()) {
      FieldErrors best;
      std::size_t good = 0;
      for (std::size_t i = 0; i < one.size(); ++i) {
        FieldErrors found = tried(v, one[i], name);
        good += found.empty();
        if (i == 0 || found.size() < best.size()) best = std::move(found);
      }
      if (good != 1) {
        add(Type::invalid, name, "\"\"",
            fmt::format("{} must validate one and only one schema (oneOf). {}", quoted,
                        good == 0 ? "Found none valid" : fmt::format("Found {} valid alternatives", good)));
        if (good == 0) field::append(errors, std::move(best));
      }
    }
    if (Value all = schema["allOf"]; all.size()) {
      FieldErrors found;
      for (Value part : all.items()) field::append(found, tried(v, part, name));
      if (!found.empty()) {
        add(Type::invalid, name, "\"\"", quoted + " must validate all the schemas (allOf)");
        field::append(errors, std::move(found));
      }
    }
    if (Value none = schema["not"]; none.is_object() && tried(v, none, name).empty())
      add(Type::invalid, name, "\"\"", quoted + " must not validate the schema (not)");
  }

  void text(std::string_view text, Value schema, const std::string& name) {
    std::string shown = go_quote(text);
    auto length = [&] { return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }); };
    if (Value most = schema["maxLength"]; most.is_int() && length() > most.as_int())
      invalid(name, shown, fmt::format("should be at most {} chars long", most.as_int()));
    if (Value least = schema["minLength"]; least.is_int() && length() < least.as_int())
      invalid(name, shown, fmt::format("should be at least {} chars long", least.as_int()));
    if (std::string_view pattern = schema["pattern"].as_string(); !pattern.empty())
      if (auto regex = shared_pattern(pattern); !regex->good() || !regex->matches(text))
        invalid(name, shown, fmt::format("should match '{}'", pattern));
    if (std::string_view format = schema["format"].as_string(); !format.empty() && !fits_format(format, text))
      add(Type::invalid, name, shown, fmt::format("{} in body must be of type {}: {}", name, format, shown));
  }

  void number(Value v, Value schema, const std::string& name) {
    double d = v.as_double();
    std::string shown = number_shown(v);
    if (Value factor = schema["multipleOf"]; is_number(factor) && factor.as_double() > 0) {
      double times = d / factor.as_double();
      if (times != std::trunc(times)) invalid(name, shown, "should be a multiple of " + number_shown(factor));
    }
    if (Value most = schema["maximum"]; is_number(most)) {
      bool exclusive = schema["exclusiveMaximum"].as_bool();
      if (exclusive ? d >= most.as_double() : d > most.as_double())
        invalid(name, shown, fmt::format("should be less than {}{}", exclusive ? "" : "or equal to ", number_shown(most)));
    }
    if (Value least = schema["minimum"]; is_number(least)) {
      bool exclusive = schema["exclusiveMinimum"].as_bool();
      if (exclusive ? d <= least.as_double() : d < least.as_double())
        invalid(name, shown, fmt::format("should be greater than {}{}", exclusive ? "" : "or equal to ", number_shown(least)));
    }
    std::string_view format = schema["format"].as_string();
    if (v.is_int() && format == "int32" && v.as_int() != static_cast<std::int32_t>(v.as_int()))
      invalid(name, shown, fmt::format("must be of type int32: {}", go_quote(shown)));
  }

  // What is wrong in an item is said of the list: upstream's validator leaves the index out.
  void list(Value v, Value schema, const std::string& name, Value old, bool ratchet) {
    if (Value items = items_of(schema); items.exists()) {
      bool keyed = list_type(schema) == "map";
      for (Value item : v.items()) {
        Value before = keyed && old.is_array() ? correlated_item(old, schema, item) : Value();
        run(item, items, name, before, ratchet);
      }
    }
    auto size = static_cast<std::int64_t>(v.size());
    if (Value least = schema["minItems"]; least.is_int() && size < least.as_int())
      invalid(name, std::to_string(size), fmt::format("should have at least {} items", least.as_int()));
    if (Value most = schema["maxItems"]; most.is_int() && size > most.as_int())
      invalid(name, std::to_string(size), fmt::format("should have at most {} items", most.as_int()));
  }

  void enumeration(Value v, Value schema, const std::string& name) {
    Value allowed = schema["enum"];
    if (!allowed.is_array() || allowed.empty()) return;
    std::string shown;
    for (Value one : allowed.items()) {
      if (one == v || (is_number(one) && is_number(v) && one.as_double() == v.as_double())) return;
      shown += (shown.empty() ? "" : ", ") + (one.is_string() ? go_quote(one.as_string()) : to_json(one));
    }
    add(Type::not_supported, name, v.is_string() ? go_quote(v.as_string()) : to_json(v), "supported values: " + shown);
  }

  void object(Value v, Value schema, const std::string& name, Value old, bool ratchet) {
    auto size = static_cast<std::int64_t>(v.size());
    if (Value most = schema["maxProperties"]; most.is_int() && size > most.as_int())
      invalid(name, std::to_string(most.as_int()), fmt::format("should have at most {} properties", most.as_int()));
    if (Value least = schema["minProperties"]; least.is_int() && size < least.as_int())
      invalid(name, std::to_string(least.as_int()), fmt::format("should have at least {} properties", least.as_int()));
    auto below = [&](std::string_view key) { return name.empty() ? std::string(key) : name + "." + std::string(key); };
    for (Value key : schema["required"].items())
      if (!v[key.as_string()].exists()) add(Type::required, below(key.as_string()), "", "");
    Value properties = schema["properties"], additional = schema["additionalProperties"];
    for (Member m : v.members()) {
      Value sub = properties[m.key];
      if (!sub.exists() && additional.is_object()) sub = additional;
      if (sub.exists()) run(m.value, sub, below(m.key), old[m.key], ratchet);
    }
  }
};

void check_lists(Value v, Value schema, const std::string& name, FieldErrors& out) {
  if (v.is_array()) {
    Value items = items_of(schema);
    std::string_view semantics = list_type(schema);
    if (semantics == "set" || semantics == "map") {
      Value keys = schema["x-kubernetes-list-map-keys"];
      auto key_of = [&](Value item) {
        if (semantics == "set") return item.document();
        Draft key = Draft::object();
        for (Value k : keys.items())
          if (item[k.as_string()].exists()) key[k.as_string()] = item[k.as_string()];
        return key.freeze();
      };
      std::vector<std::pair<std::string, bool>> seen;
      for (std::size_t i = 0; i < v.size(); ++i) {
        Document key = key_of(v[i]);
        std::string text = to_json(key.root());
        auto at = std::ranges::find(seen, text, &std::pair<std::string, bool>::first);
        if (at == seen.end()) seen.emplace_back(std::move(text), false);
        else out.push_back({Type::duplicate, fmt::format("{}[{}]", name, i), sorted_json(key.root()), ""});
      }
    }
    if (items.exists())
      for (std::size_t i = 0; i < v.size(); ++i) check_lists(v[i], items, fmt::format("{}[{}]", name, i), out);
    return;
  }
  Value properties = schema["properties"], additional = schema["additionalProperties"];
  for (Member m : v.members()) {
    Value sub = properties[m.key];
    if (sub.exists()) check_lists(m.value, sub, name.empty() ? std::string(m.key) : name + "." + std::string(m.key), out);
    else if (additional.is_object()) check_lists(m.value, additional, fmt::format("{}[{}]", name, m.key), out);
  }
}

void check_embedded(Value v, Value schema, const std::string& name, FieldErrors& out) {
  if (v.is_array()) {
    if (Value items = items_of(schema); items.exists())
      for (std::size_t i = 0; i < v.size(); ++i) check_embedded(v[i], items, fmt::format("{}[{}]", name, i), out);
    return;
  }
  if (is_embedded(schema) && v.is_object()) {
    for (std::string_view key : {"apiVersion", "kind"})
      if (v[key].as_string().empty()) out.push_back({Type::required, fmt::format("{}.{}", name, key), "", "must not be empty"});
    if (v["metadata"].is_object()) {
      Path at(name), metadata = at.child("metadata");
      field::append(out,
                    validate_object_meta(v["metadata"], !v["metadata"]["namespace"].as_string().empty(), name_is_path_segment, metadata));
    }
  }
  Value properties = schema["properties"], additional = schema["additionalProperties"];
  for (Member m : v.members()) {
    Value sub = properties[m.key];
    if (sub.exists()) check_embedded(m.value, sub, name.empty() ? std::string(m.key) : name + "." + std::string(m.key), out);
    else if (additional.is_object()) check_embedded(m.value, additional, fmt::format("{}[{}]", name, m.key), out);
  }
}

}  // namespace

std::string sorted_json(Value value) {
  if (!value.is_object() && !value.is_array()) return to_json(value);
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (Value item : value.items()) parts.push_back(sorted_json(item));
    return "[" + join(parts, ",") + "]";
  }
  std::vector<Member> members;
  for (Member m : value.members()) members.push_back(m);
  std::ranges::sort(members, {}, [](const Member& m) { return m.key; });
  for (const Member& m : members) parts.push_back(to_json(Draft(m.key).freeze().root()) + ":" + sorted_json(m.value));
  return "{" + join(parts, ",") + "}";
}

Value correlated_item(Value list, Value schema, Value item) {
  Value keys = schema["x-kubernetes-list-map-keys"];
  for (Value other : list.items()) {
    bool same = true;
    for (Value key : keys.items()) same = same && other[key.as_string()] == item[key.as_string()];
    if (same) return other;
  }
  return {};
}

FieldErrors validate_value(Value value, Value schema, const std::string& name, Value old) {
  Validator validator;
  validator.run(value, schema, name, old, old.exists());
  return std::move(validator.errors);
}

FieldErrors validate_lists(Value value, Value schema) {
  FieldErrors out;
  check_lists(value, schema, "", out);
  return out;
}

FieldErrors validate_embedded(Value value, Value schema) {
  FieldErrors out;
  check_embedded(value, schema, "", out);
  return out;
}

}  // namespace kybern::custom
