// metrics.k8s.io/v1beta1 served by the API server itself: what nodes and pods use, from the kubelets' /stats/summary.
//
// Asked on demand, never in the background: a kubelet's figures younger than `figures_fresh` are used again. Processor time
// is the difference of two looks; after a long pause the second look comes a second after the first.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

class UsageApi {
 public:
  // Reads a node's /stats/summary.
  using Summary = std::function<ApiResult<Document>(const std::string& node)>;
  UsageApi(Registry& registry, Summary summary) : registry_(registry), summary_(std::move(summary)) {}

  static constexpr std::string_view group = "metrics.k8s.io";
  static bool serves(const Work& work) { return work.served->group() == group; }
  // A NodeMetrics, PodMetrics or list of them; of a list the items are whole objects.
  ApiResult<Document> answer(Work& work);

  static constexpr Duration figures_fresh = std::chrono::seconds(15);
  static constexpr Duration longest_window = std::chrono::minutes(2);
  static constexpr Duration shortest_window = std::chrono::seconds(1);

 private:
  struct Use {
    std::int64_t cpu_nanoseconds = 0, memory_bytes = 0;
  };
  struct Look {
    Time at{};
    std::map<std::string, Use> uses;  // "" the node; "namespace/pod/container"
  };
  struct Node {
    std::mutex mutex;
    Look before, now;
    Time failed{};  // not answered since; those who waited do not ask again at once
  };
  struct Figures {
    Look before, now;
  };
  Figures figures_of(const std::string& node);
  std::map<std::string, Figures> figures_of_all(const std::vector<std::string>& nodes);
  ApiResult<Look> look(const std::string& node);

  Registry& registry_;
  Summary summary_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Node>> nodes_;
};

}  // namespace kybern::apiserver
