// Field managers through the whole registry: requests as they come in, and what is stored.
#include "apiserver/registry/managers.h"

#include <gtest/gtest.h>

#include "apiserver/http/requests.h"
#include "document/json.h"
#include "document/yaml.h"

namespace kybern::apiserver {
namespace {

class Managers : public ::testing::Test {
 protected:
  Managers() : store_(std::move(*store::Store::open({}))), registry_(*store_, real_world(), {}) {
    ask("system:apiserver", "create", "", "namespaces", "", "", "{apiVersion: v1, kind: Namespace, metadata: {name: ns1}}", "", false);
    ask("controllers", "create", "", "serviceaccounts", "", "", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default}}");
  }

  ApiResult<Answer> ask(std::string_view agent, std::string_view verb, std::string group, std::string plural, std::string name,
                        std::string subresource, std::string_view body, std::string_view query = "", bool namespaced = true,
                        PatchKind patch = PatchKind::apply, std::string version = "v1") {
    RequestInfo info;
    info.is_resource = true;
    info.verb = verb;
    info.group = group;
    info.version = version;
    info.resource = plural;
    info.ns = namespaced ? "ns1" : "";
    info.name = name;
    info.subresource = subresource;
    auto work = begin_work(registry_, User{"admin", "", {}, {}}, info, Query(query));
    if (!work) return fail(std::move(work.error()));
    work->user_agent = std::string(agent);
    auto parsed = parse_yaml(body);
    EXPECT_TRUE(parsed) << body;
    auto answer = run_object_request(*work, verb, parsed && !parsed->empty() ? parsed->front() : Document(), patch);
    warnings_ = work->warnings;
    return answer;
  }

  ApiResult<Answer> map(std::string_view manager, std::string_view rest, std::string_view query = "") {
    return ask("agent", "patch", "", "configmaps", "a", "",
               "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, " + std::string(rest) + "}",
               "fieldManager=" + std::string(manager) + std::string(query));
  }

  static std::string managers(Value object) {
    std::string out;
    for (Value entry : object["metadata"]["managedFields"].items()) {
      if (!out.empty()) out += "; ";
      out += entry["manager"].str() + " " + entry["operation"].str() + " " + entry["apiVersion"].str();
      if (entry["subresource"].exists()) out += " " + entry["subresource"].str();
      out += " " + to_json(entry["fieldsV1"]);
    }
    return out;
  }
  static std::string managers(const ApiResult<Answer>& answer) {
    EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
    return answer ? managers(answer->object.root()) : "";
  }
  static std::string version(const ApiResult<Answer>& answer) {
    return answer ? answer->object["metadata"]["resourceVersion"].str() : answer.error().message;
  }

  std::unique_ptr<store::Store> store_;
  Registry registry_;
  std::vector<std::string> warnings_;
};

TEST_F(Managers, AppliesCreateAndThenChange) {
  auto created = map("alpha", "data: {k: v}");
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_EQ(created->code, 201);
  EXPECT_EQ(managers(created), R"(alpha Apply v1 {"f:data":{"f:k":{}}})");
  auto same = map("alpha", "data: {k: v}");
  EXPECT_EQ(same->code, 200);
  EXPECT_EQ(version(same), version(created)) << "an apply that changes nothing is not stored";
  auto changed = map("alpha", "data: {l: w}");
  EXPECT_EQ(to_json((*changed).object["data"]), R"({"l":"w"})");
  EXPECT_NE(version(changed), version(created));
  auto refused = map("beta", "data: {l: x}");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, 409);
  EXPECT_EQ(refused.error().message, "Apply failed with 1 conflict: conflict with \"alpha\": .data.l");
  EXPECT_EQ(managers(map("beta", "data: {l: x}", "&force=true")), R"(beta Apply v1 {"f:data":{"f:l":{}}})");
  EXPECT_TRUE(map("beta", "data: {l: z}", "&dryRun=All"));
  EXPECT_EQ(to_json(ask("", "get", "", "configmaps", "a", "", "")->object["data"]), R"({"l":"x"})");
}

TEST_F(Managers, EveryOtherWriteIsTracked) {
  EXPECT_EQ(managers(ask("my-tool/v1 (linux)", "create", "", "configmaps", "", "",
                         "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}")),
            R"(my-tool Update v1 {"f:data":{".":{},"f:k":{}}})");
  EXPECT_EQ(managers(ask("other/1", "patch", "", "configmaps", "a", "", "{data: {m: '1'}}", "fieldManager=bbb", true, PatchKind::merge)),
            R"(bbb Update v1 {"f:data":{"f:m":{}}}; my-tool Update v1 {"f:data":{".":{},"f:k":{}}})");
  EXPECT_EQ(managers(ask("other/1", "update", "", "configmaps", "a", "",
                         "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, managedFields: [{}]}, data: {k: v, m: '1'}}")),
            "");
}

TEST_F(Managers, WhatIsFilledInIsNobodys) {
  auto pod = ask("tool", "create", "", "pods", "", "",
                 "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}");
  std::string text = managers(pod);
  EXPECT_NE(text.find(R"("f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{})"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("f:status"), std::string::npos) << text;
  EXPECT_EQ(text.find("f:tolerations"), std::string::npos) << text;
  ASSERT_TRUE(ask("sched", "create", "", "pods", "p", "binding",
                  "{apiVersion: v1, kind: Binding, metadata: {name: p}, target: {kind: Node, name: x}}"));
  EXPECT_EQ(managers(ask("", "get", "", "pods", "p", "", "")), text) << "nobody owns what a binding sets";
}

TEST_F(Managers, StatusAndSpecHaveOwnersOfTheirOwn) {
  std::string_view deployment =
      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: "
      "{a: b}}, spec: {containers: [{name: c, image: i}]}}}}";
  ASSERT_TRUE(ask("agent", "patch", "apps", "deployments", "d", "", deployment, "fieldManager=alpha"));
  auto status =
      ask("agent", "patch", "apps", "deployments", "d", "status",
          "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {replicas: 7}, status: {replicas: 3}}", "fieldManager=alpha");
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->object["status"]["replicas"].as_int(), 3);
  EXPECT_EQ(status->object["spec"]["replicas"].as_int(), 1);
  EXPECT_NE(managers(status).find(R"(alpha Apply apps/v1 status {"f:status":{"f:replicas":{}}})"), std::string::npos) << managers(status);
  auto scaled =
      ask("agent", "patch", "apps", "deployments", "d", "scale",
          "{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: d}, spec: {replicas: 5}}", "fieldManager=scaler&force=true");
  ASSERT_TRUE(scaled) << scaled.error().message;
  auto now = ask("", "get", "apps", "deployments", "d", "", "");
  EXPECT_EQ(now->object["spec"]["replicas"].as_int(), 5);
  EXPECT_NE(managers(now).find(R"(scaler Apply apps/v1 scale {"f:spec":{"f:replicas":{}}})"), std::string::npos) << managers(now);
  auto conflict = ask("agent", "patch", "apps", "deployments", "d", "scale",
                      "{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: d}, spec: {replicas: 6}}", "fieldManager=other");
  ASSERT_FALSE(conflict);
  EXPECT_EQ(conflict.error().message, "Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\": .spec.replicas");
}

TEST_F(Managers, FieldsAreOwnedInTheVersionThatWroteThem) {
  std::string_view v1 =
      "{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: h}, spec: {maxReplicas: 3, scaleTargetRef: {kind: "
      "Deployment, name: d, apiVersion: apps/v1}, targetCPUUtilizationPercentage: 50}}";
  ASSERT_TRUE(ask("agent", "patch", "autoscaling", "horizontalpodautoscalers", "h", "", v1, "fieldManager=old"));
  std::string_view v2 = "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h}, spec: {maxReplicas: 4}}";
  auto refused =
      ask("agent", "patch", "autoscaling", "horizontalpodautoscalers", "h", "", v2, "fieldManager=new", true, PatchKind::apply, "v2");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "Apply failed with 1 conflict: conflict with \"old\": .spec.maxReplicas");
  auto taken = ask("agent", "patch", "autoscaling", "horizontalpodautoscalers", "h", "", v2, "fieldManager=new&force=true", true,
                   PatchKind::apply, "v2");
  EXPECT_EQ(
      managers(taken),
      R"(new Apply autoscaling/v2 {"f:spec":{"f:maxReplicas":{}}}; old Apply autoscaling/v1 {"f:spec":{"f:scaleTargetRef":{},"f:targetCPUUtilizationPercentage":{}}})");
}

TEST_F(Managers, WhatAnApplyMustSay) {
  struct Row {
    std::string_view body, query;
    int code;
    std::string_view message;
  };
  for (Row row : {
           Row{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", "", 422,
               "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"},
           Row{"{apiVersion: v1, kind: Secret, metadata: {name: a}}", "fieldManager=x", 400, "invalid object type: /v1, Kind=Secret"},
           Row{"{metadata: {name: a}}", "fieldManager=x", 400, "invalid object type: /, Kind="},
           Row{"{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}", "fieldManager=x", 400,
               "the name of the object (b) does not match the name on the URL (a)"},
           Row{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, managedFields: []}}", "fieldManager=x", 400,
               "metadata.managedFields must be nil"},
           Row{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, uid: u}}", "fieldManager=x", 409,
               "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid u, and no existing "
               "object was found"},
           Row{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, dada: {}}", "fieldManager=x", 500,
               "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .dada: field not declared in schema"},
       }) {
    auto answer = ask("agent", "patch", "", "configmaps", "a", "", row.body, row.query);
    ASSERT_FALSE(answer) << row.body;
    EXPECT_EQ(answer.error().code, row.code) << row.body;
    EXPECT_EQ(answer.error().message, row.message);
  }
}

}  // namespace
}  // namespace kybern::apiserver
