// What must be true of a cluster at all times, and what must be true once it has come to rest. The checker reads the store
// itself, change by change; it asks no component.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "sim/cluster.h"
#include "store/store.h"

namespace kybern::sim {

struct CheckOptions {
  bool rollouts = true;  // nothing but rollouts takes pods away: maxUnavailable is kept at every change
  bool budgets = false;  // nothing but evictions takes pods away: a budget of a deployment's name is kept at every change
};

class Checker {
 public:
  Checker(Cluster& cluster, CheckOptions options) : cluster_(cluster), options_(options) {}

  // Reads what has changed since the last time. To be called often (the windows of changes are bounded) and before the
  // server goes.
  void look();
  // The server is about to go, and is back: what was there is there. `in_a_write`: power was cut while one was made; it
  // had no answer and may have happened.
  void before_crash(bool in_a_write);
  void after_restart();

  // At rest: nothing is missing, nothing is too much. What is wrong, or nothing.
  std::vector<std::string> at_rest();
  bool is_at_rest();
  // In a cluster at rest: keys that wait in work queues, objects that mirrors hold and the store does not (or the other way).
  std::vector<std::string> leaks();

  const std::vector<std::string>& problems() const { return problems_; }
  std::uint64_t changes_seen() const { return changes_; }
  std::uint64_t bound() const { return bound_.size(); }  // pods that were given a node, ever
  void complain(std::string problem);

 private:
  // There may be hundreds of thousands: names are numbers, keys and uids their hashes.
  static constexpr std::uint32_t none = 0;
  class Names {
   public:
    std::uint32_t number_of(std::string_view name);  // `none` of ""
    const std::string& operator[](std::uint32_t number) const { return *names_[number]; }

   private:
    std::unordered_map<std::string, std::uint32_t> numbers_;
    std::vector<const std::string*> names_{&empty_};
    const std::string empty_;
  };
  struct PodRecord {
    std::uint32_t node = none, owner = none;  // owner: the uid of the ReplicaSet
    std::int64_t cpu_milli = 0, memory_milli = 0;
    bool counts = false;     // on its node: not finished
    bool available = false;  // ready, and not going away
    bool alive = false;      // not finished, and not going away
  };
  struct NodeRecord {
    std::int64_t cpu_milli = 0, memory_milli = 0, pods = 0, used_cpu = 0, used_memory = 0, used_pods = 0;
    bool known = false;
  };
  struct Rollout {
    std::int64_t replicas = 0, surge = 0, unavailable = 0, available = 0, alive = 0, asked = 0;  // asked: by all its ReplicaSets
    bool settled = false;  // was whole since its replicas changed last
    std::int64_t min_available = 0;
    bool budget_met = false;  // it was, once
  };
  void follow(std::string_view prefix, std::unique_ptr<store::Watch>& watch,
              void (Checker::*saw)(const store::EntryPtr& before, const store::EntryPtr& now));
  void saw_pod(const store::EntryPtr& before, const store::EntryPtr& now);
  void saw_node(const store::EntryPtr& before, const store::EntryPtr& now);
  void saw_budget(const store::EntryPtr& before, const store::EntryPtr& now);
  void saw_apps(const store::EntryPtr& before, const store::EntryPtr& now);
  void judge_rollout(const std::string& deployment);
  void judge_budget(const std::string& deployment, Rollout& rollout);
  void relist();
  bool has_room_for(const PodRecord& pod) const;  // some node

  Cluster& cluster_;
  const CheckOptions options_;
  std::unique_ptr<store::Watch> pods_watch_, nodes_watch_, apps_watch_, budgets_watch_;
  bool watching_ = false;
  Names names_;                                             // of nodes, uids of ReplicaSets
  std::unordered_map<std::uint64_t, PodRecord> pods_;       // by key
  std::unordered_map<std::uint64_t, std::uint32_t> bound_;  // uid to node, for ever
  std::map<std::uint32_t, NodeRecord> nodes_;
  std::map<std::uint32_t, std::string> deployment_of_;         // uid of a ReplicaSet to the key of its Deployment
  std::map<std::uint32_t, std::int64_t> asked_;                // by uid of a ReplicaSet: its replicas
  std::map<std::string, Rollout> rollouts_;                    // by key of the Deployment
  std::vector<std::pair<std::string, store::Revision>> kept_;  // key and revision, before the crash
  std::vector<std::string> kept_json_;
  store::Revision kept_revision_ = 0;
  bool power_was_cut_ = false;
  std::vector<std::string> problems_;
  std::uint64_t changes_ = 0;
};

}  // namespace kybern::sim
