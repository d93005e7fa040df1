// What one thread replaces while others read it: an immutable object, whole before or whole after.
//
// Not std::atomic<std::shared_ptr>: load() of gcc's library lets go of its lock with relaxed order (shared_ptr_atomic.h), so nothing
// puts a reader's look at the pointer before the next store() of it. x86 does not mind; other processors may give the reader the new
// pointer with the old one's count, and the thread sanitizer reports it (github.com/google/sanitizers/issues/1558).
#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace kybern {

template <class T>
class Published {
 public:
  std::shared_ptr<const T> load() const {
    std::lock_guard lock(mutex_);
    return value_;
  }
  void store(std::shared_ptr<const T> value) {  // the old one ends after the lock is released: it may own anything
    std::lock_guard lock(mutex_);
    value_.swap(value);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;
};

}  // namespace kybern
