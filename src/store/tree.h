// A persistent ordered map from key to entry: a B-tree of immutable, reference-counted nodes.
//
// Copying a tree is one increment; the copies share their nodes. put() and erase() copy the nodes on the way from the
// root that another tree holds too, and change in place those that only this tree holds: so the second write of a batch
// that meets the same node does not copy it again. Each inner node knows the sizes of its subtrees (rank in O(log n)).
//
// A tree that several threads read is not changed by any of them; the trees themselves may be copied and destroyed on
// any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace kybern::store {

namespace detail {
struct Node;
}

class Tree {
 public:
  Tree() = default;
  Tree(const Tree& other);
  Tree(Tree&& other) noexcept;
  Tree& operator=(Tree other) noexcept;
  ~Tree();
  // Entries in key order, no key twice. Nodes are filled.
  static Tree build(const std::vector<EntryPtr>& sorted);

  std::size_t size() const;
  EntryPtr get(std::string_view key) const;  // null when absent
  EntryPtr put(EntryPtr entry);              // the entry it replaces, or null
  EntryPtr erase(std::string_view key);      // the entry removed, or null

  std::size_t rank(std::string_view key) const;            // entries with a smaller key
  std::size_t rank_behind(std::string_view prefix) const;  // entries with a smaller key or with this prefix
  // The first entry with a key >= `key`, or > `key`; null when there is none.
  EntryPtr at_or_after(std::string_view key) const;
  EntryPtr after(std::string_view key) const;
  // From the first key >= `start`, in order, until `visit` returns false.
  void scan(std::string_view start, const std::function<bool(const EntryPtr&)>& visit) const;

  std::size_t memory() const;     // bytes of nodes, entries not included
  void check_invariants() const;  // for tests: order, separators, counts, fill; ends the process when one is broken

 private:
  detail::Node* root_ = nullptr;
};

}  // namespace kybern::store
