#include "client/queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "client/test_support.h"

namespace kybern::client {
namespace {

using testing_support::StepWorld;

TEST(WorkQueue, AKeyWaitsOnce) {
  StepWorld world;
  std::vector<std::string> worked;
  WorkQueue queue("q", world.world(), 2, [&](const std::string& key) {
    worked.push_back(key);
    return Outcome::done();
  });
  queue.add("a");
  queue.add("b");
  queue.add("a");
  world.run_ready();
  EXPECT_TRUE(worked.empty()) << "nothing runs before start";
  queue.start();
  world.run_ready();
  EXPECT_EQ(worked, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(queue.depth(), 0u);
}

TEST(WorkQueue, AddedWhileInWorkComesAgain) {
  StepWorld world;
  int runs = 0;
  WorkQueue* self = nullptr;
  WorkQueue queue("q", world.world(), 1, [&](const std::string& key) {
    if (++runs == 1) {
      self->add(key);
      self->add(key);
    }
    return Outcome::done();
  });
  self = &queue;
  queue.start();
  queue.add("a");
  world.run_ready();
  EXPECT_EQ(runs, 2);
}

TEST(WorkQueue, AddedWhileInWorkAndAgainAtOnceRunsOnce) {
  StepWorld world;
  int runs = 0;
  WorkQueue* self = nullptr;
  WorkQueue queue("q", world.world(), 1, [&](const std::string& key) {
    if (++runs > 1) return Outcome::done();
    self->add(key);
    return Outcome::again_after(Duration::zero());
  });
  self = &queue;
  queue.start();
  queue.add("a");
  world.run_ready();
  EXPECT_EQ(runs, 2);
}

TEST(WorkQueue, FailuresComeAgainAfterAGrowingDelay) {
  StepWorld world;
  std::vector<Duration> at;
  const Instant begin = world.steady();
  WorkQueue queue("q", world.world(), 1, [&](const std::string&) {
    at.push_back(world.steady() - begin);
    return at.size() < 5 ? Outcome::retry() : Outcome::done();
  });
  queue.start();
  queue.add("a");
  world.advance(std::chrono::seconds(10));
  using std::chrono::milliseconds;
  EXPECT_EQ(at, (std::vector<Duration>{milliseconds(0), milliseconds(5), milliseconds(15), milliseconds(35), milliseconds(75)}));
}

TEST(WorkQueue, OfTwoTimesTheEarlierHolds) {
  StepWorld world;
  int runs = 0;
  WorkQueue queue("q", world.world(), 1, [&](const std::string&) {
    ++runs;
    return Outcome::done();
  });
  queue.start();
  queue.add_after("a", std::chrono::seconds(5));
  queue.add_after("a", std::chrono::seconds(2));
  queue.add_after("a", std::chrono::seconds(9));
  world.advance(std::chrono::seconds(3));
  EXPECT_EQ(runs, 1);
  world.advance(std::chrono::seconds(30));
  EXPECT_EQ(runs, 1);
}

TEST(WorkQueue, WhatIsAddedWhileItStopsIsDropped) {
  std::atomic<int> runs = 0;
  std::atomic<bool> in_work = false, dropped = false;
  WorkQueue* self = nullptr;
  WorkQueue queue("q", real_world(), 1, [&](const std::string&) {
    ++runs;
    in_work = true;
    dropped = eventually([&] {  // only stop() empties the queue: its one worker is here
      self->add("b");
      self->add_after("c", Duration::zero());
      return self->depth() == 0;
    });
    return Outcome::done();
  });
  self = &queue;
  queue.start();
  queue.add("a");
  ASSERT_TRUE(eventually([&] { return in_work.load(); }));
  queue.stop();
  EXPECT_TRUE(dropped);
  queue.add("d");
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(queue.depth(), 0u);
}

// On real threads: no key is worked on twice at once, and after the last add every key is worked on.
TEST(WorkQueue, NeverTwiceAtOnceAndNeverLost) {
  constexpr int keys = 20, adders = 4, rounds = 500;
  std::mutex mutex;
  std::set<std::string> busy;
  std::map<std::string, int> seen;  // the highest number that a run saw
  std::array<std::atomic<int>, keys> wanted{};
  std::atomic<bool> twice = false;
  World world = real_world();
  WorkQueue queue("q", world, 4, [&](const std::string& key) {
    {
      std::lock_guard lock(mutex);
      if (!busy.insert(key).second) twice = true;
    }
    const int value = wanted[std::stoul(key)].load();
    std::this_thread::yield();
    std::lock_guard lock(mutex);
    busy.erase(key);
    seen[key] = value;
    return value % 7 == 3 ? Outcome::retry() : Outcome::done();
  });
  queue.start();
  std::vector<std::thread> threads;
  for (int t = 0; t < adders; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        const int key = (i * 7 + t) % keys;
        ++wanted[static_cast<std::size_t>(key)];
        queue.add(std::to_string(key));
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_TRUE(eventually([&] {
    std::lock_guard lock(mutex);
    for (int k = 0; k < keys; ++k)
      if (seen[std::to_string(k)] != wanted[static_cast<std::size_t>(k)].load()) return false;
    return true;
  }));
  EXPECT_FALSE(twice);
}

}  // namespace
}  // namespace kybern::client
