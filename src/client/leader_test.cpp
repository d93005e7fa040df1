#include "client/leader.h"

#include <gtest/gtest.h>

#include "client/test_support.h"

namespace kybern::client {
namespace {

using std::chrono::seconds;
using testing_support::FeedTransport;
using testing_support::StepWorld;

// One lease with optimistic writes: what the election relies on.
struct LeaseWorld {
  StepWorld world;
  FeedTransport transport;
  Document lease;
  int version = 0;
  bool down = false;

  LeaseWorld() {
    transport.answer = [this](const Call& call) -> ApiResult<Document> {
      if (down) return fail(service_unavailable("down"));
      if (call.method == "GET") {
        if (!lease) return fail(not_found("coordination.k8s.io", "leases", "x"));
        return lease;
      }
      if (call.method == "POST" && lease) return fail(already_exists("coordination.k8s.io", "leases", "x"));
      if (call.method == "PUT" && !(call.body["metadata"]["resourceVersion"] == lease["metadata"]["resourceVersion"]))
        return fail(conflict("coordination.k8s.io", "leases", "x", "changed"));
      Draft next(call.body);
      next["metadata"]["resourceVersion"] = std::to_string(++version);
      return lease = next.freeze();
    };
  }
  std::string holder() const { return lease["spec"]["holderIdentity"].str(); }
};

struct Candidate {
  int led = 0, lost = 0;
  std::unique_ptr<LeaderElection> election;
  Candidate(LeaseWorld& w, std::string identity) {
    LeaderOptions options;
    options.name = "x";
    options.identity = std::move(identity);
    election = std::make_unique<LeaderElection>(
        w.transport, w.world.world(), options, [this] { ++led; }, [this] { ++lost; });
    election->start();
  }
};

TEST(LeaderElection, OneLeadsAndTheOtherFollowsWhenItGivesUp) {
  LeaseWorld w;
  Candidate a(w, "a"), b(w, "b");
  w.world.advance(seconds(60));
  EXPECT_TRUE(a.election->is_leader());
  EXPECT_EQ(a.led, 1);
  EXPECT_FALSE(b.election->is_leader());
  EXPECT_EQ(w.lease["spec"]["leaseDurationSeconds"].as_int(), 15);
  EXPECT_EQ(w.lease["spec"]["leaseTransitions"].as_int(), 0);
  a.election.reset();
  EXPECT_EQ(w.holder(), "");
  w.world.advance(seconds(5));
  EXPECT_TRUE(b.election->is_leader());
  EXPECT_EQ(w.holder(), "b");
  EXPECT_EQ(w.lease["spec"]["leaseTransitions"].as_int(), 1);
}

TEST(LeaderElection, ADeadLeadersLeaseEnds) {
  LeaseWorld w;
  {
    Candidate a(w, "a");
    w.world.advance(seconds(1));
    w.down = true;  // it cannot even give up
  }
  w.down = false;
  EXPECT_EQ(w.holder(), "a");
  Candidate b(w, "b");
  w.world.advance(seconds(14));
  EXPECT_FALSE(b.election->is_leader());
  w.world.advance(seconds(10));
  EXPECT_TRUE(b.election->is_leader());
}

TEST(LeaderElection, ALeaderThatCannotRenewStepsDown) {
  LeaseWorld w;
  Candidate a(w, "a");
  w.world.advance(seconds(4));
  ASSERT_TRUE(a.election->is_leader());
  w.down = true;
  w.world.advance(seconds(8));
  EXPECT_TRUE(a.election->is_leader());
  w.world.advance(seconds(4));
  EXPECT_FALSE(a.election->is_leader());
  EXPECT_EQ(a.lost, 1);
  w.down = false;
}

// The connection goes silent: the call comes back long after others may lead.
TEST(LeaderElection, ALeaderWhoseCallHangsStepsDown) {
  LeaseWorld w;
  const auto answer = w.transport.answer;
  std::function<void()> meanwhile;
  w.transport.answer = [&](const Call& call) {
    if (meanwhile) std::exchange(meanwhile, nullptr)();
    return answer(call);
  };
  Candidate a(w, "a");
  w.world.advance(seconds(4));
  ASSERT_TRUE(a.election->is_leader());
  meanwhile = [&] {  // it is 6 s, the last renewal was at 4
    w.world.advance(seconds(7));
    EXPECT_TRUE(a.election->is_leader());
    EXPECT_EQ(a.lost, 0);
    w.world.advance(seconds(2));
    EXPECT_FALSE(a.election->is_leader());
    EXPECT_EQ(a.lost, 1);
    w.world.advance(seconds(30));
  };
  w.world.advance(seconds(2));
  EXPECT_FALSE(meanwhile);
  EXPECT_FALSE(a.election->is_leader()) << "what an answer says that came so late is over";
  EXPECT_EQ(a.lost, 1);
  EXPECT_EQ(a.led, 1);
}

}  // namespace
}  // namespace kybern::client
