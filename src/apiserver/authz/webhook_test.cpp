// Authorizers outside, over real connections, and the file that orders them.
#include "apiserver/authz/webhook.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <future>

#include "apiserver/authz/chain.h"
#include "apiserver/hooks/test_hook.h"
#include "apiserver/testing/live_server.h"
#include "base/strings.h"
#include "base/testing/eventually.h"
#include "document/json.h"
#include "net/client.h"

namespace kybern::apiserver {
namespace {

using testing::TestHook;

class Authorities : public ::testing::Test {
 protected:
  void TearDown() override {
    hook_.release();
    live_.stop();
  }
  std::string write(std::string_view name, std::string_view text) const { return live_.write(name, text); }
  std::string kubeconfig(int port) const {
    return write("hook-" + std::to_string(port), "clusters: [{name: b, cluster: {server: 'https://127.0.0.1:" + std::to_string(port) +
                                                     "/may', certificate-authority-data: " + hook_.ca_bundle() + "}}]\n");
  }
  // The judge: jane may read, joe is denied, of others it knows nothing.
  static net::Response judge(const Document& review) {
    std::string_view user = review["spec"]["user"].as_string();
    const char* status = user == "jane"   ? R"({"allowed":true,"reason":"she may"})"
                         : user == "joe"  ? R"({"allowed":false,"denied":true,"reason":"he may not"})"
                         : user == "both" ? R"({"allowed":true,"denied":true})"
                                          : R"({"allowed":false,"reason":"never heard of"})";
    return {200, {}, std::string(R"({"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":)") + status + "}"};
  }
  void start(AuthorizationOptions authorization) {
    ServerOptions options = live_.options();
    options.token_file = write("tokens", "t-jane,jane,1\nt-joe,joe,2\nt-jim,jim,3\nt-both,both,4\nt-ann,ann,5,\"dev\"\n");
    options.authorization = std::move(authorization);
    auto started = live_.start(std::move(options));
    ASSERT_TRUE(started) << started.error().message;
  }
  net::Response get(const std::string& user, const std::string& path = "/api/v1/namespaces/default/configmaps") {
    return live_.http("GET", path, {}, "", ("t-" + user).c_str());
  }
  std::string configuration(std::string_view more, std::string_view policy = "NoOpinion") const {
    return write("authz.yaml",
                 "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n- {type: RBAC, name: rbac}\n"
                 "- type: Webhook\n  name: judge\n  webhook:\n    timeout: 5s\n    authorizedTTL: 1m\n    unauthorizedTTL: 1m\n"
                 "    subjectAccessReviewVersion: v1\n    failurePolicy: " +
                     std::string(policy) + "\n    connectionInfo: {type: KubeConfigFile, kubeConfigFile: " + kubeconfig(hook_.port()) +
                     "}\n" + std::string(more));
  }

  TestHook hook_{judge};
  testing::LiveServer live_;
};

TEST_F(Authorities, AWebhookAllowsDeniesOrHasNoOpinion) {
  AuthorizationOptions options;
  options.modes = {"RBAC", "Webhook"};
  options.webhook_config_file = kubeconfig(hook_.port());
  options.webhook_version = "v1";
  start(options);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(get("jane").status, 200);
    net::Response joe = get("joe"), jim = get("jim");
    EXPECT_EQ(joe.status, 403);
    EXPECT_NE(joe.body.find("in the namespace \\\"default\\\": he may not"), std::string::npos) << joe.body;
    EXPECT_EQ(jim.status, 403);
    EXPECT_NE(jim.body.find("never heard of"), std::string::npos) << jim.body;
  }
  EXPECT_EQ(hook_.count(), 3u) << "answers are kept";
  EXPECT_EQ(
      to_json(hook_.asked()[0]["spec"]),
      R"({"resourceAttributes":{"namespace":"default","verb":"list","version":"v1","resource":"configmaps"},"user":"jane","groups":["system:authenticated"],"uid":"1"})");
  net::Response both = get("both");
  EXPECT_EQ(both.status, 403);
  // What RBAC allows nobody else is asked about.
  const std::size_t asked = hook_.count();
  EXPECT_EQ(get("jim", "/version").status, 200);
  EXPECT_EQ(hook_.count(), asked);
  EXPECT_EQ(get("jim", "/metrics").status, 403);
  EXPECT_EQ(to_json(hook_.last()["spec"]["nonResourceAttributes"]), R"({"path":"/metrics","verb":"get"})");
  // Reviews say the same, and rules cannot be listed.
  auto review =
      live_.http("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {{"content-type", "application/json"}},
                 R"({"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":"default"}})", "t-jim");
  ASSERT_EQ(review.status, 201);
  auto rules = parse_json(review.body);
  EXPECT_TRUE((*rules)["status"]["incomplete"].as_bool());
  EXPECT_EQ((*rules)["status"]["evaluationError"].as_string(), "webhook authorizer does not support user rule resolution");
}

TEST_F(Authorities, TheOldVersionNamesGroupsOtherwise) {
  AuthorizationOptions options;
  options.modes = {"Webhook"};
  options.webhook_config_file = kubeconfig(hook_.port());
  start(options);
  EXPECT_EQ(get("ann").status, 403);
  EXPECT_EQ(hook_.last()["apiVersion"].as_string(), "authorization.k8s.io/v1beta1");
  EXPECT_EQ(to_json(hook_.last()["spec"]["group"]), R"(["dev","system:authenticated"])");
}

TEST_F(Authorities, ConditionsSayWhoIsAskedAbout) {
  AuthorizationOptions options;
  options.config_file = configuration(
      "    matchConditionSubjectAccessReviewVersion: v1\n    matchConditions:\n"
      "    - expression: \"has(request.resourceAttributes)\"\n"
      "    - expression: \"request.resourceAttributes.namespace == 'default' && !('dev' in request.groups)\"\n"
      "    - expression: \"!has(request.resourceAttributes.labelSelector) || "
      "request.resourceAttributes.labelSelector.requirements.exists(r, r.key == 'a' && r.operator == 'In')\"\n");
  start(options);
  EXPECT_EQ(get("jane").status, 200);
  EXPECT_EQ(get("jane", "/api/v1/namespaces/default/configmaps?labelSelector=a%3Db").status, 200);
  EXPECT_EQ(get("jane", "/api/v1/namespaces/default/configmaps?labelSelector=b%3Db").status, 403);
  EXPECT_EQ(get("jane", "/api/v1/namespaces/kube-system/configmaps").status, 403);
  EXPECT_EQ(get("jane", "/metrics").status, 403);
  EXPECT_EQ(get("ann").status, 403);
  EXPECT_EQ(hook_.count(), 2u);
}

TEST_F(Authorities, AFailureIsNoOpinionOrADenial) {
  // A server that is not there: its port was free a moment ago.
  int port = 0;
  {
    TestHook gone(judge);
    port = gone.port();
  }
  for (std::string_view policy : {"NoOpinion", "Deny"}) {
    AuthorizationOptions options;
    options.config_file = configuration("", policy);
    std::filesystem::copy_file(kubeconfig(port), live_.folder() + "/hook-" + std::to_string(hook_.port()),
                               std::filesystem::copy_options::overwrite_existing);
    start(options);
    EXPECT_EQ(get("jane").status, policy == "Deny" ? 403 : 500);
    EXPECT_EQ(get("jane", "/version").status, 200) << "RBAC allows it before";
    live_.stop();
  }
}

// As many as the server has threads, and more, wait for a webhook that hangs: others are answered as ever.
TEST_F(Authorities, AWebhookThatHangsHoldsUpNobodyElse) {
  AuthorizationOptions options;
  options.config_file = configuration("");
  start(options);
  hook_.hold();
  constexpr std::size_t many = 100;
  std::vector<std::future<int>> waiting;
  for (std::size_t i = 0; i < many; ++i)
    waiting.push_back(std::async(std::launch::async,
                                 [this, i] { return get("jane", "/api/v1/namespaces/default/configmaps/c" + std::to_string(i)).status; }));
  EXPECT_TRUE(eventually([&] { return hook_.count() >= many; }));
  EXPECT_EQ(get("jim", "/version").status, 200);
  EXPECT_EQ(get("jim", "/api").status, 200);
  for (auto& one : waiting) EXPECT_EQ(one.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  hook_.release();
  for (auto& one : waiting) EXPECT_EQ(one.get(), 404);
}

// Type InClusterConfig: by the environment and the files of the pod that this server is.
TEST_F(Authorities, AsAPodItAsksItsApi) {
  AuthorizationWebhookOptions options;
  options.name = "api";
  options.version = "v1";
  options.account_folder = live_.folder();
  auto outside = AuthorizationWebhook::open(options, real_world());
  ASSERT_FALSE(outside);
  EXPECT_EQ(outside.error().message,
            "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined");
  write("token", "pods-token\n");
  write("ca.crt", base64_decode(hook_.ca_bundle()).value_or(""));
  ::setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
  ::setenv("KUBERNETES_SERVICE_PORT", std::to_string(hook_.port()).c_str(), 1);
  auto inside = AuthorizationWebhook::open(options, real_world());
  ::unsetenv("KUBERNETES_SERVICE_HOST");
  ::unsetenv("KUBERNETES_SERVICE_PORT");
  ASSERT_TRUE(inside) << inside.error().message;
  Attributes question;
  question.user.name = "jane";
  question.verb = "get";
  question.resource = "pods";
  const Decision decision = (*inside)->ask(question);
  EXPECT_TRUE(decision.allowed) << decision.error;
  EXPECT_EQ(decision.reason, "she may");
}

TEST(AuthorizationConfigurations, WhatIsWrongIsSaid) {
  const std::string head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n";
  const std::string hook = "- type: Webhook\n  name: w\n  webhook:\n";
  const std::pair<std::string, std::string> cases[] = {
      {"kind: X", "expected apiVersion"},
      {"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration",
       "authorizers: Required value: at least one authorization mode must be defined"},
      {head + "- {name: x}", "authorizers[0].type: Required value"},
      {head + "- {type: Foo, name: x}", "authorizers[0].type: Unsupported value: \"Foo\""},
      {head + "- {type: RBAC, name: x}\n- {type: RBAC, name: y}", "authorizers[1].type: Duplicate value: \"RBAC\""},
      {head + "- {type: RBAC, name: x}\n- {type: Node, name: x}", "authorizers[1].name: Duplicate value: \"x\""},
      {head + "- {type: RBAC, name: X_}", "authorizers[0].name: Invalid value: \"X_\": authorizer name is invalid"},
      {head + "- {type: RBAC}", "authorizers[0].name: Required value"},
      {head + "- {type: RBAC, name: x, webhook: {}}", "may only be specified when type=Webhook"},
      {head + "- {type: Webhook, name: x}", "authorizers[0].webhook: Required value: required when type=Webhook"},
      {head + hook + "    timeout: 31s", "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s"},
      {head + hook + "    subjectAccessReviewVersion: v2", "authorizers[0].subjectAccessReviewVersion: Unsupported value: \"v2\""},
      {head + hook + "    failurePolicy: Maybe", "supported values: \"NoOpinion\", \"Deny\""},
      {head + hook + "    connectionInfo: {type: KubeConfigFile, kubeConfigFile: a}", "must be an absolute path"},
      {head + hook + "    connectionInfo: {type: InClusterConfig, kubeConfigFile: /a}", "can only be set when type=KubeConfigFile"},
      {head + hook +
           "    timeout: 3s\n    subjectAccessReviewVersion: v1\n    failurePolicy: Deny\n    connectionInfo: {type: InClusterConfig}",
       "connectionInfo: unable to load in-cluster configuration"},
      {head + hook + "    matchConditions: [{expression: 'true'}]",
       "matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified"},
      {head + hook + "    matchConditions: [{expression: 'request.nobody == 1'}]", "compilation failed"},
      {head + hook + "    matchConditions: [{expression: 'request.user'}]", "must evaluate to bool"},
      {head + hook + "    unknown: 1", "unknown field \"authorizers[0].webhook.unknown\""},
  };
  for (const auto& [text, why] : cases) {
    auto read = read_authorization_configuration(text, real_world());
    ASSERT_FALSE(read) << text;
    EXPECT_NE(read.error().message.find(why), std::string::npos) << read.error().message;
  }
}

}  // namespace
}  // namespace kybern::apiserver
