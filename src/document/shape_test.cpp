#include "document/shape.h"

#include <gtest/gtest.h>

#include "document/json.h"

namespace kybern {
namespace {

Shape128 shape(std::string_view json) { return shape_of(parse_json(json)->root()); }

TEST(Shape, LeavesOutPlainValues) {
  EXPECT_EQ(shape(R"({"metadata":{"name":"a","labels":{"x":"1"}},"n":3})"),
            shape(R"({"metadata":{"name":"bcd","labels":{"x":"other than before, and longer"}},"n":77})"));
}

TEST(Shape, TellsApart) {
  // Pairs that own different fields.
  const std::pair<const char*, const char*> rows[] = {
      {R"({"a":1})", R"({"b":1})"},
      {R"({"a":1})", R"({"a":0})"},
      {R"({"a":"x"})", R"({"a":""})"},
      {R"({"a":true})", R"({"a":false})"},
      {R"({"a":1.5})", R"({"a":0.0})"},
      {R"({"a":1})", R"({"a":null})"},
      {R"({"a":1})", R"({"a":{}})"},
      {R"({"a":[]})", R"({"a":{}})"},
      {R"({"a":{"no.such.name":1}})", R"({"a":{"no.such.namf":1}})"},
      {R"({"a":[{"name":"x"}]})", R"({"a":[{"name":"y"}]})"},
      {R"({"a":[1,2]})", R"({"a":[2,1]})"},
      {R"({"a":[{"b":{"c":"x"}}]})", R"({"a":[{"b":{"c":"z"}}]})"},
      {R"({"a":[{"name":"x"}],"b":1})", R"({"a":[{"name":"x"},{"b":1}]})"},
      {R"({"a":["bc"]})", R"({"a":["b","c"]})"},
      {R"({"a":[9007199254740993]})", R"({"a":[9007199254740992]})"},
      {R"({"a":{"b":1},"c":1})", R"({"a":{"b":1,"c":1}})"},
  };
  for (const auto& [one, other] : rows) EXPECT_FALSE(shape(one) == shape(other)) << one << " " << other;
}

}  // namespace
}  // namespace kybern
