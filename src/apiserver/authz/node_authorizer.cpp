#include "apiserver/authz/node_authorizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "apiserver/authz/policy_rules.h"
#include "machinery/fields.h"
#include "machinery/pod_references.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view user_prefix = "system:node:";
constexpr std::string_view lease_namespace = "kube-node-lease";

const Decision allowed{true, ""};
Decision no(std::string reason = "") { return {false, std::move(reason)}; }

bool is_one_of(std::string_view verb, std::initializer_list<std::string_view> verbs) {
  return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

Decision unrelated(std::string_view node) { return no(fmt::format("no relationship found between node '{}' and this object", node)); }

bool selects(const Attributes& a, std::string_view field, std::string_view value) {
  auto selector = FieldSelector::parse(a.field_selector);
  return selector && selector->exact(field) == value;
}

}  // namespace

std::optional<std::string_view> node_of(const User& user) {
  std::string_view name = user.name;
  if (!name.starts_with(user_prefix) || !user.in_group("system:nodes")) return std::nullopt;
  return name.substr(user_prefix.size());
}

NodeAuthorizer::NodeAuthorizer(const Registry& registry)
    : registry_(registry), graph_(const_cast<Registry&>(registry).store()), rules_(bootstrap_rules("system:node")) {}

Decision NodeAuthorizer::authorize(std::string_view node, const Attributes& a) const {
  using Kind = NodeGraph::Kind;
  if (node.empty()) return no(fmt::format("unknown node for user \"{}\"", a.user.name));
  if (a.is_resource) {
    if (a.group.empty()) {
      if (a.resource == "secrets") return secret(node, a);
      if (a.resource == "configmaps") return read_of(node, Kind::config_map, a, false);
      if (a.resource == "persistentvolumeclaims") {
        if (a.subresource != "status") return read_of(node, Kind::claim, a, true);
        if (!is_one_of(a.verb, {"update", "patch"})) return no("can only get/update/patch this type");
        return related(node, Kind::claim, a);
      }
      if (a.resource == "persistentvolumes") return volume(node, a);
      if (a.resource == "serviceaccounts") {
        // For what pulls its images by its token (KEP-4412).
        if (a.verb == "get" && a.subresource.empty()) return related(node, Kind::service_account, a);
        if (a.verb != "create" || a.name.empty()) return no("can only create tokens for individual service accounts");
        if (a.subresource != "token") return no("can only create token subresource of serviceaccount");
        return related(node, Kind::service_account, a);
      }
      if (a.resource == "nodes") return nodes(node, a);
      if (a.resource == "pods") return pods(node, a);
    }
    if (a.group == "resource.k8s.io" && a.resource == "resourceclaims") return read_of(node, Kind::resource_claim, a, true);
    if (a.group == "resource.k8s.io" && a.resource == "resourceslices") return slices(node, a);
    if (a.group == "storage.k8s.io" && a.resource == "volumeattachments") {
      if (a.verb != "get") return no("can only get individual resources of this type");
      if (!a.subresource.empty()) return no("cannot get subresource");
      Document attachment = registry_.read("storage.k8s.io", "v1", "volumeattachments", "", a.name);
      return attachment && attachment["spec"]["nodeName"].as_string() == node ? allowed : unrelated(node);
    }
    if (a.group == "storage.k8s.io" && a.resource == "csinodes") return named_by_node(node, a, "CSINode");
    if (a.group == "coordination.k8s.io" && a.resource == "leases") return named_by_node(node, a, "node lease");
  }
  for (const Document& rule : rules_)
    if (rule_allows(rule.root(), a)) return allowed;
  return no();
}

Decision NodeAuthorizer::related(std::string_view node, NodeGraph::Kind kind, const Attributes& a) const {
  if (a.name.empty()) return no("No Object name found");
  return graph_.related(node, kind, a.ns, a.name) ? allowed : unrelated(node);
}

// `single`: only get; otherwise also list and watch of one object by its name.
Decision NodeAuthorizer::read_of(std::string_view node, NodeGraph::Kind kind, const Attributes& a, bool single) const {
  if (single) {
    if (a.verb != "get") return no("can only get individual resources of this type");
    if (!a.subresource.empty()) return no("cannot get subresource");
  } else {
    if (!is_one_of(a.verb, {"get", "list", "watch"})) return no("can only read resources of this type");
    if (!a.subresource.empty()) return no("cannot read subresource");
    if (a.ns.empty()) return no("can only read namespaced object of this type");
  }
  return related(node, kind, a);
}

// A volume is the node's when the claim it is bound to is.
Decision NodeAuthorizer::volume(std::string_view node, const Attributes& a) const {
  if (a.verb != "get") return no("can only get individual resources of this type");
  if (!a.subresource.empty()) return no("cannot get subresource");
  if (a.name.empty()) return no("No Object name found");
  Document volume = registry_.read("", "v1", "persistentvolumes", "", a.name);
  Value claim = volume ? volume["spec"]["claimRef"] : Value();
  return claim.exists() && graph_.related(node, NodeGraph::Kind::claim, claim["namespace"].as_string(), claim["name"].as_string())
             ? allowed
             : unrelated(node);
}

// A secret that a pod names, or the volume of a pod's claim.
Decision NodeAuthorizer::secret(std::string_view node, const Attributes& a) const {
  Decision direct = read_of(node, NodeGraph::Kind::secret, a, false);
  if (direct.allowed || !is_one_of(a.verb, {"get", "list", "watch"}) || a.name.empty() || !a.subresource.empty()) return direct;
  bool found = false;
  registry_.each("", "v1", "persistentvolumes", "", [&](Value volume) {
    Value claim = volume["spec"]["claimRef"];
    for (const auto& [ns, name] : secrets_of_volume(volume))
      found = found || (ns == a.ns && name == a.name &&
                        graph_.related(node, NodeGraph::Kind::claim, claim["namespace"].as_string(), claim["name"].as_string()));
    return !found;
  });
  return found ? allowed : direct;
}

// Leases and CSINodes have the name of their node. At a create the name is not known yet: admission looks at it.
Decision NodeAuthorizer::named_by_node(std::string_view node, const Attributes& a, std::string_view what) const {
  if (!is_one_of(a.verb, {"get", "create", "update", "patch", "delete"}))
    return no(fmt::format("can only get, create, update, patch, or delete a {}", what));
  bool lease = a.resource == "leases";
  if (lease && a.ns != lease_namespace) return no(fmt::format("can only access leases in the \"{}\" system namespace", lease_namespace));
  if (!lease && !a.subresource.empty()) return no("cannot authorize CSINode subresources");
  if (a.verb != "create" && a.name != node) return no(fmt::format("can only access {} with the same name as the requesting node", what));
  return allowed;
}

Decision NodeAuthorizer::slices(std::string_view node, const Attributes& a) const {
  if (!a.subresource.empty()) return no("cannot authorize ResourceSlice subresources");
  if (a.verb == "create") return allowed;
  if (is_one_of(a.verb, {"get", "update", "patch", "delete"})) {
    if (a.name.empty()) return no("No Object name found");
    Document slice = registry_.read("resource.k8s.io", "v1", "resourceslices", "", a.name);
    return slice && slice["spec"]["nodeName"].as_string() == node ? allowed : unrelated(node);
  }
  if (!is_one_of(a.verb, {"watch", "list", "deletecollection"}))
    return no(
        "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection");
  return selects(a, "spec.nodeName", node) || selects(a, "nodeName", node)
             ? allowed
             : no("can only list/watch/deletecollection resourceslices with nodeName field selector");
}

Decision NodeAuthorizer::nodes(std::string_view node, const Attributes& a) const {
  if (a.subresource == "status") return is_one_of(a.verb, {"update", "patch"}) ? allowed : no();
  if (!a.subresource.empty()) return no();
  if (is_one_of(a.verb, {"create", "update", "patch"})) return allowed;
  if (!is_one_of(a.verb, {"get", "list", "watch"})) return no();
  // By name, not by what is stored: a kubelet looks for its node before it makes it.
  if (a.name == node) return allowed;
  if (a.name.empty()) return no(fmt::format("node '{}' cannot read all nodes, only its own Node object", node));
  return no(fmt::format("node '{}' cannot read '{}', only its own Node object", node, a.name));
}

Decision NodeAuthorizer::pods(std::string_view node, const Attributes& a) const {
  if (a.subresource == "status") return is_one_of(a.verb, {"update", "patch"}) ? allowed : no();
  if (a.subresource == "eviction") return a.verb == "create" ? allowed : no();
  if (!a.subresource.empty()) return no();
  if (a.verb == "get") return related(node, NodeGraph::Kind::pod, a);
  if (is_one_of(a.verb, {"list", "watch"})) {
    if (selects(a, "spec.nodeName", node)) return allowed;
    if (!a.name.empty()) return related(node, NodeGraph::Kind::pod, a);
    return no("can only list/watch pods with spec.nodeName field selector");
  }
  return is_one_of(a.verb, {"create", "delete"}) ? allowed : no();
}

}  // namespace kybern::apiserver
