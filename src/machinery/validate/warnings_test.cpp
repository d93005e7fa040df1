#include "machinery/validate/warnings.h"

#include <gtest/gtest.h>

#include "document/yaml.h"

namespace kybern {
namespace {

using Lines = std::vector<std::string>;

Lines warnings(std::string_view group, std::string_view plural, std::string_view yaml, std::string_view before = "") {
  auto object = parse_yaml(yaml), old = parse_yaml(before);
  EXPECT_TRUE(object) << object.error().message;
  return write_warnings(*schema::find_resource(group, "v1", plural), (*object)[0].root(), old->empty() ? Value() : (*old)[0].root());
}

TEST(Warnings, Pods) {
  EXPECT_EQ(
      warnings("", "pods", R"(
metadata: {name: a, annotations: {seccomp.security.alpha.kubernetes.io/pod: x, container.seccomp.security.alpha.kubernetes.io/c: x}}
spec:
  terminationGracePeriodSeconds: -1
  overhead: {memory: 500m}
  hostAliases: [{ip: 10.0.0.1}, {ip: 10.0.0.1}]
  imagePullSecrets: [{name: s}, {name: s}, {name: ""}]
  dnsConfig: {nameservers: [010.0.0.1, "2001:DB8::1"]}
  topologySpreadConstraints: [{topologyKey: failure-domain.beta.kubernetes.io/zone}]
  volumes: [{name: v, gitRepo: {repository: r}}, {name: w, rbd: {image: i}}]
  affinity:
    podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: k}]}
    nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: beta.kubernetes.io/arch}]}]}}
  containers:
  - name: c
    resources: {limits: {memory: 1500m}, requests: {ephemeral-storage: "1"}}
    env: [{name: A, value: "1"}, {name: A, value: $(A)2}, {name: A, value: $(A)}]
    ports: [{containerPort: 80, protocol: TCP}, {containerPort: 80, protocol: TCP}, {containerPort: 81, protocol: TCP, hostIP: 10.0.0.1}]
)"),
      (Lines{
          "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: "
          "beta.kubernetes.io/arch is deprecated since v1.14; use \"kubernetes.io/arch\" instead",
          "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "
          "\"topology.kubernetes.io/zone\" instead",
          "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
          "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
          "spec.volumes[1].rbd: deprecated in v1.28, non-functional in v1.31+",
          "spec.hostAliases[1].ip: duplicate ip \"10.0.0.1\"",
          "spec.imagePullSecrets[1].name: duplicate name \"s\"",
          "spec.imagePullSecrets[2].name: invalid empty name \"\"",
          "spec.dnsConfig.nameservers[0]: non-standard IP address \"010.0.0.1\" will be considered invalid in a future Kubernetes "
          "release: use \"10.0.0.1\"",
          "spec.dnsConfig.nameservers[1]: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")",
          "spec.overhead[memory]: fractional byte value \"500m\" is invalid, must be an integer",
          "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the \"seccompProfile\" field "
          "instead",
          "metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the "
          "\"seccompProfile\" field instead",
          "spec.containers[0].resources.limits[memory]: fractional byte value \"1500m\" is invalid, must be an integer",
          "spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
          "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
          "spec.containers[0].ports[2]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP HostIP:10.0.0.1}",
          "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
          "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results "
          "in matching no pod",
      }));
  EXPECT_EQ(warnings("", "pods", "{metadata: {name: fine}, spec: {containers: [{name: c}]}}"), Lines());
}

// Keys that are written to the same place, or to where another makes a folder.
TEST(Warnings, FilesInEachOthersWay) {
  struct Row {
    const char* volume;
    Lines out;
  };
  for (const Row& row : {
           Row{"configMap: {name: m, items: [{key: a, path: p}, {key: b, path: p}, {key: c, path: pq}]}",
               {R"(volume "v" (ConfigMap "m"): overlapping paths: "p" with "p")"}},
           Row{"secret: {secretName: s, items: [{key: a, path: d/e}, {key: b, path: d/}, {key: c, path: d/e/f}]}",
               {R"(volume "v" (Secret "s"): overlapping paths: "d" with "d/e")",
                R"(volume "v" (Secret "s"): overlapping paths: "d/e/f" with "d/e")",
                R"(volume "v" (Secret "s"): overlapping paths: "d/e/f" with "d")"}},
           Row{"downwardAPI: {items: [{path: a}, {path: a/b}]}", {R"(volume "v" (DownwardAPI): overlapping paths: "a/b" with "a")"}},
           Row{"projected: {sources: [{configMap: {name: Test, items: [{key: foo, path: test}]}}, "
               "{serviceAccountToken: {path: test/file}}, {}]}",
               {R"(volume "v" (Projected): overlapping paths: "test/file" (ServiceAccountToken) with "test" (ConfigMap "Test"))",
                R"(volume "v" (Projected) has no sources provided)"}},
       })
    EXPECT_EQ(warnings("", "pods", std::string("{metadata: {name: a}, spec: {volumes: [{name: v, ") + row.volume + "}]}}"), row.out);
  // Thousands of files take no longer than their number.
  std::string many = "{metadata: {name: a}, spec: {volumes: [{name: v, configMap: {name: m, items: [";
  for (int i = 0; i < 50'000; ++i) many += "{key: k, path: p" + std::to_string(i) + "},";
  EXPECT_EQ(warnings("", "pods", many + "{key: k, path: p7}]}}]}}"),
            Lines{R"(volume "v" (ConfigMap "m"): overlapping paths: "p7" with "p7")"});
}

TEST(Warnings, PreferencesThatNoNodeMeets) {
  EXPECT_EQ(warnings("", "pods",
                     "{metadata: {name: a}, spec: {affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, "
                     "preference: {matchExpressions: [{key: k, operator: In, values: [\"-1\"]}]}}]}}}}")
                .size(),
            1u);
}

TEST(Warnings, Workloads) {
  const char* deployment =
      "{metadata: {name: a.b}, spec: {template: {metadata: {annotations: {scheduler.alpha.kubernetes.io/critical-pod: x}}, "
      "spec: {containers: [{name: c}]}}}}";
  const std::string name =
      "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must "
      "not contain dots]";
  const std::string annotation =
      "spec.template.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "
      "\"priorityClassName\" field instead";
  EXPECT_EQ(warnings("apps", "deployments", deployment), (Lines{name, annotation}));
  EXPECT_EQ(warnings("apps", "deployments", deployment, "{metadata: {name: a.b}, spec: {}}"), Lines{annotation});
  EXPECT_EQ(warnings("apps", "deployments", deployment, deployment), Lines());  // nothing of it changes
  EXPECT_EQ(warnings("batch", "cronjobs",
                     "{metadata: {name: a}, spec: {jobTemplate: {spec: {template: {spec: {volumes: [{name: v, flocker: {}}]}}}}}}"),
            Lines{"spec.jobTemplate.spec.template.spec.volumes[0].flocker: deprecated in v1.22, non-functional in v1.25+"});
}

TEST(Warnings, Others) {
  struct Row {
    const char *group, *plural, *object;
    Lines out;
  };
  for (const Row& row : {
           Row{"",
               "services",
               "{spec: {type: ClusterIP, externalIPs: [1.2.3.4], sessionAffinity: None}}",
               {"spec.externalIPs is deprecated and may no longer be implemented in some clusters"}},
           Row{"",
               "services",
               "{spec: {type: ClusterIP, clusterIP: None, sessionAffinity: ClientIP}}",
               {"spec.SessionAffinity is ignored for headless services"}},
           Row{"",
               "services",
               "{spec: {type: ClusterIP, sessionAffinity: None, loadBalancerSourceRanges: [10.0.0.1/8]}}",
               {"spec.loadBalancerSourceRanges[0]: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or "
                "\"10.0.0.1/32\"?)"}},
           Row{"",
               "services",
               "{spec: {type: ClusterIP, sessionAffinity: None, trafficDistribution: PreferClose}}",
               {"spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""}},
           Row{"",
               "persistentvolumes",
               "{metadata: {annotations: {volume.beta.kubernetes.io/mount-options: x}}, spec: {persistentVolumeReclaimPolicy: Recycle, "
               "storageos: {}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: beta.kubernetes.io/os}]}]}}}}",
               {"metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use \"mountOptions\" attribute "
                "instead",
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use "
                "dynamic provisioning.",
                "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; "
                "use \"kubernetes.io/os\" instead",
                "spec.storageOS: deprecated in v1.22, non-functional in v1.25+"}},
           Row{"",
               "persistentvolumeclaims",
               "{spec: {resources: {requests: {storage: 500m}, limits: {storage: 1500m}}}}",
               {"spec.resources.requests[storage]: fractional byte value \"500m\" is invalid, must be an integer",
                "spec.resources.limits[storage]: fractional byte value \"1500m\" is invalid, must be an integer"}},
           Row{"storage.k8s.io",
               "storageclasses",
               "{allowedTopologies: [{matchLabelExpressions: [{key: failure-domain.beta.kubernetes.io/zone}]}]}",
               {"allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"}},
           Row{"storage.k8s.io",
               "csistoragecapacities",
               "{nodeTopology: {matchLabels: {beta.kubernetes.io/os: x}, matchExpressions: [{key: beta.kubernetes.io/arch}]}}",
               {"nodeTopology.matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use \"kubernetes.io/arch\" "
                "instead",
                "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use \"kubernetes.io/os\" instead"}},
           Row{"node.k8s.io",
               "runtimeclasses",
               "{scheduling: {nodeSelector: {beta.kubernetes.io/os: x}}}",
               {"scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead"}},
           Row{"discovery.k8s.io",
               "endpointslices",
               "{addressType: FQDN, endpoints: [{addresses: [a.b]}, {addresses: [010.0.0.1]}]}",
               {"spec.addressType: FQDN endpoints are deprecated",
                "endpoints[1].addresses[0]: non-standard IP address \"010.0.0.1\" will be considered invalid in a future Kubernetes "
                "release: use \"10.0.0.1\""}},
           Row{"",
               "endpoints",
               "{subsets: [{notReadyAddresses: [{ip: \"2001:DB8::1\"}]}]}",
               {"subsets[0].notReadyAddresses[0].ip: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format "
                "(\"2001:db8::1\")"}},
           Row{"", "secrets", "{type: Opaque, data: {}}", {}},
           Row{"networking.k8s.io",
               "ingresses",
               "{metadata: {annotations: {kubernetes.io/ingress.class: x}}}",
               {"annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"}},
           Row{"networking.k8s.io",
               "networkpolicies",
               "{spec: {ingress: [{from: [{ipBlock: {cidr: \"2001:DB8::/32\"}}]}]}}",
               {"spec.ingress[0].from[0].ipBlock.cidr: IPv6 CIDR value \"2001:DB8::/32\" should be in RFC 5952 canonical format "
                "(\"2001:db8::/32\")"}},
           Row{"", "configmaps", "{data: {a: b}}", {}},
       })
    EXPECT_EQ(warnings(row.group, row.plural, row.object), row.out) << row.object;
}

TEST(Warnings, Finalizers) {
  auto now = parse_yaml("{finalizers: [a.io/b, own, foregroundDeletion, old]}"), before = parse_yaml("{finalizers: [old]}");
  EXPECT_EQ(
      finalizer_warnings((*now)[0].root(), (*before)[0].root()),
      Lines{"metadata.finalizers: \"own\": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts "
            "with other finalizer writers"});
}

}  // namespace
}  // namespace kybern
