// The simulated world: virtual time, randomness from a seed, and one thread that runs every task of every component.
//
// Time stands still while a task runs and moves when the next one is due: events happen in the order of their time, and of
// two at the same time a random number drawn from the seed decides. The same seed gives the same order, always.
//
// A lane is a thread of execution's share of the world: a component that may crash has one of its own, so that everything
// it had posted can be dropped with it. While a task of a lane waits (`wait`, the time that a request travels), it stays
// where it is, on a stack of its own, and tasks of the other lanes run; the lane itself does not, as if it had a single thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/world.h"
#include "sim/fiber.h"

namespace kybern::sim {

class SplitMix final : public Random {
 public:
  explicit SplitMix(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override;
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }  // limit > 0
  bool chance(double probability) { return random_unit(*this) < probability; }
  Duration between(Duration low, Duration high);

 private:
  std::uint64_t state_;
};

// A running digest of what happened, in order.
class Trace {
 public:
  void add(std::string_view text);
  void add(std::uint64_t number);
  std::uint64_t digest() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325ULL;
};

class SimulatedWorld;

class Lane final : public Executor {
 public:
  void post(Task task) override;
  TimerId post_after(Duration delay, Task task) override;
  void cancel(TimerId id) override;
  void wait(Duration duration) override;
  bool busy() const { return busy_; }  // one of its tasks is on the stack
  bool dead() const { return dead_; }
  void pause(Duration how_long);  // its process is stopped: what is due meanwhile runs afterwards, in the same order
  const std::string& name() const { return name_; }
  // Of the real processor, requests not counted: estimated from a part of the tasks.
  std::int64_t spent_ns() const { return spent_ns_; }
  World world();

 private:
  friend class SimulatedWorld;
  struct Due {
    std::int64_t at_ns;
    std::uint64_t tie;
    std::uint32_t slot, generation;
    bool operator>(const Due& other) const { return at_ns != other.at_ns ? at_ns > other.at_ns : tie > other.tie; }
  };
  Lane(SimulatedWorld& world, std::uint32_t number, std::string name);
  SimulatedWorld& world_;
  const std::uint32_t number_;
  const std::string name_;
  SplitMix random_;  // what the component draws does not depend on what others draw
  bool busy_ = false, dead_ = false;
  std::int64_t spent_ns_ = 0;
  std::vector<Due> aside_;                          // a heap: what became due while it was busy
  std::int64_t paused_until_ns_ = 0, resumed_ = 0;  // and how many tasks wait for that
};

class SimulatedWorld final : public Clock {
 public:
  explicit SimulatedWorld(std::uint64_t seed);
  ~SimulatedWorld() override;

  Time now() const override;  // begins at `epoch`
  Instant steady() const override { return Instant(elapsed_); }
  Duration elapsed() const { return elapsed_; }
  void jump(Duration by) { skew_ += by; }  // the wall clock alone
  SplitMix& random() { return random_; }   // of the simulation itself: models, faults
  Trace& trace() { return trace_; }
  std::uint64_t seed() const { return seed_; }

  Lane& lane(std::string name);  // a new one; lives as long as the world
  void kill(Lane& lane);         // what it has posted is dropped, what it will post too
  Lane* current() const { return current_; }

  // Runs what is due within this time. Tasks may wait when it returns.
  void run_for(Duration duration);
  // For a task: others run meanwhile.
  void wait(Duration duration);
  std::size_t waiting() const { return waiting_; }  // tasks that do
  // Before those are destroyed whose tasks wait: their lanes are dead, or nothing reaches anybody; they come to their end.
  void finish_waiting();
  // What `work` takes of the real processor is not counted as its lane's but given back; estimated like `spent_ns`.
  std::int64_t measure(const std::function<void()>& work);
  std::function<void()> pulse;                      // called now and then as events pass; must not touch the simulation
  static inline std::function<void()> interrupted;  // the same, of every world: for whoever ends the process

  std::uint64_t events() const { return events_; }
  std::size_t pending() const { return slots_.size() - free_.size(); }  // tasks that are posted

  static constexpr Time epoch{std::chrono::seconds(1'767'225'600)};  // 2026-01-01T00:00:00Z

 private:
  friend class Lane;
  using Entry = Lane::Due;
  struct Slot {
    Task task;
    std::uint32_t generation = 0, lane = 0;
    bool used = false;
    Fiber* waits = nullptr;  // no task: one goes on there
  };

  std::uint32_t take_slot(std::uint32_t lane);
  TimerId schedule(Lane& lane, Duration delay, Task task);
  void cancel(TimerId id);
  void free_slot(std::uint32_t index);
  bool is_stale(const Entry& entry) const { return !slots_[entry.slot].used || slots_[entry.slot].generation != entry.generation; }
  bool run_next();
  void run_task(Lane& lane, Task task);
  void loop();             // of every stack but the driver's
  void leave_for(Fiber&);  // the one that runs now does, and comes back here
  void leave_for_idle();
  void charge();

  const std::uint64_t seed_;
  SplitMix random_, ties_;
  Trace trace_;
  Duration elapsed_{}, skew_{};
  std::vector<Entry> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::deque<std::unique_ptr<Lane>> lanes_;
  Lane* current_ = nullptr;
  std::size_t stale_ = 0, waiting_ = 0;
  std::uint64_t events_ = 0;

  // The driver is who called run_for; it runs no task itself, so that tasks can wait beyond its time.
  Fiber driver_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;  // these stand in `loop`
  Fiber* running_ = &driver_;
  std::int64_t until_ns_ = 0;

  // Whose time passes, since when; how much one measured nanosecond stands for: 0, it is not measured.
  std::int64_t* charged_ = nullptr;
  std::int64_t mark_ns_ = 0, weight_ = 1;
};

}  // namespace kybern::sim
