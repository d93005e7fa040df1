// What an expression about a request may name: match conditions of webhooks, and admission policies (KEP-3716, KEP-3488).
//
//   object, oldObject               as the API has them; null where there is none
//   request                         an AdmissionRequest, without its objects
//   authorizer, authorizer.requestResource
//   params, namespaceObject         of policies
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machinery/cel/cel.h"

namespace kybern::cel {

constexpr std::uint64_t match_conditions_limit = 2'500'000;  // cost units of all conditions of one webhook or policy

const Type* admission_request_type();    // kubernetes.AdmissionRequest
const Type* admission_namespace_type();  // kubernetes.Namespace

enum class AdmissionVariables { match_conditions, policy };
// In this order: object, oldObject, request, authorizer, authorizer.requestResource; of a policy then namespaceObject
// and (its own matter, as they are only there with a paramKind) params.
void declare_admission(Environment& environment, AdmissionVariables which);

// What the five variables are in one evaluation. Borrowed: everything outlives the evaluation.
struct AdmissionValues {
  Value object, before, request;
  const Opaque* authorizer = nullptr;
  const Opaque* resource_check = nullptr;
};
std::vector<Val> admission_values(const AdmissionValues& values);  // in the order of declare_admission()

// The `matchConditions` of a webhook or policy, compiled once.
class MatchConditions {
 public:
  MatchConditions() = default;  // none: everything matches
  explicit MatchConditions(Value conditions);
  bool empty() const { return conditions_.empty(); }

  struct Result {
    bool matches = true;
    std::string error;        // of a condition that could not be evaluated while none was false: the failure policy decides
    std::string excluded_by;  // the condition that was false
  };
  Result evaluate(const AdmissionValues& values) const;

 private:
  struct Condition {
    std::string name, expression, error;  // error: it does not compile
    std::shared_ptr<const Program> program;
  };
  std::vector<Condition> conditions_;
};

}  // namespace kybern::cel
