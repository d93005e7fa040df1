#include "machinery/defaults/defaults.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "document/json.h"
#include "machinery/testing/recorded.h"
#include "schema/convert.h"

namespace kybern {
namespace {

struct DefaultsRow {
  const char *name, *object, *filled;
};

std::string filled(const char* text) {
  Document parsed = *parse_json(text);
  Draft object(parsed);
  std::string version(object.find("apiVersion")->as_string());
  std::size_t slash = version.find('/');
  std::string group = slash == std::string::npos ? "" : version.substr(0, slash);
  if (slash != std::string::npos) version = version.substr(slash + 1);
  apply_defaults(group, version, object.find("kind")->str(), object);
  std::string once = to_json(object);
  apply_defaults(group, version, object.find("kind")->str(), object);
  EXPECT_EQ(to_json(object), once) << "filling in twice changes nothing";
  return once;
}

TEST(Defaults, Table) {
  const DefaultsRow rows[] = {
      {"container", R"({"apiVersion":"v1","kind":"PodTemplate","template":{"spec":{"containers":[{"name":"c","image":"a"}]}}})",
       R"({"apiVersion":"v1","kind":"PodTemplate","template":{"spec":{"containers":[{"name":"c","image":"a","imagePullPolicy":"Always","terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}}})"},
      {"service", R"({"apiVersion":"v1","kind":"Service","spec":{"ports":[{"port":80}]}})",
       R"({"apiVersion":"v1","kind":"Service","spec":{"ports":[{"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None","type":"ClusterIP","internalTrafficPolicy":"Cluster"}})"},
      {"string data", R"({"apiVersion":"v1","kind":"Secret","data":{"a":"eA=="},"stringData":{"a":"y","b":"z"}})",
       R"({"apiVersion":"v1","kind":"Secret","data":{"a":"eQ==","b":"eg=="},"type":"Opaque"})"},
      {"job",
       R"({"apiVersion":"batch/v1","kind":"Job","spec":{"parallelism":2,"template":{"spec":{"restartPolicy":"Never","schedulerName":"x","dnsPolicy":"Default","terminationGracePeriodSeconds":0,"securityContext":{}}}}})",
       R"({"apiVersion":"batch/v1","kind":"Job","spec":{"parallelism":2,"template":{"spec":{"restartPolicy":"Never","schedulerName":"x","dnsPolicy":"Default","terminationGracePeriodSeconds":0,"securityContext":{}}},"backoffLimit":6,"completionMode":"NonIndexed","suspend":false,"manualSelector":false,"podReplacementPolicy":"TerminatingOrFailed"}})"},
      {"autoscaler behavior",
       R"({"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","spec":{"minReplicas":2,"metrics":[{}],"behavior":{"scaleDown":{"selectPolicy":"Min"}}}})",
       R"({"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","spec":{"minReplicas":2,"metrics":[{}],"behavior":{"scaleDown":{"selectPolicy":"Min","policies":[{"type":"Percent","value":100,"periodSeconds":15}]},"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":100,"periodSeconds":15}]}}}})"},
      {"node", R"({"apiVersion":"v1","kind":"Node","spec":{"podCIDR":"10.0.0.0/24"},"status":{"capacity":{"cpu":"1500u"}}})",
       R"({"apiVersion":"v1","kind":"Node","spec":{"podCIDR":"10.0.0.0/24","podCIDRs":["10.0.0.0/24"]},"status":{"capacity":{"cpu":"2m"},"allocatable":{"cpu":"2m"}}})"},
      {"limit range",
       R"({"apiVersion":"v1","kind":"LimitRange","spec":{"limits":[{"type":"Container","max":{"cpu":"2"},"min":{"memory":"1Mi"}},{"type":"Pod","max":{"cpu":"2"}}]}})",
       R"({"apiVersion":"v1","kind":"LimitRange","spec":{"limits":[{"type":"Container","max":{"cpu":"2"},"min":{"memory":"1Mi"},"default":{"cpu":"2"},"defaultRequest":{"cpu":"2","memory":"1Mi"}},{"type":"Pod","max":{"cpu":"2"}}]}})"},
  };
  for (const DefaultsRow& row : rows) EXPECT_EQ(filled(row.object), row.filled) << row.name;
}

TEST(Defaults, ImageTagsDecideThePullPolicy) {
  const std::pair<const char*, const char*> rows[] = {
      {"nginx", "Always"},
      {"nginx:1", "IfNotPresent"},
      {"nginx:latest", "Always"},
      {"r.io:5000/a/b", "Always"},
      {"r.io:5000/a/b:2", "IfNotPresent"},
      {"NGINX", "IfNotPresent"},
      {"a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "IfNotPresent"},
      {"a:latest@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "Always"},
      {"", "IfNotPresent"},
      {"a//b", "IfNotPresent"},
      {"a__b-.c", "IfNotPresent"},
      {"a__b--c.d", "Always"},
  };
  for (auto [image, policy] : rows) {
    Draft spec = Draft::object();
    spec["containers"] = Draft::array({Draft::object({{"image", image}})});
    default_pod_spec(spec);
    EXPECT_EQ(spec.find("containers")->items()[0].find("imagePullPolicy")->as_string(), policy) << image;
  }
}

TEST(Defaults, PodLevelRequests) {
  std::string pod = filled(
      R"({"apiVersion":"v1","kind":"Pod","spec":{"resources":{"limits":{"cpu":"4","memory":"1Gi"}},"initContainers":[{"resources":{"requests":{"cpu":"1"}},"restartPolicy":"Always"},{"resources":{"requests":{"cpu":"3"}}}],"containers":[{"resources":{"requests":{"cpu":"500m"}}},{}]}})");
  EXPECT_NE(pod.find(R"("requests":{"cpu":"4","memory":"1Gi"})"), std::string::npos) << pod;
}

// What admission, the address allocator and the like add comes from elsewhere.
std::set<std::string> from_elsewhere(std::string_view kind) {
  std::set<std::string> keys = testing::chance();
  if (kind == "Pod") keys.insert({"tolerations", "priority", "preemptionPolicy"});
  if (kind == "Namespace") keys.insert("spec");
  if (kind == "ServiceAccount") keys.insert("secrets");
  if (kind == "CertificateSigningRequest") keys.insert({"username", "groups", "extra"});
  if (kind == "CSINode" || kind == "Job" || kind == "PersistentVolumeClaim" || kind == "PriorityClass")
    keys.insert({"annotations", "selector", "labels", "storageClassName"});
  return keys;
}

TEST(Defaults, RecordedObjectsComeOutAsTheyDidUpstream) {
  int objects = 0, good = 0;
  for (const char* file : {"20_core_defaults.json", "30_groups_defaults.json"}) {
    auto cases = testing::recorded(KYBERN_SOURCE_DIR, file);
    if (!cases) GTEST_SKIP() << "no recorded conversations beside the source tree";
    for (Value one : cases->root().items()) {
      for (Value step : one["steps"].items()) {
        testing::Target target = testing::target(step["path"].as_string());
        Value body = step["body"], answer = step["answer"]["body"];
        if (step["method"].as_string() != "POST" || target.resource == nullptr || !target.subresource.empty() || !answer.exists()) continue;
        if (answer["kind"].as_string() != target.resource->kind || target.resource->verbs == schema::verb_create) continue;
        ++objects;
        auto typed = schema::to_typed(*target.resource->type, body);
        if (!typed) {
          ADD_FAILURE() << one["name"].as_string() << ": " << typed.error().message;
          continue;
        }
        Draft object(*typed);
        apply_defaults(*target.resource, object);
        Document ours = object.freeze();
        std::vector<std::string> wrong;
        std::set<std::string> ignore = from_elsewhere(target.resource->kind);
        for (Member member : answer.members()) {
          if (member.key != "metadata" && !ignore.contains(std::string(member.key)))
            testing::differ(member.value, ours[member.key], std::string(member.key), ignore, wrong);
        }
        for (const char* key : {"labels", "annotations"}) {
          if (!ignore.contains(key)) testing::differ(answer["metadata"][key], ours["metadata"][key], key, ignore, wrong);
        }
        if (wrong.empty()) ++good;
        else std::printf("%s: %s\n", one["name"].str().c_str(), join(wrong, "; ").c_str());
      }
    }
  }
  std::printf("recorded creations with defaults: %d of %d\n", good, objects);
  EXPECT_GE(good, objects * 95 / 100);
}

}  // namespace
}  // namespace kybern
