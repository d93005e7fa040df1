// What goes to a far side that may not read, such as a container whose process leaves its input alone. A thread of its own
// waits for it, so that none does that serves requests; it comes with the first message.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace kybern::apiserver {

class Outbox {
 public:
  static constexpr std::size_t high_bytes = 1 << 20, low_bytes = 128 << 10;
  static constexpr std::chrono::milliseconds last_limit{1000};  // for what a client sent before it left

  // `send` blocks until the message is taken; false: nobody takes any more. `pause`: the near side is not read (true) while
  // much waits; called by the thread that puts and by the one that sends.
  Outbox(std::function<bool(const std::string&)> send, std::function<void(bool)> pause);
  ~Outbox() { end(); }
  Outbox(const Outbox&) = delete;

  void put(std::string message);
  // Nothing is put any more; what waits is sent. False when it has not been taken within the time.
  bool drain(std::chrono::milliseconds limit);
  void end();  // what waits is dropped, but for a message that is being sent

 private:
  struct State {
    std::function<bool(const std::string&)> send;
    std::function<void(bool)> pause;
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::string> waiting;
    std::size_t bytes = 0;
    bool running = false, paused = false, ended = false;

    void run();
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace kybern::apiserver
