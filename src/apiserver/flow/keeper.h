// Looks after the objects of priority and fairness while the server runs: each minute those of upstream are made again or
// brought to what they should be, and a moment after any change every FlowSchema says whether its level exists.
#pragma once

#include <memory>

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

class FlowKeeper {
 public:
  FlowKeeper(Registry& registry, World world);
  ~FlowKeeper();  // waits for a pass that is under way
  FlowKeeper(const FlowKeeper&) = delete;
  FlowKeeper& operator=(const FlowKeeper&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::apiserver
