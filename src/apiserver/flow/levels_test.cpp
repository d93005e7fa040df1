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

struct Client {
  int went = 0, gave_up = 0;
  std::shared_ptr<Waiter> last;
  std::function<std::shared_ptr<Waiter>()> maker() {
    return [this] {
      last = std::make_shared<Waiter>();
      last->go = [this](bool turn) { ++(turn ? went : gave_up); };
      return last;
    };
  }
};

TEST(Levels, SharesBecomeSeats) {
  Levels levels(100);
  levels.configure({limited("a", 30), limited("b", 10), {"exempt", "", true}});
  EXPECT_EQ(levels.find("a")->nominal_seats(), 75);
  EXPECT_EQ(levels.find("b")->nominal_seats(), 25);
  EXPECT_EQ(levels.find("exempt")->nominal_seats(), 0);
  EXPECT_EQ(levels.find("c"), nullptr);
}

TEST(Levels, WhatIsTooMuchWaitsItsTurn) {
  Levels levels(2);
  levels.configure({limited("a", 1)});
  auto a = levels.find("a");
  Client client;
  EXPECT_EQ(levels.enter(a, 1, client.maker()), Levels::Entry::go);
  EXPECT_EQ(levels.enter(a, 1, client.maker()), Levels::Entry::go);
  EXPECT_EQ(levels.enter(a, 1, client.maker()), Levels::Entry::queued);
  EXPECT_EQ(client.went, 0);
  levels.leave(a);
  EXPECT_EQ(client.went, 1);
  EXPECT_EQ(levels.look()[0].executing, 2);
  levels.leave(a);
  levels.leave(a);
  EXPECT_EQ(levels.look()[0].executing, 0);
}

TEST(Levels, AFullHandIsRefused) {
  Levels levels(1);
  levels.configure({limited("a", 1, 8, 2, 3)});
  auto a = levels.find("a");
  Client client;
  EXPECT_EQ(levels.enter(a, 7, client.maker()), Levels::Entry::go);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(levels.enter(a, 7, client.maker()), Levels::Entry::queued) << i;
  EXPECT_EQ(levels.enter(a, 7, client.maker()), Levels::Entry::refused);
  LevelSettings rejects = limited("b", 1);
  rejects.queues_requests = false;
  levels.configure({rejects});
  auto b = levels.find("b");
  EXPECT_EQ(levels.enter(b, 1, client.maker()), Levels::Entry::go);
  EXPECT_EQ(levels.enter(b, 1, client.maker()), Levels::Entry::refused);
}

TEST(Levels, AnExemptLevelNeverWaits) {
  Levels levels(1);
  levels.configure({{"exempt", "", true}});
  auto exempt = levels.find("exempt");
  Client client;
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(levels.enter(exempt, 1, client.maker()), Levels::Entry::go);
}

TEST(Levels, OneFloodDoesNotHoldUpAnother) {
  Levels levels(1);
  levels.configure({limited("a", 1, 64, 4, 50)});
  auto a = levels.find("a");
  Client flood, quiet;
  ASSERT_EQ(levels.enter(a, 12345, flood.maker()), Levels::Entry::go);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(levels.enter(a, 12345, flood.maker()), Levels::Entry::queued);
  ASSERT_EQ(levels.enter(a, 987654321, quiet.maker()), Levels::Entry::queued);
  int turns = 0;
  while (quiet.went == 0) {
    levels.leave(a);
    ASSERT_LT(++turns, 10);
  }
}

TEST(Levels, AWaiterGivesUpOnce) {
  Levels levels(1);
  levels.configure({limited("a", 1)});
  auto a = levels.find("a");
  Client client;
  levels.enter(a, 1, client.maker());
  levels.enter(a, 1, client.maker());
  auto first = client.last;
  levels.enter(a, 1, client.maker());
  levels.give_up(a, first);
  levels.give_up(a, first);
  EXPECT_EQ(client.gave_up, 1);
  levels.leave(a);
  EXPECT_EQ(client.went, 1);
  levels.give_up(a, client.last);  // its turn has come already
  EXPECT_EQ(client.gave_up, 1);
}

TEST(Levels, IdleSeatsAreLent) {
  Levels levels(20);
  levels.configure({limited("busy", 1), limited("idle", 1, 8, 2, 3, 50)});
  auto busy = levels.find("busy"), idle = levels.find("idle");
  Client client;
  for (int i = 0; i < 15; ++i) ASSERT_EQ(levels.enter(busy, 1, client.maker()), Levels::Entry::go) << i;  // 10 of its own, 5 lent
  EXPECT_EQ(levels.enter(busy, 1, client.maker()), Levels::Entry::queued);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(levels.enter(idle, 1, client.maker()), Levels::Entry::go) << i;  // its own are its own
  EXPECT_EQ(client.went, 0);
  for (int i = 0; i < 6; ++i) levels.leave(busy);
  EXPECT_EQ(client.went, 1);
}

TEST(Levels, BorrowingHasALimit) {
  Levels levels(20);
  LevelSettings busy = limited("busy", 1);
  busy.borrowing_limit_percent = 20;
  levels.configure({busy, limited("idle", 1, 8, 2, 3, 50)});
  auto level = levels.find("busy");
  Client client;
  for (int i = 0; i < 12; ++i) ASSERT_EQ(levels.enter(level, 1, client.maker()), Levels::Entry::go) << i;
  EXPECT_EQ(levels.enter(level, 1, client.maker()), Levels::Entry::queued);
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
