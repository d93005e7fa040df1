// The same seed gives the same history, down to the last byte stored; another seed gives another.
#include <gtest/gtest.h>

#include <cstdio>

#include "base/log.h"
#include "sim/cluster.h"
#include "sim/user.h"

namespace kybern::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Outcome {
  std::uint64_t digest = 0, events = 0;
  std::int64_t revision = 0;
};

bool all_complete(Cluster& cluster, int replicas) {
  int sum = 0;
  for (const Document& deployment : cluster.objects("/apps/deployments/default/")) {
    if (!is_complete(deployment)) return false;
    sum += static_cast<int>(deployment["spec"]["replicas"].as_int());
  }
  return sum == replicas;
}

// 20 nodes, 200 pods of three deployments, an update of one, a node that is lost.
void live(std::uint64_t seed, NetworkOptions network, Outcome& out) {
  ClusterOptions options;
  options.seed = seed;
  options.nodes = 20;
  options.network = network;
  Cluster cluster(options);
  auto started = cluster.start();
  ASSERT_TRUE(started) << started.error().message;
  cluster.run_for(seconds(10));
  User user(cluster.user());
  for (auto [name, replicas] : {std::pair("web", 100), std::pair("api", 60), std::pair("worker", 40)}) {
    DeploymentSpec spec;
    spec.name = name;
    spec.replicas = replicas;
    auto made = user.make(spec);
    ASSERT_TRUE(made) << made.error().message;
  }
  ASSERT_TRUE(user.make_service("default", "web"));
  ASSERT_TRUE(cluster.run_until([&] { return all_complete(cluster, 200); }, seconds(120)));
  EXPECT_EQ(cluster.fleet().running(), 200u);
  ASSERT_TRUE(user.update("default", "web", 2));
  cluster.run_for(seconds(3));
  cluster.fleet().crash(7);
  ASSERT_TRUE(cluster.run_until([&] { return all_complete(cluster, 200); }, std::chrono::minutes(20)));
  cluster.fleet().restart(7);
  cluster.run_for(seconds(60));
  EXPECT_TRUE(all_complete(cluster, 200));
  EXPECT_TRUE(cluster.fleet().violations().empty()) << cluster.fleet().violations().front();
  out = {cluster.digest(), cluster.world().events(), cluster.store()->revision()};
}

class Determinism : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::error);
    if (GetParam()) {  // others act while a request is on its way
      network_.shortest_request = std::chrono::microseconds(200);
      network_.longest_request = milliseconds(5);
    }
  }
  NetworkOptions network_;
};

TEST_P(Determinism, OneSeedOneHistory) {
  Outcome first, second, other;
  live(1, network_, first);
  ASSERT_FALSE(HasFatalFailure());
  live(1, network_, second);
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(first.events, second.events);
  EXPECT_EQ(first.revision, second.revision);
  EXPECT_EQ(first.digest, second.digest);
  live(2, network_, other);
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_NE(first.digest, other.digest);
  std::printf("seed 1: %llu events, revision %lld, digest %016llx\n", static_cast<unsigned long long>(first.events),
              static_cast<long long>(first.revision), static_cast<unsigned long long>(first.digest));
}

INSTANTIATE_TEST_SUITE_P(Requests, Determinism, testing::Bool(), [](const auto& p) { return p.param ? "take_time" : "are_instant"; });

}  // namespace
}  // namespace kybern::sim
