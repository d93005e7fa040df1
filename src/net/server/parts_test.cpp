// The parts that the server is made of: queue, timers, threads, reactor.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "net/server/output_queue.h"
#include "net/server/pool.h"
#include "net/server/reactor.h"
#include "net/server/test_clients.h"
#include "net/server/timer_wheel.h"

namespace kybern::net {
namespace {

using std::chrono::milliseconds;

TEST(OutputQueue, KeepsOrderWhateverTheSizes) {
  std::mt19937 random(7);
  OutputQueue queue;
  std::string put, got;
  for (int i = 0; i < 3000; ++i) {
    std::string bytes(random() % (i % 10 == 0 ? 20000 : 300), static_cast<char>('a' + i % 26));
    put += bytes;
    if (i % 3 == 0) {
      OutputQueue other;
      other.append(std::string_view(bytes).substr(0, bytes.size() / 2));
      other.append(std::string(bytes.substr(bytes.size() / 2)));
      queue.append(std::move(other));
      EXPECT_TRUE(other.empty());
    } else {
      queue.append(std::move(bytes));
    }
    std::size_t take = std::min<std::size_t>(random() % 6000, queue.bytes());
    std::string piece(take, '\0');
    EXPECT_EQ(queue.copy_front(piece.data(), take), take);
    queue.consume(take);
    got += piece;
  }
  while (!queue.empty()) {
    std::string_view pieces[3];
    std::size_t found = queue.front(pieces, 3);
    ASSERT_GT(found, 0u);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < found; ++i) {
      got += pieces[i];
      bytes += pieces[i].size();
    }
    queue.consume(bytes);
  }
  EXPECT_EQ(got, put);
}

struct TestTimer final : Timer {
  void on_timer(Instant now) override {
    fired_at = now;
    ++fired;
    if (wheel && fired < 3) wheel->arm(*this, now + milliseconds(100));
  }
  Instant fired_at;
  int fired = 0;
  TimerWheel* wheel = nullptr;
};

TEST(TimerWheel, FiresInTimeAtAnyDistance) {
  Instant start{};
  TimerWheel wheel(start);
  std::mt19937 random(3);
  std::vector<std::unique_ptr<TestTimer>> timers;
  std::vector<Instant> due;
  for (int i = 0; i < 500; ++i) {
    timers.push_back(std::make_unique<TestTimer>());
    due.push_back(start + milliseconds(random() % 60000));
    wheel.arm(*timers.back(), due.back());
  }
  for (int i = 0; i < 500; i += 5) wheel.disarm(*timers[static_cast<std::size_t>(i)]);
  for (int i = 1; i < 500; i += 5) {
    due[static_cast<std::size_t>(i)] = start + milliseconds(30000);
    wheel.arm(*timers[static_cast<std::size_t>(i)], due[static_cast<std::size_t>(i)]);
  }
  Instant now = start;
  int turns = 0;
  while (auto quiet = wheel.quiet(now)) {
    now += std::max(*quiet, milliseconds(1));
    wheel.advance(now);
    ASSERT_LT(++turns, 10000);
  }
  for (std::size_t i = 0; i < timers.size(); ++i) {
    if (i % 5 == 0) {
      EXPECT_EQ(timers[i]->fired, 0);
      continue;
    }
    EXPECT_EQ(timers[i]->fired, 1);
    EXPECT_GE(timers[i]->fired_at, due[i]);
    EXPECT_LE(timers[i]->fired_at, due[i] + 2 * TimerWheel::tick);
  }
}

TEST(TimerWheel, ArmsItselfAgainAndLeavesWhenDestroyed) {
  Instant start{};
  TimerWheel wheel(start);
  TestTimer timer;
  timer.wheel = &wheel;
  wheel.arm(timer, start + milliseconds(10));
  {
    TestTimer gone;
    wheel.arm(gone, start + milliseconds(10));
  }
  for (int i = 0; i < 100; ++i) wheel.advance(start + milliseconds(10) * i);
  EXPECT_EQ(timer.fired, 3);
  EXPECT_FALSE(timer.armed());
  wheel.arm(timer, start + std::chrono::hours(1));
  wheel.advance(start + std::chrono::hours(2));  // far behind
  EXPECT_EQ(timer.fired, 4);
}

// A pool whose supervisor is a thread of the test.
struct SupervisedPool {
  explicit SupervisedPool(Pool::Options options) : pool(options, [this] { called = true; }) {
    supervisor = std::thread([this] {
      while (!done) {
        if (called) pool.supervise(std::chrono::steady_clock::now());
        std::this_thread::sleep_for(milliseconds(1));
      }
    });
  }
  ~SupervisedPool() {
    pool.stop();
    done = true;
    supervisor.join();
  }
  std::atomic<bool> called = false, done = false;
  Pool pool;
  std::thread supervisor;
};

TEST(FairQueue, TakesOneOfEachFlowInTurn) {
  FairQueue queue;
  std::string order;
  auto push = [&](char name, std::uint64_t flow) { queue.push([&order, name] { order += name; }, flow, Instant{}); };
  for (char name : {'a', 'b', 'c', 'd'}) push(name, 1);
  push('x', 2);
  push('y', 2);
  push('z', 77);
  auto run = [&](int count) {
    for (; count > 0; --count) queue.pop()();
  };
  run(4);
  EXPECT_EQ(order, "axzb");
  push('w', 300);  // a new one: behind the two that have a turn to come
  run(4);
  EXPECT_EQ(order, "axzbycwd");
  EXPECT_TRUE(queue.empty());
  push('e', 1);
  run(1);
  EXPECT_EQ(order, "axzbycwde");
  push('f', 1);  // dropped with the queue
}

TEST(Pool, AFloodOfOneFlowLeavesTurnsToAnother) {
  std::vector<int> order;
  std::atomic<bool> open = false;
  {
    Pool pool({.min_threads = 1, .max_threads = 1}, [] {});
    pool.post([&] {
      while (!open) std::this_thread::sleep_for(milliseconds(1));
    });
    for (int i = 0; i < 1000; ++i) pool.post([&, i] { order.push_back(i); }, 1);
    pool.post([&] { order.push_back(-1); }, 2);
    open = true;
    pool.stop();
  }
  ASSERT_EQ(order.size(), 1001u);
  EXPECT_LE(std::find(order.begin(), order.end(), -1) - order.begin(), 2);
}

TEST(Pool, GrowsForTasksThatWaitAndShrinksAgain) {
  SupervisedPool p({.min_threads = 1, .max_threads = 12, .idle_end = milliseconds(100)});
  std::atomic<int> inside = 0, finished = 0;
  std::atomic<bool> open = false;
  for (int i = 0; i < 30; ++i) {
    p.pool.post([&] {
      ++inside;
      while (!open) std::this_thread::sleep_for(milliseconds(1));
      --inside;
      ++finished;
    });
  }
  EXPECT_TRUE(eventually([&] { return inside == 12; }));
  EXPECT_EQ(p.pool.threads(), 12u);
  open = true;
  EXPECT_TRUE(eventually([&] { return finished == 30; }));
  EXPECT_TRUE(eventually([&] { return p.pool.threads() == 1; }));
}

TEST(Pool, StaysSmallForQuickTasks) {
  SupervisedPool p({.min_threads = 1, .max_threads = 64, .idle_end = milliseconds(5000)});
  std::atomic<int> finished = 0;
  for (int i = 0; i < 20000; ++i) p.pool.post([&] { ++finished; });
  EXPECT_TRUE(eventually([&] { return finished == 20000; }));
  EXPECT_LE(p.pool.threads(), 8u);
}

TEST(Pool, RunsWhatIsQueuedBeforeItStops) {
  std::atomic<int> finished = 0;
  {
    Pool pool({.min_threads = 1, .max_threads = 1}, [] {});
    for (int i = 0; i < 100; ++i) {
      pool.post([&finished, i] {
        if (i == 50) throw std::runtime_error("a handler's");
        ++finished;
      });
      if (i == 20) pool.post([&] { pool.post([&] { finished += 1000; }); });
    }
    pool.stop();
    pool.post([&] { finished += 100000; });
  }
  EXPECT_EQ(finished, 1099);
}

TEST(Reactor, RunsWhatOtherThreadsPost) {
  auto reactor = Reactor::make();
  ASSERT_TRUE(reactor.has_value());
  std::atomic<int> ran = 0;
  std::thread loop([&] { (*reactor)->run(); });
  std::vector<std::thread> posters;
  for (int t = 0; t < 3; ++t) {
    posters.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) (*reactor)->post([&] { ++ran; });
    });
  }
  for (auto& poster : posters) poster.join();
  EXPECT_TRUE(eventually([&] { return ran == 15000; }));
  TestTimer timer;
  (*reactor)->post([&] { (*reactor)->timers().arm(timer, (*reactor)->now() + milliseconds(30)); });
  std::atomic<bool> fired = false;
  EXPECT_TRUE(eventually([&] {
    (*reactor)->post([&] { fired = timer.fired == 1; });
    return fired.load();
  }));
  (*reactor)->stop();
  loop.join();
}

}  // namespace
}  // namespace kybern::net
