#include "controllers/replicaset/run.h"

#include <memory>
#include <mutex>
#include <unordered_map>

#include "client/mirror.h"
#include "controllers/echoes.h"
#include "controllers/objects.h"
#include "controllers/replicaset/reconcile.h"

namespace kybern::controllers::replicaset {
namespace {

constexpr std::size_t workers = 5;

// Pods of one set that become ready, or have gone, one after another are counted together, at most this often; the first one
// at once.
constexpr Duration count_interval = std::chrono::milliseconds(250);

class Counting {
 public:
  explicit Counting(Clock& clock) : clock_(clock) {}
  Duration wait_for(const std::string& key) {  // until its pods may be counted
    const Instant now = clock_.steady();
    std::lock_guard lock(mutex_);
    auto [last, is_new] = last_.try_emplace(key, now);
    if (is_new || now - last->second >= count_interval) {
      last->second = now;
      return Duration::zero();
    }
    return last->second + count_interval - now;
  }
  void forget(const std::string& key) {
    std::lock_guard lock(mutex_);
    last_.erase(key);
  }

 private:
  Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, Instant> last_;
};

// Of all that a kubelet writes about a pod, what a ReplicaSet asks for.
bool matters(Value before, Value now) {
  if (before.is_null() || now.is_null()) return true;
  const auto ready = [](Value pod) { return condition(pod["status"]["conditions"], "Ready"); };
  return is_deleting(before) != is_deleting(now) || is_terminal(before) != is_terminal(now) ||
         !(ready(before)["status"] == ready(now)["status"]) || !(ready(before)["lastTransitionTime"] == ready(now)["lastTransitionTime"]) ||
         !(before["metadata"]["labels"] == now["metadata"]["labels"]) ||
         !(before["metadata"]["ownerReferences"] == now["metadata"]["ownerReferences"]);
}

void add_owner(Runner& runner, const Flavor& flavor, Value pod) {
  const Value controller = controller_of(pod);
  if (controller["kind"].as_string() == flavor.kind) runner.add(std::string(namespace_of(pod)) + "/" + controller["name"].str());
}

// Of a pod that stays where it is only how it does has changed; or one is gone that did not count any more.
bool is_progress(Value before, Value now) {
  if (before.exists() && !now.exists()) return !is_active(before);
  return before.exists() && now.exists() && is_active(before) && is_active(now) &&
         before["metadata"]["labels"] == now["metadata"]["labels"] &&
         before["metadata"]["ownerReferences"] == now["metadata"]["ownerReferences"];
}

void add_adopters(Runner& runner, const Flavor& flavor, const client::MirrorCore& sets, Value pod) {
  for (const Document& set : sets.list_namespace(namespace_of(pod)))
    if (selects(flavor, set, pod)) runner.add(client::key_of(set));
}

std::vector<Document> related_pods(const Mirrors& mirrors, const Document& set) {
  const Value controller = controller_of(set);
  if (!controller.exists()) return mirrors.pods.by_index("controller", uid_of(set));
  std::vector<Document> out;
  for (const Document& sibling : mirrors.replica_sets.by_index("controller", controller["uid"].as_string()))
    for (Document& pod : mirrors.pods.by_index("controller", uid_of(sibling))) out.push_back(std::move(pod));
  return out;
}

std::unique_ptr<Runner> make(const Environment& environment, const char* component, const Flavor& flavor, client::MirrorCore& sets) {
  Mirrors& mirrors = environment.mirrors;
  Clock& clock = environment.world.clock;
  auto echoes = std::make_shared<Echoes>();
  auto counting = std::make_shared<Counting>(clock);
  auto runner = std::make_unique<Runner>(
      component, workers, environment.transport, environment.world, mirrors,
      [&mirrors, &clock, &sets, flavor, echoes](const std::string& key, const Failure* failure) -> std::optional<Plan> {
        const Document set = sets.get(key);
        if (!set) return {};
        Observed observed{.pods = mirrors.pods.by_index("controller", uid_of(set)), .related = {}, .now = clock.now(), .failure = failure};
        // Only who takes pods away asks which; that is seldom, and all pods of all siblings are many.
        if (static_cast<std::int64_t>(observed.pods.size()) > set["spec"]["replicas"].as_int(1))
          observed.related = related_pods(mirrors, set);
        for (Document& orphan : mirrors.pods.by_index("controller", Mirrors::orphans_of(namespace_of(set))))
          observed.pods.push_back(std::move(orphan));
        Plan plan = reconcile(set, observed, flavor);
        echoes->decided(key, set, plan);
        return plan;
      });
  Runner* const r = runner.get();
  sets.add_handler([r, echoes, counting](const Document& before, const Document& now) {
    std::string key = client::key_of(now ? now : before);
    if (!now) {
      echoes->forget(key);
      counting->forget(key);
    } else if (!echoes->is_echo(key, before, now)) {
      r->add(std::move(key));
    }
  });
  mirrors.pods.add_handler([r, &sets, flavor, counting](const Document& before, const Document& now) {
    if (!matters(before, now)) return;
    const Document& pod = now ? now : before;
    if (const Value controller = controller_of(pod); is_progress(before, now) && controller["kind"].as_string() == flavor.kind) {
      std::string key = std::string(namespace_of(pod)) + "/" + controller["name"].str();
      const Duration wait = counting->wait_for(key);
      return wait == Duration::zero() ? r->add(std::move(key)) : r->add_after(std::move(key), wait);
    }
    if (before) add_owner(*r, flavor, before);
    if (now && controller_of(now).exists()) add_owner(*r, flavor, now);
    else if (now) add_adopters(*r, flavor, sets, now);
  });
  return runner;
}

}  // namespace

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  return make(environment, "replicaset-controller", replica_set_flavor, environment.mirrors.replica_sets);
}

std::unique_ptr<Runner> make_replication_runner(const Environment& environment) {
  return make(environment, "replication-controller", replication_controller_flavor, environment.mirrors.replication_controllers);
}

}  // namespace kybern::controllers::replicaset
