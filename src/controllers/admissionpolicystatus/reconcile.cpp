#include "controllers/admissionpolicystatus/reconcile.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "base/strings.h"
#include "machinery/cel/api_types.h"
#include "machinery/cel/policy.h"
#include "machinery/custom/object_type.h"
#include "schema/schema.h"

namespace kybern::controllers::admissionpolicystatus {
namespace {

using Kind = std::tuple<std::string, std::string, std::string>;  // group, version, kind: in the order in which they are named

// Names without wildcards, sorted; of groups and versions a wildcard means that nothing can be said.
std::vector<std::string> names(Value list, bool resources) {
  std::vector<std::string> out;
  for (Value one : list.items()) {
    std::string_view text = one.as_string();
    bool wild = text.find_first_of(resources ? "*/" : "*") != std::string_view::npos;
    if (wild && !resources) return {};
    if (!wild) out.emplace_back(text);
  }
  std::ranges::sort(out);
  return out;
}

// A kind that is built in, or one of a definition.
struct Described {
  Kind kind;
  const schema::Type* type = nullptr;
  Value schema{};  // of a custom resource
};

std::optional<Described> of_definition(const std::vector<Document>& definitions, std::string_view group, std::string_view version,
                                       std::string_view field, std::string_view name) {
  for (const Document& definition : definitions) {
    Value spec = definition["spec"];
    if (spec["group"].as_string() != group || spec["names"][field].as_string() != name) continue;
    for (Value one : spec["versions"].items())
      if (one["name"].as_string() == version && one["served"].as_bool())
        return Described{
            {std::string(group), std::string(version), spec["names"]["kind"].str()}, nullptr, one["schema"]["openAPIV3Schema"]};
  }
  return std::nullopt;
}

std::optional<Described> described(const std::vector<Document>& definitions, const std::string& group, const std::string& version,
                                   const std::string& plural) {
  if (const schema::Resource* resource = schema::find_resource(group, version, plural))
    return Described{{group, version, std::string(resource->kind)}, schema::find_kind(group, version, resource->kind)->type};
  return of_definition(definitions, group, version, "plural", plural);
}

std::map<Kind, Described> kinds_of(Value policy, const std::vector<Document>& definitions, bool* unknown = nullptr) {
  std::map<Kind, Described> out;
  for (Value rule : policy["spec"]["matchConstraints"]["resourceRules"].items()) {
    std::size_t count = 0;
    for (const std::string& group : names(rule["apiGroups"], false))
      for (const std::string& version : names(rule["apiVersions"], false))
        for (const std::string& plural : names(rule["resources"], true)) {
          auto one = described(definitions, group, version, plural);
          if (!one && unknown) *unknown = true;
          if (!one) continue;
          out.emplace(one->kind, *one);
          if (++count == checked_types_max) return out;
        }
  }
  return out;
}

std::optional<Described> param_kind(Value policy, const std::vector<Document>& definitions) {
  Value given = policy["spec"]["paramKind"];
  if (!given.is_object()) return std::nullopt;
  std::string_view api_version = given["apiVersion"].as_string(), kind = given["kind"].as_string();
  auto slash = api_version.find('/');
  std::string_view group = slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
  std::string_view version = slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
  if (const schema::Resource* resource = schema::find_kind(group, version, kind))
    return Described{{std::string(group), std::string(version), std::string(kind)}, resource->type};
  return of_definition(definitions, group, version, "kind", kind);
}

class Types {
 public:
  const cel::Type* of(const Described& one) {
    if (one.type) return api_.object(*one.type);
    static const schema::Type* metadata = schema::find_type_named("meta.v1.ObjectMeta");
    return custom::object_type(pool_, one.schema, std::get<2>(one.kind), api_.object(*metadata));
  }

 private:
  cel::ApiTypes api_;
  cel::TypePool pool_;
};

}  // namespace

bool needs_definitions(Value policy) {
  bool unknown = false;
  kinds_of(policy, {}, &unknown);
  return unknown || (policy["spec"]["paramKind"].is_object() && !param_kind(policy, {}));
}

std::vector<Warning> check_types(Value policy, const std::vector<Document>& definitions) {
  Value spec = policy["spec"];
  Types types;
  std::vector<std::pair<Kind, const cel::Type*>> objects;
  for (const auto& [kind, one] : kinds_of(policy, definitions)) objects.emplace_back(kind, types.of(one));
  const auto params = param_kind(policy, definitions);
  const cel::Type* params_type = params ? types.of(*params) : &cel::types::dyn;
  auto check = [&](std::string_view expression) {
    std::vector<std::string> texts;
    for (const auto& [kind, type] : objects) {
      cel::PolicyCompiler compiler(spec["paramKind"].is_object(), {type, params_type});
      for (Value variable : spec["variables"].items())
        compiler.add_variable(variable["name"].as_string(), variable["expression"].as_string());
      std::string error = compiler.compile(expression, cel::Wanted::any).error;
      constexpr std::string_view failed = "compilation failed: ";
      if (error.starts_with(failed)) error.erase(0, failed.size());
      const auto& [group, version, name] = kind;
      if (!error.empty()) texts.push_back(fmt::format("{}/{}, Kind={}: {}\n", group, version, name, error));
    }
    return join(texts, "\n");
  };
  std::vector<Warning> out;
  std::size_t i = 0;
  for (Value validation : spec["validations"].items()) {
    std::size_t at = i++;
    for (const char* field : {"expression", "messageExpression"}) {
      std::string_view expression = validation[field].as_string();
      if (expression.empty()) continue;
      if (std::string text = check(expression); !text.empty())
        out.push_back({fmt::format("spec.validations[{}].{}", at, field), std::move(text)});
    }
  }
  return out;
}

Plan reconcile(const Document& policy, const std::vector<Document>& definitions) {
  Plan plan;
  std::int64_t generation = policy["metadata"]["generation"].as_int();
  if (policy["status"]["observedGeneration"].as_int() == generation && policy["status"]["typeChecking"].is_object()) return plan;
  Draft patch = Draft::object();
  Draft& status = patch["status"];
  status["observedGeneration"] = generation;
  status["typeChecking"] = Draft::object();
  std::vector<Warning> warnings = check_types(policy, definitions);
  status["typeChecking"]["expressionWarnings"] = warnings.empty() ? Draft() : Draft::array();
  for (const Warning& warning : warnings)
    status["typeChecking"]["expressionWarnings"].push_back(Draft::object({{"fieldRef", warning.field}, {"warning", warning.text}}));
  plan.status = patch_action(Action::Verb::merge_patch, "validatingadmissionpolicies", policy, patch.freeze(), "status");
  return plan;
}

}  // namespace kybern::controllers::admissionpolicystatus
