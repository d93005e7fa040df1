#include "machinery/validate/validate.h"

#include <limits>

#include "machinery/validate/rules.h"

namespace kybern {
namespace rules {
namespace {

#define KYBERN_ROW(group, kind, name, rule) \
  { group, kind, name, rule##_create, rule##_update, nullptr }
#define KYBERN_ROW_STATUS(group, kind, name, rule) \
  { group, kind, name, rule##_create, rule##_update, rule##_status }

constexpr Kind kinds[] = {
    KYBERN_ROW_STATUS("", "Pod", name_is_subdomain, pod),
    KYBERN_ROW("", "PodTemplate", name_is_subdomain, pod_template),
    KYBERN_ROW_STATUS("", "Service", name_is_label, service),
    KYBERN_ROW("", "Endpoints", name_is_subdomain, endpoints),
    KYBERN_ROW("", "ConfigMap", name_is_subdomain, config_map),
    KYBERN_ROW("", "Secret", name_is_subdomain, secret),
    KYBERN_ROW_STATUS("", "Namespace", name_is_label, namespace),
    {"", "Node", name_is_subdomain, node_create, node_update, node_update},
    KYBERN_ROW_STATUS("", "ResourceQuota", name_is_subdomain, resource_quota),
    KYBERN_ROW("", "LimitRange", name_is_subdomain, limit_range),
    KYBERN_ROW("", "ServiceAccount", name_is_subdomain, service_account),
    KYBERN_ROW_STATUS("", "ReplicationController", name_is_subdomain, replication_controller),
    KYBERN_ROW("", "PersistentVolume", name_is_subdomain, persistent_volume),
    KYBERN_ROW_STATUS("", "PersistentVolumeClaim", name_is_subdomain, persistent_volume_claim),
    KYBERN_ROW("", "Event", name_is_subdomain, core_event),
    KYBERN_ROW("events.k8s.io", "Event", name_is_subdomain, event),
    KYBERN_ROW_STATUS("apps", "Deployment", name_is_subdomain, deployment),
    KYBERN_ROW_STATUS("apps", "ReplicaSet", name_is_subdomain, replica_set),
    KYBERN_ROW_STATUS("apps", "StatefulSet", name_is_label, stateful_set),
    KYBERN_ROW_STATUS("apps", "DaemonSet", name_is_subdomain, daemon_set),
    KYBERN_ROW("apps", "ControllerRevision", name_is_subdomain, controller_revision),
    KYBERN_ROW_STATUS("batch", "Job", name_is_subdomain, job),
    KYBERN_ROW("batch", "CronJob", name_is_subdomain, cron_job),
    KYBERN_ROW_STATUS("autoscaling", "HorizontalPodAutoscaler", name_is_subdomain, autoscaler),
    KYBERN_ROW_STATUS("networking.k8s.io", "Ingress", name_is_subdomain, ingress),
    KYBERN_ROW("networking.k8s.io", "IngressClass", name_is_subdomain, ingress_class),
    KYBERN_ROW("networking.k8s.io", "NetworkPolicy", name_is_subdomain, network_policy),
    KYBERN_ROW("networking.k8s.io", "IPAddress", name_is_ip, ip_address),
    KYBERN_ROW("networking.k8s.io", "ServiceCIDR", name_is_subdomain, service_cidr),
    KYBERN_ROW("rbac.authorization.k8s.io", "Role", name_is_path_segment, role),
    KYBERN_ROW("rbac.authorization.k8s.io", "ClusterRole", name_is_path_segment, cluster_role),
    KYBERN_ROW("rbac.authorization.k8s.io", "RoleBinding", name_is_path_segment, role_binding),
    KYBERN_ROW("rbac.authorization.k8s.io", "ClusterRoleBinding", name_is_path_segment, cluster_role_binding),
    KYBERN_ROW("storage.k8s.io", "StorageClass", name_is_subdomain, storage_class),
    KYBERN_ROW_STATUS("storage.k8s.io", "VolumeAttachment", name_is_subdomain, volume_attachment),
    KYBERN_ROW("storage.k8s.io", "CSIDriver", name_is_subdomain, csi_driver),
    KYBERN_ROW("storage.k8s.io", "CSINode", name_is_subdomain, csi_node),
    KYBERN_ROW("storage.k8s.io", "CSIStorageCapacity", name_is_subdomain, csi_storage_capacity),
    KYBERN_ROW("storage.k8s.io", "VolumeAttributesClass", name_is_subdomain, volume_attributes_class),
    KYBERN_ROW("scheduling.k8s.io", "PriorityClass", name_is_subdomain, priority_class),
    KYBERN_ROW("coordination.k8s.io", "Lease", name_is_subdomain, lease),
    KYBERN_ROW("node.k8s.io", "RuntimeClass", name_is_subdomain, runtime_class),
    KYBERN_ROW_STATUS("policy", "PodDisruptionBudget", name_is_path_segment, disruption_budget),
    KYBERN_ROW("discovery.k8s.io", "EndpointSlice", name_is_subdomain, endpoint_slice),
    KYBERN_ROW_STATUS("apiregistration.k8s.io", "APIService", name_is_path_segment, api_service),
    KYBERN_ROW_STATUS("certificates.k8s.io", "CertificateSigningRequest", name_is_anything, certificate_request),
    KYBERN_ROW("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", name_is_subdomain, validating_webhooks),
    KYBERN_ROW("admissionregistration.k8s.io", "MutatingWebhookConfiguration", name_is_subdomain, mutating_webhooks),
    {"admissionregistration.k8s.io", "ValidatingAdmissionPolicy", name_is_subdomain, validating_policy_create, validating_policy_update,
     validating_policy_status},
    KYBERN_ROW("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", name_is_subdomain, validating_binding),
    KYBERN_ROW("admissionregistration.k8s.io", "MutatingAdmissionPolicy", name_is_subdomain, mutating_policy),
    KYBERN_ROW("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", name_is_subdomain, mutating_binding),
    KYBERN_ROW_STATUS("flowcontrol.apiserver.k8s.io", "FlowSchema", name_is_subdomain, flow_schema),
    KYBERN_ROW_STATUS("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", name_is_subdomain, priority_level),
    KYBERN_ROW_STATUS("resource.k8s.io", "ResourceClaim", name_is_subdomain, resource_claim),
    KYBERN_ROW("resource.k8s.io", "ResourceClaimTemplate", name_is_subdomain, resource_claim_template),
    KYBERN_ROW("resource.k8s.io", "DeviceClass", name_is_subdomain, device_class),
    KYBERN_ROW("resource.k8s.io", "ResourceSlice", name_is_subdomain, resource_slice),
    {"authorization.k8s.io", "SubjectAccessReview", name_is_anything, subject_access_review, nullptr, nullptr},
    {"authorization.k8s.io", "LocalSubjectAccessReview", name_is_anything, local_subject_access_review, nullptr, nullptr},
    {"authorization.k8s.io", "SelfSubjectAccessReview", name_is_anything, self_subject_access_review, nullptr, nullptr},
};

#undef KYBERN_ROW
#undef KYBERN_ROW_STATUS

}  // namespace

const Kind* find_kind(std::string_view group, std::string_view kind) {
  for (const Kind& one : kinds) {
    if (one.kind == kind && one.group == group) return &one;
  }
  return nullptr;
}

}  // namespace rules

using rules::find_kind;
using rules::Findings;
using rules::set;
using rules::text;

NameRule name_rule(const schema::Resource& resource) {
  const rules::Kind* kind = find_kind(resource.group, resource.kind);
  if (kind == nullptr && resource.group == "rbac.authorization.k8s.io") return name_is_path_segment;
  return kind != nullptr ? kind->name : name_is_subdomain;
}

FieldErrors validate(const schema::Resource& resource, Value object) {
  const rules::Kind* kind = find_kind(resource.group, resource.kind);
  bool question = resource.group == "authorization.k8s.io" || resource.group == "authentication.k8s.io";  // asked, not stored
  Findings f;
  if (kind != nullptr && kind->create != nullptr) kind->create(f, object);
  else if (question) return {};
  else rules::object_meta(f, object, resource.namespaced, name_rule(resource));
  if (!f.empty() || question) return f.take();
  // Whatever a kind allows, a name is a part of a path.
  return validate_object_meta(object["metadata"], resource.namespaced, name_is_path_segment);
}

FieldErrors validate_update(const schema::Resource& resource, Value object, Value old) {
  const rules::Kind* kind = find_kind(resource.group, resource.kind);
  Findings f;
  // Upstream looks at the metadata twice, and clients see what it found twice.
  f.add(validate_object_meta_update(object["metadata"], old["metadata"]));
  if (kind != nullptr && kind->update != nullptr) kind->update(f, object, old);
  else if (kind != nullptr && kind->create != nullptr) kind->create(f, object);
  else rules::object_meta_update(f, object, old);
  return f.take();
}

FieldErrors validate_subresource_update(const schema::Resource& resource, std::string_view subresource, Value object, Value old) {
  const rules::Kind* kind = find_kind(resource.group, resource.kind);
  Findings f;
  f.add(validate_object_meta_update(object["metadata"], old["metadata"]));
  bool pod = resource.group.empty() && resource.kind == "Pod";
  if (pod && subresource == "ephemeralcontainers") rules::pod_ephemeral_update(f, object, old);
  else if (pod && subresource == "resize") rules::pod_resize_update(f, object, old);
  else if (resource.kind == "Namespace" && subresource == "finalize") rules::namespace_finalize_update(f, object, old);
  else if (resource.kind == "CertificateSigningRequest" && subresource == "approval") rules::certificate_approval_update(f, object, old);
  else if (kind != nullptr && kind->status != nullptr && subresource == "status") kind->status(f, object, old);
  else rules::object_meta_update(f, object, old);
  return f.take();
}

FieldErrors validate_scale(Value scale) {
  Findings f;
  rules::object_meta(f, scale, true, name_is_subdomain);
  f.nonnegative(Path("spec.replicas"), scale["spec"]["replicas"]);
  return f.take();
}

FieldErrors validate_binding(Value binding) {
  Findings f;
  Value target = binding["target"];
  std::string_view kind = text(target, "kind");
  if (!kind.empty() && kind != "Node") f.not_supported(Path("target.kind"), kind, {"Node", "<empty>"});
  if (text(target, "name").empty()) f.required(Path("target.name"));
  return f.take();
}

FieldErrors validate_token_request(Value request) {
  constexpr std::int64_t least_s = 10 * 60, most_s = std::int64_t{1} << 32;
  Findings f;
  std::int64_t seconds = request["spec"]["expirationSeconds"].as_int();
  const Path path("spec.expirationSeconds");
  if (seconds < least_s) f.invalid(path, seconds, "may not specify a duration less than 10 minutes");
  if (seconds > most_s) f.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds");
  return f.take();
}

FieldErrors validate_pod_log_options(Value options) {
  Findings f;
  if (set(options, "tailLines")) f.nonnegative(Path("tailLines"), options["tailLines"]);
  if (set(options, "limitBytes") && options["limitBytes"].as_int() < 1)
    f.invalid(Path("limitBytes"), options["limitBytes"].as_int(), "must be greater than 0");
  if (set(options, "sinceSeconds") && set(options, "sinceTime")) {
    f.forbidden(Path(), "at most one of `sinceTime` or `sinceSeconds` may be specified");
  } else if (set(options, "sinceSeconds") && options["sinceSeconds"].as_int() < 1) {
    f.invalid(Path("sinceSeconds"), options["sinceSeconds"].as_int(), "must be greater than 0");
  }
  return f.take();
}

FieldErrors validate_delete_options(Value options) {
  Findings f;
  const Path path("propagationPolicy");
  std::string_view policy = text(options, "propagationPolicy");
  if (set(options, "orphanDependents") && set(options, "propagationPolicy"))
    f.invalid(path, policy, "orphanDependents and deletionPropagation cannot be both set");
  if (set(options, "propagationPolicy")) f.enumerated(path, policy, {"Foreground", "Background", "Orphan", "nil"});
  for (Value run : options["dryRun"].items()) {
    if (run.as_string() == "All") continue;
    FieldError error = field::not_supported(Path("dryRun"), "", {"All"});
    error.value = field::shown(options["dryRun"]);
    f.add(std::move(error));
    break;
  }
  return f.take();
}

}  // namespace kybern
