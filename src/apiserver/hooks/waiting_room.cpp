#include "apiserver/hooks/waiting_room.h"

#include <chrono>
#include <thread>
#include <utility>

namespace kybern::apiserver {
namespace {

constexpr std::chrono::seconds idle_limit(10);

}  // namespace

void WaitingRoom::stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  work_.notify_all();
  gone_.wait(lock, [&] { return threads_ == 0; });
}

bool WaitingRoom::post(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  return push(std::move(task));
}

bool WaitingRoom::push(std::function<void()> task) {
  if (stopping_ || queue_.size() >= max_queued) return false;
  queue_.push_back(std::move(task));
  if (queue_.size() <= idle_) {
    work_.notify_one();
  } else if (threads_ < max_threads) {
    ++threads_;
    std::thread([this] { run(); }).detach();
  }
  return true;
}

bool WaitingRoom::post_now(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (queue_.size() >= idle_ && threads_ >= max_threads) return false;
  return push(std::move(task));
}

std::size_t WaitingRoom::busy() const {
  std::lock_guard lock(mutex_);
  return threads_ - idle_;
}

void WaitingRoom::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (queue_.empty()) {
      if (stopping_) break;
      ++idle_;
      bool work = work_.wait_for(lock, idle_limit, [&] { return stopping_ || !queue_.empty(); });
      --idle_;
      if (!work) break;
      continue;
    }
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds goes outside the lock
    lock.lock();
  }
  --threads_;
  if (stopping_) gone_.notify_all();
}

}  // namespace kybern::apiserver
