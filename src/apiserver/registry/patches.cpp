#include "apiserver/registry/patches.h"

#include "apiserver/registry/managers.h"
#include "machinery/patch/patch.h"

namespace kybern::apiserver {

ApiResult<Document> apply_patch(Work& work, PatchKind kind, Value before, const Document& patch) {
  ApiResult<Draft> patched = fail(internal_error("unknown patch kind"));
  const schema::Type& type = *work.served->resource->type;
  switch (kind) {
    case PatchKind::json: patched = json_patch(before, patch.root()); break;
    case PatchKind::merge: patched = merge_patch(before, patch.root()); break;
    case PatchKind::strategic: patched = strategic_merge(before, patch.root(), type); break;
    case PatchKind::apply: return apply_config(work, before, patch.root());
  }
  if (!patched) return fail(std::move(patched.error()));
  if (kind == PatchKind::strategic)
    if (std::string why = convert_error(type, *patched); !why.empty()) return fail(patch_does_not_fit(patch.root(), why));
  return patched->freeze();
}

}  // namespace kybern::apiserver
