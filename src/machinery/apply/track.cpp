#include <algorithm>

#include "machinery/apply/ownership.h"
#include "machinery/metadata.h"

namespace kybern::apply {

const FieldSet& stripped_fields() {
  static const FieldSet set = [] {
    FieldSet out;
    for (std::string_view top : {"f:apiVersion", "f:kind", "f:metadata"}) out.insert({top});
    for (std::string_view field : {"f:name", "f:namespace", "f:creationTimestamp", "f:selfLink", "f:uid", "f:clusterName", "f:generation", "f:managedFields", "f:resourceVersion"})
      out.insert({"f:metadata", field});
    return out;
  }();
  return set;
}

Manager self_of(const Write& write, bool applies, std::string_view name) {
  return {std::string(name.empty() ? "unknown" : name), applies, std::string(write.api_version), std::string(write.subresource), {}, {}, {}};
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
  FieldSet gained = own->modified.empty() ? std::move(own->added) : own->added.empty() ? std::move(own->modified) : unite(own->modified, own->added);
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

}  // namespace

Result<void> own_everything(const Write& write, Value object, Managed& managed, std::string_view manager) {
  return take_over(write, write.empty, object, managed, manager);
}

Document track(const Write& write, Value live, Value now, Value given) {
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
  if (!take_over(write, live.exists() ? live : write.empty, now, managed, write.manager)) return stored.exists() ? Draft(stored).freeze() : Document();
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
