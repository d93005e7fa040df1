#include "machinery/custom/structural.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/cel/regex.h"
#include "machinery/custom/json_schema.h"
#include "machinery/custom/rules.h"

namespace kybern::custom {

namespace {

using Type = FieldError::Type;
constexpr int max_schema_depth = 200;
constexpr std::string_view junctors[] = {"allOf", "anyOf", "oneOf"};

enum class Level { root, field, item };

class Checker {
 public:
  FieldErrors errors;

  void run(Value s, const std::string& at, Level level, int depth, bool in_metadata) {
    if (depth > max_schema_depth) return add(Type::forbidden, at, "", "schema nests too deeply");
    unsupported(s, at);
    type(s, at, level);
    extensions(s, at);
    lists(s, at);
    keywords(s, at);
    if (s["default"].exists() && !s["default"].is_null()) fallback(s, at, in_metadata);
    for (std::string_view junctor : junctors)
      for (std::size_t i = 0; i < s[junctor].size(); ++i)
        nested(s[junctor][i], s, fmt::format("{}.{}[{}]", at, junctor, i), at, level == Level::root, depth + 1);
    if (s["not"].is_object()) nested(s["not"], s, at + ".not", at, level == Level::root, depth + 1);
    bool resource = level == Level::root || is_embedded(s);
    for (Member m : s["properties"].members()) {
      std::string below = fmt::format("{}.properties[{}]", at, m.key);
      if (resource && m.key == "metadata") metadata(m.value, below);
      run(m.value, below, Level::field, depth + 1, in_metadata || (resource && m.key == "metadata"));
    }
    if (Value additional = s["additionalProperties"]; additional.is_object())
      run(additional, at + ".additionalProperties", Level::field, depth + 1, in_metadata);
    if (Value items = items_of(s); items.exists()) run(items, at + ".items", Level::item, depth + 1, in_metadata);
  }

 private:
  void add(Type type, std::string field, std::string value, std::string detail) {
    errors.push_back({type, std::move(field), std::move(value), std::move(detail)});
  }
  void invalid(std::string field, std::string value, std::string detail) {
    add(Type::invalid, std::move(field), std::move(value), std::move(detail));
  }
  void forbidden(std::string field, std::string detail) { add(Type::forbidden, std::move(field), "", std::move(detail)); }
  void required(std::string field, std::string detail) { add(Type::required, std::move(field), "", std::move(detail)); }

  void unsupported(Value s, const std::string& at) {
    for (std::string_view key : {"$ref", "id", "patternProperties", "definitions", "dependencies", "additionalItems"})
      if (s[key].exists() && !(s[key].is_object() && s[key].empty()) && !(s[key].is_string() && s[key].as_string().empty()))
        forbidden(fmt::format("{}.{}", at, key), fmt::format("{} is not supported", key));
    if (s["uniqueItems"].as_bool())
      forbidden(at + ".uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    Value additional = s["additionalProperties"];
    if (additional.is_bool() && !additional.as_bool())
      forbidden(at + ".additionalProperties", "additionalProperties cannot be set to false");
    if (s["properties"].size() && additional.exists() && !additional.is_null() && !(additional.is_bool() && !additional.as_bool()))
      forbidden(at + ".additionalProperties", "additionalProperties and properties are mutual exclusive");
    if (s["items"].is_array()) forbidden(at + ".items", "items must be a schema object and not an array");
  }

  void type(Value s, const std::string& at, Level level) {
    std::string_view type = s["type"].as_string();
    bool free = is_int_or_string(s) || preserves_unknown(s);
    if (type == "null") {
      forbidden(at + ".type", "type cannot be set to null, use nullable as an alternative");
    } else if (!type.empty() && type != "string" && type != "number" && type != "integer" && type != "boolean" && type != "array" &&
               type != "object") {
      add(Type::not_supported, at + ".type", go_quote(type),
          "supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"");
    }
    if (level == Level::root) {
      if (type.empty()) required(at + ".type", "must not be empty at the root");
      else if (type != "object") invalid(at + ".type", go_quote(type), "must be object at the root");
    } else if (type.empty() && !free) {
      required(at + ".type",
               level == Level::item ? "must not be empty for specified array items" : "must not be empty for specified object fields");
    }
    if (type == "array" && !s["items"].exists()) required(at + ".items", "must be specified");
    if (is_int_or_string(s) && !type.empty()) forbidden(at + ".type", "must be empty if x-kubernetes-int-or-string is true");
  }

  void extensions(Value s, const std::string& at) {
    std::string_view type = s["type"].as_string();
    Value preserve = s["x-kubernetes-preserve-unknown-fields"];
    if (preserve.is_bool() && !preserve.as_bool())
      invalid(at + ".x-kubernetes-preserve-unknown-fields", "false", "must be true or undefined");
    if (preserve.as_bool() && !type.empty() && type != "object")
      invalid(at + ".type", go_quote(type), "must be object if x-kubernetes-preserve-unknown-fields is true");
    if (!is_embedded(s)) return;
    if (type.empty()) required(at + ".type", "must be object if x-kubernetes-embedded-resource is true");
    else if (type != "object") invalid(at + ".type", go_quote(type), "must be object if x-kubernetes-embedded-resource is true");
    if (s["properties"].empty() && !preserve.as_bool())
      required(at + ".properties",
               "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields");
  }

  void lists(Value s, const std::string& at) {
    std::string_view type = s["type"].as_string(), semantics = list_type(s), maps = s["x-kubernetes-map-type"].as_string();
    Value keys = s["x-kubernetes-list-map-keys"];
    if (!maps.empty()) {
      if (type != "object") {
        if (type.empty()) required(at + ".type", "must be object if x-kubernetes-map-type is specified");
        else invalid(at + ".type", go_quote(type), "must be object if x-kubernetes-map-type is specified");
      } else if (maps != "atomic" && maps != "granular") {
        add(Type::not_supported, at + ".x-kubernetes-map-type", go_quote(maps), "supported values: \"atomic\", \"granular\"");
      }
    }
    if (!semantics.empty()) {
      if (type != "array") {
        if (type.empty()) required(at + ".type", "must be array if x-kubernetes-list-type is specified");
        else invalid(at + ".type", go_quote(type), "must be array if x-kubernetes-list-type is specified");
      } else if (semantics != "atomic" && semantics != "set" && semantics != "map") {
        add(Type::not_supported, at + ".x-kubernetes-list-type", go_quote(semantics), "supported values: \"atomic\", \"set\", \"map\"");
      }
    }
    if (keys.size()) {
      if (semantics.empty()) required(at + ".x-kubernetes-list-type", "must be map if x-kubernetes-list-map-keys is non-empty");
      else if (semantics != "map")
        invalid(at + ".x-kubernetes-list-type", go_quote(semantics), "must be map if x-kubernetes-list-map-keys is non-empty");
    }
    Value items = items_of(s);
    if (semantics == "set" && items.exists()) {
      std::string_view inner = items["type"].as_string();
      if (is_nullable(items)) forbidden(at + ".items.nullable", "cannot be nullable when x-kubernetes-list-type is set");
      if (inner == "object" && items["x-kubernetes-map-type"].as_string() != "atomic")
        invalid(at + ".items.x-kubernetes-map-type",
                items["x-kubernetes-map-type"].exists() ? go_quote(items["x-kubernetes-map-type"].as_string()) : "null",
                "must be atomic as item of a list with x-kubernetes-list-type=set");
      if (inner == "array" && !list_type(items).empty() && list_type(items) != "atomic")
        invalid(at + ".items.x-kubernetes-list-type", go_quote(list_type(items)),
                "must be atomic as item of a list with x-kubernetes-list-type=set");
    }
    if (semantics == "map" && type == "array") map_keys(keys, items, at);
  }

  void map_keys(Value keys, Value items, const std::string& at) {
    if (keys.empty()) return required(at + ".x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map");
    if (!items.exists()) return required(at + ".items", "must have a schema if x-kubernetes-list-type is map");
    if (items["type"].as_string() != "object")
      invalid(at + ".items.type", go_quote(items["type"].as_string()), "must be object if parent array's x-kubernetes-list-type is map");
    if (is_nullable(items)) forbidden(at + ".items.nullable", "cannot be nullable when x-kubernetes-list-type is map");
    std::vector<std::string> shown;
    std::set<std::string_view> seen;
    for (Value key : keys.items()) shown.push_back(go_quote(key.as_string()));
    std::string all = "[" + join(shown, ",") + "]";
    for (Value key : keys.items()) {
      Value property = items["properties"][key.as_string()];
      std::string below = fmt::format("{}.items.properties[{}]", at, key.as_string());
      if (!seen.insert(key.as_string()).second) invalid(at + ".x-kubernetes-list-map-keys", all, "must not contain duplicate entries");
      if (!property.exists()) {
        invalid(at + ".x-kubernetes-list-map-keys", all, "entries must all be names of item properties");
        continue;
      }
      std::string_view type = property["type"].as_string();
      if (type == "array" || type == "object")
        invalid(below + ".type", go_quote(type), "must be a scalar type if parent array's x-kubernetes-list-type is map");
      if (is_nullable(property)) forbidden(below + ".nullable", "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
      bool needed = false;
      for (Value name : items["required"].items()) needed |= name.as_string() == key.as_string();
      if (!needed && !property["default"].exists())
        required(below + ".default", "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property");
    }
  }

  void keywords(Value s, const std::string& at) {
    if (std::string_view pattern = s["pattern"].as_string(); !pattern.empty())
      if (cel::Regex regex(pattern); !regex.good())
        invalid(at + ".pattern", go_quote(pattern), "must be a valid regular expression, but isn't: " + regex.error());
    for (std::string_view key : {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
      if (s[key].is_int() && s[key].as_int() < 0)
        invalid(fmt::format("{}.{}", at, key), std::to_string(s[key].as_int()), "must be greater than or equal to 0");
  }

  void fallback(Value s, const std::string& at, bool in_metadata) {
    Value value = s["default"];
    if (in_metadata) return forbidden(at + ".default", "must not be set in top-level metadata");
    if (has_unknown(value, s)) invalid(at + ".default", sorted_json(value), "must not have unknown fields");
    for (FieldError error : validate_value(value, s, "")) {
      error.field = error.field.empty() ? at + ".default" : at + ".default." + error.field;
      if (error.type == Type::type_invalid) error.type = Type::invalid;
      errors.push_back(std::move(error));
    }
    for (FieldError error : validate_lists(value, s)) {
      error.field = at + ".default" + error.field;
      errors.push_back(std::move(error));
    }
  }

  // Of metadata only the name may be restricted.
  void metadata(Value s, const std::string& at) {
    for (Member m : s["properties"].members())
      if (m.key != "name" && m.key != "generateName")
        forbidden(at, "must not specify anything other than name and generateName, but metadata is implicitly specified");
    if (s["type"].as_string() != "object" && !s["type"].as_string().empty())
      invalid(at + ".type", go_quote(s["type"].as_string()), "must be object");
  }

  // Inside allOf, anyOf, oneOf and not there are only restrictions of what the schema around has.
  void nested(Value s, Value around, const std::string& at, const std::string& spine, bool root, int depth) {
    if (depth > max_schema_depth) return;
    bool number_or_text = is_int_or_string(around) && (s["type"].as_string() == "integer" || s["type"].as_string() == "string");
    if (!s["type"].as_string().empty() && !number_or_text) forbidden(at + ".type", "must be empty to be structural");
    for (std::string_view key : {"title", "description"})
      if (!s[key].as_string().empty()) forbidden(fmt::format("{}.{}", at, key), "must be empty to be structural");
    if (s["default"].exists() && !s["default"].is_null()) forbidden(at + ".default", "must be undefined to be structural");
    if (is_nullable(s)) forbidden(at + ".nullable", "must be false to be structural");
    for (std::string_view key : {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"})
      if (s[key].as_bool()) forbidden(fmt::format("{}.{}", at, key), "must be false to be structural");
    for (std::string_view key : {"x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys"})
      if (s[key].exists() && !s[key].is_null()) forbidden(fmt::format("{}.{}", at, key), "must be undefined to be structural");
    keywords(s, at);
    for (Member m : s["properties"].members()) {
      Value below = around["properties"][m.key];
      if (!below.exists() && around["additionalProperties"].is_object()) below = around["additionalProperties"];
      bool known = below.exists() || (root && (m.key == "metadata" || m.key == "kind" || m.key == "apiVersion"));
      if (!known)
        required(fmt::format("{}.properties[{}]", spine, m.key), fmt::format("because it is defined in {}.properties[{}]", at, m.key));
      else
        nested(m.value, below, fmt::format("{}.properties[{}]", at, m.key), fmt::format("{}.properties[{}]", spine, m.key), false,
               depth + 1);
    }
    if (Value items = items_of(s); items.exists()) nested(items, items_of(around), at + ".items", spine + ".items", false, depth + 1);
    for (std::string_view junctor : junctors)
      for (std::size_t i = 0; i < s[junctor].size(); ++i)
        nested(s[junctor][i], around, fmt::format("{}.{}[{}]", at, junctor, i), spine, root, depth + 1);
    if (s["not"].is_object()) nested(s["not"], around, at + ".not", spine, root, depth + 1);
  }
};

}  // namespace

FieldErrors validate_schema(Value schema, const std::string& path) {
  Checker checker;
  checker.run(schema, path, Level::root, 0, false);
  if (checker.errors.empty()) field::append(checker.errors, check_rules(schema, path));
  return std::move(checker.errors);
}

}  // namespace kybern::custom
