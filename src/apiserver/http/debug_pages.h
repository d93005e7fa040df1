// What the API server tells below /debug/: the objects in memory by resource, the open watches, flow control.
#pragma once

#include "apiserver/flow/flow_control.h"
#include "apiserver/registry/registry.h"
#include "base/debug.h"

namespace kybern::apiserver {

class DebugPages {
 public:
  DebugPages(Registry& registry, const FlowControl& flow);

 private:
  debug::Page memory_, watches_, flow_;
};

}  // namespace kybern::apiserver
