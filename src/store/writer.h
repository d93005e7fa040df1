// Group commit: one thread that takes whatever writes wait, decides each against the newest state (the earlier writes of
// the batch included), makes the batch durable as one transaction, publishes it, and wakes the callers.
//
// Callers do what does not need the order themselves, before they wait: JSON, checksums, allocation. They wait for their
// batch, not each for its own write: one wake-up call of the kernel wakes them all. A caller who finds nobody at work does
// not call the thread at all: he writes his one write himself, and what comes meanwhile is the thread's next batch.
//
// In a world that was given (StoreOptions) there is no such thread: each write is a batch of its own on its caller's.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/world.h"
#include "store/cache.h"
#include "store/gate.h"
#include "store/sqlite/log.h"
#include "store/store.h"
#include "store/tree.h"

namespace kybern::store {

// A write on its way. Lives on its caller's stack.
struct PendingWrite {
  std::string_view key;
  std::string_view json;  // of a put
  std::uint64_t checksum = 0;
  std::optional<Revision> expected;
  std::shared_ptr<Entry> entry;  // of a put the new one, of a delete what the caller gets; unique until published
  bool put = false;
  std::shared_ptr<Change> change;
  Result<EntryPtr> result;
};

class Writer {
 public:
  // `log` is null when everything is kept in memory. `tree` is the state at `revision`.
  Writer(Cache& cache, std::unique_ptr<SqliteLog> log, Tree tree, Revision revision, std::size_t live_bytes, const World* world);
  ~Writer();  // finishes what waits

  void commit(PendingWrite& write);                       // returns when write.result is there
  void run(const std::function<void(SqliteLog*)>& work);  // on the writer's thread, between two batches; waits for it

  Result<void> probe();  // tries to write; failing() is right afterwards
  std::size_t live_bytes() const { return live_bytes_.load(std::memory_order_relaxed); }
  bool failing() const { return failing_.load(std::memory_order_relaxed); }  // the last transaction failed
  std::int64_t file_bytes() const { return log_ ? log_->file_bytes() : 0; }

 private:
  struct Batch {
    std::vector<PendingWrite*> writes;
    std::size_t bytes = 0;
    const std::function<void(SqliteLog*)>* work = nullptr;  // instead of writes
    Gate done;
  };
  using BatchPtr = std::shared_ptr<Batch>;

  // What the timer of a writer without a thread holds: it finds out whether the writer is still there.
  struct Tidying {
    std::mutex mutex;
    Writer* writer = nullptr;
    TimerId timer = 0;
  };

  Instant now() const;
  // Under mutex_: there is something for the thread to do, and nobody else at it.
  bool ready() const { return !busy_ && (!waiting_.empty() || stopping_); }
  void commit_here(PendingWrite& write, std::unique_lock<std::mutex>& lock);
  void loop();
  void tidy_later();  // under mutex_
  void tidy();
  BatchPtr take(std::unique_lock<std::mutex>& lock);
  void write_batch(Batch& batch);
  bool decide(PendingWrite& write);
  void idle(std::unique_lock<std::mutex>& lock);
  bool slice();
  void trim_sometimes(Instant now);

  Cache& cache_;
  const World* const world_;
  std::unique_ptr<SqliteLog> log_;

  // Whoever has set busy_, alone (in a given world: under mutex_):
  Tree tree_;
  Revision revision_;
  std::vector<LogRow> rows_;
  std::vector<ChangePtr> changes_;
  Instant last_trim_;
  Instant last_write_{};
  std::atomic<std::size_t> live_bytes_;
  std::atomic<bool> failing_{false};

  std::mutex mutex_;
  std::condition_variable something_;
  std::deque<BatchPtr> waiting_;
  bool busy_ = false;    // somebody writes: the thread, or a caller for himself
  bool asleep_ = false;  // the thread sleeps until something is written
  bool stopping_ = false;
  std::thread thread_;
  std::shared_ptr<Tidying> tidying_;  // in a given world
};

}  // namespace kybern::store
