#include "controllers/replicaset/reconcile.h"

#include <gtest/gtest.h>

#include <random>

#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::replicaset {
namespace {

using namespace testing_objects;

Document replica_set(int replicas, int min_ready_seconds = 0) {
  Draft out = object("apps/v1", "ReplicaSet", "d", "web");
  out["spec"] = Draft(json(
      R"({"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c"}]}}})"));
  out["spec"]["replicas"] = replicas;
  out["spec"]["minReadySeconds"] = min_ready_seconds;
  return out.freeze();
}

std::string status_of(const Plan& plan) {
  if (!plan.status) return "";
  const Value s = plan.status->body["status"];
  std::string out = std::to_string(s["replicas"].as_int()) + "/" + std::to_string(s["readyReplicas"].as_int()) + "/" +
                    std::to_string(s["availableReplicas"].as_int());
  if (s["terminatingReplicas"].as_int()) out += " terminating " + std::to_string(s["terminatingReplicas"].as_int());
  return out;
}

struct Row {
  const char* what;
  Document replica_set;
  std::vector<Document> pods;
  std::string plan, status;
};

TEST(ReplicaSet, Table) {
  const auto with = [](Document d, auto change) {
    Draft draft(d);
    change(draft);
    return draft.freeze();
  };
  const Row rows[] = {
      {"none yet", replica_set(3), {}, "create pods d/web-* x3; status replicasets", "0/0/0"},
      {"enough", replica_set(1), {pod("a", {.ready_for = 10})}, "status replicasets", "1/1/1"},
      {"one that is deleted counts no more",
       replica_set(2),
       {pod("a", {.ready_for = 10}), pod("b", {.deleting = true})},
       "create pods d/web-*; status replicasets",
       "1/1/1 terminating 1"},
      {"finished ones are replaced", replica_set(1), {pod("a", {.phase = "Failed"})}, "create pods d/web-*; status replicasets", "0/0/0"},
      {"the pending one goes",
       replica_set(1),
       {pod("a", {.ready_for = 10}), pod("b", {.phase = "Pending"})},
       "delete pods d/b; status replicasets",
       "2/1/1"},
      {"all go", replica_set(0), {pod("a"), pod("b")}, "delete pods d/a; delete pods d/b; status replicasets", "2/0/0"},
      {"an orphan is adopted first", replica_set(2), {pod("a", {.owner = ""})}, "patch pods d/a; status replicasets", "0/0/0"},
      {"another one's pod is left alone",
       replica_set(1),
       {pod("a", {.owner = "other"})},
       "create pods d/web-*; status replicasets",
       "0/0/0"},
      {"an orphan with other labels is left alone", replica_set(0), {pod("a", {.owner = "", .app = "db"})}, "status replicasets", "0/0/0"},
      {"one whose labels changed is released", replica_set(1), {pod("a", {.app = "db"})}, "patch pods d/a; status replicasets", "0/0/0"},
      {"no deleted orphan is adopted", replica_set(0), {pod("a", {.owner = "", .deleting = true})}, "status replicasets", "0/0/0"},
      {"ready, not available yet", replica_set(1, 30), {pod("a", {.ready_for = 10})}, "status replicasets; wake after 20s", "1/1/0"},
      {"available now", replica_set(1, 30), {pod("a", {.ready_for = 30})}, "status replicasets", "1/1/1"},
      {"while it is deleted nothing is made",
       with(replica_set(3), [](Draft& d) { d["metadata"]["deletionTimestamp"] = format_rfc3339(at(0)); }),
       {pod("a", {.owner = ""})},
       "status replicasets",
       "0/0/0"},
      {"a burst is bounded", replica_set(800), {}, "create pods d/web-* x500; status replicasets", "0/0/0"},
  };
  for (const Row& row : rows) {
    const Plan plan = reconcile(row.replica_set, {.pods = row.pods, .related = row.pods, .now = at(0)});
    EXPECT_EQ(describe(plan), row.plan) << row.what;
    EXPECT_EQ(status_of(plan), row.status) << row.what;
  }
}

TEST(ReplicaSet, AReplicationControllerIsTheSame) {
  Draft draft = object("v1", "ReplicationController", "d", "web");
  draft["spec"] = Draft(json(R"({"replicas":2,"selector":{"app":"web"},"template":{"metadata":{"labels":{"app":"web"}},"spec":{}}})"));
  const Document controller = draft.freeze();
  const Plan plan =
      reconcile(controller,
                {.pods = {pod("a", {.owner_kind = "ReplicationController", .ready_for = 1}), pod("b", {.owner = "", .app = "db"})},
                 .related = {},
                 .now = at(0)},
                replication_controller_flavor);
  EXPECT_EQ(describe(plan), "create pods d/web-*; status replicationcontrollers");
  EXPECT_EQ(to_json(plan.status->body["status"]),
            R"({"replicas":1,"fullyLabeledReplicas":1,"readyReplicas":1,"availableReplicas":1,"observedGeneration":1})");
  EXPECT_EQ(to_json(plan.actions[0].body["metadata"]["ownerReferences"][0]["kind"]), R"("ReplicationController")");
  const Plan adopting =
      reconcile(controller, {.pods = {pod("a", {.owner = ""})}, .related = {}, .now = at(0)}, replication_controller_flavor);
  EXPECT_EQ(adopting.actions.at(0).guard->what, "ReplicationController d/web");
}

TEST(ReplicaSet, ANewPod) {
  const Plan plan = reconcile(replica_set(1), {.pods = {}, .related = {}, .now = at(0)});
  EXPECT_EQ(
      to_json(plan.actions.at(0).body.root()),
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"web-","namespace":"d","labels":{"app":"web"},"ownerReferences":[)"
      R"({"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"uid-web","controller":true,"blockOwnerDeletion":true}]},)"
      R"("spec":{"containers":[{"name":"c"}]}})");
  EXPECT_EQ(plan.actions[0].done->message, "Created pod: {name}");
}

TEST(ReplicaSet, StatusIsWrittenOnlyWhenItChanges) {
  const std::vector<Document> pods = {pod("a", {.ready_for = 10})};
  const Plan first = reconcile(replica_set(1), {.pods = pods, .related = {}, .now = at(0)});
  ASSERT_TRUE(first.status);
  EXPECT_EQ(
      to_json(first.status->body["status"]),
      R"({"replicas":1,"fullyLabeledReplicas":1,"readyReplicas":1,"availableReplicas":1,"terminatingReplicas":0,"observedGeneration":1})");
  const Plan second = reconcile(first.status->body, {.pods = pods, .related = {}, .now = at(5)});
  EXPECT_EQ(describe(second), "");
}

TEST(ReplicaSet, AFailureShowsInTheStatusUntilItIsOver) {
  const Failure failure{
      .resource = "pods", .name = {}, .reason = "Forbidden", .message = "pods \"web-\" is forbidden: exceeded quota", .code = 403};
  const Plan failed = reconcile(replica_set(1), {.pods = {}, .related = {}, .now = at(0), .failure = &failure});
  ASSERT_TRUE(failed.status);
  EXPECT_EQ(to_json(failed.status->body["status"]["conditions"]),
            R"([{"type":"ReplicaFailure","status":"True","lastTransitionTime":"2023-11-14T22:13:20Z","reason":"FailedCreate",)"
            R"("message":"pods \"web-\" is forbidden: exceeded quota"}])");
  const Plan fine = reconcile(failed.status->body, {.pods = {pod("a")}, .related = {}, .now = at(0)});
  ASSERT_TRUE(fine.status);
  EXPECT_FALSE(fine.status->body["status"]["conditions"].exists());
}

TEST(ReplicaSet, WhoGoesFirst) {
  const auto annotated = [](Document d, const char* cost) {
    Draft draft(d);
    draft["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"] = cost;
    return draft.freeze();
  };
  const auto restarted = [](Document d, int count) {
    Draft draft(d);
    draft["status"]["containerStatuses"] = Draft::array({Draft::object({{"name", "c"}, {"restartCount", count}})});
    return draft.freeze();
  };
  struct Pair {
    const char* what;
    Document first, second;
  };
  const Pair pairs[] = {
      {"unassigned", pod("b", {.node = ""}), pod("a")},
      {"pending", pod("b", {.phase = "Pending"}), pod("a")},
      {"unknown", pod("b", {.phase = "Unknown"}), pod("a")},
      {"not ready", pod("b"), pod("a", {.ready_for = 1})},
      {"cheap", annotated(pod("b", {.ready_for = 1}), "-5"), pod("a", {.ready_for = 1})},
      {"cheap beats young", annotated(pod("b", {.ready_for = 900}), "1"), annotated(pod("a", {.ready_for = 1}), "2")},
      {"ready for less time", pod("b", {.ready_for = 10}), pod("a", {.ready_for = 90})},
      {"restarted more often", restarted(pod("b"), 3), restarted(pod("a"), 1)},
      {"newer", pod("b", {.age = 10}), pod("a", {.age = 90})},
      {"about the same age: by uid", pod("a", {.age = 100}), pod("b", {.age = 99})},
  };
  for (const Pair& pair : pairs) {
    for (bool swapped : {false, true}) {
      std::vector<Document> pods = {pair.first, pair.second};
      if (swapped) std::swap(pods[0], pods[1]);
      EXPECT_TRUE(rank_for_deletion(pods, {}, at(0)).front().same_block(pair.first)) << pair.what;
    }
  }
  const std::vector<Document> crowd = {pod("a", {.node = "n1"}), pod("b", {.node = "n2"}), pod("c", {.node = "n2"})};
  EXPECT_EQ(name_of(rank_for_deletion(crowd, crowd, at(0)).front()), "b") << "doubled up on n2";
}

// A random world that loses actions, pods and readiness: what is planned is never too much, and in the end all is well.
TEST(ReplicaSet, RandomWorldsConverge) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    const auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
    std::vector<Document> pods;
    int serial = 0, replicas = static_cast<int>(random() % 8);
    Document set = replica_set(replicas);
    std::size_t made = 0;
    for (int step = 0; step < 60; ++step) {
      const bool calm = step >= 40;
      if (!calm && chance(10)) {
        replicas = static_cast<int>(random() % 8);
        Draft changed(set);
        changed["spec"]["replicas"] = replicas;
        set = changed.freeze();
      }
      if (!calm && chance(20) && !pods.empty()) pods.erase(pods.begin() + static_cast<long>(random() % pods.size()));
      if (!calm && chance(10)) pods.push_back(pod("orphan" + std::to_string(++serial), {.owner = ""}));
      const Plan plan = reconcile(set, {.pods = pods, .related = pods, .now = at(step)});
      std::size_t active = 0, creates = 0, deletes = 0;
      for (const Document& p : pods)
        if (is_active(p) && controller_of(p).exists()) ++active;
      for (const Action& action : plan.actions) {
        creates += action.verb == Action::Verb::create;
        deletes += action.verb == Action::Verb::erase;
      }
      ASSERT_LE(active + creates, std::max<std::size_t>(active, static_cast<std::size_t>(replicas))) << "seed " << seed;
      ASSERT_GE(active - deletes, std::min<std::size_t>(active, static_cast<std::size_t>(replicas))) << "seed " << seed;
      for (const Action& action : plan.actions) {
        if (!calm && chance(40)) continue;  // lost
        if (action.verb == Action::Verb::create) {
          ++made;
          pods.push_back(pod("p" + std::to_string(++serial), {.ready_for = chance(50) ? 0 : -1}));
          continue;
        }
        auto it = std::find_if(pods.begin(), pods.end(), [&](const Document& p) { return name_of(p) == action.name; });
        ASSERT_NE(it, pods.end());
        if (action.verb == Action::Verb::erase) pods.erase(it);
        else *it = pod(action.name);
      }
      if (plan.status && (calm || chance(60))) set = plan.status->body;
    }
    EXPECT_EQ(static_cast<int>(pods.size()), replicas) << "seed " << seed;
    EXPECT_EQ(set["status"]["replicas"].as_int(), replicas) << "seed " << seed;
    EXPECT_LT(made, 200u);
  }
}

}  // namespace
}  // namespace kybern::controllers::replicaset
