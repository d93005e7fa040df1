// The ConfigMap kube-system/kube-apiserver-legacy-service-account-token-tracking: since which day the use of accounts' tokens
// in Secrets is noted at them (legacy_tokens.h). Who cleans up such tokens reads it. It is made when it is missing, and
// brought in order when its day is none; nobody else's good one is touched.
#pragma once

#include <memory>

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

class TokenTracking {
 public:
  explicit TokenTracking(Registry& registry);
  ~TokenTracking();  // no callback runs after it
  void begin();      // looks after it from now on

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::apiserver
