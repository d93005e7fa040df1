// A door that opens once: any number of threads wait before it, and one call of the kernel wakes them all.
// (std::atomic::wait does the same after spinning and yielding, which many waiters pay for when cores are few.)
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>

namespace kybern::store {

class Gate {
 public:
  void open() {
    state_.store(1, std::memory_order_release);
    ::syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
  // What happened before open() is seen after wait().
  void wait() {
    while (state_.load(std::memory_order_acquire) == 0) ::syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  }

 private:
  std::atomic<int> state_{0};
  static_assert(sizeof(std::atomic<int>) == sizeof(int));
};

}  // namespace kybern::store
