#include "sim/follower.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace kybern::sim {
namespace {

constexpr std::size_t read_at_once = 64;
constexpr double drop_chance = 0.2;

}  // namespace

Follower::Follower(Cluster& cluster, Checker& checker, std::string prefix, Duration slow)
    : cluster_(cluster), checker_(checker), prefix_(std::move(prefix)), slow_(slow) {}

void Follower::start() {
  cluster_.user_lane().post_after(cluster_.world().random().between(std::chrono::milliseconds(1), slow_), [this] {
    turn();
    start();
  });
}

void Follower::turn() {
  if (!cluster_.store()) return watch_.reset();
  if (!connect()) return;
  SplitMix& random = cluster_.world().random();
  read(1 + random.below(read_at_once));
  if (random.chance(drop_chance)) watch_.reset();
}

// False: not now.
bool Follower::connect() {
  if (server_ != cluster_.server_starts()) watch_.reset();
  server_ = cluster_.server_starts();
  if (watch_) return true;
  if (position_ == 0) list();
  auto watch = cluster_.store()->watch(prefix_, position_, nullptr);
  if (watch) {
    watch_ = std::move(*watch);
    ++resumed_;
    return true;
  }
  if (watch.error().code != Code::expired)
    checker_.complain(fmt::format("a watch of {} cannot go on from {}: {}", prefix_, position_, watch.error().message));
  ++expired_;
  position_ = 0;
  return false;
}

void Follower::list() {
  const store::Snapshot now = cluster_.store()->snapshot();
  if (now.revision() < last_) checker_.complain(fmt::format("a list of {} is at {}, after a change at {}", prefix_, now.revision(), last_));
  objects_.clear();
  now.scan(prefix_, "", [&](const store::EntryPtr& entry) {
    objects_[entry->key] = entry->revision;
    return true;
  });
  position_ = now.revision();
}

void Follower::read(std::size_t most) {
  std::vector<store::ChangePtr> changes;
  if (!watch_->take(changes, most)) {  // too slow: it is told, and lists anew
    ++expired_;
    watch_.reset();
    position_ = 0;
    return;
  }
  for (const store::ChangePtr& change : changes) see(*change);
  // As a client: the revision of the last change, or of a bookmark.
  position_ = changes.size() == most ? std::max(position_, last_) : std::max(position_, watch_->position());
}

void Follower::see(const store::Change& change) {
  ++seen_;
  const store::EntryPtr& entry = change.now ? change.now : change.before;
  if (change.revision <= position_ || change.revision <= last_)
    checker_.complain(
        fmt::format("a watch of {} brings {} at {}, after {} and {}", prefix_, entry->key, change.revision, last_, position_));
  last_ = std::max(last_, change.revision);
  const auto known = objects_.find(entry->key);
  const store::Revision before = known == objects_.end() ? 0 : known->second, expected = change.before ? change.before->revision : 0;
  if (before != expected)
    checker_.complain(fmt::format("a watch of {} brings {} at {} as a change of {}; the one before it was {}", prefix_, entry->key,
                                  change.revision, expected, before));
  if (change.now) objects_[entry->key] = change.now->revision;
  else if (known != objects_.end()) objects_.erase(known);
}

void Follower::compare() {
  if (!cluster_.store()) return;
  if (!connect() && !connect() && !watch_) return checker_.complain("a watch of " + prefix_ + " cannot be begun again");
  const store::Snapshot now = cluster_.store()->snapshot();
  while (watch_ && position_ < now.revision()) {
    const store::Revision before = position_;
    read(read_at_once);
    if (position_ == before) break;
  }
  std::size_t stored = 0;
  now.scan(prefix_, "", [&](const store::EntryPtr& entry) {
    ++stored;
    const auto known = objects_.find(entry->key);
    if (known == objects_.end() || known->second != entry->revision)
      checker_.complain(fmt::format("who watches {} knows {} at {}, it is at {}", prefix_, entry->key,
                                    known == objects_.end() ? 0 : known->second, entry->revision));
    return true;
  });
  if (stored != objects_.size()) checker_.complain(fmt::format("who watches {} knows {} objects of {}", prefix_, objects_.size(), stored));
}

}  // namespace kybern::sim
