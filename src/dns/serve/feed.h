// Keeps the index in step with Services, EndpointSlices and Namespaces.
#pragma once

#include <functional>
#include <memory>

#include "base/world.h"
#include "client/transport.h"
#include "dns/answer/index.h"

namespace kybern::dns {

class Feed {
 public:
  // `publish` gets every new version, one at a time. No call after stop().
  Feed(client::Transport& transport, World world, Duration coalesce, std::function<void(std::shared_ptr<const Index>)> publish);
  ~Feed();  // stop()
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::dns
