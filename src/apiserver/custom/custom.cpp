#include "apiserver/custom/custom.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "apiserver/custom/converter.h"
#include "apiserver/registry/registry.h"
#include "apiserver/registry/work.h"
#include "base/strings.h"
#include "machinery/apply/place.h"
#include "machinery/custom/definition.h"
#include "machinery/custom/json_schema.h"
#include "machinery/duration_text.h"
#include "machinery/metadata.h"
#include "schema/convert.h"

namespace kybern::apiserver {

namespace {

constexpr std::uint16_t all_verbs = schema::verb_create | schema::verb_delete | schema::verb_deletecollection | schema::verb_get |
                                    schema::verb_list | schema::verb_patch | schema::verb_update | schema::verb_watch;
std::atomic<std::size_t> tables_alive;
constexpr std::uint16_t object_verbs = schema::verb_get | schema::verb_patch | schema::verb_update;

// stable.example.com -> com.example.stable, as the OpenAPI document names types.
std::string reversed(std::string_view group) {
  auto parts = split(group, '.');
  std::string out;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) out += (out.empty() ? "" : ".") + std::string(*part);
  return out;
}

// What every object has: apiVersion, kind and metadata.
const schema::Type* object_type(bool list) {
  return schema::find_type_named(list ? "meta.v1.PartialObjectMetadataList" : "meta.v1.PartialObjectMetadata");
}

// Whether shape() would change anything, or another version's name is on it.
bool is_shaped(Value v, Value schema, bool root) {
  if (v.is_array()) {
    Value items = custom::items_of(schema);
    for (Value item : v.items())
      if (items.exists() && !is_shaped(item, items, custom::is_embedded(items))) return false;
    return true;
  }
  if (!v.is_object()) return true;
  Value properties = schema["properties"], additional = schema["additionalProperties"];
  for (Member m : v.members()) {
    if (root && (m.key == "apiVersion" || m.key == "kind" || m.key == "metadata")) continue;
    Value sub = properties[m.key];
    if (!sub.exists() && additional.is_object()) sub = additional;
    if (!sub.exists()) {
      if (!additional.as_bool() && !custom::preserves_unknown(schema)) return false;
    } else if ((m.value.is_null() && !custom::is_nullable(sub)) || !is_shaped(m.value, sub, custom::is_embedded(sub))) {
      return false;
    }
  }
  for (Member m : properties.members())
    if (m.value["default"].exists() && !v[m.key].exists()) return false;
  return true;
}

}  // namespace

// The schema as apply walks it: made on the first use, one node for each place.
struct Custom::SchemaNode : apply::CustomSchema {
  explicit SchemaNode(Value s, bool resource) : schema(s) {
    for (Member m : s["properties"].members()) {
      if (resource && (m.key == "metadata" || m.key == "apiVersion" || m.key == "kind")) continue;
      properties.emplace_back(m.key, std::make_unique<SchemaNode>(m.value, custom::is_embedded(m.value)));
    }
    if (s["additionalProperties"].is_object()) inner = std::make_unique<SchemaNode>(s["additionalProperties"], false);
    else if (custom::preserves_unknown(s) || s["additionalProperties"].as_bool()) inner = std::make_unique<SchemaNode>(Value(), false);
    if (Value below = custom::items_of(s); below.exists()) items = std::make_unique<SchemaNode>(below, custom::is_embedded(below));
    for (Value key : s["x-kubernetes-list-map-keys"].items()) list_keys.push_back(key.as_string());
    if (!resource) return;
    head = std::make_unique<SchemaNode>(Value(), false);
    metadata = std::make_unique<SchemaNode>(Value(), false);
    metadata->is_metadata = true;
  }
  const schema::Type* built_in() const override { return is_metadata ? schema::find_type_named("meta.v1.ObjectMeta") : nullptr; }
  apply::Rule rule(Value value) const override {
    std::string_view type = schema["type"].as_string();
    if (type == "array" || (type.empty() && value.is_array())) {
      std::string_view semantics = custom::list_type(schema);
      return semantics == "set" ? apply::Rule::set : semantics == "map" ? apply::Rule::keyed : apply::Rule::atomic;
    }
    if (type == "object" || (type.empty() && value.is_object())) {
      if (schema["x-kubernetes-map-type"].as_string() == "atomic") return apply::Rule::atomic;
      return properties.empty() && !metadata ? apply::Rule::map : apply::Rule::structure;
    }
    return apply::Rule::scalar;
  }
  apply::ScalarType scalar() const override {
    std::string_view type = schema["type"].as_string();
    return type == "string"                        ? apply::ScalarType::string
           : type == "boolean"                     ? apply::ScalarType::boolean
           : type == "integer" || type == "number" ? apply::ScalarType::number
                                                   : apply::ScalarType::any;
  }
  bool atomic_list() const override { return schema["type"].as_string() == "array"; }
  const apply::CustomSchema* property(std::string_view name) const override {
    if (metadata && name == "metadata") return metadata.get();
    if (head && (name == "apiVersion" || name == "kind")) return head.get();
    for (const auto& [key, node] : properties)
      if (key == name) return node.get();
    return nullptr;
  }
  const apply::CustomSchema* value() const override { return schema.exists() ? inner.get() : this; }
  const apply::CustomSchema* item() const override { return items.get(); }
  std::span<const std::string_view> keys() const override { return list_keys; }
  Document key_default(std::string_view key) const override {
    Value fallback = schema["items"]["properties"][key]["default"];
    return fallback.exists() ? fallback.document() : Document();
  }

  Value schema;  // absent: whatever is there
  std::vector<std::pair<std::string_view, std::unique_ptr<SchemaNode>>> properties;
  std::unique_ptr<SchemaNode> inner, items, metadata, head;  // head: of apiVersion and kind
  bool is_metadata = false;
  std::vector<std::string_view> list_keys;
};

Custom::Custom(Document definition, Value version, std::string stored_api_version, std::shared_ptr<const Converter> converter)
    : definition_(std::move(definition)),
      version_(version),
      schema_(version["schema"]["openAPIV3Schema"]),
      stored_api_version_(std::move(stored_api_version)),
      converter_(std::move(converter)) {
  ++tables_alive;
  // The names that it was promised: what it would like to have may be another's.
  Value spec = definition_["spec"], accepted = definition_["status"]["acceptedNames"],
        names = accepted["plural"].as_string().empty() || accepted["kind"].as_string().empty() ? spec["names"] : accepted;
  std::string_view group = spec["group"].as_string(), kind = names["kind"].as_string();
  api_version_ = fmt::format("{}/{}", group, version["name"].as_string());
  type_name_ = fmt::format("{}.{}.{}", reversed(group), version["name"].as_string(), kind);
  list_kind_ = names["listKind"].as_string().empty() ? std::string(kind) + "List" : names["listKind"].str();
  list_type_name_ = fmt::format("{}.{}.{}", reversed(group), version["name"].as_string(), list_kind_);
  if (version["deprecated"].as_bool())
    deprecation_ = version["deprecationWarning"].exists() ? version["deprecationWarning"].str()
                                                          : fmt::format("{} {} is deprecated", api_version_, kind);
  for (Value name : names["shortNames"].items()) short_names_.push_back(name.as_string());
  for (Value name : names["categories"].items()) categories_.push_back(name.as_string());
  for (Value field : version["selectableFields"].items())
    selectable_texts_.push_back(std::string(field["jsonPath"].as_string().substr(field["jsonPath"].as_string().starts_with('.') ? 1 : 0)));
  for (const std::string& field : selectable_texts_) selectable_.push_back(field);
  if (const schema::Type* base = object_type(false)) type_ = *base;
  if (const schema::Type* base = object_type(true)) list_type_ = *base;
  type_.name = type_.short_name = type_name_;
  list_type_.name = list_type_.short_name = list_type_name_;
  type_.description = schema_["description"].as_string();
  if (version["subresources"]["status"].is_object()) subresources_.push_back({"status", "", "", kind, object_verbs, &type_});
  if (version["subresources"]["scale"].is_object())
    subresources_.push_back({"scale", "autoscaling", "v1", "Scale", object_verbs, schema::find_type("autoscaling/v1", "Scale")});
  resource_ = {.group = group,
               .version = version["name"].as_string(),
               .plural = names["plural"].as_string(),
               .singular = names["singular"].as_string(),
               .kind = kind,
               .namespaced = spec["scope"].as_string() == "Namespaced",
               .verbs = all_verbs,
               .short_names = short_names_,
               .categories = categories_,
               .subresources = subresources_,
               .columns = {},
               .type = &type_};
  rules_ = custom::Rules::compile(schema_);
}
Custom::~Custom() { --tables_alive; }
std::size_t Custom::alive() { return tables_alive; }

apply::Place Custom::place() const {
  std::lock_guard lock(place_mutex_);
  if (!place_) place_ = std::make_unique<SchemaNode>(schema_, true);
  return apply::Place::of(*place_);
}

ApiResult<std::vector<Document>> Custom::from_stored(std::span<const Value> stored) const {
  auto converted = converter_->convert(stored, api_version_, true);
  if (!converted) return converted;
  for (Document& object : *converted)
    if (!is_shaped(object.root(), schema_, true)) object = custom::shape(object.root(), schema_, true);
  return converted;
}

Document Custom::renamed(Value stored) const {
  if (stored["apiVersion"].as_string() == api_version_) return stored.document();
  Draft out(stored);
  out["apiVersion"] = api_version_;
  return out.freeze();
}

Document Custom::from_stored(Value stored) const {
  bool same_version = stored["apiVersion"].as_string() == api_version_;
  if (!same_version && converter_) {
    auto converted = converter_->convert({&stored, 1}, api_version_);
    if (!converted) return failed_conversion(converted.error());
    Value object = converted->front().root();
    return is_shaped(object, schema_, true) ? std::move(converted->front()) : custom::shape(object, schema_, true);
  }
  if (same_version && is_shaped(stored, schema_, true)) return stored.document();
  Draft out(custom::shape(stored, schema_, true));
  out["apiVersion"] = api_version_;
  return out.freeze();
}

Document Custom::to_stored(Value object) const {
  if (stored_api_version_ == api_version_) return object.document();
  if (converter_) {
    auto converted = converter_->convert({&object, 1}, stored_api_version_);
    return converted ? std::move(converted->front()) : failed_conversion(converted.error());
  }
  Draft out(object);
  out["apiVersion"] = stored_api_version_;
  // The text that the store stamps must be the block's own.
  return out.freeze();
}

FieldErrors Custom::validate(Value object, Value before, std::vector<std::string>* warnings) const {
  FieldErrors errors;
  if (before.exists()) {
    errors = validate_object_meta_update(object["metadata"], before["metadata"]);
    field::append(errors, validate_object_meta(object["metadata"], resource_.namespaced, name_is_subdomain));
  } else {
    errors = validate_object_meta(object["metadata"], resource_.namespaced, name_is_subdomain);
  }
  field::append(errors, custom::validate_value(object, schema_, "", before));
  if (Value replicas_path = scale()["specReplicasPath"]; replicas_path.exists()) {
    Value replicas = custom::at_json_path(object, replicas_path.as_string());
    if (replicas.is_int() && replicas.as_int() < 0)
      errors.push_back(
          {FieldError::Type::invalid, replicas_path.str(), std::to_string(replicas.as_int()), "should be a non-negative integer"});
  }
  field::append(errors, custom::validate_embedded(object, schema_));
  // Lists that were no sets or maps before may stay so.
  if (FieldErrors found = custom::validate_lists(object, schema_);
      !found.empty() && (!before.exists() || custom::validate_lists(before, schema_).empty()))
    field::append(errors, std::move(found));
  if (!rules_) return errors;
  bool blocked = std::ranges::any_of(errors, [](const FieldError& e) {
    return e.type == FieldError::Type::not_supported || e.type == FieldError::Type::required || e.type == FieldError::Type::too_long ||
           e.type == FieldError::Type::too_many || e.type == FieldError::Type::type_invalid;
  });
  if (blocked)
    errors.push_back(
        {FieldError::Type::invalid, "<nil>", "null",
         "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"});
  else field::append(errors, rules_->run(object, before, warnings));
  return errors;
}

Draft Custom::columns() const {
  Draft out = Draft::array();
  auto add = [&](std::string_view name, std::string_view type, std::string_view format, std::string_view description,
                 std::int64_t priority) {
    out.push_back(
        Draft::object({{"name", name}, {"type", type}, {"format", format}, {"description", description}, {"priority", priority}}));
  };
  add("Name", "string", "name", "Name of the object.", 0);
  for (Value column : version_["additionalPrinterColumns"].items()) {
    std::string description = column["description"].str();
    if (description.empty()) description = "Custom resource definition column (in JSONPath format): " + column["jsonPath"].str();
    add(column["name"].as_string(), column["type"].as_string(), column["format"].as_string(), description, column["priority"].as_int());
  }
  if (version_["additionalPrinterColumns"].empty()) add("Age", "date", "", "When the object was created.", 0);
  return out;
}

namespace {

Draft cell(Value value, std::string_view type, Time now) {
  if (!value.exists() || value.is_null()) return nullptr;
  if (type == "string") return value.is_string() ? Draft(value) : Draft(custom::sorted_json(value));
  if (type == "integer")
    return value.is_int()                 ? Draft(value)
           : value.kind() == Kind::number ? Draft(static_cast<std::int64_t>(value.as_double()))
                                          : Draft(nullptr);
  if (type == "number") return value.is_int() || value.kind() == Kind::number ? Draft(value) : Draft(nullptr);
  if (type == "boolean") return value.is_bool() ? Draft(value) : Draft(nullptr);
  if (type == "date" && value.is_string()) {
    if (value.as_string().empty()) return "<unknown>";
    auto time = parse_rfc3339(value.as_string());
    return time ? Draft(human_duration(now - *time)) : Draft("<invalid>");
  }
  return nullptr;
}

}  // namespace

Draft Custom::cells(Value object, Time now) const {
  Draft out = Draft::array({Draft(object["metadata"]["name"])});
  for (Value column : version_["additionalPrinterColumns"].items())
    out.push_back(cell(custom::at_json_path(object, column["jsonPath"].as_string()), column["type"].as_string(), now));
  if (version_["additionalPrinterColumns"].empty()) out.push_back(cell(object["metadata"]["creationTimestamp"], "date", now));
  return out;
}

std::size_t Custom::memory() const { return sizeof *this + definition_.memory() + (rules_ ? rules_->memory() : 0); }

namespace {

ApiResult<void> prepare_custom(Work& work, Draft&) {
  if (!work.served->custom->terminating()) return {};
  return fail(method_not_allowed(work.served->group(), work.served->plural(),
                                 "create not allowed while custom resource definition is terminating"));
}

// Through the status path only the status changes.
ApiResult<void> prepare_custom_status(Work&, Draft& object, Value before) {
  Draft managers;
  if (Draft* given = object["metadata"].find("managedFields")) managers = *given;
  object["metadata"] = before["metadata"];
  if (!managers.is_null()) object["metadata"]["managedFields"] = std::move(managers);
  else object["metadata"].erase("managedFields");
  return {};
}

}  // namespace

void custom_committed(Work& work, Value before, Value now);  // custom/resources.cpp

namespace {

std::unique_ptr<Served> serve_version(const Document& definition, Value version, const std::string& stored,
                                      std::shared_ptr<const Converter> converter) {
  static const Traits traits{.unconditional_update = false,
                             .generation = true,
                             .prepare_create = prepare_custom,
                             .prepare_status = prepare_custom_status,
                             .after_commit = custom_committed};
  std::string_view group = definition["spec"]["group"].as_string(), plural = definition["spec"]["names"]["plural"].as_string();
  auto served = std::make_unique<Served>();
  auto made = std::make_shared<const Custom>(definition, version, stored, std::move(converter));
  served->custom = made;
  served->resource = &made->resource();
  served->prefix = fmt::format("/{}/{}/", group, plural);
  served->api_version = fmt::format("{}/{}", group, version["name"].as_string());
  served->traits = &traits;
  const Custom* raw = made.get();
  served->from_stored = [raw](Value v) { return raw->from_stored(v); };
  served->to_stored = [raw](Value v) { return raw->to_stored(v); };
  served->stored = served.get();
  return served;
}

}  // namespace

std::vector<std::unique_ptr<Served>> serve_definition(const Document& definition, std::shared_ptr<const Converter> converter) {
  std::string stored = fmt::format("{}/{}", definition["spec"]["group"].as_string(), custom::storage_version(definition.root()));
  std::vector<std::unique_ptr<Served>> out;
  for (Value version : definition["spec"]["versions"].items()) {
    if (!version["served"].as_bool()) continue;
    auto served = serve_version(definition, version, stored, converter);
    if (!out.empty()) served->stored = out.front().get();
    out.push_back(std::move(served));
  }
  return out;
}

ServedRef serve_as_stored(const Document& definition, std::string_view version) {
  Value named = custom::version_named(definition.root(), version);
  if (!named.exists()) return nullptr;
  std::vector<std::unique_ptr<Served>> one;
  one.push_back(serve_version(definition, named, fmt::format("{}/{}", definition["spec"]["group"].as_string(), version), nullptr));
  auto owner = std::make_shared<const ServedVersions>(std::move(one));
  return {owner, owner->all().front()};
}

ApiResult<Document> custom_typed(Work& work, const Served& served, Document body) {
  Value root = body.root();
  if (!root.is_object()) return fail(bad_request("error decoding custom resource: the object is no JSON object"));
  std::string_view version = root["apiVersion"].as_string(), kind = root["kind"].as_string();
  if (!version.empty() && version != served.api_version)
    return fail(bad_request(
        fmt::format("the API version in the data ({}) does not match the expected API version ({})", version, served.api_version)));
  if (!kind.empty() && kind != served.kind())
    return fail(invalid(served.group(), kind, root["metadata"]["name"].as_string(),
                        {field::invalid(Path("kind"), kind, fmt::format("must be {}", served.kind()))}));
  auto unfit = [&](std::string_view why) {
    return fail(bad_request(fmt::format("{} in version {} cannot be handled as a {}: {}", served.kind(), go_quote(served.resource->version),
                                        served.kind(), why)));
  };
  schema::DecodeReport report;
  if (Value metadata = root["metadata"]; metadata.exists() && !metadata.is_null()) {
    auto typed = schema::to_typed(*schema::find_type_named("meta.v1.ObjectMeta"), metadata);
    if (!metadata.is_object() || !typed) return unfit(typed ? std::string("json: cannot unmarshal metadata") : typed.error().message);
  }
  if (version.empty() || kind.empty()) {
    Draft whole(root);
    whole["apiVersion"] = served.api_version;
    whole["kind"] = served.kind();
    body = whole.freeze();
  }
  std::vector<std::string> unknown;
  Document shaped = custom::shape(body.root(), served.custom->schema(), true, &unknown);
  if (work.field_validation == FieldValidation::ignore) return shaped;
  for (std::string& path : unknown)
    if (report.unknown_fields.size() < schema::DecodeReport::report_max) report.unknown_fields.push_back("unknown field " + go_quote(path));
  report.duplicate_fields = std::exchange(work.duplicates, {});
  if (work.field_validation == FieldValidation::strict && !(report.unknown_fields.empty() && report.duplicate_fields.empty()))
    return unfit("strict decoding error: " + report.text());
  for (std::string& finding : report.unknown_fields) work.warnings.push_back(std::move(finding));
  for (const std::string& path : report.duplicate_fields) work.warnings.push_back(fmt::format("duplicate field {}", go_quote(path)));
  return shaped;
}

}  // namespace kybern::apiserver
