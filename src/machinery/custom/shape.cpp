#include <fmt/format.h>

#include "machinery/custom/json_schema.h"
#include "schema/convert.h"

namespace kybern::custom {

namespace {

bool is_type_meta(std::string_view key) { return key == "apiVersion" || key == "kind" || key == "metadata"; }

// Metadata as its type has it, when it fits; an embedded one that does not is left as it is. What it has no fields for is
// told under `path`.
Draft shaped_metadata(Value metadata, std::vector<std::string>* unknown, const std::string& path) {
  static const schema::Type* type = schema::find_type_named("meta.v1.ObjectMeta");
  if (type && metadata.is_object()) {
    schema::DecodeReport report;
    if (auto typed = schema::to_typed(*type, metadata, unknown ? &report : nullptr)) {
      constexpr std::string_view before = "unknown field \"";
      for (std::string_view text : report.unknown_fields)
        if (text.starts_with(before) && text.ends_with('"'))
          unknown->push_back(path + "." + std::string(text.substr(before.size(), text.size() - before.size() - 1)));
      Draft out(*typed);
      if (!metadata["creationTimestamp"].exists() || metadata["creationTimestamp"].is_null()) out.erase("creationTimestamp");
      return out;
    }
  }
  return Draft(metadata);
}

class Shaper {
 public:
  explicit Shaper(std::vector<std::string>* unknown) : unknown_(unknown) {}

  Draft run(Value value, Value schema, bool root, const std::string& path) {
    if (value.is_array()) {
      Value items = items_of(schema);
      if (!items.exists()) return Draft(value);
      Draft out = Draft::array();
      for (std::size_t i = 0; i < value.size(); ++i)
        out.push_back(run(value[i], items, is_embedded(items), fmt::format("{}[{}]", path, i)));
      return out;
    }
    return value.is_object() ? object(value, schema, root, path) : Draft(value);
  }

 private:
  Draft object(Value value, Value schema, bool root, const std::string& path) {
    Value properties = schema["properties"], additional = schema["additionalProperties"];
    Draft out = Draft::object();
    for (Member m : value.members()) {
      std::string at = path.empty() ? std::string(m.key) : path + "." + std::string(m.key);
      Value sub = properties[m.key];
      if (root && is_type_meta(m.key)) {
        out[m.key] = m.key == "metadata" ? shaped_metadata(m.value, unknown_, at) : Draft(m.value);
        continue;
      }
      if (!sub.exists() && additional.is_object()) sub = additional;
      if (sub.exists()) {
        if (m.value.is_null() && !is_nullable(sub)) {
          if (sub["default"].exists() && properties[m.key].exists()) continue;
          if (!has_type(sub)) out[m.key] = nullptr;
          continue;
        }
        out[m.key] = run(m.value, sub, is_embedded(sub), at);
      } else if (additional.as_bool() || preserves_unknown(schema)) {
        out[m.key] = m.value;
      } else if (unknown_) {
        if (unknown_->size() < unknown_max && told_bytes_ < told_max_bytes) {
          unknown_->push_back(at);
          told_bytes_ += at.size();
        }
      }
    }
    for (Member m : properties.members()) {
      Value fallback = m.value["default"];
      if (fallback.exists() && !(root && is_type_meta(m.key)) && !out.find(m.key))
        out[m.key] = run(fallback, m.value, is_embedded(m.value), path);
    }
    return out;
  }

  // Without a type and with unknown fields kept a null is a value like any other.
  static bool has_type(Value schema) {
    return !schema["type"].as_string().empty() || is_int_or_string(schema) || !preserves_unknown(schema);
  }

  static constexpr std::size_t unknown_max = 1000, told_max_bytes = 64 << 10;
  std::vector<std::string>* unknown_;
  std::size_t told_bytes_ = 0;
};

bool find_unknown(Value value, Value schema, bool root) {
  if (value.is_array()) {
    Value items = items_of(schema);
    for (Value item : value.items())
      if (items.exists() && find_unknown(item, items, is_embedded(items))) return true;
    return false;
  }
  Value properties = schema["properties"], additional = schema["additionalProperties"];
  for (Member m : value.members()) {
    if (root && is_type_meta(m.key)) continue;
    Value sub = properties[m.key];
    if (!sub.exists() && additional.is_object()) sub = additional;
    if (sub.exists() ? find_unknown(m.value, sub, is_embedded(sub)) : !additional.as_bool() && !preserves_unknown(schema)) return true;
  }
  return false;
}

}  // namespace

Document shape(Value object, Value schema, bool root, std::vector<std::string>* unknown) {
  return Shaper(unknown).run(object, schema, root, "").freeze();
}

bool has_unknown(Value value, Value schema) { return find_unknown(value, schema, is_embedded(schema)); }

}  // namespace kybern::custom
