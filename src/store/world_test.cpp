// A store without threads: what is to be done later is a task of the world that it was given.
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "store/test_support.h"

namespace kybern::store::testing {
namespace {

class ManualClock : public Clock {
 public:
  Time now() const override { return Time(passed); }
  Instant steady() const override { return Instant(passed); }
  Duration passed{};
};

class NoRandom : public Random {
 public:
  std::uint64_t next() override { return 4; }
};

class ManualExecutor : public Executor {
 public:
  void post(Task task) override { ready.push_back(std::move(task)); }
  TimerId post_after(Duration, Task task) override {
    timers[++last] = std::move(task);
    return last;
  }
  void cancel(TimerId id) override { timers.erase(id); }
  void wait(Duration) override { ADD_FAILURE() << "the store waits for nothing"; }
  void run() {
    while (!ready.empty()) {
      Task task = std::move(ready.front());
      ready.pop_front();
      task();
    }
  }
  void fire() {
    auto due = std::exchange(timers, {});
    for (auto& [id, task] : due) task();
  }
  std::deque<Task> ready;
  std::map<TimerId, Task> timers;
  TimerId last = 0;
};

class StoreWithoutThreads : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    options_.path = GetParam() ? folder_ / "kybern.db" : "";
    options_.world = &world_;
    open();
  }
  void open() {
    store_.reset();
    auto opened = Store::open(options_);
    ASSERT_TRUE(opened) << why(opened);
    store_ = std::move(*opened);
  }
  Folder folder_;
  ManualClock clock_;
  NoRandom random_;
  ManualExecutor executor_;
  World world_{clock_, random_, executor_};
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_P(StoreWithoutThreads, CommitsAtOnceAndTellsLater) {
  int told = 0;
  auto watch = store_->watch("/pods/", store_->revision(), [&] { ++told; });
  ASSERT_TRUE(watch);
  std::vector<ChangePtr> changes;
  ASSERT_TRUE((*watch)->take(changes, 10));
  auto made = store_->commit(put("/pods/default/a", 1, 0));
  ASSERT_TRUE(made) << why(made);
  ASSERT_TRUE(store_->commit(put("/pods/default/a", 2, (*made)->revision)));
  EXPECT_EQ(told, 0);
  executor_.run();
  EXPECT_EQ(told, 1);
  ASSERT_TRUE((*watch)->take(changes, 10));
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(number_of(changes[1]->now), 2);
}

TEST_P(StoreWithoutThreads, ACallbackMayEndItsWatch) {
  std::unique_ptr<Watch> watch;
  watch = std::move(*store_->watch("/pods/", store_->revision(), [&] { watch.reset(); }));
  std::vector<ChangePtr> changes;
  ASSERT_TRUE(watch->take(changes, 10));
  ASSERT_TRUE(store_->commit(put("/pods/default/a", 1)));
  executor_.run();
  EXPECT_EQ(watch, nullptr);
}

TEST_P(StoreWithoutThreads, TasksThatOutliveItDoNothing) {
  auto watch = store_->watch("/pods/", store_->revision(), [] { FAIL() << "the store is gone"; });
  std::vector<ChangePtr> changes;
  ASSERT_TRUE((*watch)->take(changes, 10));
  ASSERT_TRUE(store_->commit(put("/pods/default/a", 1)));
  watch->reset();
  store_.reset();
  executor_.run();
  executor_.fire();
}

TEST_P(StoreWithoutThreads, ForgetsByTheClockOfItsWorld) {
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(store_->commit(put("/pods/default/a", i)));
  EXPECT_EQ(store_->stats().window_changes, 300u);
  clock_.passed = std::chrono::minutes(10);
  executor_.fire();
  EXPECT_LT(store_->stats().window_changes, 300u);
}

TEST_P(StoreWithoutThreads, KeepsWhatItAcknowledged) {
  if (!GetParam()) GTEST_SKIP() << "needs a file";
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(store_->commit(put("/pods/default/p" + std::to_string(i), i)));
  const Revision revision = store_->revision();
  open();
  EXPECT_EQ(store_->revision(), revision);
  EXPECT_EQ(store_->snapshot().count("/pods/"), 100u);
}

INSTANTIATE_TEST_SUITE_P(Engines, StoreWithoutThreads, ::testing::Bool(), [](const auto& p) { return p.param ? "file" : "memory"; });

}  // namespace
}  // namespace kybern::store::testing
