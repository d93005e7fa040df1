#include <algorithm>

#include "store/snapshot_access.h"

namespace kybern::store {

static const Tree& tree_of(const Snapshot& s) {
  static const Tree nothing;
  const Tree* tree = SnapshotAccess::tree(s);
  return tree ? *tree : nothing;
}

Revision Snapshot::revision() const { return revision_; }

EntryPtr Snapshot::get(std::string_view key) const { return tree_of(*this).get(key); }

std::size_t Snapshot::count(std::string_view prefix) const {
  const Tree& tree = tree_of(*this);
  return tree.rank_behind(prefix) - tree.rank(prefix);
}

std::size_t Snapshot::count_after(std::string_view prefix, std::string_view key) const {
  const Tree& tree = tree_of(*this);
  std::size_t end = tree.rank_behind(prefix);
  std::size_t start = tree.rank(std::max(prefix, key));
  if (start >= end) return 0;
  // `key` itself is not after `key`; the prefix itself is, when `key` lies before it.
  return end - start - (key >= prefix && tree.get(key) ? 1 : 0);
}

void Snapshot::scan(std::string_view prefix, std::string_view start, const std::function<bool(const EntryPtr&)>& visit) const {
  tree_of(*this).scan(std::max(prefix, start), [&](const EntryPtr& entry) { return entry->key.starts_with(prefix) && visit(entry); });
}

EntryPtr Snapshot::next(std::string_view prefix, std::string_view after) const {
  const Tree& tree = tree_of(*this);
  EntryPtr found = after.empty() || after < prefix ? tree.at_or_after(prefix) : tree.after(after);
  return found && found->key.starts_with(prefix) ? found : nullptr;
}

}  // namespace kybern::store
