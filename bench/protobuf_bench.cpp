// The codecs and the typed round trip over the pod of document_bench, 4.1 KB of compact JSON.
#include <benchmark/benchmark.h>

#include <fstream>
#include <sstream>

#include "document/json.h"
#include "schema/convert.h"
#include "schema/protobuf.h"

namespace kybern::schema {
namespace {

Document pod() {
  std::ifstream file(KYBERN_SOURCE_DIR "/bench/data/pod.json");
  std::stringstream text;
  text << file.rdbuf();
  auto document = parse_json(text.str());
  if (!document) { std::abort(); }
  return *document;
}

void encode(benchmark::State& state) {
  Document document = pod();
  std::size_t bytes = 0;
  for (auto _ : state) {
    auto text = encode_protobuf(document);
    bytes += text->size();
    benchmark::DoNotOptimize(text);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(encode);

void decode(benchmark::State& state) {
  std::string text = *encode_protobuf(pod());
  for (auto _ : state) {
    auto document = decode_protobuf(text);
    benchmark::DoNotOptimize(document);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size() * state.iterations()));
}
BENCHMARK(decode);

void typed(benchmark::State& state) {
  Document document = pod();
  const Type& type = *find_type("v1", "Pod");
  DecodeReport report;
  for (auto _ : state) {
    auto result = to_typed(type, document, &report);
    benchmark::DoNotOptimize(result);
  }
}
BENCHMARK(typed);

void parse(benchmark::State& state) {
  std::string text = to_json(pod().root());
  for (auto _ : state) {
    auto document = parse_json(text);
    benchmark::DoNotOptimize(document);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size() * state.iterations()));
}
BENCHMARK(parse);

}  // namespace
}  // namespace kybern::schema

BENCHMARK_MAIN();
