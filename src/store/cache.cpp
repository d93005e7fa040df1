#include "store/cache.h"

#include <algorithm>

#include "store/snapshot_access.h"

namespace kybern::store {

Instant Cache::now() const { return world_ ? world_->clock.steady() : Instant(std::chrono::steady_clock::now()); }

Cache::Cache(WindowLimits limits, Tree tree, Revision revision, Revision floor, const std::vector<ChangePtr>& changes, const World* world)
    : world_(world), windows_(Windows::create(limits, floor, world)) {
  newest_ = settled_ = SnapshotAccess::make(std::make_shared<const Tree>(std::move(tree)), revision);
  windows_->append(changes, now());
  windows_->settle(revision);
}

Cache::~Cache() { windows_->close(); }

void Cache::publish(const Tree& tree, Revision revision, const std::vector<ChangePtr>& changes, std::size_t live_bytes, Instant now) {
  Snapshot next = SnapshotAccess::make(std::make_shared<const Tree>(tree), revision), gone;
  std::lock_guard publishing(publish_mutex_);
  {
    std::lock_guard lock(mutex_);
    newest_ = next;
  }
  // After the snapshot: who has seen a change in a watch finds it in every snapshot taken then.
  windows_->append(changes, now);
  windows_->settle(revision);
  {
    std::lock_guard lock(mutex_);
    gone = std::exchange(settled_, std::move(next));
  }
  if (windows_->bytes() > windows_->budget(live_bytes)) windows_->trim(now, live_bytes);
}

void Cache::trim(Instant now, std::size_t live_bytes) {
  windows_->trim(now, live_bytes);
  std::list<Rewound> gone;
  std::lock_guard lock(mutex_);
  while (!rewound_.empty() && rewound_.back().used + max_rewound_idle < now) gone.splice(gone.begin(), rewound_, std::prev(rewound_.end()));
}

bool Cache::trimmable() const {
  {
    std::lock_guard lock(mutex_);
    if (!rewound_.empty()) return true;
  }
  return windows_->ageing();
}

Snapshot Cache::snapshot() const {
  std::lock_guard lock(mutex_);
  return newest_;
}

Revision Cache::revision() const {
  std::lock_guard lock(mutex_);
  return newest_.revision();
}

Result<Snapshot> Cache::snapshot_at(Revision revision, std::string_view prefix) const {
  const std::string_view resource = prefix.size() > resource_of(prefix).size() + 1 ? resource_of(prefix) : std::string_view();
  Snapshot from;
  {
    std::unique_lock lock(mutex_);
    if (revision == newest_.revision()) return newest_;
    if (revision > newest_.revision())
      return fail(Code::invalid,
                  "revision " + std::to_string(revision) + " is newer than the newest, " + std::to_string(newest_.revision()));
    for (auto it = rewound_.begin(); it != rewound_.end(); ++it) {
      if (it->snapshot.revision() != revision || it->resource != resource) continue;
      it->used = now();
      rewound_.splice(rewound_.begin(), rewound_, it);
      return it->snapshot;
    }
    from = settled_;
  }
  if (revision > from.revision()) {
    // The newest changes are just being put into the windows.
    std::lock_guard wait(publish_mutex_);
    std::lock_guard lock(mutex_);
    from = settled_;
  }
  Result<Snapshot> made = rewind(from, revision, resource);
  if (!made) return made;
  std::list<Rewound> gone;
  std::lock_guard lock(mutex_);
  rewound_.push_front({std::string(resource), *made, now()});
  if (rewound_.size() > max_rewound_snapshots) gone.splice(gone.begin(), rewound_, std::prev(rewound_.end()));
  return made;
}

Result<Snapshot> Cache::rewind(const Snapshot& from, Revision revision, std::string_view resource) const {
  std::vector<ChangePtr> changes;
  if (!windows_->collect(resource, revision, from.revision(), changes))
    return fail(Code::expired, "the objects at revision " + std::to_string(revision) + " are not held any more");
  Tree tree = *SnapshotAccess::tree(from);
  // Keys of different resources do not meet, and each resource's changes are in order.
  for (auto it = changes.rbegin(); it != changes.rend(); ++it) {
    if ((*it)->before) tree.put((*it)->before);
    else tree.erase((*it)->key());
  }
  return SnapshotAccess::make(std::make_shared<const Tree>(std::move(tree)), revision);
}

}  // namespace kybern::store
