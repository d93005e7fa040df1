// Bootstrap tokens, a token webhook and an OpenID Connect issuer, each over real connections, against a whole server.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>

#include "apiserver/authn/oidc.h"
#include "apiserver/outside/config_follower.h"
#include "apiserver/testing/live_server.h"
#include "apiserver/testing/serving_pair.h"
#include "base/files.h"
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
    const testing::ServingPair pair = testing::serving_pair("outside", {"127.0.0.1"});
    ca_ = pair.ca;
    net::ServerOptions options;
    options.tls =
        net::TlsFiles{live_.write("outside.crt", pair.server.certificate_pem), live_.write("outside.key", pair.server.key_pem), ""};
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
    if (request.path == "/.well-known/openid-configuration") {
      ++discovered_;
      std::unique_lock lock(hold_mutex_);
      released_.wait(lock, [&] { return !held_; });
    }
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
  // What a review says is wrong with a token.
  std::string why(const std::string& token, const std::string& audiences = "[]") {
    return live_
        .must("POST", "/apis/authentication.k8s.io/v1/tokenreviews",
              R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":")" + token + R"(","audiences":)" +
                  audiences + "}}")["status"]["error"]
        .str();
  }
  std::string token(const std::string& claims, const std::string& key) const {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(real_world().clock.now().time_since_epoch()).count();
    return *net::sign_jwt(key, R"({"iss":")" + url_ + R"(","exp":)" + std::to_string(now + 600) + "," + claims + "}");
  }

  testing::LiveServer live_;
  std::string url_, key_ = *net::new_private_key_pem();
  net::KeyPair ca_;
  std::atomic<int> asked_ = 0, discovered_ = 0;
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
  EXPECT_EQ(why(token_of("another")), "[invalid bearer token, Token does not match server's copy]");
  EXPECT_FALSE(who(token_of(uid, "other"))["username"].exists()) << "no such Secret";
  EXPECT_EQ(why(token_of(uid, "other")), "[invalid bearer token, Token has been invalidated]");
  call("PATCH", "/secrets/robot-token", R"({"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":"2026-01-01"}}})");
  EXPECT_FALSE(who(good)["username"].exists());
  EXPECT_EQ(why(good),
            "[invalid bearer token, the token in secret default/robot-token for service account default/robot has been marked invalid. Use "
            "tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
            "'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token]");
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

// However many audiences a review names.
TEST_F(TokenSources, AReviewAsksAWebhookOnce) {
  ServerOptions with = live_.options();
  with.token_webhook.config_file =
      live_.write("webhook", "clusters: [{name: b, cluster: {server: '" + url_ +
                                 "/review', certificate-authority-data: " + base64_encode(ca_.certificate_pem) + "}}]\n");
  start(with);
  auto review = [&](const std::string& audiences) {
    return to_json(
        live_.must("POST", "/apis/authentication.k8s.io/v1/tokenreviews",
                   R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"from-outside","audiences":)" +
                       audiences + "}}")["status"]);
  };
  const std::string own = "https://kubernetes.default.svc.cluster.local";
  EXPECT_EQ(review(R"(["a",")" + own + R"(","b"])"),
            R"({"authenticated":true,"audiences":[")" + own +
                R"("],"user":{"username":"outsider","uid":"7","groups":["far","system:authenticated"],)"
                R"("extra":{"k":["v"]}}})");
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(review(R"(["a","b"])"), R"({"user":{},"error":"invalid bearer token"})");
  EXPECT_EQ(asked_, 2);
}

// One request waits out an issuer that does not answer; the others are answered meanwhile.
TEST_F(TokenSources, NobodyQueuesBehindASlowIssuer) {
  ServerOptions with = live_.options();
  with.oidc.issuer_url = url_;
  with.oidc.client_id = "kube";
  with.oidc.ca_file = live_.write("ca", ca_.certificate_pem);
  with.oidc.signing_algorithms = {"ES256"};
  start(with);
  {
    std::lock_guard lock(hold_mutex_);
    held_ = true;
  }
  const std::string good = token(R"("aud":"kube","sub":"jane")", key_);
  auto first = std::async(std::launch::async, [&] { return who(good)["username"].str(); });
  EXPECT_TRUE(eventually([&] { return discovered_ == 1; }));
  constexpr int others = 8;
  std::atomic<int> answered = 0;
  std::vector<std::future<void>> waiting;
  for (int i = 0; i < others; ++i)
    waiting.push_back(std::async(std::launch::async, [&] {
      EXPECT_FALSE(who(good)["username"].exists());
      ++answered;
    }));
  EXPECT_TRUE(eventually([&] { return answered == others; })) << answered;
  EXPECT_EQ(discovered_, 1);
  {
    std::lock_guard lock(hold_mutex_);
    held_ = false;
  }
  released_.notify_all();
  first.get();  // on a slow machine it has given up
  EXPECT_TRUE(eventually([&] { return who(good)["username"].as_string() == url_ + "#jane"; }));
}

// The file is followed; what is no good, or names an issuer that nobody hears of, changes nothing.
TEST_F(TokenSources, IssuersChangeWithTheirFile) {
  auto write = [&](const std::string& prefix, const std::string& url, const std::string& more = "") {
    std::string pem;
    for (std::string_view line : split(ca_.certificate_pem, '\n')) pem += "      " + std::string(line) + "\n";
    return live_.write("config.yaml",
                       "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: " + url +
                           "\n    audiences: [kube]\n    certificateAuthority: |\n" + pem +
                           "  claimMappings:\n    username: {claim: sub, prefix: '" + prefix + "'}\n" + more);
  };
  auto metric = [&](const std::string& name, const std::string& status) {
    const std::string text = live_.http("GET", "/metrics").body;
    std::string line = "apiserver_authentication_config_controller_" + name;
    double sum = 0;
    for (std::string_view one : split(text, '\n'))
      if (one.starts_with(line) && one.contains("status=\"" + status + "\"")) sum += std::stod(std::string(one.substr(one.rfind(' '))));
    return sum;
  };
  ServerOptions with = live_.options();
  with.authentication_config = write("a:", url_);
  with.follow_interval = std::chrono::milliseconds(50);
  start(with);
  const std::string good = token(R"("aud":"kube","sub":"jane")", key_);
  EXPECT_EQ(who(good)["username"].as_string(), "a:jane");
  write("b:", url_);
  EXPECT_TRUE(eventually([&] { return who(good)["username"].as_string() == "b:jane"; }));
  EXPECT_GE(metric("automatic_reloads_total", "success"), 1);
  EXPECT_GT(metric("automatic_reload_last_timestamp_seconds", "success"), 1e9);
  struct Row {
    const char* what;
    std::string prefix, url, more;
  };
  const Row rows[] = {{"an issuer that nobody hears of", "c:", "https://127.0.0.1:1", ""},
                      {"what is no configuration", "d:", url_, "unknown: 1\n"},
                      {"who may come without credentials", "e:", url_, "anonymous: {enabled: false}\n"}};
  for (const Row& row : rows) {
    const double failures = metric("automatic_reloads_total", "failure");
    write(row.prefix, row.url, row.more);
    EXPECT_TRUE(eventually([&] { return metric("automatic_reloads_total", "failure") > failures; })) << row.what;
    EXPECT_EQ(who(good)["username"].as_string(), "b:jane") << row.what;
  }
  write("f:", url_);
  EXPECT_TRUE(eventually([&] { return who(good)["username"].as_string() == "f:jane"; }));
}

// Several issuers and keys: the first make tokens, all are believed.
TEST_F(TokenSources, IssuersAndKeysOfAccountsAreAddedAndReplaced) {
  const std::string old_key = *net::new_private_key_pem();
  ServerOptions with = live_.options();
  with.accounts.issuers = {"https://new.test", "https://old.test"};
  with.accounts.audiences = {"here", "there"};
  with.accounts.key_files = {live_.write("old.pub", *net::public_key_pem(old_key))};
  with.accounts.signing_key_file = live_.write("new.key", *net::new_private_key_pem());
  with.accounts.jwks_uri = "https://keys.test/jwks";
  with.accounts.max_expiration = "2h";
  start(with);
  const std::string path = "/api/v1/namespaces/default/serviceaccounts";
  const Document account = live_.must("POST", path, R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}})");
  auto answer = live_.http("POST", path + "/robot/token", {{"content-type", "application/json"}},
                           R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":90000}})");
  ASSERT_EQ(answer.status, 201) << answer.body;
  EXPECT_EQ(answer.headers.get("warning"), "299 - \"requested expiration of 90000 seconds shortened to 7200 seconds\"");
  const Document made = *parse_json(answer.body);
  EXPECT_EQ(made["spec"]["expirationSeconds"].as_int(), 7200);
  EXPECT_EQ(to_json(made["spec"]["audiences"]), R"(["here","there"])");
  const Document claims = *parse_json(net::decode_jwt(made["status"]["token"].str())->claims_json);
  EXPECT_EQ(claims["iss"].as_string(), "https://new.test");
  EXPECT_EQ(who(made["status"]["token"].str())["username"].as_string(), "system:serviceaccount:default:robot");
  // One that was made before the issuer and the key were replaced.
  auto before = [&](const std::string& issuer, const std::string& key) {
    Draft now(claims);
    now["iss"] = issuer;
    return *net::sign_jwt(key, to_json(now));
  };
  EXPECT_EQ(who(before("https://old.test", old_key))["username"].as_string(), "system:serviceaccount:default:robot");
  EXPECT_FALSE(who(before("https://other.test", old_key))["username"].exists());
  EXPECT_FALSE(who(before("https://old.test", *net::new_private_key_pem()))["username"].exists());
  const Document about = *parse_json(live_.http("GET", "/.well-known/openid-configuration").body);
  EXPECT_EQ(about["issuer"].as_string(), "https://new.test");
  EXPECT_EQ(about["jwks_uri"].as_string(), "https://keys.test/jwks");
  EXPECT_EQ((*parse_json(live_.http("GET", "/openid/v1/jwks").body))["keys"].size(), 2u);
  live_.stop();
  for (const auto& [change, why] : std::initializer_list<std::pair<std::function<void(AccountOptions&)>, std::string>>{
           {[](AccountOptions& o) { o.max_expiration = "10m"; }, "must be between 1 hour and 2^32 seconds"},
           {[](AccountOptions& o) { o.jwks_uri = "http://x"; }, "requires https scheme"},
           {[](AccountOptions& o) { o.key_files = {"/none"}; }, "/none"},
           {[&](AccountOptions& o) { o.key_files = {live_.write("empty", "")}; }, "no key in PEM"}}) {
    ServerOptions bad = live_.options();
    change(bad.accounts);
    auto refused = live_.start(bad);
    ASSERT_FALSE(refused) << why;
    EXPECT_NE(refused.error().message.find(why), std::string::npos) << refused.error().message;
  }
}

TEST_F(TokenSources, SinceWhenUsesAreNotedIsWritten) {
  start(live_.options());
  const std::string map = "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
  const std::string before = format_rfc3339(real_world().clock.now()).substr(0, 10);
  auto since = [&] { return live_.must("GET", map)["data"]["since"].str(); };
  EXPECT_LE(since(), before);
  live_.must("PATCH", map, R"({"data":{"since":"2026-01-31","more":"x"}})");
  live_.must("PATCH", map, R"({"data":{"since":"long ago"}})");
  EXPECT_TRUE(eventually([&] { return since().starts_with("2") && since() >= before; }));
  EXPECT_EQ(live_.must("GET", map)["data"]["more"].as_string(), "x");
  live_.must("PATCH", map, R"({"data":{"since":"2026-01-31"}})");
  ASSERT_TRUE(live_.start(live_.options()));
  EXPECT_EQ(since(), "2026-01-31") << "a good day stays";
}

TEST(ServerIds, AreHashedAsUpstreams) {
  EXPECT_EQ(server_id_hash("a"), "sha256:" + net::sha256_hex("apiserver-zklycewkdo64v6wcggzzui64ju"));
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
  with.oidc.signing_algorithms = {"RS512", "ES256"};
  start(with);
  const std::string good = R"("aud":["x","kube"],"email":"jane@example.com","hd":"example.com","roles":["a","b"])";
  const Document user = who(token(good, key_));
  EXPECT_EQ(user["username"].as_string(), "jane@example.com");
  EXPECT_EQ(to_json(user["groups"]), R"(["o:a","o:b","system:authenticated"])");
  EXPECT_FALSE(who(token(good, *net::new_private_key_pem()))["username"].exists()) << "another's signature";
  EXPECT_EQ(why(*net::sign_jwt(key_, R"({"iss":")" + url_ + R"(","exp":1767225600})")),
            "[invalid bearer token, oidc: verify token: oidc: token is expired (Token Expiry: 2026-01-01 00:00:00 +0000 UTC)]");
  EXPECT_FALSE(who(token(good + R"(,"email_verified":false)", key_))["username"].exists());
  EXPECT_FALSE(who(token(R"("aud":"other","email":"j","hd":"example.com")", key_))["username"].exists());
  EXPECT_FALSE(who(token(R"("aud":"kube","email":"j")", key_))["username"].exists()) << "a claim is missing";
  EXPECT_FALSE(who(token(R"("aud":"kube","hd":"example.com")", key_))["username"].exists()) << "no name";
}

// By the flags only RS256 is taken when nothing else is said; by a file all that is asymmetric.
TEST_F(TokenSources, AlgorithmsAreLimitedByTheFlags) {
  ServerOptions with = live_.options();
  with.oidc.issuer_url = url_;
  with.oidc.client_id = "kube";
  with.oidc.ca_file = live_.write("ca", ca_.certificate_pem);
  start(with);
  EXPECT_FALSE(who(token(R"("aud":"kube","sub":"jane")", key_))["username"].exists());
  EXPECT_EQ(why(token(R"("aud":"kube","sub":"jane")", key_)), "[invalid bearer token, unexpected signature algorithm \"ES256\"]");
  live_.stop();
  with.oidc.signing_algorithms = {"HS256"};
  auto started = live_.start(with);
  ASSERT_FALSE(started);
  EXPECT_EQ(
      started.error().message,
      "--oidc-signing-algs: \"HS256\" is not supported, expected one of RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512");
  // An issuer is nobody of this server's own.
  with.oidc.signing_algorithms = {"RS256"};
  with.oidc.issuer_url = "https://kubernetes.default.svc.cluster.local";
  started = live_.start(with);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().message,
            "--oidc flags: jwt[0].issuer.url: Invalid value: \"https://kubernetes.default.svc.cluster.local\": URL must not overlap with "
            "disallowed issuers: [https://kubernetes.default.svc.cluster.local]");
}

// Why an account's token is no good is said to who asks for a review, in upstream's words.
TEST_F(TokenSources, AReviewSaysWhatIsWrong) {
  start(live_.options());
  const std::string accounts = "/api/v1/namespaces/default/serviceaccounts";
  const Document account = live_.must("POST", accounts, R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}})");
  const Document secret =
      live_.must("POST", "/api/v1/namespaces/default/secrets", R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}})");
  const std::string good =
      live_
          .must(
              "POST", accounts + "/robot/token",
              R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"boundObjectRef":{"apiVersion":"v1","kind":"Secret","name":"s","uid":")" +
                  secret["metadata"]["uid"].str() + "\"}}}")["status"]["token"]
          .str();
  EXPECT_EQ(why(good), "");
  EXPECT_EQ(why("nonsense"), "invalid bearer token");
  const std::string own = "https://kubernetes.default.svc.cluster.local";
  EXPECT_EQ(why(good, R"(["a","b"])"),
            "[invalid bearer token, token audiences [\"" + own + "\"] is invalid for the target audiences [\"a\" \"b\"]]");
  EXPECT_EQ(why(*net::sign_jwt(*net::new_private_key_pem(), R"({"iss":")" + own + "\"}")),
            "[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]");
  const std::string key = file_text(live_.server().credentials().service_account_key);
  auto token_of = [&](std::int64_t end, const std::string& uid) {
    return *net::sign_jwt(key, R"({"iss":")" + own + R"(","aud":[")" + own + R"("],"exp":)" + std::to_string(end) +
                                   R"(,"kubernetes.io":{"namespace":"default","serviceaccount":{"name":"robot","uid":")" + uid + "\"}}}");
  };
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(real_world().clock.now().time_since_epoch()).count();
  const std::string uid = account["metadata"]["uid"].str();
  EXPECT_EQ(why(token_of(now - 90, uid)), "[invalid bearer token, service account token has expired]");
  EXPECT_EQ(why(token_of(now - 5, uid)), "") << "clocks differ: a minute is forgiven";
  EXPECT_EQ(why(token_of(now + 60, "other")), "[invalid bearer token, service account UID (" + uid + ") does not match claim (other)]");
  live_.must("DELETE", "/api/v1/namespaces/default/secrets/s");
  EXPECT_EQ(why(good), "[invalid bearer token, service account token has been invalidated]");
  live_.must("DELETE", accounts + "/robot");
  EXPECT_EQ(why(good), "[invalid bearer token, serviceaccounts \"robot\" not found]");
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
       "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required"},
      {head +
           "jwt: [{issuer: {url: 'https://u@x/y?q=1#f', discoveryURL: 'https://x/', audiences: [a, '', a], audienceMatchPolicy: MatchAny}, "
           "claimMappings: {username: {claim: sub, prefix: ''}}}]",
       "jwt[0].issuer.url: Invalid value: \"https://u@x/y?q=1#f\": URL must not contain a username or password; "
       "jwt[0].issuer.url: Invalid value: \"https://u@x/y?q=1#f\": URL must not contain a query; "
       "jwt[0].issuer.url: Invalid value: \"https://u@x/y?q=1#f\": URL must not contain a fragment; "
       "jwt[0].issuer.audiences[1]: Required value: audience can't be empty; jwt[0].issuer.audiences[2]: Duplicate value: \"a\""},
      {head + "jwt: [{issuer: {url: 'https://x', discoveryURL: 'https://x/', audiences: [a]}, claimMappings: {username: {claim: sub, "
              "prefix: ''}}}]",
       "discoveryURL must be different from URL"},
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
      {head + "jwt: [{issuer: {url: 'https://x', audiences: [a]}, claimMappings: {username: {expression: claims.sub}}, "
              "claimValidationRules: [{}, {claim: a, expression: b}, {claim: hd, message: m}, {claim: hd}, {expression: 'true', "
              "requiredValue: v}], userValidationRules: [{message: m}, {expression: 'true'}, {expression: 'true'}]}]",
       "jwt[0].claimValidationRules[0]: Required value: claim or expression is required; "
       "jwt[0].claimValidationRules[1]: Invalid value: \"a\": claim and expression can't both be set; "
       "jwt[0].claimValidationRules[2].message: Invalid value: \"m\": message can't be set when claim is set; "
       "jwt[0].claimValidationRules[3].claim: Duplicate value: \"hd\"; "
       "jwt[0].claimValidationRules[4].requiredValue: Invalid value: \"v\": requiredValue can't be set when expression is set; "
       "jwt[0].userValidationRules[0].expression: Required value: expression is required; "
       "jwt[0].userValidationRules[2].expression: Duplicate value: \"true\""},
      {head + "jwt: [{issuer: {url: 'https://x', audiences: [a]}, claimMappings: {username: {expression: claims.email}, extra: [{key: "
              "example.com/x, valueExpression: claims.email_verified_at}]}}]",
       "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": claims.email_verified must be used in"},
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
