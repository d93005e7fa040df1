// ValidatingAdmissionPolicy (KEP-3488) and MutatingAdmissionPolicy (KEP-3962): rules in CEL that bindings put into force.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver::admission {

// Judges a request: 422, or the code of the validation's reason, for the first that denies it. `object` is absent for a DELETE.
ApiResult<void> validating_policies(const AdmissionAttributes& a, Value object);

// Changes an object before it is stored. `again`: plug-ins or webhooks have changed it since; only policies whose
// reinvocationPolicy is IfNeeded are asked once more. Says whether anything has changed.
ApiResult<bool> mutating_policies(const AdmissionAttributes& a, Draft& object, bool again);

}  // namespace kybern::apiserver::admission
