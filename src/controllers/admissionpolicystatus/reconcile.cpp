#include "controllers/admissionpolicystatus/reconcile.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "base/strings.h"
#include "machinery/cel/api_types.h"
#include "machinery/cel/policy.h"
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

std::set<Kind> kinds_of(Value policy) {
  std::set<Kind> out;
  for (Value rule : policy["spec"]["matchConstraints"]["resourceRules"].items()) {
    std::size_t count = 0;
    for (const std::string& group : names(rule["apiGroups"], false))
      for (const std::string& version : names(rule["apiVersions"], false))
        for (const std::string& plural : names(rule["resources"], true)) {
          const schema::Resource* resource = schema::find_resource(group, version, plural);
          if (!resource) continue;
          out.emplace(group, version, resource->kind);
          if (++count == checked_types_max) return out;
        }
  }
  return out;
}

const schema::Resource* param_resource(Value policy) {
  std::string_view api_version = policy["spec"]["paramKind"]["apiVersion"].as_string();
  auto slash = api_version.find('/');
  std::string_view group = slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
  return schema::find_kind(group, slash == std::string_view::npos ? api_version : api_version.substr(slash + 1),
                           policy["spec"]["paramKind"]["kind"].as_string());
}

}  // namespace

std::vector<Warning> check_types(Value policy) {
  Value spec = policy["spec"];
  cel::ApiTypes api;
  std::vector<std::pair<Kind, const cel::Type*>> objects;
  for (const Kind& kind : kinds_of(policy)) {
    const auto& [group, version, name] = kind;
    objects.emplace_back(kind, api.object(*schema::find_kind(group, version, name)->type));
  }
  const schema::Resource* params = param_resource(policy);
  const cel::Type* params_type = params ? api.object(*params->type) : &cel::types::dyn;
  auto check = [&](std::string_view expression) {
    std::vector<std::string> texts;
    for (const auto& [kind, type] : objects) {
      cel::PolicyCompiler compiler(params != nullptr, {type, params_type});
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

Plan reconcile(const Document& policy) {
  Plan plan;
  std::int64_t generation = policy["metadata"]["generation"].as_int();
  if (policy["status"]["observedGeneration"].as_int() == generation && policy["status"]["typeChecking"].is_object()) return plan;
  Draft patch = Draft::object();
  Draft& status = patch["status"];
  status["observedGeneration"] = generation;
  status["typeChecking"] = Draft::object();
  std::vector<Warning> warnings = check_types(policy);
  status["typeChecking"]["expressionWarnings"] = warnings.empty() ? Draft() : Draft::array();
  for (const Warning& warning : warnings)
    status["typeChecking"]["expressionWarnings"].push_back(Draft::object({{"fieldRef", warning.field}, {"warning", warning.text}}));
  plan.status = patch_action(Action::Verb::merge_patch, "validatingadmissionpolicies", policy, patch.freeze(), "status");
  return plan;
}

}  // namespace kybern::controllers::admissionpolicystatus
