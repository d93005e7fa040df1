// The three patches of the API, and the patches that a client makes from two or three versions of an object.
//
// The input is never changed. The answer of a failed patch is the Status that a client gets; what is done with the result
// (decoding it into its type, validating) is the caller's.
#pragma once

#include <string>

#include "base/result.h"
#include "document/document.h"
#include "machinery/status.h"
#include "schema/schema.h"

namespace kybern {

inline constexpr std::size_t json_patch_max_operations = 10000;
inline constexpr std::size_t json_patch_max_copied_bytes = 3 * 1024 * 1024;  // of what "copy" operations add in total
inline constexpr std::size_t json_patch_max_depth = 1000;                    // of the object that comes out
inline constexpr std::size_t json_patch_max_steps = 20'000'000;  // items of lists that make room, values that are moved: a second

// RFC 6902. `patch` is the array of operations. Array indices may count from the end ("-1": after the last, as upstream
// reads them). 400 for what is no patch, 413 for too many operations, 422 (unexplained, as upstream) for one that fails;
// `why` gets what upstream tells of it where it explains: to a webhook's and a policy's author.
ApiResult<Draft> json_patch(Value original, Value patch, std::string* why = nullptr);

// RFC 7386. `patch` must be an object: 400 otherwise.
ApiResult<Draft> merge_patch(Value original, Value patch);

// Strategic merge, by the merge keys of `type`. Directives: $patch: replace|delete|merge, $retainKeys,
// $deleteFromPrimitiveList/x, $setElementOrder/x. 400 for malformed directives, 500 for contradictions between patch and
// object (as upstream).
ApiResult<Draft> strategic_merge(Value original, Value patch, const schema::Type& type);

// The 422 for a patch whose result does not fit its type; `why` is the converter's message ("cannot restore slice from map").
Status patch_does_not_fit(Value patch, std::string_view why);
// What the converter would say of a patched object, in its words; "" when it fits. Covers the shapes of lists, maps,
// structs and scalars, not the texts inside scalars.
std::string convert_error(const schema::Type& type, const Draft& object);

// A merge patch that turns `original` into `modified`: what is equal is left out, what is gone is null.
Draft create_merge_patch(Value original, Value modified);
// As kubectl apply makes for a type without a schema: deletions are found between `original` (last applied) and
// `modified`, changes between `current` and `modified`.
Draft create_three_way_merge_patch(Value original, Value modified, Value current);

// A strategic merge patch that turns `original` into `modified`. The failure's message is upstream's.
Result<Draft> create_strategic_patch(Value original, Value modified, const schema::Type& type);
// Client-side apply. With `overwrite` false, Code::conflict when `current` was changed where `modified` differs.
Result<Draft> create_three_way_strategic_patch(Value original, Value modified, Value current, const schema::Type& type,
                                               bool overwrite = true);

// A value as Go's %v prints it: map[a:1 b:[x y]]. Messages of patches show values this way.
std::string go_text(const Draft& value);

}  // namespace kybern
