// What a typed client writes besides the fields that were set: empty structs that the API does not leave out.
#pragma once

#include "document/document.h"

namespace kybern::cli {

// {"kind": "Pod", ...} -> the same with `status: {}`, `resources: {}` in every container, ...: how an object is printed
// that was made here and not by a server.
Document as_typed(Value object);

}  // namespace kybern::cli
