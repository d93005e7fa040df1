#include "apiserver/http/outbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "base/testing/eventually.h"

namespace kybern::apiserver {
namespace {

// A far side that takes nothing until it is told to.
struct Slow {
  std::mutex mutex;
  std::condition_variable changed;
  bool takes = false;
  std::vector<std::string> taken;
  std::atomic<int> pauses{0}, resumes{0}, inside{0};

  bool send(const std::string& message) {
    ++inside;
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return takes; });
    taken.push_back(message);
    --inside;
    return message != "last";
  }
  void let_go() {
    std::lock_guard lock(mutex);
    takes = true;
    changed.notify_all();
  }
  std::size_t count() {
    std::lock_guard lock(mutex);
    return taken.size();
  }
};

class OutboxTest : public ::testing::Test {
 protected:
  std::shared_ptr<Slow> slow_ = std::make_shared<Slow>();
  Outbox outbox_{[slow = slow_](const std::string& message) { return slow->send(message); },
                 [slow = slow_](bool paused) { ++(paused ? slow->pauses : slow->resumes); }};
};

TEST_F(OutboxTest, WhoPutsDoesNotWait) {
  for (int i = 0; i < 100; ++i) outbox_.put(std::string(20'000, static_cast<char>('a' + i % 26)));
  EXPECT_EQ(slow_->count(), 0u);
  EXPECT_EQ(slow_->pauses, 1) << "more than a megabyte waits";
  EXPECT_FALSE(outbox_.drain(std::chrono::milliseconds(20)));
  slow_->let_go();
  EXPECT_TRUE(outbox_.drain(std::chrono::seconds(20)));
  EXPECT_TRUE(eventually([&] { return slow_->resumes == 1; }));
  ASSERT_EQ(slow_->count(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(slow_->taken[static_cast<std::size_t>(i)][0], 'a' + i % 26) << "in their order";
}

TEST_F(OutboxTest, WhatNobodyTakesIsDropped) {
  slow_->let_go();
  outbox_.put("last");
  EXPECT_TRUE(outbox_.drain(std::chrono::seconds(20)));
  EXPECT_TRUE(eventually([&] {
    outbox_.put("more");
    return outbox_.drain(std::chrono::milliseconds(0));
  }));
  EXPECT_EQ(slow_->count(), 1u);
}

TEST_F(OutboxTest, TheEndLetsGoOfThePaused) {
  for (int i = 0; i < 2; ++i) outbox_.put(std::string(Outbox::high_bytes, 'x'));
  EXPECT_EQ(slow_->pauses, 1);
  ASSERT_TRUE(eventually([&] { return slow_->inside == 1; }));
  outbox_.end();
  slow_->let_go();  // what is being sent is not cut short
  EXPECT_TRUE(eventually([&] { return slow_->resumes == 1; }));
  EXPECT_EQ(slow_->count(), 1u);
  EXPECT_EQ(slow_->inside, 0);
}

// The far side takes everything just as the near side is about to be paused.
TEST(Outbox, APauseThatComesLateIsTakenBack) {
  std::mutex mutex;
  std::condition_variable changed;
  bool takes = false, paused_now = false;
  int resumes = 0;
  Outbox outbox(
      [&](const std::string&) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return takes; });
        return true;
      },
      [&](bool paused) {
        std::unique_lock lock(mutex);
        if (paused) {
          takes = true;
          changed.notify_all();
          changed.wait_for(lock, std::chrono::seconds(20), [&] { return resumes > 0; });
        } else {
          ++resumes;
          changed.notify_all();
        }
        paused_now = paused;
      });
  outbox.put(std::string(Outbox::high_bytes + 1, 'x'));
  EXPECT_TRUE(eventually([&] {
    std::lock_guard lock(mutex);
    return !paused_now;
  }));
}

}  // namespace
}  // namespace kybern::apiserver
