#include "apiserver/registry/hot_texts.h"

#include <gtest/gtest.h>

#include "document/json.h"

namespace kybern::apiserver {
namespace {

store::EntryPtr entry(std::string key, store::Revision revision, std::string text) {
  return std::make_shared<store::Entry>(store::Entry{std::move(key), Draft::object({{"text", Draft(text)}}).freeze(), revision});
}

TEST(HotTexts, EveryAnswerIsTheEntrysOwn) {
  HotTexts texts;
  auto first = entry("/pods/a/b", 1, "one"), second = entry("/pods/a/b", 2, "two"), other = entry("/pods/a/c", 1, "other");
  for (int round = 0; round < 4; ++round)
    for (const auto& e : {first, first, first, second, other, second, second, first}) EXPECT_EQ(texts.of(e), to_json(e->value.root()));
}

TEST(HotTexts, MoreThanThereIsRoomForIsAnsweredAllTheSame) {
  HotTexts texts;
  std::vector<store::EntryPtr> many;
  for (int i = 0; i < 400; ++i)
    many.push_back(entry("/configmaps/a/" + std::to_string(i), i + 1, std::string(30000, static_cast<char>('a' + i % 26))));
  for (int round = 0; round < 3; ++round)
    for (const auto& e : many) ASSERT_EQ(texts.of(e), to_json(e->value.root()));
  // What is kept of 12 MB is at most 4: the others' entries have no owner but us.
  std::size_t kept = 0;
  for (const auto& e : many) kept += e.use_count() > 1;
  EXPECT_GT(kept, 0u);
  EXPECT_LE(kept * 30000, HotTexts::max_bytes);
}

}  // namespace
}  // namespace kybern::apiserver
