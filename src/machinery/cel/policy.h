// The expressions of admission policies (ValidatingAdmissionPolicy, KEP-3488; MutatingAdmissionPolicy, KEP-3962): compiled
// once, evaluated for each request with one budget. Variables are found when an expression first asks for them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/cel/admission.h"

namespace kybern::cel {

enum class Wanted { any, boolean, string, string_or_null, object, json_patches };

struct Expression {
  std::string text, error;  // error: why it does not compile, in upstream's words
  std::shared_ptr<const Program> program;
};

// Makes the expressions of one policy. What it compiles refers to its types: it outlives them.
class PolicyCompiler {
 public:
  // The types of what is judged; dyn at run time, those of the schema when a policy's types are checked.
  struct Types {
    const Type* object = &types::dyn;
    const Type* params = &types::dyn;
  };
  explicit PolicyCompiler(bool has_params);
  PolicyCompiler(bool has_params, Types types);
  PolicyCompiler(const PolicyCompiler&) = delete;
  PolicyCompiler& operator=(const PolicyCompiler&) = delete;

  // Messages may not ask the authorizer.
  Expression compile(std::string_view text, Wanted wanted, bool authorizer = true);
  // Later expressions see `variables.NAME`; one that does not compile is dyn, and an error when it is asked for.
  const Expression& add_variable(std::string_view name, std::string_view text);

 private:
  friend class PolicyRun;
  Environment environment(bool authorizer, bool mutates);

  bool has_params_;
  Types types_;
  TypePool pool_;
  Type* variables_type_ = nullptr;  // nullptr: no variables yet
  std::map<std::string, Expression, std::less<>> variables_;
  std::map<std::string, const Type*, std::less<>> messages_;  // Object.spec ... as they were named
};

constexpr std::uint64_t policy_limit = 10'000'000;  // cost units of one policy's expressions about one request

struct PolicyValues {
  AdmissionValues admission;
  Value ns, params;  // absent: null
};

// One policy's expressions about one request with one parameter: they share what variables turned out to be, and a budget.
class PolicyRun {
 public:
  PolicyRun(const PolicyCompiler& compiler, const PolicyValues& values, std::uint64_t budget);
  ~PolicyRun();

  struct Result {
    std::string error;           // of this expression; "" when there is an outcome
    bool out_of_budget = false;  // nothing more is evaluated
    Outcome outcome;
  };
  Result evaluate(const Expression& expression, bool wants_document = false);
  std::uint64_t remaining() const { return remaining_; }

 private:
  class Variables;
  std::vector<Val> values_;
  std::unique_ptr<Variables> variables_;
  std::uint64_t remaining_;
};

inline constexpr const char* out_of_budget_message =
    "validation failed due to running out of cost budget, no further validation rules will be run";

}  // namespace kybern::cel
