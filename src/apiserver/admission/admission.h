// Admission: what is said about a write after it is authorized and before it is stored. The plug-ins run in a fixed
// order (upstream's), first those that change the object, then those that only judge.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

ApiResult<void> admit_mutating(const AdmissionAttributes& attributes, Draft& object);
ApiResult<void> admit_validating(const AdmissionAttributes& attributes, Value object);

}  // namespace kybern::apiserver
