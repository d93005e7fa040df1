// The scenarios of `kybern sim`, small, with everything checked; and that what they check is seen when it is broken.
#include "sim/scale.h"

#include <gtest/gtest.h>

#include "client/mirror.h"
#include "client/queue.h"
#include "sim/checks.h"
#include "sim/cluster.h"
#include "sim/user.h"

namespace kybern::sim {
namespace {

using std::chrono::seconds;

class Scenario : public testing::TestWithParam<const char*> {};

TEST_P(Scenario, EverythingComesToRestAndNothingIsLeft) {
  ScaleOptions options;
  options.seed = 7;
  options.nodes = 30;
  options.pods = 200;
  options.pods_per_deployment = 20;
  options.scenario = GetParam();
  options.namespaces = 60;
  options.narrate = false;
  if (options.scenario.empty()) {
    options.live = seconds(600);
    options.changes_per_minute = 20;
  }
  bool well = false;
  const std::string report = run_scale(options, well);
  EXPECT_TRUE(well) << report;
  for (const char* line : {"scheduler ", "memory ", "requests ", "digest "}) EXPECT_NE(report.find(line), std::string::npos) << report;
}
INSTANTIATE_TEST_SUITE_P(All, Scenario, testing::Values("", "update", "drain", "zone", "namespaces", "pause"),
                         [](const auto& info) { return std::string(*info.param ? info.param : "churn"); });

struct Small {
  Small()
      : cluster([] {
          ClusterOptions options;
          options.seed = 5;
          options.nodes = 3;
          return options;
        }()),
        checker(cluster, {}) {
    EXPECT_TRUE(cluster.start());
    User user(cluster.user());
    DeploymentSpec spec;
    spec.name = "app";
    spec.replicas = 3;
    cluster.run_for(seconds(8));
    EXPECT_TRUE(user.make(spec));
    EXPECT_TRUE(cluster.run_until([&] { return checker.is_at_rest() && checker.leaks().empty(); }, seconds(120), seconds(1)));
  }
  Cluster cluster;
  Checker checker;
};

TEST(Leaks, AKeyThatNobodyWorksOnIsSeen) {
  Small small;
  client::WorkQueue queue("forgotten", small.cluster.user_lane().world(), 1, [](const std::string&) { return client::Outcome::done(); });
  queue.add("default/app");
  const std::vector<std::string> leaks = small.checker.leaks();
  ASSERT_EQ(leaks.size(), 1u);
  EXPECT_EQ(leaks[0], "1 keys wait in the queue forgotten");
}

// Says that it watches, and tells nothing.
class DeafTransport final : public client::Transport {
 public:
  ApiResult<Document> call(client::Call) override { return fail(internal_error("deaf")); }
  std::unique_ptr<client::Subscription> subscribe(std::string, std::string, client::Listener) override {
    return std::make_unique<client::Subscription>();
  }
};

TEST(Leaks, AMirrorThatIsBehindIsSeen) {
  Small small;
  DeafTransport deaf;
  client::MirrorCore pods(deaf, "/api/v1/pods"), leases(deaf, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"),
      none(deaf, "/apis/batch/v1/jobs");
  EXPECT_EQ(small.checker.leaks(),
            (std::vector<std::string>{
                "a mirror of /api/v1/pods holds 0 objects, the store 3",
                "a mirror of /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases holds 0 objects, the store 3"}));
}

}  // namespace
}  // namespace kybern::sim
