// The config maps and secrets that the pods of this node use, each kept current by a watch on that one object (which is
// all that a node's identity may read).
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "client/transport.h"
#include "kubelet/plan/pod_view.h"

namespace kybern::kubelet {

struct ObjectName {
  bool secret = false;
  std::string ns, name;
  auto operator<=>(const ObjectName&) const = default;
};
// Everything a pod's volumes, environment and image pull secrets refer to.
std::set<ObjectName> objects_of(const PodView& pod);

class ObjectCache {
 public:
  // `changed` is called with the uid of each pod that uses an object that is new, different or gone.
  ObjectCache(client::Transport& api, std::function<void(const std::string& uid)> changed);
  ~ObjectCache();
  void use(const std::string& uid, const std::set<ObjectName>& objects);  // replaces what the pod used before
  void release(const std::string& uid);
  // Code::not_found: `configmap "x" not found`. Waits a moment for the first state of an object that is new here.
  Result<Document> get(const ObjectName& name);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::kubelet
