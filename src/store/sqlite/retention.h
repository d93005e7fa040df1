// Which rows of the log are superseded, and when they may go.
//
// A row is superseded by the next row of its key; a tombstone by itself: once it is removed, nothing of the key is left.
// Rows are removed in the order in which they were superseded, so that after a slice the log still tells every change
// behind one revision, `compacted`, and the newest value of each key before it.
#pragma once

#include <cstdint>
#include <deque>

#include "base/time.h"
#include "store/limits.h"
#include "store/store.h"

namespace kybern::store {

class Retention {
 public:
  struct Item {
    Revision row;          // the superseded one
    Revision by;           // the row that superseded it
    std::uint32_t second;  // when, since the start
    std::uint32_t bytes;   // of its value, about
    bool tombstone;        // row `by` is one
  };

  explicit Retention(RetentionLimits limits) : limits_(limits) {}

  void add_live(std::size_t bytes) { live_bytes_ += bytes; }
  // `bytes` that were live are superseded.
  void supersede(Revision row, Revision by, std::size_t bytes, bool tombstone, std::uint32_t second) {
    live_bytes_ -= bytes < live_bytes_ ? bytes : live_bytes_;
    superseded_bytes_ += bytes;
    items_.push_back({row, by, second, static_cast<std::uint32_t>(bytes), tombstone});
  }

  bool slice_due(std::uint32_t second) const {
    return superseded_bytes_ > budget() || (items_.size() >= limits_.slice_rows && old(items_[limits_.slice_rows - 1], second));
  }
  // How many of the first items make the next slice, of about `rows` at most, when one is due.
  std::size_t slice(std::size_t rows, std::uint32_t second) const {
    if (!slice_due(second)) return 0;
    const std::size_t most = rows > limits_.slice_rows ? rows : limits_.slice_rows;
    const std::size_t enough = budget() - budget() / 8;
    std::size_t n = 0, left = superseded_bytes_;
    while (n < items_.size() && n < most && (left > enough || old(items_[n], second))) left -= items_[n++].bytes;
    return n;
  }
  const Item& operator[](std::size_t index) const { return items_[index]; }
  void forget(std::size_t n) {
    for (; n > 0; --n) {
      superseded_bytes_ -= items_.front().bytes;
      items_.pop_front();
    }
  }
  std::size_t size() const { return items_.size(); }
  bool waiting() const { return items_.size() >= limits_.slice_rows; }  // time alone will make a slice due

 private:
  std::size_t budget() const {
    return live_bytes_ / limits_.live_divisor > limits_.min_bytes ? live_bytes_ / limits_.live_divisor : limits_.min_bytes;
  }
  bool old(const Item& item, std::uint32_t second) const {
    return item.second + static_cast<std::uint32_t>(limits_.max_age.count()) < second;
  }

  const RetentionLimits limits_;
  std::deque<Item> items_;
  std::size_t live_bytes_ = 0, superseded_bytes_ = 0;
};

}  // namespace kybern::store
