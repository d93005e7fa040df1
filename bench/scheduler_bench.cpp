// One decision of the scheduler: a pod against a cluster of a given number of nodes, each half full.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "document/json.h"
#include "scheduler/cycle/cycle.h"

namespace {

using namespace kybern;
using namespace kybern::scheduler;

constexpr const char* pod_text = R"({"metadata":{"name":"web-0","namespace":"ns","labels":{"app":"web"}},
"spec":{"containers":[{"name":"web","image":"nginx:1.27","resources":{"requests":{"cpu":"100m","memory":"128Mi"}}}],
 %s"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},
  {"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]}})";

PodNeeds pod(std::string_view more) {
  std::string text = pod_text;
  text.replace(text.find("%s"), 2, more);
  return read_pod(*parse_json(text));
}

struct Cluster {
  explicit Cluster(std::size_t count) {
    PodNeeds resident = pod("");
    for (std::size_t i = 0; i < count; ++i) {
      auto node = std::make_unique<NodeState>();
      node->set_node(*parse_json(fmt::format(
          R"({{"metadata":{{"name":"node-{0}","labels":{{"kubernetes.io/hostname":"node-{0}","kubernetes.io/os":"linux","topology.kubernetes.io/zone":"zone-{1}"}}}},)"
          R"("status":{{"allocatable":{{"cpu":"8","memory":"32Gi","pods":"110"}}}}}})",
          i, i % 3)));
      for (std::size_t j = 0; j < 20 + i % 20; ++j) node->add(resident, 1);
      nodes.push_back(node.get());
      owned.push_back(std::move(node));
    }
  }
  std::vector<std::unique_ptr<NodeState>> owned;
  std::vector<NodeState*> nodes;
};

void decisions(benchmark::State& state, std::string_view more) {
  Cluster cluster(static_cast<std::size_t>(state.range(0)));
  PodNeeds waiting = pod(more);
  std::size_t start = 0;
  std::uint64_t chance = 1;
  for (auto _ : state) {
    Decision decision = decide(waiting, cluster.nodes, start, chance);
    benchmark::DoNotOptimize(decision.node);
    start = decision.next_start;
    chance = chance * 6364136223846793005u + 1442695040888963407u;
  }
  state.SetItemsProcessed(state.iterations());
}

void decide_plain(benchmark::State& state) { decisions(state, ""); }
BENCHMARK(decide_plain)->Arg(1)->Arg(100)->Arg(1000)->Arg(5000);

void decide_with_affinity(benchmark::State& state) {
  decisions(state, R"("nodeSelector":{"kubernetes.io/os":"linux"},"affinity":{"nodeAffinity":{
    "requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["zone-1"]}]}]},
    "preferredDuringSchedulingIgnoredDuringExecution":[{"weight":10,"preference":{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"Exists"}]}}]}},)");
}
BENCHMARK(decide_with_affinity)->Arg(1000)->Arg(5000);

void read_needs(benchmark::State& state) {
  Document document = pod("").pod;
  for (auto _ : state) benchmark::DoNotOptimize(read_pod(document));
}
BENCHMARK(read_needs);

}  // namespace

BENCHMARK_MAIN();
