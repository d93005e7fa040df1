#include "scheduler/score/score.h"

#include <algorithm>
#include <cmath>

#include "scheduler/filter/filter.h"

namespace kybern::scheduler {
namespace {

constexpr std::int64_t max_score = 100;
constexpr std::int64_t weight_least = 1, weight_balanced = 1, weight_taints = 3, weight_affinity = 2;

std::int64_t untolerated_soft_taints(const PodNeeds& pod, const NodeState& node) {
  return std::count_if(node.taints.begin(), node.taints.end(),
                       [&](const Taint& t) { return t.effect == "PreferNoSchedule" && !tolerates(pod.tolerations, t); });
}

std::int64_t preferred_weight(const PodNeeds& pod, const NodeState& node) {
  std::int64_t sum = 0;
  for (Value p : pod.preferred_terms.items())
    if (p["weight"].as_int() && matches_term(p["preference"], node.node.root())) sum += p["weight"].as_int();
  return sum;
}

}  // namespace

std::int64_t least_allocated(const PodNeeds& pod, const NodeState& node) {
  auto free_share = [](std::int64_t used, std::int64_t room) { return room <= 0 || used > room ? 0 : (room - used) * max_score / room; };
  return (free_share(node.scored_cpu_milli + pod.scored_cpu_milli, node.allocatable.cpu_milli) +
          free_share(node.scored_memory + pod.scored_memory, node.allocatable.memory)) /
         2;
}

std::int64_t balanced_allocation(const PodNeeds& pod, const NodeState& node) {
  auto used_share = [](std::int64_t used, std::int64_t room) {
    return room <= 0 ? 1.0 : std::min(1.0, static_cast<double>(used) / static_cast<double>(room));
  };
  double cpu = used_share(node.requested.cpu_milli + pod.requests.cpu_milli, node.allocatable.cpu_milli);
  double memory = used_share(node.requested.memory + pod.requests.memory, node.allocatable.memory);
  double deviation = std::abs(cpu - memory) / 2;  // of two values
  return static_cast<std::int64_t>((1 - deviation) * static_cast<double>(max_score));
}

std::vector<std::int64_t> score_nodes(const PodNeeds& pod, std::span<const NodeState* const> nodes) {
  std::vector<std::int64_t> total(nodes.size()), taints(nodes.size()), affinity(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    total[i] = weight_least * least_allocated(pod, *nodes[i]) + weight_balanced * balanced_allocation(pod, *nodes[i]);
    taints[i] = untolerated_soft_taints(pod, *nodes[i]);
    affinity[i] = preferred_weight(pod, *nodes[i]);
  }
  std::int64_t worst = nodes.empty() ? 0 : *std::max_element(taints.begin(), taints.end());
  std::int64_t best = nodes.empty() ? 0 : *std::max_element(affinity.begin(), affinity.end());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    total[i] += weight_taints * (worst ? max_score - max_score * taints[i] / worst : max_score);
    if (best) total[i] += weight_affinity * (max_score * affinity[i] / best);
  }
  return total;
}

}  // namespace kybern::scheduler
