#include "bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace kybern::bench {

std::size_t Histogram::bucket_of(std::uint64_t us) {
  us = std::min(us, (std::uint64_t{1} << top_bit) - 1);
  auto width = static_cast<unsigned>(std::bit_width(us));
  if (width <= sub_bits) return us;
  unsigned shift = width - sub_bits;
  return shift * half + (us >> shift);
}

std::uint64_t Histogram::top_of(std::size_t bucket) {
  if (bucket < 2 * half) return bucket;
  std::size_t shift = bucket / half - 1, sub = bucket - shift * half;
  return ((sub + 1) << shift) - 1;
}

void Histogram::record(std::chrono::nanoseconds value) {
  auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(0, value.count() / 1000));
  ++buckets_[bucket_of(us)];
  ++count_;
  max_ = std::max(max_, us);
  sum_us_ += static_cast<double>(us);
}

void Histogram::add(const Histogram& other) {
  for (std::size_t i = 0; i < bucket_count; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
  sum_us_ += other.sum_us_;
}

std::chrono::nanoseconds Histogram::quantile(double share) const {
  if (!count_) return {};
  auto wanted =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bucket_count; ++i)
    if ((seen += buckets_[i]) >= wanted) return std::chrono::microseconds(std::min(top_of(i), max_));
  return max();
}

}  // namespace kybern::bench
