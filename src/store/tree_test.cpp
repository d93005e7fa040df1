#include "store/tree.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "store/snapshot_access.h"

namespace kybern::store {
namespace {

using Model = std::map<std::string, Revision>;

EntryPtr entry(const std::string& key, Revision revision) { return std::make_shared<const Entry>(Entry{key, Document(), revision}); }

// Keys with long common beginnings, some the beginning of others.
std::string random_key(std::mt19937_64& random, unsigned spread) {
  static const char* resources[] = {"/pods/", "/pods/default/", "/apps/deployments/", "/nodes/", "/p"};
  std::string key = resources[random() % 5] + std::to_string(random() % spread);
  if (random() % 4 == 0) key += "/" + std::to_string(random() % 10);
  if (random() % 16 == 0) key += '\xff';
  return key;
}

Model read(const Tree& tree) {
  Model all;
  std::string last;
  tree.scan("", [&](const EntryPtr& e) {
    EXPECT_TRUE(all.empty() || last < e->key);
    last = e->key;
    all[e->key] = e->revision;
    return true;
  });
  return all;
}

TEST(Tree, EmptyHasNothing) {
  Tree tree;
  EXPECT_EQ(tree.size(), 0u);
  EXPECT_EQ(tree.get("/a"), nullptr);
  EXPECT_EQ(tree.erase("/a"), nullptr);
  EXPECT_EQ(tree.at_or_after(""), nullptr);
  EXPECT_EQ(tree.after(""), nullptr);
  EXPECT_EQ(tree.rank("/a"), 0u);
  EXPECT_EQ(tree.rank_behind("/a"), 0u);
}

// A seed per row: growing, shrinking and steady trees, with copies taken on the way that must not change.
struct Mix {
  std::uint64_t seed;
  unsigned spread;
  unsigned put_percent;
  int operations;
};
class TreeAgainstMap : public ::testing::TestWithParam<Mix> {};

TEST_P(TreeAgainstMap, Agrees) {
  const Mix mix = GetParam();
  std::mt19937_64 random(mix.seed);
  Tree tree;
  Model model;
  std::vector<std::pair<Tree, Model>> kept;
  for (int i = 1; i <= mix.operations; ++i) {
    // The share of puts turns round in the second half, so that nodes are joined again.
    unsigned puts = i * 2 < mix.operations ? mix.put_percent : 100 - mix.put_percent;
    std::string key = random_key(random, mix.spread);
    auto at = model.find(key);
    const Revision had = at == model.end() ? 0 : at->second;
    EntryPtr was;
    if (random() % 100 < puts) {
      was = tree.put(entry(key, i));
      model[key] = i;
    } else {
      was = tree.erase(key);
      model.erase(key);
    }
    ASSERT_EQ(was ? was->revision : 0, had) << key;
    EntryPtr now = tree.get(key);
    ASSERT_EQ(now ? now->revision : 0, model.contains(key) ? model[key] : 0) << key;
    ASSERT_EQ(tree.size(), model.size());
    if (i % (mix.operations / 16) == 0) {
      tree.check_invariants();
      kept.emplace_back(tree, model);
    }
    if (i % 64 == 0) {
      std::string probe = random_key(random, mix.spread);
      auto lower = model.lower_bound(probe);
      EntryPtr found = tree.at_or_after(probe);
      ASSERT_EQ(found ? found->key : "", lower == model.end() ? "" : lower->first);
      ASSERT_EQ(tree.rank(probe), static_cast<std::size_t>(std::distance(model.begin(), lower)));
      auto upper = model.upper_bound(probe);
      found = tree.after(probe);
      ASSERT_EQ(found ? found->key : "", upper == model.end() ? "" : upper->first);
      std::size_t with_prefix = 0;
      for (auto it = lower; it != model.end() && it->first.starts_with(probe); ++it) ++with_prefix;
      ASSERT_EQ(tree.rank_behind(probe), tree.rank(probe) + with_prefix);
    }
  }
  for (const auto& [old_tree, old_model] : kept) {
    old_tree.check_invariants();
    ASSERT_EQ(read(old_tree), old_model);
  }
  while (!model.empty()) {
    ASSERT_NE(tree.erase(model.begin()->first), nullptr);
    model.erase(model.begin());
    if (model.size() % 97 == 0) tree.check_invariants();
  }
  EXPECT_EQ(tree.size(), 0u);
  EXPECT_EQ(tree.memory(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Mixes, TreeAgainstMap,
                         ::testing::Values(Mix{1, 50, 60, 4000}, Mix{2, 5000, 80, 20000}, Mix{3, 100000, 95, 30000}, Mix{4, 300, 50, 20000},
                                           Mix{5, 20, 50, 3000}, Mix{6, 2000, 70, 40000}));

TEST(Tree, BuildEqualsPuts) {
  for (std::size_t n : {0u, 1u, 31u, 32u, 33u, 1023u, 1024u, 1025u, 1056u, 1057u, 32769u, 40000u}) {
    std::vector<EntryPtr> sorted;
    char key[32];
    for (std::size_t i = 0; i < n; ++i) {
      snprintf(key, sizeof key, "/pods/%08zu", i);
      sorted.push_back(entry(key, static_cast<Revision>(i)));
    }
    Tree tree = Tree::build(sorted);
    tree.check_invariants();
    ASSERT_EQ(tree.size(), n);
    std::size_t i = 0;
    tree.scan("", [&](const EntryPtr& e) { return e == sorted[i++]; });
    ASSERT_EQ(i, n);
    tree.put(entry("/pods/00000000x", 1));
    tree.check_invariants();
    ASSERT_EQ(tree.size(), n + 1);
  }
}

TEST(Tree, KeysInOrderFillTheirNodes) {
  Tree tree;
  char key[32];
  for (int i = 0; i < 32000; ++i) {
    snprintf(key, sizeof key, "/pods/%08d", i);
    tree.put(entry(key, i));
  }
  EXPECT_LT(static_cast<double>(tree.memory()) / 32000, 20) << "a pointer is 16 bytes, and the nodes above them are few";
}

TEST(Tree, CopiesMayBeReadAndDroppedOnOtherThreads) {
  Tree tree;
  for (int i = 0; i < 5000; ++i) tree.put(entry("/k/" + std::to_string(i), 0));
  std::vector<std::thread> readers;
  std::mutex mutex;
  Tree published = tree;
  std::atomic<bool> done = false;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      while (!done) {
        Tree mine;
        {
          std::lock_guard lock(mutex);
          mine = published;
        }
        Revision first = -1;
        mine.scan("", [&](const EntryPtr& e) {
          if (first < 0) first = e->revision;
          EXPECT_EQ(e->revision, first) << "a copy holds one state, not a mixture";
          return true;
        });
      }
    });
  }
  for (int round = 1; round <= 20; ++round) {
    for (int i = 0; i < 5000; ++i) tree.put(entry("/k/" + std::to_string(i), round));
    std::lock_guard lock(mutex);
    published = tree;
  }
  done = true;
  for (auto& t : readers) t.join();
}

TEST(Snapshot, CountsAndScansByPrefix) {
  auto tree = std::make_shared<Tree>();
  for (const char* key : {"/nodes/a", "/pods/a/1", "/pods/a/2", "/pods/ab/1", "/pods/b/1", "/podsets/a/1"}) tree->put(entry(key, 1));
  Snapshot s = SnapshotAccess::make(tree, 7);
  struct Row {
    const char *prefix, *key;
    std::size_t count, count_after;
    const char* next;
  };
  const Row rows[] = {
      {"", "", 6, 6, "/nodes/a"},
      {"/pods/", "", 4, 4, "/pods/a/1"},
      {"/pods/", "/pods/a/1", 4, 3, "/pods/a/2"},
      {"/pods/", "/pods/a/15", 4, 3, "/pods/a/2"},
      {"/pods/", "/pods/b/1", 4, 0, ""},
      {"/pods/", "/zzz", 4, 0, ""},
      {"/pods/", "/nodes/a", 4, 4, "/pods/a/1"},
      {"/pods/a/", "/pods/a/1", 2, 1, "/pods/a/2"},
      {"/pods/a/", "/pods/a/2", 2, 0, ""},
      {"/pods/a", "", 3, 3, "/pods/a/1"},
      {"/pods/b/1", "", 1, 1, "/pods/b/1"},
      {"/pods/b/1", "/pods/b/1", 1, 0, ""},
      {"/secrets/", "", 0, 0, ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.prefix) + " after " + row.key);
    EXPECT_EQ(s.count(row.prefix), row.count);
    EXPECT_EQ(s.count_after(row.prefix, row.key), row.count_after);
    EntryPtr next = s.next(row.prefix, row.key);
    EXPECT_EQ(next ? next->key : "", row.next);
    std::size_t scanned = 0;
    s.scan(row.prefix, row.key, [&](const EntryPtr&) { return ++scanned, true; });
    EXPECT_EQ(scanned, row.count_after + (s.get(row.key) && std::string_view(row.key).starts_with(row.prefix) ? 1 : 0));
  }
  EXPECT_EQ(Snapshot().count(""), 0u);
  EXPECT_EQ(Snapshot().next("", ""), nullptr);
}

}  // namespace
}  // namespace kybern::store
