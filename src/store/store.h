// The store: every object of the cluster, once, and the order in which they changed.
//
// One engine (SQLite or etcd) makes writes durable; the cache above it holds each object as one Document and answers
// all reads and watches. A write is visible to readers only after it is durable. Revisions grow by one a write and never
// go back, across restarts too; that of a new store is 1, since 0 means "any" in the API. Keys are texts like
// "/pods/default/web-0" or "/apps/deployments/default/web" (the first segments up to the namespace name the resource;
// `Store` does not look inside values).
//
// A value whose metadata.resourceVersion is Document::stamp_blank() gets the revision of its write stamped there. On
// disk the blank is kept and stamped again on load, so bytes do not depend on the revision.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/world.h"
#include "document/document.h"

namespace kybern::store {

class Sealer;  // store/sealer.h

using Revision = std::int64_t;

struct Entry {
  std::string key;
  Document value;
  Revision revision;  // of its last write
};
using EntryPtr = std::shared_ptr<const Entry>;

// One write. `now` is null for a delete, `before` for a create. A delete has a revision of its own.
struct Change {
  Revision revision;
  EntryPtr now, before;
  const std::string& key() const { return now ? now->key : before->key; }
};
using ChangePtr = std::shared_ptr<const Change>;

// All keys as they were at one revision: an immutable tree, cheap to hold and to copy, never locks a writer.
class Snapshot {
 public:
  Revision revision() const;
  EntryPtr get(std::string_view key) const;
  std::size_t count(std::string_view prefix) const;                              // in O(log n)
  std::size_t count_after(std::string_view prefix, std::string_view key) const;  // keys under prefix that are > key
  // In key order, keys under `prefix` that are >= `start` ("" for the first). Stops when `visit` returns false.
  void scan(std::string_view prefix, std::string_view start, const std::function<bool(const EntryPtr&)>& visit) const;
  // The next one under `prefix` with key > `after` ("" for the first); null at the end. For paged and pulled lists.
  EntryPtr next(std::string_view prefix, std::string_view after) const;

 private:
  friend class SnapshotAccess;
  std::shared_ptr<const void> root_;
  Revision revision_ = 0;
};

// A reader's place in the stream of changes under one prefix. Holds no queue of its own: changes lie once in the store's
// window, a watch is a cursor into it. One that falls behind the window gets Code::expired and must list again.
class Watch {
 public:
  virtual ~Watch() = default;  // ends it; the callback is not running any more when the destructor returns, unless called from it
  // Appends up to `max` changes after the cursor, in order, and moves it. Empty: nothing new.
  virtual Result<void> take(std::vector<ChangePtr>& out, std::size_t max) = 0;
  // Every change up to this revision has been taken (or was not under the prefix): what a bookmark may say.
  virtual Revision position() const = 0;
};

struct Write {
  std::string key;
  std::optional<Document> value;     // empty: delete
  std::optional<Revision> expected;  // 0: must not exist; n: the entry's revision must be n; empty: whatever is there
  // Of a put that succeeds: gets the value as JSON, as write_json() would write it now, which the store had to make anyway.
  // Left as it is where that is not at hand.
  std::string* json = nullptr;
};

struct StoreOptions {
  std::string path;                // the SQLite file; "" keeps everything in memory (tests)
  std::size_t window_changes = 0;  // changes kept for watches per resource; 0: the default, sized by bytes
  std::size_t max_value_bytes = 1536 * 1024;
  // Given: the store has no threads and no clock of its own. A commit writes on its caller's thread; callbacks of watches
  // and compaction are tasks of this world, which outlives the store.
  const World* world = nullptr;
  // Values that it concerns lie encrypted on disk. Outlives the store. What was sealed and cannot be opened keeps the store
  // from opening, and stays as it is.
  Sealer* sealer = nullptr;
};

class Store {
 public:
  // Code::unavailable when the file cannot be opened or is read-only, Code::internal when it is corrupt: nothing is overwritten.
  static Result<std::unique_ptr<Store>> open(StoreOptions options);
  virtual ~Store() = default;

  // Blocks until durable. A put gives the new entry; a delete gives the entry that was, with `revision` of the delete.
  // Code::conflict when `expected` does not hold, not_found for a delete of nothing, already_exists for expected 0,
  // too_large, unavailable when the disk refuses (the write did not happen).
  virtual Result<EntryPtr> commit(Write write) = 0;

  virtual Snapshot snapshot() const = 0;  // the latest
  // All keys as they were at an older revision; Code::expired when that is not held any more, Code::invalid for one that
  // is still to come. With a prefix ("/pods/" or longer) only the keys of that resource are as they were then, what lies
  // elsewhere is of no account; and a busy resource does not make another's past expire.
  virtual Result<Snapshot> snapshot_at(Revision revision, std::string_view prefix = {}) const = 0;
  virtual Revision revision() const = 0;
  virtual Revision oldest_watchable(std::string_view prefix) const = 0;  // a watch may begin after this revision, or later

  // Changes with revision > `after`. `prefix` holds a whole first segment ("/pods/" or longer; else Code::invalid): the
  // changes of one such resource lie in one window. A new watch counts as not drained: take() until nothing comes, then
  // wait. `notify` is called (from a thread of the store that writes nothing; be quick, do not call the store's writes)
  // when a watch that was drained has something new; then not again until take() has emptied it. It may call take(),
  // and may destroy the watch.
  virtual Result<std::unique_ptr<Watch>> watch(std::string_view prefix, Revision after, std::function<void()> notify) = 0;

  // The value lies on disk under another key than it would be written with now: writing it again, unchanged, is of use.
  virtual bool stale(std::string_view) const { return false; }
  virtual Result<void> backup(const std::string& path) = 0;  // a consistent copy, while running
  virtual Result<void> check_writable() const = 0;           // for /readyz
  struct Stats {
    std::size_t entries, bytes, watches, window_changes;
    std::int64_t file_bytes;
  };
  virtual Stats stats() const = 0;
};

}  // namespace kybern::store
