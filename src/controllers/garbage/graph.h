// Who owns whom: the graph of metadata.ownerReferences over all objects, and what its changes make worth looking at.
//
// Pure: events in, uids to look at out. A node that is only known from a reference is unobserved; whether its object exists
// is then asked of the API. Example: a ReplicaSet goes -> its pods are looked at; each finds its only owner gone and goes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "document/document.h"

namespace kybern::controllers::garbage {

inline constexpr std::string_view foreground_finalizer = "foregroundDeletion";
inline constexpr std::string_view orphan_finalizer = "orphan";

struct Reference {
  std::string uid, api_version, kind, name;
  bool blocks = false;  // blockOwnerDeletion
  friend bool operator==(const Reference&, const Reference&) = default;
};
std::vector<Reference> references_of(Value object);

// The references of an object, which all pods of one set have alike: they share them.
class Owners {
 public:
  Owners() = default;
  explicit Owners(std::vector<Reference> list) {
    if (!list.empty()) list_ = std::make_shared<const std::vector<Reference>>(std::move(list));
  }
  const Reference* begin() const { return list_ ? list_->data() : nullptr; }
  const Reference* end() const { return list_ ? list_->data() + list_->size() : nullptr; }
  friend bool operator==(const Owners& a, const std::vector<Reference>& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

 private:
  std::shared_ptr<const std::vector<Reference>> list_;
};

struct Node;

// Most objects have none: they pay for a pointer.
class Dependents {
 public:
  using Set = std::unordered_set<Node*>;
  Set::const_iterator begin() const { return get().begin(); }
  Set::const_iterator end() const { return get().end(); }
  bool empty() const { return !set_ || set_->empty(); }
  bool contains(Node* node) const { return get().contains(node); }
  void insert(Node* node) {
    if (!set_) set_ = std::make_unique<Set>();
    set_->insert(node);
  }
  void erase(Node* node) {
    if (set_) set_->erase(node);
  }

 private:
  const Set& get() const {
    static const Set none;
    return set_ ? *set_ : none;
  }
  std::unique_ptr<Set> set_;
};

struct Node {
  std::string uid, ns, name;
  int resource = -1;  // of the table that the caller keeps; -1: unobserved
  Owners owners;
  Dependents dependents;
  bool deleting = false;    // has a deletionTimestamp
  bool foreground = false;  // and waits until what it blocks on is gone
  bool orphaning = false;   // and lets its dependents go first

  bool is_observed() const { return resource >= 0; }
};

// What to look at: `uid` may be garbage or may have to finish its own deletion, or (`orphan`) leaves its dependents.
struct Look {
  std::string uid;
  bool orphan = false;
  friend bool operator==(const Look&, const Look&) = default;
};

class Graph {
 public:
  // An object as it is now, or as it was when it went.
  void put(int resource, Value object, std::vector<Look>& looks);
  void erased(std::string_view uid, std::vector<Look>& looks);
  // A whole list: what of this resource is not in it, is gone.
  void replaced(int resource, const std::vector<Document>& objects, std::vector<Look>& looks);
  void forget(int resource);  // the resource is not served any more

  const Node* find(std::string_view uid) const;
  // Those whose reference to this owner has blockOwnerDeletion.
  std::vector<const Node*> blocking(const Node& owner) const;
  std::size_t size() const { return nodes_.size(); }

 private:
  Node& at(std::string_view uid);
  Owners shared(std::vector<Reference> owners) const;
  void detach(Node& node, const Reference& reference, std::vector<Look>& looks);
  void drop_if_idle(Node& node);

  std::unordered_map<std::string_view, std::unique_ptr<Node>> nodes_;  // keys lie in the nodes
};

}  // namespace kybern::controllers::garbage
