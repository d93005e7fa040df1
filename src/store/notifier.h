// One thread that calls the callbacks of watches, so that neither a writer nor the write-ahead log waits for a reader. Or
// no thread: the callbacks run as tasks of an executor, one at a time.
//
// A client is queued at most once; its place in the queue lies in the client itself. All members of Notifier may be
// called from any thread, also from inside a callback.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "base/world.h"

namespace kybern::store {

class Notifier {
 public:
  struct Client {
    std::function<void()> notify;  // touched by the notifier alone between enqueue() and retire()
    Client* previous = nullptr;
    Client* next = nullptr;
    std::atomic<bool> queued{false};
  };

  Notifier() = default;
  ~Notifier();
  void start(Executor* executor);  // null: a thread of its own
  void stop();                     // waits for a callback that runs; those still queued are not called

  void enqueue(Client& client);  // does nothing when it is queued
  void cancel(Client& client);   // takes it out of the queue; a callback that runs goes on
  // Before the client is destroyed: its callback neither runs nor will run any more, except that it goes on when
  // retire() is called from inside it.
  void retire(Client& client);

 private:
  // What a task of the executor holds: it finds out whether the notifier is still there.
  struct Turn {
    std::mutex mutex;  // held while callbacks run
    Notifier* notifier = nullptr;
  };

  void run();
  void take_turn();
  void call_first(std::unique_lock<std::mutex>& lock);
  void post_turn();             // under mutex_
  void unlink(Client& client);  // under mutex_

  std::mutex mutex_;
  std::condition_variable something_;
  std::condition_variable finished_;
  Client* head_ = nullptr;
  Client* tail_ = nullptr;
  Client* running_ = nullptr;
  bool stopping_ = false;
  Executor* executor_ = nullptr;
  std::shared_ptr<Turn> turn_;
  bool turn_posted_ = false;
  std::thread::id thread_id_;
  std::thread thread_;
};

}  // namespace kybern::store
