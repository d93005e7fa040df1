#include "sim/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/debug.h"
#include "client/mirror.h"
#include "document/json.h"
#include "machinery/quantity.h"
#include "sim/fleet.h"
#include "sim/user.h"

namespace kybern::sim {
namespace {

constexpr std::size_t changes_at_once = 4096, problems_kept = 20;

bool is_finished(Value pod) {
  const std::string_view phase = pod["status"]["phase"].as_string();
  return phase == "Failed" || phase == "Succeeded";
}
bool is_ready(Value pod) {
  for (Value c : pod["status"]["conditions"].items())
    if (c["type"].as_string() == "Ready") return c["status"].as_string() == "True";
  return false;
}
std::string owner_of(Value object) {
  for (Value reference : object["metadata"]["ownerReferences"].items())
    if (reference["controller"].as_bool()) return reference["uid"].str();
  return "";
}
std::uint64_t hash_of(Value object) {
  std::string json;
  write_json(object, json);
  return std::hash<std::string>()(json);
}
std::uint64_t number_of(std::string_view text) { return std::hash<std::string_view>()(text); }
std::int64_t share(Value limit, std::int64_t replicas, bool up) {
  if (limit.is_string() && limit.as_string().ends_with('%')) {
    const std::int64_t percent = std::stoll(limit.str());
    return up ? (replicas * percent + 99) / 100 : replicas * percent / 100;
  }
  return limit.as_int();
}

}  // namespace

std::uint32_t Checker::Names::number_of(std::string_view name) {
  if (name.empty()) return none;
  auto [place, is_new] = numbers_.try_emplace(std::string(name), static_cast<std::uint32_t>(names_.size()));
  if (is_new) names_.push_back(&place->first);
  return place->second;
}

void Checker::complain(std::string problem) {
  if (problems_.size() < problems_kept)
    problems_.push_back(fmt::format("at {:.3f} s: {}", std::chrono::duration<double>(cluster_.world().elapsed()).count(), problem));
}

// --- change by change --------------------------------------------------------------------------------------------------

void Checker::follow(std::string_view prefix, std::unique_ptr<store::Watch>& watch,
                     void (Checker::*saw)(const store::EntryPtr&, const store::EntryPtr&)) {
  if (!watch) return;
  for (;;) {
    std::vector<store::ChangePtr> changes;
    auto taken = watch->take(changes, changes_at_once);
    if (!taken) {
      complain(fmt::format("changes under {} went before they were looked at", prefix));
      watching_ = false;
      return;
    }
    for (const store::ChangePtr& change : changes) (this->*saw)(change->before, change->now);
    changes_ += changes.size();
    if (changes.size() < changes_at_once) return;
  }
}

void Checker::look() {
  if (!cluster_.store()) return;
  if (!watching_) relist();
  follow("/nodes/", nodes_watch_, &Checker::saw_node);
  follow("/apps/", apps_watch_, &Checker::saw_apps);
  if (options_.budgets) follow("/policy/", budgets_watch_, &Checker::saw_budget);
  follow("/pods/", pods_watch_, &Checker::saw_pod);
  for (const std::string& violation : cluster_.fleet().violations())
    if (std::none_of(problems_.begin(), problems_.end(), [&](const std::string& p) { return p.ends_with(violation); })) complain(violation);
}

void Checker::relist() {
  store::Store& store = *cluster_.store();
  const store::Snapshot now = store.snapshot();
  pods_.clear();
  nodes_.clear();
  rollouts_.clear();
  asked_.clear();
  const auto begin = [&](std::string_view prefix,
                         void (Checker::*saw)(const store::EntryPtr&, const store::EntryPtr&)) -> std::unique_ptr<store::Watch> {
    now.scan(prefix, "", [&](const store::EntryPtr& entry) {
      (this->*saw)(nullptr, entry);
      return true;
    });
    auto watch = store.watch(prefix, now.revision(), nullptr);
    return watch ? std::move(*watch) : nullptr;
  };
  nodes_watch_ = begin("/nodes/", &Checker::saw_node);
  apps_watch_ = begin("/apps/", &Checker::saw_apps);
  if (options_.budgets) budgets_watch_ = begin("/policy/", &Checker::saw_budget);
  pods_watch_ = begin("/pods/", &Checker::saw_pod);
  watching_ = true;
}

void Checker::saw_node(const store::EntryPtr& before, const store::EntryPtr& now) {
  const Value node = (now ? now : before)->value.root();
  NodeRecord& record = nodes_[names_.number_of(node["metadata"]["name"].as_string())];
  record.known = now != nullptr;
  if (!now) return;
  record.cpu_milli = Quantity::of(node["status"]["allocatable"]["cpu"]).milli_value();
  record.memory_milli = Quantity::of(node["status"]["allocatable"]["memory"]).milli_value();
  record.pods = Quantity::of(node["status"]["allocatable"]["pods"]).value();
}

void Checker::saw_pod(const store::EntryPtr& before, const store::EntryPtr& now) {
  const store::EntryPtr& entry = now ? now : before;
  const Value pod = entry->value.root();
  std::string changed_owner;
  if (auto old = pods_.find(number_of(entry->key)); old != pods_.end()) {
    const PodRecord& was = old->second;
    if (was.counts) {
      NodeRecord& node = nodes_[was.node];
      node.used_cpu -= was.cpu_milli;
      node.used_memory -= was.memory_milli;
      --node.used_pods;
    }
    if (auto owner = deployment_of_.find(was.owner); owner != deployment_of_.end()) {
      rollouts_[owner->second].available -= was.available;
      rollouts_[owner->second].alive -= was.alive;
      changed_owner = owner->second;
    }
    pods_.erase(old);
  }
  if (now) {
    PodRecord record;
    const std::string_view node_name = pod["spec"]["nodeName"].as_string();
    record.node = names_.number_of(node_name);
    record.owner = names_.number_of(owner_of(pod));
    for (Value container : pod["spec"]["containers"].items()) {
      record.cpu_milli += Quantity::of(container["resources"]["requests"]["cpu"]).milli_value();
      record.memory_milli += Quantity::of(container["resources"]["requests"]["memory"]).milli_value();
    }
    record.counts = record.node != none && !is_finished(pod);
    record.alive = !is_finished(pod) && !is_deleting(pod);
    record.available = record.alive && is_ready(pod);
    const std::uint64_t uid = number_of(uid_of(pod));
    if (record.node != none) {
      auto [place, is_new] = bound_.try_emplace(uid, record.node);
      if (!is_new && place->second != record.node)
        complain(fmt::format("pod {} was bound to {}, now to {}", entry->key, names_[place->second], node_name));
    } else if (auto place = bound_.find(uid); place != bound_.end()) {
      complain(fmt::format("pod {} was bound to {} and is not any more", entry->key, names_[place->second]));
    }
    if (record.counts) {
      NodeRecord& node = nodes_[record.node];
      node.used_cpu += record.cpu_milli;
      node.used_memory += record.memory_milli;
      ++node.used_pods;
      const bool was_there = before && before->value["spec"]["nodeName"].as_string() == node_name;
      if (!was_there && node.known &&
          (node.used_cpu > node.cpu_milli || node.used_memory > node.memory_milli || node.used_pods > node.pods))
        complain(fmt::format("{} has more than it can hold since {} is bound to it: {} of {} mCPU, {} of {} pods", node_name, entry->key,
                             node.used_cpu, node.cpu_milli, node.used_pods, node.pods));
    }
    if (auto owner = deployment_of_.find(record.owner); owner != deployment_of_.end()) {
      rollouts_[owner->second].available += record.available;
      rollouts_[owner->second].alive += record.alive;
      changed_owner = owner->second;
    }
    pods_.emplace(number_of(entry->key), record);
  }
  if (!changed_owner.empty()) judge_rollout(changed_owner);
}

void Checker::saw_apps(const store::EntryPtr& before, const store::EntryPtr& now) {
  const store::EntryPtr& entry = now ? now : before;
  if (entry->key.starts_with("/apps/replicasets/")) {
    const Value set = entry->value.root();
    for (Value reference : set["metadata"]["ownerReferences"].items())
      if (reference["kind"].as_string() == "Deployment") {
        const std::uint32_t uid = names_.number_of(uid_of(set));
        const std::string deployment = "/apps/deployments/" + set["metadata"]["namespace"].str() + "/" + reference["name"].str();
        deployment_of_[uid] = deployment;
        const std::int64_t asks = now ? set["spec"]["replicas"].as_int() : 0;
        rollouts_[deployment].asked += asks - std::exchange(asked_[uid], asks);
        judge_rollout(deployment);
      }
    return;
  }
  if (!entry->key.starts_with("/apps/deployments/")) return;
  if (!now) {
    rollouts_.erase(entry->key);
    return;
  }
  const Value spec = now->value["spec"];
  Rollout& rollout = rollouts_[entry->key];
  const std::int64_t replicas = spec["replicas"].as_int();
  if (replicas != rollout.replicas) rollout.settled = false;
  rollout.replicas = replicas;
  rollout.surge = share(spec["strategy"]["rollingUpdate"]["maxSurge"], replicas, true);
  rollout.unavailable = share(spec["strategy"]["rollingUpdate"]["maxUnavailable"], replicas, false);
  if (rollout.surge == 0 && rollout.unavailable == 0) rollout.unavailable = 1;
}

void Checker::saw_budget(const store::EntryPtr& before, const store::EntryPtr& now) {
  constexpr std::string_view prefix = "/policy/poddisruptionbudgets/";
  const std::string& key = (now ? now : before)->key;
  if (!key.starts_with(prefix)) return;
  rollouts_["/apps/deployments/" + key.substr(prefix.size())].min_available = now ? now->value["spec"]["minAvailable"].as_int() : 0;
}

void Checker::judge_budget(const std::string& deployment, Rollout& rollout) {
  if (rollout.available >= rollout.min_available) rollout.budget_met = true;
  else if (rollout.budget_met)
    complain(fmt::format("{}: {} pods are available, its budget wants {}", deployment, rollout.available, rollout.min_available));
}

void Checker::judge_rollout(const std::string& deployment) {
  if (options_.budgets) judge_budget(deployment, rollouts_[deployment]);
  if (!options_.rollouts) return;
  Rollout& rollout = rollouts_[deployment];
  if (rollout.available >= rollout.replicas && rollout.alive == rollout.replicas && rollout.asked == rollout.replicas)
    rollout.settled = true;
  if (!rollout.settled) return;
  if (rollout.available < rollout.replicas - rollout.unavailable)
    complain(fmt::format("{}: {} pods are available, of {} at most {} may be missing", deployment, rollout.available, rollout.replicas,
                         rollout.unavailable));
  // What is asked for counts: pods that are to go may still be there when the new ones come.
  if (rollout.asked > rollout.replicas + rollout.surge)
    complain(
        fmt::format("{}: {} pods asked for, {} wanted and {} more allowed", deployment, rollout.asked, rollout.replicas, rollout.surge));
}

// --- across a crash ----------------------------------------------------------------------------------------------------

void Checker::before_crash(bool in_a_write) {
  if (!cluster_.store()) return;
  look();
  const store::Snapshot now = cluster_.store()->snapshot();
  kept_.clear();
  kept_json_.clear();
  kept_revision_ = now.revision();
  power_was_cut_ = in_a_write;
  now.scan("", "", [&](const store::EntryPtr& entry) {
    kept_.emplace_back(entry->key, entry->revision);
    kept_json_.push_back(std::to_string(hash_of(entry->value.root())));
    return true;
  });
  pods_watch_.reset();
  nodes_watch_.reset();
  apps_watch_.reset();
  budgets_watch_.reset();
  watching_ = false;
}

void Checker::after_restart() {
  if (!cluster_.store() || kept_revision_ == 0) return;
  const store::Snapshot now = cluster_.store()->snapshot();
  if (now.revision() < kept_revision_)
    complain(fmt::format("the store was at revision {}, after its restart it is at {}", kept_revision_, now.revision()));
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    const auto& [key, revision] = kept_[i];
    const store::EntryPtr entry = now.get(key);
    // What the server wrote since its start, or had not answered before, has a larger revision.
    if (!entry && power_was_cut_ && now.revision() > kept_revision_) power_was_cut_ = false;  // the deletion that had no answer
    else if (!entry) complain(fmt::format("{} was stored at revision {} and is lost", key, revision));
    else if (entry && entry->revision < revision)
      complain(fmt::format("{} was at revision {}, after the restart at {}", key, revision, entry->revision));
    else if (entry && entry->revision == revision && std::to_string(hash_of(entry->value.root())) != kept_json_[i])
      complain(fmt::format("{} is not what was stored at revision {}", key, revision));
  }
  kept_.clear();
  kept_json_.clear();
  kept_revision_ = 0;
}

// --- at rest -------------------------------------------------------------------------------------------------------------

bool Checker::has_room_for(const PodRecord& pod) const {
  return std::any_of(nodes_.begin(), nodes_.end(), [&](const auto& entry) {
    const NodeRecord& node = entry.second;
    return node.known && node.used_cpu + pod.cpu_milli <= node.cpu_milli && node.used_memory + pod.memory_milli <= node.memory_milli &&
           node.used_pods < node.pods;
  });
}

bool Checker::is_at_rest() { return at_rest().empty(); }

std::vector<std::string> Checker::at_rest() {
  std::vector<std::string> out;
  if (!cluster_.store()) return {"the server is down"};
  const store::Snapshot now = cluster_.store()->snapshot();
  std::unordered_set<std::string> uids;
  now.scan("", "", [&](const store::EntryPtr& entry) {
    uids.insert(std::string(uid_of(entry->value.root())));
    return true;
  });
  look();
  bool crowded = false;  // some pods wait because there is no room
  for (const auto& [key, pod] : pods_) crowded = crowded || (pod.node == none && pod.alive && !has_room_for(pod));
  std::map<std::string, std::int64_t> pods_of;  // by uid of the owner
  std::size_t running = 0;
  const auto say = [&](std::string text) {
    if (out.size() < problems_kept) out.push_back(std::move(text));
    return out.size() < problems_kept;
  };
  now.scan("", "", [&](const store::EntryPtr& entry) {
    const Value object = entry->value.root();
    if (is_deleting(object)) return say(entry->key + " is still being deleted");
    for (Value reference : object["metadata"]["ownerReferences"].items())
      if (!uids.contains(reference["uid"].str()))
        return say(
            fmt::format("{} has no owner any more ({} {})", entry->key, reference["kind"].as_string(), reference["name"].as_string()));
    if (entry->key.starts_with("/nodes/")) {
      for (Value c : object["status"]["conditions"].items())
        if (c["type"].as_string() == "Ready" && c["status"].as_string() != "True") return say(entry->key + " is not ready");
      if (!object["spec"]["taints"].empty()) return say(entry->key + " has taints");
    }
    if (entry->key.starts_with("/apps/deployments/") && !crowded && !is_complete(object)) return say(entry->key + " is not complete");
    if (!entry->key.starts_with("/pods/")) return true;
    if (is_finished(object)) return true;
    ++pods_of[owner_of(object)];
    if (object["spec"]["nodeName"].as_string().empty()) {
      auto pod = pods_.find(number_of(entry->key));
      return crowded && pod != pods_.end() && !has_room_for(pod->second) ? true : say(entry->key + " has no node");
    }
    running += 1;
    if (!is_ready(object)) return say(entry->key + " is not ready");
    if (!cluster_.fleet().runs(uid_of(object))) return say(entry->key + " is ready and does not run");
    return true;
  });
  now.scan("/apps/replicasets/", "", [&](const store::EntryPtr& entry) {
    const std::int64_t wanted = entry->value["spec"]["replicas"].as_int(), have = pods_of[std::string(uid_of(entry->value.root()))];
    if (wanted != have) return say(fmt::format("{} wants {} pods and has {}", entry->key, wanted, have));
    return true;
  });
  if (cluster_.fleet().running() != running) say(fmt::format("{} pods are stored, {} run", running, cluster_.fleet().running()));
  return out;
}

// What the processes themselves tell below /debug/.
std::vector<std::string> Checker::leaks() {
  std::vector<std::string> out;
  if (!cluster_.store()) return {"the server is down"};
  auto queues = parse_json(debug::page_text("queues")), memory = parse_json(debug::page_text("memory"));
  if (!queues || !memory) return {"a page below /debug/ is no JSON"};
  for (Value queue : (*queues)["items"].items()) {
    if (queue["type"].as_string() != "workqueue") continue;
    const std::int64_t ready = queue["ready"].as_int(), failing = queue["failing"].as_int(), delayed = queue["delayed"].as_int();
    if (ready > 0) out.push_back(fmt::format("{} keys wait in the queue {}", ready, queue["name"].as_string()));
    // What failed is tried again later: whoever is not waiting for that was forgotten there.
    if (failing > delayed)
      out.push_back(
          fmt::format("{} keys have failed in the queue {}, {} wait to be tried again", failing, queue["name"].as_string(), delayed));
  }
  const store::Snapshot now = cluster_.store()->snapshot();
  for (Value mirror : (*memory)["items"].items()) {
    if (mirror["type"].as_string() != "mirror" || !mirror["query"].as_string().empty()) continue;
    std::string_view path = mirror["path"].as_string();
    std::string prefix;
    if (path.starts_with("/api/v1/")) prefix = std::string(path.substr(7)) + "/";
    if (path.starts_with("/apis/")) {  // the version is not part of a key
      path.remove_prefix(5);
      const auto group = path.find('/', 1), version = path.find('/', group + 1);
      prefix = std::string(path.substr(0, group)) + std::string(path.substr(version)) + "/";
    }
    // ".../namespaces/NAME/pods" lies under "/pods/NAME/".
    constexpr std::string_view in = "/namespaces/";
    if (const auto at = prefix.find(in); at != std::string::npos && at + in.size() < prefix.size()) {
      const auto end = prefix.find('/', at + in.size());
      prefix = prefix.substr(0, at) + prefix.substr(end) + prefix.substr(at + in.size(), end - at - in.size()) + "/";
    }
    const auto held = static_cast<std::size_t>(mirror["objects"].as_int()), stored = now.count(prefix);
    if (held != stored)
      out.push_back(fmt::format("a mirror of {} holds {} objects, the store {}", mirror["path"].as_string(), held, stored));
  }
  return out;
}

}  // namespace kybern::sim
