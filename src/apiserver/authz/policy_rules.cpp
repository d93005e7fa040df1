// Upstream's default roles and bindings (its RBAC bootstrap policy), as text.
//
//   role NAME            a ClusterRole; its rules follow
//   aggregate NAME TO    a ClusterRole that is a part of the role TO
//   collect NAME [TO]    a ClusterRole that has the rules of its parts, and is itself a part of the role TO
//     VERBS GROUPS RESOURCES [NAMES]     comma-separated; `core` is the group ""
//     VERBS url PATHS
//   namespaced NS NAME   a Role
//   bind NAME ROLE SUBJECT...            a ClusterRoleBinding; a subject is u:USER, g:GROUP or s:NAMESPACE/ACCOUNT
//   bind-in NS NAME KIND/ROLE SUBJECT... a RoleBinding
// `rw`: get,list,watch,create,update,patch,delete,deletecollection; `r`: get,list,watch; `w`: the rest of rw; `events`: the
// events of either group. Roles of features that v1.36 has off by default are not here;
// what this cluster's own parts need besides is below system:kybern.
#include "apiserver/authz/policy_rules.h"

namespace kybern::apiserver {

const std::string_view bootstrap_policy = R"(
role cluster-admin
  * * *
  * url *
role system:discovery
  get url /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/
role system:monitoring
  get url /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*
  get url /flagz
  get url /statusz
role system:basic-user
  create authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews
  create authentication.k8s.io selfsubjectreviews
role system:public-info-viewer
  get url /healthz,/livez,/readyz,/version,/version/
collect admin
collect edit admin
collect view edit
aggregate system:aggregate-to-admin admin
  create authorization.k8s.io localsubjectaccessreviews
  rw rbac.authorization.k8s.io rolebindings,roles
aggregate system:aggregate-to-edit edit
  r core pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy
  impersonate core serviceaccounts
  w core pods,pods/attach,pods/exec,pods/portforward,pods/proxy
  create core pods/eviction
  w core configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy
  create core serviceaccounts/token
  w apps daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale,statefulsets,statefulsets/scale
  w autoscaling horizontalpodautoscalers
  w batch cronjobs,jobs
  w extensions daemonsets,deployments,deployments/rollback,deployments/scale,ingresses,networkpolicies,replicasets,replicasets/scale,replicationcontrollers/scale
  w policy poddisruptionbudgets
  w networking.k8s.io ingresses,networkpolicies
  rw coordination.k8s.io leases
  w resource.k8s.io resourceclaims,resourceclaimtemplates
aggregate system:aggregate-to-view view
  r core configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status
  r core bindings,events,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/status,resourcequotas,resourcequotas/status
  r core namespaces
  r discovery.k8s.io endpointslices
  r apps controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status
  r autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status
  r batch cronjobs,cronjobs/status,jobs,jobs/status
  r extensions daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses,ingresses/status,networkpolicies,replicasets,replicasets/scale,replicasets/status,replicationcontrollers/scale
  r policy poddisruptionbudgets,poddisruptionbudgets/status
  r networking.k8s.io ingresses,ingresses/status,networkpolicies
  r resource.k8s.io resourceclaims,resourceclaims/status,resourceclaimtemplates
role system:heapster
  r core events,namespaces,nodes,pods
  r extensions deployments
role system:node
  create authentication.k8s.io tokenreviews
  create authorization.k8s.io localsubjectaccessreviews,subjectaccessreviews
  r core services
  create,get,list,watch core nodes
  patch,update core nodes/status
  patch,update core nodes
  events
  r core pods
  create,delete core pods
  patch,update core pods/status
  create core pods/eviction
  r core configmaps,secrets
  get core persistentvolumeclaims,persistentvolumes
  get core endpoints
  create,get,list,watch certificates.k8s.io certificatesigningrequests
  create,delete,get,patch,update coordination.k8s.io leases
  get storage.k8s.io volumeattachments
  create core serviceaccounts/token
  get,patch,update core persistentvolumeclaims/status
  r storage.k8s.io csidrivers
  create,delete,get,patch,update storage.k8s.io csinodes
  r node.k8s.io runtimeclasses
  get resource.k8s.io resourceclaims
  deletecollection resource.k8s.io resourceslices
  get core serviceaccounts
role system:node-problem-detector
  get core nodes
  patch core nodes/status
  events
role system:kubelet-api-admin
  r core nodes
  proxy core nodes
  * core nodes/log,nodes/metrics,nodes/proxy,nodes/stats
  * core nodes/configz,nodes/healthz,nodes/pods
role system:node-bootstrapper
  create,get,list,watch certificates.k8s.io certificatesigningrequests
role system:auth-delegator
  create authentication.k8s.io tokenreviews
  create authorization.k8s.io subjectaccessreviews
role system:kube-aggregator
  r core endpoints,services
role system:kube-controller-manager
  events
  create coordination.k8s.io leases
  get,update coordination.k8s.io leases kube-controller-manager
  create core secrets,serviceaccounts
  delete core secrets
  get core configmaps,namespaces,secrets,serviceaccounts
  update core secrets,serviceaccounts
  create authentication.k8s.io tokenreviews
  create authorization.k8s.io subjectaccessreviews
  list,watch * *
  create core serviceaccounts/token
role system:kube-dns
  list,watch core endpoints,services
role system:persistent-volume-provisioner
  create,delete,get,list,watch core persistentvolumes
  get,list,update,watch core persistentvolumeclaims
  r storage.k8s.io storageclasses
  watch core events
  events
role system:certificates.k8s.io:certificatesigningrequests:nodeclient
  create certificates.k8s.io certificatesigningrequests/nodeclient
role system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
  create certificates.k8s.io certificatesigningrequests/selfnodeclient
role system:volume-scheduler
  get,list,patch,update,watch core persistentvolumes
  r storage.k8s.io storageclasses
  get,list,patch,update,watch core persistentvolumeclaims
role system:certificates.k8s.io:legacy-unknown-approver
  approve certificates.k8s.io signers kubernetes.io/legacy-unknown
role system:certificates.k8s.io:kubelet-serving-approver
  approve certificates.k8s.io signers kubernetes.io/kubelet-serving
role system:certificates.k8s.io:kube-apiserver-client-kubelet-approver
  approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client-kubelet
role system:certificates.k8s.io:kube-apiserver-client-approver
  approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client
role system:node-proxier
  list,watch core endpoints,services
  r core nodes
  events
  list,watch networking.k8s.io servicecidrs
  list,watch discovery.k8s.io endpointslices
role system:kube-scheduler
  events
  create coordination.k8s.io leases
  get,list,update,watch coordination.k8s.io leases kube-scheduler
  r core nodes
  delete,get,list,watch core pods
  create core bindings,pods/binding
  patch,update core pods/status
  r core replicationcontrollers,services
  r apps,extensions replicasets
  r apps statefulsets
  r policy poddisruptionbudgets
  r core persistentvolumeclaims,persistentvolumes
  create authentication.k8s.io tokenreviews
  create authorization.k8s.io subjectaccessreviews
  r storage.k8s.io csinodes
  r storage.k8s.io volumeattachments
  r core namespaces
  r storage.k8s.io csidrivers
  r storage.k8s.io csistoragecapacities
  r resource.k8s.io deviceclasses
  get,list,patch,update,watch resource.k8s.io resourceclaims
  get,list,patch,update,watch resource.k8s.io resourceclaims/status
  patch,update resource.k8s.io resourceclaims/binding
  get,list,patch,update,watch core pods/finalizers
  r resource.k8s.io resourceslices
role system:service-account-issuer-discovery
  get url /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/

role system:controller:attachdetach-controller
  list,watch core persistentvolumeclaims,persistentvolumes
  r core nodes
  patch,update core nodes/status
  list,watch core pods
  events
  create,delete,get,list,watch storage.k8s.io volumeattachments
  r storage.k8s.io csidrivers
  r storage.k8s.io csinodes
role system:controller:clusterrole-aggregation-controller
  escalate,get,list,patch,update,watch rbac.authorization.k8s.io clusterroles
role system:controller:cronjob-controller
  get,list,update,watch batch cronjobs
  create,delete,get,list,patch,update,watch batch jobs
  update batch cronjobs/status
  update batch cronjobs/finalizers
  delete,list,watch core pods
  events
role system:controller:daemon-set-controller
  r apps,extensions daemonsets
  update apps,extensions daemonsets/status
  update apps,extensions daemonsets/finalizers
  list,watch core nodes
  create,delete,list,patch,watch core pods
  create core pods/binding
  create,delete,get,list,patch,update,watch apps controllerrevisions
  events
role system:controller:deployment-controller
  get,list,update,watch apps,extensions deployments
  update apps,extensions deployments/status
  update apps,extensions deployments/finalizers
  create,delete,get,list,patch,update,watch apps,extensions replicasets
  get,list,update,watch core pods
  events
role system:controller:disruption-controller
  r apps,extensions deployments
  r apps,extensions replicasets
  r core replicationcontrollers
  r policy poddisruptionbudgets
  r apps statefulsets
  update policy poddisruptionbudgets/status
  patch,update core pods/status
  get * */scale
  events
role system:controller:endpoint-controller
  r core pods,services
  create,delete,get,list,update,watch core endpoints
  create core endpoints/restricted
  events
role system:controller:endpointslice-controller
  r core nodes,pods,services
  update core services/finalizers
  create,delete,get,list,update,watch discovery.k8s.io endpointslices
  events
role system:controller:endpointslicemirroring-controller
  r core endpoints,services
  update core services/finalizers
  update core endpoints/finalizers
  create,delete,get,list,update,watch discovery.k8s.io endpointslices
  events
role system:controller:expand-controller
  get,list,patch,update,watch core persistentvolumes
  patch,update core persistentvolumeclaims/status
  r core persistentvolumeclaims
  events
role system:controller:ephemeral-volume-controller
  r core pods
  update core pods/finalizers
  create,get,list,watch core persistentvolumeclaims
  events
role system:controller:resource-claim-controller
  r core pods
  update core pods/finalizers
  create,delete,get,list,watch resource.k8s.io resourceclaims
  patch,update resource.k8s.io resourceclaims,resourceclaims/status
  patch,update resource.k8s.io resourceclaims/binding
  patch,update core pods/status
  events
role system:controller:device-taint-eviction-controller
  delete,get,list,watch core pods
  patch,update core pods/status
  r resource.k8s.io resourceclaims
  r resource.k8s.io resourceslices
  r resource.k8s.io deviceclasses
  events
role system:controller:generic-garbage-collector
  delete,get,list,patch,update,watch * *
  events
role system:controller:horizontal-pod-autoscaler
  r autoscaling horizontalpodautoscalers
  update autoscaling horizontalpodautoscalers/status
  get,update * */scale
  list,watch core pods
  list,watch metrics.k8s.io pods
  r custom.metrics.k8s.io *
  r external.metrics.k8s.io *
  events
role system:controller:job-controller
  get,list,patch,update,watch batch jobs
  update batch jobs/status
  update batch jobs/finalizers
  create,delete,list,patch,watch core pods
  events
role system:controller:namespace-controller
  delete,get,list,watch core namespaces
  update core namespaces/finalize,namespaces/status
  delete,deletecollection,get,list,watch * *
role system:controller:node-controller
  delete,get,list,patch,update,watch core nodes
  patch,update core nodes/status
  patch,update core pods/status
  delete,get,list,watch core pods
  events
role system:controller:persistent-volume-binder
  create,delete,get,list,update,watch core persistentvolumes
  update core persistentvolumes/status
  get,list,update,watch core persistentvolumeclaims
  update core persistentvolumeclaims/status
  create,delete,get,list,watch core pods
  r storage.k8s.io storageclasses
  list,watch core nodes
  events
  watch core events
role system:controller:pod-garbage-collector
  delete,list,watch core pods
  r core nodes
  patch core pods/status
role system:controller:replicaset-controller
  get,list,update,watch apps,extensions replicasets
  update apps,extensions replicasets/status
  update apps,extensions replicasets/finalizers
  create,delete,list,patch,watch core pods
  events
role system:controller:replication-controller
  get,list,update,watch core replicationcontrollers
  update core replicationcontrollers/status
  update core replicationcontrollers/finalizers
  create,delete,list,patch,watch core pods
  events
role system:controller:resourcequota-controller
  list,watch * *
  update core resourcequotas/status
  events
role system:controller:route-controller
  list,watch core nodes
  patch core nodes/status
  events
role system:controller:service-account-controller
  create core serviceaccounts
  events
role system:controller:service-controller
  r core services
  patch,update core services/status
  list,watch core nodes
  events
role system:controller:service-cidrs-controller
  get,list,patch,update,watch networking.k8s.io servicecidrs
  patch,update networking.k8s.io servicecidrs/finalizers
  patch,update networking.k8s.io servicecidrs/status
  r networking.k8s.io ipaddresses
  events
role system:controller:statefulset-controller
  list,watch core pods
  r apps statefulsets
  update apps statefulsets/status
  update apps statefulsets/finalizers
  create,delete,get,patch,update core pods
  create,delete,get,list,patch,update,watch apps controllerrevisions
  create,get,list,watch core persistentvolumeclaims
  delete,update core persistentvolumeclaims
  update core pods/finalizers
  events
role system:controller:ttl-controller
  list,patch,update,watch core nodes
  events
role system:controller:certificate-controller
  delete,get,list,watch certificates.k8s.io certificatesigningrequests
  update certificates.k8s.io certificatesigningrequests/approval,certificatesigningrequests/status
  approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client-kubelet
  sign certificates.k8s.io signers kubernetes.io/kube-apiserver-client,kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving,kubernetes.io/legacy-unknown
  create authorization.k8s.io subjectaccessreviews
  events
role system:controller:pvc-protection-controller
  get,list,update,watch core persistentvolumeclaims
  r core pods
  events
role system:controller:pv-protection-controller
  get,list,update,watch core persistentvolumes
  events
role system:controller:volumeattributesclass-protection-controller
  r core persistentvolumeclaims
  r core persistentvolumes
  get,list,update,watch storage.k8s.io volumeattributesclasses
  events
role system:controller:ttl-after-finished-controller
  delete,get,list,watch batch jobs
  events
role system:controller:root-ca-cert-publisher
  create,update core configmaps
  events
role system:controller:validatingadmissionpolicy-status-controller
  r admissionregistration.k8s.io validatingadmissionpolicies
  get,patch,update admissionregistration.k8s.io validatingadmissionpolicies/status
  events
role system:controller:legacy-service-account-token-cleaner
  get core configmaps kube-apiserver-legacy-service-account-token-tracking
  delete,patch core secrets
role system:controller:selinux-warning-controller
  events
  r core persistentvolumes
  r core persistentvolumeclaims
  r core pods
  r storage.k8s.io csidrivers

role system:kybern:dns
  list,watch core namespaces,services
  list,watch discovery.k8s.io endpointslices

bind cluster-admin cluster-admin g:system:masters
bind system:monitoring system:monitoring g:system:monitoring
bind system:discovery system:discovery g:system:authenticated
bind system:basic-user system:basic-user g:system:authenticated
bind system:public-info-viewer system:public-info-viewer g:system:authenticated g:system:unauthenticated
bind system:node-proxier system:node-proxier u:system:kube-proxy
bind system:kube-controller-manager system:kube-controller-manager u:system:kube-controller-manager
bind system:kube-dns system:kube-dns s:kube-system/kube-dns
bind system:kybern:dns system:kybern:dns s:kube-system/kube-dns u:system:kube-dns
bind system:kube-scheduler system:kube-scheduler u:system:kube-scheduler
bind system:volume-scheduler system:volume-scheduler u:system:kube-scheduler
bind system:node system:node
bind system:service-account-issuer-discovery system:service-account-issuer-discovery g:system:serviceaccounts
controllers

namespaced kube-system extension-apiserver-authentication-reader
  r core configmaps extension-apiserver-authentication
namespaced kube-system system:controller:bootstrap-signer
  r core secrets
namespaced kube-system system:controller:cloud-provider
  create,get,list,watch core configmaps
namespaced kube-system system:controller:token-cleaner
  delete,get,list,watch core secrets
  events
namespaced kube-system system::leader-locking-kube-controller-manager
  create,get,list,update,watch coordination.k8s.io leases
  create,get,list,update,watch coordination.k8s.io leasecandidates
namespaced kube-system system::leader-locking-kube-scheduler
  create,get,list,update,watch coordination.k8s.io leases
  create,get,list,update,watch coordination.k8s.io leasecandidates
namespaced kube-public system:controller:bootstrap-signer
  r core configmaps
  update core configmaps cluster-info
  events
bind-in kube-system system::extension-apiserver-authentication-reader Role/extension-apiserver-authentication-reader u:system:kube-controller-manager u:system:kube-scheduler
bind-in kube-system system::leader-locking-kube-controller-manager Role/system::leader-locking-kube-controller-manager u:system:kube-controller-manager s:kube-system/kube-controller-manager s:kube-system/leader-election-controller
bind-in kube-system system::leader-locking-kube-scheduler Role/system::leader-locking-kube-scheduler u:system:kube-scheduler s:kube-system/kube-scheduler
bind-in kube-system system:controller:bootstrap-signer Role/system:controller:bootstrap-signer s:kube-system/bootstrap-signer
bind-in kube-system system:controller:cloud-provider Role/system:controller:cloud-provider s:kube-system/cloud-provider
bind-in kube-system system:controller:token-cleaner Role/system:controller:token-cleaner s:kube-system/token-cleaner
bind-in kube-public system:controller:bootstrap-signer Role/system:controller:bootstrap-signer s:kube-system/bootstrap-signer
)";

}  // namespace kybern::apiserver
