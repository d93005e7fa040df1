#include "client/queue.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/debug.h"
#include "base/log.h"
#include "base/metrics.h"

namespace kybern::client {
namespace {

// Names, labels and bounds are upstream's.
metrics::GaugeFamily depth_now("workqueue_depth", "Current depth of workqueue", {"name"});
metrics::CounterFamily adds("workqueue_adds_total", "Total number of adds handled by workqueue", {"name"});
metrics::CounterFamily retries("workqueue_retries_total", "Total number of retries handled by workqueue", {"name"});
metrics::HistogramFamily queue_seconds("workqueue_queue_duration_seconds",
                                       "How long in seconds an item stays in workqueue before being requested.",
                                       metrics::exponential_bounds(10e-9, 10, 12), {"name"});
metrics::HistogramFamily work_seconds("workqueue_work_duration_seconds", "How long in seconds processing an item from workqueue takes.",
                                      metrics::exponential_bounds(10e-9, 10, 12), {"name"});

double in_seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

constexpr Duration first_retry = std::chrono::milliseconds(5);
constexpr Duration last_retry = std::chrono::seconds(1000);

Duration retry_delay(unsigned failures) {  // the first failure waits `first_retry`
  Duration delay = first_retry;
  for (unsigned i = 1; i < failures && delay < last_retry; ++i) delay *= 2;
  return std::min(delay, last_retry);
}

}  // namespace

// Where a key can be: in `ready` (waits for a worker; then also in `dirty`), in `in_work`, in both `dirty` and `in_work`
// (added while in work: goes to `ready` when the work ends), in `waiting` (a timer will add it), or nowhere.
struct WorkQueue::State : std::enable_shared_from_this<State> {
  struct Waiting {
    Instant due;
    TimerId timer;
    std::uint64_t serial;  // tells a timer that was replaced but could not be canceled any more
  };

  State(std::string queue_name, World w, std::size_t worker_limit, std::function<Outcome(const std::string&)> f)
      : name(std::move(queue_name)), world(w), workers(std::max<std::size_t>(1, worker_limit)), work(std::move(f)) {}
  ~State() { depth_series.add(-static_cast<double>(ready.size())); }

  const std::string name;
  const World world;
  const std::size_t workers;
  std::function<Outcome(const std::string&)> work;

  mutable std::mutex mutex;
  std::condition_variable idle;
  struct Ready {
    std::string key;
    Instant since;
  };
  std::deque<Ready> ready;
  std::unordered_set<std::string> dirty;
  std::unordered_map<std::string, Instant> in_work;  // since when
  std::unordered_map<std::string, unsigned> failures;
  std::unordered_map<std::string, Waiting> waiting;
  std::uint64_t serials = 0;
  std::size_t posted = 0;  // tasks given to the executor that have not ended
  bool started = false, stopping = false;
  metrics::Gauge& depth_series = depth_now.with({name});
  metrics::Counter& adds_series = adds.with({name});
  metrics::Counter& retries_series = retries.with({name});
  metrics::Histogram& queue_series = queue_seconds.with({name});
  metrics::Histogram& work_series = work_seconds.with({name});
  debug::Page page{"queues", [this] { return describe(); }};  // last: gone before what it tells of

  std::string describe() const {
    std::lock_guard lock(mutex);
    Duration longest{};
    Instant now = world.clock.steady();
    for (const auto& [key, since] : in_work) longest = std::max(longest, now - since);
    return fmt::format(
        R"({{"type":"workqueue","name":"{}","ready":{},"inWork":{},"delayed":{},"failing":{},"workers":{},"longestRunningSeconds":{:.3f}}})",
        name, ready.size(), in_work.size(), waiting.size(), failures.size(), workers, in_seconds(longest));
  }

  void push_locked(std::string key) {
    ready.push_back({std::move(key), world.clock.steady()});
    depth_series.add(1);
  }

  void add_locked(std::string key) {
    if (stopping || !dirty.insert(key).second) return;
    adds_series.add();
    if (in_work.contains(key)) return;
    push_locked(std::move(key));
    pump_locked();
  }

  void pump_locked() {
    if (!started) return;
    while (posted < workers && posted < in_work.size() + ready.size()) {
      ++posted;
      post();
    }
  }

  void post() {
    world.executor.post([self = shared_from_this()] { self->run_one(); });
  }

  void run_one() {
    std::unique_lock lock(mutex);
    if (stopping || ready.empty()) {
      --posted;
      return;
    }
    std::string key = std::move(ready.front().key);
    const Instant begun = world.clock.steady();
    queue_series.observe(in_seconds(begun - ready.front().since));
    ready.pop_front();
    depth_series.add(-1);
    dirty.erase(key);
    in_work.emplace(key, begun);
    lock.unlock();
    const Outcome outcome = work(key);
    work_series.observe(in_seconds(world.clock.steady() - begun));
    lock.lock();
    in_work.erase(key);
    --posted;
    if (stopping) {
      idle.notify_all();
      return;
    }
    if (dirty.contains(key)) push_locked(key);  // before settling, which may add it too
    settle_locked(key, outcome);
    pump_locked();
  }

  void settle_locked(const std::string& key, const Outcome& outcome) {
    if (outcome.kind != Outcome::Kind::retry) {
      failures.erase(key);
      if (outcome.kind == Outcome::Kind::again_after) add_after_locked(key, outcome.after);
      return;
    }
    retries_series.add();
    const unsigned count = ++failures[key];
    add_after_locked(key, retry_delay(count));
  }

  // Of two times for one key the earlier holds.
  void add_after_locked(const std::string& key, Duration delay) {
    if (stopping) return;
    if (delay <= Duration::zero()) return add_locked(key);
    const Instant due = world.clock.steady() + delay;
    auto found = waiting.find(key);
    if (found != waiting.end()) {
      if (found->second.due <= due) return;
      world.executor.cancel(found->second.timer);
    }
    const std::uint64_t serial = ++serials;
    const TimerId timer = world.executor.post_after(delay, [weak = weak_from_this(), key, serial] {
      if (auto self = weak.lock()) self->fire(key, serial);
    });
    waiting[key] = {due, timer, serial};
  }

  void fire(const std::string& key, std::uint64_t serial) {
    std::lock_guard lock(mutex);
    auto found = waiting.find(key);
    if (found == waiting.end() || found->second.serial != serial) return;
    waiting.erase(found);
    add_locked(key);
  }
};

WorkQueue::WorkQueue(std::string name, World world, std::size_t workers, std::function<Outcome(const std::string& key)> work)
    : state_(std::make_shared<State>(std::move(name), world, workers, std::move(work))) {}

WorkQueue::~WorkQueue() { stop(); }

void WorkQueue::stop() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  for (auto& [key, waiting] : state_->waiting) state_->world.executor.cancel(waiting.timer);
  state_->waiting.clear();
  state_->depth_series.add(-static_cast<double>(state_->ready.size()));
  state_->ready.clear();
  state_->idle.wait(lock, [&] { return state_->in_work.empty(); });
}

void WorkQueue::add(std::string key) {
  std::lock_guard lock(state_->mutex);
  state_->add_locked(std::move(key));
}

void WorkQueue::add_after(std::string key, Duration delay) {
  std::lock_guard lock(state_->mutex);
  state_->add_after_locked(key, delay);
}

void WorkQueue::start() {
  std::lock_guard lock(state_->mutex);
  state_->started = true;
  state_->pump_locked();
}

std::size_t WorkQueue::depth() const {
  std::lock_guard lock(state_->mutex);
  return state_->ready.size();
}

}  // namespace kybern::client
