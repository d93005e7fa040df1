// What the contract in store.h says, in memory and on disk alike.
#include "store/store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "document/json.h"
#include "store/changed_at.h"
#include "store/test_support.h"

namespace kybern::store {
namespace {

using namespace testing;

class Stores : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { store_ = open_or_die(GetParam() ? folder_ / "state.db" : ""); }
  std::string path() const { return folder_ / "state.db"; }

  Folder folder_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, Stores, ::testing::Bool(), [](const auto& info) { return info.param ? "OnDisk" : "InMemory"; });

TEST_P(Stores, ANewStoreHasARevisionThatIsNotZero) {
  EXPECT_EQ(store_->revision(), 1);
  EXPECT_EQ(store_->snapshot().revision(), 1);
  EXPECT_EQ(store_->snapshot().count(""), 0u);
  Result<EntryPtr> first = store_->commit(put("/pods/a/x", 1));
  ASSERT_TRUE(first) << why(first);
  EXPECT_EQ((*first)->revision, 2);
}

TEST_P(Stores, TellsWhenAResourceLastChanged) {
  const Revision at_first = changed_at(*store_, "/pods/");
  Result<EntryPtr> pod = store_->commit(put("/pods/a/x", 1));
  ASSERT_TRUE(pod) << why(pod);
  EXPECT_EQ(changed_at(*store_, "/pods/"), (*pod)->revision);
  EXPECT_EQ(changed_at(*store_, "/nodes/"), at_first);
  Result<EntryPtr> node = store_->commit(put("/nodes/n", 1));
  ASSERT_TRUE(node) << why(node);
  EXPECT_EQ(changed_at(*store_, "/nodes/"), (*node)->revision);
  EXPECT_EQ(changed_at(*store_, "/pods/"), (*pod)->revision);
  Result<EntryPtr> gone = store_->commit({"/pods/a/x", std::nullopt, std::nullopt});
  ASSERT_TRUE(gone) << why(gone);
  EXPECT_EQ(changed_at(*store_, "/pods/a/"), (*gone)->revision);
}

TEST_P(Stores, PutStampsTheRevision) {
  Document kept = object("x", 5);  // the caller keeps an owner of the block: the store must not stamp that one
  Result<EntryPtr> done = store_->commit({"/pods/a/x", kept, 0});
  ASSERT_TRUE(done) << why(done);
  EXPECT_EQ(version_of(*done), std::to_string((*done)->revision));
  EXPECT_EQ(kept["metadata"]["resourceVersion"].as_string(), Document::stamp_blank());
  EXPECT_EQ(store_->snapshot().get("/pods/a/x"), *done);
  EXPECT_EQ(store_->revision(), (*done)->revision);

  Draft other = Draft::object({{"metadata", Draft::object({{"resourceVersion", "17"}})}});
  done = store_->commit({"/pods/a/y", other.freeze(), std::nullopt});
  ASSERT_TRUE(done) << why(done);
  EXPECT_EQ(version_of(*done), "17") << "only a blank is stamped";
  done = store_->commit({"/pods/a/z", Draft("just a text").freeze(), std::nullopt});
  ASSERT_TRUE(done) << why(done);
}

// One key "/k/a" at revision 2, one removed at revision 4 ("/k/gone"); then one write.
TEST_P(Stores, ExpectationsAreKept) {
  struct Row {
    bool put;
    const char* key;
    std::optional<Revision> expected;
    std::optional<Code> code;
  };
  const Row rows[] = {
      {true, "/k/a", std::nullopt, std::nullopt},
      {true, "/k/a", 2, std::nullopt},
      {true, "/k/a", 1, Code::conflict},
      {true, "/k/a", 3, Code::conflict},
      {true, "/k/a", 0, Code::already_exists},
      {true, "/k/new", 0, std::nullopt},
      {true, "/k/new", std::nullopt, std::nullopt},
      {true, "/k/new", 2, Code::conflict},
      {true, "/k/gone", 0, std::nullopt},
      {true, "/k/gone", 3, Code::conflict},
      {true, "/k/gone", 4, Code::conflict},
      {false, "/k/a", std::nullopt, std::nullopt},
      {false, "/k/a", 2, std::nullopt},
      {false, "/k/a", 1, Code::conflict},
      {false, "/k/a", 0, Code::conflict},
      {false, "/k/gone", std::nullopt, Code::not_found},
      {false, "/k/gone", 4, Code::not_found},
      {false, "/k/new", 0, Code::not_found},
      {true, "", std::nullopt, Code::invalid},
      {true, "k/a", std::nullopt, Code::invalid},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.put ? "put " : "delete ") + row.key + " expecting " +
                 (row.expected ? std::to_string(*row.expected) : "anything"));
    store_.reset();
    if (GetParam()) std::filesystem::remove(path());
    SetUp();
    ASSERT_TRUE(store_->commit(put("/k/a", 1)));
    ASSERT_TRUE(store_->commit(put("/k/gone", 1)));
    ASSERT_TRUE(store_->commit(erase("/k/gone")));
    Result<EntryPtr> done = store_->commit(row.put ? put(row.key, 2, row.expected) : erase(row.key, row.expected));
    if (row.code) {
      ASSERT_FALSE(done);
      EXPECT_EQ(done.error().code, *row.code) << done.error().message;
      EXPECT_EQ(store_->revision(), 4) << "a refused write uses no revision";
      EXPECT_EQ(number_of(store_->snapshot().get("/k/a")), 1);
    } else {
      ASSERT_TRUE(done) << why(done);
      EXPECT_EQ((*done)->revision, 5);
      EXPECT_EQ(store_->revision(), 5);
      EntryPtr now = store_->snapshot().get(row.key);
      EXPECT_EQ(now, row.put ? *done : nullptr);
      EXPECT_EQ(number_of(*done), row.put ? 2 : 1) << "a delete gives what was there";
    }
  }
}

TEST_P(Stores, AValueAboveTheLimitIsRefused) {
  StoreOptions options;
  options.path = GetParam() ? folder_ / "small.db" : "";
  options.max_value_bytes = 1000;
  auto store = Store::open(options);
  ASSERT_TRUE(store) << why(store);
  EXPECT_TRUE((*store)->commit(put("/k/a", 1, std::nullopt, 900)));
  Result<EntryPtr> done = (*store)->commit(put("/k/a", 2, std::nullopt, 1100));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::too_large);
  EXPECT_NE(done.error().message.find("1000"), std::string::npos) << done.error().message;
  EXPECT_EQ(number_of((*store)->snapshot().get("/k/a")), 1);
}

// What a later start could not read would keep the whole store from opening.
TEST_P(Stores, TextThatIsNotUtf8IsRefused) {
  for (std::string_view text : {"\xff", "cut in \xd0", "\xed\xa0\x80", "twelve bytes\xc0\x80 and more"}) {
    Draft value = Draft::object();
    value["message"] = text;
    Result<EntryPtr> done = store_->commit({"/k/bad", value.freeze(), 0});
    ASSERT_FALSE(done) << text;
    EXPECT_EQ(done.error().code, Code::invalid);
  }
  EXPECT_FALSE(store_->snapshot().get("/k/bad"));
  Draft value = Draft::object();
  value["message"] = "\xd0\xb4\xd0\xb0, twelve bytes and \xf0\x9f\x8e\x89";
  EXPECT_TRUE(store_->commit({"/k/good", value.freeze(), 0}));
}

TEST_P(Stores, SnapshotsStayAsTheyWere) {
  std::vector<Snapshot> snapshots;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(store_->commit(put("/k/" + std::to_string(i % 10), i)));
    snapshots.push_back(store_->snapshot());
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(snapshots[i].revision(), i + 2);
    EXPECT_EQ(snapshots[i].count("/k/"), std::min<std::size_t>(i + 1, 10));
    EXPECT_EQ(number_of(snapshots[i].get("/k/" + std::to_string(i % 10))), i);
  }
}

TEST_P(Stores, SnapshotAtAnOlderRevisionIsExact) {
  std::map<std::string, std::int64_t> model;
  std::vector<std::map<std::string, std::int64_t>> at(2);
  for (int i = 0; i < 300; ++i) {
    std::string key = (i % 3 ? "/pods/a/" : "/nodes/") + std::to_string(i * 7 % 23);
    if (i % 5 == 0 && model.contains(key)) {
      ASSERT_TRUE(store_->commit(erase(key)));
      model.erase(key);
    } else {
      ASSERT_TRUE(store_->commit(put(key, i)));
      model[key] = i;
    }
    at.push_back(model);
  }
  auto read = [](const Snapshot& s, std::string_view prefix) {
    std::map<std::string, std::int64_t> all;
    s.scan(prefix, "", [&](const EntryPtr& e) { return all[e->key] = number_of(e), true; });
    return all;
  };
  for (int round = 0; round < 2; ++round) {
    for (Revision r = store_->revision(); r >= 1; r -= 7) {
      Result<Snapshot> s = store_->snapshot_at(r);
      ASSERT_TRUE(s) << why(s);
      EXPECT_EQ(s->revision(), r);
      EXPECT_EQ(read(*s, ""), at[static_cast<std::size_t>(r)]) << r;
      s = store_->snapshot_at(r, "/pods/a/");
      ASSERT_TRUE(s) << why(s);
      std::map<std::string, std::int64_t> pods;
      for (const auto& [k, v] : at[static_cast<std::size_t>(r)])
        if (k.starts_with("/pods/")) pods[k] = v;
      EXPECT_EQ(read(*s, "/pods/"), pods) << r;
    }
  }
  EXPECT_EQ(store_->snapshot_at(0).error().code, Code::expired);
  EXPECT_EQ(store_->snapshot_at(store_->revision() + 1).error().code, Code::invalid);
}

TEST_P(Stores, AWatchSeesEachChangeUnderItsPrefix) {
  Revision start = store_->revision();
  auto pods = store_->watch("/pods/", start, nullptr);
  auto one_namespace = store_->watch("/pods/a/", start, nullptr);
  auto one_pod = store_->watch("/pods/a/x", start, nullptr);
  auto nodes = store_->watch("/nodes/", start, nullptr);
  ASSERT_TRUE(pods && one_namespace && one_pod && nodes);
  EntryPtr x1 = *store_->commit(put("/pods/a/x", 1));
  EntryPtr y1 = *store_->commit(put("/pods/b/y", 1));
  EntryPtr x2 = *store_->commit(put("/pods/a/x", 2));
  EntryPtr gone = *store_->commit(erase("/pods/a/x"));
  auto take = [](auto& watch, std::size_t max = 100) {
    std::vector<ChangePtr> out;
    Result<void> done = (*watch)->take(out, max);
    EXPECT_TRUE(done) << why(done);
    return out;
  };
  auto all = take(pods);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0]->now, x1);
  EXPECT_EQ(all[0]->before, nullptr);
  EXPECT_EQ(all[1]->now, y1);
  EXPECT_EQ(all[2]->now, x2);
  EXPECT_EQ(all[2]->before, x1);
  EXPECT_EQ(all[3]->now, nullptr);
  EXPECT_EQ(all[3]->before, x2);
  EXPECT_EQ(all[3]->revision, gone->revision);
  EXPECT_EQ(all[3]->key(), "/pods/a/x");
  EXPECT_TRUE(take(pods).empty());
  EXPECT_EQ(take(one_namespace, 2).size(), 2u);
  EXPECT_EQ((*one_namespace)->position(), x2->revision);
  EXPECT_EQ(take(one_namespace, 2).size(), 1u);
  EXPECT_EQ(take(one_pod).size(), 3u);
  EXPECT_EQ((*nodes)->position(), start);
  EXPECT_TRUE(take(nodes).empty());
  for (auto* w : {&pods, &one_namespace, &one_pod, &nodes}) EXPECT_EQ((**w)->position(), store_->revision());
  // Later changes elsewhere move the position of a drained watch, for bookmarks.
  ASSERT_TRUE(store_->commit(put("/secrets/a/s", 1)));
  EXPECT_EQ((*nodes)->position(), store_->revision());
}

TEST_P(Stores, AWatchFromThePastAndFromTheFuture) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(store_->commit(put("/k/a", i)));
  auto past = store_->watch("/k/", 5, nullptr), future = store_->watch("/k/", 14, nullptr);
  ASSERT_TRUE(past && future);
  std::vector<ChangePtr> seen, later;
  ASSERT_TRUE((*past)->take(seen, 100));
  ASSERT_EQ(seen.size(), 6u);
  EXPECT_EQ(seen.front()->revision, 6);
  ASSERT_TRUE((*future)->take(later, 100));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(store_->commit(put("/k/a", i)));
  ASSERT_TRUE((*future)->take(later, 100));
  ASSERT_EQ(later.size(), 2u);
  EXPECT_EQ(later[0]->revision, 15);
  EXPECT_EQ(store_->watch("/k/", 0, nullptr).error().code, Code::expired);
  for (const char* prefix : {"", "/", "/k", "k/"}) EXPECT_EQ(store_->watch(prefix, 11, nullptr).error().code, Code::invalid) << prefix;
}

TEST_P(Stores, AWatchThatFallsBehindExpires) {
  store_.reset();
  StoreOptions options;
  options.path = GetParam() ? folder_ / "short.db" : "";
  options.window_changes = 20;
  store_ = std::move(*Store::open(options));
  auto slow = store_->watch("/k/", store_->revision(), nullptr), quiet = store_->watch("/q/", store_->revision(), nullptr);
  auto narrow = store_->watch("/k/other", store_->revision(), nullptr);
  std::vector<ChangePtr> none;
  ASSERT_TRUE((*narrow)->take(none, 10));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(store_->commit(put("/k/a", i)));
  std::vector<ChangePtr> out;
  Result<void> taken = (*slow)->take(out, 100);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::expired);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ((*slow)->take(out, 100).error().code, Code::expired);
  EXPECT_TRUE((*quiet)->take(out, 100)) << "another resource's changes do not make a watch expire";
  EXPECT_TRUE((*narrow)->take(out, 100)) << "a drained watch has missed nothing";
  const Revision oldest = store_->oldest_watchable("/k/");
  EXPECT_EQ(oldest, store_->revision() - 20);
  EXPECT_TRUE(store_->watch("/k/", oldest, nullptr));
  EXPECT_EQ(store_->watch("/k/", oldest - 1, nullptr).error().code, Code::expired);
  EXPECT_EQ(store_->snapshot_at(oldest - 1, "/k/").error().code, Code::expired);
  EXPECT_TRUE(store_->snapshot_at(oldest, "/k/"));
  EXPECT_TRUE(store_->snapshot_at(2, "/q/"));
  // The narrow one is woken by the change it waits for, and gets it, however much the window has dropped before.
  EntryPtr other = *store_->commit(put("/k/other", 1));
  ASSERT_TRUE((*narrow)->take(out, 100));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0]->now, other);
}

TEST_P(Stores, NotifyComesOnceUntilDrained) {
  Signal signal;
  auto watch = store_->watch("/k/", store_->revision(), [&] { signal.raise(); });
  ASSERT_TRUE(watch);
  Signal elsewhere;
  auto other = store_->watch("/l/", store_->revision(), [&] { elsewhere.raise(); });
  std::vector<ChangePtr> out;
  ASSERT_TRUE((*other)->take(out, 1));
  ASSERT_TRUE(store_->commit(put("/k/a", 0)));
  ASSERT_TRUE((*watch)->take(out, 10));
  EXPECT_EQ(out.size(), 1u);
  EXPECT_EQ(signal.count(), 0) << "a watch that was not drained is not called";
  for (int round = 1; round <= 3; ++round) {
    ASSERT_TRUE(store_->commit(put("/k/a", round)));
    ASSERT_TRUE(signal.wait_for_count(round));
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(store_->commit(put("/k/b", i)));
    EXPECT_EQ(signal.count(), round);
    out.clear();
    ASSERT_TRUE((*watch)->take(out, 5));
    EXPECT_EQ(out.size(), 5u);
    ASSERT_TRUE(store_->commit(put("/k/c", round)));
    EXPECT_EQ(signal.count(), round) << "take() has not emptied it";
    ASSERT_TRUE((*watch)->take(out, 1000));
    EXPECT_EQ(out.size(), 22u);
  }
  EXPECT_EQ(elsewhere.count(), 0);
}

TEST_P(Stores, AWatchMayEndInsideItsCallback) {
  for (int round = 0; round < 50; ++round) {
    Signal ended;
    std::unique_ptr<Watch> watch;
    auto captured = std::make_shared<int>(round);
    watch = std::move(*store_->watch("/k/", store_->revision(), [&watch, &ended, captured] {
      std::vector<ChangePtr> out;
      ASSERT_TRUE(watch->take(out, 100));
      EXPECT_FALSE(out.empty());
      watch.reset();
      EXPECT_EQ(captured.use_count(), 2) << "the callback itself still lives";
      ended.raise();
    }));
    std::vector<ChangePtr> out;
    ASSERT_TRUE(watch->take(out, 1));
    ASSERT_TRUE(store_->commit(put("/k/a", round)));
    ASSERT_TRUE(ended.wait_for_count(1));
    ASSERT_TRUE(store_->commit(put("/k/a", round)));
    EXPECT_EQ(ended.count(), 1);
  }
  EXPECT_EQ(store_->stats().watches, 0u);
}

TEST_P(Stores, NoCallbackRunsAfterTheEnd) {
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) store_->commit(put("/k/a", i));
  });
  for (int round = 0; round < 200; ++round) {
    auto alive = std::make_unique<std::atomic<int>>(1);
    std::atomic<int>* flag = alive.get();
    Signal called;
    auto watch = store_->watch("/k/", store_->revision(), [flag, &called] {
      EXPECT_EQ(flag->load(), 1);
      called.raise();
      std::this_thread::yield();
      EXPECT_EQ(flag->load(), 1) << "the watch ended while its callback ran";
    });
    ASSERT_TRUE(watch) << why(watch);
    std::vector<ChangePtr> out;
    ASSERT_TRUE((*watch)->take(out, 1000));
    if (round % 2) { ASSERT_TRUE(called.wait_for_count(1)); }
    watch->reset();
    *flag = 0;
  }
  stop = true;
  writer.join();
}

// Readers that do nothing but wait for notify and take: together they must see every change, in order.
TEST_P(Stores, NothingIsLostAmongManyWatchers) {
  constexpr int watchers = 16, writers = 4, writes = 250;
  struct Reader {
    std::unique_ptr<Watch> watch;
    Signal signal;
    std::vector<Revision> seen;
    std::thread thread;
  };
  std::vector<std::unique_ptr<Reader>> readers;
  const Revision start = store_->revision();
  for (int r = 0; r < watchers; ++r) {
    auto reader = std::make_unique<Reader>();
    Reader* me = reader.get();
    me->watch = std::move(*store_->watch(r % 2 ? "/k/" : "/k/" + std::to_string(r % writers) + "/", start, [me] { me->signal.raise(); }));
    me->thread = std::thread([me, r] {
      const std::size_t expected = (r % 2 ? writers : 1) * writes;
      for (int waits = 0; me->seen.size() < expected;) {
        std::vector<ChangePtr> out;
        do {
          out.clear();
          ASSERT_TRUE(me->watch->take(out, 7));
          for (const ChangePtr& c : out) me->seen.push_back(c->revision);
        } while (!out.empty());
        if (me->seen.size() == expected) break;
        ASSERT_TRUE(me->signal.wait_for_count(++waits)) << "a wake-up was lost after " << me->seen.size();
      }
    });
    readers.push_back(std::move(reader));
  }
  std::vector<std::thread> threads;
  for (int w = 0; w < writers; ++w)
    threads.emplace_back([&, w] {
      for (int i = 0; i < writes; ++i) ASSERT_TRUE(store_->commit(put("/k/" + std::to_string(w) + "/x", i)));
    });
  for (auto& t : threads) t.join();
  for (auto& r : readers) {
    r->thread.join();
    EXPECT_TRUE(std::is_sorted(r->seen.begin(), r->seen.end()));
    EXPECT_EQ(std::set<Revision>(r->seen.begin(), r->seen.end()).size(), r->seen.size());
  }
}

TEST_P(Stores, AHundredWatchersOverAThousandCreates) {
  std::vector<std::unique_ptr<Watch>> watches;
  std::atomic<int> calls = 0;
  for (int i = 0; i < 100; ++i) {
    watches.push_back(
        std::move(*store_->watch(i % 2 ? "/pods/" : "/pods/ns" + std::to_string(i) + "/", store_->revision(), [&] { ++calls; })));
    std::vector<ChangePtr> out;
    ASSERT_TRUE(watches.back()->take(out, 1));
  }
  EXPECT_EQ(store_->stats().watches, 100u);
  std::vector<std::thread> writers;
  for (int w = 0; w < 8; ++w)
    writers.emplace_back([&, w] {
      for (int i = 0; i < 125; ++i)
        ASSERT_TRUE(store_->commit(put("/pods/ns" + std::to_string(i % 100) + "/p" + std::to_string(w * 1000 + i), i)));
    });
  for (auto& t : writers) t.join();
  EXPECT_EQ(store_->stats().window_changes, 1000u) << "each change lies in the window once";
  std::size_t total = 0;
  for (auto& w : watches) {
    std::vector<ChangePtr> out;
    ASSERT_TRUE(w->take(out, 2000));
    total += out.size();
  }
  EXPECT_GE(total, 50u * 1000);
  watches.clear();
  EXPECT_EQ(store_->stats().watches, 0u);
}

// Each key's number grows by one with every write that succeeds: lost updates would show.
TEST_P(Stores, CompareAndSwapLosesNoUpdate) {
  ASSERT_TRUE(store_->commit(put("/k/counter", 0)));
  constexpr int threads = 8, increments = 40;
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&] {
      for (int done = 0; done < increments;) {
        EntryPtr now = store_->snapshot().get("/k/counter");
        Result<EntryPtr> written = store_->commit(put("/k/counter", number_of(now) + 1, now->revision));
        if (written) {
          ++done;
        } else {
          ASSERT_EQ(written.error().code, Code::conflict) << why(written);
        }
      }
    });
  for (auto& t : all) t.join();
  EXPECT_EQ(number_of(store_->snapshot().get("/k/counter")), threads * increments);
  EXPECT_EQ(store_->revision(), 2 + threads * increments);
}

TEST_P(Stores, AWatchMayOutliveItsStore) {
  auto watch = store_->watch("/k/", store_->revision(), [] {});
  ASSERT_TRUE(store_->commit(put("/k/a", 1)));
  store_.reset();
  std::vector<ChangePtr> out;
  EXPECT_TRUE((*watch)->take(out, 10));
  EXPECT_EQ(out.size(), 1u);
}

TEST_P(Stores, StatsAreTheSums) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(store_->commit(put("/k/" + std::to_string(i), i, std::nullopt, 2000)));
  Store::Stats stats = store_->stats();
  EXPECT_EQ(stats.entries, 100u);
  EXPECT_GT(stats.bytes, 100u * 1900);
  EXPECT_LT(stats.bytes, 100u * 2600);
  EXPECT_EQ(stats.window_changes, 100u);
  EXPECT_GT(stats.file_bytes, GetParam() ? 100 * 2000 : -1);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(store_->commit(erase("/k/" + std::to_string(i))));
  EXPECT_EQ(store_->stats().bytes, 0u);
  EXPECT_TRUE(store_->check_writable());
}

}  // namespace
}  // namespace kybern::store
