// Nobody grants more than they have: the check that upstream makes when roles and bindings are written.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

// Forbidden when a role holds rules that its writer does not have and may not `escalate`, or a binding refers to such a
// role that its writer may not `bind`. Other resources pass.
ApiResult<void> check_escalation(const AdmissionAttributes& attributes, Value object);

}  // namespace kybern::apiserver
