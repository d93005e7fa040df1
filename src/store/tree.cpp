#include "store/tree.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"

namespace kybern::store {

namespace detail {

constexpr unsigned fan_out = 32;
constexpr unsigned merge_below = 8;   // a node with fewer is joined with a neighbour,
constexpr unsigned merge_up_to = 24;  // if the two fit into this many

// A shared text: the smallest key that the child behind it may hold. As short as tells the two neighbours apart.
struct Separator {
  std::atomic<std::uint32_t> references;
  std::uint32_t size;
  std::string_view text() const { return {reinterpret_cast<const char*>(this + 1), size}; }
};

struct Node {
  std::atomic<std::uint32_t> references{1};
  std::uint16_t used = 0;
  const bool leaf;
  explicit Node(bool is_leaf) : leaf(is_leaf) {}
};

struct Leaf : Node {
  EntryPtr entries[fan_out];
  Leaf() : Node(true) {}
};

struct Inner : Node {
  std::uint32_t counts[fan_out];  // entries below each child
  Node* children[fan_out];
  Separator* separators[fan_out];  // separators[0] is null: the first child has no lower bound of its own
  Inner() : Node(false) {}
};

static Leaf& leaf(Node* n) { return *static_cast<Leaf*>(n); }
static Inner& inner(Node* n) { return *static_cast<Inner*>(n); }
static const Leaf& leaf(const Node* n) { return *static_cast<const Leaf*>(n); }
static const Inner& inner(const Node* n) { return *static_cast<const Inner*>(n); }

static Separator* new_separator(std::string_view text) {
  auto* s = static_cast<Separator*>(::operator new(sizeof(Separator) + text.size()));
  new (&s->references) std::atomic<std::uint32_t>(1);
  s->size = static_cast<std::uint32_t>(text.size());
  std::memcpy(static_cast<void*>(s + 1), text.data(), text.size());
  return s;
}

// low < result <= high
static Separator* separate(std::string_view low, std::string_view high) {
  std::size_t same = 0;
  while (same < low.size() && same < high.size() && low[same] == high[same]) ++same;
  return new_separator(high.substr(0, same + 1));
}

static Separator* keep(Separator* s) {
  if (s) s->references.fetch_add(1, std::memory_order_relaxed);
  return s;
}
static void drop(Separator* s) {
  if (s && s->references.fetch_sub(1, std::memory_order_acq_rel) == 1) ::operator delete(s);
}

static Node* keep(Node* n) {
  if (n) n->references.fetch_add(1, std::memory_order_relaxed);
  return n;
}
static void drop(Node* n) {
  if (!n || n->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (n->leaf) {
    delete static_cast<Leaf*>(n);
    return;
  }
  Inner& i = inner(n);
  for (unsigned k = 0; k < i.used; ++k) {
    drop(i.separators[k]);
    drop(i.children[k]);
  }
  delete static_cast<Inner*>(n);
}

static std::size_t count_of(const Node* n) {
  if (!n) return 0;
  if (n->leaf) return n->used;
  std::size_t total = 0;
  for (unsigned k = 0; k < n->used; ++k) total += inner(n).counts[k];
  return total;
}

// Makes `slot` point to a node that only it refers to.
static Node* own(Node*& slot) {
  if (slot->references.load(std::memory_order_acquire) == 1) return slot;
  Node* copy;
  if (slot->leaf) {
    auto* to = new Leaf;
    std::copy_n(leaf(slot).entries, slot->used, to->entries);
    copy = to;
  } else {
    auto* to = new Inner;
    const Inner& from = inner(slot);
    for (unsigned k = 0; k < slot->used; ++k) {
      to->counts[k] = from.counts[k];
      to->children[k] = keep(from.children[k]);
      to->separators[k] = keep(from.separators[k]);
    }
    copy = to;
  }
  copy->used = slot->used;
  drop(slot);
  slot = copy;
  return copy;
}

// The first position in a leaf whose key is >= `key`.
static unsigned lower(const Leaf& l, std::string_view key) {
  unsigned low = 0, high = l.used;
  while (low < high) {
    unsigned middle = (low + high) / 2;
    if (std::string_view(l.entries[middle]->key) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The child that holds `key` if any does.
static unsigned child_for(const Inner& i, std::string_view key) {
  unsigned low = 1, high = i.used;
  while (low < high) {
    unsigned middle = (low + high) / 2;
    if (i.separators[middle]->text() <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

struct Split {
  Node* right = nullptr;  // null: there was room
  Separator* separator = nullptr;
};

static void insert_entry(Leaf& l, unsigned at, EntryPtr entry) {
  std::move_backward(l.entries + at, l.entries + l.used, l.entries + l.used + 1);
  l.entries[at] = std::move(entry);
  ++l.used;
}

static void insert_child(Inner& i, unsigned at, Node* child, Separator* separator, std::uint32_t count) {
  std::copy_backward(i.children + at, i.children + i.used, i.children + i.used + 1);
  std::copy_backward(i.separators + at, i.separators + i.used, i.separators + i.used + 1);
  std::copy_backward(i.counts + at, i.counts + i.used, i.counts + i.used + 1);
  i.children[at] = child;
  i.separators[at] = separator;
  i.counts[at] = count;
  ++i.used;
}

// Keys that come in order fill their nodes: when the new one goes behind the last, all others stay on the left.
static unsigned split_point(unsigned at) { return at == fan_out ? fan_out : fan_out / 2; }

static Split split_leaf(Leaf& l, unsigned at, EntryPtr entry) {
  auto* right = new Leaf;
  unsigned from = split_point(at);
  std::move(l.entries + from, l.entries + fan_out, right->entries);
  right->used = static_cast<std::uint16_t>(fan_out - from);
  l.used = static_cast<std::uint16_t>(from);
  if (at <= from && from != fan_out) insert_entry(l, at, std::move(entry));
  else insert_entry(*right, at - from, std::move(entry));
  return {right, separate(l.entries[l.used - 1]->key, right->entries[0]->key)};
}

static Split split_inner(Inner& i, unsigned at, Node* child, Separator* separator, std::uint32_t count) {
  auto* right = new Inner;
  unsigned from = split_point(at);
  std::copy(i.children + from, i.children + fan_out, right->children);
  std::copy(i.separators + from, i.separators + fan_out, right->separators);
  std::copy(i.counts + from, i.counts + fan_out, right->counts);
  right->used = static_cast<std::uint16_t>(fan_out - from);
  i.used = static_cast<std::uint16_t>(from);
  if (at <= from && from != fan_out) insert_child(i, at, child, separator, count);
  else insert_child(*right, at - from, child, separator, count);
  // The separator of the right node's first child moves up: between the two halves.
  return {right, std::exchange(right->separators[0], nullptr)};
}

static Split put_below(Node*& slot, EntryPtr& entry, EntryPtr& replaced) {
  Node* n = own(slot);
  if (n->leaf) {
    Leaf& l = leaf(n);
    unsigned at = lower(l, entry->key);
    if (at < l.used && l.entries[at]->key == entry->key) {
      replaced = std::exchange(l.entries[at], std::move(entry));
      return {};
    }
    if (l.used == fan_out) return split_leaf(l, at, std::move(entry));
    insert_entry(l, at, std::move(entry));
    return {};
  }
  Inner& i = inner(n);
  unsigned at = child_for(i, entry->key);
  Split split = put_below(i.children[at], entry, replaced);
  if (!replaced) ++i.counts[at];
  if (!split.right) return {};
  auto moved = static_cast<std::uint32_t>(count_of(split.right));
  i.counts[at] -= moved;
  if (i.used == fan_out) return split_inner(i, at + 1, split.right, split.separator, moved);
  insert_child(i, at + 1, split.right, split.separator, moved);
  return {};
}

static void remove_child(Inner& i, unsigned at) {
  drop(i.children[at]);
  drop(i.separators[at]);
  std::copy(i.children + at + 1, i.children + i.used, i.children + at);
  std::copy(i.separators + at + 1, i.separators + i.used, i.separators + at);
  std::copy(i.counts + at + 1, i.counts + i.used, i.counts + at);
  --i.used;
  if (at == 0 && i.used) drop(std::exchange(i.separators[0], nullptr));
}

// Moves all of child `at + 1` to the end of child `at`.
static void join_children(Inner& i, unsigned at) {
  Node* left = own(i.children[at]);
  Node* right = own(i.children[at + 1]);
  if (left->leaf) {
    std::move(leaf(right).entries, leaf(right).entries + right->used, leaf(left).entries + left->used);
  } else {
    Inner &l = inner(left), &r = inner(right);
    std::copy(r.children, r.children + r.used, l.children + l.used);
    std::copy(r.separators, r.separators + r.used, l.separators + l.used);
    std::copy(r.counts, r.counts + r.used, l.counts + l.used);
    l.separators[l.used] = keep(i.separators[at + 1]);  // the first child of the right node has a neighbour now
  }
  left->used = static_cast<std::uint16_t>(left->used + right->used);
  right->used = 0;
  i.counts[at] += i.counts[at + 1];
  remove_child(i, at + 1);
}

// The key is there.
static EntryPtr erase_below(Node*& slot, std::string_view key) {
  Node* n = own(slot);
  if (n->leaf) {
    Leaf& l = leaf(n);
    unsigned at = lower(l, key);
    EntryPtr gone = std::move(l.entries[at]);
    std::move(l.entries + at + 1, l.entries + l.used, l.entries + at);
    --l.used;
    return gone;
  }
  Inner& i = inner(n);
  unsigned at = child_for(i, key);
  EntryPtr gone = erase_below(i.children[at], key);
  --i.counts[at];
  unsigned left = i.children[at]->used;
  if (left == 0) {
    remove_child(i, at);
  } else if (left < merge_below) {
    if (at + 1 < i.used && left + i.children[at + 1]->used <= merge_up_to) join_children(i, at);
    else if (at > 0 && left + i.children[at - 1]->used <= merge_up_to) join_children(i, at - 1);
  }
  return gone;
}

static const EntryPtr* first_from(const Node* n, std::string_view key, bool inclusive) {
  if (!n) return nullptr;
  if (n->leaf) {
    const Leaf& l = leaf(n);
    unsigned at = lower(l, key);
    if (!inclusive && at < l.used && l.entries[at]->key == key) ++at;
    return at < l.used ? &l.entries[at] : nullptr;
  }
  const Inner& i = inner(n);
  unsigned at = child_for(i, key);
  const EntryPtr* found = first_from(i.children[at], key, inclusive);
  // The key may lie behind the last one of its child: then the next child's first is the one.
  if (!found && at + 1 < i.used) found = first_from(i.children[at + 1], key, inclusive);
  return found;
}

static bool scan_below(const Node* n, std::string_view start, const std::function<bool(const EntryPtr&)>& visit) {
  if (n->leaf) {
    const Leaf& l = leaf(n);
    for (unsigned k = start.empty() ? 0 : lower(l, start); k < l.used; ++k)
      if (!visit(l.entries[k])) return false;
    return true;
  }
  const Inner& i = inner(n);
  unsigned first = start.empty() ? 0 : child_for(i, start);
  for (unsigned k = first; k < i.used; ++k)
    if (!scan_below(i.children[k], k == first ? start : std::string_view(), visit)) return false;
  return true;
}

// `before(key)` is true for a first part of the keys in order, false for the rest: how many are in the first part.
template <class Before>
static std::size_t partition_rank(const Node* n, Before before) {
  std::size_t rank = 0;
  while (n && !n->leaf) {
    const Inner& i = inner(n);
    unsigned low = 1, high = i.used;  // the last child whose separator is before, or the first child
    while (low < high) {
      unsigned middle = (low + high) / 2;
      if (before(i.separators[middle]->text())) low = middle + 1;
      else high = middle;
    }
    for (unsigned k = 0; k + 1 < low; ++k) rank += i.counts[k];
    n = i.children[low - 1];
  }
  if (!n) return rank;
  const Leaf& l = leaf(n);
  unsigned low = 0, high = l.used;
  while (low < high) {
    unsigned middle = (low + high) / 2;
    if (before(std::string_view(l.entries[middle]->key))) low = middle + 1;
    else high = middle;
  }
  return rank + low;
}

static Node* build_above(std::vector<Node*> level, std::vector<Separator*> separators) {
  while (level.size() > 1) {
    std::vector<Node*> above;
    std::vector<Separator*> above_separators;
    for (std::size_t from = 0; from < level.size();) {
      // Not one child alone in the last node.
      std::size_t n = std::min<std::size_t>(fan_out, level.size() - from);
      if (level.size() - from == fan_out + 1) n = fan_out / 2;
      auto* i = new Inner;
      for (std::size_t k = 0; k < n; ++k) {
        i->children[k] = level[from + k];
        i->separators[k] = k ? separators[from + k] : nullptr;
        i->counts[k] = static_cast<std::uint32_t>(count_of(level[from + k]));
      }
      i->used = static_cast<std::uint16_t>(n);
      above.push_back(i);
      above_separators.push_back(separators[from]);
      from += n;
    }
    level = std::move(above);
    separators = std::move(above_separators);
  }
  return level.empty() ? nullptr : level[0];
}

static std::size_t memory_below(const Node* n) {
  if (!n) return 0;
  if (n->leaf) return sizeof(Leaf);
  std::size_t sum = sizeof(Inner);
  for (unsigned k = 0; k < n->used; ++k) {
    sum += memory_below(inner(n).children[k]);
    if (inner(n).separators[k]) sum += sizeof(Separator) + inner(n).separators[k]->size;
  }
  return sum;
}

static unsigned check_below(const Node* n, std::string_view low, const std::string_view* high) {
  KYBERN_CHECK(n->used > 0, "no node is empty");
  if (n->leaf) {
    const Leaf& l = leaf(n);
    for (unsigned k = 0; k < l.used; ++k) {
      std::string_view key = l.entries[k]->key;
      KYBERN_CHECK(key >= low && (!high || key < *high), "a key lies between its separators");
      KYBERN_CHECK(k == 0 || l.entries[k - 1]->key < key, "keys ascend");
    }
    for (unsigned k = l.used; k < fan_out; ++k) KYBERN_CHECK(!l.entries[k], "nothing is kept behind the last entry");
    return 1;
  }
  const Inner& i = inner(n);
  KYBERN_CHECK(!i.separators[0], "the first child has no separator");
  unsigned depth = 0;
  for (unsigned k = 0; k < i.used; ++k) {
    std::string_view from = k ? i.separators[k]->text() : low;
    std::string_view to = k + 1 < i.used ? i.separators[k + 1]->text() : std::string_view();
    unsigned below = check_below(i.children[k], from, k + 1 < i.used ? &to : high);
    KYBERN_CHECK(k == 0 || below == depth, "all leaves are equally deep");
    KYBERN_CHECK(i.counts[k] == count_of(i.children[k]), "counts are those of the subtrees");
    depth = below;
  }
  return depth + 1;
}

}  // namespace detail

using namespace detail;

Tree::Tree(const Tree& other) : root_(keep(other.root_)) {}
Tree::Tree(Tree&& other) noexcept : root_(std::exchange(other.root_, nullptr)) {}
Tree& Tree::operator=(Tree other) noexcept {
  std::swap(root_, other.root_);
  return *this;
}
Tree::~Tree() { drop(root_); }

Tree Tree::build(const std::vector<EntryPtr>& sorted) {
  std::vector<Node*> leaves;
  std::vector<Separator*> separators;
  for (std::size_t from = 0; from < sorted.size(); from += fan_out) {
    auto* l = new Leaf;
    std::size_t n = std::min<std::size_t>(fan_out, sorted.size() - from);
    std::copy_n(sorted.begin() + static_cast<std::ptrdiff_t>(from), n, l->entries);
    l->used = static_cast<std::uint16_t>(n);
    leaves.push_back(l);
    separators.push_back(from ? separate(sorted[from - 1]->key, sorted[from]->key) : nullptr);
  }
  Tree tree;
  tree.root_ = build_above(std::move(leaves), std::move(separators));
  return tree;
}

std::size_t Tree::size() const { return count_of(root_); }

EntryPtr Tree::get(std::string_view key) const {
  const Node* n = root_;
  while (n && !n->leaf) n = inner(n).children[child_for(inner(n), key)];
  if (!n) return nullptr;
  unsigned at = lower(leaf(n), key);
  return at < n->used && leaf(n).entries[at]->key == key ? leaf(n).entries[at] : nullptr;
}

EntryPtr Tree::put(EntryPtr entry) {
  EntryPtr replaced;
  if (!root_) root_ = new Leaf;
  Split split = put_below(root_, entry, replaced);
  if (split.right) {
    auto* top = new Inner;
    top->used = 2;
    top->children[0] = root_;
    top->separators[0] = nullptr;
    top->counts[0] = static_cast<std::uint32_t>(count_of(root_));
    top->children[1] = split.right;
    top->separators[1] = split.separator;
    top->counts[1] = static_cast<std::uint32_t>(count_of(split.right));
    root_ = top;
  }
  return replaced;
}

EntryPtr Tree::erase(std::string_view key) {
  if (!get(key)) return nullptr;
  EntryPtr gone = erase_below(root_, key);
  while (root_ && (root_->used == 0 || (!root_->leaf && root_->used == 1))) {
    Node* below = root_->used ? keep(inner(root_).children[0]) : nullptr;
    drop(root_);
    root_ = below;
  }
  return gone;
}

std::size_t Tree::rank(std::string_view key) const {
  return partition_rank(root_, [&](std::string_view k) { return k < key; });
}

// A separator that has the prefix is at or before the keys of its child, so "before" holds for both or for neither in
// the order that the search needs.
std::size_t Tree::rank_behind(std::string_view prefix) const {
  return partition_rank(root_, [&](std::string_view k) { return k.starts_with(prefix) || k < prefix; });
}

EntryPtr Tree::at_or_after(std::string_view key) const {
  const EntryPtr* found = first_from(root_, key, true);
  return found ? *found : nullptr;
}

EntryPtr Tree::after(std::string_view key) const {
  const EntryPtr* found = first_from(root_, key, false);
  return found ? *found : nullptr;
}

void Tree::scan(std::string_view start, const std::function<bool(const EntryPtr&)>& visit) const {
  if (root_) scan_below(root_, start, visit);
}

std::size_t Tree::memory() const { return memory_below(root_); }

void Tree::check_invariants() const {
  if (root_) check_below(root_, {}, nullptr);
}

}  // namespace kybern::store
