// What both kinds of admission policies are made of.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "apiserver/admission/match.h"
#include "apiserver/admission/review.h"
#include "machinery/cel/policy.h"

namespace kybern::apiserver::admission {

struct CompiledPolicy {
  CompiledPolicy(const Document& policy, bool mutating);
  Document policy;
  cel::PolicyCompiler compiler;
  std::vector<cel::Expression> conditions;
  std::vector<cel::Expression> validations, messages, annotations;  // of a validating one; a message without a text has no program
  std::vector<cel::Expression> mutations;                           // of a mutating one
};

// Compiled when it is first asked for; what it was compiled to is kept until the policy is another.
std::shared_ptr<const CompiledPolicy> compiled_policy(const Document& policy, bool mutating);

// A policy with the bindings that put it into force.
struct PolicyInForce {
  Document policy;
  std::vector<Document> bindings;
};
std::vector<PolicyInForce> policies_in_force(const Registry& registry, bool mutating);  // by name

bool policy_exempt(const Work& work);  // policies do not judge policies

ApiResult<const Served*> match_resources(Value resources, const MatchTarget& target, const Registry& registry, bool rules_optional);

// Why the kind of a policy's parameters cannot be used, "" when it can.
std::string unknown_param_kind(const Registry& registry, Value policy);
// The parameters with which a binding has its policy evaluated: one that is empty when there is none to give.
std::expected<std::vector<Document>, std::string> params_of(const Registry& registry, Value policy, Value binding,
                                                            std::string_view request_ns);
Document namespace_object(const AdmissionAttributes& a);

// `authorizer` and `authorizer.requestResource` of one request.
struct PolicyAuthorizer {
  PolicyAuthorizer(const Work& work, const MatchTarget& target)
      : authorizer(work, target),
        whole(cel::authorizer_value(authorizer)),
        resource_check(cel::resource_check_value(authorizer, authorizer.resource())) {}
  RequestAuthorizer authorizer;
  std::unique_ptr<cel::Opaque> whole, resource_check;
};

struct Conditions {
  bool hold = true;
  std::string error;  // of one that could not be evaluated, while none was false
};
Conditions conditions_hold(const CompiledPolicy& policy, const cel::PolicyValues& values);

}  // namespace kybern::apiserver::admission
