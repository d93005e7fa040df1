#include "bench/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace kybern::bench {
namespace {

using std::chrono::microseconds;

TEST(Histogram, IsEmptyAtFirst) {
  Histogram h;
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.quantile(0.99).count(), 0);
}

TEST(Histogram, KeepsEveryValueWithinItsPrecision) {
  for (std::int64_t us : {0, 1, 127, 128, 255, 256, 257, 1000, 12345, 999999, 60'000'000, 2'000'000'000}) {
    Histogram h;
    h.record(microseconds(us));
    h.record(microseconds(us * 2 + 2));  // so that the top of a bucket is not cut off by the maximum
    double got = static_cast<double>(h.quantile(0.5).count()) / 1000;
    EXPECT_GE(got, static_cast<double>(us));
    EXPECT_LE(got, static_cast<double>(us) * 1.008);
    EXPECT_EQ(h.max(), microseconds(us * 2 + 2));
  }
}

TEST(Histogram, QuantilesAreThoseOfTheSortedValues) {
  std::mt19937 random(7);
  std::vector<std::int64_t> all;
  Histogram parts[3], h;
  for (int i = 0; i < 20000; ++i) {
    std::int64_t us = static_cast<std::int64_t>(std::exp(std::uniform_real_distribution<>(0, 16)(random)));
    all.push_back(us);
    parts[i % 3].record(microseconds(us));
  }
  for (const Histogram& part : parts) h.add(part);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(h.count(), all.size());
  for (double share : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    double exact = static_cast<double>(all[static_cast<std::size_t>(share * static_cast<double>(all.size())) - 1]);
    double got = static_cast<double>(h.quantile(share).count()) / 1000;
    EXPECT_GE(got, exact) << share;
    EXPECT_LE(got, exact * 1.01 + 1) << share;
  }
}

}  // namespace
}  // namespace kybern::bench
