// The pure machinery, on what the server does most: pods, their labels, their patches.
#include <benchmark/benchmark.h>

#include <string>

#include "document/json.h"
#include "machinery/apply/apply.h"
#include "machinery/cron.h"
#include "machinery/defaults/defaults.h"
#include "machinery/labels.h"
#include "machinery/patch/patch.h"
#include "machinery/quantity.h"
#include "machinery/validate/validate.h"
#include "schema/convert.h"

namespace {

using namespace kybern;

constexpr const char* pod_text =
    R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-0","namespace":"ns","labels":{"app":"web","tier":"front","track":"stable"}},
"spec":{"containers":[
 {"name":"web","image":"nginx:1.27","ports":[{"name":"http","containerPort":80},{"name":"metrics","containerPort":9113}],
  "env":[{"name":"MODE","value":"prod"},{"name":"NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}],
  "resources":{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"cpu":"1","memory":"256Mi"}},
  "readinessProbe":{"httpGet":{"path":"/ready","port":"http"}},"livenessProbe":{"tcpSocket":{"port":80}},
  "volumeMounts":[{"name":"data","mountPath":"/data"},{"name":"config","mountPath":"/etc/web"}]},
 {"name":"log","image":"log:2","args":["-f","/data/log"],"volumeMounts":[{"name":"data","mountPath":"/data"}]}],
 "volumes":[{"name":"data","emptyDir":{}},{"name":"config","configMap":{"name":"web"}}],
 "tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]}})";

const schema::Resource& pods() { return *schema::find_resource("", "v1", "pods"); }
Document parsed(std::string_view text) { return *parse_json(text); }

Document whole_pod() {
  Draft draft(*schema::to_typed(*pods().type, parsed(pod_text)));
  apply_defaults(pods(), draft);
  return draft.freeze();
}

void parse_quantity(benchmark::State& state) {
  constexpr std::string_view texts[] = {"100m", "128Mi", "1", "1.5Gi", "250e3", "0.1"};
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(Quantity::parse(texts[i++ % std::size(texts)]));
}
BENCHMARK(parse_quantity);

void print_quantity(benchmark::State& state) {
  auto quantity = Quantity::parse("1536Mi");
  for (auto _ : state) benchmark::DoNotOptimize(quantity->str());
}
BENCHMARK(print_quantity);

void parse_selector(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(LabelSelector::parse("app=web,tier in (front,back),!canary"));
}
BENCHMARK(parse_selector);

void match_selector(benchmark::State& state) {
  auto selector = LabelSelector::parse("app=web,tier in (front,back),!canary");
  Document pod = parsed(pod_text);
  Value labels = pod["metadata"]["labels"];
  for (auto _ : state) benchmark::DoNotOptimize(selector->matches(labels));
}
BENCHMARK(match_selector);

void default_pod(benchmark::State& state) {
  Document pod = *schema::to_typed(*pods().type, parsed(pod_text));
  for (auto _ : state) {
    Draft draft(pod);
    apply_defaults(pods(), draft);
    benchmark::DoNotOptimize(draft.freeze());
  }
}
BENCHMARK(default_pod);

// One version, as most resources have.
class PodVersions : public apply::Versions {
 public:
  bool has(std::string_view version) const override { return version == "v1"; }
  apply::Place root(std::string_view) const override { return apply::Place::of(*pods().type); }
  Document convert(Value object, std::string_view, std::string_view) const override { return object.document(); }
};

struct OwnedPod {
  PodVersions versions;
  apply::FieldSet reset;
  Document empty = *schema::to_typed(*pods().type, Draft::object().freeze().root()), pod = whole_pod(), live;
  apply::Write write{versions, "v1", "bench", "", "2026-01-01T00:00:00Z", reset, empty.root()};
  OwnedPod() {
    Draft draft(pod);
    draft["metadata"]["managedFields"] = apply::track(write, {}, pod.root(), {});
    live = draft.freeze();
  }
};

void own_new_pod(benchmark::State& state) {
  OwnedPod owned;
  for (auto _ : state) benchmark::DoNotOptimize(apply::track(owned.write, {}, owned.pod.root(), {}));
}
BENCHMARK(own_new_pod);

void own_status_change(benchmark::State& state) {
  OwnedPod owned;
  Draft draft(owned.live);
  draft["status"]["phase"] = "Running";
  Document now = *parse_json(to_json(draft));  // no bytes in common with the live one, as after a request
  for (auto _ : state) benchmark::DoNotOptimize(apply::track(owned.write, owned.live.root(), now.root(), now["metadata"]["managedFields"]));
}
BENCHMARK(own_status_change);

void apply_same_pod(benchmark::State& state) {
  OwnedPod owned;
  Document config = parsed(pod_text);
  auto first = apply::apply(owned.write, owned.live.root(), config.root(), true);
  Draft draft(first->object);
  draft["metadata"]["managedFields"] = first->managed;
  Document live = draft.freeze();
  for (auto _ : state) benchmark::DoNotOptimize(apply::apply(owned.write, live.root(), config.root(), false));
}
BENCHMARK(apply_same_pod);

void validate_pod(benchmark::State& state) {
  Document pod = whole_pod();
  if (!validate(pods(), pod).empty()) state.SkipWithError("the pod is not valid");
  for (auto _ : state) benchmark::DoNotOptimize(validate(pods(), pod));
}
BENCHMARK(validate_pod);

void validate_pod_update(benchmark::State& state) {
  Draft draft(whole_pod());
  draft["metadata"]["resourceVersion"] = "1";
  Document before = draft.freeze();
  draft["spec"]["containers"].items()[0]["image"] = "nginx:1.28";
  Document after = draft.freeze();
  for (auto _ : state) benchmark::DoNotOptimize(validate_update(pods(), after, before));
}
BENCHMARK(validate_pod_update);

void strategic_merge_of_a_container(benchmark::State& state) {
  Document pod = whole_pod(),
           patch = parsed(R"({"metadata":{"labels":{"track":"canary"}},"spec":{"containers":[{"name":"log","image":"log:3"}]}})");
  for (auto _ : state) {
    auto merged = strategic_merge(pod, patch, *pods().type);
    benchmark::DoNotOptimize(merged->freeze());
  }
}
BENCHMARK(strategic_merge_of_a_container);

void merge_patch_of_status(benchmark::State& state) {
  Document pod = whole_pod(),
           patch = parsed(R"({"status":{"phase":"Running","podIP":"10.0.0.9","conditions":[{"type":"Ready","status":"True"}]}})");
  for (auto _ : state) {
    auto merged = merge_patch(pod, patch);
    benchmark::DoNotOptimize(merged->freeze());
  }
}
BENCHMARK(merge_patch_of_status);

void difference_of_two_pods(benchmark::State& state) {
  Document pod = whole_pod();
  Draft draft(pod);
  draft["spec"]["containers"].items()[1]["image"] = "log:3";
  Document changed = draft.freeze();
  for (auto _ : state) benchmark::DoNotOptimize(create_strategic_patch(pod, changed, *pods().type));
}
BENCHMARK(difference_of_two_pods);

void next_of_schedule(benchmark::State& state) {
  auto schedule = CronSchedule::parse("30 9 * * mon-fri");
  Time now = *parse_rfc3339("2026-01-02T09:30:00Z");
  for (auto _ : state) benchmark::DoNotOptimize(schedule->next(now));
}
BENCHMARK(next_of_schedule);

}  // namespace

BENCHMARK_MAIN();
