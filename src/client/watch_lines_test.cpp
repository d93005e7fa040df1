#include "client/watch_lines.h"

#include <gtest/gtest.h>

#include "document/json.h"

namespace kybern::client {
namespace {

TEST(WatchLines, PiecesOfAnySize) {
  const std::string text =
      "{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n{\"type\":\"DELETED\",\"object\":{\"a\":2}}\n\n"
      "{\"type\":\"BOOKMARK\",\"object\":{\"a\":3}}\r\n{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n{\"type\":";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    WatchLines lines;
    std::vector<WatchLine> all;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      auto out = lines.feed(std::string_view(text).substr(at, piece));
      ASSERT_TRUE(out);
      for (WatchLine& line : *out) all.push_back(std::move(line));
    }
    ASSERT_EQ(all.size(), 4u) << piece;
    EXPECT_EQ(all[0].type, WatchLine::Type::put);
    EXPECT_EQ(all[1].type, WatchLine::Type::erased);
    EXPECT_EQ(all[2].type, WatchLine::Type::bookmark);
    EXPECT_EQ(all[3].type, WatchLine::Type::error);
    EXPECT_EQ(all[1].object["a"].as_int(), 2);
  }
}

TEST(WatchLines, RefusesWhatIsNoEvent) {
  for (const char* bad :
       {"x\n", "{}\n", "{\"type\":\"NEW\",\"object\":{}}\n", "{\"type\":\"ADDED\"}\n", "{\"type\":\"ADDED\",\"object\":1}\n"}) {
    WatchLines lines;
    EXPECT_FALSE(lines.feed(bad)) << bad;
  }
}

TEST(WatchLines, ListItemsGetTheirKind) {
  auto list = parse_json(R"({"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a"}},{"kind":"X","apiVersion":"y/v1"}]})");
  std::vector<Document> out;
  append_list_items(*list, out);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(to_json(out[0].root()), R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}})");
  EXPECT_EQ(to_json(out[1].root()), R"({"kind":"X","apiVersion":"y/v1"})");
  EXPECT_FALSE(out[0].same_block(*list));
}

}  // namespace
}  // namespace kybern::client
