#include "net/server/pool.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <exception>

#include "base/check.h"
#include "base/log.h"
#include "net/server/slice.h"

namespace kybern::net {
namespace {

constexpr std::chrono::milliseconds look_interval{2};
constexpr int patient_rounds = 10;  // a busy processor does not hold back a thread for longer than this many looks

std::size_t available_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
}

Duration process_cpu() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

void run_task(Pool::Task& task) {
  try {
    task();
  } catch (const std::exception& error) { log_error("net", "a handler threw an exception", {{"error", error.what()}}); }
  task = nullptr;
}

}  // namespace

struct Pool::Worker {
  Pool* pool = nullptr;
  pthread_t thread{};
  std::condition_variable wake;
  bool woken = false;
};

Pool::Pool(Options options, std::function<void()> call_supervisor)
    : options_(options), processors_(available_processors()), call_supervisor_(std::move(call_supervisor)) {
  std::unique_lock lock(mutex_);
  for (std::size_t i = 0; i < std::max<std::size_t>(options_.min_threads, 1); ++i) spawn(lock);
}

Pool::~Pool() { stop(); }

std::size_t Pool::threads() const {
  std::lock_guard lock(mutex_);
  return workers_.size();
}

void Pool::spawn(std::unique_lock<std::mutex>& lock) {
  std::vector<std::unique_ptr<Worker>> finished;
  finished.swap(finished_);
  auto worker = std::make_unique<Worker>();
  worker->pool = this;
  Worker* self = worker.get();
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, options_.stack_bytes);
  auto run = [](void* argument) -> void* {
    use_slice(std::chrono::nanoseconds(0));  // not that of the reactor, which starts threads
    auto* worker = static_cast<Worker*>(argument);
    worker->pool->work(*worker);
    return nullptr;
  };
  int error = ::pthread_create(&self->thread, &attributes, run, self);
  ::pthread_attr_destroy(&attributes);
  KYBERN_CHECK(error == 0 || !workers_.empty(), "the first handler thread can be started");
  if (error == 0) {
    workers_.push_back(std::move(worker));
    ::pthread_setname_np(self->thread, "handler");
  }
  lock.unlock();
  for (auto& ended : finished) ::pthread_join(ended->thread, nullptr);
  lock.lock();
}

void Pool::work(Worker& self) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (queue_.empty() && !wait_for_work(self, lock)) break;
    if (queue_.empty()) continue;
    Task task = queue_.pop();
    if (!queue_.empty()) wake_one(lock);
    lock.unlock();
    run_task(task);
    lock.lock();
  }
  auto mine = std::find_if(workers_.begin(), workers_.end(), [&](const auto& worker) { return worker.get() == &self; });
  finished_.push_back(std::move(*mine));
  workers_.erase(mine);
  ended_.notify_all();
}

// False when this thread is to end.
bool Pool::wait_for_work(Worker& self, std::unique_lock<std::mutex>& lock) {
  if (stopping_) return false;
  self.woken = false;
  idle_.push_back(&self);
  while (!self.woken && !stopping_) {
    if (self.wake.wait_for(lock, options_.idle_end) == std::cv_status::no_timeout || self.woken || stopping_) continue;
    if (workers_.size() <= std::max<std::size_t>(options_.min_threads, 1)) continue;
    std::erase(idle_, &self);
    return false;
  }
  if (!self.woken) std::erase(idle_, &self);
  return true;
}

void Pool::wake_one(std::unique_lock<std::mutex>&) {
  if (idle_.empty()) return;
  Worker* worker = idle_.back();
  idle_.pop_back();
  worker->woken = true;
  worker->wake.notify_one();
}

void Pool::post(Task task, std::uint64_t flow) {
  bool call = false;
  {
    std::unique_lock lock(mutex_);
    if (stopping_ && workers_.empty()) return;
    queue_.push(std::move(task), flow, std::chrono::steady_clock::now());
    hand_out(call);
    wake_one(lock);
  }
  if (call) call_supervisor_();
}

void Pool::post_all(std::vector<Flowing>& tasks) {
  if (tasks.empty()) return;
  bool call = false;
  {
    std::unique_lock lock(mutex_);
    if (!(stopping_ && workers_.empty())) {
      Instant now = std::chrono::steady_clock::now();
      for (auto& [task, flow] : tasks) queue_.push(std::move(task), flow, now);
      hand_out(call);
      wake_one(lock);  // it wakes the next one when tasks are left
    }
  }
  tasks.clear();
  if (call) call_supervisor_();
}

// Asks for supervision when there are more tasks than idle threads.
void Pool::hand_out(bool& call) {
  if (supervised_ || queue_.size() <= idle_.size() || workers_.size() >= options_.max_threads) return;
  supervised_ = call = true;
}

// Whether the process has used nearly all of the processors since the last look: more threads would not help.
bool Pool::too_busy(Instant now) {
  Duration cpu = process_cpu(), used = cpu - measured_cpu_, passed = now - measured_at_;
  measured_cpu_ = cpu;
  measured_at_ = now;
  if (passed <= Duration(0) || passed > std::chrono::milliseconds(50)) return true;  // the first look only measures
  return used * 10 >= passed * 9 * static_cast<std::int64_t>(std::min<std::size_t>(processors_, 64));
}

std::optional<std::chrono::milliseconds> Pool::supervise(Instant now) {
  std::unique_lock lock(mutex_);
  if (!supervised_) return std::nullopt;
  if (queue_.empty() || workers_.size() >= options_.max_threads || stopping_) {
    supervised_ = false;
    busy_rounds_ = 0;
    return std::nullopt;
  }
  if (now - measured_at_ < look_interval) return look_interval;
  bool busy = too_busy(now);
  bool waits = now - queue_.since() >= look_interval;
  if (!waits || !idle_.empty()) return look_interval;
  if (busy && ++busy_rounds_ < patient_rounds) return look_interval;
  std::size_t more = busy ? 1 : std::min(queue_.size(), workers_.size());
  busy_rounds_ = 0;
  for (std::size_t i = 0; i < more && workers_.size() < options_.max_threads; ++i) spawn(lock);
  return look_interval;
}

void Pool::stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  for (auto& worker : workers_) worker->wake.notify_one();
  ended_.wait(lock, [&] { return workers_.empty(); });
  std::vector<std::unique_ptr<Worker>> finished;
  finished.swap(finished_);
  std::vector<Task> dropped;  // destroyed without the lock: who is in them may call back
  while (!queue_.empty()) dropped.push_back(queue_.pop());
  lock.unlock();
  for (auto& ended : finished) ::pthread_join(ended->thread, nullptr);
}

}  // namespace kybern::net
