#include "base/world.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"

namespace kybern {
namespace {

class RealClock : public Clock {
 public:
  Time now() const override { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }
  Instant steady() const override { return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now()); }
};

class RealRandom : public Random {
 public:
  std::uint64_t next() override {
    // A call of the kernel costs more than what is made of one number: each thread asks for some ahead (256 bytes come whole,
    // getrandom(2)), and forgets each as it is given out.
    thread_local std::uint64_t ahead[32];
    thread_local std::size_t left = 0;
    if (left == 0) {
      KYBERN_CHECK(::getrandom(ahead, sizeof ahead, 0) == sizeof ahead, "the kernel's random source answers");
      left = std::size(ahead);
    }
    return std::exchange(ahead[--left], 0);
  }
};

// Threads come when a task waits and none is idle, and go after `idle_limit` without work. One of the idle threads waits
// for the next timer, the others for a task; with no timer due nothing wakes up.
class ThreadPool : public Executor {
 public:
  static constexpr Duration idle_limit = std::chrono::seconds(10);

  void set_max(std::size_t max_threads) {
    std::lock_guard lock(mutex_);
    max_threads_ = std::max<std::size_t>(1, max_threads);
  }

  void post(Task task) override {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    ready_.push_back(std::move(task));
    wake_one();
  }

  TimerId post_after(Duration delay, Task task) override {
    std::lock_guard lock(mutex_);
    if (stopping_) return 0;
    TimerId id = ++last_timer_;
    Instant due = std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now()) + std::max(delay, Duration(0));
    bool earliest = timers_.empty() || due < timers_.begin()->first.first;
    timers_.emplace(std::pair(due, id), std::move(task));
    due_.emplace(id, due);
    if (earliest) {
      if (timer_waits_) timer_changed_.notify_one();
      else wake_one();
    }
    return id;
  }

  void cancel(TimerId id) override {
    Task dropped;  // destroyed after the lock is released: a task may own anything
    std::lock_guard lock(mutex_);
    auto found = due_.find(id);
    if (found == due_.end()) return;
    auto timer = timers_.find(std::pair(found->second, id));
    dropped = std::move(timer->second);
    timers_.erase(timer);
    due_.erase(found);
  }

  void wait(Duration duration) override { std::this_thread::sleep_for(duration); }

  void stop() {
    std::deque<Task> dropped;
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      dropped.swap(ready_);
      work_.notify_all();
      timer_changed_.notify_all();
    }
    std::unique_lock lock(mutex_);
    gone_.wait(lock, [&] { return threads_ == 0; });
    auto timers = std::move(timers_);
    timers_.clear();
    due_.clear();
    lock.unlock();
  }

 private:
  void wake_one() {  // with the lock
    if (idle_ > 0) {
      work_.notify_one();
    } else if (timer_waits_) {
      timer_changed_.notify_one();
    } else if (threads_ < max_threads_) {
      ++threads_;
      std::thread([this] { run(); }).detach();
    }
  }

  void take_due_timers() {  // with the lock
    Instant now = std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
    while (!timers_.empty() && timers_.begin()->first.first <= now) {
      due_.erase(timers_.begin()->first.second);
      ready_.push_back(std::move(timers_.begin()->second));
      timers_.erase(timers_.begin());
    }
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      take_due_timers();
      if (!ready_.empty()) {
        Task task = std::move(ready_.front());
        ready_.pop_front();
        if (!ready_.empty() || (!timers_.empty() && !timer_waits_)) wake_one();
        lock.unlock();
        task();
        task = nullptr;
        lock.lock();
        continue;
      }
      if (!timers_.empty() && !timer_waits_) {
        timer_waits_ = true;
        Instant due = timers_.begin()->first.first;
        timer_changed_.wait_until(lock, due);
        timer_waits_ = false;
        continue;
      }
      ++idle_;
      auto status = work_.wait_for(lock, idle_limit);
      --idle_;
      if (status == std::cv_status::timeout && ready_.empty() && (timers_.empty() || timer_waits_)) break;
    }
    --threads_;
    gone_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable work_, timer_changed_, gone_;
  std::deque<Task> ready_;
  std::map<std::pair<Instant, TimerId>, Task> timers_;
  std::unordered_map<TimerId, Instant> due_;
  TimerId last_timer_ = 0;
  std::size_t threads_ = 0, idle_ = 0, max_threads_ = 64;
  bool timer_waits_ = false, stopping_ = false;
};

RealClock real_clock;
RealRandom real_random;
ThreadPool& pool() {
  static ThreadPool* p = new ThreadPool;  // never destroyed: detached threads may still look at it at exit
  return *p;
}

}  // namespace

World real_world() { return {real_clock, real_random, pool()}; }
void set_real_world_threads(std::size_t max_threads) { pool().set_max(max_threads); }
void stop_real_world() { pool().stop(); }

std::string new_uuid(Random& random) {
  std::uint64_t a = random.next(), b = random.next();
  a = (a & 0xffffffffffff0fffULL) | 0x4000;
  b = (b & 0x3fffffffffffffffULL) | 0x8000000000000000ULL;
  // 8-4-4-4-12 digits.
  static constexpr char digits[] = "0123456789abcdef";
  std::string out(36, '-');
  std::size_t at = 0;
  for (std::uint64_t half : {a, b})
    for (int shift = 60; shift >= 0; shift -= 4) {
      if (at == 8 || at == 13 || at == 18 || at == 23) ++at;
      out[at++] = digits[half >> shift & 15];
    }
  return out;
}

std::string random_suffix(Random& random, std::size_t length) {
  static constexpr std::string_view alphabet = "bcdfghjklmnpqrstvwxz2456789";
  std::string out;
  for (std::size_t i = 0; i < length; ++i) out += alphabet[random.next() % alphabet.size()];
  return out;
}

double random_unit(Random& random) { return static_cast<double>(random.next() >> 11) * 0x1.0p-53; }

}  // namespace kybern
