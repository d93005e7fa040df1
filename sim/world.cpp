#include "sim/world.h"

#include <time.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"

namespace kybern::sim {
namespace {

// A task that is posted begins within this time: a thread has to take it.
constexpr std::int64_t shortest_start_ns = 1'000, longest_start_ns = 20'000;

// How long the simulation itself takes, for its report; nothing that happens depends on it.
// Time of the processor: what else the machine does is not counted.
std::int64_t real_ns() {
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

}  // namespace

std::uint64_t SplitMix::next() {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

Duration SplitMix::between(Duration low, Duration high) {
  if (high <= low) return low;
  return low + Duration(static_cast<std::int64_t>(below(static_cast<std::uint64_t>((high - low).count()) + 1)));
}

void Trace::add(std::string_view text) {
  for (char c : text) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  add(text.size());
}

void Trace::add(std::uint64_t number) {
  state_ = (state_ ^ number) * 0x100000001b3ULL;
  state_ ^= state_ >> 29;
}

Lane::Lane(SimulatedWorld& world, std::uint32_t number, std::string name)
    : world_(world), number_(number), name_(std::move(name)), random_(world.seed() * 0x2545f4914f6cdd1dULL + number) {}

void Lane::post(Task task) { post_after(Duration(0), std::move(task)); }

TimerId Lane::post_after(Duration delay, Task task) {
  if (dead_) return 0;
  return world_.schedule(*this, delay, std::move(task));
}

void Lane::pause(Duration how_long) { paused_until_ns_ = std::max(paused_until_ns_, (world_.elapsed() + how_long).count()); }

void Lane::cancel(TimerId id) { world_.cancel(id); }

World Lane::world() { return {world_, random_, *this}; }

SimulatedWorld::SimulatedWorld(std::uint64_t seed) : seed_(seed), random_(seed), ties_(~seed) {}

SimulatedWorld::~SimulatedWorld() {
  for (auto& lane : lanes_) kill(*lane);
}

Time SimulatedWorld::now() const { return epoch + elapsed_ + skew_; }

Lane& SimulatedWorld::lane(std::string name) {
  lanes_.push_back(std::unique_ptr<Lane>(new Lane(*this, static_cast<std::uint32_t>(lanes_.size()), std::move(name))));
  return *lanes_.back();
}

void SimulatedWorld::kill(Lane& lane) {
  if (std::exchange(lane.dead_, true)) return;
  std::vector<Task> dropped;  // destroyed at the end: what a task owns may cancel or post
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].used || slots_[i].lane != lane.number_) continue;
    dropped.push_back(std::move(slots_[i].task));
    free_slot(i);
    ++stale_;
  }
}

TimerId SimulatedWorld::schedule(Lane& lane, Duration delay, Task task) {
  std::uint32_t index;
  if (free_.empty()) {
    index = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.task = std::move(task);
  slot.lane = lane.number_;
  slot.used = true;
  const std::int64_t start = shortest_start_ns + static_cast<std::int64_t>(ties_.below(longest_start_ns - shortest_start_ns));
  const std::int64_t at = elapsed_.count() + std::max<std::int64_t>(0, delay.count()) + start;
  heap_.push_back({at, ties_.next(), index, slot.generation});
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  return (static_cast<std::uint64_t>(index) + 1) << 32 | slot.generation;
}

void SimulatedWorld::free_slot(std::uint32_t index) {
  Slot& slot = slots_[index];
  slot.used = false;
  ++slot.generation;
  free_.push_back(index);
}

void SimulatedWorld::cancel(TimerId id) {
  if (id >> 32 == 0) return;
  const std::uint32_t index = static_cast<std::uint32_t>((id >> 32) - 1);
  if (index >= slots_.size() || !slots_[index].used || slots_[index].generation != static_cast<std::uint32_t>(id)) return;
  Task dropped = std::move(slots_[index].task);
  free_slot(index);
  // Timers that were canceled long before their time would fill the heap.
  if (++stale_ > 1024 && stale_ > heap_.size() / 2) {
    std::erase_if(heap_, [&](const Entry& e) { return is_stale(e); });
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    stale_ = 0;
  }
}

bool SimulatedWorld::run_next(std::int64_t until_ns) {
  while (!heap_.empty() && heap_.front().at_ns <= until_ns) {
    const Entry entry = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
    if (is_stale(entry)) {
      if (stale_ > 0) --stale_;
      continue;
    }
    Lane& lane = *lanes_[slots_[entry.slot].lane];
    if (lane.busy_) {
      aside_.push_back(entry);
      continue;
    }
    if (entry.at_ns < lane.paused_until_ns_) {
      heap_.push_back({lane.paused_until_ns_ + ++lane.resumed_, entry.tie, entry.slot, entry.generation});
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
      continue;
    }
    Task task = std::move(slots_[entry.slot].task);
    free_slot(entry.slot);
    elapsed_ = std::max(elapsed_, Duration(entry.at_ns));
    ++events_;
    trace_.add(static_cast<std::uint64_t>(entry.at_ns) ^ static_cast<std::uint64_t>(lane.number_) << 48);
    Lane* before = std::exchange(current_, &lane);
    lane.busy_ = true;
    const std::int64_t outer = std::exchange(elsewhere_ns_, 0), begin = real_ns();
    task();
    task = nullptr;
    const std::int64_t taken = real_ns() - begin;
    lane.spent_ns_ += taken - elsewhere_ns_;
    elsewhere_ns_ = outer + taken;
    lane.busy_ = false;
    current_ = before;
    return true;
  }
  return false;
}

bool SimulatedWorld::step() { return run_next(INT64_MAX); }

void SimulatedWorld::run_for(Duration duration) {
  KYBERN_CHECK(!current_, "a task waits, it does not run the world");
  const Duration end = elapsed_ + duration;
  while (run_next(end.count())) {}
  elapsed_ = std::max(elapsed_, end);
}

std::int64_t SimulatedWorld::measure(const std::function<void()>& work) {
  const std::int64_t begin = real_ns(), before = elsewhere_ns_;
  work();
  const std::int64_t taken = real_ns() - begin;
  elsewhere_ns_ = before + taken;
  return taken;
}

void SimulatedWorld::wait(Duration duration) {
  const Duration end = elapsed_ + duration;
  std::vector<Entry> outer = std::exchange(aside_, {});
  while (run_next(end.count())) {}
  for (const Entry& entry : aside_) {
    heap_.push_back(entry);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
  aside_ = std::move(outer);
  elapsed_ = std::max(elapsed_, end);
}

}  // namespace kybern::sim
