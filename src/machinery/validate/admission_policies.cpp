// Admission policies and their bindings; every expression is compiled.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "base/strings.h"
#include "machinery/cel/policy.h"
#include "machinery/validate/admission_rules.h"

namespace kybern::rules {
namespace {

using cel::Wanted;

constexpr std::size_t conditions_max = 64, annotations_max = 20, annotation_expression_max_bytes = 5 * 1024;

void selector(Findings& f, Value holder, const char* name, const Path& path) {
  if (!set(holder, name)) f.required(path.child(name));
  else f.add(validate_label_selector(holder[name], path.child(name)));
}

void named_rule(Findings& f, Value one, const Path& path) {
  Path resource_names = path.child("resourceNames");
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value name : one["resourceNames"].items()) {
    Path at = resource_names.index(i++);
    f.say(at, name.as_string(), name_is_path_segment(name.as_string(), false));
    if (!seen.emplace(name.as_string()).second) f.duplicate(at, name.as_string());
  }
  admission_rule(f, one, path);
}

void match_resources(Findings& f, Value match, const Path& path) {
  if (!set(match, "matchPolicy")) f.required(path.child("matchPolicy"));
  else f.enumerated(path.child("matchPolicy"), text(match, "matchPolicy"), {"Equivalent", "Exact"});
  selector(f, match, "namespaceSelector", path);
  selector(f, match, "objectSelector", path);
  for (const char* list : {"resourceRules", "excludeResourceRules"}) {
    Path rules = path.child(list);
    std::size_t i = 0;
    for (Value one : match[list].items()) named_rule(f, one, rules.index(i++));
  }
}

void param_kind(Findings& f, Value kind, const Path& path) {
  std::string_view whole = text(kind, "apiVersion"), name = text(kind, "kind");
  Path at = path.child("apiVersion");
  auto slashes = std::ranges::count(whole, '/');
  if (whole.empty()) {
    f.required(at);
  } else if (slashes > 1) {
    f.invalid(at, whole, fmt::format("unexpected GroupVersion string: {}", whole));
  } else {
    std::string_view group = slashes ? whole.substr(0, whole.find('/')) : std::string_view(),
                     version = slashes ? whole.substr(whole.find('/') + 1) : whole;
    if (!group.empty())
      if (auto why = names::dns1123_subdomain(group); !why.empty()) f.invalid(at, group, join(why, ","));
    if (version.empty()) f.invalid(at, whole, "version must be specified");
    else if (auto why = names::dns1035_label(version); !why.empty()) f.invalid(at, version, join(why, ","));
  }
  if (name.empty()) f.required(path.child("kind"));
  else if (auto why = names::dns1035_label(to_lower(name)); !why.empty())
    f.invalid(path.child("kind"), name, "may have mixed case, but should otherwise match: " + join(why, ","));
}

void match_conditions(Findings& f, Value list, bool has_params, const Path& path) {
  if (list.size() > conditions_max) f.too_many(path, list.size(), conditions_max);
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value condition : list.items()) {
    Path at = path.index(i++);
    std::string_view name = text(condition, "name"), expression = trim(text(condition, "expression"));
    if (expression.empty()) {
      f.required(at.child("expression"));
    } else {
      cel::PolicyCompiler compiler(has_params);
      if (auto made = compiler.compile(expression, Wanted::boolean); !made.error.empty())
        f.invalid(at.child("expression"), expression, made.error);
    }
    if (name.empty()) {
      f.required(at.child("name"));
      continue;
    }
    qualified(f, name, at.child("name"));
    if (!seen.emplace(name).second) f.duplicate(at.child("name"), name);
  }
}

bool is_identifier(std::string_view name) {
  static constexpr std::string_view reserved[] = {"true",     "false",   "null",      "in",       "as",  "break",  "const",
                                                  "continue", "else",    "for",       "function", "if",  "import", "let",
                                                  "loop",     "package", "namespace", "return",   "var", "void",   "while"};
  auto fits = [](unsigned char c) { return c == '_' || std::isalnum(c); };
  return !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0])) && std::ranges::all_of(name, fits) &&
         std::ranges::find(reserved, name) == std::end(reserved);
}

void variables(Findings& f, Value list, cel::PolicyCompiler& compiler, const Path& path) {
  std::size_t i = 0;
  for (Value variable : list.items()) {
    Path at = path.index(i++);
    std::string_view name = text(variable, "name"), expression = text(variable, "expression");
    if (trim(name).empty()) f.required(at.child("name"), "name is not specified");
    else if (!is_identifier(name)) f.invalid(at.child("name"), name, "name is not a valid CEL identifier");
    if (trim(expression).empty()) f.required(at.child("expression"), "expression is not specified");
    else if (const auto& made = compiler.add_variable(name, expression); !made.error.empty())
      f.invalid(at.child("expression"), expression, made.error);
  }
}

void compiled(Findings& f, cel::PolicyCompiler& compiler, std::string_view expression, Wanted wanted, bool authorizer, const Path& path) {
  if (auto made = compiler.compile(expression, wanted, authorizer); !made.error.empty()) f.invalid(path, expression, made.error);
}

void validation(Findings& f, Value one, cel::PolicyCompiler& compiler, const Path& path) {
  std::string_view expression = text(one, "expression"), message = text(one, "message"), said = text(one, "messageExpression");
  if (trim(expression).empty()) f.required(path.child("expression"), "expression is not specified");
  else compiled(f, compiler, expression, Wanted::boolean, true, path.child("expression"));
  if (!said.empty() && trim(said).empty()) f.invalid(path.child("messageExpression"), said, "must be non-empty if specified");
  else if (!said.empty()) compiled(f, compiler, said, Wanted::string, false, path.child("messageExpression"));
  if (!message.empty() && trim(message).empty()) f.invalid(path.child("message"), message, "message must be non-empty if specified");
  else if (trim(message).find_first_of("\n\r") != std::string_view::npos)
    f.invalid(path.child("message"), message, "message must not contain line breaks");
  if (set(one, "reason"))
    f.enumerated(path.child("reason"), text(one, "reason"), {"Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"});
}

void audit_annotations(Findings& f, Value object, cel::PolicyCompiler& compiler, const Path& path) {
  Value list = object["spec"]["auditAnnotations"];
  std::string_view name = text(object["metadata"], "name");
  if (list.size() > annotations_max) f.invalid(path, list, fmt::format("must not have more than {} auditAnnotations", annotations_max));
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value one : list.items()) {
    Path at = path.index(i++);
    std::string_view key = text(one, "key"), whole = text(one, "valueExpression"), expression = trim(whole);
    if (name.empty()) f.invalid(at.child("key"), key, "requires metadata.name be non-empty");
    else qualified(f, fmt::format("{}/{}", name, key), at.child("key"));
    if (expression.empty()) {
      f.required(at.child("valueExpression"), "valueExpression is not specified");
    } else if (expression.size() > annotation_expression_max_bytes) {
      f.required(at.child("valueExpression"), fmt::format("must not exceed {} bytes in length", annotation_expression_max_bytes));
    } else if (auto made = compiler.compile(expression, Wanted::string_or_null); !made.error.empty()) {
      f.invalid(at.child("valueExpression"), whole, made.error);
    }
    if (!seen.emplace(key).second) f.duplicate(at.child("key"), key);
  }
}

// What both kinds of policies say before what they do. Conditions that were there before, about the same parameters, are let be:
// they may be from a time when they compiled.
void policy_head(Findings& f, Value spec, Value before, const Path& path) {
  if (!set(spec, "failurePolicy")) f.required(path.child("failurePolicy"));
  else f.enumerated(path.child("failurePolicy"), text(spec, "failurePolicy"), {"Fail", "Ignore"});
  if (set(spec, "paramKind")) param_kind(f, spec["paramKind"], path.child("paramKind"));
  Path match = path.child("matchConstraints");
  if (!set(spec, "matchConstraints")) {
    f.required(match);
  } else {
    match_resources(f, spec["matchConstraints"], match);
    if (spec["matchConstraints"]["resourceRules"].empty()) f.required(match.child("resourceRules"));
  }
  const bool unchanged =
      before.exists() && before["matchConditions"] == spec["matchConditions"] && before["paramKind"] == spec["paramKind"];
  if (!unchanged) match_conditions(f, spec["matchConditions"], set(spec, "paramKind"), path.child("matchConditions"));
}

void validating_spec(Findings& f, Value object, Value before = {}) {
  const Path path("spec");
  Value spec = object["spec"];
  cel::PolicyCompiler compiler(set(spec, "paramKind"));
  policy_head(f, spec, before["spec"], path);
  variables(f, spec["variables"], compiler, path.child("variables"));
  Path validations = path.child("validations"), annotations = path.child("auditAnnotations");
  if (spec["validations"].empty() && spec["auditAnnotations"].empty()) {
    f.required(validations, "validations or auditAnnotations must contain at least one item");
    return f.required(annotations, "validations or auditAnnotations must contain at least one item");
  }
  std::size_t i = 0;
  for (Value one : spec["validations"].items()) validation(f, one, compiler, validations.index(i++));
  audit_annotations(f, object, compiler, annotations);
}

void mutation(Findings& f, Value one, cel::PolicyCompiler& compiler, const Path& path) {
  std::string_view type = text(one, "patchType");
  if (type.empty()) return f.required(path.child("patchType"));
  if (type != "ApplyConfiguration" && type != "JSONPatch")
    return f.not_supported(path.child("patchType"), type, {"ApplyConfiguration", "JSONPatch"});
  bool patch = type == "JSONPatch";
  const char *mine = patch ? "jsonPatch" : "applyConfiguration", *other = patch ? "applyConfiguration" : "jsonPatch";
  Path at = path.child(mine);
  std::string_view expression = text(one[mine], "expression");
  if (!set(one, mine)) f.required(at, fmt::format("{} is required when patchType is {}", mine, type));
  else if (trim(expression).empty()) f.required(at.child("expression"), "expression is not specified");
  else compiled(f, compiler, expression, patch ? Wanted::json_patches : Wanted::object, true, at.child("expression"));
  if (set(one, other)) f.forbidden(path.child(other), fmt::format("{} must not be specified when patchType is {}", other, type));
}

void mutating_spec(Findings& f, Value object, Value before = {}) {
  const Path path("spec");
  Value spec = object["spec"];
  cel::PolicyCompiler compiler(set(spec, "paramKind"));
  policy_head(f, spec, before["spec"], path);
  variables(f, spec["variables"], compiler, path.child("variables"));
  Path mutations = path.child("mutations");
  if (spec["mutations"].empty()) f.required(mutations, "mutations must contain at least one item");
  std::size_t i = 0;
  for (Value one : spec["mutations"].items()) mutation(f, one, compiler, mutations.index(i++));
  f.one_of(path.child("reinvocationPolicy"), text(spec, "reinvocationPolicy"), {"IfNeeded", "Never"});
}

void param_ref(Findings& f, Value ref, const Path& path) {
  if (ref.is_null()) return;
  std::string_view name = text(ref, "name");
  bool selects = set(ref, "selector");
  if (!name.empty()) {
    f.say(path.child("name"), name, name_is_path_segment(name, false));
    if (selects) f.forbidden(path.child("name"), "name and selector are mutually exclusive");
  }
  if (selects) {
    f.add(validate_label_selector(ref["selector"], path.child("selector")));
    if (!name.empty()) f.forbidden(path.child("selector"), "name and selector are mutually exclusive");
  }
  if (name.empty() && !selects) f.required(path, "one of name or selector must be specified");
  f.one_of(path.child("parameterNotFoundAction"), text(ref, "parameterNotFoundAction"), {"Deny", "Allow"});
}

void binding_spec(Findings& f, Value spec, const Path& path) {
  std::string_view policy = text(spec, "policyName");
  if (policy.empty()) f.required(path.child("policyName"));
  else f.say(path.child("policyName"), policy, name_is_subdomain(policy, false));
  param_ref(f, spec["paramRef"], path.child("paramRef"));
  if (set(spec, "matchResources")) match_resources(f, spec["matchResources"], path.child("matchResouces"));  // as upstream spells it
}

void validation_actions(Findings& f, Value list, const Path& path) {
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value action : list.items()) {
    Path at = path.index(i++);
    f.enumerated(at, action.as_string(), {"Audit", "Deny", "Warn"});
    if (!seen.emplace(action.as_string()).second) f.duplicate(at, action.as_string());
  }
  if (seen.contains("Deny") && seen.contains("Warn"))
    f.invalid(path, list,
              "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers "
              "serves no purpose)");
  if (seen.empty()) f.required(path, "at least one validation action is required");
}

}  // namespace

void validating_policy_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  validating_spec(f, object);
}
void validating_policy_update(Findings& f, Value object, Value before) {
  object_meta(f, object, false, name_is_subdomain);
  validating_spec(f, object, before);
}

void validating_policy_status(Findings& f, Value object, Value) {
  const Path path("status.typeChecking.expressionWarnings");
  std::size_t i = 0;
  for (Value one : object["status"]["typeChecking"]["expressionWarnings"].items()) {
    Path at = path.index(i++);
    if (text(one, "warning").empty()) f.required(at.child("warning"));
    if (trim(text(one, "fieldRef")).empty()) f.required(at.child("fieldRef"));
  }
}

void validating_binding_create(Findings& f, Value object) {
  const Path path("spec");
  object_meta(f, object, false, name_is_subdomain);
  binding_spec(f, object["spec"], path);
  validation_actions(f, object["spec"]["validationActions"], path.child("validationActions"));
}
void validating_binding_update(Findings& f, Value object, Value) { validating_binding_create(f, object); }

void mutating_policy_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  mutating_spec(f, object);
}
void mutating_policy_update(Findings& f, Value object, Value before) {
  object_meta(f, object, false, name_is_subdomain);
  mutating_spec(f, object, before);
}

void mutating_binding_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  binding_spec(f, object["spec"], Path("spec"));
}
void mutating_binding_update(Findings& f, Value object, Value) { mutating_binding_create(f, object); }

}  // namespace kybern::rules
