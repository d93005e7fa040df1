// One thread that calls the callbacks of watches, so that neither a writer nor the write-ahead log waits for a reader.
//
// A client is queued at most once; its place in the queue lies in the client itself. All members of Notifier may be
// called from any thread, also from inside a callback.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

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
  void start();
  void stop();  // waits for a callback that runs; those still queued are not called

  void enqueue(Client& client);  // does nothing when it is queued
  void cancel(Client& client);   // takes it out of the queue; a callback that runs goes on
  // Before the client is destroyed: its callback neither runs nor will run any more, except that it goes on when
  // retire() is called from inside it.
  void retire(Client& client);

 private:
  void run();
  void unlink(Client& client);  // under mutex_

  std::mutex mutex_;
  std::condition_variable something_;
  std::condition_variable finished_;
  Client* head_ = nullptr;
  Client* tail_ = nullptr;
  Client* running_ = nullptr;
  bool stopping_ = false;
  std::thread::id thread_id_;
  std::thread thread_;
};

}  // namespace kybern::store
