// The ConfigMap kube-system/extension-apiserver-authentication: whom API servers behind this one should believe. It says
// what this server itself believes, and is brought back when somebody changes or removes it, or when the files change.
#pragma once

#include <functional>
#include <memory>

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

class TrustMap {
 public:
  // `data`: what the map should hold, asked again now and then.
  TrustMap(Registry& registry, std::function<Draft()> data);
  ~TrustMap();           // no callback runs after it
  Result<void> begin();  // writes it, and keeps it from now on
  Result<void> write();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::apiserver
