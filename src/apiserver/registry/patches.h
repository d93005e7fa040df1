// The three patch forms applied to an object in its served version.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

ApiResult<Document> apply_patch(Work& work, PatchKind kind, Value before, const Document& patch);

}  // namespace kybern::apiserver
