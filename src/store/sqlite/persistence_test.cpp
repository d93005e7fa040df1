// What is on disk after a restart; compaction; backup.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "base/testing/eventually.h"
#include "document/json.h"
#include "store/local_store.h"
#include "store/store.h"
#include "store/test_support.h"

namespace kybern::store {
namespace {

using namespace testing;

// Superseded rows go at once, a few at a time.
LocalLimits eager() {
  LocalLimits limits;
  limits.retention.min_bytes = 0;
  limits.retention.live_divisor = 1'000'000'000;
  limits.retention.slice_rows = 4;
  return limits;
}

std::int64_t number_in(const std::string& path, const char* sql) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
  sqlite3_stmt* statement = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(db, sql, -1, &statement, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
  std::int64_t n = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return n;
}

// Random writes with restarts between them; both with a log that keeps its past and with one that is compacted eagerly.
class Restarts : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Retention, Restarts, ::testing::Bool(), [](const auto& info) { return info.param ? "Eager" : "Default"; });

TEST_P(Restarts, EverythingIsAsItWas) {
  Folder folder;
  const LocalLimits limits = GetParam() ? eager() : LocalLimits();
  std::mt19937_64 random(7);
  std::map<std::string, std::string> before;
  Revision revision = 1;
  for (int round = 0; round < 8; ++round) {
    auto store = open_or_die(folder / "state.db", limits);
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(store->revision(), revision);
    EXPECT_EQ(contents(store->snapshot()), before);
    for (int i = 0; i < 60; ++i) {
      std::string key = "/k/" + std::to_string(random() % 40);
      if (random() % 3 == 0) store->commit(erase(key));
      else ASSERT_TRUE(store->commit(put(key, i, std::nullopt, random() % 9000)));
    }
    before = contents(store->snapshot());
    EXPECT_GT(store->revision(), revision);
    revision = store->revision();
  }
  auto store = open_or_die(folder / "state.db", limits);
  EXPECT_EQ(contents(store->snapshot()), before);
}

TEST(Persistence, StampsAreNotInTheBytes) {
  Folder folder;
  {
    auto store = open_or_die(folder / "state.db");
    ASSERT_TRUE(store->commit(put("/k/a", 1)));
    ASSERT_TRUE(store->commit({"/k/text", Draft("text").freeze(), std::nullopt}));
    ASSERT_TRUE(
        store->commit({"/k/own", Draft::object({{"metadata", Draft::object({{"resourceVersion", "99"}})}}).freeze(), std::nullopt}));
  }
  EXPECT_EQ(number_in(folder / "state.db", "SELECT count(*) FROM log WHERE instr(value, '\"resourceVersion\":\"                    \"')"),
            1);
  auto store = open_or_die(folder / "state.db");
  EXPECT_EQ(version_of(store->snapshot().get("/k/a")), "2");
  EXPECT_EQ(store->snapshot().get("/k/text")->value.root().as_string(), "text");
  EXPECT_EQ(version_of(store->snapshot().get("/k/own")), "99");
}

TEST(Persistence, OnlyTheOwnerMayReadTheFiles) {
  Folder folder;
  auto store = open_or_die(folder / "state.db");
  ASSERT_TRUE(store->commit(put("/secrets/a/s", 1)));
  ASSERT_TRUE(store->backup(folder / "copy.db"));
  for (const char* name : {"state.db", "state.db-wal", "copy.db"}) {
    struct stat info;
    ASSERT_EQ(stat((folder / name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
  }
}

// The newest rows are deletes, and compaction has removed them: the revision must stay.
TEST(Persistence, RevisionsDoNotGoBackWhenTheNewestRowsAreGone) {
  Folder folder;
  Revision last;
  {
    auto store = open_or_die(folder / "state.db", eager());
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(store->commit(put("/k/" + std::to_string(i), i)));
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(store->commit(erase("/k/" + std::to_string(i))));
    last = store->revision();
    EXPECT_EQ(last, 41);
  }
  const std::int64_t rows = number_in(folder / "state.db", "SELECT count(*) FROM log");
  EXPECT_LT(rows, 8) << "compaction has taken the deletes too";
  for (int round = 0; round < 3; ++round) {
    auto store = open_or_die(folder / "state.db", eager());
    EXPECT_EQ(store->revision(), last);
    EXPECT_EQ(store->snapshot().count(""), 0u);
    Result<EntryPtr> next = store->commit(put("/k/again", round));
    ASSERT_TRUE(next);
    EXPECT_EQ((*next)->revision, last + 1);
    ASSERT_TRUE(store->commit(erase("/k/again")));
    last += 2;
  }
}

TEST(Persistence, AWatchResumesAfterARestart) {
  Folder folder;
  Revision seen;
  {
    auto store = open_or_die(folder / "state.db");
    ASSERT_TRUE(store->commit(put("/k/a", 1)));
    ASSERT_TRUE(store->commit(put("/k/b", 1)));
    seen = store->revision();
    ASSERT_TRUE(store->commit(put("/k/a", 2)));
    ASSERT_TRUE(store->commit(erase("/k/b")));
    ASSERT_TRUE(store->commit(put("/k/c", 3)));
  }
  auto store = open_or_die(folder / "state.db");
  auto watch = store->watch("/k/", seen, nullptr);
  ASSERT_TRUE(watch) << why(watch);
  std::vector<ChangePtr> out;
  ASSERT_TRUE((*watch)->take(out, 10));
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(number_of(out[0]->now), 2);
  EXPECT_EQ(number_of(out[0]->before), 1);
  EXPECT_EQ(out[1]->now, nullptr);
  EXPECT_EQ(out[1]->key(), "/k/b");
  EXPECT_EQ(out[1]->revision, seen + 2);
  EXPECT_EQ(out[2]->before, nullptr);
  Result<Snapshot> then = store->snapshot_at(seen);
  ASSERT_TRUE(then) << why(then);
  EXPECT_EQ(number_of(then->get("/k/a")), 1);
  EXPECT_NE(then->get("/k/b"), nullptr);
  EXPECT_EQ(then->get("/k/c"), nullptr);
}

TEST(Persistence, WhatIsCompactedExpiresAfterARestart) {
  Folder folder;
  Revision last;
  {
    auto store = open_or_die(folder / "state.db", eager());
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(store->commit(put("/k/a", i)));
    last = store->revision();
    EXPECT_TRUE(store->watch("/k/", 2, nullptr)) << "in memory it is still there";
  }
  auto store = open_or_die(folder / "state.db", eager());
  EXPECT_EQ(store->watch("/k/", 2, nullptr).error().code, Code::expired);
  EXPECT_EQ(store->snapshot_at(2).error().code, Code::expired);
  EXPECT_TRUE(store->watch("/k/", last, nullptr));
  EXPECT_EQ(store->oldest_watchable("/other/"), store->oldest_watchable("/k/"));
}

// A tenth of the measured requirement (1 million updates of 100 leases stay under 64 MB), under a tenth of the bound.
TEST(Persistence, UpdatesOfLeasesKeepTheFileSmall) {
  Folder folder;
  LocalLimits limits;
  limits.retention.min_bytes /= 10;
  auto store = open_or_die(folder / "state.db", limits);
  constexpr int updates = 100'000, leases = 100;
  std::vector<std::thread> nodes;
  std::atomic<int> next = 0;
  std::atomic<std::int64_t> largest = 0;
  for (int t = 0; t < 48; ++t)
    nodes.emplace_back([&] {
      for (int i; (i = next++) < updates;) {
        ASSERT_TRUE(
            store->commit(put("/coordination.k8s.io/leases/kube-node-lease/node-" + std::to_string(i % leases), i, std::nullopt, 420)));
        if (i % 1000 == 0) largest = std::max<std::int64_t>(largest, store->stats().file_bytes);
      }
    });
  for (auto& t : nodes) t.join();
  EXPECT_LT(largest, (64 << 20) / 10 + (12 << 20)) << "a tenth, and the write-ahead log, which does not shrink with the number of updates";
  RecordProperty("largest_file_bytes", std::to_string(largest));
}

TEST(Persistence, FreedSpaceIsGivenBack) {
  Folder folder;
  LocalLimits limits = eager();
  limits.retention.slice_rows = 512;
  auto store = open_or_die(folder / "state.db", limits);
  constexpr int objects = 12'000;
  std::vector<std::thread> threads;
  for (bool remove : {false, true}) {
    std::atomic<int> next = 0;
    for (int t = 0; t < 32; ++t)
      threads.emplace_back([&] {
        for (int i; (i = next++) < objects;) {
          std::string key = "/k/" + std::to_string(i);
          ASSERT_TRUE(store->commit(remove ? erase(key) : put(key, i, std::nullopt, 3600)));
        }
      });
    for (auto& t : threads) t.join();
    threads.clear();
    EXPECT_GT(store->stats().file_bytes, remove ? 0 : objects * 3000ll);
  }
  EXPECT_TRUE(eventually([&] { return store->stats().file_bytes <= 40 << 20; }, "a small file", std::chrono::seconds(60)));
  store.reset();
  struct stat info;
  ASSERT_EQ(stat((folder / "state.db").c_str(), &info), 0);
  EXPECT_LT(info.st_size, 24 << 20) << "of " << (objects * 3600 >> 20) << " MiB";
}

TEST(Persistence, ABackupIsAWholeStore) {
  Folder folder;
  auto store = open_or_die(folder / "state.db");
  for (int i = 0; i < 2000; ++i) {
    if (i % 2) continue;
    ASSERT_TRUE(store->commit(put("/k/" + std::to_string(i % 100), i, std::nullopt, 3000)));
  }
  std::atomic<bool> stop = false;
  std::atomic<Revision> acknowledged = store->revision();
  const Revision before = store->revision();
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      Result<EntryPtr> done = store->commit(put("/k/" + std::to_string(i % 100), i, std::nullopt, 3000));
      ASSERT_TRUE(done) << why(done);
      acknowledged = (*done)->revision;
    }
  });
  Result<void> done = store->backup(folder / "copy.db");
  const Revision after = store->revision();
  stop = true;
  writer.join();
  ASSERT_TRUE(done) << why(done);
  EXPECT_FALSE(std::filesystem::exists(folder / "copy.db.partial"));
  done = store->backup(folder / "copy.db");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::already_exists);
  done = store->backup(folder / "nowhere/copy.db");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::unavailable);

  auto copy = open_or_die(folder / "copy.db");
  ASSERT_NE(copy, nullptr);
  EXPECT_GE(copy->revision(), before);
  EXPECT_LE(copy->revision(), after);
  Result<Snapshot> then = store->snapshot_at(copy->revision());
  ASSERT_TRUE(then) << why(then);
  EXPECT_EQ(contents(copy->snapshot()), contents(*then));
  EXPECT_TRUE(copy->commit(put("/k/0", 1)));
}

TEST(Persistence, AStoreInMemoryHasNoBackup) {
  Folder folder;
  auto store = open_or_die("");
  EXPECT_EQ(store->backup(folder / "copy.db").error().code, Code::unsupported);
}

}  // namespace
}  // namespace kybern::store
