#include "machinery/defaults/defaults.h"

#include <string>

#include "base/strings.h"
#include "machinery/defaults/fill.h"

namespace kybern {
namespace defaults {
namespace {

constexpr std::string_view rbac_group = "rbac.authorization.k8s.io";

void service_port_443(Draft& client) {
  if (Draft* service = inner(client, "service")) put(*service, "port", 443);
}

void rule_scopes(Draft& holder, std::string_view list) {
  each(holder, list, [](Draft& rule) { put(rule, "scope", "*"); });
}

void webhook(Draft& hook) {
  put(hook, "failurePolicy", "Fail");
  put(hook, "matchPolicy", "Equivalent");
  put(hook, "namespaceSelector", Draft::object());
  put(hook, "objectSelector", Draft::object());
  put(hook, "timeoutSeconds", 10);
  rule_scopes(hook, "rules");
  if (Draft* client = inner(hook, "clientConfig")) service_port_443(*client);
}

void validating_webhooks(Draft& object) { each(object, "webhooks", webhook); }

void mutating_webhooks(Draft& object) {
  each(object, "webhooks", [](Draft& hook) {
    webhook(hook);
    put(hook, "reinvocationPolicy", "Never");
  });
}

void match_resources(Draft* match) {
  if (match == nullptr) return;
  put(*match, "matchPolicy", "Equivalent");
  put(*match, "namespaceSelector", Draft::object());
  put(*match, "objectSelector", Draft::object());
  rule_scopes(*match, "resourceRules");
  rule_scopes(*match, "excludeResourceRules");
}

void admission_policy(Draft& object) {
  Draft* spec = inner(object, "spec");
  if (spec == nullptr) return;
  put(*spec, "failurePolicy", "Fail");
  match_resources(inner(*spec, "matchConstraints"));
}

void admission_policy_binding(Draft& object) {
  if (Draft* spec = inner(object, "spec")) match_resources(inner(*spec, "matchResources"));
}

void api_service(Draft& object) {
  if (Draft* spec = inner(object, "spec")) service_port_443(*spec);
}

void custom_resource_definition(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  if (Draft* names = open(*spec, "names")) {
    std::string kind(text(*names, "kind"));
    if (!kind.empty()) {
      put_text(*names, "singular", to_lower(kind));
      put_text(*names, "listKind", kind + "List");
    }
  }
  put(*spec, "conversion", Draft::object({{"strategy", "None"}}));
  Draft* conversion = inner(*spec, "conversion");
  Draft* hook = conversion == nullptr ? nullptr : inner(*conversion, "webhook");
  if (Draft* client = hook == nullptr ? nullptr : inner(*hook, "clientConfig")) service_port_443(*client);
}

void token_request(Draft& object) {
  if (Draft* spec = open(object, "spec")) put(*spec, "expirationSeconds", 60 * 60);
}

void endpoint_slice(Draft& object) {
  each(object, "ports", [](Draft& port) {
    put(port, "name", "");
    put(port, "protocol", "TCP");
  });
}

void flow_schema(Draft& object) {
  if (Draft* spec = open(object, "spec")) put_number(*spec, "matchingPrecedence", 1000);
}

void priority_level(Draft& object) {
  Draft* spec = inner(object, "spec");
  if (spec == nullptr) return;
  if (Draft* exempt = inner(*spec, "exempt")) {
    put(*exempt, "nominalConcurrencyShares", 0);
    put(*exempt, "lendablePercent", 0);
  }
  Draft* limited = inner(*spec, "limited");
  if (limited == nullptr) return;
  put(*limited, "nominalConcurrencyShares", 30);
  put(*limited, "lendablePercent", 0);
  Draft* response = inner(*limited, "limitResponse");
  if (Draft* queuing = response == nullptr ? nullptr : inner(*response, "queuing")) {
    put_number(*queuing, "queues", 64);
    put_number(*queuing, "handSize", 8);
    put_number(*queuing, "queueLengthLimit", 50);
  }
}

void network_policy(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  auto ports = [](Draft& rule) { each(rule, "ports", [](Draft& port) { put(port, "protocol", "TCP"); }); };
  each(*spec, "ingress", ports);
  each(*spec, "egress", ports);
  const Draft *types = spec->find("policyTypes"), *egress = spec->find("egress");
  if (types != nullptr && !types->empty()) return;
  Draft found = Draft::array({Draft("Ingress")});
  if (egress != nullptr && !egress->empty()) found.push_back("Egress");
  (*spec)["policyTypes"] = std::move(found);
}

void ingress_class(Draft& object) {
  Draft* spec = inner(object, "spec");
  if (Draft* parameters = spec == nullptr ? nullptr : inner(*spec, "parameters")) put(*parameters, "scope", "Cluster");
}

void role_binding(Draft& object) {
  if (Draft* role = inner(object, "roleRef")) put_text(*role, "apiGroup", rbac_group);
  each(object, "subjects", [](Draft& subject) {
    if (text(subject, "kind") == "User" || text(subject, "kind") == "Group") put_text(subject, "apiGroup", rbac_group);
  });
}

void priority_class(Draft& object) { put(object, "preemptionPolicy", "PreemptLowerPriority"); }

void storage_class(Draft& object) {
  put(object, "reclaimPolicy", "Delete");
  put(object, "volumeBindingMode", "Immediate");
}

void csi_driver(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  put(*spec, "attachRequired", true);
  put(*spec, "podInfoOnMount", false);
  put(*spec, "storageCapacity", false);
  put(*spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
  const Draft* modes = spec->find("volumeLifecycleModes");
  if (modes == nullptr || modes->empty()) (*spec)["volumeLifecycleModes"] = Draft::array({Draft("Persistent")});
  put(*spec, "requiresRepublish", false);
  put(*spec, "seLinuxMount", false);
}

void volume_attachment(Draft& object) {
  Draft* spec = inner(object, "spec");
  Draft* source = spec == nullptr ? nullptr : inner(*spec, "source");
  if (Draft* inline_spec = source == nullptr ? nullptr : inner(*source, "inlineVolumeSpec")) {
    put_text(*inline_spec, "persistentVolumeReclaimPolicy", "Retain");
    put(*inline_spec, "volumeMode", "Filesystem");
    round_resources(*inline_spec, "capacity");
    persistent_source(*inline_spec);
  }
}

void runtime_class(Draft& object) {
  if (Draft* overhead = inner(object, "overhead")) round_resources(*overhead, "podFixed");
}

// One request of a claim for devices, or one of its alternatives.
void device_request(Draft& request) {
  put_text(request, "allocationMode", "ExactCount");
  if (text(request, "allocationMode") == "ExactCount") put_number(request, "count", 1);
  each(request, "tolerations", [](Draft& toleration) { put_text(toleration, "operator", "Equal"); });
}

void claim_for_devices(Draft& spec) {
  Draft* devices = inner(spec, "devices");
  if (devices == nullptr) return;
  each(*devices, "requests", [](Draft& request) {
    if (Draft* exactly = inner(request, "exactly")) device_request(*exactly);
    each(request, "firstAvailable", device_request);
  });
}

void resource_claim(Draft& object) {
  if (Draft* spec = inner(object, "spec")) claim_for_devices(*spec);
}

void resource_claim_template(Draft& object) {
  Draft* spec = inner(object, "spec");
  if (Draft* inside = spec == nullptr ? nullptr : inner(*spec, "spec")) claim_for_devices(*inside);
}

struct Row {
  std::string_view group, version, kind;
  void (*fill)(Draft& object);
};

constexpr Row rows[] = {
    {"", "v1", "Pod", pod},
    {"", "v1", "PodTemplate", pod_template_object},
    {"", "v1", "ReplicationController", replication_controller},
    {"", "v1", "Service", service},
    {"", "v1", "Secret", secret},
    {"", "v1", "Namespace", namespace_},
    {"", "v1", "Node", node},
    {"", "v1", "PersistentVolume", persistent_volume},
    {"", "v1", "PersistentVolumeClaim", persistent_volume_claim},
    {"", "v1", "Endpoints", endpoints},
    {"", "v1", "LimitRange", limit_range},
    {"", "v1", "ResourceQuota", resource_quota},
    {"admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", validating_webhooks},
    {"admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", mutating_webhooks},
    {"admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", admission_policy},
    {"admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", admission_policy},
    {"admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", admission_policy_binding},
    {"admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding", admission_policy_binding},
    {"apiextensions.k8s.io", "v1", "CustomResourceDefinition", custom_resource_definition},
    {"apiregistration.k8s.io", "v1", "APIService", api_service},
    {"apps", "v1", "Deployment", deployment},
    {"apps", "v1", "ReplicaSet", replica_set},
    {"apps", "v1", "StatefulSet", stateful_set},
    {"apps", "v1", "DaemonSet", daemon_set},
    {"authentication.k8s.io", "v1", "TokenRequest", token_request},
    {"autoscaling", "v1", "HorizontalPodAutoscaler", autoscaler_v1},
    {"autoscaling", "v2", "HorizontalPodAutoscaler", autoscaler_v2},
    {"batch", "v1", "Job", job},
    {"batch", "v1", "CronJob", cron_job},
    {"discovery.k8s.io", "v1", "EndpointSlice", endpoint_slice},
    {"flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", flow_schema},
    {"flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", priority_level},
    {"networking.k8s.io", "v1", "NetworkPolicy", network_policy},
    {"networking.k8s.io", "v1", "IngressClass", ingress_class},
    {"node.k8s.io", "v1", "RuntimeClass", runtime_class},
    {"rbac.authorization.k8s.io", "v1", "RoleBinding", role_binding},
    {"rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", role_binding},
    {"resource.k8s.io", "v1", "ResourceClaim", resource_claim},
    {"resource.k8s.io", "v1", "ResourceClaimTemplate", resource_claim_template},
    {"scheduling.k8s.io", "v1", "PriorityClass", priority_class},
    {"storage.k8s.io", "v1", "StorageClass", storage_class},
    {"storage.k8s.io", "v1", "CSIDriver", csi_driver},
    {"storage.k8s.io", "v1", "VolumeAttachment", volume_attachment},
};

}  // namespace
}  // namespace defaults

void apply_defaults(const schema::Resource& resource, Draft& object) {
  if (!object.is_object()) return;
  if (resource.type != nullptr) canonical_quantities(*resource.type, object);
  for (const defaults::Row& row : defaults::rows) {
    if (row.kind == resource.kind && row.group == resource.group && row.version == resource.version) return row.fill(object);
  }
}

void apply_defaults(std::string_view group, std::string_view version, std::string_view kind, Draft& object) {
  std::string api_version = group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version);
  schema::Resource resource{};
  resource.group = group;
  resource.version = version;
  resource.kind = kind;
  resource.type = schema::find_type(api_version, kind);
  apply_defaults(resource, object);
}

}  // namespace kybern
