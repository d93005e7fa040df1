// JSON text to Document and back, on a pod of about 4 KB.
#include <benchmark/benchmark.h>

#include <fstream>
#include <sstream>

#include "document/json.h"

namespace kybern {
namespace {

std::string pod_text() {
  std::ifstream in(std::string(KYBERN_SOURCE_DIR) + "/bench/data/pod.json");
  std::stringstream out;
  out << in.rdbuf();
  return to_json(parse_json(out.str())->root());  // compact, as it travels
}

void parse(benchmark::State& state) {
  std::string text = pod_text();
  for (auto _ : state) benchmark::DoNotOptimize(parse_json(text));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
  state.counters["json_bytes"] = static_cast<double>(text.size());
  state.counters["memory_per_byte"] = static_cast<double>(parse_json(text)->memory()) / static_cast<double>(text.size());
}
BENCHMARK(parse);

void serialise(benchmark::State& state) {
  std::string text = pod_text();
  Document pod = *parse_json(text);
  std::string out;
  for (auto _ : state) {
    out.clear();
    write_json(pod.root(), out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(serialise);

void change_one_field(benchmark::State& state) {
  Document pod = *parse_json(pod_text());
  for (auto _ : state) {
    Draft draft(pod);
    draft["status"]["phase"] = "Running";
    benchmark::DoNotOptimize(draft.freeze());
  }
}
BENCHMARK(change_one_field);

}  // namespace
}  // namespace kybern

BENCHMARK_MAIN();
