// The order in which pods of a ReplicaSet are given up.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <unordered_map>

#include "api/core_v1.h"
#include "base/strings.h"
#include "controllers/objects.h"
#include "controllers/replicaset/reconcile.h"

namespace kybern::controllers::replicaset {
namespace {

// The length of a time as a power of two of nanoseconds, so that which of two old pods goes is left to chance (their
// uids); -1 for no time at all.
int magnitude(Duration d) {
  if (d <= Duration::zero()) return -1;
  return std::bit_width(static_cast<std::uint64_t>(d.count())) - 1;
}

struct Restarts {
  std::int64_t regular = 0, sidecar = 0;
};

Restarts restarts_of(const api::core_v1::Pod& pod) {
  Restarts out;
  for (api::core_v1::ContainerStatus status : pod.status().container_statuses())
    out.regular = std::max<std::int64_t>(out.regular, status.restart_count());
  for (api::core_v1::Container init : pod.spec().init_containers()) {
    if (init.restart_policy().value_or("") != "Always") continue;
    for (api::core_v1::ContainerStatus status : pod.status().init_container_statuses())
      if (status.name() == init.name()) out.sidecar = std::max<std::int64_t>(out.sidecar, status.restart_count());
  }
  return out;
}

struct Ranked {
  Document document;
  std::string_view node, uid;
  int phase = 0;  // Pending 0, Unknown 1, Running 2
  bool ready = false;
  std::int64_t cost = 0;
  std::size_t doubled = 0;  // active related pods on the same node
  std::optional<Time> ready_at, created_at;
  Restarts restarts;
};

int phase_order(std::string_view phase) {
  if (phase == "Running") return 2;
  return phase == "Unknown" ? 1 : 0;
}

Ranked rank(const Document& document, const std::unordered_map<std::string_view, std::size_t>& on_node) {
  const api::core_v1::Pod pod(document);
  Ranked out{
      .document = document, .node = pod.spec().node_name(), .uid = pod.metadata().uid(), .ready_at = {}, .created_at = {}, .restarts = {}};
  out.phase = phase_order(pod.status().phase());
  out.ready = is_ready(document);
  out.ready_at = ready_since(document);
  out.created_at = time_of(document["metadata"]["creationTimestamp"]);
  out.cost = parse_int(pod.metadata().annotations()["controller.kubernetes.io/pod-deletion-cost"]).value_or(0);
  out.restarts = restarts_of(pod);
  if (auto found = on_node.find(out.node); found != on_node.end()) out.doubled = found->second;
  return out;
}

// Younger first; unknown times first of all. 0: no difference.
int by_age(std::optional<Time> a, std::optional<Time> b, const Ranked& pa, const Ranked& pb, Time now) {
  if (a == b) return 0;
  if (!a || !b) return !a ? -1 : 1;
  const int difference = magnitude(now - *a) - magnitude(now - *b);
  if (difference != 0) return difference;
  return pa.uid < pb.uid ? -1 : 1;
}

bool goes_before(const Ranked& a, const Ranked& b, Time now) {
  if (a.node.empty() != b.node.empty()) return a.node.empty();
  if (a.phase != b.phase) return a.phase < b.phase;
  if (a.ready != b.ready) return !a.ready;
  if (a.cost != b.cost) return a.cost < b.cost;
  if (a.doubled != b.doubled) return a.doubled > b.doubled;
  if (a.ready && b.ready)
    if (const int age = by_age(a.ready_at, b.ready_at, a, b, now)) return age < 0;
  if (a.restarts.regular != b.restarts.regular) return a.restarts.regular > b.restarts.regular;
  if (a.restarts.sidecar != b.restarts.sidecar) return a.restarts.sidecar > b.restarts.sidecar;
  if (const int age = by_age(a.created_at, b.created_at, a, b, now)) return age < 0;
  return false;
}

}  // namespace

std::vector<Document> rank_for_deletion(std::vector<Document> pods, const std::vector<Document>& related, Time now) {
  std::unordered_map<std::string_view, std::size_t> on_node;
  for (const Document& pod : related)
    if (is_active(pod)) ++on_node[pod["spec"]["nodeName"].as_string()];
  std::vector<Ranked> ranked;
  ranked.reserve(pods.size());
  for (const Document& pod : pods) ranked.push_back(rank(pod, on_node));
  std::stable_sort(ranked.begin(), ranked.end(), [&](const Ranked& a, const Ranked& b) { return goes_before(a, b, now); });
  for (std::size_t i = 0; i < pods.size(); ++i) pods[i] = std::move(ranked[i].document);
  return pods;
}

}  // namespace kybern::controllers::replicaset
