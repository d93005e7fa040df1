#include "scheduler/cycle/cycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "scheduler/score/score.h"

namespace kybern::scheduler {
namespace {

constexpr std::size_t always_all_nodes = 100;

// "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.": the texts sorted, as upstream sorts them.
std::string explain(std::size_t all, const std::map<std::string, std::size_t>& reasons, std::size_t unresolvable, std::size_t resolvable) {
  std::vector<std::string> texts;
  for (const auto& [reason, count] : reasons) texts.push_back(fmt::format("{} {}", count, reason));
  std::sort(texts.begin(), texts.end());
  std::string out = fmt::format("0/{} nodes are available: {}.", all, join(texts, ", "));
  std::vector<std::string> preemption;
  if (resolvable) preemption.push_back(fmt::format("{} No preemption victims found for incoming pod", resolvable));
  if (unresolvable) preemption.push_back(fmt::format("{} Preemption is not helpful for scheduling", unresolvable));
  std::sort(preemption.begin(), preemption.end());
  // The first words are upstream's of resource claims, which it asks before it thinks of preemption.
  return out + fmt::format(" no new claims to deallocate, preemption: 0/{} nodes are available: {}.", all, join(preemption, ", "));
}

}  // namespace

std::size_t enough_nodes(std::size_t all) {
  if (all <= always_all_nodes) return all;
  std::size_t percent = 50 - std::min<std::size_t>(45, all / 125);
  return std::max(always_all_nodes, all * percent / 100);
}

Decision decide(const PodNeeds& pod, const std::vector<NodeState*>& nodes, std::size_t start, std::uint64_t chance) {
  Decision out;
  if (nodes.empty()) {
    out.message = "no nodes available to schedule pods";
    return out;
  }
  std::size_t enough = enough_nodes(nodes.size()), unresolvable = 0, resolvable = 0, looked = 0;
  std::vector<const NodeState*> fitting;
  std::map<std::string, std::size_t> reasons;
  for (; looked < nodes.size() && fitting.size() < enough; ++looked) {
    const NodeState* node = nodes[(start + looked) % nodes.size()];
    Refusal refusal = check_node(pod, *node);
    if (refusal.reasons.empty()) {
      fitting.push_back(node);
      continue;
    }
    ++(refusal.resolvable ? resolvable : unresolvable);
    for (std::string& reason : refusal.reasons) ++reasons[std::move(reason)];
  }
  out.next_start = (start + looked) % nodes.size();
  if (fitting.empty()) {
    out.message = explain(nodes.size(), reasons, unresolvable, resolvable);
    return out;
  }
  if (fitting.size() == 1) {
    out.node = fitting[0];
    return out;
  }
  std::vector<std::int64_t> scores = score_nodes(pod, fitting);
  std::int64_t best = *std::max_element(scores.begin(), scores.end());
  auto ties = static_cast<std::size_t>(std::count(scores.begin(), scores.end(), best));
  std::size_t wanted = chance % ties;
  for (std::size_t i = 0; i < fitting.size(); ++i)
    if (scores[i] == best && wanted-- == 0) {
      out.node = fitting[i];
      break;
    }
  return out;
}

}  // namespace kybern::scheduler
