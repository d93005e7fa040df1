#include "controllers/nodelifecycle/run.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "client/mirror.h"
#include "controllers/nodelifecycle/reconcile.h"
#include "controllers/objects.h"

namespace kybern::controllers::nodelifecycle {
namespace {

constexpr std::size_t workers = 4;
constexpr double evictions_per_second = 0.1, evictions_per_second_when_partial = 0.01;
constexpr std::size_t large_cluster = 50;                 // nodes of a zone; a smaller one that is partly down evicts nobody
constexpr Duration zones_life = std::chrono::seconds(1);  // of what was counted
constexpr Duration suspended_look = std::chrono::seconds(5);

class NodeLifecycle final : public Controller {
 public:
  NodeLifecycle(const Environment& environment, Duration grace)
      : world_(environment.world),
        mirrors_(environment.mirrors),
        runner_("node-controller", workers, environment.transport, environment.world, environment.mirrors,
                [this](const std::string& key, const Failure*) { return decide(key); }) {
    limits_.grace = grace;
    mirrors_.node_leases.add_handler([this](const Document&, const Document& now) {
      if (now) heard(std::string(name_of(now)), now["spec"]["renewTime"].as_string(), &Heartbeat::lease);
    });
    mirrors_.nodes.add_handler([this](const Document& before, const Document& now) { on_node(before, now); });
  }
  void start() override { runner_.start(); }
  void stop() override { runner_.stop(); }

 private:
  struct Heartbeat {
    std::string lease, status;  // their times, as the node wrote them: only that they change matters
    Instant seen;
  };
  struct Zone {
    std::size_t ready = 0, not_ready = 0;
  };
  struct Bucket {
    double tokens = 1;
    Instant filled;
  };

  void on_node(const Document& before, const Document& now);
  void heard(const std::string& node, std::string_view time, std::string Heartbeat::*which);
  std::optional<Plan> decide(const std::string& name);
  Evictions evictions_for(const Document& node);
  void count_zones_locked();

  const World world_;
  Mirrors& mirrors_;
  Limits limits_;
  std::mutex mutex_;
  std::unordered_map<std::string, Heartbeat> heartbeats_;
  std::unordered_set<std::string> went_down_;  // nodes whose pods have to be marked not ready
  std::map<std::string, Zone> zones_;
  std::optional<Instant> zones_counted_;
  std::map<std::string, Bucket> buckets_;
  Runner runner_;
};

void NodeLifecycle::heard(const std::string& node, std::string_view time, std::string Heartbeat::*which) {
  std::lock_guard lock(mutex_);
  auto [place, is_new] = heartbeats_.try_emplace(node, Heartbeat{{}, {}, world_.clock.steady()});
  if (is_new || place->second.*which != time) {
    place->second.*which = time;
    place->second.seen = world_.clock.steady();
  }
}

void NodeLifecycle::on_node(const Document& before, const Document& now) {
  const std::string name(name_of(now ? now : before));
  if (!now) {
    runner_.performer().events().normal(before, "RemovingNode", "Node " + name + " event: Removing Node " + name + " from Controller");
    std::lock_guard lock(mutex_);
    heartbeats_.erase(name);
    went_down_.erase(name);
    return;
  }
  if (!before)
    runner_.performer().events().normal(now, "RegisteredNode", "Node " + name + " event: Registered Node " + name + " in Controller");
  if (before && node_is_ready(before) && !node_is_ready(now)) {
    runner_.performer().events().normal(now, "NodeNotReady", "Node " + name + " status is now: NodeNotReady");
    std::lock_guard lock(mutex_);
    went_down_.insert(name);
  }
  heard(name, condition(now["status"]["conditions"], "Ready")["lastHeartbeatTime"].as_string(), &Heartbeat::status);
  runner_.add(name);
}

void NodeLifecycle::count_zones_locked() {
  const Instant now = world_.clock.steady();
  if (zones_counted_ && now - *zones_counted_ < zones_life) return;
  zones_counted_ = now;
  zones_.clear();
  for (const Document& node : mirrors_.nodes.list()) {
    Zone& zone = zones_[zone_of(node)];
    ++(node_is_ready(node) ? zone.ready : zone.not_ready);
  }
}

Evictions NodeLifecycle::evictions_for(const Document& node) {
  if (node_is_ready(node)) return Evictions::allowed;
  std::lock_guard lock(mutex_);
  count_zones_locked();
  const bool all_down = std::all_of(zones_.begin(), zones_.end(),
                                    [](const auto& z) { return zone_state(z.second.ready, z.second.not_ready) == ZoneState::full; });
  if (all_down) return Evictions::suspended;
  if (!wants_eviction(node)) return Evictions::allowed;
  const std::string key = zone_of(node);
  const Zone& zone = zones_[key];
  double rate = evictions_per_second;
  if (zone_state(zone.ready, zone.not_ready) == ZoneState::partial)
    rate = zone.ready + zone.not_ready > large_cluster ? evictions_per_second_when_partial : 0;
  const Instant now = world_.clock.steady();
  auto [place, is_new] = buckets_.try_emplace(key, Bucket{1, now});
  Bucket& bucket = place->second;
  bucket.tokens = std::min(1.0, bucket.tokens + rate * std::chrono::duration<double>(now - bucket.filled).count());
  bucket.filled = now;
  if (rate == 0 || bucket.tokens < 1) return Evictions::later;
  bucket.tokens -= 1;
  return Evictions::allowed;
}

std::optional<Plan> NodeLifecycle::decide(const std::string& name) {
  const Document node = mirrors_.nodes.get(name);
  if (!node) return {};
  Observed observed;
  bool went_down = false;
  {
    std::lock_guard lock(mutex_);
    if (node_is_ready(node)) went_down_.erase(name);
    went_down = went_down_.contains(name);
    auto [place, is_new] = heartbeats_.try_emplace(name, Heartbeat{{}, {}, world_.clock.steady()});
    observed.silent_for = world_.clock.steady() - place->second.seen;
  }
  observed.now = world_.clock.now();
  if (!node_is_ready(node) || observed.silent_for > limits_.grace) {
    observed.evictions = evictions_for(node);
    if (went_down) observed.pods = mirrors_.pods.by_index("node", name);
  }
  Plan plan = reconcile(node, observed, limits_);
  const bool marks = std::any_of(plan.actions.begin(), plan.actions.end(), [](const Action& a) { return a.resource == "pods"; });
  if (went_down && !marks) {  // all of them are marked; from now on only the node itself may say how they are
    std::lock_guard lock(mutex_);
    went_down_.erase(name);
  }
  if (observed.evictions == Evictions::suspended && (!plan.wake_after || *plan.wake_after > suspended_look))
    plan.wake_after = suspended_look;
  return plan;
}

}  // namespace

std::unique_ptr<Controller> make_controller(const Environment& environment, Duration grace) {
  return std::make_unique<NodeLifecycle>(environment, grace);
}

}  // namespace kybern::controllers::nodelifecycle
