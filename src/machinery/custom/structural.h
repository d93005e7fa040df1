// What a schema of a definition may look like: structural (KEP-2337), without what Kubernetes does not support, with
// defaults that fit, lists whose keys are there, and rules that compile and cannot cost too much.
#pragma once

#include <string>

#include "document/document.h"
#include "machinery/status.h"

namespace kybern::custom {

// `path` of the schema: spec.versions[0].schema.openAPIV3Schema.
FieldErrors validate_schema(Value schema, const std::string& path);

}  // namespace kybern::custom
