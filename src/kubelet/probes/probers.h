// The probes of all containers on this node. Each runs on its own period; a verdict that changes wakes its pod's worker.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/world.h"
#include "kubelet/plan/plan.h"

namespace kybern::client {
class EventRecorder;
}

namespace kybern::kubelet {

class Cri;
class Tasks;

class Probers {
 public:
  Probers(Cri& cri, World world, Tasks& tasks, client::EventRecorder& events);
  ~Probers();

  // Starts probes for containers that run now, stops those of containers that do not, and returns all verdicts. Called by
  // the pod's worker after each look at the runtime. `changed` is called from other threads.
  ProbeResults follow(const PodView& pod, const RuntimeState& runtime, const std::string& pod_ip, bool stopping,
                      const std::function<void()>& changed);
  void forget(const std::string& uid);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::kubelet
