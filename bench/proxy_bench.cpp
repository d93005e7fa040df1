// 10,000 services with 3 endpoints each: making the rules, and loading them into a kernel (in a network namespace of its own;
// needs root and nftables).
#include <benchmark/benchmark.h>
#include <sched.h>

#include <fstream>
#include <string>

#include "document/yaml.h"
#include "proxy/rules/ruleset.h"
#include "proxy/run/applier.h"

namespace kybern::proxy {
namespace {

constexpr int services = 10000;

std::string ip_text(int first, int number, int last) {
  return "10." + std::to_string(first + number / 250) + "." + std::to_string(number % 250) + "." + std::to_string(last);
}

ServiceRules rules(int number, int endpoints) {
  const std::string name = "s" + std::to_string(number);
  const std::string service =
      "metadata: {namespace: default, name: " + name + "}\nspec: {clusterIP: " + ip_text(96, number, 1) + ", ports: [{port: 80}]}\n";
  std::string slice = "metadata: {namespace: default, name: " + name + "-a, labels: {kubernetes.io/service-name: " + name +
                      "}}\naddressType: IPv4\nports: [{port: 8080}]\nendpoints:\n";
  // One pod in a hundred runs here.
  for (int i = 0; i < endpoints; ++i) {
    slice += "- {addresses: [" + ip_text(160, number, i + 2) + "], nodeName: " + (number % 100 == 0 && i == 0 ? "n1" : "n2") + "}\n";
  }
  const Document service_document = (*parse_yaml(service))[0], slice_document = (*parse_yaml(slice))[0];
  NodeInfo node;
  node.name = "n1";
  return rules_of(api::core_v1::Service(service_document), {api::discovery_v1::EndpointSlice(slice_document)}, node);
}

NodeInfo node() {
  NodeInfo out;
  out.name = "n1";
  out.pod_cidrs = {*parse_prefix("10.160.0.0/11")};
  return out;
}

Ruleset filled() {
  Ruleset out(node());
  for (int i = 0; i < services; ++i) out.set_service("default/s" + std::to_string(i), rules(i, 3));
  return out;
}

void full_text(benchmark::State& state) {
  Ruleset ruleset = filled();
  for (auto _ : state) benchmark::DoNotOptimize(ruleset.full());
}
BENCHMARK(full_text)->Unit(benchmark::kMillisecond);

bool own_namespace(benchmark::State& state) {
  static const bool entered = ::unshare(CLONE_NEWNET) == 0;
  if (!entered) state.SkipWithError("no network namespace: not root");
  return entered;
}

void load(benchmark::State& state, bool replace) {
  if (!own_namespace(state)) return;
  Result<Applier> applier = Applier::open(false);
  if (!applier) return state.SkipWithError(applier.error().message.c_str());
  Ruleset ruleset = filled();
  if (replace) (void)applier->apply(ruleset.full(), ruleset);
  for (auto _ : state) {
    const Result<void> done = applier->apply(ruleset.full(), ruleset);
    if (!done) return state.SkipWithError(done.error().message.c_str());
    state.PauseTiming();
    if (!replace) (void)applier->remove_tables();
    state.ResumeTiming();
  }
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) state.counters["peak_mb"] = std::stod(line.substr(6)) / 1024;
  }
  (void)applier->remove_tables();
}
BENCHMARK_CAPTURE(load, first, false)->Unit(benchmark::kMillisecond)->Iterations(3)->UseRealTime();
BENCHMARK_CAPTURE(load, replacing, true)->Unit(benchmark::kMillisecond)->Iterations(3)->UseRealTime();

// One service changes: from one set of endpoints to another of the same number, or to one more.
void change(benchmark::State& state, int other_endpoints) {
  if (!own_namespace(state)) return;
  Result<Applier> applier = Applier::open(false);
  if (!applier) return state.SkipWithError(applier.error().message.c_str());
  Ruleset ruleset = filled();
  (void)applier->apply(ruleset.full(), ruleset);
  const ServiceRules versions[] = {rules(17, 3), other_endpoints == 3 ? rules(18, 3) : rules(17, other_endpoints)};
  ServiceRules second = versions[1];
  second.frontends[0].first = versions[0].frontends[0].first;
  int turn = 0;
  for (auto _ : state) {
    ruleset.set_service("default/s17", ++turn % 2 == 1 ? second : versions[0]);
    const Result<void> done = applier->apply(ruleset.changes(), ruleset);
    if (!done) return state.SkipWithError(done.error().message.c_str());
  }
  (void)applier->remove_tables();
}
BENCHMARK_CAPTURE(change, endpoints_replaced, 3)->Unit(benchmark::kMicrosecond)->Iterations(200)->UseRealTime();
BENCHMARK_CAPTURE(change, endpoint_added, 4)->Unit(benchmark::kMicrosecond)->Iterations(200)->UseRealTime();

void rules_of_one(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(rules(17, 3));  // with the parsing of its YAML
}
BENCHMARK(rules_of_one);

}  // namespace
}  // namespace kybern::proxy

BENCHMARK_MAIN();
