#include "machinery/apply/field_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "document/json.h"

namespace kybern::apply {
namespace {

// The keys of a list's items are written in the order of their values, whatever their texts' order is.
TEST(FieldSets, ItemsAreWrittenInTheOrderOfTheirKeys) {
  struct Row {
    std::vector<std::string> written;
  };
  for (const Row& row : std::vector<Row>{
           {{R"(k:{"name":"A"})", R"(k:{"name":"AB"})", R"(k:{"name":"B"})"}},
           {{R"(k:{"name":"a"})", R"(k:{"name":"a b"})", R"(k:{"name":"a!"})",
             R"(k:{"name":"ab"})"}},  // a space and ! come before the quote
           {{R"(k:{"name":"a"})", R"(k:{"name":"a\"b"})", R"(k:{"name":"a-b"})"}},
           {{R"(k:{"port":9,"protocol":"TCP"})", R"(k:{"port":80,"protocol":"TCP"})", R"(k:{"port":80,"protocol":"UDP"})"}},
           {{R"(k:{"ip":"10.0.0.1"})", R"(k:{"name":"a"})"}},
           {{R"(v:"x")", R"(v:"y")"}},
           {{"f:a", R"(k:{"name":"a"})", R"(v:1)", R"(i:2)", R"(i:10)"}},
       }) {
    std::vector<std::string> order(row.written);
    std::sort(order.begin(), order.end());
    do {
      FieldSet set;
      for (const std::string& element : order) set.insert({"f:list", element});
      Document fields = fields_v1(set);
      std::vector<std::string> got;
      for (Member m : fields["f:list"].members()) got.emplace_back(m.key);
      EXPECT_EQ(got, row.written);
    } while (row.written.size() < 5 && std::next_permutation(order.begin(), order.end()));
  }
}

}  // namespace
}  // namespace kybern::apply
