#include "controllers/deployment/reconcile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "controllers/deployment/rollout.h"
#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::deployment {
namespace {

using namespace testing_objects;

Draft pod_template(std::string_view image) {
  return Draft(
      json(R"({"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":")" + std::string(image) + R"("}]}})"));
}

struct DeploymentOptions {
  int replicas = 10;
  std::string image = "v2", surge = "3", unavailable = "2", strategy = "RollingUpdate";
  bool paused = false;
};

Draft int_or_percent(const std::string& text) { return text.ends_with('%') ? Draft(text) : Draft(std::stoi(text)); }

Document make_deployment(DeploymentOptions o = {}) {
  Draft out = object("apps/v1", "Deployment", "d", "web");
  out["spec"] = Draft(json(R"({"selector":{"matchLabels":{"app":"web"}},"progressDeadlineSeconds":600,"revisionHistoryLimit":2})"));
  out["spec"]["replicas"] = o.replicas;
  out["spec"]["template"] = pod_template(o.image);
  out["spec"]["strategy"]["type"] = o.strategy;
  if (o.paused) out["spec"]["paused"] = true;
  if (o.strategy == "RollingUpdate")
    out["spec"]["strategy"]["rollingUpdate"] =
        Draft::object({{"maxSurge", int_or_percent(o.surge)}, {"maxUnavailable", int_or_percent(o.unavailable)}});
  return out.freeze();
}

struct SetOptions {
  int size = 0, actual = -1, available = -1, revision = 1, age = 1000;
  int desired = 10, maximum = 13;
  bool orphan = false;
};

Document set(std::string_view image, SetOptions o) {
  Draft out = object("apps/v1", "ReplicaSet", "d", "web-" + std::string(image));
  Draft& meta = out["metadata"];
  meta["creationTimestamp"] = format_rfc3339(at(-o.age));
  meta["labels"] = Draft::object({{"app", "web"}, {hash_label, image}});
  meta["annotations"] = Draft::object({{revision_annotation, std::to_string(o.revision)},
                                       {desired_annotation, std::to_string(o.desired)},
                                       {maximum_annotation, std::to_string(o.maximum)}});
  if (!o.orphan)
    meta["ownerReferences"] =
        Draft::array({Draft::object({{"kind", "Deployment"}, {"name", "web"}, {"uid", "uid-web"}, {"controller", true}})});
  Draft templ = pod_template(image);
  templ["metadata"]["labels"][hash_label] = image;
  out["spec"] =
      Draft::object({{"replicas", o.size}, {"template", std::move(templ)}, {"selector", Draft(json(R"({"matchLabels":{"app":"web"}})"))}});
  const int actual = o.actual < 0 ? o.size : o.actual;
  out["status"] = Draft::object({{"replicas", actual},
                                 {"availableReplicas", o.available < 0 ? actual : o.available},
                                 {"readyReplicas", o.available < 0 ? actual : o.available},
                                 {"terminatingReplicas", 0},
                                 {"observedGeneration", 1}});
  return out.freeze();
}

Document stamped(Document d, int revision) {
  Draft draft(d);
  draft["metadata"]["annotations"][revision_annotation] = std::to_string(revision);
  return draft.freeze();
}

// "create web-x 3" / "v1 10->8" / "delete v1" / what describe says.
std::string steps(const Plan& plan, const std::vector<Document>& sets) {
  std::string out;
  for (const Action& action : plan.actions) {
    if (!out.empty()) out += ", ";
    std::string_view name = action.name;
    if (name.starts_with("web-")) name.remove_prefix(4);
    auto before = std::find_if(sets.begin(), sets.end(), [&](const Document& s) { return name_of(s) == action.name; });
    if (action.verb == Action::Verb::create) out += "create " + std::to_string(size(action.body));
    else if (action.verb == Action::Verb::replace && action.resource == "replicasets" && before != sets.end() &&
             size(*before) != size(action.body))
      out += std::string(name) + " " + std::to_string(size(*before)) + "->" + std::to_string(size(action.body));
    else out += describe(action);
  }
  return out;
}

struct Row {
  const char* what;
  Document deployment;
  std::vector<Document> sets;
  std::string steps;
};

TEST(Deployment, Steps) {
  const Document plain = stamped(make_deployment(), 2);
  const Row rows[] = {
      {"the first", make_deployment(), {}, "create 10"},
      {"a new template beside ten old", plain, {set("v1", {.size = 10})}, "create 3"},
      {"the new one is there: old ones give way",
       plain,
       {set("v1", {.size = 10}), set("v2", {.size = 3, .available = 0, .revision = 2})},
       "v1 10->8"},
      {"nothing available yet: wait", plain, {set("v1", {.size = 8}), set("v2", {.size = 5, .available = 0, .revision = 2})}, ""},
      {"new ones available: grow", plain, {set("v1", {.size = 8}), set("v2", {.size = 3, .revision = 2})}, "v2 3->5"},
      {"and shrink", plain, {set("v1", {.size = 8}), set("v2", {.size = 5, .available = 3, .revision = 2})}, "v1 8->5"},
      {"a stale status of the old one does not count",
       plain,
       {set("v1", {.size = 5, .actual = 8}), set("v2", {.size = 5, .available = 3, .revision = 2})},
       "v2 5->8"},
      {"unavailable old ones go first",
       plain,
       {set("v1", {.size = 10, .available = 7}), set("v2", {.size = 3, .available = 0, .revision = 2})},
       "v1 10->8"},
      {"of two old ones the unavailable",
       plain,
       {set("v0", {.size = 4, .age = 2000}), set("v1", {.size = 6, .available = 3}), set("v2", {.size = 3, .available = 3, .revision = 2})},
       "v0 4->2, v1 6->3"},
      {"through", plain, {set("v1", {.size = 0}), set("v2", {.size = 10, .revision = 2})}, ""},
      {"too many after a change of size by hand", plain, {set("v2", {.size = 14, .revision = 2})}, "v2 14->10"},
      {"an orphan is adopted", plain, {set("v1", {.size = 10, .orphan = true})}, "patch replicasets d/web-v1"},
      {"undo: the old set is marked with the next revision",
       stamped(make_deployment({.image = "v1"}), 2),
       {set("v1", {.size = 0, .revision = 1}), set("v2", {.size = 10, .revision = 2})},
       "replace replicasets d/web-v1"},
      {"then the deployment",
       stamped(make_deployment({.image = "v1"}), 2),
       {set("v1", {.size = 0, .revision = 3}), set("v2", {.size = 10, .revision = 2})},
       "replace deployments d/web"},
      {"then it grows",
       stamped(make_deployment({.image = "v1"}), 3),
       {set("v1", {.size = 0, .revision = 3}), set("v2", {.size = 10, .revision = 2})},
       "v1 0->3"},
      // spec.replicas changed
      {"one active set gets it all", stamped(make_deployment({.replicas = 4}), 2), {set("v2", {.size = 10, .revision = 2})}, "v2 10->4"},
      {"in the middle of a rollout: in proportion",
       stamped(make_deployment({.replicas = 20}), 2),
       {set("v1", {.size = 8}), set("v2", {.size = 5, .revision = 2})},
       "v1 8->14, v2 5->9"},
      {"to zero",
       stamped(make_deployment({.replicas = 0}), 2),
       {set("v1", {.size = 8}), set("v2", {.size = 5, .revision = 2})},
       "v1 8->0, v2 5->0"},
      {"a saturated new set: the old ones go",
       stamped(make_deployment({.paused = true}), 2),
       {set("v1", {.size = 8}), set("v2", {.size = 10, .revision = 2})},
       "v1 8->0"},
      // paused
      {"paused: no new set", stamped(make_deployment({.paused = true}), 1), {set("v1", {.size = 10})}, ""},
      {"paused: sizes still follow", stamped(make_deployment({.replicas = 6, .paused = true}), 1), {set("v1", {.size = 10})}, "v1 10->6"},
      // Recreate
      {"recreate: all old ones go first", make_deployment({.strategy = "Recreate"}), {set("v1", {.size = 10})}, "v1 10->0"},
      {"recreate: they still run", make_deployment({.strategy = "Recreate"}), {set("v1", {.size = 0, .actual = 2})}, ""},
      {"recreate: then the new", make_deployment({.strategy = "Recreate"}), {set("v1", {.size = 0})}, "create 10"},
  };
  for (const Row& row : rows) {
    const Plan plan = reconcile(row.deployment, {.replica_sets = row.sets, .pods = {}, .replica_set_named = {}, .now = at(0)});
    EXPECT_EQ(steps(plan, row.sets), row.steps) << row.what;
  }
}

TEST(Deployment, OldPodsKeepRecreateWaiting) {
  const std::vector<Document> sets = {set("v1", {.size = 0})};
  const auto plan = [&](std::vector<Document> pods) {
    return steps(
        reconcile(make_deployment({.strategy = "Recreate"}), {.replica_sets = sets, .pods = pods, .replica_set_named = {}, .now = at(0)}),
        sets);
  };
  EXPECT_EQ(plan({pod("a", {.owner = "web-v1", .deleting = true})}), "");
  EXPECT_EQ(plan({pod("a", {.owner = "web-v1", .phase = "Failed"})}), "create 10");
}

TEST(Deployment, Fenceposts) {
  struct Case {
    const char* surge;
    const char* unavailable;
    int replicas;
    std::int64_t want_surge, want_unavailable;
  };
  for (const Case& c : {Case{"25%", "25%", 10, 3, 2}, Case{"25%", "25%", 1, 1, 0}, Case{"0", "0", 5, 0, 1}, Case{"0%", "10%", 5, 0, 1},
                        Case{"1", "0", 5, 1, 0}, Case{"0", "100%", 5, 0, 5}, Case{"0", "9", 5, 0, 5}}) {
    const Fenceposts posts = fenceposts(make_deployment({.replicas = c.replicas, .surge = c.surge, .unavailable = c.unavailable}));
    EXPECT_EQ(posts.surge, c.want_surge) << c.surge << " " << c.unavailable;
    EXPECT_EQ(posts.unavailable, c.want_unavailable) << c.surge << " " << c.unavailable;
  }
}

TEST(Deployment, TheNewReplicaSet) {
  Draft draft(make_deployment({.replicas = 2}));
  draft["metadata"]["annotations"] = Draft::object({{"note", "n"}, {"kubectl.kubernetes.io/last-applied-configuration", "{}"}});
  const Plan plan = reconcile(draft.freeze(), {.replica_sets = {set("v1", {.size = 1, .revision = 6, .desired = 2, .maximum = 5})},
                                               .pods = {},
                                               .replica_set_named = {},
                                               .now = at(0)});
  ASSERT_EQ(plan.actions.size(), 1u);
  const Value made = plan.actions[0].body;
  const std::string name = made["metadata"]["name"].str(), hash = name.substr(4);
  EXPECT_TRUE(name.starts_with("web-"));
  EXPECT_LE(hash.size(), 10u);
  EXPECT_EQ(hash.find_first_not_of("bcdfghjklmnpqrstvwxz2456789"), std::string::npos);
  EXPECT_EQ(made["metadata"]["labels"]["pod-template-hash"].as_string(), hash);
  EXPECT_EQ(made["spec"]["selector"]["matchLabels"]["pod-template-hash"].as_string(), hash);
  EXPECT_EQ(made["spec"]["template"]["metadata"]["labels"]["pod-template-hash"].as_string(), hash);
  EXPECT_EQ(
      to_json(made["metadata"]["annotations"]),
      R"({"note":"n","deployment.kubernetes.io/revision":"7","deployment.kubernetes.io/desired-replicas":"2","deployment.kubernetes.io/max-replicas":"5"})");
  EXPECT_EQ(made["spec"]["replicas"].as_int(), 2);
  EXPECT_EQ(plan.actions[0].done->message, "Scaled up replica set " + name + " from 0 to 2");
}

TEST(Deployment, ATakenNameGivesAnother) {
  const auto taken = [](std::string_view) { return json("{}"); };
  const Plan plan = reconcile(make_deployment(), {.replica_sets = {}, .pods = {}, .replica_set_named = taken, .now = at(0)});
  EXPECT_EQ(describe(plan), "status deployments; wake after 0s");
  EXPECT_EQ(plan.status->body["status"]["collisionCount"].as_int(), 1);
  const auto name_with = [&](const Document& d) {
    return name_of(reconcile(d, {.replica_sets = {}, .pods = {}, .replica_set_named = {}, .now = at(0)}).actions.at(0).body);
  };
  EXPECT_NE(name_with(make_deployment()), name_with(plan.status->body));
}

TEST(Deployment, History) {
  const Document d = [] {
    Draft draft(stamped(make_deployment(), 5));
    draft["status"] = Draft(json(R"({"updatedReplicas":10,"replicas":10,"availableReplicas":10,"observedGeneration":1})"));
    return draft.freeze();
  }();
  const std::vector<Document> sets = {set("a", {.revision = 3, .age = 900}), set("b", {.revision = 1, .age = 800}),
                                      set("c", {.revision = 2, .age = 700}), set("e", {.size = 0, .actual = 1, .revision = 4}),
                                      set("v2", {.size = 10, .revision = 5})};
  EXPECT_EQ(steps(reconcile(d, {.replica_sets = sets, .pods = {}, .replica_set_named = {}, .now = at(0)}), sets),
            "delete replicasets d/web-b, delete replicasets d/web-c");
}

// The limit was lowered just now: that the status follows is no event to wait for.
TEST(Deployment, HistoryIsCutByTheStatusToCome) {
  Draft lowered(stamped(make_deployment(), 2));
  lowered["metadata"]["generation"] = 6;
  lowered["spec"]["revisionHistoryLimit"] = 0;
  lowered["status"] = Draft(json(R"({"updatedReplicas":10,"replicas":10,"availableReplicas":10,"observedGeneration":5})"));
  const Document old = set("v1", {.revision = 1});
  const auto plan_with = [&](const Document& fresh) {
    const std::vector<Document> sets = {old, fresh};
    return steps(reconcile(lowered.freeze(), {.replica_sets = sets, .pods = {}, .replica_set_named = {}, .now = at(0)}), sets);
  };
  EXPECT_EQ(plan_with(set("v2", {.size = 10, .available = 9, .revision = 2})), "");
  EXPECT_EQ(plan_with(set("v2", {.size = 10, .revision = 2})), "delete replicasets d/web-v1");
}

Value progressing(const Document& d) { return condition(d["status"]["conditions"], "Progressing"); }

// The story of one rollout as its conditions tell it.
TEST(Deployment, Conditions) {
  Document d = stamped(make_deployment(), 1);
  std::vector<Document> sets;
  const auto step = [&](std::int64_t seconds) {
    const Plan plan = reconcile(d, {.replica_sets = sets, .pods = {}, .replica_set_named = {}, .now = at(seconds)});
    EXPECT_TRUE(plan.actions.empty()) << describe(plan);
    if (plan.status) d = plan.status->body;
    return plan;
  };
  const auto now = [&] {
    return progressing(d)["status"].str() + " " + progressing(d)["reason"].str() + ": " + progressing(d)["message"].str() + " / " +
           condition(d["status"]["conditions"], "Available")["reason"].str();
  };
  const auto young = [](Document s) {
    Draft draft(s);
    draft["status"] = Draft::object({{"replicas", 0}});
    return draft.freeze();
  };

  sets = {young(set("v2", {.size = 10, .age = 0}))};
  Plan plan = step(0);
  EXPECT_EQ(now(), "True NewReplicaSetCreated: Created new replica set \"web-v2\" / MinimumReplicasUnavailable");
  EXPECT_EQ(plan.wake_after, std::chrono::seconds(601));
  EXPECT_EQ(d["status"]["unavailableReplicas"].as_int(), 10);

  sets = {set("v2", {.size = 10, .available = 0, .age = 0})};
  step(5);
  EXPECT_EQ(now(), "True ReplicaSetUpdated: ReplicaSet \"web-v2\" is progressing. / MinimumReplicasUnavailable");
  EXPECT_EQ(progressing(d)["lastUpdateTime"].as_string(), format_rfc3339(at(5)));
  EXPECT_EQ(progressing(d)["lastTransitionTime"].as_string(), format_rfc3339(at(0)));

  EXPECT_FALSE(step(30).status);
  sets = {set("v2", {.size = 10, .available = 8, .age = 0})};
  step(60);
  EXPECT_EQ(now(), "True ReplicaSetUpdated: ReplicaSet \"web-v2\" is progressing. / MinimumReplicasAvailable");

  plan = step(661);
  EXPECT_EQ(now(), "False ProgressDeadlineExceeded: ReplicaSet \"web-v2\" has timed out progressing. / MinimumReplicasAvailable");
  EXPECT_FALSE(plan.wake_after);

  sets = {set("v2", {.size = 10, .age = 0})};
  step(700);
  EXPECT_EQ(now(), "True NewReplicaSetAvailable: ReplicaSet \"web-v2\" has successfully progressed. / MinimumReplicasAvailable");
  EXPECT_FALSE(step(9000).wake_after);

  const auto change = [&](auto f) {
    Draft draft(d);
    f(draft);
    d = draft.freeze();
  };
  change([](Draft& x) { x["spec"]["paused"] = true; });
  step(9001);
  EXPECT_EQ(now(), "Unknown DeploymentPaused: Deployment is paused / MinimumReplicasAvailable");
  change([](Draft& x) { x["spec"]["paused"] = false; });
  step(9002);
  EXPECT_EQ(now(), "True NewReplicaSetAvailable: ReplicaSet \"web-v2\" has successfully progressed. / MinimumReplicasAvailable");
}

TEST(Deployment, AResumedRolloutSaysSo) {
  Document d = stamped(make_deployment(), 1);
  const std::vector<Document> sets = {set("v2", {.size = 10, .available = 5})};
  const auto step = [&](std::int64_t seconds) {
    d = reconcile(d, {.replica_sets = sets, .pods = {}, .replica_set_named = {}, .now = at(seconds)}).status.value().body;
    return progressing(d)["status"].str() + " " + progressing(d)["reason"].str() + ": " + progressing(d)["message"].str();
  };
  const auto pause = [&](bool paused) {
    Draft changed(d);
    changed["spec"]["paused"] = paused;
    d = changed.freeze();
  };
  EXPECT_EQ(step(0), "True ReplicaSetUpdated: ReplicaSet \"web-v2\" is progressing.");
  pause(true);
  EXPECT_EQ(step(1), "Unknown DeploymentPaused: Deployment is paused");
  pause(false);
  EXPECT_EQ(step(2), "Unknown DeploymentResumed: Deployment is resumed");
}

TEST(Deployment, AFailedCreationShows) {
  const Failure failure{.resource = "replicasets", .name = {}, .reason = "Forbidden", .message = "no", .code = 403};
  const Plan plan =
      reconcile(make_deployment(), {.replica_sets = {}, .pods = {}, .replica_set_named = {}, .now = at(0), .failure = &failure});
  ASSERT_TRUE(plan.status);
  EXPECT_EQ(progressing(plan.status->body)["reason"].as_string(), "ReplicaSetCreateError");
  EXPECT_EQ(progressing(plan.status->body)["status"].as_string(), "False");
  EXPECT_TRUE(progressing(plan.status->body)["message"].as_string().ends_with(": no"));
}

TEST(Deployment, AReplicaSetsFailureShows) {
  Draft failing(set("v2", {.size = 10, .actual = 3}));
  failing["status"]["conditions"] = Draft(json(
      R"([{"type":"ReplicaFailure","status":"True","lastTransitionTime":"2023-11-14T22:13:20Z","reason":"FailedCreate","message":"quota"}])"));
  const Plan plan =
      reconcile(stamped(make_deployment(), 1), {.replica_sets = {failing.freeze()}, .pods = {}, .replica_set_named = {}, .now = at(9)});
  const Value shown = condition(plan.status->body["status"]["conditions"], "ReplicaFailure");
  EXPECT_EQ(
      to_json(shown),
      R"({"type":"ReplicaFailure","status":"True","lastUpdateTime":"2023-11-14T22:13:20Z","lastTransitionTime":"2023-11-14T22:13:20Z","reason":"FailedCreate","message":"quota"})");
}

// A world in which each ReplicaSet makes pods as told, pods become available after a while, statuses lag, and writes are
// lost. Whatever happens: never more pods wanted than replicas + surge, never fewer available than replicas - maxUnavailable
// (once they were there), and in the end the new template runs everywhere.
struct RolloutWorld {
  struct Set {
    Document document;
    int ready = 0, starting = 0;  // the truth
    int pods() const { return ready + starting; }
  };
  std::mt19937 random;
  Document deployment;
  std::vector<Set> sets;
  int versions = 1;

  explicit RolloutWorld(unsigned seed) : random(seed) {
    const int replicas = 1 + pick(12);
    deployment = make_deployment({.replicas = replicas,
                                  .image = "v1",
                                  .surge = pick(2) ? "25%" : std::to_string(pick(4)),
                                  .unavailable = pick(2) ? "25%" : std::to_string(pick(3))});
  }
  int pick(int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); }

  Plan plan(int now) {
    std::vector<Document> documents;
    for (const Set& s : sets) documents.push_back(s.document);
    return reconcile(deployment, {.replica_sets = documents, .pods = {}, .replica_set_named = {}, .now = at(now)});
  }
  Set* find(std::string_view name) {
    for (Set& s : sets)
      if (name_of(s.document) == name) return &s;
    return nullptr;
  }
  void apply(const Action& action, int now) {
    if (action.resource == "deployments") deployment = action.body;
    else if (action.verb == Action::Verb::create) {
      Draft made(action.body);
      made["metadata"]["uid"] = "uid-" + made["metadata"]["name"].str();
      made["metadata"]["creationTimestamp"] = format_rfc3339(at(now));
      made["metadata"]["generation"] = 1;
      sets.push_back({made.freeze()});
    } else if (Set* set = find(action.name)) {
      if (action.verb == Action::Verb::erase) std::erase_if(sets, [&](const Set& s) { return name_of(s.document) == action.name; });
      else set->document = action.body;
    }
  }
  // Pods follow the sizes; starting ones go first.
  void live(bool calm) {
    for (Set& s : sets) {
      const int wanted = static_cast<int>(size(s.document));
      if (calm || pick(2)) {
        while (s.pods() < wanted) ++s.starting;
        while (s.pods() > wanted) --(s.starting > 0 ? s.starting : s.ready);
      }
      for (int i = s.starting; i > 0; --i)
        if (calm || pick(3) == 0) {
          --s.starting;
          ++s.ready;
        }
      if (!calm && pick(2)) continue;  // the status lags
      Draft shown(s.document);
      shown["status"] = Draft::object({{"replicas", s.pods()},
                                       {"readyReplicas", s.ready},
                                       {"availableReplicas", s.ready},
                                       {"terminatingReplicas", 0},
                                       {"observedGeneration", 1}});
      s.document = shown.freeze();
    }
  }
  int available() const {
    int n = 0;
    for (const Set& s : sets) n += s.ready;
    return n;
  }
  int wanted() const {
    int n = 0;
    for (const Set& s : sets) n += static_cast<int>(size(s.document));
    return n;
  }
  void change_template() {
    Draft changed(deployment);
    changed["spec"]["template"] = pod_template("v" + std::to_string(++versions));
    changed["metadata"]["generation"] = versions;
    deployment = changed.freeze();
  }
};

TEST(Deployment, NeverTooManyNeverTooFew) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    RolloutWorld w(seed);
    const int replicas = static_cast<int>(w.deployment["spec"]["replicas"].as_int());
    const Fenceposts posts = fenceposts(w.deployment);
    bool complete_once = false;
    for (int step = 0; step < 220; ++step) {
      const bool calm = step < 10 || step >= 140;
      if (!calm && w.pick(25) == 0) w.change_template();
      const Plan plan = w.plan(step);
      for (const Action& action : plan.actions) {
        if (!calm && w.pick(3) == 0) continue;  // lost
        w.apply(action, step);
      }
      if (plan.actions.empty() && plan.status && (calm || w.pick(2))) w.deployment = plan.status->body;
      ASSERT_LE(w.wanted(), replicas + posts.surge) << "seed " << seed << " step " << step;
      w.live(calm);
      if (w.available() >= replicas) complete_once = true;
      if (complete_once) { ASSERT_GE(w.available(), replicas - posts.unavailable) << "seed " << seed << " step " << step; }
    }
    ASSERT_TRUE(complete_once) << "seed " << seed;
    EXPECT_TRUE(is_complete(w.deployment, w.deployment["status"])) << "seed " << seed;
    EXPECT_EQ(progressing(w.deployment)["reason"].as_string(), "NewReplicaSetAvailable") << "seed " << seed;
    EXPECT_LE(w.sets.size(), 3u) << "the history is limited; seed " << seed;
    EXPECT_EQ(describe(w.plan(500)), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace kybern::controllers::deployment
