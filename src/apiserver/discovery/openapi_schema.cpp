// Schemas of types, as OpenAPI has them.
#include <fmt/format.h>

#include <algorithm>

#include "apiserver/custom/custom.h"
#include "apiserver/discovery/openapi_text.h"
#include "document/json.h"
#include "schema/registry.h"

namespace kybern::apiserver {
namespace {

using schema::Field;
using schema::Scalar;
using schema::Type;

constexpr std::string_view meta_prefix = "io.k8s.apimachinery.pkg.apis.meta.v1.";

// Types that are not structs: what they look like in each version.
struct WellKnown {
  Scalar scalar;
  std::string_view name, description, v2, v3;
};
constexpr std::string_view any = "";
constexpr WellKnown well_known[] = {
    {Scalar::time, "io.k8s.apimachinery.pkg.apis.meta.v1.Time", "A point in time in RFC 3339 form, to the second.",
     R"("format":"date-time","type":"string")", R"("format":"date-time","type":"string")"},
    {Scalar::micro_time, "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "A point in time in RFC 3339 form, to the microsecond.",
     R"("format":"date-time","type":"string")", R"("format":"date-time","type":"string")"},
    {Scalar::duration, "io.k8s.apimachinery.pkg.apis.meta.v1.Duration", "A length of time such as 1h30m.", R"("type":"string")",
     R"("type":"string")"},
    {Scalar::quantity, "io.k8s.apimachinery.pkg.api.resource.Quantity", "An exact amount with a unit suffix: 250m, 1Gi, 12e6.",
     R"("type":"string")", R"("oneOf":[{"type":"string"},{"type":"number"}])"},
    {Scalar::int_or_string, "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
     "An integer or a text, such as a port's number or name, or a count or a percentage.", R"("format":"int-or-string","type":"string")",
     R"("format":"int-or-string","oneOf":[{"type":"integer"},{"type":"string"}])"},
    {Scalar::raw, "io.k8s.apimachinery.pkg.runtime.RawExtension", "Any object, embedded as it is.", R"("type":"object")",
     R"("type":"object")"},
    {Scalar::fields_v1, "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
     "A set of fields as a tree: f:NAME is a field, k:KEYS an item of a list by its keys, v:VALUE one by its value.", R"("type":"object")",
     R"("type":"object")"},
    {Scalar::json, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "Any JSON value.", any, any},
    {Scalar::json_or_array, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
     "A schema or a list of schemas.", any, any},
    {Scalar::json_or_bool, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "A schema or a boolean.", any,
     any},
    {Scalar::json_or_strings, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
     "A schema or a list of texts.", any, any},
    {Scalar::object, "io.k8s.apimachinery.pkg.apis.meta.v1.Patch", "The body of a patch, in the form that its content type names.",
     R"("type":"object")", R"("type":"object")"},
};

const WellKnown* well_known_of(Scalar scalar) {
  for (const WellKnown& one : well_known)
    if (one.scalar == scalar && scalar != Scalar::object) return &one;
  return nullptr;
}

struct Plain {
  std::string_view type, format, zero;
};
Plain plain_of(Scalar scalar) {
  switch (scalar) {
    case Scalar::boolean: return {"boolean", "", "false"};
    case Scalar::int32: return {"integer", "int32", "0"};
    case Scalar::int64: return {"integer", "int64", "0"};
    case Scalar::float64: return {"number", "double", "0"};
    case Scalar::bytes: return {"string", "byte", ""};
    default: return {"string", "", "\"\""};
  }
}

bool shared_by_all_groups(std::string_view kind) { return kind == "DeleteOptions"; }

}  // namespace

JsonText& JsonText::key(std::string_view name) {
  before();
  write_text(name);
  out_ += ':';
  comma_ = false;
  return *this;
}

void JsonText::text(std::string_view value) {
  before();
  write_text(value);
  comma_ = true;
}

// Most texts are plain, and a thousand definitions have a million of them.
void JsonText::write_text(std::string_view text) {
  constexpr auto plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'; };
  if (!std::all_of(text.begin(), text.end(), plain)) return write_json(Draft(text).freeze().root(), out_);
  out_ += '"';
  out_ += text;
  out_ += '"';
}

void JsonText::raw(std::string_view json) {
  before();
  out_ += json;
  comma_ = true;
}

void JsonText::texts(std::string_view name, const std::vector<std::string_view>& values) {
  key(name).begin_array();
  for (std::string_view value : values) text(value);
  end_array();
}

void JsonText::open(char bracket) {
  before();
  out_ += bracket;
  comma_ = false;
}

void JsonText::close(char bracket) {
  out_ += bracket;
  comma_ = true;
}

void JsonText::before() {
  if (comma_) out_ += ',';
}

void write_kind(JsonText& json, const GroupVersionKind& kind) {
  json.begin_object();
  json.member("group", kind.group);
  json.member("kind", kind.kind);
  json.member("version", kind.version);
  json.end_object();
}

SchemaSet::SchemaSet(OpenapiVersion version, const Catalog::All& all, std::span<const Served* const> about) : version_(version) {
  std::set<std::pair<std::string_view, std::string_view>> served;
  for (const Served* s : all)
    if (!s->custom) served.emplace(s->group(), s->resource->version);
  for (const Served* s : about) {
    served.emplace(s->group(), s->resource->version);
    if (!s->custom) continue;
    const Type *type = s->resource->type, *list = &s->custom->list_type();
    custom_.emplace(type, s->custom->schema());
    custom_lists_.emplace(list, type);
    kinds_[type] = {{s->group(), s->resource->version, s->kind()}};
    kinds_[list] = {{s->group(), s->resource->version, s->custom->list_kind()}};
  }
  if (const Type* event = schema::find_type_named("meta.v1.WatchEvent"))
    for (auto [group, group_version] : served) kinds_[event].push_back({group, group_version, "WatchEvent"});
  for (std::size_t i = 0; i < schema::tables::kind_count; ++i) {
    const schema::tables::KindEntry& entry = schema::tables::all_kinds[i];
    if (!entry.type->name.starts_with(meta_prefix)) {
      kinds_[entry.type].push_back({entry.group, entry.version, entry.kind});
    } else if (shared_by_all_groups(entry.kind)) {
      auto& all = kinds_[entry.type];
      if (all.empty())
        for (auto [group, group_version] : served) all.push_back({group, group_version, entry.kind});
    } else if (entry.kind == "Status" || entry.kind.starts_with("API")) {
      kinds_[entry.type] = {{"", "v1", entry.kind}};
    }
  }
}

void SchemaSet::add(const Type* type) {
  if (type != nullptr) types_.emplace(type->name, type);
}

void SchemaSet::refer(JsonText& json, const Type* type) {
  add(type);
  json.begin_object();
  write_reference(json, type->name, false);
  json.end_object();
}

void SchemaSet::refer(JsonText& json, std::string_view name) {
  add_well_known(name);
  json.begin_object();
  write_reference(json, name, false);
  json.end_object();
}

// A reference beside other members stands in allOf in v3, where siblings of $ref mean nothing.
void SchemaSet::write_reference(JsonText& json, std::string_view name, bool others) {
  std::string path = std::string(version_ == OpenapiVersion::v2 ? "#/definitions/" : "#/components/schemas/").append(name);
  if (version_ == OpenapiVersion::v2 || !others) {
    json.member("$ref", path);
    return;
  }
  json.key("allOf").begin_array();
  json.begin_object();
  json.member("$ref", path);
  json.end_object();
  json.end_array();
}

void SchemaSet::write(JsonText& json, const std::function<void()>& after) {
  // Writing a schema adds those it refers to: first find them all, then write in order of names.
  std::string nothing;
  std::set<std::string_view> looked_at;
  for (bool more = true; more;) {
    more = false;
    std::vector<const Type*> now;
    for (auto [name, type] : types_)
      if (looked_at.insert(name).second) now.push_back(type);
    for (const Type* type : now) {
      more = true;
      for (const Field& field : type->fields)
        if (!custom_lists_.contains(type) || field.name.text() != "items") referred(field);
    }
  }
  std::map<std::string_view, const WellKnown*> others;
  for (const WellKnown& one : well_known)
    if (well_known_.contains(std::string(one.name))) others.emplace(one.name, &one);
  auto other = others.begin();
  auto write_others_before = [&](const std::string_view* name) {
    for (; other != others.end() && (name == nullptr || other->first < *name); ++other) {
      json.key(other->first).begin_object();
      json.member("description", other->second->description);
      std::string_view body = version_ == OpenapiVersion::v2 ? other->second->v2 : other->second->v3;
      if (!body.empty()) json.raw(body);
      json.end_object();
    }
  };
  for (auto [name, type] : types_) {
    write_others_before(&name);
    json.key(name);
    write_type(json, *type);
    if (after) after();
  }
  write_others_before(nullptr);
}

// The name of the schema that a field's values refer to; "" for plain ones. The schema becomes part of the set.
std::string_view SchemaSet::referred(const Field& field) {
  if (field.scalar == Scalar::object && field.type != nullptr) {
    add(field.type);
    return field.type->name;
  }
  if (const WellKnown* one = well_known_of(field.scalar)) {
    add_well_known(one->name);
    return one->name;
  }
  return {};
}

namespace {

// A schema of a definition as the document shows it: the old form knows neither alternatives nor nulls nor defaults.
Draft published(Value schema, bool v3) {
  if (schema.is_array()) {
    Draft out = Draft::array();
    for (Value item : schema.items()) out.push_back(published(item, v3));
    return out;
  }
  if (!schema.is_object()) return Draft(schema);
  Draft out = Draft::object();
  bool open = !v3 && schema["x-kubernetes-preserve-unknown-fields"].as_bool();
  for (Member m : schema.members()) {
    if (!v3 && (m.key == "anyOf" || m.key == "oneOf" || m.key == "allOf" || m.key == "not" || m.key == "nullable" || m.key == "default" ||
                m.key == "additionalItems"))
      continue;
    if (open && (m.key == "properties" || m.key == "required" || m.key == "items" || m.key == "additionalProperties")) continue;
    if (m.key == "properties") {
      out["properties"] = Draft::object();
      for (Member p : m.value.members()) out["properties"][p.key] = published(p.value, v3);
    } else if (m.key == "default" || m.key == "enum" || m.key == "example") {
      out[m.key] = m.value;
    } else {
      out[m.key] = published(m.value, v3);
    }
  }
  if (!v3 && schema["nullable"].as_bool()) out.erase("type");
  return out;
}

}  // namespace

// Its own schema, with apiVersion, kind and metadata as every object has them.
void SchemaSet::write_custom(JsonText& json, const Type& type, Value schema) {
  Draft whole = published(schema, version_ == OpenapiVersion::v3);
  json.begin_object();
  json.key("properties").begin_object();
  for (const Field& field : type.fields) {
    json.key(field.name.text());
    write_field(json, field);
  }
  if (Draft* properties = whole.find("properties"))
    for (const Draft::Field& field : properties->fields())
      if (field.key != "apiVersion" && field.key != "kind" && field.key != "metadata") json.key(field.key).raw(to_json(field.value));
  json.end_object();
  for (const Draft::Field& field : whole.fields())
    if (field.key != "properties" && field.key != "type") json.key(field.key).raw(to_json(field.value));
  json.member("type", "object");
  json.key("x-kubernetes-group-version-kind").begin_array();
  for (const GroupVersionKind& kind : kinds_[&type]) write_kind(json, kind);
  json.end_array();
  json.end_object();
}

void SchemaSet::write_custom_list(JsonText& json, const Type& type, const Type& item) {
  json.begin_object();
  json.member("description",
              fmt::format("{} is a list of {}", type.name.substr(type.name.rfind('.') + 1), item.name.substr(item.name.rfind('.') + 1)));
  json.key("properties").begin_object();
  for (const Field& field : type.fields) {
    json.key(field.name.text());
    if (field.name.text() != "items") {
      write_field(json, field);
      continue;
    }
    json.begin_object();
    json.member("description", "The objects.");
    json.key("items");
    refer(json, &item);
    json.member("type", "array");
    json.end_object();
  }
  json.end_object();
  json.texts("required", {"items"});
  json.member("type", "object");
  json.key("x-kubernetes-group-version-kind").begin_array();
  for (const GroupVersionKind& kind : kinds_[&type]) write_kind(json, kind);
  json.end_array();
  json.end_object();
}

void SchemaSet::write_type(JsonText& json, const Type& type) {
  if (auto custom = custom_.find(&type); custom != custom_.end()) return write_custom(json, type, custom->second);
  if (auto list = custom_lists_.find(&type); list != custom_lists_.end()) return write_custom_list(json, type, *list->second);
  json.begin_object();
  if (!type.description.empty()) json.member("description", type.description);
  if (!type.fields.empty()) {
    std::vector<const Field*> sorted;
    for (const Field& field : type.fields) sorted.push_back(&field);
    std::sort(sorted.begin(), sorted.end(), [](const Field* a, const Field* b) { return a->name.text() < b->name.text(); });
    json.key("properties").begin_object();
    for (const Field* field : sorted) {
      json.key(field->name.text());
      write_field(json, *field);
    }
    json.end_object();
  }
  std::vector<std::string_view> required;
  for (const Field& field : type.fields)
    if (field.required) required.push_back(field.name.text());
  if (!required.empty()) json.texts("required", required);
  json.member("type", "object");
  if (auto found = kinds_.find(&type); found != kinds_.end()) {
    json.key("x-kubernetes-group-version-kind").begin_array();
    for (const GroupVersionKind& kind : found->second) write_kind(json, kind);
    json.end_array();
  }
  if (type.atomic) json.member("x-kubernetes-map-type", "atomic");
  json.end_object();
}

void SchemaSet::write_field(JsonText& json, const Field& field) {
  json.begin_object();
  if (field.shape == schema::Shape::map) {
    json.key("additionalProperties").begin_object();
    write_value(json, field, true);
    json.end_object();
  }
  if (version_ == OpenapiVersion::v3) write_default(json, field, false);
  if (!field.description.empty()) json.member("description", field.description);
  if (field.shape == schema::Shape::single) {
    write_value(json, field, false);
  } else if (field.shape == schema::Shape::list) {
    json.key("items").begin_object();
    write_value(json, field, true);
    json.end_object();
    json.member("type", "array");
  } else {
    json.member("type", "object");
  }
  if (!field.list_keys.empty()) {
    std::vector<std::string_view> keys;
    for (Name key : field.list_keys) keys.push_back(key.text());
    json.texts("x-kubernetes-list-map-keys", keys);
  }
  constexpr std::string_view list_types[] = {"", "atomic", "set", "map"};
  if (auto type = list_types[static_cast<int>(field.list_type)]; !type.empty()) json.member("x-kubernetes-list-type", type);
  bool of_its_type = field.type != nullptr && field.type->atomic;
  if (field.shape != schema::Shape::list && field.atomic && !of_its_type) json.member("x-kubernetes-map-type", "atomic");
  if (field.shape == schema::Shape::single && of_its_type && !field.atomic) json.member("x-kubernetes-map-type", "granular");
  if (!field.patch_key.empty()) json.member("x-kubernetes-patch-merge-key", field.patch_key);
  std::string strategy = field.patch_merge ? "merge" : "";
  if (field.patch_retain_keys) strategy += strategy.empty() ? "retainKeys" : ",retainKeys";
  if (field.patch_replace) strategy = "replace";
  if (!strategy.empty()) json.member("x-kubernetes-patch-strategy", strategy);
  json.end_object();
}

// The members that say what one value is: of the field itself, or of an element of its list or map.
void SchemaSet::write_value(JsonText& json, const Field& field, bool element) {
  bool v3 = version_ == OpenapiVersion::v3;
  if (element && field.inner_list && field.shape == schema::Shape::map) {
    json.raw(v3 ? R"("items":{"default":"","type":"string"},"type":"array")" : R"("items":{"type":"string"},"type":"array")");
    return;
  }
  std::string_view name = referred(field);
  if (!name.empty()) {
    bool with_default = v3 && element && field.scalar == Scalar::object;
    write_reference(json, name, with_default || !element);
    if (with_default) json.key("default").raw("{}");
    return;
  }
  if (v3 && element) write_default(json, field, true);
  Plain plain = plain_of(field.scalar);
  if (v3 && field.enum_closed && !field.enum_values.empty()) {
    std::vector<std::string_view> values(field.enum_values.begin(), field.enum_values.end());
    std::sort(values.begin(), values.end());
    json.texts("enum", values);
  }
  std::string_view format = field.format.empty() ? plain.format : field.format;
  if (!format.empty()) json.member("format", format);
  json.member("type", plain.type);
}

// The declared default, or the zero that Go's types have when they cannot be absent.
void SchemaSet::write_default(JsonText& json, const Field& field, bool element) {
  if (!element && !field.default_json.empty()) {
    json.key("default").raw(field.default_json);
    return;
  }
  if (!element && (field.shape != schema::Shape::single || field.pointer)) return;
  if (field.scalar == Scalar::object) {
    if (!element) json.key("default").raw("{}");
    return;
  }
  std::string_view zero = well_known_of(field.scalar) ? std::string_view() : plain_of(field.scalar).zero;
  if (!zero.empty() && (element || !field.omit_empty)) json.key("default").raw(zero);
}

}  // namespace kybern::apiserver
