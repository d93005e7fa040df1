// What a kubelet may: read the objects that its own pods refer to, write its own node and its own pods' status. Upstream's
// Node authorizer (KEP-279, and KEP-4601 for selectors); what a node writes is looked at by admission (NodeRestriction).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/authz/authorizer.h"
#include "apiserver/authz/node_graph.h"

namespace kybern::apiserver {

// The node whose kubelet the user is: user system:node:NAME in the group system:nodes. Absent: no kubelet.
std::optional<std::string_view> node_of(const User& user);

class NodeAuthorizer {
 public:
  explicit NodeAuthorizer(const Registry& registry);
  // Allowed, or no opinion, with a reason.
  Decision authorize(std::string_view node, const Attributes& attributes) const;

 private:
  Decision read_of(std::string_view node, NodeGraph::Kind kind, const Attributes& a, bool single) const;
  Decision related(std::string_view node, NodeGraph::Kind kind, const Attributes& a) const;
  Decision volume(std::string_view node, const Attributes& a) const;
  Decision secret(std::string_view node, const Attributes& a) const;
  Decision named_by_node(std::string_view node, const Attributes& a, std::string_view plural) const;
  Decision slices(std::string_view node, const Attributes& a) const;
  Decision nodes(std::string_view node, const Attributes& a) const;
  Decision pods(std::string_view node, const Attributes& a) const;

  const Registry& registry_;
  mutable NodeGraph graph_;
  std::vector<Document> rules_;  // of the role system:node: for all that is not divided by node
};

}  // namespace kybern::apiserver
