#include "machinery/cel/admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "base/strings.h"

namespace kybern::cel {
namespace {

using Field = std::pair<const char*, const Type*>;

// The structures of the API that are no schema's: made once, kept for good.
struct Structures {
  TypePool pool;
  const Type* request;
  const Type* ns;

  const Type* object(std::string_view name, std::initializer_list<Field> fields) {
    Type* type = pool.make(TypeKind::object);
    type->name = name;
    for (const auto& [field, of] : fields) type->fields.push_back({field, field, of});
    std::ranges::sort(type->fields, {}, &TypeField::name);
    return type;
  }

  Structures() {
    const Type* text = &types::string;
    const Type* texts = pool.list(text);
    const Type* map = pool.map(text, text);
    const Type* kind = object("kubernetes.GroupVersionKind", {{"group", text}, {"version", text}, {"kind", text}});
    const Type* resource = object("kubernetes.GroupVersionResource", {{"group", text}, {"version", text}, {"resource", text}});
    const Type* user =
        object("kubernetes.UserInfo", {{"username", text}, {"uid", text}, {"groups", texts}, {"extra", pool.map(text, texts)}});
    request = object("kubernetes.AdmissionRequest", {{"kind", kind},
                                                     {"resource", resource},
                                                     {"subResource", text},
                                                     {"requestKind", kind},
                                                     {"requestResource", resource},
                                                     {"requestSubResource", text},
                                                     {"name", text},
                                                     {"namespace", text},
                                                     {"operation", text},
                                                     {"userInfo", user},
                                                     {"dryRun", &types::boolean},
                                                     {"options", &types::dyn}});
    const Type* metadata = object("kubernetes.NamespaceMetadata", {{"name", text},
                                                                   {"generateName", text},
                                                                   {"namespace", text},
                                                                   {"labels", map},
                                                                   {"annotations", map},
                                                                   {"UID", text},
                                                                   {"creationTimestamp", &types::timestamp},
                                                                   {"deletionGracePeriodSeconds", &types::integer},
                                                                   {"deletionTimestamp", &types::timestamp},
                                                                   {"generation", &types::integer},
                                                                   {"resourceVersion", text},
                                                                   {"finalizers", texts}});
    ns = object("kubernetes.Namespace", {{"metadata", metadata},
                                         {"spec", object("kubernetes.NamespaceSpec", {{"finalizers", texts}})},
                                         {"status", object("kubernetes.NamespaceStatus", {{"phase", text}})}});
  }
};
const Structures& structures() {
  static const Structures made;
  return made;
}

// Absent is null.
Val value_or_null(Value v, const Type* type = nullptr) { return v.exists() && !v.is_null() ? Program::value(v, type) : Val::null(); }

}  // namespace

const Type* admission_request_type() { return structures().request; }
const Type* admission_namespace_type() { return structures().ns; }

void declare_admission(Environment& environment, AdmissionVariables which) {
  environment.declare("object", &types::dyn);
  environment.declare("oldObject", &types::dyn);
  environment.declare("request", admission_request_type());
  environment.declare("authorizer", authorizer_type());
  environment.declare("authorizer.requestResource", resource_check_type());
  if (which == AdmissionVariables::policy) environment.declare("namespaceObject", admission_namespace_type());
}

std::vector<Val> admission_values(const AdmissionValues& v) {
  auto opaque = [](const Opaque* value) { return value ? Val::of(value) : Val::null(); };
  return {value_or_null(v.object), value_or_null(v.before), value_or_null(v.request, admission_request_type()), opaque(v.authorizer),
          opaque(v.resource_check)};
}

MatchConditions::MatchConditions(Value conditions) {
  Environment environment;
  declare_admission(environment, AdmissionVariables::match_conditions);
  for (Value one : conditions.items()) {
    Condition condition{one["name"].str(), one["expression"].str(), "", nullptr};
    auto program = Program::compile(environment, condition.expression);
    if (!program) condition.error = "compilation failed: " + program.error();
    else if (program->type()->kind != TypeKind::boolean && program->type()->kind != TypeKind::dyn)
      condition.error = "must evaluate to bool";
    else condition.program = std::make_shared<const Program>(std::move(*program));
    conditions_.push_back(std::move(condition));
  }
}

MatchConditions::Result MatchConditions::evaluate(const AdmissionValues& values) const {
  if (conditions_.empty()) return {};
  std::vector<Val> variables = admission_values(values);
  std::vector<std::string> errors;
  std::uint64_t left = match_conditions_limit;
  for (const Condition& condition : conditions_) {
    if (!condition.program) {
      errors.push_back("compilation error: " + condition.error);
      continue;
    }
    Outcome outcome = condition.program->evaluate(variables, std::min(left, per_call_limit));
    if (outcome.kind == Outcome::Kind::cost_exceeded || outcome.cost > left) {
      errors.push_back(
          left < per_call_limit
              ? "validation failed due to running out of cost budget, no further validation rules will be run"
              : fmt::format("expression '{}' resulted in error: operation cancelled: actual cost limit exceeded", condition.expression));
      if (left < per_call_limit) break;
    }
    left -= std::min(left, outcome.cost);
    if (outcome.kind == Outcome::Kind::error)
      errors.push_back(fmt::format("expression '{}' resulted in error: {}", condition.expression, outcome.message));
    if (outcome.kind != Outcome::Kind::value) continue;
    if (outcome.tag != Tag::boolean)
      errors.push_back(fmt::format("expression '{}' resulted in error: must evaluate to bool", condition.expression));
    else if (!outcome.truth) return {false, "", condition.name};  // whatever else failed
  }
  if (errors.empty()) return {};
  return {true, errors.size() == 1 ? errors[0] : "[" + join(errors, ", ") + "]", ""};
}

}  // namespace kybern::cel
