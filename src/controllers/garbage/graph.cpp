#include "controllers/garbage/graph.h"

#include <algorithm>
#include <utility>

#include "controllers/objects.h"

namespace kybern::controllers::garbage {

std::vector<Reference> references_of(Value object) {
  std::vector<Reference> out;
  const Value list = object["metadata"]["ownerReferences"];
  out.reserve(list.size());
  for (Value entry : list.items())
    out.push_back(
        {entry["uid"].str(), entry["apiVersion"].str(), entry["kind"].str(), entry["name"].str(), entry["blockOwnerDeletion"].as_bool()});
  return out;
}

const Node* Graph::find(std::string_view uid) const {
  auto found = nodes_.find(uid);
  return found == nodes_.end() ? nullptr : found->second.get();
}

Node& Graph::at(std::string_view uid) {
  auto found = nodes_.find(uid);
  if (found != nodes_.end()) return *found->second;
  auto node = std::make_unique<Node>();
  node->uid = uid;
  Node& out = *node;
  nodes_.emplace(std::string_view(out.uid), std::move(node));
  return out;
}

// Those of another dependent of the same owner, if they are the same.
Owners Graph::shared(std::vector<Reference> owners) const {
  const Node* const owner = owners.empty() ? nullptr : find(owners.front().uid);
  if (owner && !owner->dependents.empty())
    if (const Owners& others = (*owner->dependents.begin())->owners; others == owners) return others;
  return Owners(std::move(owners));
}

// An unobserved owner that nobody refers to any more.
void Graph::drop_if_idle(Node& node) {
  if (node.is_observed() || !node.dependents.empty()) return;
  nodes_.erase(nodes_.find(node.uid));
}

void Graph::detach(Node& node, const Reference& reference, std::vector<Look>& looks) {
  auto found = nodes_.find(reference.uid);
  if (found == nodes_.end()) return;
  Node& owner = *found->second;
  const bool still_refers = std::any_of(node.owners.begin(), node.owners.end(), [&](const Reference& r) { return r.uid == reference.uid; });
  if (!still_refers) owner.dependents.erase(&node);
  if (owner.foreground) looks.push_back({owner.uid});
  if (&owner != &node) drop_if_idle(owner);
}

void Graph::put(int resource, Value object, std::vector<Look>& looks) {
  const std::string_view uid = uid_of(object);
  if (uid.empty()) return;
  Node& node = at(uid);
  if (!node.is_observed()) {
    node.resource = resource;
    node.ns = namespace_of(object);
    node.name = name_of(object);
    // Those who refer to it under another name or namespace than it has are to be looked at.
    for (Node* dependent : node.dependents) {
      const bool strange = std::any_of(dependent->owners.begin(), dependent->owners.end(),
                                       [&](const Reference& r) { return r.uid == node.uid && r.name != node.name; });
      if (strange || (!node.ns.empty() && dependent->ns != node.ns)) looks.push_back({dependent->uid});
    }
  }
  std::vector<Reference> owners = references_of(object);
  if (!(node.owners == owners)) {
    const Owners before = std::exchange(node.owners, shared(std::move(owners)));
    bool look = false;
    for (const Reference& reference : node.owners) {
      Node& owner = at(reference.uid);
      owner.dependents.insert(&node);
      const bool is_new = std::none_of(before.begin(), before.end(), [&](const Reference& r) { return r.uid == reference.uid; });
      if (is_new &&
          (!owner.is_observed() || owner.foreground || owner.name != reference.name || (!owner.ns.empty() && owner.ns != node.ns)))
        look = true;
    }
    if (look) looks.push_back({node.uid});
    for (const Reference& reference : before)
      if (std::find(node.owners.begin(), node.owners.end(), reference) == node.owners.end()) detach(node, reference, looks);
  }
  const bool deleting = is_deleting(object);
  const bool foreground = deleting && has_finalizer(object, foreground_finalizer);
  const bool orphaning = deleting && has_finalizer(object, orphan_finalizer);
  if (foreground && !node.foreground) {
    looks.push_back({node.uid});
    for (const Node* dependent : node.dependents) looks.push_back({dependent->uid});
  }
  if (orphaning && !node.orphaning) looks.push_back({node.uid, true});
  node.deleting = deleting;
  node.foreground = foreground;
  node.orphaning = orphaning;
}

void Graph::erased(std::string_view uid, std::vector<Look>& looks) {
  auto found = nodes_.find(uid);
  if (found == nodes_.end()) return;
  Node& node = *found->second;
  for (const Node* dependent : node.dependents)
    if (dependent != &node) looks.push_back({dependent->uid});
  const Owners owners = std::exchange(node.owners, {});
  for (const Reference& reference : owners)
    if (reference.uid != node.uid) detach(node, reference, looks);
  node.dependents.erase(&node);
  node.resource = -1;
  node.deleting = node.foreground = node.orphaning = false;
  drop_if_idle(node);
}

void Graph::replaced(int resource, const std::vector<Document>& objects, std::vector<Look>& looks) {
  std::unordered_set<std::string_view> present;
  present.reserve(objects.size());
  for (const Document& object : objects) {
    put(resource, object, looks);
    present.insert(uid_of(object));
  }
  std::vector<std::string> gone;
  for (const auto& [uid, node] : nodes_)
    if (node->resource == resource && !present.contains(uid)) gone.push_back(node->uid);
  for (const std::string& uid : gone) erased(uid, looks);
}

void Graph::forget(int resource) {
  std::vector<Look> nobody_looks;
  replaced(resource, {}, nobody_looks);
}

std::vector<const Node*> Graph::blocking(const Node& owner) const {
  std::vector<const Node*> out;
  for (const Node* dependent : owner.dependents) {
    const bool blocks =
        std::any_of(dependent->owners.begin(), dependent->owners.end(), [&](const Reference& r) { return r.uid == owner.uid && r.blocks; });
    if (blocks && dependent != &owner) out.push_back(dependent);
  }
  return out;
}

}  // namespace kybern::controllers::garbage
