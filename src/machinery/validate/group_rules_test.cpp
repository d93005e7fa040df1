// Rules of the networking, storage, flow control and certificates groups and of services that no recorded conversation
// covers: a row per refusal.
#include <gtest/gtest.h>

#include "machinery/testing/typed.h"
#include "machinery/validate/validate.h"

namespace kybern {
namespace {

using testing::findings;
using testing::stored;
using testing::Typed;
using testing::typed;

struct Create {
  const char *group, *kind, *object, *findings;
};

void expect_created(std::span<const Create> rows) {
  for (const Create& row : rows) {
    Typed one = typed(row.group, "v1", row.kind, row.object);
    EXPECT_EQ(findings(validate(*one.resource, one.object)), row.findings) << row.kind << " " << row.object;
  }
}

struct Changed {
  const char *group, *kind, *before, *after, *findings, *subresource = "";
};

void expect_changed(std::span<const Changed> rows) {
  for (const Changed& row : rows) {
    Typed before = stored(row.group, "v1", row.kind, row.before), after = stored(row.group, "v1", row.kind, row.after);
    std::string_view part = row.subresource;
    auto errors = part.empty() ? validate_update(*after.resource, after.object, before.object)
                               : validate_subresource_update(*after.resource, part, after.object, before.object);
    EXPECT_EQ(findings(errors), row.findings) << row.kind << " " << row.after;
  }
}

#define ADDRESSES R"(,"ports":[{"port":80,"protocol":"TCP"}],"internalTrafficPolicy":"Cluster","sessionAffinity":"None")"
#define SERVICE(name, rest) R"({"metadata":{"name":")" name R"("},"spec":{"type":"ClusterIP")" rest ADDRESSES "}}"
#define BALANCER(rest)                                                                                                      \
  R"({"spec":{"type":"LoadBalancer","allocateLoadBalancerNodePorts":true,"externalTrafficPolicy":"Cluster")" rest ADDRESSES \
  "}"                                                                                                                       \
  "}"

// A name may begin with a digit; addresses have one way to be read.
TEST(ValidateServices, Create) {
  constexpr Create rows[] = {
      {"", "Service", SERVICE("1st", ""), ""},
      {"", "Service", SERVICE("1.st", ""), R"(metadata.name: Invalid value: "1.st": must not contain dots)"},
      {"", "Service", SERVICE("a", R"(,"clusterIP":"10.0.0.010","clusterIPs":["10.0.0.010"])"),
       R"(spec.clusterIPs[0]: Invalid value: "10.0.0.010": must not have leading 0s)"},
      {"", "Service", SERVICE("a", R"(,"clusterIP":"::ffff:10.0.0.1","clusterIPs":["::ffff:10.0.0.1"])"),
       R"(spec.clusterIPs[0]: Invalid value: "::ffff:10.0.0.1": must not be an IPv4-mapped IPv6 address)"},
      {"", "Service", SERVICE("a", R"(,"clusterIP":"2001:DB8::1","clusterIPs":["2001:DB8::1"])"), ""},
      {"", "Service", SERVICE("a", R"(,"externalIPs":["010.0.0.1","127.0.0.1","x"],"externalTrafficPolicy":"Cluster")"),
       R"(spec.externalIPs[0]: Invalid value: "010.0.0.1": must not have leading 0s | spec.externalIPs[1]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128) | spec.externalIPs[2]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff))"},
      {"", "Service",
       BALANCER(R"(,"loadBalancerSourceRanges":[" 10.0.0.0/8 ","10.0.0.1/8","10.0.0.0/08","010.0.0.0/8","::ffff:10.0.0.0/104"])"),
       R"(spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length | spec.LoadBalancerSourceRanges[2]: Invalid value: "10.0.0.0/08": must not have leading 0s in IP or prefix length | spec.LoadBalancerSourceRanges[3]: Invalid value: "010.0.0.0/8": must not have leading 0s in IP or prefix length | spec.LoadBalancerSourceRanges[4]: Invalid value: "::ffff:10.0.0.0/104": must not have an IPv4-mapped IPv6 address)"},
      {"", "Service", SERVICE("a", R"(,"trafficDistribution":"Near")"),
       R"(spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameZone", "PreferSameNode")"},
      {"", "Endpoints", R"({"subsets":[{"addresses":[{"ip":"010.0.0.1"}]}]})",
       R"(subsets[0].addresses[0].ip: Invalid value: "010.0.0.1": must not have leading 0s)"},
      {"discovery.k8s.io", "EndpointSlice", R"({"addressType":"IPv4","endpoints":[{"addresses":["010.0.0.1"]}]})",
       R"(endpoints[0].addresses[0]: Invalid value: "010.0.0.1": must not have leading 0s)"},
  };
  expect_created(rows);
}

// What was stored when rules were looser stays.
TEST(ValidateServices, Update) {
  constexpr const char* odd = SERVICE(
      "Odd", R"(,"clusterIP":"10.0.0.010","clusterIPs":["10.0.0.010"],"externalIPs":["010.0.0.1"],"externalTrafficPolicy":"Cluster")");
  constexpr Changed rows[] = {
      {"", "Service", odd, odd, ""},
      {"", "Service", BALANCER(R"(,"loadBalancerSourceRanges":["10.0.0.1/8"])"),
       BALANCER(R"(,"loadBalancerSourceRanges":["10.0.0.1/8","10.0.0.2/8"])"),
       R"(spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.2/8": must not have bits set beyond the prefix length)"},
      {"", "Endpoints", R"({"subsets":[{"addresses":[{"ip":"010.0.0.1"}]}]})", R"({"subsets":[{"addresses":[{"ip":"010.0.0.1"}]}]})", ""},
      {"discovery.k8s.io", "EndpointSlice", R"({"addressType":"IPv4","endpoints":[{"addresses":["010.0.0.1"]}]})",
       R"({"addressType":"IPv4","endpoints":[{"addresses":["010.0.0.1"]}]})", ""},
      {"", "Service", R"({"spec":{"type":"LoadBalancer"},"status":{"loadBalancer":{"ingress":[{"ip":"010.0.0.1","ipMode":"VIP"}]}}})",
       R"({"spec":{"type":"LoadBalancer"},"status":{"loadBalancer":{"ingress":[{"ip":"010.0.0.1","ipMode":"VIP"},{"ip":"010.0.0.2","ipMode":"VIP"}]}}})",
       R"(status.loadBalancer.ingress[1].ip: Invalid value: "010.0.0.2": must not have leading 0s)", "status"},
      {"networking.k8s.io", "Ingress", R"({"status":{"loadBalancer":{"ingress":[{"ip":"010.0.0.1"}]}}})",
       R"({"status":{"loadBalancer":{"ingress":[{"ip":"010.0.0.1"},{"ip":"010.0.0.2"}]}}})",
       R"(status.loadBalancer.ingress[1].ip: Invalid value: "010.0.0.2": must not have leading 0s)", "status"},
  };
  expect_changed(rows);
}

#define BACKEND R"("backend":{"service":{"name":"s","port":{"number":80}}})"

TEST(ValidateNetworking, Create) {
  constexpr Create rows[] = {
      {"networking.k8s.io", "Ingress", R"({"spec":{"defaultBackend":{"service":{"name":"1st","port":{"number":80}}}}})", ""},
      {"networking.k8s.io", "Ingress",
       R"({"spec":{"rules":[{"host":"a.io","http":{"paths":[{"pathType":"Exact","path":"/",)" BACKEND
       R"(}]}},{"host":"b.io","http":{"paths":[{"pathType":"Exact","path":"x",)" BACKEND "}]}}]}}",
       R"(spec.rules[1].http.paths[0].path: Invalid value: "x": must be an absolute path)"},
      {"networking.k8s.io", "Ingress", R"({"spec":{"defaultBackend":{"resource":{"kind":"","name":"a/b"}}}})",
       R"(spec.defaultBackend.resource.kind: Required value | spec.defaultBackend.resource.name: Invalid value: "a/b": may not contain '/')"},
      {"networking.k8s.io", "IngressClass", R"({"spec":{"controller":"a.io/b","parameters":{"kind":"k","name":"n","scope":"Namespace"}}})",
       "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"},
      {"networking.k8s.io", "NetworkPolicy",
       R"({"spec":{"podSelector":{},"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.1/8","except":["10.0.0.1/16","11.0.0.0/16"]}}],"ports":[{"port":80,"endPort":79}]}]}})",
       R"(spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port` | spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length | spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.1/16": must not have bits set beyond the prefix length | spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`)"},
      {"networking.k8s.io", "IPAddress", R"({"metadata":{"name":"010.0.0.1"},"spec":{"parentRef":{"resource":"services","name":"s"}}})",
       R"(metadata.name: Invalid value: "010.0.0.1": must not have leading 0s)"},
      {"networking.k8s.io", "IPAddress", R"({"metadata":{"name":"2001:db8::0:1"},"spec":{"parentRef":{"resource":"services","name":"s"}}})",
       R"(metadata.name: Invalid value: "2001:db8::0:1": must be in canonical form ("2001:db8::1"))"},
      {"networking.k8s.io", "ServiceCIDR", R"({"spec":{"cidrs":["10.0.0.0/8","10.0.0.0/16","fd00::/64"]}})",
       R"(spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/8","10.0.0.0/16","fd00::/64"]}: may only hold up to 2 values)"},
      {"networking.k8s.io", "ServiceCIDR", R"({"spec":{"cidrs":["FD00::/64","x"]}})",
       R"(spec.cidrs[0]: Invalid value: "FD00::/64": must be in canonical form ("fd00::/64") | spec.cidrs[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64))"},
  };
  expect_created(rows);
}

TEST(ValidateNetworking, Update) {
  constexpr const char* policy = R"({"spec":{"podSelector":{},"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.1/8"}}]}]}})";
  constexpr Changed rows[] = {
      {"networking.k8s.io", "NetworkPolicy", policy, policy, ""},
      {"networking.k8s.io", "Ingress",
       R"({"spec":{"defaultBackend":{"service":{"name":"s","port":{"number":80}}},"tls":[{"secretName":"A_"}]}})",
       R"({"spec":{"defaultBackend":{"service":{"name":"s","port":{"number":80}}},"tls":[{"secretName":"B_"}]}})", ""},
      {"networking.k8s.io", "Ingress", R"({"spec":{"rules":[{"host":"*.a.io","http":{"paths":[]}}]}})",
       R"({"spec":{"rules":[{"host":"*.b.io","http":{"paths":[]}}]}})", ""},
      {"networking.k8s.io", "ServiceCIDR", R"({"spec":{"cidrs":["10.0.0.0/24"]}})", R"({"spec":{"cidrs":["10.0.1.0/24"]}})",
       R"(spec.cidrs[0]: Invalid value: "10.0.1.0/24": field is immutable)"},
      {"networking.k8s.io", "ServiceCIDR", R"({"spec":{"cidrs":["10.0.0.0/24","fd00::/64"]}})", R"({"spec":{"cidrs":["10.0.0.0/24"]}})",
       R"(spec.cidrs: Invalid value: ["10.0.0.0/24"]: field is immutable)"},
      {"networking.k8s.io", "ServiceCIDR", R"({"spec":{"cidrs":["10.0.0.0/24"]}})", R"({"spec":{"cidrs":["10.0.0.0/24","10.1.0.0/24"]}})",
       R"(spec.cidrs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64)"},
  };
  expect_changed(rows);
}

TEST(ValidateStorage, Create) {
  constexpr Create rows[] = {
      {"storage.k8s.io", "VolumeAttributesClass", R"({"driverName":"d.io"})",
       "parameters: Required value: must contain at least one key/value pair"},
      {"storage.k8s.io", "VolumeAttributesClass", R"({"driverName":"d.io/x","parameters":{"a":"b"}})", ""},
      {"storage.k8s.io", "VolumeAttachment", R"({"spec":{"attacher":"d.io","nodeName":"n","source":{"persistentVolumeName":"A"}}})",
       R"(spec.source.persistentVolumeName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'))"},
      {"", "PersistentVolume",
       R"({"metadata":{"name":"a","annotations":{"volume.beta.kubernetes.io/mount-options":"x"}},"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"},"hostPath":{"path":"/x"}}})",
       "metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify mount options for this volume type"},
      {"", "PersistentVolume",
       R"({"metadata":{"name":"a","annotations":{"volume.beta.kubernetes.io/mount-options":"x"}},"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"},"nfs":{"server":"s","path":"/x"}}})",
       ""},
      {"", "PersistentVolumeClaim",
       R"({"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"dataSource":{"kind":"PersistentVolumeClaim","name":"a"},"dataSourceRef":{"kind":"PersistentVolumeClaim","name":"b"}}})",
       "spec: Invalid value: {}: must match dataSourceRef"},
  };
  expect_created(rows);
}

#define CLAIM(more, status) \
  R"({"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}})" more R"(},"status":{)" status "}}"

// Upstream says everything of a new driver twice.
TEST(ValidateStorage, Drivers) {
  struct Row {
    const char *spec, *findings;
  };
  for (auto [spec, want] : {
           Row{R"("fsGroupPolicy":"X")",
               R"(spec.fsGroupPolicy: Unsupported value: "X": supported values: "File", "None", "ReadWriteOnceWithFSType")"},
           Row{R"("volumeLifecycleModes":["Y"])",
               R"(spec.volumeLifecycleModes: Unsupported value: "Y": supported values: "Persistent", "Ephemeral")"},
           Row{R"("nodeAllocatableUpdatePeriodSeconds":9)",
               "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds"},
           Row{R"("serviceAccountTokenInSecrets":true)",
               "spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are "
               "specified"},
           Row{R"("tokenRequests":[{"audience":"a"},{"audience":"a","expirationSeconds":1}])",
               R"(spec.tokenRequests[1].audience: Duplicate value: "a")"},
       }) {
    Typed one = typed("storage.k8s.io", "v1", "CSIDriver", std::string(R"({"spec":{)") + spec + "}}");
    EXPECT_EQ(findings(validate(*one.resource, one.object)), std::string(want) + " | " + want) << spec;
  }
}

TEST(ValidateStorage, Update) {
  constexpr Changed rows[] = {
      {"storage.k8s.io", "CSINode",
       R"({"spec":{"drivers":[{"name":"d.io","nodeID":"n","topologyKeys":["a.io/z"],"allocatable":{"count":3}}]}})",
       R"({"spec":{"drivers":[{"name":"d.io","nodeID":"n","topologyKeys":["a.io/z"],"allocatable":{"count":4}}]}})", ""},
      {"storage.k8s.io", "CSINode", R"({"spec":{"drivers":[{"name":"d.io","nodeID":"n"}]}})",
       R"({"spec":{"drivers":[{"name":"d.io","nodeID":"m"}]}})",
       R"(spec.drivers: Invalid value: {"Name":"d.io","NodeID":"m","TopologyKeys":null,"Allocatable":null}: field is immutable)"},
      {"storage.k8s.io", "CSIDriver", R"({"spec":{}})", R"({"spec":{"fsGroupPolicy":"X"}})",
       R"(spec.fsGroupPolicy: Unsupported value: "X": supported values: "File", "None", "ReadWriteOnceWithFSType")"},
      {"storage.k8s.io", "VolumeAttachment", R"({"spec":{"attacher":"d.io","nodeName":"n","source":{"persistentVolumeName":"a"}}})",
       R"({"spec":{"attacher":"d.io","nodeName":"n","source":{"persistentVolumeName":"a"}},"status":{"attachError":{"errorCode":-1}}})",
       "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive", "status"},
      {"", "PersistentVolume",
       R"({"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"},"hostPath":{"path":"/x"},"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"beta.kubernetes.io/os","operator":"Exists"}]}]}}}})",
       R"({"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"},"hostPath":{"path":"/x"},"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/os","operator":"Exists"}]}]}}}})",
       ""},
      {"", "PersistentVolumeClaim", CLAIM(R"(,"volumeAttributesClassName":"a")", R"("phase":"Bound")"),
       CLAIM(R"(,"volumeAttributesClassName":"b")", R"("phase":"Bound")"), ""},
      {"", "PersistentVolumeClaim", CLAIM("", ""),
       CLAIM("", R"("allocatedResources":{"storage":"1Gi","cpu":"1","d.io/x":"-1"},"allocatedResourceStatuses":{"storage":"Odd"})"),
       R"(status.allocatedResourceStatuses: Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending" | status.allocatedResources: Unsupported value: "cpu": supported values: "storage" | status.allocatedResources[d.io/x]: Invalid value: -1: must be a valid resource quantity)",
       "status"},
  };
  expect_changed(rows);
  // One that was stored before the two sources had to say the same.
  Typed stored_so = stored("", "v1", "PersistentVolumeClaim", CLAIM(R"(,"dataSource":{"kind":"PersistentVolumeClaim","name":"a"})", "")),
        now_so = stored("", "v1", "PersistentVolumeClaim",
                        CLAIM(R"(,"dataSource":{"kind":"PersistentVolumeClaim","name":"a"})"
                              R"(,"dataSourceRef":{"kind":"PersistentVolumeClaim","name":"a"})",
                              ""));
  EXPECT_EQ(findings(validate_update(*now_so.resource, now_so.object, stored_so.object)), "");
  // A class may change once the claim is bound, not before.
  Typed before = stored("", "v1", "PersistentVolumeClaim", CLAIM("", R"("phase":"Pending")")),
        after = stored("", "v1", "PersistentVolumeClaim", CLAIM(R"(,"volumeAttributesClassName":"b")", R"("phase":"Pending")"));
  FieldErrors errors = validate_update(*after.resource, after.object, before.object);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].field, "spec");
}

TEST(ValidateFlow, Create) {
#define SCHEMA(rule)                                                                                                                              \
  R"({"spec":{"matchingPrecedence":5,"priorityLevelConfiguration":{"name":"l"},"rules":[{"subjects":[{"kind":"User","user":{"name":"*"}}],)" rule \
  "}]}}"
  constexpr Create rows[] = {
      {"flowcontrol.apiserver.k8s.io", "FlowSchema",
       SCHEMA(R"("resourceRules":[{"verbs":["get","eat"],"apiGroups":["*"],"resources":["*"],"namespaces":["A"]}])"),
       R"(spec.rules[0].resourceRules[0].verbs: Unsupported value: ["get","eat"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch" | spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: "A": each member of this list must be '*' or a DNS-1123 label; a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?'))"},
      {"flowcontrol.apiserver.k8s.io", "FlowSchema",
       SCHEMA(R"("resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"namespaces":["*","a"]}])"),
       R"(spec.rules[0].resourceRules[0].namespaces: Invalid value: ["*","a"]: if '*' is present, must not specify other namespaces)"},
      {"flowcontrol.apiserver.k8s.io", "FlowSchema",
       SCHEMA(R"("nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["/","","x","/a b","//","/a*","/a/*"]}])"),
       R"(spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "": must not be empty | spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: "x": must start with slash | spec.rules[0].nonResourceRules[0].nonResourceURLs[3]: Invalid value: "/a b": must not contain white-space | spec.rules[0].nonResourceRules[0].nonResourceURLs[4]: Invalid value: "//": must not contain double slash | spec.rules[0].nonResourceRules[0].nonResourceURLs[5]: Invalid value: "/a*": wildcard can only do suffix matching)"},
      {"flowcontrol.apiserver.k8s.io", "FlowSchema",
       R"({"metadata":{"name":"exempt"},"spec":{"priorityLevelConfiguration":{"name":"exempt"},"matchingPrecedence":1,"rules":[{"subjects":[{"kind":"Group","group":{"name":"system:masters"}}],"resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"clusterScope":true,"namespaces":["*"]}],"nonResourceRules":[{"verbs":["*"],"nonResourceURLs":["*"]}]}]}})",
       ""},
      {"flowcontrol.apiserver.k8s.io", "FlowSchema",
       R"({"metadata":{"name":"catch-all"},"spec":{"priorityLevelConfiguration":{"name":"l"},"matchingPrecedence":5}})",
       R"(spec: Invalid value: {"priorityLevelConfiguration":{"name":"l"},"matchingPrecedence":5}: spec of 'catch-all' must equal the fixed value)"},
      {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration",
       R"({"metadata":{"name":"exempt"},"spec":{"type":"Exempt","exempt":{"nominalConcurrencyShares":10,"lendablePercent":10}}})", ""},
      {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration",
       R"({"metadata":{"name":"exempt"},"spec":{"type":"Exempt","exempt":{"nominalConcurrencyShares":-1,"lendablePercent":101}}})",
       "spec.exempt.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer | spec.exempt.lendablePercent: Invalid "
       "value: 101: must be between 0 and 100, inclusive"},
      {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", R"({"spec":{"type":"Exempt","exempt":{}}})",
       R"(spec.type: Invalid value: "Exempt": type must be 'Exempt' if and only if name is 'exempt')"},
      {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration",
       R"({"metadata":{"name":"catch-all"},"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":5,"lendablePercent":0,"limitResponse":{"type":"Reject"}}}})",
       ""},
      {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration",
       R"({"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Queue","queuing":{"queues":512,"handSize":8,"queueLengthLimit":2}}}}})",
       "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be "
       "greater than 60"},
  };
  expect_created(rows);
  constexpr Changed changes[] = {
      {"flowcontrol.apiserver.k8s.io", "FlowSchema", R"({"status":{}})", R"({"status":{"conditions":[{"type":"A"},{"type":"A"},{}]}})",
       R"(status.conditions[1].type: Duplicate value: "A" | status.conditions[2].type: Required value: must not be empty)", "status"},
  };
  expect_changed(changes);
}

// A request that was let through once may be approved; an issued certificate stays.
TEST(ValidateCertificates, Update) {
#define REQUEST(status)                                                                                                       \
  R"({"spec":{"request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==",)" \
  R"("usages":["any","any"],"signerName":"a.io/b"},"status":{)" status "}}"
#define APPROVED R"({"type":"Approved","status":"True"})"
#define DENIED R"({"type":"Denied","status":"True"})"
#define ISSUED "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="
  constexpr Changed rows[] = {
      {"certificates.k8s.io", "CertificateSigningRequest", REQUEST(""), REQUEST(R"("conditions":[)" APPROVED "]"), "", "approval"},
      {"certificates.k8s.io", "CertificateSigningRequest", REQUEST(""), REQUEST(R"("conditions":[)" APPROVED "," DENIED "]"),
       R"(status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive)", "approval"},
      {"certificates.k8s.io", "CertificateSigningRequest", REQUEST(""), REQUEST(R"("conditions":[)" APPROVED "]"),
       R"(status.conditions: Forbidden: updates may not add a condition of type "Approved")", "status"},
      {"certificates.k8s.io", "CertificateSigningRequest", REQUEST(R"("conditions":[)" APPROVED "]"), REQUEST(""),
       R"(status.conditions: Forbidden: updates may not remove a condition of type "Approved")", "approval"},
      {"certificates.k8s.io", "CertificateSigningRequest", REQUEST(R"("certificate":"eA==")"), REQUEST(R"("certificate":")" ISSUED "\""),
       "status.certificate: Forbidden: updates may not modify existing certificate content", "status"},
      {"certificates.k8s.io", "CertificateSigningRequest", REQUEST(""), REQUEST(R"("certificate":")" ISSUED "\""),
       "status.certificate: Forbidden: updates may not set certificate content", "approval"},
  };
  expect_changed(rows);
}

}  // namespace
}  // namespace kybern
