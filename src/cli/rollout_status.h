// How far a rollout is: pure, in kubectl's words.
#pragma once

#include <string>

#include "base/result.h"
#include "document/document.h"

namespace kybern::cli {

struct RolloutState {
  std::string message;  // of `Waiting for deployment "web" rollout to finish: ...`, ending in a newline
  bool done = false;
};
// Of a deployment, daemon set or stateful set. A rollout that cannot succeed any more is an error. `revision`: 0 for any.
Result<RolloutState> rollout_state(Value object, std::int64_t revision);

}  // namespace kybern::cli
