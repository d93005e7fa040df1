// NodeRestriction: a kubelet writes its own node, lease and CSINode, its own pods' status, and nothing that would widen what
// it may read.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "apiserver/admission/plugins.h"
#include "apiserver/authz/node_authorizer.h"
#include "base/strings.h"
#include "machinery/pod_references.h"
#include "net/certificates.h"

namespace kybern::apiserver::admission {
namespace {

constexpr std::string_view mirror_annotation = "kubernetes.io/config.mirror";
constexpr std::string_view lease_namespace = "kube-node-lease";

// Labels of the kubernetes.io names that kubelets set.
constexpr std::string_view kubelet_labels[] = {
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
};

struct OfNode {
  const AdmissionAttributes& a;
  std::string node;
  std::unexpected<Status> refuse(std::string why) const {
    const Served& s = *a.work.served;
    return fail(forbidden(s.group(), s.plural(), a.work.name, why));
  }
};

bool has_suffix_domain(std::string_view domain, std::string_view of) {
  return domain == of || (domain.ends_with(of) && domain[domain.size() - of.size() - 1] == '.');
}

bool may_set_label(std::string_view label) {
  auto slash = label.find('/');
  if (slash == std::string_view::npos) return true;
  std::string_view domain = label.substr(0, slash);
  if (has_suffix_domain(domain, "node-restriction.kubernetes.io")) return false;
  if (!has_suffix_domain(domain, "kubernetes.io") && !has_suffix_domain(domain, "k8s.io")) return true;
  if (has_suffix_domain(domain, "kubelet.kubernetes.io") || has_suffix_domain(domain, "node.kubernetes.io")) return true;
  return std::find(std::begin(kubelet_labels), std::end(kubelet_labels), label) != std::end(kubelet_labels);
}

std::set<std::string> refused_labels(Value before, Value now) {
  std::set<std::string> out;
  Value old_labels = before["metadata"]["labels"], labels = now["metadata"]["labels"];
  for (Member m : labels.members())
    if (!may_set_label(m.key) && !(old_labels[m.key].exists() && old_labels[m.key] == m.value)) out.emplace(m.key);
  for (Member m : old_labels.members())
    if (!may_set_label(m.key) && !labels[m.key].exists()) out.emplace(m.key);
  return out;
}

std::string listed(const std::set<std::string>& names) { return join({names.begin(), names.end()}, ", "); }

ApiResult<void> create_pod(const OfNode& q, Value pod) {
  const std::string& node = q.node;
  if (!pod["metadata"]["annotations"][mirror_annotation].exists())
    return q.refuse(fmt::format("pod does not have \"{}\" annotation, node \"{}\" can only create mirror pods", mirror_annotation, node));
  if (pod["spec"]["nodeName"].as_string() != node)
    return q.refuse(fmt::format("node \"{}\" can only create pods with spec.nodeName set to itself", node));
  Value owners = pod["metadata"]["ownerReferences"];
  if (owners.size() > 1) return q.refuse(fmt::format("node \"{}\" can only create pods with a single owner reference set to itself", node));
  if (owners.empty()) return q.refuse(fmt::format("node \"{}\" can only create pods with an owner reference set to itself", node));
  Value owner = owners[0];
  if (owner["apiVersion"].as_string() != "v1" || owner["kind"].as_string() != "Node" || owner["name"].as_string() != node)
    return q.refuse(fmt::format("node \"{}\" can only create pods with an owner reference set to itself", node));
  if (!owner["controller"].as_bool())
    return q.refuse(fmt::format("node \"{}\" can only create pods with a controller owner reference set to itself", node));
  if (owner["blockOwnerDeletion"].as_bool())
    return q.refuse(fmt::format("node \"{}\" must not set blockOwnerDeletion on an owner reference", node));
  Document object = q.a.work.registry.read("", "v1", "nodes", "", node);
  if (!object || object["metadata"]["uid"].as_string() != owner["uid"].as_string())
    return q.refuse(
        fmt::format("node {} UID mismatch: expected {} got {}", node, object["metadata"]["uid"].as_string(), owner["uid"].as_string()));
  PodReferences refs = pod_references(pod);
  if (!refs.service_account.empty()) return q.refuse(fmt::format("node \"{}\" can not create pods that reference a service account", node));
  if (!refs.secrets.empty()) return q.refuse(fmt::format("node \"{}\" can not create pods that reference secrets", node));
  if (!refs.config_maps.empty()) return q.refuse(fmt::format("node \"{}\" can not create pods that reference configmaps", node));
  if (!refs.claims.empty()) return q.refuse(fmt::format("node \"{}\" can not create pods that reference persistentvolumeclaims", node));
  for (Value volume : pod["spec"]["volumes"].items())
    for (Value source : volume["projected"]["sources"].items())
      if (source["clusterTrustBundle"].is_object())
        return q.refuse(fmt::format("node \"{}\" can not create pods that reference clustertrustbundles", node));
  if (!pod["spec"]["resourceClaims"].empty())
    return q.refuse(fmt::format("node \"{}\" can not create pods that reference resourceclaims", node));
  return {};
}

ApiResult<void> check_pod(const OfNode& q, Value pod) {
  const AdmissionAttributes& a = q.a;
  std::string_view sub = a.work.subresource;
  Value before = a.before;
  bool own = before["spec"]["nodeName"].as_string() == q.node;
  if (sub.empty() && a.operation == "CREATE") return create_pod(q, pod);
  if (a.operation == "DELETE") {
    if (!own) return q.refuse(fmt::format("node \"{}\" can only delete pods with spec.nodeName set to itself", q.node));
    return {};
  }
  if (sub == "status" && a.operation == "UPDATE") {
    if (!own) return q.refuse(fmt::format("node \"{}\" can only update pod status for pods with spec.nodeName set to itself", q.node));
    if (!(before["metadata"]["labels"] == pod["metadata"]["labels"]))
      return q.refuse(fmt::format("node \"{}\" cannot update labels through pod status", q.node));
    if (!(before["status"]["resourceClaimStatuses"] == pod["status"]["resourceClaimStatuses"]))
      return q.refuse(fmt::format("node \"{}\" cannot update resource claim statues", q.node));  // upstream's spelling
    if (!(before["status"]["extendedResourceClaimStatus"] == pod["status"]["extendedResourceClaimStatus"]))
      return q.refuse(fmt::format("node \"{}\" cannot update extended resource claim status", q.node));
    return {};
  }
  return q.refuse(sub.empty()
                      ? fmt::format("unexpected operation \"{}\", node \"{}\" can only create and delete mirror pods", a.operation, q.node)
                      : fmt::format("unexpected pod subresource \"{}\", only 'status' and 'eviction' are allowed", sub));
}

ApiResult<void> check_node(const OfNode& q, Value object) {
  const AdmissionAttributes& a = q.a;
  if (a.work.name != q.node) return q.refuse(fmt::format("node \"{}\" is not allowed to modify node \"{}\"", q.node, a.work.name));
  if (a.operation == "CREATE") {
    if (object["spec"]["configSource"].exists())
      return q.refuse(fmt::format("node \"{}\" is not allowed to create pods with a non-nil configSource", q.node));
    if (auto refused = refused_labels({}, object); !refused.empty())
      return q.refuse(fmt::format("node \"{}\" is not allowed to set the following labels: {}", q.node, listed(refused)));
    if (!object["metadata"]["ownerReferences"].empty())
      return q.refuse(fmt::format("node \"{}\" is not allowed to set ownerReferences", q.node));
  }
  if (a.operation == "UPDATE") {
    if (!(a.before["metadata"]["ownerReferences"] == object["metadata"]["ownerReferences"]))
      return q.refuse(fmt::format("node \"{}\" is not allowed to modify ownerReferences", q.node));
    if (object["spec"]["configSource"].exists() && !(a.before["spec"]["configSource"] == object["spec"]["configSource"]))
      return q.refuse(fmt::format("node \"{}\" is not allowed to update configSource to a new non-nil configSource", q.node));
    // The taints that kubelets set are given at the creation: a running one must not clear those that keep pods away.
    if (!(a.before["spec"]["taints"] == object["spec"]["taints"]))
      return q.refuse(fmt::format("node \"{}\" is not allowed to modify taints", q.node));
    if (auto refused = refused_labels(a.before, object); !refused.empty())
      return q.refuse(fmt::format("is not allowed to modify labels: {}", listed(refused)));
  }
  return {};
}

ApiResult<void> check_claim(const OfNode& q, Value claim) {
  const AdmissionAttributes& a = q.a;
  if (a.operation != "UPDATE") return q.refuse(fmt::format("unexpected operation \"{}\"", a.operation));
  if (a.work.subresource != "status")
    return q.refuse(fmt::format("unexpected subresource \"{}\", may only update PVC status", a.work.subresource));
  // Only what an expansion on the node changes: capacity, conditions and what was allocated.
  auto rest = [](Value of) {
    Draft out(of);
    for (std::string_view field : {"managedFields", "resourceVersion"}) out["metadata"].erase(field);  // an update may name no version
    if (out.find("status"))
      for (std::string_view field : {"capacity", "conditions", "allocatedResources", "allocatedResourceStatuses",
                                     "currentVolumeAttributesClassName", "modifyVolumeStatus"})
        out["status"].erase(field);
    return out.freeze();
  };
  if (!(rest(a.before).root() == rest(claim).root()))
    return q.refuse(fmt::format("node \"{}\" is not allowed to update fields other than status.quantity and status.conditions", q.node));
  return {};
}

// A node asks for certificates in its own name alone.
ApiResult<void> check_certificate_request(const OfNode& q, Value request) {
  std::string_view signer = request["spec"]["signerName"].as_string();
  if (q.a.operation != "CREATE" || (signer != "kubernetes.io/kubelet-serving" && signer != "kubernetes.io/kube-apiserver-client-kubelet"))
    return {};
  auto info = net::read_request(base64_decode(request["spec"]["request"].as_string()).value_or(""));
  if (!info) return q.refuse("unable to parse csr: " + info.error().message);
  if (info->common_name != "system:node:" + q.node)
    return q.refuse(fmt::format("can only create a node CSR with CN=system:node:{}", q.node));
  return {};
}

ApiResult<void> check_named(const OfNode& q, std::string_view what) {
  const Work& work = q.a.work;
  if (work.served->plural() == "leases" && work.ns != lease_namespace)
    return q.refuse(fmt::format("can only access leases in the \"{}\" system namespace", lease_namespace));
  if (work.name != q.node) return q.refuse(fmt::format("can only access {} with the same name as the requesting node", what));
  return {};
}

// For whom a pod's volumes want tokens: projected ones, and what the drivers of its CSI volumes ask for.
std::set<std::string> audiences_of(const Work& work, Value pod) {
  const Registry& registry = work.registry;
  std::set<std::string> out;
  auto add_driver = [&](std::string_view driver) {
    if (driver.empty()) return;
    const Document object = registry.read("storage.k8s.io", "v1", "csidrivers", "", driver);
    for (Value token : object["spec"]["tokenRequests"].items()) out.insert(token["audience"].str());
  };
  for (Value volume : pod["spec"]["volumes"].items()) {
    for (Value source : volume["projected"]["sources"].items())
      if (source["serviceAccountToken"].is_object()) out.insert(source["serviceAccountToken"]["audience"].str());
    add_driver(volume["csi"]["driver"].as_string());
    std::string claim = volume["persistentVolumeClaim"]["claimName"].str();
    if (volume["ephemeral"].is_object()) claim = fmt::format("{}-{}", pod["metadata"]["name"].as_string(), volume["name"].as_string());
    if (claim.empty()) continue;
    const Document bound = registry.read("", "v1", "persistentvolumeclaims", work.ns, claim);
    const std::string name = bound["spec"]["volumeName"].str();
    if (!name.empty()) add_driver(registry.read("", "v1", "persistentvolumes", "", name)["spec"]["csi"]["driver"].as_string());
  }
  return out;
}

std::optional<OfNode> asked_by_node(const AdmissionAttributes& a) {
  auto node = node_of(a.work.user);
  if (!node) return std::nullopt;
  return OfNode{a, std::string(*node)};
}

ApiResult<void> restrict_node(const OfNode& q, Value object) {
  const AdmissionAttributes& a = q.a;
  if (q.node.empty()) return q.refuse(fmt::format("could not determine node from user \"{}\"", a.work.user.name));
  const Work& work = a.work;
  if (work.is("", "pods")) return check_pod(q, object);
  if (work.is("", "nodes")) return check_node(q, object);
  if (work.is("", "persistentvolumeclaims")) return check_claim(q, object);
  if (work.is("certificates.k8s.io", "certificatesigningrequests")) return check_certificate_request(q, object);
  if (work.is("coordination.k8s.io", "leases")) return check_named(q, "node lease");
  if (work.is("storage.k8s.io", "csinodes")) return check_named(q, "CSINode");
  if (work.is("resource.k8s.io", "resourceslices")) {
    Value slice = a.operation == "CREATE" ? object : a.before;
    if (slice["spec"]["nodeName"].as_string() != q.node)
      return q.refuse(
          fmt::format("can only {} ResourceSlice with the same NodeName as the requesting node", a.operation == "CREATE"   ? "create"
                                                                                                 : a.operation == "DELETE" ? "delete"
                                                                                                                           : "update"));
  }
  return {};
}

}  // namespace

// Before the object is judged, as it came: what a node may not say is refused also where it would count for nothing.
ApiResult<void> node_restriction(const AdmissionAttributes& a, Draft& object) {
  auto q = asked_by_node(a);
  if (!q) return {};
  const Document whole = object.freeze();
  return restrict_node(*q, whole.root());
}

ApiResult<void> node_restriction_of_deletion(const AdmissionAttributes& a) {
  auto q = asked_by_node(a);
  if (!q) return {};
  return restrict_node(*q, {});
}

ApiResult<void> node_restriction_of_eviction(Work& work, Value pod) {
  auto node = node_of(work.user);
  if (!node || pod["spec"]["nodeName"].as_string() == *node) return {};
  return fail(forbidden("", "pods", work.name, fmt::format("node {} can only evict pods with spec.nodeName set to itself", *node)));
}

ApiResult<void> node_restriction_of_token(Work& work, Value request) {
  auto node = node_of(work.user);
  if (!node) return {};
  auto refuse = [&](std::string why) { return fail(forbidden("", "serviceaccounts", work.name, why)); };
  Value bound = request["spec"]["boundObjectRef"];
  if (!bound.is_object() || bound["apiVersion"].as_string() != "v1" || bound["kind"].as_string() != "Pod" ||
      bound["name"].as_string().empty())
    return refuse("node requested token not bound to a pod");
  if (bound["uid"].as_string().empty()) return refuse("node requested token with a pod binding without a uid");
  Document pod = work.registry.read("", "v1", "pods", work.ns, bound["name"].as_string());
  if (!pod) return fail(not_found("", "pods", bound["name"].as_string()));
  if (pod["metadata"]["uid"].as_string() != bound["uid"].as_string())
    return refuse(
        fmt::format("the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and "
                    "then recreated",
                    bound["uid"].as_string()));
  if (pod["spec"]["nodeName"].as_string() != *node) return refuse("node requested token bound to a pod scheduled on a different node");
  // Only an audience that the pod itself asks for, or one that the node is granted (KEP-4412); "" is the API server's own.
  Value audiences = request["spec"]["audiences"];
  if (audiences.size() > 1) return refuse("node may only request 0 or 1 audiences");
  const std::string audience = audiences.empty() ? "" : audiences[0].str();
  if (audiences_of(work, pod).contains(audience)) return {};
  const Attributes grant{.user = work.user,
                         .verb = "request-serviceaccounts-token-audience",
                         .group = "",
                         .version = "",
                         .resource = audience,
                         .subresource = "",
                         .name = work.name,
                         .ns = work.ns,
                         .path = ""};
  if (work.registry.authorizer()->authorize(grant).allowed) return {};
  return refuse(fmt::format("audience \"{}\" not found in pod spec volume, {} is not authorized to request tokens for this audience",
                            audience, work.user.name));
}

}  // namespace kybern::apiserver::admission
