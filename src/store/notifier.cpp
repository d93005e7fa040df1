#include "store/notifier.h"

#include <pthread.h>

#include <utility>

namespace kybern::store {

Notifier::~Notifier() { stop(); }

void Notifier::start() {
  std::lock_guard lock(mutex_);
  if (!thread_.joinable() && !stopping_) thread_ = std::thread([this] { run(); });
}

void Notifier::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  something_.notify_all();
  if (thread_.joinable()) thread_.join();
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
  if (was_empty) something_.notify_one();
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
}

}  // namespace kybern::store
