#include "client/mirror.h"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/debug.h"

namespace kybern::client {

std::uint64_t resource_version_of(Value object) {
  const std::string_view text = object["metadata"]["resourceVersion"].as_string();
  std::uint64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  return error == std::errc() && end == text.data() + text.size() ? version : 0;
}

namespace {

std::string_view uid_of(Value object) { return object["metadata"]["uid"].as_string(); }

}  // namespace

struct MirrorCore::State {
  using Objects = std::map<std::string, Document, std::less<>>;
  using Entry = Objects::value_type;  // nodes of a map do not move: indexes point to them

  struct Index {
    std::string name;
    IndexKeys keys;
    std::unordered_map<std::string, std::vector<Entry*>> groups;  // each sorted by the object's key
  };
  // What readers see of a key is ahead of the stream, because of a write of our own.
  struct Ahead {
    Document delivered;         // what the handlers know; empty: nothing
    std::uint64_t version = 0;  // of the write; 0: a deletion
    std::string gone_uid;       // of a deletion
  };
  struct Change {
    Document before, now;
  };

  State(Transport& t, std::string p, std::string q) : transport(t), path(std::move(p)), query(std::move(q)) {}

  Transport& transport;
  const std::string path, query;
  std::vector<Handler> handlers;

  mutable std::shared_mutex mutex;
  mutable std::condition_variable_any synced_changed;
  bool synced = false, started = false;
  Objects objects;
  std::vector<Index> indexes;
  using AheadOf = std::unordered_map<std::string, Ahead>;
  AheadOf ahead;
  std::set<std::pair<std::uint64_t, std::string>> ahead_by_version;  // of those that are writes; the stream settles them in this order
  std::uint64_t delivered_version = 0;                               // the stream has delivered every change up to here

  std::unique_ptr<Subscription> subscription;
  debug::Page page{"memory", [this] { return describe(); }};  // last: destroyed first

  // In the all-in-one program the blocks are the store's own.
  std::string describe() const {
    std::shared_lock lock(mutex);
    std::size_t bytes = 0;
    for (const auto& [key, object] : objects) bytes += object.memory();
    return fmt::format(R"({{"type":"mirror","path":"{}","query":"{}","objects":{},"bytes":{},"synced":{}}})", path, query, objects.size(),
                       bytes, synced);
  }

  // --- the objects and their indexes -----------------------------------------------------------------------------

  static bool before_key(const Entry* a, const Entry* b) { return a->first < b->first; }

  void index(Entry& entry) {
    for (Index& index : indexes) {
      for (std::string& key : index.keys(entry.second.root())) {
        std::vector<Entry*>& group = index.groups[std::move(key)];
        auto place = std::lower_bound(group.begin(), group.end(), &entry, before_key);
        if (place == group.end() || *place != &entry) group.insert(place, &entry);
      }
    }
  }

  void unindex(Entry& entry) {
    for (Index& index : indexes) {
      for (const std::string& key : index.keys(entry.second.root())) {
        auto group = index.groups.find(key);
        if (group == index.groups.end()) continue;
        auto place = std::lower_bound(group->second.begin(), group->second.end(), &entry, before_key);
        if (place != group->second.end() && *place == &entry) group->second.erase(place);
        if (group->second.empty()) index.groups.erase(group);
      }
    }
  }

  Document find(std::string_view key) const {
    auto found = objects.find(key);
    return found == objects.end() ? Document() : found->second;
  }

  void put(const std::string& key, const Document& object) {
    auto [place, is_new] = objects.try_emplace(key);
    set(*place, is_new, object);
  }

  void set(Entry& entry, bool is_new, const Document& object) {
    if (indexes.empty()) {
      entry.second = object;
      return;
    }
    if (!is_new) unindex(entry);
    entry.second = object;
    index(entry);
  }

  void remove(std::string_view key) {
    auto found = objects.find(key);
    if (found == objects.end()) return;
    unindex(*found);
    objects.erase(found);
  }

  // --- what is ahead of the stream -------------------------------------------------------------------------------

  Ahead& go_ahead(const std::string& key, std::uint64_t version, std::string_view gone_uid) {
    auto [place, is_new] = ahead.try_emplace(key);
    Ahead& mine = place->second;
    if (is_new) mine.delivered = find(key);
    else if (mine.version != 0) ahead_by_version.erase({mine.version, key});
    mine.version = version;
    mine.gone_uid = gone_uid;
    if (version != 0) ahead_by_version.emplace(version, key);
    return mine;
  }

  AheadOf::iterator caught_up(AheadOf::iterator which) {
    if (which->second.version != 0) ahead_by_version.erase({which->second.version, which->first});
    return ahead.erase(which);
  }

  // --- the stream ------------------------------------------------------------------------------------------------

  void apply_put(const Document& object, std::vector<Change>& changes) {
    const std::string key = key_of(object);
    const std::uint64_t version = resource_version_of(object);
    auto found = ahead.find(key);
    if (found == ahead.end()) {
      auto [place, is_new] = objects.try_emplace(key);
      Document before = place->second;
      if (before && version != 0 && resource_version_of(before) == version && uid_of(before) == uid_of(object)) return;
      set(*place, is_new, object);
      changes.push_back({std::move(before), object});
      return;
    }
    Ahead& mine = found->second;
    changes.push_back({mine.delivered, object});
    const bool still_ahead = mine.version == 0 ? uid_of(object) == mine.gone_uid : version < mine.version;
    if (still_ahead) {
      mine.delivered = object;
    } else {
      put(key, object);
      caught_up(found);
    }
  }

  void apply_erased(const Document& object, std::vector<Change>& changes) {
    const std::string key = key_of(object);
    auto found = ahead.find(key);
    if (found == ahead.end()) {
      Document before = find(key);
      if (!before) return;
      remove(key);
      changes.push_back({std::move(before), {}});
      return;
    }
    Ahead& mine = found->second;
    if (mine.delivered) changes.push_back({mine.delivered, {}});
    const bool newer_object = mine.version > resource_version_of(object) && uid_of(find(key)) != uid_of(object);
    if (newer_object) {
      mine.delivered = {};
    } else {
      remove(key);
      caught_up(found);
    }
  }

  // Writes that the stream must have delivered by now and has not: they are not of this collection (a selector).
  void progress(std::uint64_t version) {
    delivered_version = std::max(delivered_version, version);
    while (!ahead_by_version.empty() && ahead_by_version.begin()->first <= delivered_version) {
      auto it = ahead.find(ahead_by_version.begin()->second);
      if (it->second.delivered) put(it->first, it->second.delivered);
      else remove(it->first);
      caught_up(it);
    }
  }

  void on_changed(std::vector<Event> events) {
    std::vector<Change> changes;
    changes.reserve(events.size());
    {
      std::unique_lock lock(mutex);
      std::uint64_t newest = 0;
      for (const Event& event : events) {
        if (event.type == Event::Type::put) apply_put(event.object, changes);
        else apply_erased(event.object, changes);
        newest = std::max(newest, resource_version_of(event.object));
      }
      progress(newest);
    }
    tell(changes);
  }

  void on_replaced(std::vector<Document> list) {
    std::vector<Change> changes;
    {
      std::unique_lock lock(mutex);
      std::unordered_set<std::string> present;
      present.reserve(list.size());
      std::uint64_t newest = 0;
      for (const Document& object : list) {
        present.insert(key_of(object));
        newest = std::max(newest, resource_version_of(object));
        apply_put(object, changes);
      }
      std::vector<std::string> missing;
      for (const auto& [key, object] : objects)
        if (!present.contains(key)) missing.push_back(key);
      for (const std::string& key : missing) {
        auto found = ahead.find(key);
        if (found == ahead.end()) {
          changes.push_back({find(key), {}});
          remove(key);
        } else {  // written by us; either the list is older or it is gone again: progress() will tell
          if (found->second.delivered) changes.push_back({found->second.delivered, {}});
          found->second.delivered = {};
        }
      }
      for (auto it = ahead.begin(); it != ahead.end();) {  // deletions of ours that the list confirms
        if (it->second.version == 0 && !present.contains(it->first)) {
          if (it->second.delivered) changes.push_back({it->second.delivered, {}});
          it = caught_up(it);
        } else {
          ++it;
        }
      }
      progress(newest);
      synced = true;
    }
    tell(changes);
    synced_changed.notify_all();
  }

  void on_progressed(std::uint64_t version) {
    std::unique_lock lock(mutex);
    progress(version);
  }

  void tell(const std::vector<Change>& changes) const {
    for (const Change& change : changes)
      for (const Handler& handler : handlers) handler(change.before, change.now);
  }
};

MirrorCore::MirrorCore(Transport& transport, std::string path, std::string query)
    : state_(std::make_unique<State>(transport, std::move(path), std::move(query))) {}

MirrorCore::~MirrorCore() { state_->subscription.reset(); }

void MirrorCore::add_index(std::string name, IndexKeys keys) {
  KYBERN_CHECK(!state_->started, "indexes are added before start");
  state_->indexes.push_back({std::move(name), std::move(keys), {}});
}

void MirrorCore::add_handler(Handler handler) {
  KYBERN_CHECK(!state_->started, "handlers are added before start");
  state_->handlers.push_back(std::move(handler));
}

void MirrorCore::start() {
  KYBERN_CHECK(!state_->started, "a mirror starts once");
  state_->started = true;
  State* state = state_.get();  // outlives the subscription
  state_->subscription =
      state_->transport.subscribe(state_->path, state_->query,
                                  Listener{[state](std::vector<Document> objects) { state->on_replaced(std::move(objects)); },
                                           [state](std::vector<Event> events) { state->on_changed(std::move(events)); },
                                           [state](std::uint64_t version) { state->on_progressed(version); }});
}

void MirrorCore::stop() { state_->subscription.reset(); }

bool MirrorCore::synced() const {
  std::shared_lock lock(state_->mutex);
  return state_->synced;
}

bool MirrorCore::wait_synced(std::chrono::milliseconds limit) const {
  std::shared_lock lock(state_->mutex);
  return state_->synced_changed.wait_for(lock, limit, [&] { return state_->synced; });
}

Document MirrorCore::get(std::string_view key) const {
  std::shared_lock lock(state_->mutex);
  return state_->find(key);
}

std::vector<Document> MirrorCore::list() const {
  std::shared_lock lock(state_->mutex);
  std::vector<Document> out;
  out.reserve(state_->objects.size());
  for (const auto& [key, object] : state_->objects) out.push_back(object);
  return out;
}

std::vector<Document> MirrorCore::list_namespace(std::string_view ns) const {
  const std::string prefix = std::string(ns) + "/";
  std::shared_lock lock(state_->mutex);
  std::vector<Document> out;
  for (auto it = state_->objects.lower_bound(prefix); it != state_->objects.end() && it->first.starts_with(prefix); ++it)
    out.push_back(it->second);
  return out;
}

std::vector<Document> MirrorCore::by_index(std::string_view index, std::string_view key) const {
  std::shared_lock lock(state_->mutex);
  for (const State::Index& candidate : state_->indexes) {
    if (candidate.name != index) continue;
    std::vector<Document> out;
    auto group = candidate.groups.find(std::string(key));
    if (group == candidate.groups.end()) return out;
    out.reserve(group->second.size());
    for (const State::Entry* entry : group->second) out.push_back(entry->second);
    return out;
  }
  KYBERN_CHECK(false, "an index that is asked for was added");
  return {};
}

std::size_t MirrorCore::size() const {
  std::shared_lock lock(state_->mutex);
  return state_->objects.size();
}

void MirrorCore::wrote(const Document& object) {
  const std::uint64_t version = resource_version_of(object);
  if (version == 0) return;
  const std::string key = key_of(object);
  std::unique_lock lock(state_->mutex);
  if (version <= state_->delivered_version) return;  // the stream has been there, or has gone past it
  const Document seen = state_->find(key);
  if (seen && resource_version_of(seen) >= version) return;
  state_->go_ahead(key, version, {});
  state_->put(key, object);
}

void MirrorCore::erased(std::string_view key, std::string_view uid) {
  std::unique_lock lock(state_->mutex);
  const Document seen = state_->find(key);
  if (!seen || uid_of(seen) != uid) return;    // the stream was faster, or another object has the name
  state_->go_ahead(std::string(key), 0, uid);  // puts of this uid that the stream still brings stay hidden
  state_->remove(key);
}

}  // namespace kybern::client
