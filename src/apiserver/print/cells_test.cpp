#include "apiserver/print/cells.h"

#include <gtest/gtest.h>

#include <map>

#include "apiserver/discovery/discovery.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

const Time now = *parse_rfc3339("2026-01-02T03:04:05Z");

struct Case {
  std::string_view label, group, version, plural, object, cells;
};

// Objects are written without their metadata: it is {"name":"a","creationTimestamp":"2026-01-02T03:03:05Z"}.
std::string cells_for(const Case& c) {
  static const Catalog catalog;
  const ServedRef served = catalog.find(c.group, c.version, c.plural);
  if (served == nullptr) return "not served";
  auto parsed = parse_json(c.object);
  if (!parsed) return parsed.error().message;
  Draft object(parsed->root());
  object["metadata"]["name"] = "a";
  object["metadata"]["creationTimestamp"] = "2026-01-02T03:03:05Z";
  Document frozen = object.freeze();
  Draft cells = cells_of(*served, frozen.root(), now);
  EXPECT_EQ(cells.size(), table_columns(*served).size()) << c.label;
  return to_json(cells);
}

class CellsOf : public ::testing::TestWithParam<Case> {};
TEST_P(CellsOf, AsPrinted) { EXPECT_EQ(cells_for(GetParam()), GetParam().cells) << GetParam().label; }

constexpr Case pods[] = {
    {"pending", "", "v1", "pods", R"J({"spec":{"containers":[{"name":"c"}],"nodeName":"n"},"status":{"phase":"Pending"}})J",
     R"J(["a","0/1","Pending","0","60s","<none>","n","<none>","<none>"])J"},
    {"creating", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Pending","containerStatuses":[{"name":"c","state":{"waiting":{"reason":"ContainerCreating"}}}]}})J",
     R"J(["a","0/1","ContainerCreating","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"running", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"}],"readinessGates":[{"conditionType":"x"},{"conditionType":"y"}]},"status":{"phase":"Running","podIPs":[{"ip":"10.0.0.1"}],"nominatedNodeName":"m","conditions":[{"type":"x","status":"True"}],"containerStatuses":[{"name":"c","ready":true,"state":{"running":{}}}]}})J",
     R"J(["a","1/1","Running","0","60s","10.0.0.1","<none>","m","1/2"])J"},
    {"crash loop", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running","containerStatuses":[{"name":"c","restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"finishedAt":"2026-01-02T02:59:05Z"}}}]}})J",
     R"J(["a","0/1","CrashLoopBackOff","3 (5m ago)","60s","<none>","<none>","<none>","<none>"])J"},
    {"completed", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Succeeded","containerStatuses":[{"name":"c","state":{"terminated":{"reason":"Completed","exitCode":0}}}]}})J",
     R"J(["a","0/1","Completed","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"exit code", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Failed","containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":3}}}]}})J",
     R"J(["a","0/1","ExitCode:3","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"signal", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Failed","containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":137,"signal":9}}}]}})J",
     R"J(["a","0/1","Signal:9","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"one of two has ended", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"},{"name":"d"}]},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"c","state":{"terminated":{"reason":"Completed","exitCode":0}}},{"name":"d","ready":true,"state":{"running":{}}}]}})J",
     R"J(["a","1/2","NotReady","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"one of two has failed", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"},{"name":"d"}]},"status":{"phase":"Running","containerStatuses":[{"name":"c","state":{"terminated":{"reason":"Completed","exitCode":0}}},{"name":"d","state":{"terminated":{"reason":"Error","exitCode":1}}}]}})J",
     R"J(["a","0/2","Error","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"one has failed, one runs on", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"},{"name":"d"},{"name":"e"}]},"status":{"phase":"Running","containerStatuses":[{"name":"c","state":{"terminated":{"reason":"Completed","exitCode":0}}},{"name":"d","state":{"terminated":{"exitCode":3}}},{"name":"e","ready":true,"state":{"running":{}}}]}})J",
     R"J(["a","1/3","ExitCode:3","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"one has failed, and it is ready", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"},{"name":"d"}]},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}],"containerStatuses":[{"name":"c","state":{"terminated":{"reason":"Completed","exitCode":0}}},{"name":"d","ready":true,"state":{"running":{}}}]}})J",
     R"J(["a","1/2","Running","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"the node is lost", "", "v1", "pods",
     R"J({"metadata":{"deletionTimestamp":"2026-01-02T03:04:00Z"},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running","reason":"NodeLost"}})J",
     R"J(["a","0/1","Unknown","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"template", "", "v1", "podtemplates",
     R"J({"template":{"metadata":{"labels":{"b":"1","a":"2"}},"spec":{"containers":[{"name":"c","image":"i"},{"name":"d","image":"j"}]}}})J",
     R"J(["a","c,d","i,j","a=2,b=1"])J"},
    {"init", "", "v1", "pods",
     R"J({"spec":{"initContainers":[{"name":"i"},{"name":"j"}],"containers":[{"name":"c"}]},"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":0}}},{"name":"j","state":{"running":{}}}]}})J",
     R"J(["a","0/1","Init:1/2","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"init failed", "", "v1", "pods",
     R"J({"spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"c"}]},"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","restartCount":2,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}})J",
     R"J(["a","0/1","Init:CrashLoopBackOff","2","60s","<none>","<none>","<none>","<none>"])J"},
    {"sidecar", "", "v1", "pods",
     R"J({"spec":{"initContainers":[{"name":"i","restartPolicy":"Always"}],"containers":[{"name":"c"}]},"status":{"phase":"Running","initContainerStatuses":[{"name":"i","started":true,"ready":true,"restartCount":1,"state":{"running":{}}}],"containerStatuses":[{"name":"c","ready":true,"state":{"running":{}}}]}})J",
     R"J(["a","2/2","Running","1","60s","<none>","<none>","<none>","<none>"])J"},
    {"in deletion", "", "v1", "pods",
     R"J({"metadata":{"deletionTimestamp":"2026-01-02T03:04:00Z"},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running"}})J",
     R"J(["a","0/1","Terminating","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"evicted", "", "v1", "pods", R"J({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Failed","reason":"Evicted"}})J",
     R"J(["a","0/1","Evicted","0","60s","<none>","<none>","<none>","<none>"])J"},
    {"gated", "", "v1", "pods",
     R"J({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]}})J",
     R"J(["a","0/1","SchedulingGated","0","60s","<none>","<none>","<none>","<none>"])J"},
};
INSTANTIATE_TEST_SUITE_P(Pods, CellsOf, ::testing::ValuesIn(pods));

constexpr Case workloads[] = {
    {"deployment", "apps", "v1", "deployments",
     R"J({"spec":{"replicas":3,"selector":{"matchLabels":{"app":"x"}},"template":{"spec":{"containers":[{"name":"c","image":"i:1"},{"name":"d","image":"j"}]}}},"status":{"readyReplicas":2,"updatedReplicas":3,"availableReplicas":1}})J",
     R"J(["a","2/3",3,1,"60s","c,d","i:1,j","app=x"])J"},
    {"deployment of a bad selector", "apps", "v1", "deployments",
     R"J({"spec":{"replicas":1,"selector":{"matchExpressions":[{"key":"k","operator":"Odd"}]},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}})J",
     R"J(["a","0/1",0,0,"60s","c","i","<invalid>"])J"},
    {"replica set", "apps", "v1", "replicasets",
     R"J({"spec":{"replicas":2,"selector":{"matchLabels":{"app":"x"}},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"replicas":1}})J",
     R"J(["a",2,1,0,"60s","c","i","app=x"])J"},
    {"controller", "", "v1", "replicationcontrollers",
     R"J({"spec":{"replicas":2,"selector":{"b":"1","a":"2"},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}})J",
     R"J(["a",2,0,0,"60s","c","i","a=2,b=1"])J"},
    {"stateful set", "apps", "v1", "statefulsets",
     R"J({"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"readyReplicas":1}})J",
     R"J(["a","1/2","60s","c","i"])J"},
    {"daemon set", "apps", "v1", "daemonsets",
     R"J({"spec":{"selector":{"matchLabels":{"app":"x"}},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"desiredNumberScheduled":1,"currentNumberScheduled":2,"numberReady":3,"updatedNumberScheduled":4,"numberAvailable":5}})J",
     R"J(["a",1,2,3,4,5,"<none>","60s","c","i","app=x"])J"},
    {"revision", "apps", "v1", "controllerrevisions",
     R"J({"revision":4,"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"d","controller":true}]}})J",
     R"J(["a","daemonset.apps/d",4,"60s"])J"},
    {"job", "batch", "v1", "jobs",
     R"J({"spec":{"completions":3,"selector":{"matchLabels":{"j":"x"}},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"succeeded":1,"startTime":"2026-01-02T03:03:35Z"}})J",
     R"J(["a","Running","1/3","30s","60s","c","i","j=x"])J"},
    {"job without completions", "batch", "v1", "jobs",
     R"J({"spec":{"parallelism":2},"status":{"succeeded":2,"startTime":"2026-01-02T03:00:00Z","completionTime":"2026-01-02T03:00:07Z","conditions":[{"type":"Complete","status":"True"}]}})J",
     R"J(["a","Complete","2/1 of 2","7s","60s","","","<none>"])J"},
    {"cron job", "batch", "v1", "cronjobs",
     R"J({"spec":{"schedule":"* * * * *","suspend":false},"status":{"active":[{}],"lastScheduleTime":"2026-01-02T03:04:00Z"}})J",
     R"J(["a","* * * * *","<none>","False",1,"5s","60s","","","<none>"])J"},
    {"autoscaler", "autoscaling", "v2", "horizontalpodautoscalers",
     R"J({"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d"},"maxReplicas":5,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"averageUtilization":80}}},{"type":"Pods","pods":{"target":{"averageValue":"10"}}},{"type":"Pods","pods":{"target":{"averageValue":"1"}}}]},"status":{"currentReplicas":2,"currentMetrics":[{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":12}}}]}})J",
     R"J(["a","Deployment/d","cpu: 12%/80%, <unknown>/10 + 1 more...","<unset>",5,2,"60s"])J"},
    {"budget", "policy", "v1", "poddisruptionbudgets", R"J({"spec":{"minAvailable":"50%"},"status":{"disruptionsAllowed":2}})J",
     R"J(["a","50%","N/A",2,"60s"])J"},
};
INSTANTIATE_TEST_SUITE_P(Workloads, CellsOf, ::testing::ValuesIn(workloads));

constexpr Case network[] = {
    {"cluster address", "", "v1", "services",
     R"J({"spec":{"type":"ClusterIP","clusterIP":"None","clusterIPs":["None"],"ports":[{"port":80,"protocol":"TCP"},{"port":53,"protocol":"UDP"}],"selector":{"app":"a"}}})J",
     R"J(["a","ClusterIP","None","<none>","80/TCP,53/UDP","60s","app=a"])J"},
    {"node port", "", "v1", "services",
     R"J({"spec":{"type":"NodePort","clusterIPs":["10.0.0.1"],"ports":[{"port":80,"nodePort":30080,"protocol":"TCP"}]}})J",
     R"J(["a","NodePort","10.0.0.1","<none>","80:30080/TCP","60s","<none>"])J"},
    {"balancer", "", "v1", "services",
     R"J({"spec":{"type":"LoadBalancer","clusterIPs":["10.0.0.1"],"ports":[{"port":80,"protocol":"TCP"}]}})J",
     R"J(["a","LoadBalancer","10.0.0.1","<pending>","80/TCP","60s","<none>"])J"},
    {"balancer with addresses", "", "v1", "services",
     R"J({"spec":{"type":"LoadBalancer","clusterIPs":["10.0.0.1"],"externalIPs":["9.9.9.9"]},"status":{"loadBalancer":{"ingress":[{"ip":"2.2.2.2"},{"hostname":"1.example.com"}]}}})J",
     R"J(["a","LoadBalancer","10.0.0.1","1.example.com,2.2.2.2,9.9.9.9","<none>","60s","<none>"])J"},
    {"external name", "", "v1", "services", R"J({"spec":{"type":"ExternalName","externalName":"e.example.com"}})J",
     R"J(["a","ExternalName","<none>","e.example.com","<none>","60s","<none>"])J"},
    {"endpoints", "", "v1", "endpoints",
     R"J({"subsets":[{"addresses":[{"ip":"1.1.1.1"},{"ip":"1.1.1.2"},{"ip":"1.1.1.3"},{"ip":"fd00::1"}],"ports":[{"port":80}]}]})J",
     R"J(["a","1.1.1.1:80,1.1.1.2:80,1.1.1.3:80 + 1 more...","60s"])J"},
    {"no endpoints", "", "v1", "endpoints", R"J({})J", R"J(["a","<none>","60s"])J"},
    {"slice", "discovery.k8s.io", "v1", "endpointslices",
     R"J({"addressType":"IPv4","ports":[{"port":80}],"endpoints":[{"addresses":["1.1.1.1"]}]})J", R"J(["a","IPv4","80","1.1.1.1","60s"])J"},
    {"empty slice", "discovery.k8s.io", "v1", "endpointslices", R"J({"addressType":"IPv4","ports":null,"endpoints":null})J",
     R"J(["a","IPv4","<unset>","<unset>","60s"])J"},
    {"ingress", "networking.k8s.io", "v1", "ingresses",
     R"J({"spec":{"ingressClassName":"cl","tls":[{}],"rules":[{"host":"w"},{"host":"x"},{"host":"y"},{"host":"z"}]}})J",
     R"J(["a","cl","w,x,y + 1 more...","","80, 443","60s"])J"},
    {"ingress class", "networking.k8s.io", "v1", "ingressclasses",
     R"J({"spec":{"controller":"c","parameters":{"apiGroup":"x.example.com","kind":"Par","name":"n"}}})J",
     R"J(["a","c","Par.x.example.com/n","60s"])J"},
    {"policy", "networking.k8s.io", "v1", "networkpolicies",
     R"J({"spec":{"podSelector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"k","operator":"In","values":["x","y"]}]}}})J",
     R"J(["a","a=b,k in (x,y)","60s"])J"},
};
INSTANTIATE_TEST_SUITE_P(Network, CellsOf, ::testing::ValuesIn(network));

constexpr Case others[] = {
    {"node", "", "v1", "nodes",
     R"J({"metadata":{"labels":{"node-role.kubernetes.io/worker":"","node-role.kubernetes.io/big":""}},"spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"InternalIP","address":"10.0.0.5"}],"nodeInfo":{"kubeletVersion":"v1","osImage":"os"}}})J",
     R"J(["a","Ready,SchedulingDisabled","big,worker","60s","v1","10.0.0.5","<none>","os","<unknown>","<unknown>"])J"},
    {"unknown node", "", "v1", "nodes", R"J({})J",
     R"J(["a","Unknown","<none>","60s","","<none>","<none>","<unknown>","<unknown>","<unknown>"])J"},
    {"namespace", "", "v1", "namespaces", R"J({"status":{"phase":"Active"}})J", R"J(["a","Active","60s"])J"},
    {"config map", "", "v1", "configmaps", R"J({"data":{"a":"1"},"binaryData":{"b":"MQ=="}})J", R"J(["a",2,"60s"])J"},
    {"secret", "", "v1", "secrets", R"J({"type":"Opaque","data":{"a":"MQ=="}})J", R"J(["a","Opaque",1,"60s"])J"},
    {"account", "", "v1", "serviceaccounts", R"J({"secrets":[{"name":"s"}]})J", R"J(["a","60s"])J"},
    {"event", "", "v1", "events",
     R"J({"type":"Warning","reason":"Killing","message":"m\n","involvedObject":{"kind":"Pod","name":"p"},"source":{"component":"kubelet","host":"n"},"firstTimestamp":"2026-01-02T03:02:05Z","lastTimestamp":"2026-01-02T03:04:00Z","count":4})J",
     R"J(["5s","Warning","Killing","pod/p","","kubelet, n","m","2m",4,"a"])J"},
    {"event with a series", "events.k8s.io", "v1", "events",
     R"J({"type":"Normal","reason":"R","note":"m","regarding":{"kind":"Node"},"reportingController":"c","eventTime":"2026-01-02T03:02:05.000001Z","series":{"count":7,"lastObservedTime":"2026-01-02T03:04:04.000000Z"}})J",
     R"J(["1s","Normal","R","node","","c","m","119s",7,"a"])J"},
    {"quota", "", "v1", "resourcequotas", R"J({"status":{"hard":{"pods":"4","limits.cpu":"2","cpu":"1"},"used":{"pods":"1"}}})J",
     R"J(["a","cpu: 0/1, pods: 1/4","limits.cpu: 0/2","60s"])J"},
    {"limit range", "", "v1", "limitranges", R"J({})J", R"J(["a","2026-01-02T03:03:05Z"])J"},
    {"volume", "", "v1", "persistentvolumes",
     R"J({"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce","ReadWriteMany"],"persistentVolumeReclaimPolicy":"Retain","claimRef":{"namespace":"n","name":"c"},"storageClassName":"s"},"status":{"phase":"Bound"}})J",
     R"J(["a","1Gi","RWO,RWX","Retain","Bound","n/c","s","<unset>","","60s","<unset>"])J"},
    {"claim", "", "v1", "persistentvolumeclaims",
     R"J({"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"s","volumeMode":"Filesystem"},"status":{"phase":"Pending"}})J",
     R"J(["a","Pending","","","","s","<unset>","60s","Filesystem"])J"},
    {"default class", "storage.k8s.io", "v1", "storageclasses",
     R"J({"metadata":{"annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},"provisioner":"p"})J",
     R"J(["a (default)","p","Delete","Immediate",false,"60s"])J"},
    {"binding", "rbac.authorization.k8s.io", "v1", "rolebindings",
     R"J({"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"u"},{"kind":"Group","name":"g"},{"kind":"ServiceAccount","namespace":"n","name":"s"}]})J",
     R"J(["a","Role/r","60s","u","g","n/s"])J"},
    {"role", "rbac.authorization.k8s.io", "v1", "roles", R"J({})J", R"J(["a","2026-01-02T03:03:05Z"])J"},
    {"request", "certificates.k8s.io", "v1", "certificatesigningrequests",
     R"J({"spec":{"signerName":"s","username":"u","expirationSeconds":3600},"status":{"conditions":[{"type":"Approved"}],"certificate":"eA=="}})J",
     R"J(["a","60s","s","u","60m","Approved,Issued"])J"},
    {"priority class", "scheduling.k8s.io", "v1", "priorityclasses", R"J({"value":7,"preemptionPolicy":"Never"})J",
     R"J(["a",7,false,"60s","Never"])J"},
    {"level", "flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", R"J({"spec":{"type":"Exempt"}})J",
     R"J(["a","Exempt","<none>","<none>","<none>","<none>","60s"])J"},
    {"webhooks", "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", R"J({"webhooks":[{},{}]})J",
     R"J(["a",2,"60s"])J"},
    {"mutating webhooks", "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", R"J({})J", R"J(["a",0,"60s"])J"},
    {"validating policy", "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies",
     R"J({"spec":{"validations":[{},{}],"paramKind":{"apiVersion":"x.dev/v1","kind":"Par"}}})J", R"J(["a",2,"x.dev/v1/Par","60s"])J"},
    {"mutating policy", "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", R"J({"spec":{"mutations":[{}]}})J",
     R"J(["a",1,"<unset>","60s"])J"},
    {"binding of a policy", "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", R"J({"spec":{"policyName":"p"}})J",
     R"J(["a","p","<unset>","60s"])J"},
    {"binding with a parameter of any namespace", "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings",
     R"J({"spec":{"policyName":"p","paramRef":{"name":"n"}}})J", R"J(["a","p","*/n","60s"])J"},
    {"binding with a parameter", "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings",
     R"J({"spec":{"policyName":"p","paramRef":{"name":"n","namespace":"s"}}})J", R"J(["a","p","s/n","60s"])J"},
    {"local service", "apiregistration.k8s.io", "v1", "apiservices",
     R"J({"status":{"conditions":[{"type":"Available","status":"True","reason":"Local"}]}})J", R"J(["a","Local","True","60s"])J"},
    {"service elsewhere", "apiregistration.k8s.io", "v1", "apiservices",
     R"J({"spec":{"service":{"namespace":"n","name":"s"}},"status":{"conditions":[{"type":"Available","status":"False","reason":"MissingEndpoints"}]}})J",
     R"J(["a","n/s","False (MissingEndpoints)","60s"])J"},
    {"service that nobody has looked at", "apiregistration.k8s.io", "v1", "apiservices",
     R"J({"spec":{"service":{"namespace":"n","name":"s"}}})J", R"J(["a","n/s","Unknown","60s"])J"},
    {"schema", "flowcontrol.apiserver.k8s.io", "v1", "flowschemas",
     R"J({"spec":{"priorityLevelConfiguration":{"name":"l"},"matchingPrecedence":5,"distinguisherMethod":{"type":"ByUser"}},"status":{"conditions":[{"type":"Dangling","status":"False"}]}})J",
     R"J(["a","l",5,"ByUser","60s","False"])J"},
    {"new schema", "flowcontrol.apiserver.k8s.io", "v1", "flowschemas",
     R"J({"spec":{"priorityLevelConfiguration":{"name":"l"},"matchingPrecedence":1000}})J", R"J(["a","l",1000,"<none>","60s","?"])J"},
    {"limited level", "flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations",
     R"J({"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":30,"limitResponse":{"type":"Queue","queuing":{"queues":64,"handSize":8,"queueLengthLimit":50}}}}})J",
     R"J(["a","Limited",30,64,8,50,"60s"])J"},
    {"level that refuses", "flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations",
     R"J({"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":0,"limitResponse":{"type":"Reject"}}}})J",
     R"J(["a","Limited",0,"<none>","<none>","<none>","60s"])J"},
    {"component", "", "v1", "componentstatuses", R"J({"conditions":[{"type":"Healthy","status":"True","message":"ok"}]})J",
     R"J(["a","Healthy","ok",""])J"},
    {"runtime class", "node.k8s.io", "v1", "runtimeclasses", R"J({"handler":"h"})J", R"J(["a","h","60s"])J"},
    {"claim of a device", "resource.k8s.io", "v1", "resourceclaims", R"J({"status":{"allocation":{},"reservedFor":[{}]}})J",
     R"J(["a","allocated,reserved","60s"])J"},
    {"new claim of a device", "resource.k8s.io", "v1", "resourceclaims", R"J({})J", R"J(["a","pending","60s"])J"},
    {"claim that goes", "resource.k8s.io", "v1", "resourceclaims", R"J({"metadata":{"deletionTimestamp":"2026-01-02T03:04:00Z"}})J",
     R"J(["a","deleted","60s"])J"},
    {"slice of devices", "resource.k8s.io", "v1", "resourceslices", R"J({"spec":{"driver":"d","nodeName":"n","pool":{"name":"p"}}})J",
     R"J(["a","n","d","p","60s"])J"},
    {"device class", "resource.k8s.io", "v1", "deviceclasses", R"J({})J", R"J(["a","60s"])J"},
    {"template of claims", "resource.k8s.io", "v1", "resourceclaimtemplates", R"J({})J", R"J(["a","60s"])J"},
    {"bound claim", "", "v1", "persistentvolumeclaims",
     R"J({"metadata":{"deletionTimestamp":"2026-01-02T03:04:00Z","annotations":{"volume.beta.kubernetes.io/storage-class":"old"}},"spec":{"volumeName":"pv","storageClassName":"s","volumeAttributesClassName":"va"},"status":{"phase":"Bound","accessModes":["ReadWriteOncePod","ReadOnlyMany"],"capacity":{"storage":"2048Mi"}}})J",
     R"J(["a","Terminating","pv","2Gi","ROX,RWOP","old","va","60s","<unset>"])J"},
    {"driver", "storage.k8s.io", "v1", "csidrivers",
     R"J({"spec":{"attachRequired":false,"podInfoOnMount":true,"storageCapacity":true,"tokenRequests":[{"audience":"x"},{"audience":"y"}],"requiresRepublish":true,"volumeLifecycleModes":["Persistent","Ephemeral"]}})J",
     R"J(["a",false,true,true,"x,y",true,"Persistent,Ephemeral","60s"])J"},
    {"plain driver", "storage.k8s.io", "v1", "csidrivers", R"J({})J", R"J(["a",true,false,false,"<unset>",false,"<none>","60s"])J"},
    {"node of drivers", "storage.k8s.io", "v1", "csinodes", R"J({"spec":{"drivers":[{}]}})J", R"J(["a",1,"60s"])J"},
    {"capacity", "storage.k8s.io", "v1", "csistoragecapacities", R"J({"storageClassName":"s","capacity":"1024Mi"})J",
     R"J(["a","s","1Gi"])J"},
    {"unknown capacity", "storage.k8s.io", "v1", "csistoragecapacities", R"J({"storageClassName":"s"})J", R"J(["a","s","<unset>"])J"},
    {"attachment", "storage.k8s.io", "v1", "volumeattachments",
     R"J({"spec":{"attacher":"d","nodeName":"n","source":{"persistentVolumeName":"pv"}},"status":{"attached":true}})J",
     R"J(["a","d","pv","n",true,"60s"])J"},
    {"attributes", "storage.k8s.io", "v1", "volumeattributesclasses", R"J({"driverName":"d"})J", R"J(["a","d","60s"])J"},
    {"address", "networking.k8s.io", "v1", "ipaddresses", R"J({"spec":{"parentRef":{"resource":"services","namespace":"n","name":"s"}}})J",
     R"J(["a","services/n/s"])J"},
    {"ranges", "networking.k8s.io", "v1", "servicecidrs", R"J({"spec":{"cidrs":["10.0.0.0/16","fd00::/112"]}})J",
     R"J(["a","10.0.0.0/16,fd00::/112","60s"])J"},
    {"cluster binding", "rbac.authorization.k8s.io", "v1", "clusterrolebindings", R"J({"roleRef":{"kind":"ClusterRole","name":"r"}})J",
     R"J(["a","ClusterRole/r","60s","","",""])J"},
    {"cluster role", "rbac.authorization.k8s.io", "v1", "clusterroles", R"J({})J", R"J(["a","2026-01-02T03:03:05Z"])J"},
    {"definition", "apiextensions.k8s.io", "v1", "customresourcedefinitions", R"J({})J", R"J(["a","2026-01-02T03:03:05Z"])J"},
    {"autoscaler of the first version", "autoscaling", "v1", "horizontalpodautoscalers",
     R"J({"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d"},"minReplicas":2,"maxReplicas":5,"targetCPUUtilizationPercentage":80},"status":{"currentReplicas":2,"currentCPUUtilizationPercentage":12}})J",
     R"J(["a","Deployment/d","cpu: 12%/80%","2",5,2,"60s"])J"},
    {"lease", "coordination.k8s.io", "v1", "leases", R"J({"spec":{"holderIdentity":"h"}})J", R"J(["a","h","60s"])J"},
};
INSTANTIATE_TEST_SUITE_P(Others, CellsOf, ::testing::ValuesIn(others));

// The header of each kind, as upstream's printers have it (pkg/printers/internalversion/printers.go, and the convertors of
// definitions and APIServices): names, types that are no text, formats, and where what `-o wide` adds begins.
TEST(Columns, AsUpstreamNamesThem) {
  const std::map<std::string, std::string> wanted{
      {"componentstatuses", "Name,Status,Message,Error"},
      {"configmaps", "Name,Data,Age"},
      {"endpoints", "Name,Endpoints,Age"},
      {"events", "Last Seen,Type,Reason,Object,(Subobject),(Source),Message,(First Seen),(Count),(Name)"},
      {"limitranges", "Name,Created At:date"},
      {"namespaces", "Name,Status,Age"},
      {"nodes", "Name,Status,Roles,Age,Version,(Internal-IP),(External-IP),(OS-Image),(Kernel-Version),(Container-Runtime)"},
      {"persistentvolumeclaims", "Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age,(VolumeMode)"},
      {"persistentvolumes",
       "Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,VolumeAttributesClass,Reason,Age,(VolumeMode)"},
      {"pods", "Name,Ready,Status,Restarts,Age,(IP),(Node),(Nominated Node),(Readiness Gates)"},
      {"podtemplates", "Name,Containers,Images,Pod Labels"},
      {"replicationcontrollers", "Name,Desired:integer,Current:integer,Ready:integer,Age,(Containers),(Images),(Selector)"},
      {"resourcequotas", "Name,Request,Limit,Age"},
      {"secrets", "Name,Type,Data,Age"},
      {"serviceaccounts", "Name,Age"},
      {"services", "Name,Type,Cluster-IP,External-IP,Port(s),Age,(Selector)"},
      {"mutatingadmissionpolicies.admissionregistration.k8s.io", "Name,Mutations:integer,ParamKind,Age"},
      {"mutatingadmissionpolicybindings.admissionregistration.k8s.io", "Name,PolicyName,ParamRef,Age"},
      {"mutatingwebhookconfigurations.admissionregistration.k8s.io", "Name,Webhooks:integer,Age"},
      {"validatingadmissionpolicies.admissionregistration.k8s.io", "Name,Validations:integer,ParamKind,Age"},
      {"validatingadmissionpolicybindings.admissionregistration.k8s.io", "Name,PolicyName,ParamRef,Age"},
      {"validatingwebhookconfigurations.admissionregistration.k8s.io", "Name,Webhooks:integer,Age"},
      {"customresourcedefinitions.apiextensions.k8s.io", "Name,Created At:date"},
      {"apiservices.apiregistration.k8s.io", "Name,Service,Available,Age"},
      {"controllerrevisions.apps", "Name,Controller,Revision,Age"},
      {"daemonsets.apps",
       "Name,Desired:integer,Current:integer,Ready:integer,Up-to-date:integer,Available:integer,Node "
       "Selector,Age,(Containers),(Images),(Selector)"},
      {"deployments.apps", "Name,Ready,Up-to-date,Available,Age,(Containers),(Images),(Selector)"},
      {"replicasets.apps", "Name,Desired:integer,Current:integer,Ready:integer,Age,(Containers),(Images),(Selector)"},
      {"statefulsets.apps", "Name,Ready,Age,(Containers),(Images)"},
      {"horizontalpodautoscalers.autoscaling", "Name,Reference,Targets,MinPods,MaxPods,Replicas,Age"},
      {"cronjobs.batch", "Name,Schedule,Timezone,Suspend:boolean,Active:integer,Last Schedule,Age,(Containers),(Images),(Selector)"},
      {"jobs.batch", "Name,Status,Completions,Duration,Age,(Containers),(Images),(Selector)"},
      {"certificatesigningrequests.certificates.k8s.io", "Name,Age,SignerName,Requestor,RequestedDuration,Condition"},
      {"leases.coordination.k8s.io", "Name,Holder,Age"},
      {"endpointslices.discovery.k8s.io", "Name,AddressType,Ports,Endpoints,Age"},
      {"events.events.k8s.io", "Last Seen,Type,Reason,Object,(Subobject),(Source),Message,(First Seen),(Count),(Name)"},
      {"flowschemas.flowcontrol.apiserver.k8s.io", "Name,PriorityLevel,MatchingPrecedence,DistinguisherMethod,Age,MissingPL"},
      {"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
       "Name,Type,NominalConcurrencyShares,Queues,HandSize,QueueLengthLimit,Age"},
      {"ingressclasses.networking.k8s.io", "Name,Controller,Parameters,Age"},
      {"ingresses.networking.k8s.io", "Name,Class,Hosts,Address,Ports,Age"},
      {"ipaddresses.networking.k8s.io", "Name,ParentRef"},
      {"networkpolicies.networking.k8s.io", "Name,Pod-Selector,Age"},
      {"servicecidrs.networking.k8s.io", "Name,CIDRs,Age"},
      {"runtimeclasses.node.k8s.io", "Name,Handler,Age"},
      {"poddisruptionbudgets.policy", "Name,Min Available,Max Unavailable,Allowed Disruptions:integer,Age"},
      {"clusterrolebindings.rbac.authorization.k8s.io", "Name,Role,Age,(Users),(Groups),(ServiceAccounts)"},
      {"clusterroles.rbac.authorization.k8s.io", "Name,Created At:date"},
      {"rolebindings.rbac.authorization.k8s.io", "Name,Role,Age,(Users),(Groups),(ServiceAccounts)"},
      {"roles.rbac.authorization.k8s.io", "Name,Created At:date"},
      {"deviceclasses.resource.k8s.io", "Name,Age"},
      {"resourceclaims.resource.k8s.io", "Name,State,Age"},
      {"resourceclaimtemplates.resource.k8s.io", "Name,Age"},
      {"resourceslices.resource.k8s.io", "Name,Node,Driver,Pool,Age"},
      {"priorityclasses.scheduling.k8s.io", "Name,Value:integer,Global-Default:boolean,Age,PreemptionPolicy"},
      {"csidrivers.storage.k8s.io",
       "Name,AttachRequired:boolean,PodInfoOnMount:boolean,StorageCapacity:boolean,TokenRequests,RequiresRepublish:boolean,Modes,Age"},
      {"csinodes.storage.k8s.io", "Name,Drivers:integer,Age"},
      {"csistoragecapacities.storage.k8s.io", "Name,StorageClassName,Capacity"},
      {"storageclasses.storage.k8s.io", "Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age"},
      {"volumeattachments.storage.k8s.io", "Name,Attacher/name,PV,Node,Attached:boolean,Age"},
      {"volumeattributesclasses.storage.k8s.io", "Name,DriverName,Age"},
  };
  Catalog catalog;
  std::size_t compared = 0;
  for (const auto& served : catalog.all()) {
    std::string plural(served->plural()), text;
    if (!served->group().empty()) plural += "." + std::string(served->group());
    auto found = wanted.find(plural);
    if (found == wanted.end()) continue;
    ++compared;
    Document columns = table_columns(*served).freeze();
    for (Value c : columns.root().items()) {
      std::string one = c["name"].str();
      if (c["format"].as_string() == "name" && one != "Name") one += "/name";
      EXPECT_EQ(c["format"].as_string() == "name", one == "Name" || one.ends_with("/name")) << plural;
      if (c["type"].as_string() != "string") one += ":" + c["type"].str();
      EXPECT_TRUE(c["priority"].as_int() == 0 || c["priority"].as_int() == 1) << plural;
      text += (text.empty() ? "" : ",") + (c["priority"].as_int() ? "(" + one + ")" : one);
    }
    EXPECT_EQ(text, found->second) << plural;
  }
  EXPECT_EQ(compared, wanted.size() + 1);  // autoscalers have two versions
}

TEST(Cells, EveryResourceFillsItsHeaderFromAnEmptyObject) {
  Catalog catalog;
  Document empty = Draft::object().freeze();
  for (const auto& served : catalog.all()) {
    Draft cells = cells_of(*served, empty.root(), now);
    EXPECT_EQ(cells.size(), table_columns(*served).size()) << served->api_version << " " << served->plural();
  }
}

}  // namespace
}  // namespace kybern::apiserver
