#include "bench/objects.h"

#include <fmt/format.h>

namespace kybern::bench {

std::string object_name(std::string_view prefix, std::size_t number) { return fmt::format("{}-{:06}", prefix, number); }

std::string pod_text(std::string_view ns, std::size_t number, std::size_t bytes) {
  std::string out = fmt::format(
      R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{}","namespace":"{}","labels":{{"app":"load","part":"{}"}}}},)"
      R"("spec":{{"schedulerName":"nobody","terminationGracePeriodSeconds":0,"containers":[{{"name":"main","image":"example.com/team/service:1.2.3","imagePullPolicy":"IfNotPresent",)"
      R"("ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}}}},"env":[{{"name":"FIRST","value":"1"}})",
      object_name("load", number), ns, number % 100);
  for (int i = 0; out.size() + 90 < bytes; ++i)
    out += fmt::format(R"(,{{"name":"SETTING_{}","value":"a value of some length for a setting"}})", i);
  return out + "]}]}}";
}

std::string node_text(std::string_view run, std::size_t number) {
  return fmt::format(
      R"({{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{0}-{1:05}","labels":{{"kybern.dev/bench":"{0}","kubernetes.io/hostname":"{0}-{1:05}","kubernetes.io/os":"linux",)"
      R"("topology.kubernetes.io/zone":"zone-{2}"}}}},"status":{{"capacity":{{"cpu":"64","memory":"256Gi","pods":"500"}},"allocatable":{{"cpu":"64","memory":"256Gi","pods":"500"}},)"
      R"("conditions":[{{"type":"Ready","status":"True","reason":"KubeletReady"}}]}}}})",
      run, number, number % 3);
}

// The nodes may be taken for dead after a while: it bears that.
std::string waiting_pod_text(std::string_view run, std::size_t number) {
  return fmt::format(
      R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{}","namespace":"{}","labels":{{"app":"fit"}}}},"spec":{{"terminationGracePeriodSeconds":0,"nodeSelector":{{"kybern.dev/bench":"{}"}},)"
      R"("tolerations":[{{"operator":"Exists"}}],"containers":[{{"name":"main","image":"example.com/team/service:1.2.3","resources":{{"requests":{{"cpu":"50m","memory":"64Mi"}}}}}}]}}}})",
      object_name("fit", number), run, run);
}

std::string config_map_text(std::string_view ns, std::string_view name, std::size_t version) {
  return fmt::format(
      R"({{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{}","namespace":"{}","labels":{{"app":"load"}}}},"data":{{"version":"{}","text":"{:x>400}"}}}})",
      name, ns, version, "");
}

std::string lease_text(std::string_view ns, std::size_t number, std::string_view resource_version, std::string_view renew_time) {
  std::string name = object_name("load", number), version;
  if (!resource_version.empty()) version = fmt::format(R"(,"resourceVersion":"{}")", resource_version);
  return fmt::format(R"({{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"name":"{0}","namespace":"{1}"{2}}},)"
                     R"("spec":{{"holderIdentity":"{0}","leaseDurationSeconds":40,"renewTime":"{3}"}}}})",
                     name, ns, version, renew_time);
}

std::string definition_text(std::string_view plural, std::string_view group) {
  return fmt::format(
      R"({{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"{0}.{1}"}},"spec":{{"group":"{1}","scope":"Namespaced",)"
      R"("names":{{"plural":"{0}","singular":"load","kind":"Load"}},"versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object",)"
      R"("properties":{{"spec":{{"type":"object","properties":{{"size":{{"type":"integer","minimum":0}},"words":{{"type":"array","items":{{"type":"string"}}}}}}}}}}}}}}}}]}}}})",
      plural, group);
}

std::string custom_text(std::string_view group, std::string_view ns, std::size_t number) {
  return fmt::format(
      R"({{"apiVersion":"{}/v1","kind":"Load","metadata":{{"name":"{}","namespace":"{}"}},"spec":{{"size":{},"words":["one","two","three","four"]}}}})",
      group, object_name("load", number), ns, number);
}

std::string role_text(std::string_view ns) {
  return fmt::format(R"({{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{{"name":"load","namespace":"{}"}},)"
                     R"("rules":[{{"apiGroups":[""],"resources":["pods","configmaps"],"verbs":["*"]}}]}})",
                     ns);
}

std::string role_binding_text(std::string_view ns) {
  return fmt::format(R"({{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{{"name":"load","namespace":"{0}"}},)"
                     R"("roleRef":{{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"load"}},)"
                     R"("subjects":[{{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"{0}"}}]}})",
                     ns);
}

}  // namespace kybern::bench
