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

constexpr std::int64_t measured_part = 32;  // of the tasks one is measured: reading the processor's clock is a system call
constexpr std::uint64_t events_per_pulse = 64;

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

void Lane::wait(Duration duration) { world_.wait(duration); }

World Lane::world() { return {world_, random_, *this}; }

SimulatedWorld::SimulatedWorld(std::uint64_t seed) : seed_(seed), random_(seed), ties_(~seed) {}

SimulatedWorld::~SimulatedWorld() {
  for (auto& lane : lanes_) kill(*lane);
  KYBERN_CHECK(waiting_ == 0, "no task waits any more");
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
    if (!slots_[i].used || slots_[i].waits || slots_[i].lane != lane.number_) continue;
    dropped.push_back(std::move(slots_[i].task));
    free_slot(i);
    ++stale_;
  }
}

std::uint32_t SimulatedWorld::take_slot(std::uint32_t lane) {
  std::uint32_t index;
  if (free_.empty()) {
    index = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  slots_[index].lane = lane;
  slots_[index].used = true;
  return index;
}

TimerId SimulatedWorld::schedule(Lane& lane, Duration delay, Task task) {
  const std::uint32_t index = take_slot(lane.number_);
  Slot& slot = slots_[index];
  slot.task = std::move(task);
  const std::int64_t start = shortest_start_ns + static_cast<std::int64_t>(ties_.below(longest_start_ns - shortest_start_ns));
  const std::int64_t at = elapsed_.count() + std::max<std::int64_t>(0, delay.count()) + start;
  heap_.push_back({at, ties_.next(), index, slot.generation});
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  return (static_cast<std::uint64_t>(index) + 1) << 32 | slot.generation;
}

void SimulatedWorld::free_slot(std::uint32_t index) {
  Slot& slot = slots_[index];
  slot.used = false;
  slot.waits = nullptr;
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

// --- running ---------------------------------------------------------------------------------------------------------

void SimulatedWorld::charge() {
  if (weight_ == 0) return;
  const std::int64_t now = real_ns();
  if (charged_) *charged_ += (now - mark_ns_) * weight_;
  mark_ns_ = now;
}

void SimulatedWorld::run_task(Lane& lane, Task task) {
  current_ = &lane;
  lane.busy_ = true;
  weight_ = (ties_.next() & (measured_part - 1)) == 0 ? measured_part : 0;
  charge();
  charged_ = &lane.spent_ns_;
  task();
  task = nullptr;
  charge();
  charged_ = nullptr;
  weight_ = 1;
  lane.busy_ = false;
  current_ = nullptr;
  // One of those that waited for the lane takes its place; the others wait for that one.
  if (lane.aside_.empty()) return;
  std::pop_heap(lane.aside_.begin(), lane.aside_.end(), std::greater<>());
  heap_.push_back(lane.aside_.back());
  lane.aside_.pop_back();
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

bool SimulatedWorld::run_next() {
  while (!heap_.empty() && heap_.front().at_ns <= until_ns_) {
    const Entry entry = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
    if (is_stale(entry)) {
      if (stale_ > 0) --stale_;
      continue;
    }
    Lane& lane = *lanes_[slots_[entry.slot].lane];
    Fiber* const waits = slots_[entry.slot].waits;
    if (!waits && lane.busy_) {
      lane.aside_.push_back(entry);
      std::push_heap(lane.aside_.begin(), lane.aside_.end(), std::greater<>());
      continue;
    }
    if (!waits && entry.at_ns < lane.paused_until_ns_) {
      heap_.push_back({lane.paused_until_ns_ + ++lane.resumed_, entry.tie, entry.slot, entry.generation});
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
      continue;
    }
    Task task = std::move(slots_[entry.slot].task);
    free_slot(entry.slot);
    elapsed_ = std::max(elapsed_, Duration(entry.at_ns));
    ++events_;
    trace_.add(static_cast<std::uint64_t>(entry.at_ns) ^ static_cast<std::uint64_t>(lane.number_) << 48);
    if (events_ % events_per_pulse == 0) {
      if (pulse) pulse();
      if (interrupted) interrupted();
    }
    if (waits) {
      idle_.push_back(running_);
      leave_for(*waits);
    } else {
      run_task(lane, std::move(task));
    }
    return true;
  }
  return false;
}

void SimulatedWorld::loop() {
  for (;;) {
    if (run_next()) continue;
    idle_.push_back(running_);
    leave_for(driver_);
  }
}

void SimulatedWorld::leave_for(Fiber& other) {
  Fiber* const me = running_;
  running_ = &other;
  me->switch_to(other);
}

void SimulatedWorld::leave_for_idle() {
  if (idle_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>([this] { loop(); }));
    idle_.push_back(fibers_.back().get());
  }
  Fiber* const next = idle_.back();
  idle_.pop_back();
  leave_for(*next);
}

void SimulatedWorld::run_for(Duration duration) {
  KYBERN_CHECK(!current_, "a task waits, it does not run the world");
  const Duration end = elapsed_ + duration;
  until_ns_ = end.count();
  leave_for_idle();
  elapsed_ = std::max(elapsed_, end);
}

void SimulatedWorld::finish_waiting() {
  while (waiting_ > 0) run_for(std::chrono::milliseconds(1));
}

std::int64_t SimulatedWorld::measure(const std::function<void()>& work) {
  std::int64_t taken = 0;
  charge();
  std::int64_t* const before = std::exchange(charged_, &taken);
  work();
  charge();
  charged_ = before;
  return taken;
}

void SimulatedWorld::wait(Duration duration) {
  KYBERN_CHECK(current_, "tasks wait, nobody else");
  charge();
  Lane* const lane = current_;
  const std::int64_t weight = weight_;
  const std::uint32_t index = take_slot(lane->number_);
  slots_[index].waits = running_;
  heap_.push_back({(elapsed_ + std::max(Duration(0), duration)).count(), ties_.next(), index, slots_[index].generation});
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  current_ = nullptr;
  charged_ = nullptr;
  weight_ = 1;
  ++waiting_;
  leave_for_idle();
  --waiting_;
  current_ = lane;
  weight_ = weight;
  if (weight_ != 0) mark_ns_ = real_ns();
  charged_ = &lane->spent_ns_;
}

}  // namespace kybern::sim
