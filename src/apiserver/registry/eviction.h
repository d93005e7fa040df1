// POST .../pods/NAME/eviction (KEP-85): a deletion that a PodDisruptionBudget may refuse.
#pragma once

#include "apiserver/http/requests.h"

namespace kybern::apiserver {

// 201 Success; 429 with the cause DisruptionBudget while the budget allows nothing, 500 when two budgets cover the pod.
ApiResult<Answer> evict(SubresourceCall& call);

}  // namespace kybern::apiserver
