// Notices when containers end by themselves: by the runtime's event stream, or, where there is none, by looking at its
// lists once a second while there are pods.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/world.h"

namespace kybern::kubelet {

class Cri;

class Observer {
 public:
  struct Callbacks {
    std::function<void(const std::string& id)> event;     // of a container or sandbox
    std::function<void(const std::string& uid)> changed;  // of a pod: its lists differ from the last look
    std::function<bool()> has_pods;
  };
  Observer(Cri& cri, World world, Callbacks callbacks);
  ~Observer();
  void start();
  void stop();
  bool has_stream() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kybern::kubelet
