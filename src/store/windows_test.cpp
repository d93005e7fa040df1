#include "store/windows.h"

#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "store/sqlite/retention.h"
#include "store/test_support.h"

namespace kybern::store {
namespace {

using namespace testing;
using std::chrono::seconds;

class WindowsTest : public ::testing::Test {
 protected:
  void make(WindowLimits limits) {
    close();
    windows_ = Windows::create(limits, 1);
    revision_ = 1;
  }
  void close() {
    if (windows_) windows_->close();
    windows_ = nullptr;
  }
  ~WindowsTest() override { close(); }
  // A change of a key whose value before had about `bytes`.
  void change(const std::string& key, std::size_t bytes = 0, seconds at = seconds(0)) {
    auto entry = std::make_shared<const Entry>(Entry{key, object(key, 1, bytes), ++revision_});
    windows_->append({std::make_shared<const Change>(Change{revision_, entry, entry})}, start_ + at);
    windows_->settle(revision_);
  }

  Windows* windows_ = nullptr;
  Revision revision_ = 1;
  const Instant start_ = std::chrono::steady_clock::now();
};

TEST(Resource, IsTheFirstSegment) {
  EXPECT_EQ(resource_of("/pods/default/web-0"), "pods");
  EXPECT_EQ(resource_of("/apps/deployments/default/web"), "apps");
  EXPECT_EQ(resource_of("/pods/"), "pods");
  EXPECT_EQ(resource_of("/pods"), "pods");
  EXPECT_EQ(resource_of("/"), "");
  EXPECT_EQ(resource_of(""), "");
}

TEST_F(WindowsTest, TheCountIsBoundedPerResource) {
  WindowLimits limits;
  limits.max_changes = 10;
  make(limits);
  change("/quiet/a");
  for (int i = 0; i < 25; ++i) change("/busy/a");
  EXPECT_EQ(windows_->change_count(), 11u);
  EXPECT_EQ(windows_->oldest("/busy/"), revision_ - 10);
  EXPECT_EQ(windows_->oldest("/quiet/"), 1);
  EXPECT_EQ(windows_->oldest("/never/"), 1);
}

TEST_F(WindowsTest, OldChangesGoButNotTheLastFew) {
  WindowLimits limits;
  limits.max_age = seconds(60);
  limits.min_changes = 5;
  make(limits);
  for (int i = 0; i < 20; ++i) change("/k/a", 0, seconds(i));
  windows_->trim(start_ + seconds(65), 0);
  EXPECT_LE(windows_->change_count(), 17u);
  EXPECT_GE(windows_->change_count(), 14u);
  EXPECT_TRUE(windows_->ageing());
  windows_->trim(start_ + seconds(1000), 0);
  EXPECT_EQ(windows_->change_count(), 5u);
  EXPECT_FALSE(windows_->ageing());
  EXPECT_EQ(windows_->oldest("/k/"), revision_ - 5);
}

TEST_F(WindowsTest, TheLargestGivesWayWhenTheBudgetIsExceeded) {
  WindowLimits limits;
  limits.min_bytes = 200'000;
  make(limits);
  for (int i = 0; i < 20; ++i) change("/small/a", 1000);
  for (int i = 0; i < 500; ++i) change("/large/a", 3000);
  windows_->trim(start_, 0);
  EXPECT_LE(windows_->bytes(), 200'000u);
  EXPECT_GE(windows_->bytes(), 150'000u);
  EXPECT_EQ(windows_->oldest("/small/"), 1) << "it is not the one that fills the budget";
  EXPECT_GT(windows_->oldest("/large/"), 300);
  // More objects, more budget.
  const std::size_t before = windows_->change_count();
  for (int i = 0; i < 50; ++i) change("/large/a", 3000);
  windows_->trim(start_, 4 * 1'000'000);
  EXPECT_EQ(windows_->change_count(), before + 50);
}

TEST_F(WindowsTest, AnIdleWatchIsSmall) {
  make({});
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < 10; ++i) watches.push_back(std::move(*windows_->watch("/k/", 1, [] {})));
  EXPECT_EQ(windows_->watch_count(), 10u);
  std::vector<ChangePtr> out;
  for (auto& w : watches) ASSERT_TRUE(w->take(out, 1));
  watches.clear();
  EXPECT_EQ(windows_->watch_count(), 0u);
}

// Watches of many keys of one resource: a change meets only those that it concerns, whatever their number.
TEST_F(WindowsTest, AChangeWakesOnlyWhatItConcerns) {
  make({});
  std::map<std::string, int> calls;
  std::mutex mutex;
  Signal signal;
  std::vector<std::pair<std::string, std::unique_ptr<Watch>>> watches;
  for (const char* prefix : {"/k/", "/k/a", "/k/a/", "/k/a/x", "/k/a/xy", "/k/b/", "/l/"})
    watches.emplace_back(prefix, std::move(*windows_->watch(prefix, 1, [&, prefix] {
                           {
                             std::lock_guard lock(mutex);
                             ++calls[prefix];
                           }
                           signal.raise();
                         })));
  std::vector<ChangePtr> out;
  for (auto& [prefix, w] : watches) ASSERT_TRUE(w->take(out, 1));
  change("/k/a/x");
  ASSERT_TRUE(signal.wait_for_count(4));
  for (auto& [prefix, w] : watches) {
    out.clear();
    ASSERT_TRUE(w->take(out, 10));
    const bool concerned = std::string("/k/a/x").starts_with(prefix);
    EXPECT_EQ(out.size(), concerned ? 1u : 0u) << prefix;
    std::lock_guard lock(mutex);
    EXPECT_EQ(calls[prefix], concerned ? 1 : 0) << prefix;
  }
}

TEST(RetentionTest, SlicesByAgeAndByBytes) {
  RetentionLimits limits;
  limits.max_age = seconds(100);
  limits.min_bytes = 10'000;
  limits.slice_rows = 10;
  Retention r(limits);
  for (Revision i = 0; i < 30; ++i) {
    r.add_live(100);
    r.supersede(i + 1, i + 2, 100, false, static_cast<std::uint32_t>(i));
  }
  EXPECT_EQ(r.slice(0, 100), 0u) << "nothing is old";
  EXPECT_EQ(r.slice(0, 105), 0u) << "too few are old for a slice";
  EXPECT_EQ(r.slice(0, 112), 10u);
  EXPECT_EQ(r.slice(100, 112), 12u) << "with a large batch all that are old";
  r.forget(10);
  EXPECT_EQ(r[0].row, 11);
  for (Revision i = 100; i < 200; ++i) r.supersede(i, i + 1, 100, false, 112);
  EXPECT_EQ(r.slice(0, 112), 10u) << "over the budget: age does not matter";
  for (int n = 0; n < 100 && r.slice(0, 112); ++n) r.forget(r.slice(0, 112));
  EXPECT_LE(r.size(), 100u);
  EXPECT_GE(r.size(), 80u);
}

}  // namespace
}  // namespace kybern::store
