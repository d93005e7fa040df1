#include "apiserver/print/cells.h"

#include <gtest/gtest.h>

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
  const Served* served = catalog.find(c.group, c.version, c.plural);
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

class CellsOf : public testing::TestWithParam<Case> {};
TEST_P(CellsOf, AsPrinted) { EXPECT_EQ(cells_for(GetParam()), GetParam().cells) << GetParam().label; }

constexpr Case pods[] = {
    {"pending", "", "v1", "pods", R"({"spec":{"containers":[{"name":"c"}],"nodeName":"n"},"status":{"phase":"Pending"}})",
     R"(["a","0/1","Pending","0","60s","<none>","n","<none>","<none>"])"},
    {"creating", "", "v1", "pods", R"({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Pending","containerStatuses":[{"name":"c","state":{"waiting":{"reason":"ContainerCreating"}}}]}})",
     R"(["a","0/1","ContainerCreating","0","60s","<none>","<none>","<none>","<none>"])"},
    {"running", "", "v1", "pods",
     R"({"spec":{"containers":[{"name":"c"}],"readinessGates":[{"conditionType":"x"},{"conditionType":"y"}]},"status":{"phase":"Running","podIPs":[{"ip":"10.0.0.1"}],"nominatedNodeName":"m","conditions":[{"type":"x","status":"True"}],"containerStatuses":[{"name":"c","ready":true,"state":{"running":{}}}]}})",
     R"(["a","1/1","Running","0","60s","10.0.0.1","<none>","m","1/2"])"},
    {"crash loop", "", "v1", "pods",
     R"({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running","containerStatuses":[{"name":"c","restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"finishedAt":"2026-01-02T02:59:05Z"}}}]}})",
     R"(["a","0/1","CrashLoopBackOff","3 (5m ago)","60s","<none>","<none>","<none>","<none>"])"},
    {"completed", "", "v1", "pods", R"({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Succeeded","containerStatuses":[{"name":"c","state":{"terminated":{"reason":"Completed","exitCode":0}}}]}})",
     R"(["a","0/1","Completed","0","60s","<none>","<none>","<none>","<none>"])"},
    {"exit code", "", "v1", "pods", R"({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Failed","containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":3}}}]}})",
     R"(["a","0/1","ExitCode:3","0","60s","<none>","<none>","<none>","<none>"])"},
    {"signal", "", "v1", "pods", R"({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Failed","containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":137,"signal":9}}}]}})",
     R"(["a","0/1","Signal:9","0","60s","<none>","<none>","<none>","<none>"])"},
    {"one of two has ended", "", "v1", "pods",
     R"({"spec":{"containers":[{"name":"c"},{"name":"d"}]},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"c","state":{"terminated":{"reason":"Completed","exitCode":0}}},{"name":"d","ready":true,"state":{"running":{}}}]}})",
     R"(["a","1/2","NotReady","0","60s","<none>","<none>","<none>","<none>"])"},
    {"init", "", "v1", "pods",
     R"({"spec":{"initContainers":[{"name":"i"},{"name":"j"}],"containers":[{"name":"c"}]},"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":0}}},{"name":"j","state":{"running":{}}}]}})",
     R"(["a","0/1","Init:1/2","0","60s","<none>","<none>","<none>","<none>"])"},
    {"init failed", "", "v1", "pods",
     R"({"spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"c"}]},"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","restartCount":2,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}})",
     R"(["a","0/1","Init:CrashLoopBackOff","2","60s","<none>","<none>","<none>","<none>"])"},
    {"sidecar", "", "v1", "pods",
     R"({"spec":{"initContainers":[{"name":"i","restartPolicy":"Always"}],"containers":[{"name":"c"}]},"status":{"phase":"Running","initContainerStatuses":[{"name":"i","started":true,"ready":true,"restartCount":1,"state":{"running":{}}}],"containerStatuses":[{"name":"c","ready":true,"state":{"running":{}}}]}})",
     R"(["a","2/2","Running","1","60s","<none>","<none>","<none>","<none>"])"},
    {"in deletion", "", "v1", "pods", R"({"metadata":{"deletionTimestamp":"2026-01-02T03:04:00Z"},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running"}})",
     R"(["a","0/1","Terminating","0","60s","<none>","<none>","<none>","<none>"])"},
    {"evicted", "", "v1", "pods", R"({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Failed","reason":"Evicted"}})",
     R"(["a","0/1","Evicted","0","60s","<none>","<none>","<none>","<none>"])"},
    {"gated", "", "v1", "pods", R"({"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]}})",
     R"(["a","0/1","SchedulingGated","0","60s","<none>","<none>","<none>","<none>"])"},
};
INSTANTIATE_TEST_SUITE_P(Pods, CellsOf, testing::ValuesIn(pods));

constexpr Case workloads[] = {
    {"deployment", "apps", "v1", "deployments",
     R"({"spec":{"replicas":3,"selector":{"matchLabels":{"app":"x"}},"template":{"spec":{"containers":[{"name":"c","image":"i:1"},{"name":"d","image":"j"}]}}},"status":{"readyReplicas":2,"updatedReplicas":3,"availableReplicas":1}})",
     R"(["a","2/3",3,1,"60s","c,d","i:1,j","app=x"])"},
    {"replica set", "apps", "v1", "replicasets", R"({"spec":{"replicas":2,"selector":{"matchLabels":{"app":"x"}},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"replicas":1}})",
     R"(["a",2,1,0,"60s","c","i","app=x"])"},
    {"controller", "", "v1", "replicationcontrollers", R"({"spec":{"replicas":2,"selector":{"b":"1","a":"2"},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}})",
     R"(["a",2,0,0,"60s","c","i","a=2,b=1"])"},
    {"stateful set", "apps", "v1", "statefulsets", R"({"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"readyReplicas":1}})", R"(["a","1/2","60s","c","i"])"},
    {"daemon set", "apps", "v1", "daemonsets",
     R"({"spec":{"selector":{"matchLabels":{"app":"x"}},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"desiredNumberScheduled":1,"currentNumberScheduled":2,"numberReady":3,"updatedNumberScheduled":4,"numberAvailable":5}})",
     R"(["a",1,2,3,4,5,"<none>","60s","c","i","app=x"])"},
    {"revision", "apps", "v1", "controllerrevisions", R"({"revision":4,"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"d","controller":true}]}})", R"(["a","daemonset.apps/d",4,"60s"])"},
    {"job", "batch", "v1", "jobs",
     R"({"spec":{"completions":3,"selector":{"matchLabels":{"j":"x"}},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"succeeded":1,"startTime":"2026-01-02T03:03:35Z"}})",
     R"(["a","Running","1/3","30s","60s","c","i","j=x"])"},
    {"job without completions", "batch", "v1", "jobs", R"({"spec":{"parallelism":2},"status":{"succeeded":2,"startTime":"2026-01-02T03:00:00Z","completionTime":"2026-01-02T03:00:07Z","conditions":[{"type":"Complete","status":"True"}]}})",
     R"(["a","Complete","2/1 of 2","7s","60s","","","<none>"])"},
    {"cron job", "batch", "v1", "cronjobs", R"({"spec":{"schedule":"* * * * *","suspend":false},"status":{"active":[{}],"lastScheduleTime":"2026-01-02T03:04:00Z"}})",
     R"(["a","* * * * *","<none>","False",1,"5s","60s","","","<none>"])"},
    {"autoscaler", "autoscaling", "v2", "horizontalpodautoscalers",
     R"({"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d"},"maxReplicas":5,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"averageUtilization":80}}},{"type":"Pods","pods":{"target":{"averageValue":"10"}}},{"type":"Pods","pods":{"target":{"averageValue":"1"}}}]},"status":{"currentReplicas":2,"currentMetrics":[{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":12}}}]}})",
     R"(["a","Deployment/d","cpu: 12%/80%, <unknown>/10 + 1 more...","<unset>",5,2,"60s"])"},
    {"budget", "policy", "v1", "poddisruptionbudgets", R"({"spec":{"minAvailable":"50%"},"status":{"disruptionsAllowed":2}})", R"(["a","50%","N/A",2,"60s"])"},
};
INSTANTIATE_TEST_SUITE_P(Workloads, CellsOf, testing::ValuesIn(workloads));

constexpr Case network[] = {
    {"cluster address", "", "v1", "services", R"({"spec":{"type":"ClusterIP","clusterIP":"None","clusterIPs":["None"],"ports":[{"port":80,"protocol":"TCP"},{"port":53,"protocol":"UDP"}],"selector":{"app":"a"}}})",
     R"(["a","ClusterIP","None","<none>","80/TCP,53/UDP","60s","app=a"])"},
    {"node port", "", "v1", "services", R"({"spec":{"type":"NodePort","clusterIPs":["10.0.0.1"],"ports":[{"port":80,"nodePort":30080,"protocol":"TCP"}]}})", R"(["a","NodePort","10.0.0.1","<none>","80:30080/TCP","60s","<none>"])"},
    {"balancer", "", "v1", "services", R"({"spec":{"type":"LoadBalancer","clusterIPs":["10.0.0.1"],"ports":[{"port":80,"protocol":"TCP"}]}})", R"(["a","LoadBalancer","10.0.0.1","<pending>","80/TCP","60s","<none>"])"},
    {"balancer with addresses", "", "v1", "services", R"({"spec":{"type":"LoadBalancer","clusterIPs":["10.0.0.1"],"externalIPs":["9.9.9.9"]},"status":{"loadBalancer":{"ingress":[{"ip":"2.2.2.2"},{"hostname":"1.example.com"}]}}})",
     R"(["a","LoadBalancer","10.0.0.1","1.example.com,2.2.2.2,9.9.9.9","<none>","60s","<none>"])"},
    {"external name", "", "v1", "services", R"({"spec":{"type":"ExternalName","externalName":"e.example.com"}})", R"(["a","ExternalName","<none>","e.example.com","<none>","60s","<none>"])"},
    {"endpoints", "", "v1", "endpoints", R"({"subsets":[{"addresses":[{"ip":"1.1.1.1"},{"ip":"1.1.1.2"},{"ip":"1.1.1.3"},{"ip":"fd00::1"}],"ports":[{"port":80}]}]})", R"(["a","1.1.1.1:80,1.1.1.2:80,1.1.1.3:80 + 1 more...","60s"])"},
    {"no endpoints", "", "v1", "endpoints", R"({})", R"(["a","<none>","60s"])"},
    {"slice", "discovery.k8s.io", "v1", "endpointslices", R"({"addressType":"IPv4","ports":[{"port":80}],"endpoints":[{"addresses":["1.1.1.1"]}]})", R"(["a","IPv4","80","1.1.1.1","60s"])"},
    {"empty slice", "discovery.k8s.io", "v1", "endpointslices", R"({"addressType":"IPv4","ports":null,"endpoints":null})", R"(["a","IPv4","<unset>","<unset>","60s"])"},
    {"ingress", "networking.k8s.io", "v1", "ingresses", R"({"spec":{"ingressClassName":"cl","tls":[{}],"rules":[{"host":"w"},{"host":"x"},{"host":"y"},{"host":"z"}]}})", R"(["a","cl","w,x,y + 1 more...","","80, 443","60s"])"},
    {"ingress class", "networking.k8s.io", "v1", "ingressclasses", R"({"spec":{"controller":"c","parameters":{"apiGroup":"x.example.com","kind":"Par","name":"n"}}})", R"(["a","c","Par.x.example.com/n","60s"])"},
    {"policy", "networking.k8s.io", "v1", "networkpolicies", R"({"spec":{"podSelector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"k","operator":"In","values":["x","y"]}]}}})", R"(["a","a=b,k in (x,y)","60s"])"},
};
INSTANTIATE_TEST_SUITE_P(Network, CellsOf, testing::ValuesIn(network));

constexpr Case others[] = {
    {"node", "", "v1", "nodes",
     R"({"metadata":{"labels":{"node-role.kubernetes.io/worker":"","node-role.kubernetes.io/big":""}},"spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"InternalIP","address":"10.0.0.5"}],"nodeInfo":{"kubeletVersion":"v1","osImage":"os"}}})",
     R"(["a","Ready,SchedulingDisabled","big,worker","60s","v1","10.0.0.5","<none>","os","<unknown>","<unknown>"])"},
    {"unknown node", "", "v1", "nodes", R"({})", R"(["a","Unknown","<none>","60s","","<none>","<none>","<unknown>","<unknown>","<unknown>"])"},
    {"namespace", "", "v1", "namespaces", R"({"status":{"phase":"Active"}})", R"(["a","Active","60s"])"},
    {"config map", "", "v1", "configmaps", R"({"data":{"a":"1"},"binaryData":{"b":"MQ=="}})", R"(["a",2,"60s"])"},
    {"secret", "", "v1", "secrets", R"({"type":"Opaque","data":{"a":"MQ=="}})", R"(["a","Opaque",1,"60s"])"},
    {"account", "", "v1", "serviceaccounts", R"({})", R"(["a",0,"60s"])"},
    {"event", "", "v1", "events",
     R"({"type":"Warning","reason":"Killing","message":"m\n","involvedObject":{"kind":"Pod","name":"p"},"source":{"component":"kubelet","host":"n"},"firstTimestamp":"2026-01-02T03:02:05Z","lastTimestamp":"2026-01-02T03:04:00Z","count":4})",
     R"(["5s","Warning","Killing","pod/p","","kubelet, n","m","2m",4,"a"])"},
    {"event with a series", "events.k8s.io", "v1", "events",
     R"({"type":"Normal","reason":"R","note":"m","regarding":{"kind":"Node"},"reportingController":"c","eventTime":"2026-01-02T03:02:05.000001Z","series":{"count":7,"lastObservedTime":"2026-01-02T03:04:04.000000Z"}})",
     R"(["1s","Normal","R","node","","c","m","119s",7,"a"])"},
    {"quota", "", "v1", "resourcequotas", R"({"status":{"hard":{"pods":"4","limits.cpu":"2","cpu":"1"},"used":{"pods":"1"}}})", R"(["a","cpu: 0/1, pods: 1/4","limits.cpu: 0/2","60s"])"},
    {"limit range", "", "v1", "limitranges", R"({})", R"(["a","2026-01-02T03:03:05Z"])"},
    {"volume", "", "v1", "persistentvolumes", R"({"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce","ReadWriteMany"],"persistentVolumeReclaimPolicy":"Retain","claimRef":{"namespace":"n","name":"c"},"storageClassName":"s"},"status":{"phase":"Bound"}})",
     R"(["a","1Gi","RWO,RWX","Retain","Bound","n/c","s","<unset>","","60s","<unset>"])"},
    {"claim", "", "v1", "persistentvolumeclaims", R"({"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"s","volumeMode":"Filesystem"},"status":{"phase":"Pending"}})", R"(["a","Pending","","","","s","<unset>","60s","Filesystem"])"},
    {"default class", "storage.k8s.io", "v1", "storageclasses", R"({"metadata":{"annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},"provisioner":"p"})", R"(["a (default)","p","Delete","Immediate",false,"60s"])"},
    {"binding", "rbac.authorization.k8s.io", "v1", "rolebindings", R"({"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"u"},{"kind":"Group","name":"g"},{"kind":"ServiceAccount","namespace":"n","name":"s"}]})",
     R"(["a","Role/r","60s","u","g","n/s"])"},
    {"role", "rbac.authorization.k8s.io", "v1", "roles", R"({})", R"(["a","2026-01-02T03:03:05Z"])"},
    {"request", "certificates.k8s.io", "v1", "certificatesigningrequests", R"({"spec":{"signerName":"s","username":"u","expirationSeconds":3600},"status":{"conditions":[{"type":"Approved"}],"certificate":"eA=="}})",
     R"(["a","60s","s","u","60m","Approved,Issued"])"},
    {"priority class", "scheduling.k8s.io", "v1", "priorityclasses", R"({"value":7,"preemptionPolicy":"Never"})", R"(["a",7,false,"60s","Never"])"},
    {"level", "flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", R"({"spec":{"type":"Exempt"}})", R"(["a","Exempt","<none>","<none>","<none>","<none>","60s"])"},
    {"webhooks", "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", R"({"webhooks":[{},{}]})", R"(["a",2,"60s"])"},
    {"lease", "coordination.k8s.io", "v1", "leases", R"({"spec":{"holderIdentity":"h"}})", R"(["a","h","60s"])"},
};
INSTANTIATE_TEST_SUITE_P(Others, CellsOf, testing::ValuesIn(others));

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
