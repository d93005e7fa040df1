#include "store/writer.h"

#include <pthread.h>

#include <utility>

#include "base/log.h"
#include "store/limits.h"
#include "store/stamp.h"

namespace kybern::store {

constexpr std::chrono::seconds tick{1};  // how late something old may be dropped; the pause before compaction

static std::size_t weight(const Entry& entry) { return sizeof(Entry) + entry.key.size() + entry.value.memory(); }

Instant Writer::now() const { return world_ ? world_->clock.steady() : Instant(std::chrono::steady_clock::now()); }

Writer::Writer(Cache& cache, std::unique_ptr<SqliteLog> log, Tree tree, Revision revision, std::size_t live_bytes, const World* world)
    : cache_(cache),
      world_(world),
      log_(std::move(log)),
      tree_(std::move(tree)),
      revision_(revision),
      last_trim_(now()),
      live_bytes_(live_bytes) {
  if (world_) {
    tidying_ = std::make_shared<Tidying>();
    tidying_->writer = this;
  } else {
    thread_ = std::thread([this] { loop(); });
  }
}

Writer::~Writer() {
  if (tidying_) {
    std::lock_guard lock(tidying_->mutex);
    tidying_->writer = nullptr;
    world_->executor.cancel(tidying_->timer);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  something_.notify_one();
  thread_.join();
}

void Writer::commit(PendingWrite& write) {
  if (world_) {
    Batch alone;
    alone.writes.push_back(&write);
    std::lock_guard lock(mutex_);
    write_batch(alone);
    return tidy_later();
  }
  BatchPtr batch;
  {
    std::unique_lock lock(mutex_);
    if (!busy_ && waiting_.empty()) return commit_here(write, lock);
    const std::size_t bytes = write.json.size() + write.key.size();
    Batch* last = waiting_.empty() ? nullptr : waiting_.back().get();
    if (!last || last->work || last->writes.size() >= max_batch_writes || last->bytes + bytes > max_batch_bytes)
      waiting_.push_back(std::make_shared<Batch>());
    batch = waiting_.back();
    batch->writes.push_back(&write);
    batch->bytes += bytes;
    // Whoever is busy looks again when he is done; if nobody is, the thread has been called already.
  }
  batch->done.wait();
}

// Nobody else writes: two hand-overs between threads are spared.
void Writer::commit_here(PendingWrite& write, std::unique_lock<std::mutex>& lock) {
  busy_ = true;
  lock.unlock();
  Batch alone;
  alone.writes.push_back(&write);
  write_batch(alone);
  lock.lock();
  busy_ = false;
  if (waiting_.empty() && !stopping_ && !asleep_) return;
  asleep_ = false;
  something_.notify_one();
}

void Writer::run(const std::function<void(SqliteLog*)>& work) {
  if (world_) {
    std::lock_guard lock(mutex_);
    return work(log_.get());
  }
  auto batch = std::make_shared<Batch>();
  batch->work = &work;
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(batch);
  }
  something_.notify_one();
  batch->done.wait();
}

Writer::BatchPtr Writer::take(std::unique_lock<std::mutex>& lock) {
  while (!ready()) idle(lock);
  if (waiting_.empty()) return nullptr;
  busy_ = true;
  BatchPtr batch = std::move(waiting_.front());
  waiting_.pop_front();
  return batch;
}

// Nothing waits. After a pause: compaction, in slices as long as still nothing waits, and what has grown old. Then sleep,
// for ever if nothing more will grow old.
void Writer::idle(std::unique_lock<std::mutex>& lock) {
  if (something_.wait_for(lock, tick, [&] { return ready(); })) return;
  if (busy_ || now() - last_write_ < tick) return;  // callers write by themselves
  busy_ = true;
  for (bool again = true; again && waiting_.empty() && !stopping_;) {
    lock.unlock();
    again = slice();
    lock.lock();
  }
  lock.unlock();
  trim_sometimes(now());
  const bool later = (log_ && log_->work_later()) || cache_.trimmable();
  lock.lock();
  busy_ = false;
  asleep_ = !later;
  if (asleep_) something_.wait(lock, [&] { return ready() || !asleep_; });
  asleep_ = false;
}

// Without a thread nobody is idle: a timer does it, for as long as something will grow old.
void Writer::tidy_later() {
  if (tidying_->timer != 0) return;
  tidying_->timer = world_->executor.post_after(tick, [tidying = tidying_] {
    std::lock_guard lock(tidying->mutex);
    if (tidying->writer) tidying->writer->tidy();
  });
}

void Writer::tidy() {
  std::lock_guard lock(mutex_);
  tidying_->timer = 0;
  while (slice()) {}
  trim_sometimes(now());
  if ((log_ && log_->work_later()) || cache_.trimmable()) tidy_later();
}

// True when there may be more to do.
bool Writer::slice() {
  const Instant now = this->now();
  if (!log_ || failing() || !log_->slice_due(now)) return false;
  Result<void> done = log_->idle_slice(now);
  if (done) return true;
  log_error("store", "compaction failed", {{"error", done.error().message}});
  failing_.store(true, std::memory_order_relaxed);
  return false;
}

void Writer::trim_sometimes(Instant now) {
  if (now - last_trim_ < tick) return;
  last_trim_ = now;
  cache_.trim(now, live_bytes());
}

Result<void> Writer::probe() {
  Result<void> done;
  run([&](SqliteLog* log) {
    if (log) done = log->probe();
    failing_.store(!done, std::memory_order_relaxed);
  });
  return done;
}

void Writer::loop() {
  ::pthread_setname_np(::pthread_self(), "store-writer");
  for (;;) {
    BatchPtr batch;
    {
      std::unique_lock lock(mutex_);
      batch = take(lock);
    }
    if (!batch) return;
    if (batch->work) (*batch->work)(log_.get());
    else write_batch(*batch);
    {
      std::lock_guard lock(mutex_);
      busy_ = false;
    }
    batch->done.open();
  }
}

// True: the write is to be done, and is done in tree_. Otherwise its result says why not.
bool Writer::decide(PendingWrite& write) {
  EntryPtr before = tree_.get(write.key);
  const Revision had = before ? before->revision : 0;
  if (!write.put && !before) {
    write.result = fail(Code::not_found, std::string(write.key) + " does not exist");
    return false;
  }
  if (write.expected && *write.expected != had) {
    if (write.put && *write.expected == 0)
      write.result = fail(Code::already_exists, std::string(write.key) + " exists, at revision " + std::to_string(had));
    else if (!before)
      write.result =
          fail(Code::conflict, std::string(write.key) + " does not exist, revision " + std::to_string(*write.expected) + " was expected");
    else
      write.result = fail(Code::conflict, std::string(write.key) + " is at revision " + std::to_string(had) + ", " +
                                              std::to_string(*write.expected) + " was expected");
    return false;
  }
  const Revision revision = ++revision_;
  write.change->revision = write.entry->revision = revision;
  write.change->before = before;
  if (write.put) {
    stamp_revision(write.entry->value, revision);
    write.change->now = write.entry;
    tree_.put(write.entry);
  } else {
    write.entry->value = before->value;
    tree_.erase(write.key);
  }
  write.result = EntryPtr(write.entry);
  rows_.push_back({revision, write.key, write.json, write.checksum, !write.put, write.put ? write.entry->value.memory() : 0, had,
                   before ? before->value.memory() : 0});
  changes_.push_back(write.change);
  return true;
}

void Writer::write_batch(Batch& batch) {
  const Instant now = this->now();
  last_write_ = now;
  const Tree before = tree_;
  const Revision before_revision = revision_;
  rows_.clear();
  changes_.clear();
  for (PendingWrite* write : batch.writes) decide(*write);
  if (rows_.empty()) return;
  if (log_) {
    Result<void> durable = log_->append(rows_, now);
    failing_.store(!durable, std::memory_order_relaxed);
    if (!durable) {
      tree_ = before;
      revision_ = before_revision;
      // Also those that were refused: it may have been for a write that did not happen.
      for (PendingWrite* write : batch.writes) write->result = std::unexpected(durable.error());
      return;
    }
  }
  std::size_t live = live_bytes();
  for (const ChangePtr& change : changes_) {
    if (change->now) live += weight(*change->now);
    if (change->before) live -= weight(*change->before);
  }
  live_bytes_.store(live, std::memory_order_relaxed);
  cache_.publish(tree_, revision_, changes_, live, now);
  changes_.clear();
  trim_sometimes(now);
}

}  // namespace kybern::store
