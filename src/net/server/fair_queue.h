// Tasks that wait for a thread. Those of one flow come in the order in which they were put in; between flows it is one of
// each in turn, so that a task waits for as many others as there are flows, however many tasks one of them has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/time.h"

namespace kybern::net {

class FairQueue {
 public:
  using Task = std::move_only_function<void()>;

  FairQueue() : lines_(lines) {}
  ~FairQueue() { clear(); }
  FairQueue(const FairQueue&) = delete;
  FairQueue& operator=(const FairQueue&) = delete;

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  void push(Task task, std::uint64_t flow, Instant now) {
    Line& line = lines_[flow % lines];
    Waiting* waiting = new Waiting{std::move(task), now, nullptr};
    if (line.last) line.last->next = waiting;
    else line.first = waiting, turns_.push_back(static_cast<std::uint16_t>(flow % lines));
    line.last = waiting;
    ++size_;
  }

  // Not of an empty queue.
  Task pop() {
    std::uint16_t turn = turns_.front();
    turns_.pop_front();
    Line& line = lines_[turn];
    std::unique_ptr<Waiting> waiting(line.first);
    line.first = waiting->next;
    if (line.first) turns_.push_back(turn);
    else line.last = nullptr;
    --size_;
    return std::move(waiting->task);
  }

  // Since when the one whose turn is next has waited.
  Instant since() const { return lines_[turns_.front()].first->since; }

  void clear() {
    while (!empty()) (void)pop();
  }

 private:
  static constexpr std::size_t lines = 256;  // flows that meet in one share its turns
  struct Waiting {
    Task task;
    Instant since;
    Waiting* next;
  };
  struct Line {
    Waiting* first = nullptr;
    Waiting* last = nullptr;
  };
  std::vector<Line> lines_;
  std::deque<std::uint16_t> turns_;  // the lines that are not empty
  std::size_t size_ = 0;
};

}  // namespace kybern::net
