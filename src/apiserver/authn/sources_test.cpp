// Bootstrap tokens, a token webhook and an OpenID Connect issuer, each over real connections, against a whole server.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>

#include "apiserver/authn/oidc.h"
#include "apiserver/testing/live_server.h"
#include "base/strings.h"
#include "base/testing/eventually.h"
#include "document/json.h"
#include "net/certificates.h"
#include "net/server.h"

namespace kybern::apiserver {
namespace {

class TokenSources : public ::testing::Test {
 protected:
  void SetUp() override {
    const Time now = real_world().clock.now();
    ca_ = *net::new_ca("outside", now - std::chrono::hours(1), now + std::chrono::hours(1));
    net::CertificateSpec spec;
    spec.common_name = "outside";
    spec.ip_addresses = {"127.0.0.1"};
    spec.server = true;
    spec.not_before = now - std::chrono::hours(1);
    spec.not_after = now + std::chrono::hours(1);
    auto pair = *net::issue(ca_, spec);
    net::ServerOptions options;
    options.tls = net::TlsFiles{live_.write("outside.crt", pair.certificate_pem), live_.write("outside.key", pair.key_pem), ""};
    auto outside = net::Server::start(options, [this](std::shared_ptr<net::Exchange> exchange) { answer(*exchange); });
    ASSERT_TRUE(outside) << outside.error().message;
    outside_ = std::move(*outside);
    url_ = "https://127.0.0.1:" + std::to_string(outside_->port());
  }
  void TearDown() override {
    live_.stop();
    if (outside_) outside_->stop(std::chrono::seconds(1));
    outside_.reset();
  }
  // What lies outside: an issuer with its keys, and a webhook that knows one token.
  void answer(net::Exchange& exchange) {
    const net::Request& request = exchange.request();
    if (request.path == "/.well-known/openid-configuration")
      return exchange.respond({200, {}, R"({"issuer":")" + url_ + R"(","jwks_uri":")" + url_ + R"(/keys"})"});
    if (request.path == "/keys") return exchange.respond({200, {}, *net::jwks_json({*net::public_key_pem(key_)})});
    ++asked_;
    {
      std::unique_lock lock(hold_mutex_);
      released_.wait(lock, [&] { return !held_; });
    }
    auto review = parse_json(request.body);
    const bool known = review && (*review)["spec"]["token"].as_string() == "from-outside";
    exchange.respond(
        {200,
         {},
         known
             ? R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"outsider","uid":"7","groups":["far"],"extra":{"k":["v"]}}}})"
             : R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":false}})"});
  }
  void start(ServerOptions with) {
    auto started = live_.start(std::move(with));
    ASSERT_TRUE(started) << started.error().message;
  }
  // The user of a token as the server sees it; "" when it refuses.
  Document who(const std::string& token) {
    auto out = live_.http("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {{"content-type", "application/json"}},
                          R"({"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"})", token.c_str());
    if (out.status != 201) return Draft::object().freeze();
    auto review = parse_json(out.body);
    return Draft((*review)["status"]["userInfo"]).freeze();
  }
  std::string token(const std::string& claims, const std::string& key) const {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(real_world().clock.now().time_since_epoch()).count();
    return *net::sign_jwt(key, R"({"iss":")" + url_ + R"(","exp":)" + std::to_string(now + 600) + "," + claims + "}");
  }

  testing::LiveServer live_;
  std::string url_, key_ = *net::new_private_key_pem();
  net::KeyPair ca_;
  std::atomic<int> asked_ = 0;
  std::mutex hold_mutex_;
  std::condition_variable released_;
  bool held_ = false;
  std::unique_ptr<net::Server> outside_;
};

TEST_F(TokenSources, BootstrapTokensLetNodesJoin) {
  ServerOptions with = live_.options();
  with.bootstrap_tokens = true;
  start(with);
  auto make = [&](const std::string& id, const std::string& more) {
    live_.must("POST", "/api/v1/namespaces/kube-system/secrets",
               R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"bootstrap-token-)" + id +
                   R"("},"type":"bootstrap.kubernetes.io/token","stringData":{"token-id":")" + id +
                   R"(","token-secret":"0123456789abcdef")" + more + "}}");
  };
  const std::string allowed = R"(,"usage-bootstrap-authentication":"true")";
  make("aaaaaa", allowed + R"(,"auth-extra-groups":"system:bootstrappers:kubeadm:default-node-token")");
  make("bbbbbb", allowed + R"(,"expiration":"2020-01-01T00:00:00Z")");
  make("cccccc", "");
  make("dddddd", allowed + R"(,"auth-extra-groups":"system:masters")");
  const Document user = who("aaaaaa.0123456789abcdef");
  EXPECT_EQ(user["username"].as_string(), "system:bootstrap:aaaaaa");
  EXPECT_EQ(to_json(user["groups"]),
            R"(["system:bootstrappers","system:bootstrappers:kubeadm:default-node-token","system:authenticated"])");
  for (const char* bad : {"aaaaaa.0123456789abcdee", "bbbbbb.0123456789abcdef", "cccccc.0123456789abcdef", "dddddd.0123456789abcdef",
                          "eeeeee.0123456789abcdef", "AAAAAA.0123456789abcdef"})
    EXPECT_FALSE(who(bad)["username"].exists()) << bad;
}

// As the token controller fills them in.
TEST_F(TokenSources, ATokenInASecretIsItsAccounts) {
  start(live_.options());
  auto call = [&](std::string_view method, const std::string& path, const std::string& body = "") {
    return live_.must(method, "/api/v1/namespaces/default" + path, body);
  };
  const Document account = call("POST", "/serviceaccounts", R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}})");
  const std::string uid = account["metadata"]["uid"].str();
  std::ifstream in(live_.server().credentials().service_account_key);
  const std::string key{std::istreambuf_iterator<char>(in), {}};
  auto token_of = [&](const std::string& of_uid, const std::string& secret = "robot-token") {
    return *net::sign_jwt(key, R"({"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"default",)"
                               R"("kubernetes.io/serviceaccount/secret.name":")" +
                                   secret + R"(","kubernetes.io/serviceaccount/service-account.name":"robot",)" +
                                   R"("kubernetes.io/serviceaccount/service-account.uid":")" + of_uid +
                                   R"(","sub":"system:serviceaccount:default:robot"})");
  };
  const std::string good = token_of(uid);
  call(
      "POST", "/secrets",
      R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"robot-token","annotations":{"kubernetes.io/service-account.name":"robot"}},)"
      R"("type":"kubernetes.io/service-account-token","data":{"token":")" +
          base64_encode(good) + "\"}}");
  const Document user = who(good);
  EXPECT_EQ(user["username"].as_string(), "system:serviceaccount:default:robot");
  EXPECT_EQ(user["uid"].as_string(), uid);
  EXPECT_EQ(to_json(user["groups"]), R"(["system:serviceaccounts","system:serviceaccounts:default","system:authenticated"])");
  const std::string today = format_rfc3339(real_world().clock.now()).substr(0, 10);
  auto label = [&] { return call("GET", "/secrets/robot-token")["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"].str(); };
  EXPECT_TRUE(eventually([&] { return label() >= today; }));
  EXPECT_FALSE(who(token_of("another"))["username"].exists()) << "not what the Secret holds";
  EXPECT_FALSE(who(token_of(uid, "other"))["username"].exists()) << "no such Secret";
  call("PATCH", "/secrets/robot-token", R"({"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":"2026-01-01"}}})");
  EXPECT_FALSE(who(good)["username"].exists());
  call("PATCH", "/secrets/robot-token", R"({"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":null}}})");
  EXPECT_TRUE(who(good)["username"].exists());
  call("DELETE", "/secrets/robot-token");
  EXPECT_FALSE(who(good)["username"].exists());
}

// Many tokens that a webhook must be asked about, which hangs: others are served as ever.
TEST_F(TokenSources, AWebhookThatHangsHoldsUpNobodyElse) {
  ServerOptions with = live_.options();
  with.token_webhook.config_file =
      live_.write("webhook", "clusters: [{name: b, cluster: {server: '" + url_ +
                                 "/review', certificate-authority-data: " + base64_encode(ca_.certificate_pem) + "}}]\n");
  start(with);
  {
    std::lock_guard lock(hold_mutex_);
    held_ = true;
  }
  constexpr int many = 100;
  std::vector<std::future<bool>> waiting;
  for (int i = 0; i < many; ++i)
    waiting.push_back(std::async(std::launch::async, [this, i] { return who("t" + std::to_string(i))["username"].exists(); }));
  EXPECT_TRUE(eventually([&] { return asked_ >= many; }));
  EXPECT_EQ(who("secret-user")["username"].as_string(), "jane");
  EXPECT_EQ(live_.http("GET", "/livez", {}, "", nullptr).status, 200);
  {
    std::lock_guard lock(hold_mutex_);
    held_ = false;
  }
  released_.notify_all();
  for (auto& one : waiting) EXPECT_FALSE(one.get());
}

TEST_F(TokenSources, AWebhookIsAskedAndItsAnswerKept) {
  ServerOptions with = live_.options();
  with.token_webhook.config_file = live_.write(
      "webhook",
      "kind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: b}}]\nclusters: [{name: b, cluster: {server: '" + url_ +
          "/review', certificate-authority-data: " + base64_encode(ca_.certificate_pem) + "}}]\n");
  start(with);
  for (int i = 0; i < 3; ++i) {
    const Document user = who("from-outside");
    EXPECT_EQ(user["username"].as_string(), "outsider");
    EXPECT_EQ(user["uid"].as_string(), "7");
    EXPECT_EQ(to_json(user["groups"]), R"(["far","system:authenticated"])");
    EXPECT_EQ(to_json(user["extra"]), R"({"k":["v"]})");
    EXPECT_FALSE(who("other")["username"].exists());
  }
  EXPECT_EQ(asked_, 2);
}

TEST_F(TokenSources, AnIssuersTokensBecomeUsers) {
  ServerOptions with = live_.options();
  with.oidc.issuer_url = url_;
  with.oidc.client_id = "kube";
  with.oidc.ca_file = live_.write("ca", ca_.certificate_pem);
  with.oidc.username_claim = "email";
  with.oidc.groups_claim = "roles";
  with.oidc.groups_prefix = "o:";
  with.oidc.required_claims = {"hd=example.com"};
  start(with);
  const std::string good = R"("aud":["x","kube"],"email":"jane@example.com","hd":"example.com","roles":["a","b"])";
  const Document user = who(token(good, key_));
  EXPECT_EQ(user["username"].as_string(), "jane@example.com");
  EXPECT_EQ(to_json(user["groups"]), R"(["o:a","o:b","system:authenticated"])");
  EXPECT_FALSE(who(token(good, *net::new_private_key_pem()))["username"].exists()) << "another's signature";
  EXPECT_FALSE(who(token(good + R"(,"email_verified":false)", key_))["username"].exists());
  EXPECT_FALSE(who(token(R"("aud":"other","email":"j","hd":"example.com")", key_))["username"].exists());
  EXPECT_FALSE(who(token(R"("aud":"kube","email":"j")", key_))["username"].exists()) << "a claim is missing";
  EXPECT_FALSE(who(token(R"("aud":"kube","hd":"example.com")", key_))["username"].exists()) << "no name";
}

TEST_F(TokenSources, ClaimsAreReadByExpressions) {
  std::string pem;
  for (std::string_view line : split(ca_.certificate_pem, '\n')) pem += "      " + std::string(line) + "\n";
  ServerOptions with = live_.options();
  with.authentication_config =
      live_.write("config", "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: " + url_ +
                                "\n    audiences: [kube]\n    certificateAuthority: |\n" + pem +
                                R"y(  claimMappings:
    username: {expression: "'u:' + claims.sub"}
    groups: {expression: "claims.roles.filter(r, r != 'hidden')"}
    uid: {claim: oid}
    extra: [{key: "example.com/tenant", valueExpression: "claims.tenant"}]
  claimValidationRules:
  - {expression: "claims.exp - claims.iat <= 86400", message: "lives too long"}
  userValidationRules:
  - {expression: "!user.username.startsWith('u:system:')", message: "reserved"}
anonymous:
  enabled: true
  conditions: [{path: /livez}]
)y");
  start(with);
  const std::string now =
      std::to_string(std::chrono::duration_cast<std::chrono::seconds>(real_world().clock.now().time_since_epoch()).count());
  const std::string rest = R"(,"aud":"kube","iat":)" + now + R"(,"oid":"42","tenant":"t","roles":["a","hidden"])";
  const Document user = who(token(R"("sub":"jane")" + rest, key_));
  EXPECT_EQ(user["username"].as_string(), "u:jane");
  EXPECT_EQ(user["uid"].as_string(), "42");
  EXPECT_EQ(to_json(user["groups"]), R"(["a","system:authenticated"])");
  EXPECT_EQ(to_json(user["extra"]), R"({"example.com/tenant":["t"]})");
  EXPECT_FALSE(who(token(R"("sub":"system:x")" + rest, key_))["username"].exists());
  EXPECT_FALSE(who(token(R"("sub":"jane","iat":1,"aud":"kube","oid":"42","tenant":"t","roles":[])", key_))["username"].exists());
  EXPECT_EQ(live_.http("GET", "/livez", {}, "", nullptr).status, 200);
  EXPECT_EQ(live_.http("GET", "/version", {}, "", nullptr).status, 401);
}

TEST(AuthenticationConfigurations, WhatIsWrongIsSaid) {
  const std::string head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
  const std::pair<std::string, std::string> cases[] = {
      {"kind: X", "expected apiVersion"},
      {head + "jwt: [{issuer: {url: 'http://x', audiences: [a]}, claimMappings: {username: {claim: sub, prefix: ''}}}]",
       "URL scheme must be https"},
      {head + "jwt: [{issuer: {url: 'https://x'}, claimMappings: {username: {claim: sub, prefix: ''}}}]",
       "at least one issuer.audiences is required"},
      {head + "jwt: [{issuer: {url: 'https://x', audiences: [a, b]}, claimMappings: {username: {claim: sub, prefix: ''}}}]",
       "audienceMatchPolicy must be MatchAny"},
      {head + "jwt: [{issuer: {url: 'https://x', audiences: [a]}, claimMappings: {username: {claim: sub}}}]",
       "prefix is required when claim is set"},
      {head + "jwt: [{issuer: {url: 'https://x', audiences: [a]}, claimMappings: {}}]", "claim or expression is required"},
      {head + "jwt: [{issuer: {url: 'https://x', audiences: [a]}, claimMappings: {username: {expression: 'claims.'}}}]",
       "compilation failed"},
      {head + "jwt: [{issuer: {url: 'https://x', audiences: [a]}, claimMappings: {username: {expression: claims.sub}, extra: [{key: "
              "'k8s.io/x', valueExpression: claims.a}]}}]",
       "reserved for Kubernetes use"},
      {head + "anonymous: {enabled: false, conditions: [{path: /x}]}", "enabled should be set to true"},
      {head + "jwts: []", "unknown field \"jwts\""},
  };
  for (const auto& [text, why] : cases) {
    auto read = read_authentication_configuration(std::string_view(text), real_world());
    ASSERT_FALSE(read) << text;
    EXPECT_NE(read.error().message.find(why), std::string::npos) << read.error().message;
  }
}

}  // namespace
}  // namespace kybern::apiserver
