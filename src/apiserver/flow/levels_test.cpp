#include "apiserver/flow/levels.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace kybern::apiserver {
namespace {

LevelSettings limited(std::string name, int shares, int queues = 8, int hand = 2, int length = 3, int lendable = 0) {
  return {std::move(name), "uid", false, true, shares, lendable, -1, queues, hand, length};
}

// Who waits holds its seat, that its level, and that who waits. In a server a timer ends each wait; here the test's end does.
class EndingLevels : public Levels {
 public:
  using Levels::Levels;
  ~EndingLevels() {
    for (const auto& one : made_)
      if (auto waiter = one.lock()) waiter->go = [](bool) {};
    for (const auto& one : made_)
      if (auto waiter = one.lock()) give_up(waiter);
  }
  Entry enter(Seat& seat, std::uint64_t flow, const std::function<std::shared_ptr<Waiter>()>& make_waiter) {
    return Levels::enter(seat, flow, [&] {
      auto waiter = make_waiter();
      made_.push_back(waiter);
      return waiter;
    });
  }

 private:
  std::vector<std::weak_ptr<Waiter>> made_;
};

struct Client {
  int went = 0, gave_up = 0;
  std::shared_ptr<Waiter> last;
  Seat seat;  // the last that it took or waits for
  Levels::Entry enter(EndingLevels& levels, const std::shared_ptr<Level>& level, std::uint64_t flow, int width = 1) {
    seat = Seat{level, width};
    return levels.enter(seat, flow, maker());
  }
  std::function<std::shared_ptr<Waiter>()> maker() {
    return [this] {
      last = std::make_shared<Waiter>();
      last->go = [this](bool turn) { ++(turn ? went : gave_up); };
      return last;
    };
  }
};

TEST(Levels, SharesBecomeSeats) {
  EndingLevels levels(100);
  levels.configure({limited("a", 30), limited("b", 10), {"exempt", "", true}});
  EXPECT_EQ(levels.find("a")->nominal_seats(), 75);
  EXPECT_EQ(levels.find("b")->nominal_seats(), 25);
  EXPECT_EQ(levels.find("exempt")->nominal_seats(), 0);
  EXPECT_EQ(levels.find("c"), nullptr);
}

TEST(Levels, WhatIsTooMuchWaitsItsTurn) {
  EndingLevels levels(2);
  levels.configure({limited("a", 1)});
  auto a = levels.find("a");
  Client client;
  EXPECT_EQ(client.enter(levels, a, 1), Levels::Entry::go);
  EXPECT_EQ(client.enter(levels, a, 1), Levels::Entry::go);
  EXPECT_EQ(client.enter(levels, a, 1), Levels::Entry::queued);
  EXPECT_EQ(client.went, 0);
  levels.leave(Seat{a});
  EXPECT_EQ(client.went, 1);
  EXPECT_EQ(levels.look()[0].executing, 2);
  levels.leave(Seat{a});
  levels.leave(Seat{a});
  EXPECT_EQ(levels.look()[0].executing, 0);
}

TEST(Levels, AFullHandIsRefused) {
  EndingLevels levels(1);
  levels.configure({limited("a", 1, 8, 2, 3)});
  auto a = levels.find("a");
  Client client;
  EXPECT_EQ(client.enter(levels, a, 7), Levels::Entry::go);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(client.enter(levels, a, 7), Levels::Entry::queued) << i;
  EXPECT_EQ(client.enter(levels, a, 7), Levels::Entry::refused);
  LevelSettings rejects = limited("b", 1);
  rejects.queues_requests = false;
  levels.configure({rejects});
  auto b = levels.find("b");
  EXPECT_EQ(client.enter(levels, b, 1), Levels::Entry::go);
  EXPECT_EQ(client.enter(levels, b, 1), Levels::Entry::refused);
}

TEST(Levels, AnExemptLevelNeverWaits) {
  EndingLevels levels(1);
  levels.configure({{"exempt", "", true}});
  auto exempt = levels.find("exempt");
  Client client;
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(client.enter(levels, exempt, 1), Levels::Entry::go);
}

TEST(Levels, OneFloodDoesNotHoldUpAnother) {
  EndingLevels levels(1);
  levels.configure({limited("a", 1, 64, 4, 50)});
  auto a = levels.find("a");
  Client flood, quiet;
  ASSERT_EQ(flood.enter(levels, a, 12345), Levels::Entry::go);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(flood.enter(levels, a, 12345), Levels::Entry::queued);
  ASSERT_EQ(quiet.enter(levels, a, 987654321), Levels::Entry::queued);
  int turns = 0;
  while (quiet.went == 0) {
    levels.leave(Seat{a});
    ASSERT_LT(++turns, 10);
  }
}

TEST(Levels, AWaiterGivesUpOnce) {
  EndingLevels levels(1);
  levels.configure({limited("a", 1)});
  auto a = levels.find("a");
  Client client;
  client.enter(levels, a, 1);
  client.enter(levels, a, 1);
  auto first = client.last;
  client.enter(levels, a, 1);
  levels.give_up(first);
  levels.give_up(first);
  EXPECT_EQ(client.gave_up, 1);
  levels.leave(Seat{a});
  EXPECT_EQ(client.went, 1);
  levels.give_up(client.last);  // its turn has come already
  EXPECT_EQ(client.gave_up, 1);
}

TEST(Levels, IdleSeatsAreLent) {
  EndingLevels levels(20);
  levels.configure({limited("busy", 1), limited("idle", 1, 8, 2, 3, 50)});
  auto busy = levels.find("busy"), idle = levels.find("idle");
  Client client;
  for (int i = 0; i < 15; ++i) ASSERT_EQ(client.enter(levels, busy, 1), Levels::Entry::go) << i;  // 10 of its own, 5 lent
  EXPECT_EQ(client.enter(levels, busy, 1), Levels::Entry::queued);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(client.enter(levels, idle, 1), Levels::Entry::go) << i;  // its own are its own
  EXPECT_EQ(client.went, 0);
  for (int i = 0; i < 6; ++i) levels.leave(Seat{busy});
  EXPECT_EQ(client.went, 1);
}

TEST(Levels, BorrowingHasALimit) {
  EndingLevels levels(20);
  LevelSettings busy = limited("busy", 1);
  busy.borrowing_limit_percent = 20;
  levels.configure({busy, limited("idle", 1, 8, 2, 3, 50)});
  auto level = levels.find("busy");
  Client client;
  for (int i = 0; i < 12; ++i) ASSERT_EQ(client.enter(levels, level, 1), Levels::Entry::go) << i;
  EXPECT_EQ(client.enter(levels, level, 1), Levels::Entry::queued);
}

TEST(Levels, SharesOfSharesAreRounded) {
  EndingLevels levels(30);
  LevelSettings busy = limited("busy", 1);  // 15 seats
  busy.borrowing_limit_percent = 10;        // 1.5
  levels.configure({busy, limited("idle", 1, 8, 2, 3, 33)});
  auto level = levels.find("busy");
  Client client;
  for (int i = 0; i < 17; ++i) ASSERT_EQ(client.enter(levels, level, 1), Levels::Entry::go) << i;
  EXPECT_EQ(client.enter(levels, level, 1), Levels::Entry::queued);
}

TEST(Levels, AWideRequestTakesAsManySeats) {
  EndingLevels levels(10);
  levels.configure({limited("a", 1)});
  auto a = levels.find("a");
  Client client, other;
  ASSERT_EQ(client.enter(levels, a, 1, 6), Levels::Entry::go);
  Seat wide = client.seat;
  ASSERT_EQ(client.enter(levels, a, 1, 5), Levels::Entry::queued);
  EXPECT_EQ(levels.look()[0].executing_seats, 6);
  EXPECT_EQ(levels.look()[0].waiting_seats, 5);
  // What is free is kept for whose turn it is.
  ASSERT_EQ(other.enter(levels, a, 2, 1), Levels::Entry::queued);
  levels.leave(wide);
  EXPECT_EQ(client.went, 1);
  EXPECT_EQ(other.went, 1);
  EXPECT_EQ(levels.look()[0].executing_seats, 6);
}

TEST(Levels, WhatIsWiderThanItsLevelHasItForItself) {
  EndingLevels levels(4);
  levels.configure({limited("a", 1)});
  auto a = levels.find("a");
  Client client;
  ASSERT_EQ(client.enter(levels, a, 1, 9), Levels::Entry::go);
  Seat wide = client.seat;
  ASSERT_EQ(client.enter(levels, a, 1, 9), Levels::Entry::queued);
  levels.leave(wide);
  EXPECT_EQ(client.went, 1);
}

TEST(Levels, OneRequestHasALimit) {
  EndingLevels levels(100);
  LevelSettings rejects = limited("c", 10);
  rejects.queues_requests = false;
  levels.configure({limited("a", 60, 64, 4), limited("b", 30, 64, 16), rejects});
  EXPECT_EQ(levels.find("a")->max_width(), 9);  // 15 % of 60
  EXPECT_EQ(levels.find("b")->max_width(), 1);  // 30 seats for a hand of 16
  EXPECT_EQ(levels.find("c")->max_width(), 0);
}

// Queues take turns by seats: one whose requests are four seats wide gets a quarter of the requests through.
TEST(Levels, TurnsAreCountedInSeats) {
  EndingLevels levels(4);
  levels.configure({limited("a", 1, 2, 1, 200)});
  auto a = levels.find("a");
  std::uint64_t first = 0, second = 1;  // hands of one card: queue 0, queue 1
  Client holder, wide, narrow;
  ASSERT_EQ(holder.enter(levels, a, first, 4), Levels::Entry::go);
  std::deque<Seat> taken;
  auto client_of = [&](Client& client) {
    return [&] {
      auto waiter = std::make_shared<Waiter>();
      waiter->go = [&client, &taken, raw = waiter.get()](bool turn) {
        if (turn) ++client.went, taken.push_back(raw->seat);
      };
      return waiter;
    };
  };
  for (int i = 0; i < 100; ++i) {
    Seat four{a, 4}, one{a, 1};
    ASSERT_EQ(levels.enter(four, first, client_of(wide)), Levels::Entry::queued);
    ASSERT_EQ(levels.enter(one, second, client_of(narrow)), Levels::Entry::queued);
  }
  levels.leave(holder.seat);
  while (narrow.went < 60 && !taken.empty()) {
    Seat seat = taken.front();
    taken.pop_front();
    levels.leave(seat);
  }
  EXPECT_NEAR(wide.went, 15, 3);
}

TEST(Levels, AHandIsDistinctAndSpread) {
  std::mt19937_64 random(1);
  std::map<std::size_t, int> used;
  for (int i = 0; i < 20000; ++i) {
    auto hand = Levels::hand(random(), 16, 4);
    EXPECT_EQ(std::set<std::size_t>(hand.begin(), hand.end()).size(), 4u);
    for (std::size_t queue : hand) {
      ASSERT_LT(queue, 16u);
      ++used[queue];
    }
  }
  for (const auto& [queue, times] : used) EXPECT_NEAR(times, 5000, 400) << queue;
  EXPECT_EQ(Levels::hand(5, 3, 8).size(), 3u);
}

}  // namespace
}  // namespace kybern::apiserver
