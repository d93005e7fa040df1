// The scheduler with an API that answers what a test says: who waits, who is woken, and what is said. Time moves only when
// told to. A whole cluster runs in sim/.
#include "scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "client/test_support.h"
#include "document/yaml.h"

namespace kybern::scheduler {
namespace {

using client::Call;
using client::Event;
using client::testing_support::FeedTransport;
using client::testing_support::StepWorld;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

struct PodSpec {
  std::string uid = "1", cpu = "1", node = "", more = "{}";
  int priority = 0;
};

struct Scheduling {
  StepWorld world;
  FeedTransport transport;
  std::function<ApiResult<Document>(const Call&)> on_bind, on_get;  // of a pod; none: it is done; it is not there
  std::unique_ptr<Scheduler> scheduler;
  std::vector<std::string> bindings;                     // "web to n1", as asked for
  std::vector<Document> conditions;                      // PodScheduled as written
  std::vector<std::pair<Duration, std::string>> events;  // "Warning FailedScheduling: ..."; and when
  int version = 0;

  explicit Scheduling(const std::vector<Document>& nodes = {}, const std::vector<Document>& pods = {}) {
    transport.answer = [this](const Call& call) { return answer(call); };
    scheduler = *Scheduler::start(transport, world.world(), {});
    transport.listeners.at("/api/v1/nodes").replaced(nodes);
    transport.listeners.at("/api/v1/pods").replaced(pods);
    world.run_ready();
  }

  ApiResult<Document> answer(const Call& call) {
    if (call.path.ends_with("/events") || call.path.find("/events/") != std::string::npos) {
      std::string text = call.body["type"].str() + " " + call.body["reason"].str() + ": " + call.body["message"].str();
      events.emplace_back(passed(), std::move(text));
      return call.body;
    }
    if (call.path.ends_with("/binding")) {
      bindings.push_back(call.body["metadata"]["name"].str() + " to " + call.body["target"]["name"].str());
      return on_bind ? on_bind(call) : ApiResult<Document>(Document());
    }
    if (call.method == "PATCH") {
      conditions.push_back(call.body["status"]["conditions"][0].document());
      return Document();
    }
    return on_get ? on_get(call) : ApiResult<Document>(fail(not_found("", "pods", "x")));
  }
  Duration passed() { return world.steady() - Instant(seconds(1000)); }

  void put(const char* collection, const Document& object) {
    Draft changed(object);
    changed["metadata"]["resourceVersion"] = std::to_string(++version);
    transport.listeners.at(collection).changed({Event{Event::Type::put, changed.freeze()}});
  }
  void put_node(const Document& node) { put("/api/v1/nodes", node); }
  void put_pod(const Document& pod) { put("/api/v1/pods", pod); }
  void erase_pod(const Document& pod) {
    Draft changed(pod);
    changed["metadata"]["resourceVersion"] = std::to_string(++version);
    transport.listeners.at("/api/v1/pods").changed({Event{Event::Type::erased, changed.freeze()}});
  }
  std::size_t bound(std::string_view pod) const {
    return static_cast<std::size_t>(
        std::count_if(bindings.begin(), bindings.end(), [&](const std::string& b) { return b.starts_with(std::string(pod) + " to "); }));
  }
};

Document from_yaml(const std::string& text) {
  auto documents = parse_yaml(text);
  EXPECT_TRUE(documents) << text;
  return documents->front();
}

Document make_node(const std::string& name, const std::string& cpu = "1", const std::string& spec = "{}",
                   const std::string& labels = "{}") {
  return from_yaml("{kind: Node, metadata: {name: " + name + ", labels: " + labels + "}, spec: " + spec +
                   ", status: {allocatable: {cpu: '" + cpu + "', memory: 8Gi, pods: '10'}}}");
}

Document make_pod(const std::string& name, PodSpec o = {}) {
  Draft out(from_yaml("{kind: Pod, apiVersion: v1, metadata: {namespace: default, name: " + name + ", uid: '" + o.uid +
                      "', generation: 3}, spec: {schedulerName: default-scheduler, priority: " + std::to_string(o.priority) +
                      ", containers: [{name: c, resources: {requests: {cpu: '" + o.cpu + "'}}}]}, status: {phase: Pending}}"));
  if (!o.node.empty()) out["spec"]["nodeName"] = o.node;
  const Document more = from_yaml(o.more);
  for (Member m : more.root().members()) out["spec"][m.key] = m.value;
  return out.freeze();
}

const std::string too_small =
    "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: ";

TEST(Scheduler, SaysWhereAPodGoes) {
  Scheduling s({make_node("n1")}, {make_pod("web")});
  s.world.advance(seconds(1));
  EXPECT_EQ(s.bindings, std::vector<std::string>{"web to n1"});
  ASSERT_EQ(s.events.size(), 1u);
  EXPECT_EQ(s.events[0].second, "Normal Scheduled: Successfully assigned default/web to n1");
  EXPECT_TRUE(s.conditions.empty());
}

TEST(Scheduler, SaysWhyAPodWaitsAndSinceWhen) {
  Scheduling s({make_node("n1")}, {make_pod("large", {.cpu = "2"})});
  s.world.advance(seconds(1));
  const std::string why = too_small + "1 Preemption is not helpful for scheduling.";
  ASSERT_EQ(s.events.size(), 1u);
  EXPECT_EQ(s.events[0].second, "Warning FailedScheduling: " + why);
  ASSERT_EQ(s.conditions.size(), 1u);
  const Document first = s.conditions[0];
  EXPECT_EQ(first["type"].as_string(), "PodScheduled");
  EXPECT_EQ(first["status"].as_string(), "False");
  EXPECT_EQ(first["reason"].as_string(), "Unschedulable");
  EXPECT_EQ(first["message"].as_string(), why);
  EXPECT_EQ(first["observedGeneration"].as_int(), 3);
  EXPECT_EQ(first["lastTransitionTime"].as_string(), format_rfc3339(Time(seconds(1'700'000'000))));

  Draft told(make_pod("large", {.cpu = "2"}));
  told["status"]["conditions"].push_back(Draft(first));
  s.put_pod(told.freeze());
  s.world.advance(seconds(60));
  s.put_node(make_node("other"));
  s.world.advance(seconds(1));
  ASSERT_EQ(s.conditions.size(), 2u);
  EXPECT_TRUE(s.conditions[1]["message"].as_string().starts_with("0/2 nodes are available: 2 Insufficient cpu."));
  EXPECT_EQ(s.conditions[1]["lastTransitionTime"].as_string(), first["lastTransitionTime"].as_string()) << "it is False all the time";
}

TEST(Scheduler, TriesAgainAfterAGrowingDelay) {
  Scheduling s({make_node("n1")}, {make_pod("large", {.cpu = "2"})});
  std::vector<std::int64_t> at_s;
  for (int i = 0; i < 600; ++i) {  // something that could help happens all the time
    s.put_node(make_node("n1", "1", "{}", "{tick: t" + std::to_string(i) + "}"));
    s.world.advance(milliseconds(100));
  }
  for (const auto& [when, text] : s.events) at_s.push_back(std::chrono::duration_cast<seconds>(when).count());
  EXPECT_EQ(at_s, (std::vector<std::int64_t>{0, 1, 3, 7, 15, 25, 35, 45, 55}));
}

TEST(Scheduler, TriesAgainAfterFiveMinutesInAnyCase) {
  Scheduling s({make_node("n1")}, {make_pod("large", {.cpu = "2"})});
  s.world.advance(minutes(4));
  EXPECT_EQ(s.events.size(), 1u);
  s.world.advance(minutes(2));
  ASSERT_EQ(s.events.size(), 2u);
  EXPECT_EQ(s.events[1].first, minutes(5));
}

TEST(Scheduler, WakesThoseWhoWait) {
  struct Row {
    const char* what;
    std::vector<Document> nodes;
    Document pod, change;  // of a node
  };
  for (const Row& row : {
           Row{"a node is added", {make_node("n1", "1", "{unschedulable: true}")}, make_pod("web"), make_node("m1")},
           Row{"a node is uncordoned", {make_node("n1", "1", "{unschedulable: true}")}, make_pod("web"), make_node("n1")},
           Row{"a taint goes", {make_node("n1", "1", "{taints: [{key: k, effect: NoSchedule}]}")}, make_pod("web"), make_node("n1")},
           Row{"a label comes",
               {make_node("n1")},
               make_pod("web", {.more = "{nodeSelector: {disk: ssd}}"}),
               make_node("n1", "1", "{}", "{disk: ssd}")},
           Row{"a node grows", {make_node("n1")}, make_pod("web", {.cpu = "2"}), make_node("n1", "2")},
           Row{"the first node comes", {}, make_pod("web"), make_node("n1")},
       }) {
    Scheduling s(row.nodes, {row.pod});
    s.world.advance(seconds(20));
    EXPECT_EQ(s.bindings.size(), 0u) << row.what;
    s.put_node(row.change);
    s.world.advance(seconds(1));
    EXPECT_EQ(s.bindings.size(), 1u) << row.what;
  }
}

TEST(Scheduler, APodThatGoesOrShrinksMakesRoom) {
  struct Row {
    const char* what;
    void (*change)(Scheduling&);
  };
  const Row rows[] = {
      {"deleted", [](Scheduling& s) { s.erase_pod(make_pod("a", {.cpu = "2", .node = "n1"})); }},
      {"resized", [](Scheduling& s) { s.put_pod(make_pod("a", {.cpu = "1", .node = "n1"})); }},
      {"finished",
       [](Scheduling& s) {
         Draft done(make_pod("a", {.cpu = "2", .node = "n1"}));
         done["status"]["phase"] = "Succeeded";
         s.put_pod(done.freeze());
       }},
  };
  for (const Row& row : rows) {
    Scheduling s({make_node("n1", "2")}, {make_pod("a", {.cpu = "2", .node = "n1"}), make_pod("b", {.uid = "2"})});
    s.world.advance(seconds(20));
    EXPECT_EQ(s.bindings.size(), 0u) << row.what;
    row.change(s);
    s.world.advance(seconds(1));
    EXPECT_EQ(s.bindings, std::vector<std::string>{"b to n1"}) << row.what;
  }
}

// The answer that a pod is gone comes before the watch tells so.
TEST(Scheduler, ABindingThatFailsMakesRoom) {
  Scheduling s;
  s.on_bind = [](const Call& call) -> ApiResult<Document> {
    if (call.body["metadata"]["name"].as_string() == "a") return fail(not_found("", "pods", "a"));
    return Document();
  };
  s.put_node(make_node("n1"));
  s.put_pod(make_pod("a"));
  s.put_pod(make_pod("b", {.uid = "2"}));
  s.world.run_ready();
  EXPECT_EQ(s.bindings, std::vector<std::string>{"a to n1"});
  s.erase_pod(make_pod("a"));
  s.world.advance(seconds(10));
  EXPECT_EQ(s.bound("b"), 1u);
}

// Of a name that is used again each pod has its own place: what becomes of the one says nothing about the other's.
TEST(Scheduler, AnOldBindingsEndLeavesTheNextPodsPlace) {
  Scheduling s;
  const auto unknown = [](const Call&) -> ApiResult<Document> { return fail(service_unavailable("no answer")); };
  s.on_bind = s.on_get = unknown;
  s.put_node(make_node("n1"));
  s.put_pod(make_pod("web"));
  s.world.run_ready();
  EXPECT_EQ(s.bound("web"), 1u);
  s.world.advance(milliseconds(500));
  s.erase_pod(make_pod("web"));
  s.put_pod(make_pod("web", {.uid = "2"}));
  s.world.run_ready();
  EXPECT_EQ(s.bound("web"), 2u);
  bool told = false;  // the first to ask is the old one
  s.on_get = [&](const Call& call) -> ApiResult<Document> {
    if (std::exchange(told, true)) return unknown(call);
    return make_pod("web", {.uid = "2"});
  };
  s.world.advance(milliseconds(1500));
  EXPECT_TRUE(told);
  s.put_pod(make_pod("other", {.uid = "3"}));
  s.world.advance(seconds(10));
  EXPECT_EQ(s.bound("web"), 2u);
  EXPECT_EQ(s.bound("other"), 0u) << "the place may be taken";
}

TEST(Scheduler, APodThatGoesIsNotTriedAgain) {
  Scheduling s;
  s.on_bind = [&](const Call&) -> ApiResult<Document> {
    Draft going(make_pod("held"));
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
    s.put_pod(going.freeze());
    return fail(conflict("", "pods/binding", "held", "pod held is being deleted, cannot be assigned to a host"));
  };
  s.put_node(make_node("n1"));
  s.put_pod(make_pod("held"));
  s.world.advance(minutes(1));
  EXPECT_EQ(s.bindings.size(), 1u);
}

// After a gap in the stream: one pod of a name is gone, and another is there.
TEST(Scheduler, AnotherPodOfTheNameTakesNothingOver) {
  Scheduling s({make_node("n1")});
  const Document second = make_pod("web", {.uid = "2", .priority = 0});
  s.put_pod(make_pod("web", {.priority = 5}));
  s.transport.listeners.at("/api/v1/pods").replaced({second});
  s.erase_pod(second);
  EXPECT_NO_THROW(s.world.advance(seconds(1)));
  EXPECT_EQ(s.bindings.size(), 0u);

  Scheduling waits({make_node("n1")}, {make_pod("web", {.cpu = "2"})});
  waits.world.advance(milliseconds(100));
  EXPECT_EQ(waits.events.size(), 1u);
  waits.transport.listeners.at("/api/v1/pods").replaced({make_pod("web", {.uid = "2"})});
  waits.world.advance(milliseconds(100));
  EXPECT_EQ(waits.bindings.size(), 1u) << "it has no back-off yet";
}

}  // namespace
}  // namespace kybern::scheduler
