// Tables: one row is one situation of a pod and the whole plan that answers it.
#include "kubelet/plan/plan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/strings.h"
#include "document/json.h"

namespace kybern::kubelet {
namespace {

using std::chrono::seconds;

const Time now = *parse_rfc3339("2026-01-01T12:00:00Z");

PodView pod_of(const std::string& spec, const std::string& meta = "", const std::string& status = "{}") {
  auto parsed = parse_json(
      fmt::format(R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p","namespace":"ns","uid":"u1"{}}},"spec":{},"status":{}}})",
                  meta.empty() ? "" : "," + meta, spec, status));
  EXPECT_TRUE(parsed.has_value()) << spec << meta << status;
  return PodView::read(*parsed);
}

const char* one = R"({"containers":[{"name":"a","image":"i"}]})";
const char* one_never = R"({"restartPolicy":"Never","containers":[{"name":"a","image":"i"}]})";
const char* one_on_failure = R"({"restartPolicy":"OnFailure","containers":[{"name":"a","image":"i"}]})";
const char* two = R"({"containers":[{"name":"a","image":"i"},{"name":"b","image":"i"}]})";
const char* with_init = R"({"initContainers":[{"name":"x","image":"i"},{"name":"y","image":"i"}],"containers":[{"name":"a","image":"i"}]})";
const char* with_init_never =
    R"({"restartPolicy":"Never","initContainers":[{"name":"x","image":"i"}],"containers":[{"name":"a","image":"i"}]})";
const char* with_sidecar =
    R"({"initContainers":[{"name":"s","image":"i","restartPolicy":"Always"},{"name":"x","image":"i"}],"containers":[{"name":"a","image":"i"}]})";
const char* with_sidecar_never =
    R"({"restartPolicy":"Never","initContainers":[{"name":"s","image":"i","restartPolicy":"Always"}],"containers":[{"name":"a","image":"i"}]})";
const char* probed = R"({"containers":[{"name":"a","image":"i","livenessProbe":{"terminationGracePeriodSeconds":7},"startupProbe":{}}]})";

ObservedSandbox box(std::string id, bool ready = true, std::uint32_t attempt = 0) {
  return {std::move(id), attempt, ready, false, now - seconds(60), {"10.0.0.1"}};
}

ObservedContainer made(std::string name, ContainerState state, int exit_code = 0, seconds ended_before = seconds(1),
                       std::uint32_t attempt = 0, std::string sandbox = "s0") {
  ObservedContainer c;
  c.id = fmt::format("{}{}", name, attempt);
  c.sandbox_id = std::move(sandbox);
  c.attempt = attempt;
  c.state = state;
  c.created_at = c.started_at = now - seconds(50);
  if (state == ContainerState::exited) c.finished_at = now - ended_before;
  c.exit_code = exit_code;
  c.hash = container_hash(name, "i");
  c.image = "i";
  c.name = std::move(name);
  return c;
}

PodMemory prepared() {
  PodMemory m;
  m.prepared = true;
  return m;
}

struct Moment {
  const char* what;
  PodView pod;
  RuntimeState runtime;
  PodMemory memory = prepared();
  ProbeResults probes = {};
  std::vector<std::string> actions;
  const char* phase;
};

constexpr auto running = ContainerState::running, exited = ContainerState::exited, created = ContainerState::created,
               unknown = ContainerState::unknown;

PodMemory with(const std::function<void(PodMemory&)>& change) {
  PodMemory m = prepared();
  change(m);
  return m;
}

std::vector<Moment> rows() {
  const std::string deleted = R"("deletionTimestamp":"2026-01-01T12:00:10Z","deletionGracePeriodSeconds":10)";
  const std::string ran = R"({"phase":"Running","startTime":"2026-01-01T11:00:00Z"})";
  return {
      {"new: prepare first", pod_of(one), {}, PodMemory{}, {}, {"Prepare"}, "Pending"},
      {"preparing is not repeated", pod_of(one), {}, with([](auto& m) { m.prepared = false, m.preparing = true; }), {}, {}, "Pending"},
      {"prepare failed just now: wait",
       pod_of(one),
       {},
       with([](auto& m) {
         m.prepared = false, m.prepare_problem = Problem{"", "x", now, now + seconds(2)};
       }),
       {},
       {},
       "Pending"},
      {"prepared: sandbox", pod_of(one), {}, prepared(), {}, {"CreateSandbox 0"}, "Pending"},
      {"sandbox failed just now: wait",
       pod_of(one),
       {},
       with([](auto& m) {
         m.sandbox_problem = Problem{"", "x", now, now + seconds(2)};
       }),
       {},
       {},
       "Pending"},
      {"sandbox: container", pod_of(one), {{box("s0")}, {}}, prepared(), {}, {"StartContainer a 0"}, "Pending"},
      {"one start at a time", pod_of(two), {{box("s0")}, {}}, prepared(), {}, {"StartContainer a 0"}, "Pending"},
      {"start under way", pod_of(two), {{box("s0")}, {}}, with([](auto& m) { m.starting = "a"; }), {}, {}, "Pending"},
      {"the second one after the first",
       pod_of(two),
       {{box("s0")}, {made("a", running)}},
       prepared(),
       {},
       {"StartContainer b 0"},
       "Pending"},
      {"all run", pod_of(two), {{box("s0")}, {made("a", running), made("b", running)}}, prepared(), {}, {}, "Running"},
      {"a problem of one does not hold up the other",
       pod_of(two),
       {{box("s0")}, {}},
       with([](auto& m) {
         m.problems["a"] = Problem{"ErrImagePull", "x", now, now + seconds(10)};
       }),
       {},
       {"StartContainer b 0"},
       "Pending"},
      {"first crash: at once", pod_of(one), {{box("s0")}, {made("a", exited, 1)}}, prepared(), {}, {"StartContainer a 1"}, "Running"},
      {"second crash: back-off",
       pod_of(one),
       {{box("s0")}, {made("a", exited, 1, seconds(1), 1)}},
       with([](auto& m) {
         m.crashes["a"] = Backoff{seconds(10), now - seconds(5)};
       }),
       {},
       {"Tell Warning BackOff: Back-off restarting failed container a in pod p_ns(u1)"},
       "Running"},
      {"back-off is told once",
       pod_of(one),
       {{box("s0")}, {made("a", exited, 1, seconds(1), 1)}},
       with([](auto& m) {
         m.crashes["a"] = Backoff{seconds(10), now - seconds(5)}, m.told_backoff = {"a1"};
       }),
       {},
       {},
       "Running"},
      {"back-off is over",
       pod_of(one),
       {{box("s0")}, {made("a", exited, 1, seconds(11), 1)}},
       with([](auto& m) {
         m.crashes["a"] = Backoff{seconds(10), now - seconds(20)};
       }),
       {},
       {"StartContainer a 2"},
       "Running"},
      {"old instances go",
       pod_of(one),
       {{box("s0")}, {made("a", running, 0, seconds(0), 3), made("a", exited, 1, seconds(1), 2), made("a", exited, 1, seconds(1), 1)}},
       prepared(),
       {},
       {"RemoveContainer a1"},
       "Running"},
      {"never: done", pod_of(one_never, "", ran), {{box("s0")}, {made("a", exited, 0)}}, prepared(), {}, {"StopSandbox s0"}, "Running"},
      {"never: sandbox stopped",
       pod_of(one_never, "", ran),
       {{box("s0", false)}, {made("a", exited, 0)}},
       prepared(),
       {},
       {"Finish"},
       "Succeeded"},
      {"never: failed",
       pod_of(one_never, "", ran),
       {{box("s0", false)}, {made("a", exited, 2)}},
       with([](auto& m) { m.finished = true; }),
       {},
       {},
       "Failed"},
      {"on failure: succeeded",
       pod_of(one_on_failure, "", ran),
       {{box("s0", false)}, {made("a", exited, 0)}},
       prepared(),
       {},
       {"Finish"},
       "Succeeded"},
      {"on failure: again",
       pod_of(one_on_failure),
       {{box("s0")}, {made("a", exited, 2)}},
       prepared(),
       {},
       {"StartContainer a 1"},
       "Running"},
      {"init: the first", pod_of(with_init), {{box("s0")}, {}}, prepared(), {}, {"StartContainer x 0"}, "Pending"},
      {"init: runs", pod_of(with_init), {{box("s0")}, {made("x", running)}}, prepared(), {}, {}, "Pending"},
      {"init: the second", pod_of(with_init), {{box("s0")}, {made("x", exited, 0)}}, prepared(), {}, {"StartContainer y 0"}, "Pending"},
      {"init: failed, again", pod_of(with_init), {{box("s0")}, {made("x", exited, 1)}}, prepared(), {}, {"StartContainer x 1"}, "Pending"},
      {"init: done",
       pod_of(with_init),
       {{box("s0")}, {made("y", exited, 0), made("x", exited, 0)}},
       prepared(),
       {},
       {"StartContainer a 0"},
       "Pending"},
      {"init: not again once the others run", pod_of(with_init), {{box("s0")}, {made("a", running)}}, prepared(), {}, {}, "Pending"},
      {"init failed for good",
       pod_of(with_init_never, "", ran),
       {{box("s0")}, {made("x", exited, 1)}},
       prepared(),
       {},
       {"StopSandbox s0"},
       "Running"},
      {"sidecar first", pod_of(with_sidecar), {{box("s0")}, {}}, prepared(), {}, {"StartContainer s 0"}, "Pending"},
      {"sidecar runs: next init",
       pod_of(with_sidecar),
       {{box("s0")}, {made("s", running)}},
       prepared(),
       {},
       {"StartContainer x 0"},
       "Pending"},
      {"sidecar crashed during init",
       pod_of(with_sidecar),
       {{box("s0")}, {made("x", running), made("s", exited, 1)}},
       prepared(),
       {},
       {"StartContainer s 1"},
       "Pending"},
      {"sidecar crashed later",
       pod_of(with_sidecar),
       {{box("s0")}, {made("a", running), made("x", exited, 0), made("s", exited, 1)}},
       prepared(),
       {},
       {"StartContainer s 1"},
       "Running"},
      {"sidecar that is not alive: its probe's own grace",
       pod_of(
           R"({"initContainers":[{"name":"s","image":"i","restartPolicy":"Always","livenessProbe":{"terminationGracePeriodSeconds":7}}],"containers":[{"name":"a","image":"i"}]})"),
       {{box("s0")}, {made("s", running), made("a", running)}},
       prepared(),
       {{{"s0", false}}, {}, {}},
       {"KillContainer s0 7s: Container s failed liveness probe, will be restarted"},
       "Running"},
      {"sidecar with another image: kill",
       pod_of(R"({"initContainers":[{"name":"s","image":"other","restartPolicy":"Always"}],"containers":[{"name":"a","image":"i"}]})"),
       {{box("s0")}, {made("s", running), made("a", running)}},
       prepared(),
       {},
       {"KillContainer s0 30s: Container s definition changed, will be restarted"},
       "Running"},
      {"sidecars end after the others",
       pod_of(with_sidecar_never, "", ran),
       {{box("s0")}, {made("a", exited, 0), made("s", running)}},
       prepared(),
       {},
       {"KillContainer s0 30s: Stopping container s"},
       "Running"},
      {"sandbox died: containers first",
       pod_of(one),
       {{box("s0", false)}, {made("a", running)}},
       prepared(),
       {},
       {"KillContainer a0 30s: Stopping container a"},
       "Running"},
      {"sandbox died: a new one",
       pod_of(one),
       {{box("s0", false)}, {made("a", exited, 137)}},
       prepared(),
       {},
       {"Tell Normal SandboxChanged: Pod sandbox changed, it will be killed and re-created.", "CreateSandbox 1"},
       "Running"},
      {"sandbox died while a container was being started: its end is waited for",
       pod_of(one),
       {{box("s0", false)}, {made("a", created)}},
       with([](auto& m) { m.starting = "a"; }),
       {},
       {},
       "Pending"},
      {"sandbox died, its container was never started: a new one",
       pod_of(one),
       {{box("s0", false)}, {made("a", created)}},
       prepared(),
       {},
       {"Tell Normal SandboxChanged: Pod sandbox changed, it will be killed and re-created.", "CreateSandbox 1"},
       "Pending"},
      {"new sandbox: container with the next count",
       pod_of(one),
       {{box("s1", true, 1), box("s0", false)}, {made("a", exited, 137)}},
       prepared(),
       {},
       {"StartContainer a 1"},
       "Running"},
      {"new sandbox: init again",
       pod_of(with_init),
       {{box("s1", true, 1), box("s0", false)}, {made("a", exited, 137), made("y", exited), made("x", exited)}},
       prepared(),
       {},
       {"StartContainer x 1"},
       "Running"},
      {"liveness: kill with its own grace",
       pod_of(probed),
       {{box("s0")}, {made("a", running)}},
       prepared(),
       {{{"a0", false}}, {}, {{"a0", true}}},
       {"KillContainer a0 7s: Container a failed liveness probe, will be restarted"},
       "Running"},
      {"startup failed: kill",
       pod_of(probed),
       {{box("s0")}, {made("a", running)}},
       prepared(),
       {{}, {}, {{"a0", false}}},
       {"KillContainer a0 30s: Container a failed startup probe, will be restarted"},
       "Running"},
      {"killing is not repeated",
       pod_of(probed),
       {{box("s0")}, {made("a", running)}},
       with([](auto& m) { m.killing["a0"] = 7; }),
       {{{"a0", false}}, {}, {{"a0", true}}},
       {},
       "Running"},
      {"another image: kill",
       pod_of(R"({"containers":[{"name":"a","image":"other"}]})"),
       {{box("s0")}, {made("a", running)}},
       prepared(),
       {},
       {"KillContainer a0 30s: Container a definition changed, will be restarted"},
       "Running"},
      {"unknown state: kill",
       pod_of(one),
       {{box("s0")}, {made("a", unknown)}},
       prepared(),
       {},
       {"KillContainer a0 30s: Container a is in unknown state, try killing it before restart"},
       "Pending"},
      {"created but not started: anew",
       pod_of(one),
       {{box("s0")}, {made("a", created)}},
       prepared(),
       {},
       {"StartContainer a 1"},
       "Pending"},
      {"deleted: kill all",
       pod_of(two, deleted),
       {{box("s0")}, {made("a", running), made("b", running)}},
       prepared(),
       {},
       {"KillContainer a0 10s: Stopping container a", "KillContainer b0 10s: Stopping container b"},
       "Running"},
      {"deleted: wait for them",
       pod_of(one, deleted),
       {{box("s0")}, {made("a", running)}},
       with([](auto& m) { m.killing["a0"] = 10; }),
       {},
       {},
       "Running"},
      {"deleted: a shorter grace is told",
       pod_of(one, deleted),
       {{box("s0")}, {made("a", running)}},
       with([](auto& m) { m.killing["a0"] = 30; }),
       {},
       {"KillContainer a0 10s: Stopping container a"},
       "Running"},
      {"deleted: sandbox",
       pod_of(one, deleted, ran),
       {{box("s0")}, {made("a", exited, 137)}},
       prepared(),
       {},
       {"StopSandbox s0"},
       "Running"},
      {"deleted: finish", pod_of(one, deleted, ran), {{box("s0", false)}, {made("a", exited, 137)}}, prepared(), {}, {"Finish"}, "Failed"},
      {"deleted: the object",
       pod_of(one, deleted, ran),
       {{box("s0", false)}, {made("a", exited, 0)}},
       with([](auto& m) { m.finished = true; }),
       {},
       {"DeletePod"},
       "Succeeded"},
      {"deleted: asked already",
       pod_of(one, deleted, ran),
       {{box("s0", false)}, {made("a", exited, 0)}},
       with([](auto& m) { m.finished = m.delete_asked = true; }),
       {},
       {},
       "Succeeded"},
      {"gone: the runtime forgets it",
       pod_of(one, deleted, ran),
       {{box("s0", false)}, {made("a", exited, 0)}},
       with([](auto& m) { m.finished = m.removed = true; }),
       {},
       {"RemoveSandbox s0"},
       "Succeeded"},
      {"deleted before anything began", pod_of(one, deleted), {}, PodMemory{}, {}, {"Finish"}, "Pending"},
      {"deleted while a start is under way",
       pod_of(one, deleted),
       {{box("s0", false)}, {}},
       with([](auto& m) { m.starting = "a"; }),
       {},
       {},
       "Pending"},
      {"sidecars: after the others",
       pod_of(with_sidecar, deleted),
       {{box("s0")}, {made("a", running), made("x", exited), made("s", running)}},
       prepared(),
       {},
       {"KillContainer a0 10s: Stopping container a"},
       "Running"},
      {"sidecars: what is left of the grace",
       pod_of(with_sidecar, deleted),
       {{box("s0")}, {made("a", exited), made("s", running)}},
       with([](auto& m) { m.stopping_since = now - seconds(4); }),
       {},
       {"KillContainer s0 6s: Stopping container s"},
       "Pending"},
      {"refused",
       pod_of(one),
       {},
       with([](auto& m) {
         m.prepared = false, m.ending = Ending{"OutOfcpu", "no", 0};
       }),
       {},
       {"Finish"},
       "Failed"},
      {"deadline",
       pod_of(R"({"activeDeadlineSeconds":5,"containers":[{"name":"a","image":"i"}]})", "", ran),
       {{box("s0")}, {made("a", running)}},
       prepared(),
       {},
       {"KillContainer a0 30s: Stopping container a"},
       "Running"},
      {"over before this kubelet began", pod_of(one_never, "", R"({"phase":"Succeeded"})"), {}, PodMemory{}, {}, {"Finish"}, "Succeeded"},
      {"ephemeral containers start beside",
       pod_of(R"({"containers":[{"name":"a","image":"i"}],"ephemeralContainers":[{"name":"e","image":"i"}]})"),
       {{box("s0")}, {made("a", running)}},
       prepared(),
       {},
       {"StartContainer e 0"},
       "Running"},
      {"ephemeral containers do not come again in a new sandbox",
       pod_of(R"({"containers":[{"name":"a","image":"i"}],"ephemeralContainers":[{"name":"e","image":"i"}]})"),
       {{box("s1", true, 1), box("s0", false)}, {made("a", running, 0, seconds(1), 1, "s1"), made("e", exited, 137)}},
       prepared(),
       {},
       {},
       "Running"},
      {"ephemeral containers do not come again",
       pod_of(R"({"containers":[{"name":"a","image":"i"}],"ephemeralContainers":[{"name":"e","image":"i"}]})"),
       {{box("s0")}, {made("e", exited, 1), made("a", running)}},
       prepared(),
       {},
       {},
       "Running"},
  };
}

TEST(Plan, Table) {
  NodeFacts node{{"192.0.2.1"}, "containerd"};
  for (Moment& row : rows()) {
    Plan plan = plan_pod(row.pod, row.runtime, row.probes, row.memory, node, now);
    std::vector<std::string> actions;
    for (const Action& a : plan.actions) actions.push_back(describe(a));
    EXPECT_EQ(join(actions, "\n"), join(row.actions, "\n")) << row.what;
    EXPECT_EQ(plan.status["phase"].as_string(), row.phase) << row.what;
  }
}

TEST(Plan, WakesWhenABackOffEnds) {
  PodView pod = pod_of(one);
  PodMemory memory = with([](auto& m) { m.crashes["a"] = Backoff{seconds(40), now - seconds(30)}; });
  Plan plan = plan_pod(pod, {{box("s0")}, {made("a", exited, 1, seconds(15), 3)}}, {}, memory, {}, now);
  EXPECT_EQ(plan.wake_after, std::optional<Duration>(seconds(25)));
  EXPECT_EQ(plan.status["containerStatuses"][0]["state"]["waiting"]["message"].as_string(),
            "back-off 40s restarting failed container=a pod=p_ns(u1)");
}

TEST(Plan, FailedPullsTurnToBackOff) {
  PodView pod = pod_of(one);
  PodMemory memory = with([](auto& m) { m.problems["a"] = Problem{"ErrImagePull", "no such host", now - seconds(6), now + seconds(4)}; });
  Plan plan = plan_pod(pod, {{box("s0")}, {}}, {}, memory, {}, now);
  Value waiting = plan.status["containerStatuses"][0]["state"]["waiting"];
  EXPECT_EQ(waiting["reason"].as_string(), "ImagePullBackOff");
  EXPECT_EQ(waiting["message"].as_string(), "Back-off pulling image \"i\": ErrImagePull: no such host");
  ASSERT_EQ(plan.actions.size(), 2u);
  EXPECT_EQ(describe(plan.actions[0]), "Tell Normal BackOff: Back-off pulling image \"i\"");
}

TEST(Backoff, DoublesToFiveMinutesAndIsForgotten) {
  Backoff b;
  Time t = now;
  EXPECT_EQ(b.remaining(t, t), Duration());
  for (int expected : {10, 20, 40, 80, 160, 300, 300}) {
    b.next(t, t);
    EXPECT_EQ(b.delay, seconds(expected));
    EXPECT_EQ(b.remaining(t + seconds(1), t + seconds(3)), seconds(expected - 2));
    t += seconds(expected);
  }
  b.next(t + seconds(601), t + seconds(601));
  EXPECT_EQ(b.delay, seconds(10));
}

TEST(Status, ReadyFollowsProbesAndGates) {
  PodView pod = pod_of(R"({"readinessGates":[{"conditionType":"g"}],"containers":[{"name":"a","image":"i","readinessProbe":{}}]})");
  RuntimeState runtime{{box("s0")}, {made("a", running)}};
  auto condition = [](const Plan& plan, std::string_view type) {
    for (Value c : plan.status["conditions"].items()) {
      if (c["type"].as_string() == type)
        return fmt::format("{} {} {}", c["status"].as_string(), c["reason"].as_string(), c["message"].as_string());
    }
    return std::string();
  };
  Plan plan = plan_pod(pod, runtime, {}, prepared(), {}, now);
  EXPECT_EQ(condition(plan, "Ready"), "False ContainersNotReady containers with unready status: [a]");
  plan = plan_pod(pod, runtime, {{}, {{"a0", true}}, {}}, prepared(), {}, now);
  EXPECT_EQ(condition(plan, "ContainersReady"), "True  ");
  EXPECT_EQ(condition(plan, "Ready"), "False ReadinessGatesNotReady corresponding condition of pod readiness gate \"g\" does not exist.");
  EXPECT_EQ(condition(plan, "PodReadyToStartContainers"), "True  ");
  EXPECT_EQ(condition(plan, "Initialized"), "True  ");
  EXPECT_EQ(condition(plan, "PodScheduled"), "True  ");
}

TEST(Status, TransitionTimesStay) {
  PodView pod = pod_of(
      one, "",
      R"({"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T01:00:00Z"},{"type":"PodScheduled","status":"True","lastTransitionTime":"2026-01-01T00:59:00Z"}]})");
  Plan plan = plan_pod(pod, {{box("s0")}, {made("a", running)}}, {}, prepared(), {}, now);
  for (Value c : plan.status["conditions"].items()) {
    if (c["type"].as_string() == "Ready") { EXPECT_EQ(c["lastTransitionTime"].as_string(), "2026-01-01T01:00:00Z"); }
    if (c["type"].as_string() == "ContainersReady") { EXPECT_EQ(c["lastTransitionTime"].as_string(), "2026-01-01T12:00:00Z"); }
  }
}

TEST(Status, WhatTheRuntimeLostIsKnownFromTheApi) {
  PodView pod = pod_of(
      one, "",
      R"({"phase":"Running","containerStatuses":[{"name":"a","restartCount":3,"containerID":"containerd://gone","state":{"running":{"startedAt":"2026-01-01T01:00:00Z"}}}]})");
  Plan plan = plan_pod(pod, {{box("s0")}, {}}, {}, prepared(), {}, now);
  Value a = plan.status["containerStatuses"][0];
  EXPECT_EQ(a["lastState"]["terminated"]["reason"].as_string(), "ContainerStatusUnknown");
  EXPECT_EQ(a["lastState"]["terminated"]["exitCode"].as_int(), 137);
  EXPECT_EQ(a["restartCount"].as_int(), 4);
  EXPECT_EQ(describe(plan.actions.at(0)), "StartContainer a 4");
}

// A kubelet that begins again has no verdicts yet: what it told before holds for the same container.
TEST(Status, ReadinessOutlivesTheKubelet) {
  const std::string told =
      R"({{"phase":"Running","containerStatuses":[{{"name":"a","containerID":"containerd://{}","ready":true,"started":true}}]}})";
  const char* spec = R"({"containers":[{"name":"a","image":"i","readinessProbe":{},"startupProbe":{},"livenessProbe":{}}]})";
  RuntimeState runtime{{box("s0")}, {made("a", running)}};
  auto ready = [&](const std::string& id, const ProbeResults& probes) {
    Plan plan = plan_pod(pod_of(spec, "", fmt::format(fmt::runtime(told), id)), runtime, probes, prepared(), {}, now);
    Value a = plan.status["containerStatuses"][0];
    return fmt::format("{} {}", a["started"].as_bool(), a["ready"].as_bool());
  };
  EXPECT_EQ(ready("a0", {}), "true true");
  EXPECT_EQ(ready("another", {}), "false false");
  EXPECT_EQ(ready("a0", {{}, {{"a0", false}}, {}}), "true false");
  EXPECT_EQ(ready("a0", {{}, {}, {{"a0", false}}}), "false false");
}

TEST(Status, OfARefusedPodHasATime) {
  PodMemory memory;
  memory.ending = Ending{"OutOfcpu", "Pod was rejected: no", 0};
  Plan plan = plan_pod(pod_of(one), {}, {}, memory, {}, now);
  EXPECT_EQ(plan.status["phase"].as_string(), "Failed");
  EXPECT_EQ(plan.status["startTime"].as_string(), "2026-01-01T12:00:00Z");
}

TEST(Plan, ProblemsOfAnotherImageAreForgotten) {
  PodMemory memory = with([](auto& m) {
    m.problems["a"] = Problem{"ErrImagePull", "no such image", now - seconds(6), now + seconds(200), "typo"};
  });
  Plan plan = plan_pod(pod_of(one), {{box("s0")}, {}}, {}, memory, {}, now);
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(describe(plan.actions[0]), "StartContainer a 0");
  EXPECT_EQ(plan.status["containerStatuses"][0]["state"]["waiting"]["reason"].as_string(), "ContainerCreating");
}

}  // namespace
}  // namespace kybern::kubelet
