#include <algorithm>
#include <array>
#include <mutex>

#include "document/shape.h"
#include "machinery/apply/ownership.h"
#include "machinery/metadata.h"

namespace kybern::apply {

const FieldSet& stripped_fields() {
  static const FieldSet set = [] {
    FieldSet out;
    for (std::string_view top : {"f:apiVersion", "f:kind", "f:metadata"}) out.insert({top});
    for (std::string_view field : {"f:name", "f:namespace", "f:creationTimestamp", "f:selfLink", "f:uid", "f:clusterName", "f:generation",
                                   "f:managedFields", "f:resourceVersion"})
      out.insert({"f:metadata", field});
    return out;
  }();
  return set;
}

Manager self_of(const Write& write, bool applies, std::string_view name) {
  return {
      std::string(name.empty() ? "unknown" : name), applies, std::string(write.api_version), std::string(write.subresource), {}, {}, {}};
}

Comparison* Changes::in(std::string_view api_version) {
  for (auto& [version, found] : seen_)
    if (version == api_version) return &found;
  if (!write_.versions.has(api_version)) return nullptr;
  bool here = api_version == write_.api_version;
  Document before = here ? before_.document() : write_.versions.convert(before_, write_.api_version, api_version);
  Document after = here ? after_.document() : write_.versions.convert(after_, write_.api_version, api_version);
  auto found = compare(write_.versions.root(api_version), before.root(), after.root(), texts_);
  if (!found) {
    if (status_) status_ = std::unexpected(found.error());
    return nullptr;
  }
  for (FieldSet* set : {&found->removed, &found->modified, &found->added})
    if (!set->empty()) take_out(*set, write_.reset, true);
  return &seen_.emplace_back(std::string(api_version), std::move(*found)).second;
}

namespace {

// Everybody loses what the write changed; who wrote it gains it.
Result<void> take_over(const Write& write, Value before, Value after, Managed& managed, std::string_view manager) {
  Changes changes(write, before, after, managed.texts());
  Comparison* own = changes.in(write.api_version);
  if (!own) return changes.status() ? fail(Code::internal, "the version of a write is not served") : changes.status();
  if (own->same()) return {};
  std::vector<Manager> kept;
  for (Manager& entry : managed.entries) {
    const Comparison* found = changes.in(entry.api_version);
    if (!changes.status()) return changes.status();
    if (!found) continue;
    FieldSet touched = unite(unite(found->modified, found->added), found->removed);
    bool concerns = entry.decoded ? !intersect(*entry.decoded, touched).empty() : intersects(touched, entry.stored);
    if (concerns) {
      entry.decoded = subtract(managed.fields(entry), touched);
      if (entry.decoded->empty()) continue;
    }
    kept.push_back(std::move(entry));
  }
  managed.entries = std::move(kept);
  FieldSet gained = own->modified.empty() ? std::move(own->added)
                    : own->added.empty()  ? std::move(own->modified)
                                          : unite(own->modified, own->added);
  take_out(gained, stripped_fields());
  if (gained.empty()) return {};
  Manager self = self_of(write, false, manager);
  if (Manager* there = managed.find(self)) {
    there->decoded = unite(managed.fields(*there), gained);
    there->time = write.now;
  } else {
    self.time = write.now;
    self.decoded = std::move(gained);
    managed.entries.push_back(std::move(self));
  }
  managed.cap();
  return {};
}

// The fields of objects that were created, by their shape: the pods of one template differ in values only. Entries are told
// apart by 128 keyed bits, and displaced by newer ones.
class Remembered {
 public:
  static constexpr std::size_t places = 64;
  static constexpr std::size_t max_bytes = 16 << 10;  // of one set

  struct Key {
    const void* kind = nullptr;
    std::string subresource;
    Shape128 shape;
    friend bool operator==(const Key&, const Key&) = default;
  };

  Document find(const Key& key) {
    std::lock_guard lock(mutex_);
    const Entry& entry = entries_[key.shape.first % places];
    return entry.fields && entry.key == key ? entry.fields : Document();
  }
  void keep(const Key& key, Document fields) {
    if (fields.memory() > max_bytes) return;
    std::lock_guard lock(mutex_);
    entries_[key.shape.first % places] = {key, std::move(fields)};
  }

 private:
  struct Entry {
    Key key;
    Document fields;
  };
  std::mutex mutex_;
  std::array<Entry, places> entries_;
};

Remembered& remembered() {
  static Remembered all;
  return all;
}

// The managers of a new object, about which nobody said anything: the writer owns what is in it.
Document track_new(const Write& write, Value now) {
  FieldTexts texts;
  Managed managed(texts);
  Remembered::Key key{write.kind, std::string(write.subresource), shape_of(now)};
  Document fields = remembered().find(key);
  if (!fields) {
    if (!take_over(write, write.empty, now, managed, write.manager) || managed.entries.empty()) return managed.document();
    fields = fields_v1(managed.fields(managed.entries.front()));
    remembered().keep(key, fields);
    managed.entries.clear();
  }
  Manager self = self_of(write, false, write.manager);
  self.time = write.now;
  self.stored = fields.root();
  managed.entries.push_back(std::move(self));
  return managed.document();
}

}  // namespace

Result<void> own_everything(const Write& write, Value object, Managed& managed, std::string_view manager) {
  return take_over(write, write.empty, object, managed, manager);
}

Document track(const Write& write, Value live, Value now, Value given) {
  if (write.kind && !live.exists() && !given.exists()) return track_new(write, now);
  FieldTexts texts;
  Managed managed(texts);
  Value stored = live["metadata"]["managedFields"];
  bool reset = write.subresource.empty() && Managed::is_reset(given);
  bool theirs = write.subresource.empty() && !reset && given.size() > 0 && !(stored.exists() && given == stored);
  if (theirs && (!managed.read(given, false) || managed.entries.empty())) {
    managed.entries.clear();
    theirs = false;
  }
  if (!theirs && !reset && !managed.read(stored, true)) managed.entries.clear();
  // An object that nobody tracked stays untracked until it is applied.
  if (managed.entries.empty() && live.exists()) return {};
  if (!take_over(write, live.exists() ? live : write.empty, now, managed, write.manager))
    return stored.exists() ? Draft(stored).freeze() : Document();
  return managed.document();
}

std::string manager_of_user_agent(std::string_view user_agent) {
  std::string_view before = user_agent.substr(0, user_agent.find('/'));
  std::string out;
  for (std::size_t i = 0; i < before.size();) {
    auto c = static_cast<unsigned char>(before[i]);
    std::size_t bytes = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    bool printable = c >= 0x20 && c != 0x7f && i + bytes <= before.size();
    if (printable && out.size() + bytes > field_manager_max_bytes) break;
    if (printable) out += before.substr(i, bytes);
    i += bytes;
  }
  return out;
}

}  // namespace kybern::apply
