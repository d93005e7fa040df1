#include "apiserver/print/cells.h"

#include "apiserver/print/row.h"

namespace kybern::apiserver {
namespace {

struct Entry {
  std::string_view group, plural;
  CellsFunction function;
};

constexpr Entry kinds[] = {
    {"", "pods", pod_cells},
    {"", "podtemplates", pod_template_cells},
    {"", "replicationcontrollers", replication_controller_cells},
    {"", "services", service_cells},
    {"", "endpoints", endpoints_cells},
    {"", "nodes", node_cells},
    {"", "namespaces", namespace_cells},
    {"", "configmaps", config_map_cells},
    {"", "secrets", secret_cells},
    {"", "serviceaccounts", service_account_cells},
    {"", "events", event_cells},
    {"", "resourcequotas", resource_quota_cells},
    {"", "componentstatuses", component_status_cells},
    {"", "persistentvolumes", volume_cells},
    {"", "persistentvolumeclaims", volume_claim_cells},
    {"admissionregistration.k8s.io", "mutatingadmissionpolicies", mutating_policy_cells},
    {"admissionregistration.k8s.io", "mutatingadmissionpolicybindings", policy_binding_cells},
    {"admissionregistration.k8s.io", "mutatingwebhookconfigurations", webhooks_cells},
    {"admissionregistration.k8s.io", "validatingadmissionpolicies", validating_policy_cells},
    {"admissionregistration.k8s.io", "validatingadmissionpolicybindings", policy_binding_cells},
    {"admissionregistration.k8s.io", "validatingwebhookconfigurations", webhooks_cells},
    {"apiregistration.k8s.io", "apiservices", api_service_cells},
    {"apps", "controllerrevisions", controller_revision_cells},
    {"apps", "daemonsets", daemon_set_cells},
    {"apps", "deployments", deployment_cells},
    {"apps", "replicasets", replica_set_cells},
    {"apps", "statefulsets", stateful_set_cells},
    {"autoscaling", "horizontalpodautoscalers", autoscaler_cells},
    {"batch", "cronjobs", cron_job_cells},
    {"batch", "jobs", job_cells},
    {"certificates.k8s.io", "certificatesigningrequests", certificate_request_cells},
    {"coordination.k8s.io", "leases", lease_cells},
    {"discovery.k8s.io", "endpointslices", endpoint_slice_cells},
    {"events.k8s.io", "events", event_cells},
    {"flowcontrol.apiserver.k8s.io", "flowschemas", flow_schema_cells},
    {"flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", priority_level_cells},
    {"metrics.k8s.io", "nodes", usage_cells},
    {"metrics.k8s.io", "pods", usage_cells},
    {"networking.k8s.io", "ingressclasses", ingress_class_cells},
    {"networking.k8s.io", "ingresses", ingress_cells},
    {"networking.k8s.io", "ipaddresses", ip_address_cells},
    {"networking.k8s.io", "networkpolicies", network_policy_cells},
    {"networking.k8s.io", "servicecidrs", service_cidr_cells},
    {"node.k8s.io", "runtimeclasses", runtime_class_cells},
    {"policy", "poddisruptionbudgets", disruption_budget_cells},
    {"rbac.authorization.k8s.io", "clusterrolebindings", role_binding_cells},
    {"rbac.authorization.k8s.io", "rolebindings", role_binding_cells},
    {"resource.k8s.io", "resourceclaims", resource_claim_cells},
    {"resource.k8s.io", "resourceslices", resource_slice_cells},
    {"scheduling.k8s.io", "priorityclasses", priority_class_cells},
    {"storage.k8s.io", "csidrivers", csi_driver_cells},
    {"storage.k8s.io", "csinodes", csi_node_cells},
    {"storage.k8s.io", "csistoragecapacities", csi_capacity_cells},
    {"storage.k8s.io", "storageclasses", storage_class_cells},
    {"storage.k8s.io", "volumeattachments", volume_attachment_cells},
    {"storage.k8s.io", "volumeattributesclasses", volume_attributes_class_cells},
};

CellsFunction function_of(const Served& served) {
  for (const Entry& entry : kinds)
    if (entry.plural == served.plural() && entry.group == served.group()) return entry.function;
  return nullptr;
}

// Name and Age for what has no function of its own: device classes, roles, limit ranges, and whatever has no columns.
void plain_cells(const Served& served, Row& row) {
  if (served.resource->columns.empty()) {
    row.add_all(row.meta()["name"], row.meta()["creationTimestamp"]);
    return;
  }
  for (const schema::Column& column : served.resource->columns) {
    if (column.name == "Name") row.add(row.meta()["name"]);
    else if (column.name == "Age") row.add(row.age());
    else if (column.name == "Created At") row.add(row.meta()["creationTimestamp"]);
    else row.add("");
  }
}

}  // namespace

Draft cells_of(const Served& served, Value object, Time now) {
  Row row{object, now};
  CellsFunction function = function_of(served);
  if (function == nullptr || served.resource->columns.empty()) {
    plain_cells(served, row);
    return std::move(row.cells);
  }
  function(row);
  row.cells.items().resize(served.resource->columns.size());  // a row has exactly its header's cells
  return std::move(row.cells);
}

}  // namespace kybern::apiserver
