// For tests of this room and its users: a world that moves only when told to, and a transport that delivers only what
// a test feeds. Neither imitates the API server.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/testing/eventually.h"
#include "base/world.h"
#include "client/transport.h"

namespace kybern::client::testing_support {

// Tasks run on the test's thread, in run_ready() and advance(); time stands still in between.
class StepWorld : public Clock, public Random, public Executor {
 public:
  World world() { return World{*this, *this, *this}; }
  Time now() const override { return Time(std::chrono::seconds(1'700'000'000)) + passed_; }
  Instant steady() const override { return Instant(std::chrono::seconds(1000)) + passed_; }
  std::uint64_t next() override {  // splitmix64
    std::uint64_t z = (random_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  void post(Task task) override { ready_.push_back(std::move(task)); }
  TimerId post_after(Duration delay, Task task) override {
    timers_.emplace(std::pair(passed_ + delay, ++last_timer_), std::move(task));
    return last_timer_;
  }
  void cancel(TimerId id) override {
    for (auto it = timers_.begin(); it != timers_.end(); ++it)
      if (it->first.second == id) return void(timers_.erase(it));
  }
  void wait(Duration duration) override { passed_ += duration; }
  void run_ready() {
    while (!ready_.empty()) {
      Task task = std::move(ready_.front());
      ready_.pop_front();
      task();
    }
  }
  void advance(Duration by) {
    const Duration end = passed_ + by;
    run_ready();
    while (!timers_.empty() && timers_.begin()->first.first <= end) {
      passed_ = std::max(passed_, timers_.begin()->first.first);
      Task task = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      task();
      run_ready();
    }
    passed_ = std::max(passed_, end);  // a task may have let more time pass
  }

 private:
  Duration passed_{};
  std::uint64_t random_ = 1;
  std::deque<Task> ready_;
  std::map<std::pair<Duration, TimerId>, Task> timers_;
  TimerId last_timer_ = 0;
};

// Hands out what the test feeds; `answer` answers calls.
class FeedTransport : public Transport {
 public:
  std::function<ApiResult<Document>(const Call&)> answer;
  std::vector<Call> calls;
  std::map<std::string, Listener> listeners;  // by path

  ApiResult<Document> call(Call call) override {
    std::lock_guard lock(mutex_);
    calls.push_back(call);
    return answer ? answer(calls.back()) : ApiResult<Document>(Document());
  }
  std::unique_ptr<Subscription> subscribe(std::string path, std::string, Listener listener) override {
    listeners[path] = std::move(listener);
    struct Feed : Subscription {
      FeedTransport* owner;
      std::string path;
      ~Feed() override { owner->listeners.erase(path); }
    };
    auto out = std::make_unique<Feed>();
    out->owner = this;
    out->path = path;
    return out;
  }

 private:
  std::mutex mutex_;
};

}  // namespace kybern::client::testing_support
