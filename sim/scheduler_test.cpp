// The scheduler in a cluster that is full.
#include <gtest/gtest.h>

#include "base/log.h"
#include "sim/checks.h"
#include "sim/cluster.h"
#include "sim/user.h"

namespace kybern::sim {
namespace {

using std::chrono::seconds;

class FullCluster : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::error);
    auto started = cluster_.start();
    ASSERT_TRUE(started) << started.error().message;
    cluster_.run_for(seconds(6));
  }
  static ClusterOptions options() {
    ClusterOptions out;
    out.nodes = 2;
    out.nodes_within = seconds(1);
    out.node.cpu = "4";
    out.network.shortest_request = std::chrono::microseconds(100);
    out.network.longest_request = std::chrono::milliseconds(2);
    return out;
  }
  Cluster cluster_{options()};
  User user_{cluster_.user()};
  Checker checker_{cluster_, {.rollouts = false}};
};

// Each change in the cluster wakes the pods that wait; each of them has one timer all the same.
TEST_F(FullCluster, PodsThatWaitHaveOneTimerEach) {
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(user_.make_pod("default", "large-" + std::to_string(i), "3900m"));
  cluster_.run_for(seconds(20));
  const std::size_t before = cluster_.world().pending();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(user_.make_pod("default", "small-" + std::to_string(i), "1m"));
    cluster_.run_for(seconds(1));
    ASSERT_TRUE(user_.erase_pod("default", "small-" + std::to_string(i)));
    cluster_.run_for(seconds(1));
  }
  EXPECT_LT(cluster_.world().pending(), before + 100);
  for (int i = 0; i < 58; ++i) ASSERT_TRUE(user_.erase_pod("default", "large-" + std::to_string(i)));
  EXPECT_TRUE(cluster_.run_until([&] { return checker_.is_at_rest(); }, seconds(60))) << checker_.at_rest().front();
}

// A binding that has no answer may have happened: its place is not given away.
TEST_F(FullCluster, ABindingWithoutAnAnswerKeepsItsPlace) {
  cluster_.network().weather.lost_answers = 0.5;
  cluster_.network().weather.late_deliveries = seconds(5);
  int made = 0;
  for (int i = 0; i < 120; ++i) {
    if (user_.make_pod("default", "pod-" + std::to_string(i), "1")) ++made;
    cluster_.run_for(std::chrono::milliseconds(300));
    checker_.look();
  }
  EXPECT_TRUE(checker_.problems().empty()) << checker_.problems().front();
  cluster_.network().weather = {};
  EXPECT_TRUE(cluster_.run_until([&] { return cluster_.fleet().running() == 8; }, seconds(400)))
      << cluster_.fleet().running() << " of " << made;
  EXPECT_EQ(cluster_.fleet().refused(), 0u);
}

}  // namespace
}  // namespace kybern::sim
