// What the checks hold a cluster to is seen when it is broken; and a plan that fails is shortened to what makes it fail.
#include "sim/checks.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "sim/cluster.h"
#include "sim/trial.h"
#include "sim/user.h"

namespace kybern::sim {
namespace {

using Kind = Incident::Kind;
using std::chrono::seconds;

// Four nodes, a deployment of three pods that run; then somebody goes around the API server.
class Broken : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(static_cast<LogLevel>(static_cast<int>(LogLevel::error) + 1));
    ASSERT_TRUE(cluster_.start());
    cluster_.run_for(seconds(8));
    DeploymentSpec spec;
    spec.name = "app";
    spec.replicas = 3;
    ASSERT_TRUE(user_.make(spec));
    ASSERT_TRUE(user_.make_budget("default", "app", 3));
    ASSERT_TRUE(cluster_.run_until([&] { return checker_.is_at_rest(); }, seconds(120), seconds(1)));
    cluster_.run_for(seconds(20));
    checker_.look();
    ASSERT_TRUE(checker_.problems().empty()) << checker_.problems().front();
    pod_ = cluster_.objects("/pods/").front();
  }
  static ClusterOptions options() {
    ClusterOptions out;
    out.seed = 11;
    out.nodes = 4;
    return out;
  }
  static std::string key_of(const Document& pod) {
    return "/pods/" + pod["metadata"]["namespace"].str() + "/" + pod["metadata"]["name"].str();
  }
  void store(const std::string& key, Draft object) {
    object["metadata"]["resourceVersion"] = Document::stamp_blank();
    ASSERT_TRUE(cluster_.store()->commit({key, object.freeze(), {}}));
  }
  // The same pod under another name and uid.
  Draft another() const {
    Draft out(pod_);
    out["metadata"]["name"] = "another";
    out["metadata"]["uid"] = "another";
    return out;
  }
  bool has_problem(std::string_view part) {
    checker_.look();
    return contains(checker_.problems(), part);
  }
  static bool contains(const std::vector<std::string>& list, std::string_view part) {
    return std::any_of(list.begin(), list.end(), [&](const std::string& p) { return p.find(part) != std::string::npos; });
  }

  Cluster cluster_{options()};
  User user_{cluster_.user()};
  Checker checker_{cluster_, {.rollouts = true, .budgets = true}};
  Document pod_;
};

TEST_F(Broken, ABindingThatChanges) {
  const std::string there = pod_["spec"]["nodeName"].str();
  Draft moved(pod_);
  moved["spec"]["nodeName"] = there == "node-00001" ? "node-00002" : "node-00001";
  store(key_of(pod_), moved);
  EXPECT_TRUE(has_problem("was bound to " + there + ", now to "));
  cluster_.run_for(seconds(20));  // the other node starts it, and the first has not stopped
  EXPECT_TRUE(has_problem(" runs on "));
}

TEST_F(Broken, ABindingThatIsTakenBack) {
  Draft unbound(pod_);
  unbound["spec"].erase("nodeName");
  store(key_of(pod_), unbound);
  EXPECT_TRUE(has_problem("and is not any more"));
}

TEST_F(Broken, ANodeWithMoreThanItHolds) {
  Draft large = another();
  large["spec"]["containers"] = Draft::array({Draft::object(
      {{"name", "c"}, {"image", "i"}, {"resources", Draft::object({{"requests", Draft::object({{"cpu", "1000"}, {"memory", "1Mi"}})}})}})});
  store("/pods/default/another", large);
  EXPECT_TRUE(has_problem("has more than it can hold since /pods/default/another is bound to it"));
}

TEST_F(Broken, APodThatIsTakenAway) {
  ASSERT_TRUE(user_.erase_pod("default", pod_["metadata"]["name"].str()));
  EXPECT_TRUE(has_problem("2 pods are available, of 3 at most 0 may be missing"));
  EXPECT_TRUE(has_problem("2 pods are available, its budget wants 3"));
}

TEST_F(Broken, ASetThatAsksForTooMany) {
  const Document set = cluster_.objects("/apps/replicasets/").front();
  Draft more(set);
  more["spec"]["replicas"] = 9;
  store("/apps/replicasets/default/" + set["metadata"]["name"].str(), more);
  EXPECT_TRUE(has_problem("9 pods asked for, 3 wanted and 1 more allowed"));
}

TEST_F(Broken, AWriteThatIsLostInACrash) {
  checker_.before_crash(false);
  ASSERT_TRUE(cluster_.store()->commit({"/policy/poddisruptionbudgets/default/app", std::nullopt, {}}));
  checker_.after_restart();
  EXPECT_TRUE(has_problem("/policy/poddisruptionbudgets/default/app was stored at revision"));
}

TEST_F(Broken, AnOrphan) {
  Draft orphan = another();
  orphan["metadata"]["ownerReferences"] =
      Draft::array({Draft::object({{"apiVersion", "apps/v1"}, {"kind", "ReplicaSet"}, {"name", "gone"}, {"uid", "gone"}})});
  store("/pods/default/another", orphan);
  EXPECT_TRUE(contains(checker_.at_rest(), "/pods/default/another has no owner any more (ReplicaSet gone)"));
}

TEST_F(Broken, APodThatIsReadyAndDoesNotRun) {
  store("/pods/default/another", another());
  EXPECT_TRUE(contains(checker_.at_rest(), "/pods/default/another is ready and does not run"));
}

// Who stops the controllers keeps the cluster from rest; nothing else of the plan does.
TEST(Shortening, LeavesWhatMakesAPlanFail) {
  set_log_level(static_cast<LogLevel>(static_cast<int>(LogLevel::error) + 1));
  TrialOptions options;
  options.nodes = 4;
  options.plan.span = seconds(10);
  options.rest_within = seconds(40);
  Plan plan{1, options.plan, {}};
  const auto add = [&](Kind kind, int second, Duration lasts, int amount) {
    plan.incidents.push_back(
        {.kind = kind, .number = plan.incidents.size(), .at = seconds(second), .lasts = lasts, .pick = 1, .amount = amount});
  };
  add(Kind::make_pod, 1, {}, 0);
  add(Kind::drop_watches, 2, {}, 50);
  add(Kind::pause_controllers, 3, std::chrono::minutes(10), 0);
  add(Kind::restart_agent, 4, seconds(1), 0);
  add(Kind::scale, 5, {}, 2);
  add(Kind::crash_scheduler, 6, seconds(1), 0);
  ASSERT_FALSE(carry_out(plan, options).problems.empty());

  const Plan shorter = shorten(plan, options, 30);
  ASSERT_FALSE(shorter.incidents.empty());
  EXPECT_LE(shorter.incidents.size(), 2u);
  std::vector<std::size_t> numbers;
  std::string list;
  for (const Incident& incident : shorter.incidents) {
    numbers.push_back(incident.number);
    list += (list.empty() ? "" : ",") + std::to_string(incident.number);
  }
  EXPECT_NE(std::find(numbers.begin(), numbers.end(), 2u), numbers.end()) << list;
  EXPECT_EQ(replay_command(shorter), "kybern sim --trial --seed 1 --only " + list);

  // What the command does: of the seed's plan only these, which fail again, alike.
  const TrialResult first = carry_out(shorter, options), again = carry_out(only(plan, numbers), options);
  EXPECT_FALSE(again.problems.empty());
  EXPECT_EQ(first.problems, again.problems);
  EXPECT_EQ(first.digest, again.digest);
  EXPECT_TRUE(carry_out(only(plan, {0, 1, 3, 4, 5}), options).problems.empty());
}

}  // namespace
}  // namespace kybern::sim
