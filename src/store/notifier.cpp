#include "store/notifier.h"

#include <pthread.h>

#include <utility>

namespace kybern::store {

Notifier::~Notifier() { stop(); }

void Notifier::start(Executor* executor) {
  std::lock_guard lock(mutex_);
  if (stopping_ || turn_ || thread_.joinable()) return;
  if (!executor) {
    thread_ = std::thread([this] { run(); });
    return;
  }
  executor_ = executor;
  turn_ = std::make_shared<Turn>();
  turn_->notifier = this;
  if (head_) post_turn();
}

void Notifier::stop() {
  std::shared_ptr<Turn> turn;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    turn = std::exchange(turn_, nullptr);
  }
  something_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (!turn) return;
  std::lock_guard lock(turn->mutex);
  turn->notifier = nullptr;
}

void Notifier::unlink(Client& c) {
  (c.previous ? c.previous->next : head_) = c.next;
  (c.next ? c.next->previous : tail_) = c.previous;
  c.previous = c.next = nullptr;
  c.queued.store(false, std::memory_order_relaxed);
}

void Notifier::enqueue(Client& c) {
  std::lock_guard lock(mutex_);
  if (c.queued.load(std::memory_order_relaxed)) return;
  c.queued.store(true, std::memory_order_relaxed);
  c.previous = tail_;
  (tail_ ? tail_->next : head_) = &c;
  bool was_empty = tail_ == nullptr;
  tail_ = &c;
  if (turn_) post_turn();
  else if (was_empty) something_.notify_one();
}

void Notifier::cancel(Client& c) {
  std::lock_guard lock(mutex_);
  if (c.queued.load(std::memory_order_relaxed)) unlink(c);
}

void Notifier::retire(Client& c) {
  std::unique_lock lock(mutex_);
  if (c.queued.load(std::memory_order_relaxed)) unlink(c);
  if (running_ != &c) return;
  if (std::this_thread::get_id() == thread_id_) {
    running_ = nullptr;  // run() then keeps its hands off the client
    return;
  }
  finished_.wait(lock, [&] { return running_ != &c; });
}

void Notifier::run() {
  ::pthread_setname_np(::pthread_self(), "store-notifier");
  std::unique_lock lock(mutex_);
  thread_id_ = std::this_thread::get_id();
  for (;;) {
    something_.wait(lock, [&] { return head_ || stopping_; });
    if (stopping_) return;
    call_first(lock);
  }
}

void Notifier::post_turn() {
  if (std::exchange(turn_posted_, true)) return;
  executor_->post([turn = turn_] {
    std::lock_guard lock(turn->mutex);
    if (turn->notifier) turn->notifier->take_turn();
  });
}

void Notifier::take_turn() {
  std::unique_lock lock(mutex_);
  thread_id_ = std::this_thread::get_id();
  while (head_ && !stopping_) call_first(lock);
  thread_id_ = {};
  turn_posted_ = false;
}

void Notifier::call_first(std::unique_lock<std::mutex>& lock) {
  Client* client = head_;
  unlink(*client);
  running_ = client;
  // The callback may destroy its client: it runs from here.
  std::function<void()> notify = std::move(client->notify);
  lock.unlock();
  notify();
  lock.lock();
  if (running_ == client) {
    client->notify = std::move(notify);
    running_ = nullptr;
    finished_.notify_all();
  } else {
    // What the callback captured is destroyed where locks of others may be taken.
    lock.unlock();
    notify = nullptr;
    lock.lock();
  }
}

}  // namespace kybern::store
