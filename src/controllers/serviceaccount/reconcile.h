// The ServiceAccount "default" of every namespace.
#pragma once

#include "controllers/plan.h"

namespace kybern::controllers::serviceaccount {

// `account`: the namespace's "default", empty when there is none.
Plan reconcile(const Document& ns, const Document& account);

}  // namespace kybern::controllers::serviceaccount
