#include "scheduler/cycle/cycle.h"

#include <gtest/gtest.h>

#include <memory>

#include "document/yaml.h"
#include "scheduler/score/score.h"

namespace kybern::scheduler {
namespace {

Document yaml(std::string_view text) {
  auto documents = parse_yaml(text);
  EXPECT_TRUE(documents) << (documents ? "" : documents.error().message);
  return documents->front();
}

PodNeeds pod(std::string_view spec) { return read_pod(yaml("metadata: {name: p, namespace: default}\nspec: " + std::string(spec))); }

std::unique_ptr<NodeState> node(std::string_view name, std::string_view more = "{}", std::string_view labels = "{}") {
  auto out = std::make_unique<NodeState>();
  Draft d(yaml("status: {allocatable: {cpu: '4', memory: 8Gi, pods: '3', example.com/gpu: '1'}}"));
  d["metadata"]["name"] = name;
  d["metadata"]["labels"] = Draft(yaml(labels));
  d["spec"] = Draft(yaml(more));
  out->set_node(d.freeze());
  return out;
}

constexpr std::string_view small = "{containers: [{name: c, resources: {requests: {cpu: 100m, memory: 64Mi}}}]}";

TEST(Requests, AreTheLargerOfInitAndRun) {
  struct Row {
    const char* spec;
    std::int64_t cpu_milli, memory;
  };
  for (Row row : {
           Row{"{containers: [{resources: {requests: {cpu: 1, memory: 1Gi}}}, {resources: {requests: {cpu: 500m}}}]}", 1500, 1 << 30},
           Row{"{initContainers: [{resources: {requests: {cpu: 3}}}], containers: [{resources: {requests: {cpu: 1}}}]}", 3000, 0},
           Row{"{initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 1}}}, {resources: {requests: {cpu: 1}}}], "
               "containers: [{resources: {requests: {cpu: 500m}}}]}",
               2000, 0},
           Row{"{overhead: {cpu: 250m}, containers: [{resources: {requests: {cpu: 1}}}]}", 1250, 0},
           Row{"{resources: {requests: {cpu: 2}}, containers: [{resources: {requests: {cpu: 1, memory: 1Gi}}}]}", 2000, 1 << 30},
           Row{"{containers: [{}]}", 0, 0},
       }) {
    PodNeeds p = pod(row.spec);
    EXPECT_EQ(p.requests.cpu_milli, row.cpu_milli) << row.spec;
    EXPECT_EQ(p.requests.memory, row.memory) << row.spec;
  }
}

// One node, one reason: the words are what `kubectl describe pod` shows.
TEST(Filter, SaysWhyANodeDoesNotFit) {
  struct Row {
    const char *spec, *node_spec, *labels, *reason;
    bool resolvable;
  };
  for (Row row : {
           Row{"{containers: [{}]}", "{}", "{}", "", true},
           Row{"{containers: [{}]}", "{unschedulable: true}", "{}", "node(s) were unschedulable", false},
           Row{"{containers: [{}], tolerations: [{key: node.kubernetes.io/unschedulable, operator: Exists, effect: NoSchedule}]}",
               "{unschedulable: true}", "{}", "", true},
           Row{"{nodeName: other, containers: [{}]}", "{}", "{}", "node(s) didn't match the requested node name", false},
           Row{"{containers: [{}]}", "{taints: [{key: k, value: v, effect: NoSchedule}]}", "{}", "node(s) had untolerated taint(s)", false},
           Row{"{containers: [{}]}", "{taints: [{key: k, effect: PreferNoSchedule}]}", "{}", "", true},
           Row{"{containers: [{}], tolerations: [{key: k, operator: Equal, value: v}]}",
               "{taints: [{key: k, value: v, effect: NoExecute}]}", "{}", "", true},
           Row{"{containers: [{}], tolerations: [{key: k, operator: Equal, value: w}]}",
               "{taints: [{key: k, value: v, effect: NoExecute}]}", "{}", "node(s) had untolerated taint(s)", false},
           Row{"{containers: [{}], tolerations: [{operator: Exists}]}", "{taints: [{key: k, value: v, effect: NoSchedule}]}", "{}", "",
               true},
           Row{"{containers: [{}], nodeSelector: {disk: ssd}}", "{}", "{disk: hdd}", "node(s) didn't match Pod's node affinity/selector",
               false},
           Row{"{containers: [{}], nodeSelector: {disk: ssd}}", "{}", "{disk: ssd}", "", true},
           Row{"{containers: [{resources: {requests: {cpu: 5}}}]}", "{}", "{}", "Insufficient cpu", false},
           Row{"{containers: [{resources: {requests: {memory: 9Gi}}}]}", "{}", "{}", "Insufficient memory", false},
           Row{"{containers: [{resources: {requests: {example.com/gpu: 2}}}]}", "{}", "{}", "Insufficient example.com/gpu", false},
       }) {
    Refusal r = check_node(pod(row.spec), *node("n", row.node_spec, row.labels));
    if (*row.reason) {
      EXPECT_EQ(r.reasons, std::vector<std::string>{row.reason}) << row.spec;
      EXPECT_EQ(r.resolvable, row.resolvable) << row.spec;
    } else {
      EXPECT_TRUE(r.reasons.empty()) << row.spec << ": " << r.reasons[0];
    }
  }
}

TEST(Filter, NodeAffinityOperators) {
  struct Row {
    const char* expression;
    bool fits;
  };
  for (Row row : {Row{"{key: zone, operator: In, values: [a, b]}", true}, Row{"{key: zone, operator: In, values: [b]}", false},
                  Row{"{key: zone, operator: NotIn, values: [b]}", true}, Row{"{key: none, operator: NotIn, values: [b]}", true},
                  Row{"{key: zone, operator: Exists}", true}, Row{"{key: none, operator: Exists}", false},
                  Row{"{key: none, operator: DoesNotExist}", true}, Row{"{key: cores, operator: Gt, values: ['7']}", true},
                  Row{"{key: cores, operator: Lt, values: ['8']}", false}, Row{"{key: zone, operator: Gt, values: ['1']}", false}}) {
    std::string spec = std::string(
                           "{containers: [{}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
                           "{nodeSelectorTerms: [{matchExpressions: [") +
                       row.expression + "]}]}}}}";
    EXPECT_EQ(check_node(pod(spec), *node("n", "{}", "{zone: a, cores: '8'}")).reasons.empty(), row.fits) << row.expression;
  }
}

TEST(Filter, NodeAffinityTerms) {
  struct Row {
    const char* terms;
    bool fits;
  };
  for (Row row : {Row{"[{matchFields: [{key: metadata.name, operator: In, values: [n1]}]}]", true},
                  Row{"[{matchFields: [{key: metadata.name, operator: In, values: [m1]}]}]", false},
                  Row{"[{matchExpressions: [{key: none, operator: Exists}]}, {matchExpressions: [{key: zone, operator: Exists}]}]", true},
                  Row{"[{matchExpressions: [{key: zone, operator: Exists}, {key: none, operator: Exists}]}]", false}, Row{"[{}]", false},
                  Row{"[{}, {matchExpressions: [{key: zone, operator: Exists}]}]", true}}) {
    std::string spec =
        std::string("{containers: [{}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: ") +
        row.terms + "}}}}";
    EXPECT_EQ(check_node(pod(spec), *node("n1", "{}", "{zone: a}")).reasons.empty(), row.fits) << row.terms;
  }
}

TEST(Filter, HostPortsClashByAddressAndProtocol) {
  auto with_port = [](const char* port) { return pod(std::string("{containers: [{ports: [") + port + "]}]}"); };
  auto n = node("n");
  n->add(with_port("{hostPort: 80, hostIP: 10.0.0.1}"), 1);
  EXPECT_TRUE(check_node(with_port("{hostPort: 80, hostIP: 10.0.0.2}"), *n).reasons.empty());
  EXPECT_TRUE(check_node(with_port("{hostPort: 80, protocol: UDP}"), *n).reasons.empty());
  EXPECT_EQ(check_node(with_port("{hostPort: 80}"), *n).reasons,
            std::vector<std::string>{"node(s) didn't have free ports for the requested pod ports"});
  n->add(with_port("{hostPort: 80, hostIP: 10.0.0.1}"), -1);
  EXPECT_TRUE(check_node(with_port("{hostPort: 80}"), *n).reasons.empty());
}

// An init container's port is free again when the containers run, unless it is a sidecar.
TEST(Filter, HostPortsOfInitContainersThatStay) {
  for (const auto& [policy, fits] : {std::pair("", true), std::pair("restartPolicy: Always, ", false)}) {
    const PodNeeds p = pod(std::string("{initContainers: [{") + policy + "ports: [{hostPort: 80}]}], containers: [{}]}");
    auto n = node("n");
    n->add(p, 1);
    EXPECT_EQ(check_node(p, *n).reasons.empty(), fits) << policy;
  }
}

TEST(Cycle, ExplainsWhyNowhere) {
  auto a = node("a", "{unschedulable: true}"), b = node("b", "{unschedulable: true}"), full = node("c");
  for (int i = 0; i < 3; ++i) full->add(pod(small), 1);
  std::vector<NodeState*> nodes{a.get(), b.get(), full.get()};
  EXPECT_EQ(decide(pod(small), nodes, 0, 0).message,
            "0/3 nodes are available: 1 Too many pods, 2 node(s) were unschedulable. no new claims to deallocate, preemption: 0/3 nodes "
            "are available: 1 No preemption "
            "victims found for incoming pod, "
            "2 Preemption is not helpful for scheduling.");
  EXPECT_EQ(decide(pod(small), {}, 0, 0).message, "no nodes available to schedule pods");
}

TEST(Cycle, PrefersTheEmptierNodeAndThePreferredOne) {
  auto busy = node("busy"), idle = node("idle"), ssd = node("ssd", "{}", "{disk: ssd}"),
       soft = node("soft", "{taints: [{key: k, effect: PreferNoSchedule}]}");
  busy->add(pod("{containers: [{resources: {requests: {cpu: 3, memory: 6Gi}}}]}"), 1);
  EXPECT_EQ(decide(pod(small), {busy.get(), idle.get()}, 0, 0).node, idle.get());
  EXPECT_EQ(decide(pod(small), {soft.get(), idle.get()}, 0, 0).node, idle.get());
  PodNeeds wants =
      pod("{containers: [{}], affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 10, preference: "
          "{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}}]}}}");
  EXPECT_EQ(decide(wants, {idle.get(), ssd.get()}, 0, 0).node, ssd.get());
}

// Both would be used by half on average; the one evenly.
TEST(Cycle, PrefersTheNodeThatIsUsedEvenly) {
  auto even = node("even"), lopsided = node("lopsided");
  even->add(pod("{containers: [{resources: {requests: {cpu: 1, memory: 2Gi}}}]}"), 1);
  lopsided->add(pod("{containers: [{resources: {requests: {cpu: 2, memory: 1Mi}}}]}"), 1);
  const PodNeeds wants = pod("{containers: [{resources: {requests: {cpu: 1, memory: 2Gi}}}]}");
  EXPECT_EQ(least_allocated(wants, *even), 50);
  EXPECT_EQ(least_allocated(wants, *lopsided), 49);
  EXPECT_EQ(balanced_allocation(wants, *even), 100);
  EXPECT_EQ(balanced_allocation(wants, *lopsided), 75);
  // More is asked of the memory: now the lopsided one is the one that becomes even, though it has less left.
  lopsided->add(pod("{containers: [{resources: {requests: {cpu: 100m, memory: 1Mi}}}]}"), 1);
  const PodNeeds memory = pod("{containers: [{resources: {requests: {cpu: 1m, memory: 4Gi}}}]}");
  EXPECT_GT(least_allocated(memory, *even), least_allocated(memory, *lopsided) - 5);
  EXPECT_EQ(decide(memory, {even.get(), lopsided.get()}, 0, 0).node, lopsided.get());
}

TEST(Cycle, TiesAreChosenByChance) {
  auto a = node("a"), b = node("b");
  EXPECT_NE(decide(pod(small), {a.get(), b.get()}, 0, 0).node, decide(pod(small), {a.get(), b.get()}, 0, 1).node);
}

// Whatever comes and goes, no node is over its allocatable, and what goes gives back all that it took.
TEST(Cycle, NeverOverfillsANode) {
  std::vector<std::unique_ptr<NodeState>> owned;
  std::vector<NodeState*> nodes;
  for (int i = 0; i < 20; ++i) nodes.push_back(owned.emplace_back(node("n" + std::to_string(i))).get());
  std::vector<std::pair<PodNeeds, NodeState*>> placed;
  std::uint64_t random = 1;
  auto next = [&] { return random = random * 6364136223846793005ULL + 1442695040888963407ULL, random >> 33; };
  std::size_t start = 0;
  for (int step = 0; step < 3000; ++step) {
    if (next() % 3 && placed.size() < 70) {
      PodNeeds p = pod("{containers: [{resources: {requests: {cpu: " + std::to_string(next() % 2000) +
                       "m, memory: " + std::to_string(next() % 4000) + "Mi}}}]}");
      Decision d = decide(p, nodes, start, next());
      start = d.next_start;
      if (!d.node) continue;
      auto* chosen = const_cast<NodeState*>(d.node);
      chosen->add(p, 1);
      placed.emplace_back(std::move(p), chosen);
    } else if (!placed.empty()) {
      std::size_t i = next() % placed.size();
      placed[i].second->add(placed[i].first, -1);
      placed.erase(placed.begin() + static_cast<std::ptrdiff_t>(i));
    }
    for (NodeState* n : nodes) {
      ASSERT_LE(n->requested.cpu_milli, n->allocatable.cpu_milli);
      ASSERT_LE(n->requested.memory, n->allocatable.memory);
      ASSERT_LE(n->pods, n->pods_allowed);
    }
  }
  for (auto& [p, n] : placed) n->add(p, -1);
  for (NodeState* n : nodes) EXPECT_EQ(n->requested.cpu_milli + n->requested.memory + n->pods + n->scored_cpu_milli, 0);
}

TEST(Cycle, LooksAtEnoughNodes) {
  EXPECT_EQ(enough_nodes(50), 50u);
  EXPECT_EQ(enough_nodes(1000), 420u);
  EXPECT_EQ(enough_nodes(5000), 500u);
  EXPECT_EQ(enough_nodes(10000), 500u);
}

}  // namespace
}  // namespace kybern::scheduler
