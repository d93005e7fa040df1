// The text of the default roles and bindings; authz/policy.cpp reads it. Its form is explained where it stands.
#pragma once

#include <string_view>
#include <vector>

#include "document/document.h"

namespace kybern::apiserver {

inline constexpr std::string_view rbac_group = "rbac.authorization.k8s.io";

extern const std::string_view bootstrap_policy;
std::vector<Document> bootstrap_rules(std::string_view cluster_role);  // as the program ships them

}  // namespace kybern::apiserver
