// Who may be made whom, and to do what: constrained impersonation, and the verb `impersonate`.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/testing/live_server.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

class Impersonated : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(live_.start()); }
  void TearDown() override { live_.stop(); }
  // Lets jane do something everywhere.
  void grant(const std::string& name, const std::string& rules) {
    const std::string base = "/apis/rbac.authorization.k8s.io/v1/", head = R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":")";
    live_.must("POST", base + "clusterroles", head + R"(ClusterRole","metadata":{"name":")" + name + R"("},"rules":)" + rules + "}");
    live_.must("POST", base + "clusterrolebindings",
               head + R"(ClusterRoleBinding","metadata":{"name":")" + name +
                   R"("},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":")" + name +
                   R"("},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"jane"}]})");
  }
  // "200", or "403 message".
  std::string as(net::Headers headers, const std::string& path, const char* token = "secret-user") {
    net::Response out = live_.http("GET", path, std::move(headers), "", token);
    if (out.status == 200) return "200";
    auto status = parse_json(out.body);
    return fmt::format("{} {}", out.status, status ? (*status)["message"].str() : out.body);
  }
  // Whom such headers make of an administrator.
  Document self(net::Headers headers) {
    headers.set("content-type", "application/json");
    auto out = live_.http("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", std::move(headers),
                          R"({"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"})");
    auto review = parse_json(out.body);
    return Draft((*review)["status"]["userInfo"]).freeze();
  }

  testing::LiveServer live_;
  static constexpr const char* maps = "/api/v1/namespaces/default/configmaps";
};

TEST_F(Impersonated, OnlyToDoWhatIsAllowedAsSuchAUser) {
  const net::Headers bob{{"impersonate-user", "bob"}};
  EXPECT_EQ(as(bob, maps),
            "403 configmaps is forbidden: User \"jane\" cannot impersonate-on:user-info:list resource \"configmaps\" in API group \"\" in "
            "the namespace \"default\"");
  EXPECT_EQ(as(bob, "/version"), "403 forbidden: User \"jane\" cannot impersonate-on:user-info:get path \"/version\"");
  grant("lists", R"([{"apiGroups":[""],"resources":["configmaps"],"verbs":["impersonate-on:user-info:list"]}])");
  EXPECT_EQ(
      as(bob, maps),
      "403 users.authentication.k8s.io \"bob\" is forbidden: User \"jane\" cannot impersonate:user-info resource \"users\" in API group "
      "\"authentication.k8s.io\" at the cluster scope");
  grant("bob",
        R"([{"apiGroups":["authentication.k8s.io"],"resources":["users"],"resourceNames":["bob"],"verbs":["impersonate:user-info"]}])");
  EXPECT_EQ(as(bob, maps),
            "403 configmaps is forbidden: User \"bob\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"")
      << "he is bob now";
  EXPECT_EQ(
      as(bob, std::string(maps) + "/x"),
      "403 configmaps \"x\" is forbidden: User \"jane\" cannot impersonate-on:user-info:get resource \"configmaps\" in API group \"\" in "
      "the namespace \"default\"");
  const net::Headers in_group{{"impersonate-user", "bob"}, {"impersonate-group", "system:masters"}};
  EXPECT_EQ(
      as(in_group, maps),
      "403 groups.authentication.k8s.io \"system:masters\" is forbidden: User \"jane\" cannot impersonate:user-info resource \"groups\" "
      "in API group \"authentication.k8s.io\" at the cluster scope: impersonating the system:masters group is not allowed");
  const net::Headers scoped{{"impersonate-user", "bob"}, {"impersonate-extra-acme.io%2fscopes", "a"}};
  EXPECT_EQ(as(scoped, maps),
            "403 userextras.authentication.k8s.io \"a\" is forbidden: User \"jane\" cannot impersonate:user-info resource "
            "\"userextras/acme.io/scopes\" in API group \"authentication.k8s.io\" at the cluster scope");
}

TEST_F(Impersonated, AccountsAndNodesAreKindsOfTheirOwn) {
  const net::Headers node{{"impersonate-user", "system:node:n1"}}, account{{"impersonate-user", "system:serviceaccount:default:app"}};
  EXPECT_EQ(
      as(node, maps),
      "403 configmaps is forbidden: User \"jane\" cannot impersonate-on:arbitrary-node:list resource \"configmaps\" in API group \"\" in "
      "the namespace \"default\"");
  grant("acts",
        R"([{"apiGroups":[""],"resources":["*"],"verbs":["impersonate-on:arbitrary-node:list","impersonate-on:serviceaccount:list"]}])");
  EXPECT_EQ(
      as(node, maps),
      "403 nodes.authentication.k8s.io \"n1\" is forbidden: User \"jane\" cannot impersonate:arbitrary-node resource \"nodes\" in API "
      "group \"authentication.k8s.io\" at the cluster scope");
  EXPECT_EQ(as(account, maps),
            "403 serviceaccounts.authentication.k8s.io \"app\" is forbidden: User \"jane\" cannot impersonate:serviceaccount resource "
            "\"serviceaccounts\" in API group \"authentication.k8s.io\" in the namespace \"default\"");
  grant("who", R"([{"apiGroups":["authentication.k8s.io"],"resources":["nodes"],"verbs":["impersonate:arbitrary-node"]}])");
  EXPECT_EQ(as(node, maps),
            "403 configmaps is forbidden: User \"system:node:n1\" cannot list resource \"configmaps\" in API group \"\" in the namespace "
            "\"default\": No Object name found");
  // With groups it is no longer a kind of its own: the old verb says.
  const net::Headers with_group{{"impersonate-user", "system:serviceaccount:default:app"}, {"impersonate-group", "g"}};
  EXPECT_EQ(
      as(with_group, maps),
      "403 serviceaccounts \"app\" is forbidden: User \"jane\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the "
      "namespace \"default\"");
}

TEST_F(Impersonated, AnAccountOnANodeMayBeThatNode) {
  live_.must("POST", "/api/v1/namespaces/default/serviceaccounts",
             R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}})");
  live_.must("POST", "/api/v1/namespaces/default/serviceaccounts",
             R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"agent"}})");
  live_.must("POST", "/api/v1/nodes", R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"}})");
  const Document pod = live_.must(
      "POST", "/api/v1/namespaces/default/pods",
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"serviceAccountName":"agent","nodeName":"n1","containers":[{"name":"c","image":"i"}]}})");
  const std::string token =
      live_
          .must(
              "POST", "/api/v1/namespaces/default/serviceaccounts/agent/token",
              R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"a","uid":")" +
                  pod["metadata"]["uid"].str() + "\"}}}")["status"]["token"]
          .str();
  const std::string base = "/apis/rbac.authorization.k8s.io/v1/";
  live_.must("POST", base + "clusterroles",
             R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"agent"},"rules":[)"
             R"({"apiGroups":["authentication.k8s.io"],"resources":["nodes"],"verbs":["impersonate:associated-node"]},)"
             R"({"apiGroups":[""],"resources":["pods"],"verbs":["impersonate-on:associated-node:list"]}]})");
  live_.must("POST", base + "clusterrolebindings",
             R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"agent"},)"
             R"("roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"agent"},)"
             R"("subjects":[{"kind":"ServiceAccount","name":"agent","namespace":"default"}]})");
  const std::string own = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1";
  EXPECT_EQ(as({{"impersonate-user", "system:node:n1"}}, own, token.c_str()), "200");
  EXPECT_EQ(
      as({{"impersonate-user", "system:node:n2"}}, own, token.c_str()),
      "403 pods is forbidden: User \"system:serviceaccount:default:agent\" cannot impersonate-on:arbitrary-node:list resource \"pods\" in "
      "API group \"\" at the cluster scope");
}

TEST_F(Impersonated, WhoMayAnythingByTheOldVerbNeedsNoOther) {
  grant("old", R"([{"apiGroups":[""],"resources":["users","groups"],"verbs":["impersonate"]}])");
  grant("reads", R"([{"apiGroups":[""],"resources":["configmaps"],"verbs":["list"]}])");
  EXPECT_EQ(as({{"impersonate-user", "jane"}, {"impersonate-group", "g"}}, maps), "200");
  // From then on its refusals are of that verb.
  EXPECT_EQ(as({{"impersonate-user", "jane"}, {"impersonate-uid", "7"}}, maps),
            "403 uids.authentication.k8s.io \"7\" is forbidden: User \"jane\" cannot impersonate resource \"uids\" in API group "
            "\"authentication.k8s.io\" at the cluster scope");
  EXPECT_EQ(as({{"impersonate-group", "g"}}, maps),
            "400 requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"g\"}, Extra:map[string][]string(nil)} without "
            "impersonating a user name");
}

TEST_F(Impersonated, TheGroupsThatGoWithoutSaying) {
  EXPECT_EQ(to_json(self({{"impersonate-user", "bob"}}).root()), R"({"username":"bob","groups":["system:authenticated"]})");
  EXPECT_EQ(to_json(self({{"impersonate-user", "system:node:n1"}})["groups"]), R"(["system:nodes","system:authenticated"])");
  EXPECT_EQ(to_json(self({{"impersonate-user", "system:serviceaccount:d:a"}})["groups"]),
            R"(["system:serviceaccounts","system:serviceaccounts:d","system:authenticated"])");
  EXPECT_EQ(to_json(self({{"impersonate-user", "bob"}, {"impersonate-group", "system:masters"}})["groups"]),
            R"(["system:masters","system:authenticated"])");
}

}  // namespace
}  // namespace kybern::apiserver
