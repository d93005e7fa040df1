// The runner: how plans are carried out. The transport only answers what a test says; whole controllers run against the
// real API server in tests/.
#include "controllers/run.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "client/test_support.h"
#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers {
namespace {

using client::Call;
using client::testing_support::FeedTransport;
using client::testing_support::StepWorld;
using namespace testing_objects;
using Kind = Performer::Result::Kind;

struct Running {
  StepWorld world;
  FeedTransport transport;
  Mirrors mirrors{transport};
  Performer performer{transport, world.world(), mirrors, "test"};
  int version = 10;

  Running() { mirrors.start(); }
  ~Running() { mirrors.stop(); }
  ApiResult<Document> stored(const Call& call, const std::string& name) {
    Draft out(call.body);
    out["metadata"]["name"] = name;
    out["metadata"]["uid"] = "uid-" + name;
    out["metadata"]["resourceVersion"] = std::to_string(++version);
    return out.freeze();
  }
  std::size_t count(std::string_view method) const {
    std::size_t out = 0;
    for (const Call& call : transport.calls) out += call.method == method && call.path.find("/events") == std::string::npos;
    return out;
  }
  std::vector<std::string> events() {
    world.run_ready();
    std::vector<std::string> out;
    for (const Call& call : transport.calls)
      if (call.path.ends_with("/events")) out.push_back(call.body["reason"].str() + ": " + call.body["message"].str());
    return out;
  }
};

Plan creations(std::size_t count) {
  Plan plan;
  plan.about = object("apps/v1", "ReplicaSet", "d", "web").freeze();
  Draft made =
      Draft::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", Draft::object({{"namespace", "d"}, {"generateName", "web-"}})}});
  Action action = create_action("pods", made.freeze());
  action.pace = Action::Pace::slow_start;
  action.done = Notice{"Normal", "SuccessfulCreate", "Created pod: {name}"};
  action.failed = Notice{"Warning", "FailedCreate", "Error creating: {error}"};
  plan.actions.assign(count, action);
  return plan;
}

TEST(Performer, WhatWasMadeIsObservedAtOnce) {
  Running r;
  int serial = 0;
  r.transport.answer = [&](const Call& call) { return r.stored(call, "p" + std::to_string(++serial)); };
  EXPECT_EQ(r.performer.perform(creations(5)).kind, Kind::done);
  EXPECT_EQ(r.mirrors.pods.size(), 5u);
  EXPECT_EQ(r.events().size(), 5u);
  EXPECT_EQ(r.events().front(), "SuccessfulCreate: Created pod: p1");
}

TEST(Performer, SlowStartEndsWithTheBatchThatFails) {
  Running r;
  int asked = 0;
  r.transport.answer = [&](const Call& call) -> ApiResult<Document> {
    if (call.path.ends_with("/events")) return Document();
    if (++asked > 2) return fail(forbidden("", "pods", "", "exceeded quota"));
    return r.stored(call, "p" + std::to_string(asked));
  };
  const Performer::Result result = r.performer.perform(creations(100));
  EXPECT_EQ(result.kind, Kind::failed);
  EXPECT_EQ(result.failure.reason, "Forbidden");
  EXPECT_EQ(asked, 3) << "one, then two";
  asked = 100;
  r.performer.perform(creations(100));
  EXPECT_EQ(asked, 101) << "a single attempt";
  EXPECT_EQ(r.mirrors.pods.size(), 2u);
}

TEST(Performer, DeletionsAreAllTried) {
  Running r;
  Plan plan;
  for (const char* name : {"a", "b", "c", "e"}) {
    r.mirrors.pods.wrote([&] {
      Draft d(pod(name));
      d["metadata"]["resourceVersion"] = "5";
      return d.freeze();
    }());
    plan.actions.push_back(erase_action("pods", pod(name)));
    plan.actions.back().pace = Action::Pace::parallel;
  }
  r.transport.answer = [&](const Call& call) -> ApiResult<Document> {
    if (call.path.ends_with("/a")) return fail(internal_error("no"));
    if (call.path.ends_with("/b")) return fail(not_found("", "pods", "b"));
    if (call.path.ends_with("/c")) {  // ends gracefully
      Draft out(pod("c", {.deleting = true}));
      out["metadata"]["resourceVersion"] = "20";
      out["metadata"]["deletionGracePeriodSeconds"] = 30;
      return out.freeze();
    }
    return json(R"({"kind":"Status","status":"Success"})");
  };
  const Performer::Result result = r.performer.perform(plan);
  EXPECT_EQ(result.kind, Kind::failed);
  EXPECT_EQ(r.count("DELETE"), 4u);
  EXPECT_EQ(r.transport.calls[0].body["preconditions"]["uid"].as_string(), "uid-a");
  EXPECT_TRUE(r.mirrors.pods.get("d/a"));
  EXPECT_FALSE(r.mirrors.pods.get("d/b")) << "gone already";
  EXPECT_TRUE(is_deleting(r.mirrors.pods.get("d/c")));
  EXPECT_FALSE(r.mirrors.pods.get("d/e"));
}

TEST(Performer, WhatEndsAPlan) {
  struct Row {
    const char* what;
    Status status;
    Kind kind;
  };
  Status terminating = forbidden("", "pods", "x", "namespace d is being terminated");
  terminating.causes.push_back({"NamespaceTerminating", "namespace d is being terminated", "metadata.namespace"});
  for (const Row& row :
       {Row{"changed meanwhile", conflict("", "pods", "x", "changed"), Kind::stale}, Row{"the namespace goes", terminating, Kind::doomed},
        Row{"refused", forbidden("", "pods", "x", "no"), Kind::failed}}) {
    Running r;
    r.transport.answer = [&](const Call&) -> ApiResult<Document> { return fail(row.status); };
    EXPECT_EQ(r.performer.perform(creations(3)).kind, row.kind) << row.what;
    EXPECT_EQ(r.count("POST"), 1u) << row.what;
  }
}

TEST(Performer, AGuardIsReadFresh) {
  Running r;
  Document owner = object("apps/v1", "ReplicaSet", "d", "web").freeze();
  r.transport.answer = [&](const Call& call) -> ApiResult<Document> { return call.method == "GET" ? owner : call.body; };
  Action action = patch_action(Action::Verb::strategic_patch, "pods", pod("a"), json("{}"));
  action.guard = Action::Guard("apps/v1", "replicasets", "d", "web", "uid-web", "ReplicaSet d/web");
  EXPECT_EQ(r.performer.perform(action, {}).kind, Kind::done);
  Draft deleted(owner);
  deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  owner = deleted.freeze();
  EXPECT_EQ(r.performer.perform(action, {}).failure.message, "ReplicaSet d/web has just been deleted at 2026-01-01T00:00:00Z");
  action.guard->uid = "older";
  EXPECT_EQ(r.performer.perform(action, {}).failure.message, "original ReplicaSet d/web is gone: got uid uid-web, wanted older");
  EXPECT_EQ(r.count("PATCH"), 1u);
}

TEST(Runner, AsksUntilNothingIsLeftThenWritesTheStatus) {
  Running r;
  int serial = 0;
  r.transport.answer = [&](const Call& call) -> ApiResult<Document> { return r.stored(call, "p" + std::to_string(++serial)); };
  Runner runner("test", 1, r.transport, r.world.world(), r.mirrors, [&](const std::string&, const Failure*) -> std::optional<Plan> {
    Plan plan = creations(3 - std::min<std::size_t>(3, r.mirrors.pods.size()));
    Draft changed(plan.about);
    changed["status"]["replicas"] = r.mirrors.pods.size();
    plan.status = replace_action("replicasets", changed.freeze(), "status");
    plan.wake_after = std::chrono::seconds(7);
    return plan;
  });
  runner.start();
  runner.add("d/web");
  r.world.run_ready();
  EXPECT_EQ(r.count("POST"), 3u);
  ASSERT_EQ(r.count("PUT"), 1u) << "once, at the end";
  for (const Call& call : r.transport.calls) {
    if (call.method == "PUT") { EXPECT_EQ(call.body["status"]["replicas"].as_int(), 3); }
  }
  r.world.advance(std::chrono::seconds(8));
  EXPECT_EQ(r.count("PUT"), 2u) << "woken";
}

TEST(Runner, AFailureIsInTheStatusAndIsTriedAgain) {
  Running r;
  bool broken = true;
  std::vector<std::string> failures;
  r.transport.answer = [&](const Call& call) -> ApiResult<Document> {
    if (call.method == "POST" && call.path.ends_with("/pods") && broken) return fail(forbidden("", "pods", "", "no"));
    return r.stored(call, "p1");
  };
  Runner runner("test", 1, r.transport, r.world.world(), r.mirrors, [&](const std::string&, const Failure* failure) -> std::optional<Plan> {
    if (failure) failures.push_back(failure->reason);
    Plan plan = creations(r.mirrors.pods.size() == 0 ? 1 : 0);
    if (failure) plan.status = replace_action("replicasets", plan.about, "status");
    return plan;
  });
  runner.start();
  runner.add("d/web");
  r.world.advance(std::chrono::milliseconds(100));
  EXPECT_GE(failures.size(), 4u);
  EXPECT_EQ(r.count("PUT"), failures.size());
  broken = false;
  r.world.advance(std::chrono::seconds(1));
  EXPECT_EQ(r.mirrors.pods.size(), 1u);
}

// A key in work may add others, or itself later, until the end of stop(): the queue stands until then.
TEST(Runner, WhatIsInWorkMayAddWhileItStops) {
  Running r;
  Runner* self = nullptr;
  std::atomic<bool> in_work = false, stopping = false, added = false;
  Runner runner("test", 1, r.transport, real_world(), r.mirrors, [&](const std::string&, const Failure*) -> std::optional<Plan> {
    in_work = true;
    EXPECT_TRUE(eventually([&] { return stopping.load(); }));
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);  // stop() waits meanwhile
    while (std::chrono::steady_clock::now() < end) {
      self->add("d/other");
      self->add_after("d/later", std::chrono::seconds(1));
      std::this_thread::yield();
    }
    added = true;
    return {};
  });
  self = &runner;
  runner.start();
  runner.add("d/web");
  ASSERT_TRUE(eventually([&] { return in_work.load(); }));
  stopping = true;
  runner.stop();
  EXPECT_TRUE(added);
}

TEST(InParallel, DoesAllOfItOnceOnAnyExecutor) {
  StepWorld alone;  // its helpers never run
  std::vector<int> done(50);
  in_parallel(alone.world(), done.size(), [&](std::size_t i) { ++done[i]; });
  EXPECT_EQ(done, std::vector<int>(50, 1));
  alone.run_ready();
  EXPECT_EQ(done, std::vector<int>(50, 1));
  std::vector<std::atomic<int>> shared(2000);
  in_parallel(real_world(), shared.size(), [&](std::size_t i) { ++shared[i]; });
  for (const auto& value : shared) EXPECT_EQ(value.load(), 1);
}

}  // namespace
}  // namespace kybern::controllers
