// The text of the default roles and bindings; authz/policy.cpp reads it. Its form is explained where it stands.
#pragma once

#include <string_view>

namespace kybern::apiserver {

extern const std::string_view bootstrap_policy;

}  // namespace kybern::apiserver
