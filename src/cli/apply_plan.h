// What `apply` decides about one object: pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "document/document.h"

namespace kybern::cli {

inline constexpr std::string_view last_applied = "kubectl.kubernetes.io/last-applied-configuration";

// The object as it is sent: its own text (without that annotation) kept in the annotation, as kubectl keeps it.
Document with_last_applied(Value manifest);

struct ApplyPatch {
  Document patch;  // {} when nothing is to be done
  bool strategic = false;
  bool lost_annotation = false;  // the object was not made by apply
};
// `wanted` comes from with_last_applied. Code::invalid when the annotation of `current` is no object.
Result<ApplyPatch> plan_apply(Value wanted, Value current);

}  // namespace kybern::cli
