// ValidatingAdmissionPolicies: their expressions are checked against the types that they are about, and what does not fit is
// said in their status (status.typeChecking). It changes nothing about what the policy does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::admissionpolicystatus {

inline constexpr std::size_t checked_types_max = 10;  // of one rule

struct Warning {
  std::string field, text;
};
// `definitions`: of custom resources, those that the policy may be about.
std::vector<Warning> check_types(Value policy, const std::vector<Document>& definitions = {});
// Whether the policy names resources or parameters that are not built in, so that definitions have to be read.
bool needs_definitions(Value policy);

Plan reconcile(const Document& policy, const std::vector<Document>& definitions = {});

}  // namespace kybern::controllers::admissionpolicystatus
