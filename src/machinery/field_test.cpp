#include "machinery/field.h"

#include <gtest/gtest.h>

#include "document/json.h"

namespace kybern {
namespace {

std::string said(std::string_view at, std::string_view json) {
  auto value = parse_json(json);
  EXPECT_TRUE(value) << json;
  Path path(at);
  return field::invalid(path, value ? value->root() : Value(), "wrong").message();
}

TEST(Field, ShowsBadValuesAsJson) {
  struct Row {
    std::string_view at, json, said;
  } rows[] = {
      {"spec.a", R"("x\"y")", R"(Invalid value: "x\"y": wrong)"},
      {"spec.a", "7", "Invalid value: 7: wrong"},
      {"spec.a", "null", "Invalid value: null: wrong"},
      {"spec.a", R"(["b","a"])", R"(Invalid value: ["b","a"]: wrong)"},
      // A struct has its fields in their order, a map its keys in theirs.
      {"spec.selector", R"({"matchLabels":{"b":"x","-a":"y"},"matchExpressions":[{"key":"k","operator":"In"}]})",
       R"(Invalid value: {"matchLabels":{"-a":"y","b":"x"},"matchExpressions":[{"key":"k","operator":"In"}]}: wrong)"},
      {"spec.template.metadata.labels", R"({"b":"x","a":"y"})", R"(Invalid value: {"a":"y","b":"x"}: wrong)"},
      {"labels", R"({"b":"x","a":"y"})", R"(Invalid value: {"a":"y","b":"x"}: wrong)"},
  };
  for (const Row& row : rows) EXPECT_EQ(said(row.at, row.json), row.said);
  EXPECT_EQ(field::invalid(Path("a"), Value(), "wrong").message(), "Invalid value: null: wrong");
}

}  // namespace
}  // namespace kybern
