// The first byte's bits choose; then any bytes as an expression: it compiles or not, and ends within its budget.
#include "document/json.h"
#include "machinery/cel/cel.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace kybern;
  static const Document object = *parse_json(R"({"a": [1, "b", null, {"c": 1.5}], "s": "text", "m": {"k": "v"}})");
  cel::Environment environment;
  environment.declare("self", &cel::types::dyn);
  auto program = cel::Program::compile(environment, {reinterpret_cast<const char*>(data), size});
  if (program) {
    cel::Val values[] = {cel::Program::value(object.root())};
    program->evaluate(values, 10000, true);
  }
  return 0;
}
