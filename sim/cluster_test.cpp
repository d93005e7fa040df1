// The simulator itself with thousands that wait; leaders and their standbys; watches that go on; what a cluster leaves behind.
#include "sim/cluster.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include "base/log.h"
#include "sim/checks.h"
#include "sim/follower.h"
#include "sim/scale.h"
#include "sim/trial.h"
#include "sim/user.h"

namespace kybern::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Each begins to wait while the others do, and goes on at its own time, not at that of who waits longer.
TEST(Waiting, ThousandsAtOnceGoOnAtTheirOwnTime) {
  constexpr int count = 5000;
  SimulatedWorld world(1);
  int done = 0;
  std::size_t most = 0;
  for (int i = 0; i < count; ++i)
    world.lane(std::to_string(i)).post([&, i] {
      const Duration begin = world.elapsed(), wait = milliseconds(10 + (i * 7919) % 1000);
      world.wait(wait);
      EXPECT_EQ((world.elapsed() - begin).count(), wait.count());
      most = std::max(most, world.waiting());
      ++done;
    });
  world.run_for(milliseconds(5));
  EXPECT_EQ(world.waiting(), static_cast<std::size_t>(count));
  world.run_for(seconds(2));
  EXPECT_EQ(done, count);
  EXPECT_EQ(world.waiting(), 0u);
  EXPECT_GT(most, static_cast<std::size_t>(count) / 2);
}

TEST(Waiting, ALaneDoesOneThingAfterAnother) {
  SimulatedWorld world(1);
  Lane& lane = world.lane("one");
  std::vector<int> order;
  for (int i = 0; i < 3; ++i)
    lane.post_after(milliseconds(i), [&, i] {
      order.push_back(i);
      world.wait(milliseconds(10));
      order.push_back(i);
    });
  world.run_for(seconds(1));
  EXPECT_EQ(order, (std::vector<int>{0, 0, 1, 1, 2, 2}));
}

TEST(Waiting, ManyNodesWhoseRequestsTakeTime) {
  ScaleOptions options;
  options.nodes = 1000;
  options.pods = 50;
  options.request_ms = 5;
  options.narrate = false;
  bool well = false;
  const std::string report = run_scale(options, well);
  EXPECT_TRUE(well) << report;
}

class Elected : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(static_cast<LogLevel>(static_cast<int>(LogLevel::error) + 1));
    ASSERT_TRUE(cluster_.start());
    cluster_.run_for(seconds(8));
    DeploymentSpec spec;
    spec.name = "app";
    spec.replicas = 3;
    ASSERT_TRUE(user_.make(spec));
    ASSERT_TRUE(rests());
  }
  static ClusterOptions options() {
    ClusterOptions out;
    out.seed = 3;
    out.nodes = 3;
    out.elect = true;
    out.network.shortest_request = std::chrono::microseconds(100);
    out.network.longest_request = milliseconds(2);
    return out;
  }
  bool rests() {
    return cluster_.run_until([&] { return checker_.is_at_rest(); }, seconds(180), seconds(1));
  }
  int leaders(Component first, Component standby) { return int(cluster_.leads(first)) + int(cluster_.leads(standby)); }
  int leaders() { return leaders(Component::controllers, Component::controllers_standby); }
  // Work is done by somebody.
  void scale(int replicas) {
    ASSERT_TRUE(user_.scale("default", "app", replicas));
    EXPECT_TRUE(rests());
    EXPECT_EQ(cluster_.fleet().running(), static_cast<std::size_t>(replicas));
  }

  Cluster cluster_{options()};
  User user_{cluster_.user()};
  Checker checker_{cluster_, {.rollouts = false}};
};

TEST_F(Elected, TheStandbyTakesOverFromWhoIsGone) {
  for (Component c : {Component::controllers, Component::scheduler}) {
    const Component leader = cluster_.leading(c);
    ASSERT_TRUE(cluster_.leads(leader));
    cluster_.crash(leader);
    EXPECT_TRUE(cluster_.run_until([&] { return cluster_.leads(cluster_.leading(c)); }, seconds(25)));
    EXPECT_NE(cluster_.leading(c), leader);
    cluster_.restart(leader);
  }
  scale(6);
  EXPECT_EQ(leaders(), 1);
  EXPECT_EQ(leaders(Component::scheduler, Component::scheduler_standby), 1);
}

// A leader that was stopped for longer than its lease finds another one, ends, and is started again.
TEST_F(Elected, WhoWasStoppedTooLongIsNotALeaderAnyMore) {
  const Component leader = cluster_.leading(Component::controllers);
  cluster_.lane(leader)->pause(seconds(60));
  scale(5);
  cluster_.run_for(seconds(60));
  EXPECT_EQ(leaders(), 1);
  EXPECT_NE(cluster_.leading(Component::controllers), leader);
  EXPECT_TRUE(cluster_.is_up(leader));
  scale(2);
}

// Leases are measured by the clock that does not jump.
TEST_F(Elected, ClocksThatJumpMakeNoSecondLeader) {
  const Component leader = cluster_.leading(Component::controllers);
  for (int hours : {1, -2, 1}) {
    cluster_.world().jump(std::chrono::hours(hours));
    for (int i = 0; i < 60; ++i) {
      cluster_.run_for(seconds(1));
      ASSERT_EQ(leaders(), 1);
    }
  }
  EXPECT_EQ(cluster_.leading(Component::controllers), leader);
}

TEST_F(Elected, NobodyLeadsWithoutAServerForLong) {
  cluster_.crash(Component::server);
  cluster_.run_for(seconds(20));
  EXPECT_EQ(leaders(), 0);
  cluster_.restart(Component::server);
  EXPECT_TRUE(cluster_.run_until([&] { return leaders() == 1; }, seconds(60)));
  scale(4);
}

// The one reads often, the other comes back when what it needs is long gone.
TEST(Followers, GoOnOrAreTold) {
  set_log_level(static_cast<LogLevel>(static_cast<int>(LogLevel::error) + 1));
  ClusterOptions options;
  options.nodes = 10;
  Cluster cluster(options);
  Checker checker(cluster, {.rollouts = false});
  ASSERT_TRUE(cluster.start());
  Follower quick(cluster, checker, "/coordination.k8s.io/leases/", seconds(1)),
      slow(cluster, checker, "/coordination.k8s.io/leases/", std::chrono::minutes(40));
  quick.start();
  slow.start();
  cluster.run_for(std::chrono::hours(2));
  quick.compare();
  slow.compare();
  EXPECT_TRUE(checker.problems().empty()) << checker.problems().front();
  EXPECT_GT(quick.resumed(), 100u);
  EXPECT_GT(quick.seen(), 5'000u);
  EXPECT_EQ(quick.expired(), 0u);
  EXPECT_GT(slow.expired(), 0u);
}

// Workloads come and go; when their events have expired the heap is what it was.
TEST(Growth, RoundsOfWorkLeaveNothingOnTheHeap) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's heap does not tell its size";
#endif
  set_log_level(static_cast<LogLevel>(static_cast<int>(LogLevel::error) + 1));
  // The recorders of events remember a bounded number of them: that is full after some rounds.
  constexpr int rounds = 10, kept_after = 8, deployments = 10, replicas = 15;
  // Two rounds still add 0.5 to 0.7 MB of what is let go of at some later time; their pods would be 1.4 MB.
  constexpr std::size_t allowed_bytes = 900'000;
  ClusterOptions options;
  options.nodes = 4;
  Cluster cluster(options);
  Checker checker(cluster, {.rollouts = false});
  ASSERT_TRUE(cluster.start());
  cluster.disk().never_fails();
  User user(cluster.user());
  cluster.run_for(seconds(8));
  std::vector<std::size_t> in_use;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < deployments; ++i) {
      DeploymentSpec spec;
      spec.name = "app-" + std::to_string(round) + "-" + std::to_string(i);
      spec.replicas = replicas;
      spec.cpu = "10m";
      ASSERT_TRUE(user.make(spec));
    }
    ASSERT_TRUE(cluster.run_until([&] { return checker.is_at_rest(); }, seconds(300), seconds(1)));
    for (int i = 0; i < deployments; ++i) ASSERT_TRUE(user.erase("default", "app-" + std::to_string(round) + "-" + std::to_string(i)));
    cluster.run_for(std::chrono::minutes(75));
    ASSERT_TRUE(cluster.objects("/pods/").empty());
    in_use.push_back(::mallinfo2().uordblks);
  }
  EXPECT_LT(in_use.back(), in_use[kept_after - 1] + allowed_bytes) << testing::PrintToString(in_use);
}

}  // namespace
}  // namespace kybern::sim
