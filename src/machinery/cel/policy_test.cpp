#include "machinery/cel/policy.h"

#include <gtest/gtest.h>

#include "document/json.h"
#include "machinery/cel/test_support.h"

namespace kybern::cel {
namespace {

using test::json;

TEST(CelPolicy, SaysWhatDoesNotCompile) {
  struct Row {
    const char* text;
    Wanted wanted;
    const char* error;
  };
  const Row rows[] = {
      {"object.spec.replicas <= 3", Wanted::boolean, ""},
      {"object.spec.paused", Wanted::boolean, "must evaluate to bool"},
      {"params.max > 1", Wanted::boolean,
       "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.max > 1\n | ^"},
      {"'a'", Wanted::string, ""},
      {"1", Wanted::string_or_null, "must evaluate to one of [string null_type]"},
      {"null", Wanted::string_or_null, ""},
      {"Object{spec: Object.spec{replicas: 3}}", Wanted::object, ""},
      {"Object.spec{replicas: 3}", Wanted::object, "must evaluate to Object"},
      {"Object{spec: Object.spec{replicas: 3}} != null", Wanted::boolean,
       "compilation failed: ERROR: <input>:1:7: undeclared reference to 'Object' (in container '')\n | Object{spec: Object.spec{replicas: "
       "3}} != null\n | ......^"},
      {"[JSONPatch{op: 'add', path: '/a', value: 1}]", Wanted::json_patches, ""},
      {"[1]", Wanted::json_patches, "must evaluate to list(JSONPatch)"},
      {"variables.x", Wanted::any,
       "compilation failed: ERROR: <input>:1:1: undeclared reference to 'variables' (in container '')\n | variables.x\n | ^"},
  };
  for (const Row& row : rows) {
    PolicyCompiler compiler(false);
    std::string error = compiler.compile(row.text, row.wanted).error;
    // Of a message upstream counts the column of the brace; the rest is compared.
    if (std::string_view(row.error).find("'Object'") != std::string_view::npos)
      EXPECT_NE(error.find("undeclared reference to 'Object' (in container '')"), std::string::npos) << error;
    else EXPECT_EQ(error, row.error) << row.text;
  }
  PolicyCompiler compiler(false);
  EXPECT_NE(compiler.compile("string(authorizer.path('/x').check('get').allowed())", Wanted::string, false).error, "");
}

TEST(CelPolicy, VariablesAreFoundOnceAndOnlyWhenAsked) {
  PolicyCompiler compiler(true);
  compiler.add_variable("names", "object.spec.items.map(i, i.name)");
  compiler.add_variable("count", "size(variables.names)");
  compiler.add_variable("broken", "object.missing.field");
  compiler.add_variable("wrong", "1 + 'a'");
  Document object = json(R"({"spec":{"items":[{"name":"a"},{"name":"b"}]}})"), params = json(R"({"max":2})");
  PolicyRun run(compiler, {{object, {}, {}}, {}, params}, policy_limit);
  auto first = run.evaluate(compiler.compile("variables.count <= params.max && 'a' in variables.names", Wanted::boolean));
  EXPECT_EQ(first.error, "");
  EXPECT_TRUE(first.outcome.truth);
  std::uint64_t spent = policy_limit - run.remaining();
  auto second = run.evaluate(compiler.compile("variables.count <= params.max && 'a' in variables.names", Wanted::boolean));
  EXPECT_TRUE(second.outcome.truth);
  EXPECT_LT(policy_limit - run.remaining() - spent, spent);
  auto text = run.evaluate(compiler.compile("variables.names[1] + string(variables.count)", Wanted::string));
  EXPECT_EQ(text.outcome.text, "b2");
  EXPECT_EQ(run.evaluate(compiler.compile("variables.broken == 1", Wanted::boolean)).error,
            "expression 'variables.broken == 1' resulted in error: composited variable \"broken\" fails to evaluate: no such key: missing");
  EXPECT_EQ(run.evaluate(compiler.compile("variables.wrong == 1", Wanted::boolean)).error.substr(0, 107),
            "expression 'variables.wrong == 1' resulted in error: composited variable \"wrong\" fails to compile: compilat");
  EXPECT_NE(compiler.compile("variables.none == 1", Wanted::boolean).error.find("undefined field 'none'"), std::string::npos);
}

TEST(CelPolicy, BudgetIsShared) {
  PolicyCompiler compiler(false);
  Document object = json("{}");
  PolicyRun run(compiler, {{object, {}, {}}, {}, {}}, 30);
  Expression costs = compiler.compile("[1, 2].all(x, x > 0)", Wanted::boolean);
  EXPECT_EQ(run.evaluate(costs).error, "");
  auto last = run.evaluate(costs);
  EXPECT_TRUE(last.out_of_budget);
  EXPECT_EQ(last.error, out_of_budget_message);
}

TEST(CelPolicy, MakesConfigurationsAndPatches) {
  PolicyCompiler compiler(false);
  Document object = json(R"({"metadata":{"labels":{"a/b":"x"}}})");
  PolicyRun run(compiler, {{object, {}, {}}, {}, {}}, policy_limit);
  auto made = run.evaluate(
      compiler.compile(
          "Object{metadata: Object.metadata{labels: {'a': 'b'}}, spec: Object.spec{containers: [Object.spec.containers{name: 'c'}]}}",
          Wanted::object),
      true);
  EXPECT_EQ(made.error, "");
  EXPECT_EQ(to_json(made.outcome.document.root()), R"({"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c"}]}})");
  EXPECT_EQ(made.outcome.mismatch, "");
  auto wrong = run.evaluate(compiler.compile("Object{spec: Object.spec{selector: Object.spec.wrong{a: 1}}}", Wanted::object), true);
  EXPECT_EQ(
      wrong.outcome.mismatch,
      R"(unexpected type name "Object.spec.wrong", expected "Object.spec.selector", which matches field name path from root Object type)");
  auto patch = run.evaluate(
      compiler.compile("[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('c/d~'), value: Object.spec{x: 1}}]",
                       Wanted::json_patches),
      true);
  EXPECT_EQ(to_json(patch.outcome.document.root()), R"([{"op":"add","path":"/metadata/labels/c~1d~0","value":{"x":1}}])");
  EXPECT_EQ(patch.outcome.mismatch, "");
}

}  // namespace
}  // namespace kybern::cel
