#include "apiserver/http/outbox.h"

#include <chrono>
#include <thread>
#include <utility>

namespace kybern::apiserver {

Outbox::Outbox(std::function<bool(const std::string&)> send, std::function<void(bool)> pause) {
  state_->send = std::move(send);
  state_->pause = std::move(pause);
}

void Outbox::put(std::string message) {
  State& s = *state_;
  bool pause = false;
  {
    std::lock_guard lock(s.mutex);
    if (s.ended) return;
    s.bytes += message.size();
    s.waiting.push_back(std::move(message));
    if (s.bytes > high_bytes) pause = !std::exchange(s.paused, true);
    if (!std::exchange(s.running, true)) std::thread([state = state_] { state->run(); }).detach();
    s.changed.notify_all();
  }
  if (!pause) return;
  s.pause(true);
  std::unique_lock lock(s.mutex);
  const bool taken_meanwhile = !s.paused;  // and resumed before it was paused
  lock.unlock();
  if (taken_meanwhile) s.pause(false);
}

bool Outbox::drain(std::chrono::milliseconds limit) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, limit, [&] { return state_->bytes == 0 || state_->ended; });
}

void Outbox::end() {
  std::lock_guard lock(state_->mutex);
  state_->ended = true;
  state_->changed.notify_all();
}

void Outbox::State::run() {
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [&] { return ended || !waiting.empty(); });
    if (ended) break;
    const std::string message = std::move(waiting.front());
    waiting.pop_front();
    lock.unlock();
    const bool sent = send(message);
    lock.lock();
    bytes -= message.size();
    ended = ended || !sent;
    const bool resume = bytes <= low_bytes && std::exchange(paused, false);
    changed.notify_all();
    if (!resume) continue;
    lock.unlock();
    pause(false);
    lock.lock();
  }
  // Whoever is paused would not see its own end.
  const bool resume = std::exchange(paused, false);
  waiting.clear();
  bytes = 0;
  lock.unlock();
  if (resume) pause(false);
}

}  // namespace kybern::apiserver
