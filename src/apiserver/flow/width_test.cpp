#include "apiserver/flow/width.h"

#include <gtest/gtest.h>

#include "apiserver/flow/retry_after.h"

namespace kybern::apiserver {
namespace {

TEST(Width, AListTakesSeatsByWhatItReads) {
  struct Row {
    std::int64_t objects, bytes, limit;
    int max_width, seats;
  };
  const Row rows[] = {
      {0, 0, 0, 10, 1},           {10, 1500, 0, 10, 1},           {100, 1500, 0, 10, 2},
      {500, 1500, 0, 10, 8},      {10'000, 1500, 0, 0, 10},  // no more than a megabyte is in memory at once
      {10'000, 1500, 0, 4, 4},                               // the level's limit
      {10'000, 1500, 500, 10, 8}, {10'000, 1500, 20'000, 10, 10}, {1, 1'500'000, 0, 0, 10},
  };
  for (const Row& row : rows)
    EXPECT_EQ(width_of_list(row.objects, row.bytes, row.limit, row.max_width).seats, row.seats)
        << row.objects << " of " << row.bytes << " limit " << row.limit << " in " << row.max_width;
}

TEST(Width, AWriteTakesSeatsByWhoWatches) {
  EXPECT_EQ(width_of_write(0, 8).seats, 1);
  EXPECT_EQ(width_of_write(9, 8).seats, 1);
  EXPECT_EQ(width_of_write(10, 8).seats, 1);
  EXPECT_EQ(width_of_write(35, 8).seats, 4);
  EXPECT_EQ(width_of_write(1000, 8).seats, 8);
  EXPECT_EQ(width_of_write(1000, 0).seats, 10);
  EXPECT_EQ(width_of_write(100, 8).afterwards, Duration());  // an instant
  EXPECT_EQ(width_of_write(1000, 10).afterwards, std::chrono::milliseconds(1));
  EXPECT_EQ(width_of_write(5000, 5).afterwards, std::chrono::milliseconds(10));
}

TEST(Width, WhoWatchesOneObjectOrOneNodeIsNotCounted) {
  auto few = [](std::string_view group, std::string_view plural, std::string_view fields) {
    return hears_of_few(group, plural, *FieldSelector::parse(fields));
  };
  EXPECT_TRUE(few("", "pods", "spec.nodeName=a"));
  EXPECT_TRUE(few("", "secrets", "metadata.name=a"));
  EXPECT_TRUE(few("", "configmaps", "metadata.name=a"));
  EXPECT_FALSE(few("", "pods", "spec.nodeName="));  // the scheduler's: pods without a node
  EXPECT_FALSE(few("", "pods", "spec.nodeName!=a"));
  EXPECT_FALSE(few("", "pods", ""));
  EXPECT_FALSE(few("", "pods", "metadata.name=a"));
  EXPECT_FALSE(few("", "services", "metadata.name=a"));
  EXPECT_FALSE(few("metrics.k8s.io", "pods", "spec.nodeName=a"));
}

TEST(RetryAfter, GrowsWhileManyAreRefusedAndShrinksAfter) {
  RetryAfter waits;
  std::int64_t now = 1'700'000'000;
  EXPECT_EQ(waits.refused("a", now), 1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(waits.refused("a", now), 1) << "the first second";
  EXPECT_EQ(waits.refused("b", now), 1);
  EXPECT_EQ(waits.refused("a", ++now), 2);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(waits.refused("a", now), 2);
  EXPECT_EQ(waits.refused("a", now + 1), 2) << "no sooner than two seconds after it grew";
  now += 2;
  EXPECT_EQ(waits.refused("a", now), 4);
  EXPECT_EQ(waits.refused("b", now), 1);
  for (int i = 0; i < 1000; ++i) {
    ++now;
    for (int n = 0; n < 100; ++n) waits.refused("a", now);
  }
  EXPECT_EQ(waits.refused("a", now), 32) << "no longer than half a minute";
  now += 100;
  EXPECT_EQ(waits.refused("a", now), 31);
  for (int seconds = 30; seconds >= 1; --seconds) EXPECT_EQ(waits.refused("a", now += 50), seconds);
  EXPECT_EQ(waits.refused("a", now += 50), 1);
}

}  // namespace
}  // namespace kybern::apiserver
