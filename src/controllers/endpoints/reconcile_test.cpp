#include "controllers/endpoints/reconcile.h"

#include <gtest/gtest.h>

#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::endpoints {
namespace {

using namespace testing_objects;

Document service(std::string_view spec) {
  Draft out = object("v1", "Service", "d", "web");
  out["metadata"]["labels"] = Draft::object({{"team", "a"}});
  out["spec"] = Draft(json(spec));
  return out.freeze();
}
constexpr const char* plain =
    R"({"clusterIP":"10.0.0.1","selector":{"app":"web"},"ports":[{"name":"http","port":80,"targetPort":8080},{"name":"alt","port":81}]})";

Document with_ip(Document pod, std::string_view ip) {
  Draft out(pod);
  out["status"]["podIP"] = ip;
  return out.freeze();
}

TEST(Endpoints, ReadyAndNotReady) {
  const std::vector<Document> pods = {with_ip(pod("a", {.ready_for = 1}), "10.1.0.1"), with_ip(pod("b"), "10.1.0.2"),
                                      with_ip(pod("c", {.ready_for = 1, .deleting = true}), "10.1.0.3"), pod("e")};
  const Plan plan = reconcile(service(plain), {.pods = pods, .endpoints = {}});
  ASSERT_EQ(describe(plan), "create endpoints d/web");
  EXPECT_EQ(
      to_json(plan.actions[0].body.root()),
      R"({"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"web","namespace":"d","labels":{"team":"a","endpoints.kubernetes.io/managed-by":"endpoint-controller"}},)"
      R"("subsets":[{"addresses":[{"ip":"10.1.0.1","nodeName":"n1","targetRef":{"kind":"Pod","namespace":"d","name":"a","uid":"uid-a"}}],)"
      R"("notReadyAddresses":[{"ip":"10.1.0.2","nodeName":"n1","targetRef":{"kind":"Pod","namespace":"d","name":"b","uid":"uid-b"}}],)"
      R"("ports":[{"name":"alt","protocol":"TCP","port":81},{"name":"http","protocol":"TCP","port":8080}]}]})");
  EXPECT_EQ(describe(reconcile(service(plain), {.pods = pods, .endpoints = plan.actions[0].body})), "");
  EXPECT_EQ(describe(reconcile(service(plain), {.pods = {}, .endpoints = plan.actions[0].body})), "replace endpoints d/web");
}

TEST(Endpoints, ServicesOfOtherKinds) {
  const std::vector<Document> pods = {with_ip(pod("a"), "10.1.0.1")};
  const auto plan = [&](const char* spec) { return reconcile(service(spec), {.pods = pods, .endpoints = {}}); };
  EXPECT_EQ(describe(plan(R"({"clusterIP":"10.0.0.1","ports":[{"port":80}]})")), "") << "no selector";
  EXPECT_EQ(describe(plan(R"({"type":"ExternalName","selector":{"app":"web"}})")), "");
  const Plan headless = plan(R"({"clusterIP":"None","selector":{"app":"web"},"publishNotReadyAddresses":true})");
  ASSERT_EQ(headless.actions.size(), 1u);
  EXPECT_EQ(headless.actions[0].body["subsets"][0]["addresses"].size(), 1u);
  EXPECT_FALSE(headless.actions[0].body["subsets"][0]["ports"].exists());
  EXPECT_TRUE(headless.actions[0].body["metadata"]["labels"]["service.kubernetes.io/headless"].exists());
}

TEST(Endpoints, TooManyAreCutOff) {
  std::vector<Document> pods;
  for (int i = 0; i < 1200; ++i)
    pods.push_back(with_ip(pod("p" + std::to_string(i), {.ready_for = i < 400 ? -1 : 1}),
                           "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
  const Plan plan = reconcile(service(plain), {.pods = pods, .endpoints = {}});
  ASSERT_EQ(plan.actions.size(), 1u);
  const Value body = plan.actions[0].body;
  EXPECT_EQ(body["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"].as_string(), "truncated");
  EXPECT_EQ(body["subsets"][0]["addresses"].size(), 800u);
  EXPECT_EQ(body["subsets"][0]["notReadyAddresses"].size(), 200u);
}

TEST(Endpoints, GoWithTheirService) {
  EXPECT_EQ(describe(reconcile_gone(object("v1", "Endpoints", "d", "web").freeze())), "delete endpoints d/web");
  EXPECT_EQ(describe(reconcile_gone({})), "");
}

}  // namespace
}  // namespace kybern::controllers::endpoints
