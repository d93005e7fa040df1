// All objects in memory: the newest snapshot, snapshots at older revisions, and the windows of changes.
//
// One thread publishes (the writer, or what follows another server's log); any thread reads. Everything published is
// durable already.
//
// An older snapshot is the newest one with the changes since taken back, as far as the windows still hold them. Rewound
// snapshots stay for a while: the next page of a list asks for the same revision.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "base/world.h"
#include "store/limits.h"
#include "store/store.h"
#include "store/tree.h"
#include "store/windows.h"

namespace kybern::store {

class Cache {
 public:
  // `changes`, in order of revision, are what is known of the past: all changes with floor < revision <= `revision`.
  // `world`: see StoreOptions.
  Cache(WindowLimits limits, Tree tree, Revision revision, Revision floor, const std::vector<ChangePtr>& changes, const World* world);
  ~Cache();

  // By one thread at a time: `tree` is the newest with `changes` applied. `live_bytes` of all its objects.
  void publish(const Tree& tree, Revision revision, const std::vector<ChangePtr>& changes, std::size_t live_bytes, Instant now);
  void trim(Instant now, std::size_t live_bytes);  // what has grown old
  bool trimmable() const;                          // something will grow old

  Snapshot snapshot() const;
  Revision revision() const;
  Result<Snapshot> snapshot_at(Revision revision, std::string_view prefix) const;
  Windows& windows() { return *windows_; }
  const Windows& windows() const { return *windows_; }

 private:
  struct Rewound {
    std::string resource;
    Snapshot snapshot;
    Instant used;
  };
  Instant now() const;
  Result<Snapshot> rewind(const Snapshot& from, Revision revision, std::string_view resource) const;

  const World* const world_;
  Windows* windows_;
  mutable std::mutex mutex_;
  Snapshot newest_;
  Snapshot settled_;                    // the newest one whose changes are all in the windows
  mutable std::list<Rewound> rewound_;  // last used first
  mutable std::mutex publish_mutex_;    // held while newest_ and settled_ differ
};

}  // namespace kybern::store
