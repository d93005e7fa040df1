#include "kubelet/run/tasks.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace kybern::kubelet {

struct Tasks::State : std::enable_shared_from_this<Tasks::State> {
  static constexpr std::chrono::seconds idle_limit{5};
  World world;
  std::size_t max_threads;
  std::mutex mutex;
  std::condition_variable work, ended;
  std::deque<Task> waiting;
  std::size_t threads = 0, idle = 0;
  bool stopping = false;

  State(World w, std::size_t max) : world(w), max_threads(max) {}

  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      if (waiting.empty()) {
        if (stopping) break;
        ++idle;
        bool woken = work.wait_for(lock, idle_limit, [&] { return stopping || !waiting.empty(); });
        --idle;
        if (!woken && waiting.empty()) break;
        continue;
      }
      Task task = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      task();
      task = nullptr;
      lock.lock();
    }
    --threads;
    ended.notify_all();
  }
};

Tasks::Tasks(World world, std::size_t max_threads) : state_(std::make_shared<State>(world, max_threads)) {}
Tasks::~Tasks() { stop(); }

void Tasks::post(Task task) {
  State& s = *state_;
  if (s.max_threads == 0) {
    s.world.executor.post(std::move(task));
    return;
  }
  std::lock_guard lock(s.mutex);
  if (s.stopping) return;
  s.waiting.push_back(std::move(task));
  if (s.idle >= s.waiting.size() || s.threads >= s.max_threads) {
    s.work.notify_one();
    return;
  }
  ++s.threads;
  std::thread([state = state_] { state->run(); }).detach();
}

void Tasks::stop() {
  State& s = *state_;
  std::deque<Task> dropped;
  std::unique_lock lock(s.mutex);
  s.stopping = true;
  dropped.swap(s.waiting);
  s.work.notify_all();
  s.ended.wait(lock, [&] { return s.threads == 0; });
}

}  // namespace kybern::kubelet
