// What a kubelet may read and ask for beyond its pods' own fields: volumes' secrets, claims' drivers, granted audiences.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/testing/live_server.h"
#include "document/json.h"
#include "machinery/pod_references.h"

namespace kybern::apiserver {
namespace {

const User kubelet_one{"system:node:one", "", {"system:nodes", "system:authenticated"}, {}};

class NodeRights : public ::testing::Test {
 protected:
  static constexpr const char* in_default = "/api/v1/namespaces/default/";
  void SetUp() override {
    ASSERT_TRUE(live_.start());
    make("serviceaccounts", R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}})");
    for (const char* name : {"stage", "controller", "expand"})
      make("secrets", fmt::format(R"({{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"{}"}}}})", name));
    live_.must(
        "POST", "/api/v1/persistentvolumes",
        R"({"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"v"},"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],)"
        R"("claimRef":{"namespace":"default","name":"d"},"csi":{"driver":"disks.test.io","volumeHandle":"h",)"
        R"("nodeStageSecretRef":{"namespace":"default","name":"stage"},"nodeExpandSecretRef":{"namespace":"default","name":"expand"},)"
        R"("controllerPublishSecretRef":{"namespace":"default","name":"controller"}}}})");
    make(
        "persistentvolumeclaims",
        R"({"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"d"},"spec":{"accessModes":["ReadWriteOnce"],"volumeName":"v",)"
        R"("storageClassName":"","resources":{"requests":{"storage":"1Gi"}}}})");
    live_.must(
        "POST", "/apis/storage.k8s.io/v1/csidrivers",
        R"({"apiVersion":"storage.k8s.io/v1","kind":"CSIDriver","metadata":{"name":"disks.test.io"},"spec":{"tokenRequests":[{"audience":"vault"}]}})");
    uid_ =
        make("pods",
             R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"nodeName":"one","containers":[{"name":"c","image":"i"}],)"
             R"("volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"d"}}]}})")["metadata"]["uid"]
            .str();
  }
  void TearDown() override { live_.stop(); }
  Document make(const std::string& plural, const std::string& body) { return live_.must("POST", in_default + plural, body); }
  std::string read(const std::string& what) { return live_.refused("GET", in_default + what, "", kubelet_one); }
  std::string token_for(const std::string& audiences) {
    return live_.refused(
        "POST", std::string(in_default) + "serviceaccounts/default/token",
        R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600,"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p","uid":")" +
            uid_ + R"("},"audiences":)" + audiences + "}}",
        kubelet_one);
  }

  testing::LiveServer live_;
  std::string uid_;
};

TEST_F(NodeRights, OfAVolumesSecretsThoseForTheNode) {
  EXPECT_EQ(read("secrets/stage"), "done");
  EXPECT_EQ(read("secrets/expand"), "done");
  EXPECT_EQ(read("secrets/controller"),
            "403 secrets \"controller\" is forbidden: User \"system:node:one\" cannot get resource \"secrets\" in API group \"\" in the "
            "namespace \"default\": no relationship found between node 'one' and this object");
}

TEST_F(NodeRights, NoClaimsThroughAPodsStatus) {
  auto write = [&](const std::string& status) {
    return live_.refused("PATCH", std::string(in_default) + "pods/p/status", "{\"status\":" + status + "}", kubelet_one);
  };
  EXPECT_EQ(write(R"({"resourceClaimStatuses":[{"name":"gpu","resourceClaimName":"of-others"}]})"),
            "403 pods \"p\" is forbidden: node \"one\" cannot update resource claim statues");
  EXPECT_EQ(write(R"({"extendedResourceClaimStatus":{"resourceClaimName":"of-others","requestMappings":[]}})"),
            "403 pods \"p\" is forbidden: node \"one\" cannot update extended resource claim status");
  EXPECT_EQ(write(R"({"phase":"Running"})"), "done");
}

TEST_F(NodeRights, AccountsOfItsPods) {
  EXPECT_EQ(read("serviceaccounts/default"), "done");
  make("serviceaccounts", R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"other"}})");
  EXPECT_EQ(read("serviceaccounts/other"),
            "403 serviceaccounts \"other\" is forbidden: User \"system:node:one\" cannot get resource \"serviceaccounts\" in API group "
            "\"\" in the namespace \"default\": no relationship found between node 'one' and this object");
  EXPECT_EQ(read("serviceaccounts"),
            "403 serviceaccounts is forbidden: User \"system:node:one\" cannot list resource \"serviceaccounts\" in API group \"\" in the "
            "namespace \"default\": can only create tokens for individual service accounts");
}

TEST_F(NodeRights, TokensForAudiencesThatVolumesOrRolesName) {
  EXPECT_EQ(token_for(R"(["vault"])"), "done") << "the driver of its claim's volume";
  EXPECT_EQ(token_for(R"(["other"])"),
            "403 serviceaccounts \"default\" is forbidden: audience \"other\" not found in pod spec volume, system:node:one is not "
            "authorized to request tokens for this audience");
  EXPECT_EQ(token_for(R"(["vault","other"])"), "403 serviceaccounts \"default\" is forbidden: node may only request 0 or 1 audiences");
  live_.must(
      "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
      R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"audience"},"rules":[{"verbs":["request-serviceaccounts-token-audience"],)"
      R"("apiGroups":[""],"resources":["other"],"resourceNames":["default"]}]})");
  live_.must(
      "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
      R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"audience"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole",)"
      R"("name":"audience"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"system:nodes"}]})");
  EXPECT_EQ(token_for(R"(["other"])"), "done");
  EXPECT_EQ(token_for(R"(["third"])").substr(0, 3), "403");
}

TEST(PodReferencesTest, ResourceClaimsAreThoseOfTheSpec) {
  const Document pod = *parse_json(
      R"({"spec":{"resourceClaims":[{"name":"a","resourceClaimName":"own"},{"name":"b","resourceClaimTemplateName":"t"}]},)"
      R"("status":{"resourceClaimStatuses":[{"name":"b","resourceClaimName":"made"},{"name":"x","resourceClaimName":"anothers"}],)"
      R"("extendedResourceClaimStatus":{"resourceClaimName":"extended"}}})");
  EXPECT_EQ(pod_references(pod.root()).resource_claims, (std::vector<std::string>{"own", "made", "extended"}));
}

}  // namespace
}  // namespace kybern::apiserver
