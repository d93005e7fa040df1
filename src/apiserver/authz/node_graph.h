// Which objects the pods of a node refer to. Fed by the store's stream of changes, read when somebody asks: an answer is
// never older than the store at that moment.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/store.h"

namespace kybern::apiserver {

class NodeGraph {
 public:
  enum class Kind { pod, secret, config_map, claim, service_account, resource_claim };

  explicit NodeGraph(store::Store& store) : store_(store) {}
  // Whether a pod on the node is that object or refers to it.
  bool related(std::string_view node, Kind kind, std::string_view ns, std::string_view name);

 private:
  using Nodes = std::unordered_map<std::string, int>;  // how many pods of each node
  void catch_up();
  void rebuild();
  void count(Value pod, int n);
  void count(std::string key, const std::string& node, int n);

  store::Store& store_;
  std::mutex mutex_;
  std::unique_ptr<store::Watch> watch_;
  std::unordered_map<std::string, Nodes> objects_;  // by kind, namespace and name
};

}  // namespace kybern::apiserver
