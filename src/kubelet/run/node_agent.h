// Keeps this node's Node and Lease objects: registers it, renews the lease every 10 s, writes the status when it changes and
// every 5 minutes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/world.h"
#include "client/transport.h"
#include "kubelet/plan/node.h"

namespace kybern::client {
class EventRecorder;
}

namespace kybern::kubelet {

class Cri;
class Tasks;

class NodeAgent {
 public:
  struct Options {
    MachineFacts machine;
    std::map<std::string, std::string> labels;
    std::vector<std::string> taints;
    std::string provider_id;
    std::function<void(const std::vector<std::string>& pod_cidrs)> pod_cidrs;  // told when the API assigns them
    std::function<void()> became_ready;                                        // the runtime and its network can be used now
  };
  NodeAgent(client::Transport& api, World world, Tasks& tasks, Cri& cri, client::EventRecorder& events, Options options);
  ~NodeAgent();
  void start();
  void stop();
  void check_now();  // something may have changed: an image was pulled, the runtime came back
  bool registered() const;
  bool ready() const;     // the last status said so
  Document node() const;  // newest known; empty before it is registered

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::kubelet
