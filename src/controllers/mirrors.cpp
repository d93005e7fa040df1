#include "controllers/mirrors.h"

#include "controllers/objects.h"

namespace kybern::controllers {
namespace {

std::vector<std::string> by_controller(Value object) {
  const Value controller = controller_of(object);
  if (controller.exists()) return {controller["uid"].str()};
  return {Mirrors::orphans_of(namespace_of(object))};
}

std::vector<std::string> by_node(Value pod) {
  const std::string_view node = pod["spec"]["nodeName"].as_string();
  if (node.empty()) return {};
  return {std::string(node)};
}

std::vector<std::string> by_service(Value slice) {
  const Value service = slice["metadata"]["labels"]["kubernetes.io/service-name"];
  if (service.is_null()) return {};
  return {Mirrors::service_key(namespace_of(slice), service.as_string())};
}

std::vector<std::string> by_account(Value secret) {
  return {std::string(namespace_of(secret)) + "/" + secret["metadata"]["annotations"]["kubernetes.io/service-account.name"].str()};
}

}  // namespace

Mirrors::Mirrors(client::Transport& transport)
    : pods(transport, "/api/v1/pods"),
      replication_controllers(transport, "/api/v1/replicationcontrollers"),
      replica_sets(transport, "/apis/apps/v1/replicasets"),
      deployments(transport, "/apis/apps/v1/deployments"),
      services(transport, "/api/v1/services"),
      endpoint_slices(transport, "/apis/discovery.k8s.io/v1/endpointslices"),
      endpoints(transport, "/api/v1/endpoints"),
      namespaces(transport, "/api/v1/namespaces"),
      service_accounts(transport, "/api/v1/serviceaccounts"),
      root_ca_maps(transport, "/api/v1/configmaps", client::make_query({{"fieldSelector", "metadata.name=kube-root-ca.crt"}})),
      nodes(transport, "/api/v1/nodes"),
      node_leases(transport, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"),
      resource_quotas(transport, "/api/v1/resourcequotas"),
      certificate_requests(transport, "/apis/certificates.k8s.io/v1/certificatesigningrequests"),
      budgets(transport, "/apis/policy/v1/poddisruptionbudgets"),
      cluster_roles(transport, "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
      token_secrets(transport, "/api/v1/secrets", client::make_query({{"fieldSelector", "type=kubernetes.io/service-account-token"}})),
      bootstrap_secrets(transport, "/api/v1/namespaces/kube-system/secrets",
                        client::make_query({{"fieldSelector", "type=bootstrap.kubernetes.io/token"}})),
      cluster_info(transport, "/api/v1/namespaces/kube-public/configmaps",
                   client::make_query({{"fieldSelector", "metadata.name=cluster-info"}})),
      all_{{"v1", "pods", &pods},
           {"v1", "replicationcontrollers", &replication_controllers},
           {"apps/v1", "replicasets", &replica_sets},
           {"apps/v1", "deployments", &deployments},
           {"v1", "services", &services},
           {"discovery.k8s.io/v1", "endpointslices", &endpoint_slices},
           {"v1", "endpoints", &endpoints},
           {"v1", "namespaces", &namespaces},
           {"v1", "serviceaccounts", &service_accounts},
           {"v1", "configmaps", &root_ca_maps},
           {"v1", "nodes", &nodes},
           {"coordination.k8s.io/v1", "leases", &node_leases},
           {"v1", "resourcequotas", &resource_quotas},
           {"certificates.k8s.io/v1", "certificatesigningrequests", &certificate_requests},
           {"policy/v1", "poddisruptionbudgets", &budgets},
           {"rbac.authorization.k8s.io/v1", "clusterroles", &cluster_roles},
           // Parts of a resource: what is written is not shown to them, it may be of another part.
           {"", "", &token_secrets},
           {"", "", &bootstrap_secrets},
           {"", "", &cluster_info}} {
  pods.add_index("controller", by_controller);
  pods.add_index("node", by_node);
  replica_sets.add_index("controller", by_controller);
  endpoint_slices.add_index("service", by_service);
  token_secrets.add_index("account", by_account);
}

void Mirrors::start() {
  for (Entry& entry : all_) entry.mirror->start();
}

void Mirrors::stop() {
  for (Entry& entry : all_) entry.mirror->stop();
}

bool Mirrors::synced() const {
  for (const Entry& entry : all_)
    if (!entry.mirror->synced()) return false;
  return true;
}

client::MirrorCore* Mirrors::find(std::string_view api_version, std::string_view resource) {
  for (const Entry& entry : all_)
    if (entry.resource == resource && entry.api_version == api_version) return entry.mirror;
  return nullptr;
}

}  // namespace kybern::controllers
