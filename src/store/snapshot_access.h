// Makes and opens snapshots: for the store's own files.
#pragma once

#include <memory>
#include <utility>

#include "store/store.h"
#include "store/tree.h"

namespace kybern::store {

class SnapshotAccess {
 public:
  static Snapshot make(std::shared_ptr<const Tree> tree, Revision revision) {
    Snapshot s;
    s.root_ = std::move(tree);
    s.revision_ = revision;
    return s;
  }
  static const Tree* tree(const Snapshot& s) { return static_cast<const Tree*>(s.root_.get()); }
};

}  // namespace kybern::store
