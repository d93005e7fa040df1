#include "controllers/serviceaccount/tokens.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "controllers/test_objects.h"
#include "document/json.h"

namespace kybern::controllers::serviceaccount {
namespace {

using testing_objects::object;

Document account() { return object("v1", "ServiceAccount", "d", "robot").freeze(); }
Draft secret(std::string_view uid = "") {
  Draft out = object("v1", "Secret", "d", "robot-token");
  out["type"] = token_type;
  out["metadata"]["annotations"][account_name_annotation] = "robot";
  if (!uid.empty()) out["metadata"]["annotations"][account_uid_annotation] = uid;
  return out;
}
std::string sign(const Document& claims) { return "signed:" + to_json(claims.root()); }

TEST(AccountTokens, AreFilledInOnce) {
  const Plan plan = reconcile_token(secret().freeze(), account(), "CA", sign);
  ASSERT_EQ(plan.actions.size(), 1u);
  const Document filled = plan.actions[0].body;
  EXPECT_EQ(base64_decode(filled["data"]["ca.crt"].as_string()), "CA");
  EXPECT_EQ(base64_decode(filled["data"]["namespace"].as_string()), "d");
  EXPECT_EQ(
      base64_decode(filled["data"]["token"].as_string()),
      R"(signed:{"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"d","kubernetes.io/serviceaccount/secret.name":"robot-token","kubernetes.io/serviceaccount/service-account.name":"robot","kubernetes.io/serviceaccount/service-account.uid":"uid-robot","sub":"system:serviceaccount:d:robot"})");
  EXPECT_EQ(filled["metadata"]["annotations"][account_uid_annotation].as_string(), "uid-robot");
  EXPECT_TRUE(reconcile_token(filled, account(), "CA", sign).actions.empty());
  // A new CA, the same token.
  const Plan renewed = reconcile_token(filled, account(), "CA2", sign);
  ASSERT_EQ(renewed.actions.size(), 1u);
  EXPECT_EQ(renewed.actions[0].body["data"]["token"], filled["data"]["token"]);
}

TEST(AccountTokens, GoWithTheirAccount) {
  EXPECT_EQ(describe(reconcile_token(secret().freeze(), {}, "CA", sign)), "delete secrets d/robot-token");
  EXPECT_EQ(describe(reconcile_token(secret("uid-of-another").freeze(), account(), "CA", sign)), "delete secrets d/robot-token");
  Draft other = secret();
  other["type"] = "Opaque";
  EXPECT_TRUE(reconcile_token(other.freeze(), {}, "CA", sign).actions.empty());
}

TEST(AccountTokens, WaitForAKey) {
  const Plan plan = reconcile_token(secret().freeze(), account(), "", [](const Document&) { return ""; });
  EXPECT_TRUE(plan.actions.empty());
  EXPECT_TRUE(plan.wake_after);
}

TEST(AccountTokens, TheAccountForgetsASecretThatIsGone) {
  Draft with(account());
  with["secrets"] = Draft::array({Draft::object({{"name", "a"}}), Draft::object({{"name", "b"}})});
  const Plan plan = forget_secret(with.freeze(), "a");
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(to_json(plan.actions[0].body["secrets"]), R"([{"name":"b"}])");
  EXPECT_TRUE(forget_secret(account(), "a").actions.empty());
}

}  // namespace
}  // namespace kybern::controllers::serviceaccount
