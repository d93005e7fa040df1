#include "machinery/cel/policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "machinery/cel/ast.h"
#include "machinery/cel/evaluation.h"

namespace kybern::cel {
namespace {

const Type* json_patch_type() {
  static const Type made = [] {
    Type type{.kind = TypeKind::object};
    type.name = "JSONPatch";
    type.fields = {
        {"from", "from", &types::string}, {"op", "op", &types::string}, {"path", "path", &types::string}, {"value", "value", &types::dyn}};
    return type;
  }();
  return &made;
}

// The type that an expression has to have, exactly: dyn is not enough.
std::string misfit(const Type& type, Wanted wanted) {
  auto is = [&](TypeKind kind) { return type.kind == kind; };
  switch (wanted) {
    case Wanted::any: return {};
    case Wanted::boolean: return is(TypeKind::boolean) ? "" : "must evaluate to bool";
    case Wanted::string: return is(TypeKind::string) ? "" : "must evaluate to string";
    case Wanted::string_or_null: return is(TypeKind::string) || is(TypeKind::null) ? "" : "must evaluate to one of [string null_type]";
    case Wanted::object: return is(TypeKind::object) && type.name == "Object" ? "" : "must evaluate to Object";
    case Wanted::json_patches:
      return is(TypeKind::list) && type.item()->kind == TypeKind::object && type.item()->name == "JSONPatch"
                 ? ""
                 : "must evaluate to list(JSONPatch)";
  }
  return {};
}

}  // namespace

PolicyCompiler::PolicyCompiler(bool has_params) : PolicyCompiler(has_params, Types{}) {}
PolicyCompiler::PolicyCompiler(bool has_params, Types types) : has_params_(has_params), types_(types) {}

// Values are passed in the order of declaration, so what an expression must not name keeps its place under no name.
Environment PolicyCompiler::environment(bool authorizer, bool mutates) {
  Environment out;
  out.declare("object", types_.object);
  out.declare("oldObject", types_.object);
  out.declare("request", admission_request_type());
  out.declare(authorizer ? "authorizer" : "", authorizer_type());
  out.declare(authorizer ? "authorizer.requestResource" : "", resource_check_type());
  out.declare("namespaceObject", admission_namespace_type());
  out.declare(has_params_ ? "params" : "", types_.params);
  if (variables_type_) out.declare("variables", variables_type_);
  if (!mutates) return out;
  out.structure(json_patch_type());
  out.structures([this](std::string_view name) -> const Type* {
    if (name != "Object" && !name.starts_with("Object.")) return nullptr;
    auto [at, made] = messages_.try_emplace(std::string(name), nullptr);
    if (made) {
      Type* type = pool_.make(TypeKind::object);
      type->name = name;
      type->open = true;
      at->second = type;
    }
    return at->second;
  });
  return out;
}

Expression PolicyCompiler::compile(std::string_view text, Wanted wanted, bool authorizer) {
  Expression out{std::string(text), "", nullptr};
  auto program = Program::compile(environment(authorizer, wanted == Wanted::object || wanted == Wanted::json_patches), text);
  if (!program) out.error = "compilation failed: " + program.error();
  else if (std::string why = misfit(*program->type(), wanted); !why.empty()) out.error = std::move(why);
  else out.program = std::make_shared<const Program>(std::move(*program));
  return out;
}

const Expression& PolicyCompiler::add_variable(std::string_view name, std::string_view text) {
  Expression made = compile(text, Wanted::any);
  if (!variables_type_) {
    variables_type_ = pool_.make(TypeKind::object);
    variables_type_->name = "kubernetes.variables";
  }
  const Type* type = made.program ? made.program->type() : &types::dyn;
  auto& fields = variables_type_->fields;
  auto at = std::ranges::lower_bound(fields, name, {}, &TypeField::name);
  if (at != fields.end() && at->name == name) at->type = type;
  else fields.insert(at, {std::string(name), std::string(name), type});
  return variables_.insert_or_assign(std::string(name), std::move(made)).first->second;
}

// What was found stays until the run is over; each is found once.
class PolicyRun::Variables : public Lookup {
 public:
  Variables(const PolicyCompiler& compiler, std::vector<Val>& values) : compiler_(compiler), values_(values) {}
  bool has(std::string_view key) override { return compiler_.variables_.contains(key); }
  Val get(Evaluation& asking, std::string_view key) override {
    auto known = compiler_.variables_.find(key);
    if (known == compiler_.variables_.end()) return asking.error(fmt::format("no such key: {}", key));
    auto [at, fresh] = found_.try_emplace(known->first);
    if (fresh) find(known->second, at->second);
    if (at->second.error.empty()) return at->second.value;
    return asking.error(fmt::format("composited variable {} {}", go_quote(key), at->second.error));
  }
  std::uint64_t take_cost() { return std::exchange(cost_, 0); }

 private:
  struct Found {
    std::unique_ptr<Evaluation> keeper;  // holds what the value lies in
    Val value;
    std::string error;
  };
  void find(const Expression& expression, Found& out) {
    out.error = "fails to evaluate: a variable that asks for itself";  // until it is known
    if (!expression.program) {
      out.error = "fails to compile: " + expression.error;
      return;
    }
    auto keeper = std::make_unique<Evaluation>(none_, std::span<const Val>(), per_call_limit, nullptr);
    Val value = expression.program->evaluate_in(*keeper, values_);
    cost_ += keeper->cost();
    if (keeper->exhausted()) out.error = "fails to evaluate: operation cancelled: actual cost limit exceeded";
    else if (value.is_error()) out.error = fmt::format("fails to evaluate: {}", value.str());
    else out.error.clear(), out.value = value;
    out.keeper = std::move(keeper);
  }

  const PolicyCompiler& compiler_;
  std::vector<Val>& values_;
  Ast none_;
  std::map<std::string_view, Found> found_;
  std::uint64_t cost_ = 0;
};

PolicyRun::PolicyRun(const PolicyCompiler& compiler, const PolicyValues& values, std::uint64_t budget)
    : values_(admission_values(values.admission)), remaining_(budget) {
  auto or_null = [](Value v, const Type* type) { return v.exists() && !v.is_null() ? Program::value(v, type) : Val::null(); };
  values_.push_back(or_null(values.ns, admission_namespace_type()));
  values_.push_back(or_null(values.params, nullptr));
  variables_ = std::make_unique<Variables>(compiler, values_);
  values_.push_back(Val::of(static_cast<Lookup*>(variables_.get())));
}
PolicyRun::~PolicyRun() = default;

PolicyRun::Result PolicyRun::evaluate(const Expression& expression, bool wants_document) {
  Result out;
  if (!expression.program) {
    out.error = "compilation error: " + expression.error;
    return out;
  }
  out.outcome = expression.program->evaluate(values_, per_call_limit, wants_document);
  std::uint64_t cost = out.outcome.cost + variables_->take_cost();
  if (cost > remaining_) {
    out.out_of_budget = true;
    out.error = out_of_budget_message;
    return out;
  }
  remaining_ -= cost;
  if (out.outcome.kind != Outcome::Kind::value)
    out.error = fmt::format("expression '{}' resulted in error: {}", expression.text, out.outcome.message);
  return out;
}

}  // namespace kybern::cel
