// Who owns which field: the registry's door to machinery/apply.
#pragma once

#include "apiserver/registry/work.h"
#include "machinery/apply/apply.h"

namespace kybern::apiserver {

// Puts metadata.managedFields into an object that is about to be stored; `before` is absent for a new one. What the
// request gave there is judged and replaced.
// `frozen` is the object as a document, where the caller has it.
void set_managers(Work& work, Value before, Draft& object, Value frozen = {});

// The object that a configuration makes of the live one (absent: of nothing). Its managers wait in work.managed.
ApiResult<Document> apply_config(Work& work, Value live, Value config);
// The same of a Scale, whose managers are those of its object's replicas.
ApiResult<Document> apply_scale_config(Work& work, Value live_object, Value live_scale, Value config);

// Nothing but the times of managers differs: such a write is none.
bool only_times_differ(Value before, Value now);

// An apply of an object that is not there: may the user create it, and is it complete?
ApiResult<void> check_create_by_apply(const Work& work, Value object);

}  // namespace kybern::apiserver
