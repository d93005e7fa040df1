#include "machinery/custom/definition.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/custom/json_schema.h"
#include "machinery/custom/structural.h"
#include "machinery/field.h"
#include "machinery/names.h"
#include "machinery/validate/webhook_client.h"

namespace kybern::custom {

namespace {

using Type = FieldError::Type;

class DefinitionChecker {
 public:
  explicit DefinitionChecker(Value definition) : definition_(definition), spec_(definition["spec"]) {}
  FieldErrors errors;

  void run() {
    std::string_view group = spec_["group"].as_string(), plural = spec_["names"]["plural"].as_string(),
                     name = definition_["metadata"]["name"].as_string();
    if (name != fmt::format("{}.{}", plural, group)) invalid("metadata.name", go_quote(name), "must be spec.names.plural+\".\"+spec.group");
    if (group.empty()) required("spec.group", "");
    else if (auto found = names::dns1123_subdomain(group); !found.empty()) invalid("spec.group", go_quote(group), join(found, ","));
    else if (group.find('.') == group.npos) invalid("spec.group", go_quote(group), "should be a domain with at least one dot");
    std::string_view scope = spec_["scope"].as_string();
    if (scope.empty()) required("spec.scope", "");
    else if (scope != "Cluster" && scope != "Namespaced")
      add(Type::not_supported, "spec.scope", go_quote(scope), "supported values: \"Cluster\", \"Namespaced\"");
    bool by_kubernetes = group == "k8s.io" || group == "kubernetes.io" || group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io");
    if (by_kubernetes) approval();
    versions();
    all_names();
    conversion();
  }

  // Of a definition that did not have it before.
  void preserving() {
    if (spec_["preserveUnknownFields"].as_bool())
      invalid("spec.preserveUnknownFields", "true",
              "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead");
  }

  void conversion() {
    Value conversion = spec_["conversion"];
    if (!conversion.exists() || conversion.is_null()) return;
    // Upstream's own names of the fields, which clients see.
    const Path path("spec.conversion"), client_path = path.child("webhookClientConfig"),
                                        versions_path = path.child("conversionReviewVersions");
    std::string_view strategy = conversion["strategy"].as_string();
    Value webhook = conversion["webhook"], client = webhook["clientConfig"], versions = webhook["conversionReviewVersions"];
    if (strategy.empty()) {
      required("spec.conversion.strategy", "");
    } else if (strategy != "None" && strategy != "Webhook") {
      add(Type::not_supported, "spec.conversion.strategy", go_quote(strategy), "supported values: \"None\", \"Webhook\"");
    }
    if (strategy == "Webhook") {
      if (spec_["preserveUnknownFields"].as_bool())
        invalid("spec.conversion.strategy", go_quote(strategy), "must be None if spec.preserveUnknownFields is true");
      if (client.is_object()) field::append(errors, rules::webhook_client(client, client_path));
      else errors.push_back(field::required(client_path, "required when strategy is set to Webhook"));
      return review_versions(versions, versions_path);
    }
    constexpr std::string_view not_set = "should not be set when strategy is not set to Webhook";
    if (client.is_object()) errors.push_back(field::forbidden(client_path, not_set));
    if (!versions.empty()) errors.push_back(field::forbidden(versions_path, not_set));
  }

  void review_versions(Value versions, const Path& path) {
    if (versions.empty()) return errors.push_back(field::required(path));
    bool known = false;
    std::set<std::string_view> seen;
    std::size_t i = 0;
    for (Value one : versions.items()) {
      Path at = path.index(i++);
      std::string_view version = one.as_string();
      if (!seen.insert(version).second) {
        errors.push_back(field::invalid(at, version, "duplicate version"));
        continue;
      }
      for (const std::string& why : names::dns1035_label(version)) errors.push_back(field::invalid(at, version, why));
      known |= version == "v1" || version == "v1beta1";
    }
    if (!known) errors.push_back(field::invalid(path, versions, "must include at least one of v1, v1beta1"));
  }

 private:
  void add(Type type, std::string field, std::string value, std::string detail) {
    errors.push_back({type, std::move(field), std::move(value), std::move(detail)});
  }
  void invalid(std::string field, std::string value, std::string detail) {
    add(Type::invalid, std::move(field), std::move(value), std::move(detail));
  }
  void required(std::string field, std::string detail) { add(Type::required, std::move(field), "", std::move(detail)); }

  void approval() {
    constexpr std::string_view annotation = "api-approved.kubernetes.io";
    Value given = definition_["metadata"]["annotations"][annotation];
    std::string_view text = given.as_string();
    std::string at = fmt::format("metadata.annotations[{}]", annotation);
    if (text.empty())
      required(at,
               "protected groups must have approval annotation \"api-approved.kubernetes.io\", see "
               "https://github.com/kubernetes/enhancements/pull/1111");
    else if (!text.starts_with("unapproved") && !text.starts_with("http://") && !text.starts_with("https://"))
      invalid(at, go_quote(text),
              "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with "
              "\"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111");
  }

  // When all versions say the same of something, messages speak of it as one thing of the whole definition.
  bool shared(std::string_view key) const {
    Value versions = spec_["versions"];
    for (Value v : versions.items())
      if (!(v[key] == versions[0][key]) && !(v[key].is_null() && versions[0][key].is_null())) return false;
    return true;
  }

  void versions() {
    Value versions = spec_["versions"];
    if (versions.empty()) return required("spec.versions", "must have exactly one version marked as storage version");
    std::set<std::string_view> seen;
    std::vector<std::string_view> stores;
    bool unique = true;
    for (std::size_t i = 0; i < versions.size(); ++i) {
      std::string_view name = versions[i]["name"].as_string();
      if (auto found = names::dns1035_label(name); !found.empty())
        invalid(fmt::format("spec.versions[{}].name", i), go_quote(name), join(found, ","));
      if (versions[i]["storage"].as_bool()) stores.push_back(name);
      unique &= seen.insert(name).second;
      if (std::string_view warning = versions[i]["deprecationWarning"].as_string(); versions[i]["deprecationWarning"].is_string())
        for (const std::string& why : deprecation_errors(versions[i]["deprecated"].as_bool(), warning))
          invalid(fmt::format("spec.versions[{}].deprecationWarning", i), go_quote(warning), why);
    }
    if (!unique) invalid("spec.versions", "null", "must contain unique version names");
    if (stores.size() != 1) invalid("spec.versions", "null", "must have exactly one version marked as storage version");
    bool one_schema = shared("schema"), one_columns = shared("additionalPrinterColumns"), one_subresources = shared("subresources");
    for (std::size_t i = 0; i < versions.size(); ++i) {
      std::string at = fmt::format("spec.versions[{}]", i);
      Value schema = versions[i]["schema"]["openAPIV3Schema"];
      if (!schema.is_object()) required(at + ".schema.openAPIV3Schema", "schemas are required");
      else if (!one_schema || i == 0) {
        const std::string path = one_schema ? "spec.validation.openAPIV3Schema" : at + ".schema.openAPIV3Schema";
        bool status = versions[i]["subresources"]["status"].is_object();
        for (Value other : versions.items()) status |= one_schema && other["subresources"]["status"].is_object();
        root_schema(schema, status, path);
        field::append(errors, validate_schema(schema, path));
      }
      if (!one_columns || i == 0) columns(versions[i]["additionalPrinterColumns"], one_columns ? "spec" : at);
      if (!one_subresources || i == 0)
        subresources(versions[i]["subresources"], one_subresources ? "spec.subresources" : at + ".subresources");
      selectable(versions[i], at);
    }
    stored(stores);
  }

  static std::vector<std::string> deprecation_errors(bool deprecated, std::string_view warning) {
    constexpr std::size_t warning_max_bytes = 256;
    if (!deprecated) return {"can only be set for deprecated versions"};
    std::vector<std::string> out;
    if (warning.size() > warning_max_bytes) out.push_back("must be <= 256 characters long");
    if (warning.empty()) out.push_back("must not be an empty string");
    for (std::size_t i = 0; i < warning.size(); ++i) {
      const auto c = static_cast<unsigned char>(warning[i]);
      if (c >= 0x20 && c != 0x7f) continue;
      out.push_back(fmt::format("must only contain printable UTF-8 characters; non-printable character found at index {}", i));
      break;
    }
    return out;
  }

  // With a status of its own, a root schema may say nothing that the part about the status would lose.
  void root_schema(Value schema, bool status, const std::string& at) {
    static constexpr std::pair<std::string_view, std::string_view> allowed[] = {
        {"description", "Description"},
        {"type", "Type"},
        {"format", "Format"},
        {"title", "Title"},
        {"maximum", "Maximum"},
        {"exclusiveMaximum", "ExclusiveMaximum"},
        {"minimum", "Minimum"},
        {"exclusiveMinimum", "ExclusiveMinimum"},
        {"maxLength", "MaxLength"},
        {"minLength", "MinLength"},
        {"pattern", "Pattern"},
        {"maxItems", "MaxItems"},
        {"minItems", "MinItems"},
        {"uniqueItems", "UniqueItems"},
        {"multipleOf", "MultipleOf"},
        {"required", "Required"},
        {"items", "Items"},
        {"properties", "Properties"},
        {"externalDocs", "ExternalDocs"},
        {"example", "Example"},
        {"x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"},
        {"x-kubernetes-validations", "XValidations"},
    };
    if (status) {
      const bool other_type = !schema["type"].as_string().empty() && schema["type"].as_string() != "object";
      if (other_type)
        invalid(at + ".type", go_quote(schema["type"].as_string()),
                "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled");
      for (Member m : schema.members()) {
        const bool empty =
            m.value.is_null() || (m.value.is_bool() && !m.value.as_bool()) || (m.value.is_string() && m.value.as_string().empty());
        if (other_type || empty ||
            std::ranges::find(allowed, m.key, &std::pair<std::string_view, std::string_view>::first) != std::end(allowed))
          continue;
        std::string names;
        for (const auto& [key, shown] : allowed) names += (names.empty() ? "" : " ") + std::string(shown);
        invalid(at, to_json(schema),
                fmt::format("only [{}] fields are allowed at the root of the schema if the status subresource is enabled", names));
        break;
      }
    }
    if (schema["nullable"].as_bool()) add(Type::forbidden, at + ".nullable", "", "nullable cannot be true at the root");
  }

  void stored(const std::vector<std::string_view>& stores) {
    Value listed = definition_["status"]["storedVersions"];
    if (listed.empty() || stores.size() != 1) return;
    bool has_storage = false;
    for (Value one : listed.items()) has_storage |= one.as_string() == stores[0];
    if (!has_storage) invalid("status.storedVersions", to_json(listed), fmt::format("must have the storage version {}", stores[0]));
    for (std::size_t i = 0; i < listed.size(); ++i) {
      if (!version_named(definition_, listed[i].as_string()).exists())
        invalid(fmt::format("status.storedVersions[{}]", i), go_quote(listed[i].as_string()),
                "missing from spec.versions; " +
                    fmt::format("{} was previously a storage version, and must remain in spec.versions until a storage migration ensures "
                                "no data remains persisted in {} and removes {} from status.storedVersions",
                                listed[i].as_string(), listed[i].as_string(), listed[i].as_string()));
    }
  }

  void columns(Value columns, const std::string& at) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      std::string here = fmt::format("{}.additionalPrinterColumns[{}]", at, i);
      Value column = columns[i];
      std::string_view type = column["type"].as_string(), format = column["format"].as_string(), path = column["jsonPath"].as_string();
      if (column["name"].as_string().empty()) required(here + ".name", "");
      static constexpr std::string_view types[] = {"integer", "number", "string", "boolean", "date"};
      if (type.empty()) required(here + ".type", "must be one of integer,number,string,boolean,date");
      else if (std::ranges::find(types, type) == std::end(types))
        invalid(here + ".type", go_quote(type), "must be one of integer,number,string,boolean,date");
      static constexpr std::string_view formats[] = {"int32", "int64", "float", "double", "byte", "date", "date-time", "password"};
      if (!format.empty() && std::ranges::find(formats, format) == std::end(formats))
        invalid(here + ".format", go_quote(format), "must be one of int32,int64,float,double,byte,date,date-time,password");
      if (path.empty()) required(here + ".JSONPath", "");
      else if (!simple_path(path)) invalid(here + ".JSONPath", go_quote(path), "must be a simple json path starting with .");
    }
  }

  static bool simple_path(std::string_view path) { return path.starts_with('.'); }

  void subresources(Value subresources, const std::string& at) {
    Value scale = subresources["scale"];
    if (!scale.is_object()) return;
    auto path = [&](std::string_view key, std::string_view under, bool needed) {
      std::string here = fmt::format("{}.scale.{}", at, key);
      std::string_view text = scale[key].as_string();
      if (text.empty()) {
        if (needed) required(here, "");
        return;
      }
      if (!simple_path(text)) invalid(here, go_quote(text), "must be a simple json path starting with .");
      else if (!under.empty() && !text.starts_with(std::string(under) + "."))
        invalid(here, go_quote(text), fmt::format("should be a json path under {}", under));
    };
    path("specReplicasPath", ".spec", true);
    path("statusReplicasPath", ".status", true);
    std::string_view label = scale["labelSelectorPath"].as_string();
    path("labelSelectorPath", "", false);
    if (!label.empty() && !label.starts_with(".spec.") && !label.starts_with(".status."))
      invalid(at + ".scale.labelSelectorPath", go_quote(label), "should be a json path under either .spec or .status");
  }

  void selectable(Value version, const std::string& at) {
    constexpr std::size_t selectable_max = 8;
    Value fields = version["selectableFields"];
    if (fields.size() > selectable_max)
      add(Type::too_many, at + ".selectableFields", std::to_string(fields.size()),
          fmt::format("must have at most {} items", selectable_max));
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      std::string here = fmt::format("{}.selectableFields[{}].jsonPath", at, i);
      std::string_view path = fields[i]["jsonPath"].as_string();
      if (path.empty()) {
        required(here, "");
        continue;
      }
      if (!seen.insert(path).second) add(Type::duplicate, here, go_quote(path), "");
      Value schema = version["schema"]["openAPIV3Schema"];
      if (!path.starts_with('.') || path.find('[') != path.npos) {
        invalid(here, go_quote(path), "is an invalid path: must be a simple path to a field");
        continue;
      }
      for (std::string_view step : split(path.substr(1), '.')) schema = schema["properties"][step];
      std::string_view type = schema["type"].as_string();
      if (!schema.exists()) invalid(here, go_quote(path), "is an invalid path: does not refer to a valid field");
      else if (path == ".metadata" || path.starts_with(".metadata.")) invalid(here, go_quote(path), "must not point to fields in metadata");
      else if (type != "string" && type != "integer" && type != "boolean")
        invalid(here, go_quote(path),
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.");
    }
  }

  void all_names() {
    Value given = spec_["names"];
    auto label = [&](std::string_view key, bool needed, bool lower_cased) {
      std::string at = fmt::format("spec.names.{}", key);
      std::string_view text = given[key].as_string();
      if (text.empty()) {
        if (needed) required(at, "");
        return;
      }
      std::string checked = lower_cased ? to_lower(text) : std::string(text);
      if (auto found = names::dns1035_label(checked); !found.empty())
        invalid(at, go_quote(text),
                lower_cased ? "may have mixed case, but should otherwise match: " + join(found, ",") : join(found, ","));
    };
    label("plural", true, false);
    label("singular", false, false);
    label("kind", true, true);
    label("listKind", true, true);
    for (std::string_view list : {"shortNames", "categories"})
      for (std::size_t i = 0; i < given[list].size(); ++i)
        if (auto found = names::dns1035_label(given[list][i].as_string()); !found.empty())
          invalid(fmt::format("spec.names.{}[{}]", list, i), go_quote(given[list][i].as_string()), join(found, ","));
    if (!given["kind"].as_string().empty() && given["kind"].as_string() == given["listKind"].as_string())
      invalid("spec.names.listKind", go_quote(given["listKind"].as_string()), "kind and listKind may not be the same");
  }

  Value definition_, spec_;
};

}  // namespace

Value version_named(Value definition, std::string_view version) {
  for (Value v : definition["spec"]["versions"].items())
    if (v["name"].as_string() == version) return v;
  return {};
}

std::string_view storage_version(Value definition) {
  for (Value v : definition["spec"]["versions"].items())
    if (v["storage"].as_bool()) return v["name"].as_string();
  return {};
}

constexpr std::string_view bundle_field = "spec.conversion.webhookClientConfig.caBundle";

FieldErrors validate_definition(Value definition) {
  DefinitionChecker checker(definition);
  checker.run();
  checker.preserving();
  // Who fills in the certificate often comes later.
  std::erase_if(checker.errors, [](const FieldError& e) { return e.field == bundle_field; });
  return std::move(checker.errors);
}

FieldErrors validate_definition_update(Value definition, Value old) {
  DefinitionChecker checker(definition);
  checker.run();
  if (!old["spec"]["preserveUnknownFields"].as_bool()) checker.preserving();
  FieldErrors errors = std::move(checker.errors);
  if (!has_condition(old, "Established")) std::erase_if(errors, [](const FieldError& e) { return e.field == bundle_field; });
  // What was stored with a certificate or review versions that nobody knows may stay so.
  DefinitionChecker stored(old);
  stored.conversion();
  std::erase_if(errors, [&](const FieldError& e) {
    return (e.field == bundle_field || e.field == "spec.conversion.conversionReviewVersions") &&
           std::ranges::any_of(stored.errors, [&](const FieldError& o) { return o.field == e.field && o.detail == e.detail; });
  });
  auto immutable = [&](std::string_view path, Value now, Value before) {
    if (!(now == before))
      errors.push_back({Type::invalid, std::string(path), now.is_string() ? go_quote(now.as_string()) : "null", "field is immutable"});
  };
  Value now_names = definition["spec"]["names"], old_names = old["spec"]["names"];
  immutable("spec.group", definition["spec"]["group"], old["spec"]["group"]);
  immutable("spec.names.plural", now_names["plural"], old_names["plural"]);
  if (has_condition(old, "Established")) {
    immutable("spec.scope", definition["spec"]["scope"], old["spec"]["scope"]);
    immutable("spec.names.kind", now_names["kind"], old_names["kind"]);
  }
  return errors;
}

namespace {

// The formats of texts in a schema that no rule goes with.
void unknown_formats(Value schema, std::vector<std::string_view>& out) {
  if (!schema.is_object()) return;
  std::string_view format = schema["format"].as_string();
  if (!format.empty() && schema["type"].as_string() == "string" && !known_format(format)) out.push_back(format);
  for (const char* list : {"allOf", "anyOf", "oneOf"})
    for (Value one : schema[list].items()) unknown_formats(one, out);
  for (const char* one : {"items", "not", "additionalProperties"}) unknown_formats(schema[one], out);
  for (Member one : schema["properties"].members()) unknown_formats(one.value, out);
}

std::vector<std::string_view> unknown_formats(Value definition) {
  std::vector<std::string_view> out;
  Value versions = definition["spec"]["versions"];
  bool alike = true;  // then upstream has one schema for all of them
  for (Value version : versions.items()) alike = alike && version["schema"] == versions[0]["schema"];
  for (std::size_t i = 0; i < versions.size() && (i == 0 || !alike); ++i) unknown_formats(versions[i]["schema"]["openAPIV3Schema"], out);
  return out;
}

}  // namespace

std::vector<std::string> definition_warnings(Value definition, Value before) {
  std::vector<std::string_view> old = unknown_formats(before);
  std::vector<std::string> out;
  for (std::string_view format : unknown_formats(definition))
    if (std::ranges::find(old, format) == old.end()) out.push_back(fmt::format("unrecognized format {}", go_quote(format)));
  return out;
}

bool has_condition(Value definition, std::string_view type) {
  for (Value c : definition["status"]["conditions"].items())
    if (c["type"].as_string() == type) return c["status"].as_string() == "True";
  return false;
}

void set_condition(Draft& status, std::string_view type, bool value, std::string_view reason, std::string_view message,
                   std::string_view now) {
  std::string_view text = value ? "True" : "False";
  Draft& list = status["conditions"];
  if (!list.is_array()) list = Draft::array();
  for (Draft& c : list.items()) {
    if (c["type"].as_string() != type) continue;
    if (c["status"].as_string() != text) c["lastTransitionTime"] = now;
    c["status"] = text;
    c["reason"] = reason;
    c["message"] = message;
    return;
  }
  list.push_back(Draft::object({{"type", type}, {"status", text}, {"lastTransitionTime", now}, {"reason", reason}, {"message", message}}));
}

Draft next_status(Value definition, const TakenNames& taken, std::string_view now) {
  Draft status(definition["status"]);
  Value wanted = definition["spec"]["names"], accepted = definition["status"]["acceptedNames"];
  if (!status.is_object()) status = Draft::object();
  Draft names = Draft::object();
  std::string reason, message;
  auto used = [](const std::vector<std::string>& all, std::string_view name) { return std::ranges::find(all, name) != all.end(); };
  // Of several conflicts the last is told.
  auto refuse = [&](std::string_view why, std::string_view name) {
    reason = why, message = fmt::format("{} is already in use", go_quote(name));
  };
  auto take = [&](std::string_view key, const std::vector<std::string>& others, std::string_view why) {
    std::string_view name = wanted[key].as_string();
    if (name.empty()) return;
    if (!used(others, name)) {
      names[key] = name;
    } else {
      refuse(why, name);
      names[key] = accepted[key].as_string();
    }
  };
  take("plural", taken.names, "PluralConflict");
  take("singular", taken.names, "SingularConflict");
  // Short names come and go together: one that is taken leaves them all as they were.
  std::vector<std::string> taken_shorts;
  for (Value name : wanted["shortNames"].items())
    if (used(taken.names, name.as_string())) taken_shorts.push_back(fmt::format("{} is already in use", go_quote(name.as_string())));
  if (!taken_shorts.empty()) {
    reason = "ShortNamesConflict";
    message = taken_shorts.size() == 1 ? taken_shorts[0] : "[" + join(taken_shorts, ", ") + "]";
  }
  Value shorts = taken_shorts.empty() ? wanted["shortNames"] : accepted["shortNames"];
  if (shorts.size()) names["shortNames"] = shorts;
  take("kind", taken.kinds, "KindConflict");
  take("listKind", taken.kinds, "ListKindConflict");
  if (wanted["categories"].size()) names["categories"] = wanted["categories"];
  for (std::string_view key : {"plural", "kind"})
    if (!names.find(key)) names[key] = "";
  status["acceptedNames"] = std::move(names);
  if (reason.empty()) set_condition(status, "NamesAccepted", true, "NoConflicts", "no conflicts found", now);
  else set_condition(status, "NamesAccepted", false, reason, message, now);
  if (!has_condition(definition, "Established")) {
    if (reason.empty()) set_condition(status, "Established", true, "InitialNamesAccepted", "the initial names have been accepted", now);
    else set_condition(status, "Established", false, "NotAccepted", "not all names are accepted", now);
  }
  std::string_view group = definition["spec"]["group"].as_string();
  if (group == "k8s.io" || group == "kubernetes.io" || group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io")) {
    std::string_view approval = definition["metadata"]["annotations"]["api-approved.kubernetes.io"].as_string();
    if (approval.starts_with("unapproved"))
      set_condition(status, "KubernetesAPIApprovalPolicyConformant", false, "UnapprovedAnnotation",
                    fmt::format("not approved: {}", go_quote(approval)), now);
    else
      set_condition(status, "KubernetesAPIApprovalPolicyConformant", true, "ApprovedAnnotation", fmt::format("approved in {}", approval),
                    now);
  }
  return status;
}

Value at_json_path(Value at, std::string_view path) {
  while (!path.empty() && at.exists()) {
    if (path.starts_with('.')) {
      path.remove_prefix(1);
      std::string key;
      while (!path.empty() && path[0] != '.' && path[0] != '[') {
        if (path[0] == '\\' && path.size() > 1) path.remove_prefix(1);
        key += path[0];
        path.remove_prefix(1);
      }
      if (!key.empty()) at = at[key];
      continue;
    }
    std::size_t end = path.find(']');
    if (path[0] != '[' || end == path.npos) return {};
    std::string_view inside = path.substr(1, end - 1);
    path.remove_prefix(end + 1);
    if (inside == "*") {
      at = at[0];
    } else if (auto index = parse_int(inside)) {
      at = at[static_cast<std::size_t>(*index < 0 ? static_cast<std::int64_t>(at.size()) + *index : *index)];
    } else if (inside.starts_with('\'') || inside.starts_with('"')) {
      at = at[inside.substr(1, inside.size() - 2)];
    } else if (inside.starts_with("?(@.")) {  // [?(@.type=="Ready")]
      std::size_t equals = inside.find("==");
      if (equals == inside.npos) return {};
      std::string_view key = trim(inside.substr(4, equals - 4)), wanted = trim(inside.substr(equals + 2));
      if (wanted.ends_with(')')) wanted = trim(wanted.substr(0, wanted.size() - 1));
      if (wanted.size() >= 2 && (wanted[0] == '"' || wanted[0] == '\'')) wanted = wanted.substr(1, wanted.size() - 2);
      Value found;
      for (Value item : at.items()) {
        Value v = item[key];
        bool same = v.is_string() ? v.as_string() == wanted
                    : v.is_bool() ? wanted == (v.as_bool() ? "true" : "false")
                                  : v.is_int() && std::to_string(v.as_int()) == wanted;
        if (same && !found.exists()) found = item;
      }
      at = found;
    } else {
      return {};
    }
  }
  return at;
}

}  // namespace kybern::custom
