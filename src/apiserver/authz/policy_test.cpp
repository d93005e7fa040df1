// The default roles and bindings, what a start makes of them, and who may grant what.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/testing/live_server.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

const std::string rbac = "/apis/rbac.authorization.k8s.io/v1/";

class DefaultPolicy : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(live_.start()); }
  void TearDown() override { live_.stop(); }
  Document role(const std::string& name) { return live_.must("GET", rbac + "clusterroles/" + name); }
  Document binding(const std::string& name) { return live_.must("GET", rbac + "clusterrolebindings/" + name); }

  testing::LiveServer live_;
};

TEST_F(DefaultPolicy, RolesOfPeopleArePartsOfOneAnother) {
  const std::pair<const char*, const char*> parts[] = {{"view", "edit"}, {"edit", "admin"}};
  for (const auto& [part, whole] : parts)
    EXPECT_EQ(role(part)["metadata"]["labels"][fmt::format("rbac.authorization.k8s.io/aggregate-to-{}", whole)].as_string(), "true")
        << part;
  for (const char* name : {"view", "edit", "admin"}) {
    EXPECT_EQ(
        to_json(role(name)["aggregationRule"]),
        fmt::format(R"({{"clusterRoleSelectors":[{{"matchLabels":{{"rbac.authorization.k8s.io/aggregate-to-{}":"true"}}}}]}})", name));
    EXPECT_TRUE(role(std::string("system:aggregate-to-") + name)["rules"].size() > 0);
  }
  EXPECT_EQ(role("admin")["rules"].size(), role("edit")["rules"].size() + role("system:aggregate-to-admin")["rules"].size())
      << "as the controller will make it";
}

TEST_F(DefaultPolicy, RulesAreUpstreams) {
  const std::pair<const char*, const char*> cases[] = {
      {"system:kube-dns", R"([{"verbs":["list","watch"],"apiGroups":[""],"resources":["endpoints","services"]}])"},
      {"system:monitoring",
       R"([{"verbs":["get"],"nonResourceURLs":["/healthz","/healthz/*","/livez","/livez/*","/metrics","/metrics/slis","/readyz","/readyz/*"]},)"
       R"({"verbs":["get"],"nonResourceURLs":["/flagz"]},{"verbs":["get"],"nonResourceURLs":["/statusz"]}])"},
      {"system:node-proxier", R"([{"verbs":["list","watch"],"apiGroups":[""],"resources":["endpoints","services"]},)"
                              R"({"verbs":["get","list","watch"],"apiGroups":[""],"resources":["nodes"]},)"
                              R"({"verbs":["create","patch","update"],"apiGroups":["","events.k8s.io"],"resources":["events"]},)"
                              R"({"verbs":["list","watch"],"apiGroups":["networking.k8s.io"],"resources":["servicecidrs"]},)"
                              R"({"verbs":["list","watch"],"apiGroups":["discovery.k8s.io"],"resources":["endpointslices"]}])"},
      {"system:controller:replicaset-controller",
       R"([{"verbs":["get","list","update","watch"],"apiGroups":["apps","extensions"],"resources":["replicasets"]},)"
       R"({"verbs":["update"],"apiGroups":["apps","extensions"],"resources":["replicasets/status"]},)"
       R"({"verbs":["update"],"apiGroups":["apps","extensions"],"resources":["replicasets/finalizers"]},)"
       R"({"verbs":["create","delete","list","patch","watch"],"apiGroups":[""],"resources":["pods"]},)"
       R"({"verbs":["create","patch","update"],"apiGroups":["","events.k8s.io"],"resources":["events"]}])"},
      {"system:controller:legacy-service-account-token-cleaner",
       R"([{"verbs":["get"],"apiGroups":[""],"resources":["configmaps"],"resourceNames":["kube-apiserver-legacy-service-account-token-tracking"]},)"
       R"({"verbs":["delete","patch"],"apiGroups":[""],"resources":["secrets"]}])"},
  };
  for (const auto& [name, rules] : cases) EXPECT_EQ(to_json(role(name)["rules"]), rules) << name;
  EXPECT_EQ(to_json(binding("system:controller:replicaset-controller")["subjects"]),
            R"([{"kind":"ServiceAccount","namespace":"kube-system","name":"replicaset-controller"}])");
  EXPECT_EQ(to_json(binding("system:public-info-viewer")["subjects"]),
            R"([{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"system:authenticated"},)"
            R"({"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"system:unauthenticated"}])");
  EXPECT_FALSE(binding("system:node")["subjects"].exists()) << "nodes have their rights by the Node authorizer";
}

// What was taken away comes back, what was added stays, and what somebody keeps for himself is not touched.
TEST_F(DefaultPolicy, AStartBringsBackWhatIsMissing) {
  const std::string head = R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":")";
  live_.must(
      "PUT", rbac + "clusterroles/system:kube-dns",
      head +
          R"(system:kube-dns","labels":{"kubernetes.io/bootstrapping":"mine"}},"rules":[)"
          R"({"verbs":["list"],"apiGroups":[""],"resources":["endpoints","services"]},{"verbs":["get"],"apiGroups":["acme.io"],"resources":["x"]}]})");
  live_.must("PUT", rbac + "clusterroles/system:heapster",
             head + R"(system:heapster","annotations":{"rbac.authorization.kubernetes.io/autoupdate":"false"}},"rules":[]})");
  live_.must("PUT", rbac + "clusterroles/view",
             head + R"(view"},"rules":[],"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"a":"b"}}]}})");
  live_.must("PATCH", rbac + "clusterrolebindings/system:discovery",
             R"({"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"bob"}]})");
  live_.must("DELETE", rbac + "clusterroles/system:node-proxier");
  live_.must("DELETE", rbac + "clusterrolebindings/system:basic-user");
  live_.must("POST", rbac + "clusterrolebindings",
             R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"system:basic-user"},)"
             R"("roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}})");
  live_.stop();
  ASSERT_TRUE(live_.start());
  const Document dns = role("system:kube-dns");
  EXPECT_EQ(
      to_json(dns["rules"]),
      R"([{"verbs":["list"],"apiGroups":[""],"resources":["endpoints","services"]},{"verbs":["get"],"apiGroups":["acme.io"],"resources":["x"]},)"
      R"({"apiGroups":[""],"resources":["endpoints"],"verbs":["watch"]},{"apiGroups":[""],"resources":["services"],"verbs":["watch"]}])");
  EXPECT_EQ(dns["metadata"]["labels"]["kubernetes.io/bootstrapping"].as_string(), "mine");
  EXPECT_EQ(dns["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"].as_string(), "true");
  EXPECT_TRUE(role("system:heapster")["rules"].empty());
  EXPECT_EQ(role("view")["aggregationRule"]["clusterRoleSelectors"].size(), 2u);
  EXPECT_EQ(binding("system:discovery")["subjects"].size(), 2u);
  EXPECT_TRUE(role("system:node-proxier")["rules"].size() > 0);
  EXPECT_EQ(binding("system:basic-user")["roleRef"]["name"].as_string(), "system:basic-user");
  EXPECT_EQ(binding("system:basic-user")["subjects"].size(), 1u);
}

TEST_F(DefaultPolicy, NobodyGrantsWhatHeDoesNotHold) {
  auto bind = [&](const std::string& name, const std::string& to) {
    live_.must("POST", rbac + "clusterrolebindings",
               R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":")" + name +
                   R"("},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":")" + to +
                   R"("},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"jane"}]})");
  };
  bind("jane", "admin");
  const User jane{"jane", "", {"people"}, {}};
  auto grant = [&](const std::string& rules) {
    return live_.refused("POST", rbac + "namespaces/default/roles",
                         R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"r"},"rules":)" + rules + "}",
                         jane);
  };
  const std::string nodes = R"([{"verbs":["get","list"],"apiGroups":[""],"resources":["nodes","pods"]}])";
  const std::string told =
      "403 roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"jane\" (groups=[\"people\"]) is attempting to grant RBAC permissions "
      "not "
      "currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"list\"]}";
  EXPECT_EQ(grant(nodes), told);
  bind("lost", "gone");
  EXPECT_EQ(grant(nodes), told + "; resolution errors: [clusterroles.rbac.authorization.k8s.io \"gone\" not found]");
  EXPECT_EQ(grant(R"([{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}])"), "done");
}

}  // namespace
}  // namespace kybern::apiserver
