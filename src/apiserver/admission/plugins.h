// The built-in admission plug-ins, by upstream's names.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver::admission {

// NamespaceLifecycle: nothing is created in a namespace that is missing or on its way out.
ApiResult<void> namespace_lifecycle(const AdmissionAttributes& a, Draft& object);
// ... and the namespaces that the cluster needs stay.
ApiResult<void> protected_namespaces(const AdmissionAttributes& a);
// ServiceAccount: a pod runs as an account that exists, with its token mounted and its pull secrets.
ApiResult<void> service_account(const AdmissionAttributes& a, Draft& object);
// TaintNodesByCondition: a new node is not-ready until the node controller says otherwise.
ApiResult<void> taint_nodes_by_condition(const AdmissionAttributes& a, Draft& object);
// Priority: priorityClassName becomes a number.
ApiResult<void> priority(const AdmissionAttributes& a, Draft& object);
// DefaultTolerationSeconds: pods stay 300 s on a node that is not ready or unreachable.
ApiResult<void> default_toleration_seconds(const AdmissionAttributes& a, Draft& object);
// StorageObjectInUseProtection: finalizers on volumes and claims.
ApiResult<void> storage_object_in_use(const AdmissionAttributes& a, Draft& object);
// DefaultStorageClass: a claim without a class gets the default one.
ApiResult<void> default_storage_class(const AdmissionAttributes& a, Draft& object);
// PodTopologyLabels: a pod has its node's zone and region as labels: one that names its node when it is made, and one that is
// bound, by the Binding's labels.
ApiResult<void> topology_labels(const AdmissionAttributes& a, Draft& object);
Document with_topology_labels(const Registry& registry, Document binding);
// LimitRanger: containers get the namespace's default limits and requests ...
ApiResult<void> default_limits(const AdmissionAttributes& a, Draft& object);
// ... and what they ask for is within its bounds.
ApiResult<void> check_limits(const AdmissionAttributes& a, Value object);
// RuntimeClass: overhead and scheduling of the class that a pod names.
ApiResult<void> runtime_class(const AdmissionAttributes& a, Draft& object);
// PodSecurity: pods keep to the standard of their namespace.
ApiResult<void> pod_security_standards(const AdmissionAttributes& a, Value object);
// DefaultIngressClass: an ingress without a class gets the default one.
ApiResult<void> default_ingress_class(const AdmissionAttributes& a, Draft& object);
// PersistentVolumeClaimResize: only bound claims grow, of classes that allow it.
ApiResult<void> claim_resize(const AdmissionAttributes& a, Value object);
// Priority: at most one class is the default.
ApiResult<void> one_default_priority(const AdmissionAttributes& a, Value object);
// NodeRestriction: what kubelets write is their own.
ApiResult<void> node_restriction(const AdmissionAttributes& a, Draft& object);
ApiResult<void> node_restriction_of_deletion(const AdmissionAttributes& a);
ApiResult<void> node_restriction_of_eviction(Work& work, Value pod);
ApiResult<void> node_restriction_of_token(Work& work, Value request);  // a TokenRequest for the account `work` names
// CertificateApproval, CertificateSigning: who decides about a signer's requests may do so for that signer.
// CertificateSubjectRestriction: nobody asks to be one of system:masters.
ApiResult<void> certificates(const AdmissionAttributes& a, Value object);
// ResourceQuota: the last of all, since it writes what it allows into the quotas.
ApiResult<void> charge_quotas(const AdmissionAttributes& a, Value object);

}  // namespace kybern::apiserver::admission
