// A rule as custom resources have them, evaluated on an object of theirs.
#include <benchmark/benchmark.h>

#include "document/json.h"
#include "machinery/cel/cel.h"

namespace {

using namespace kybern;

struct Rule {
  explicit Rule(std::string_view text)
      : object(*parse_json(R"({"replicas":3,"maxReplicas":5,"name":"web","list":[1,2,3,4,5,6,7,8,9,10]})")) {
    cel::Type* self = pool.make(cel::TypeKind::object);
    self->name = "self";
    self->fields = {{"list", "list", pool.list(&cel::types::integer)},
                    {"maxReplicas", "maxReplicas", &cel::types::integer},
                    {"name", "name", &cel::types::string},
                    {"replicas", "replicas", &cel::types::integer}};
    cel::Environment environment;
    environment.declare("self", self);
    program.emplace(std::move(*cel::Program::compile(environment, text)));
    values[0] = cel::Program::value(object.root(), self);
  }
  cel::TypePool pool;
  Document object;
  std::optional<cel::Program> program;
  cel::Val values[1];
};

void evaluate(benchmark::State& state, std::string_view text) {
  Rule rule(text);
  for (auto _ : state) benchmark::DoNotOptimize(rule.program->evaluate(rule.values).truth);
  state.counters["program_bytes"] = static_cast<double>(rule.program->memory());
}
BENCHMARK_CAPTURE(evaluate, comparison, "self.replicas <= self.maxReplicas");
BENCHMARK_CAPTURE(evaluate, ten_items, "self.list.all(x, x < 100)");
BENCHMARK_CAPTURE(evaluate, pattern, "self.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')");

void compile(benchmark::State& state) {
  cel::Environment environment;
  environment.declare("self", &cel::types::dyn);
  for (auto _ : state)
    benchmark::DoNotOptimize(
        cel::Program::compile(environment, "self.replicas <= self.maxReplicas && self.list.all(x, x < 100)").has_value());
}
BENCHMARK(compile);

}  // namespace

BENCHMARK_MAIN();
