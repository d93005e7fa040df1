#include "apiserver/audit/audit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "apiserver/hooks/test_hook.h"
#include "apiserver/testing/live_server.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/testing/eventually.h"
#include "document/json.h"
#include "net/certificates.h"
#include "net/server.h"

namespace kybern::apiserver::audit {
namespace {

RequestInfo about(std::string verb, std::string group, std::string resource, std::string ns = "", std::string name = "",
                  std::string subresource = "") {
  RequestInfo info;
  info.is_resource = true;
  info.verb = std::move(verb), info.group = std::move(group), info.resource = std::move(resource), info.ns = std::move(ns),
  info.name = std::move(name), info.subresource = std::move(subresource);
  return info;
}
RequestInfo path(std::string text) {
  RequestInfo info;
  info.verb = "get", info.path = std::move(text);
  return info;
}

constexpr std::string_view policy_text = R"(
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: ["system:kube-proxy"], verbs: [watch], resources: [{group: "", resources: [endpoints, services]}]}
- {level: None, userGroups: ["system:authenticated"], nonResourceURLs: ["/api*", /version]}
- {level: Request, resources: [{group: "", resources: [configmaps], resourceNames: [controller-leader]}], namespaces: [kube-system]}
- {level: Metadata, resources: [{group: "", resources: [secrets, "pods/*"]}], omitStages: [ResponseStarted], omitManagedFields: false}
- {level: Request, resources: [{group: apps, resources: ["*/scale"]}]}
- {level: RequestResponse, resources: [{group: apps}]}
- {level: Metadata, namespaces: [""]}
)";

TEST(AuditPolicy, TheFirstRuleThatMatchesDecides) {
  auto policy = Policy::parse(policy_text);
  ASSERT_TRUE(policy) << policy.error().message;
  const User proxy{"system:kube-proxy", "", {"system:authenticated"}, {}}, other{"u", "", {"system:authenticated"}, {}},
      nobody{"n", "", {}, {}};
  struct Case {
    User user;
    RequestInfo info;
    Level level;
  };
  const Case cases[] = {
      {proxy, about("watch", "", "services"), Level::none},
      {proxy, about("list", "", "services", "x"), Level::none},
      {other, path("/api"), Level::none},
      {other, path("/apis/apps"), Level::none},
      {nobody, path("/version"), Level::none},
      {other, about("update", "", "configmaps", "kube-system", "controller-leader"), Level::request},
      {other, about("update", "", "configmaps", "kube-system", "other"), Level::none},
      {other, about("get", "", "secrets", "x"), Level::metadata},
      {other, about("create", "", "pods", "x", "p", "exec"), Level::metadata},
      {other, about("get", "", "pods", "x", "p"), Level::metadata},  // "pods/*" has pods in it, too
      {other, about("get", "", "services", "x", "p"), Level::none},
      {other, about("update", "apps", "deployments", "x", "d", "scale"), Level::request},
      {other, about("update", "apps", "deployments", "x", "d"), Level::request_response},
      {other, about("get", "", "nodes"), Level::metadata},
  };
  for (const Case& c : cases)
    EXPECT_EQ(policy->judge(c.user, c.info).level, c.level) << c.user.name << " " << c.info.verb << " " << c.info.resource << c.info.path;
  const Verdict secret = policy->judge(other, about("get", "", "secrets", "x"));
  EXPECT_EQ(secret.omitted_stages, static_cast<unsigned>(Stage::request_received) | static_cast<unsigned>(Stage::response_started));
  EXPECT_FALSE(secret.omit_managed_fields);
  EXPECT_TRUE(policy->judge(other, about("get", "", "nodes")).omit_managed_fields);
}

TEST(AuditPolicy, WhatIsWrongIsSaid) {
  const std::pair<std::string, std::string> cases[] = {
      {"kind: Policy\napiVersion: v1\nrules: []", "expected apiVersion audit.k8s.io/v1, kind Policy"},
      {"kind: Policy\napiVersion: audit.k8s.io/v1\nrules: []", "loaded illegal policy with 0 rules"},
      {"kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: All}]", "rules[0].level: Unsupported value: \"All\""},
      {"kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: None, user: [x]}]", "unknown field \"rules[0].user\""},
      {"kind: Policy\napiVersion: audit.k8s.io/v1\nomitStages: [Never]\nrules: [{level: None}]", "omitStages[0]: Invalid value: \"Never\""},
      {"kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: None, nonResourceURLs: [/a], namespaces: [x]}]",
       "rules cannot apply to both"},
      {"kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: None, nonResourceURLs: ['/a*b']}]", "must be the final character"},
      {"{", ""},
  };
  for (const auto& [text, why] : cases) {
    auto policy = Policy::parse(text);
    ASSERT_FALSE(policy) << text;
    EXPECT_NE(policy.error().message.find(why), std::string::npos) << policy.error().message;
  }
}

std::vector<Document> lines(const std::string& file) {
  std::ifstream in(file);
  std::vector<Document> out;
  for (std::string line; std::getline(in, line) && !in.eof();) {  // a line without its end is still being written
    auto document = parse_json(line);
    EXPECT_TRUE(document) << line;
    if (document) out.push_back(*document);
  }
  return out;
}

struct TestClock : Clock {
  Time now() const override { return at; }
  Instant steady() const override { return {}; }
  Time at = *parse_rfc3339("2026-03-01T12:00:00Z");
};

class AuditLog : public ::testing::Test {
 protected:
  std::size_t set_aside() const {
    std::size_t out = 0;
    for (const auto& entry : std::filesystem::directory_iterator(logs_)) out += entry.path().filename() != "a.log";
    return out;
  }
  const testing::LiveServer live_;  // its folder alone
  const std::string logs_ = live_.folder() + "/logs";
  TestClock clock_;
  World world_{clock_, real_world().random, real_world().executor};
};

TEST_F(AuditLog, IsSetAsideWhenItHasGrown) {
  auto file = RotatingFile::open(logs_ + "/a.log", 64, 2, 0, false, world_);
  ASSERT_TRUE(file);
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE((*file)->write(std::string(40, static_cast<char>('a' + i)) + "\n"));
    clock_.at += std::chrono::milliseconds(1);
  }
  EXPECT_TRUE(eventually([&] { return set_aside() == 2; }));
  EXPECT_TRUE(std::filesystem::exists(logs_ + "/a-2026-03-01T12-00-00.007.log"));
  std::ifstream in(logs_ + "/a.log");
  std::string last;
  std::getline(in, last);
  EXPECT_EQ(last, std::string(40, 'h'));
}

TEST_F(AuditLog, OldOnesGo) {
  auto file = RotatingFile::open(logs_ + "/a.log", 64, 0, 3, false, world_);
  ASSERT_TRUE(file);
  for (int day = 0; day < 8; ++day) {
    ASSERT_TRUE((*file)->write(std::string(40, 'x') + "\n"));
    clock_.at += std::chrono::hours(24);
  }
  EXPECT_TRUE(eventually([&] { return set_aside() == 4; })) << "of today and three days before";
}

TEST_F(AuditLog, TheyAreCompressed) {
  auto file = RotatingFile::open(logs_ + "/a.log", 10, 0, 0, true, world_);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write(std::string(1000, 'x')));
  ASSERT_TRUE((*file)->write("y"));
  const std::filesystem::path old = logs_ + "/a-2026-03-01T12-00-00.000.log";
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(old); }));
  EXPECT_LT(std::filesystem::file_size(old.string() + ".gz"), 100u);
}

// Runs nothing before it is told to.
struct HeldExecutor : Executor {
  void post(Task task) override { held.push_back(std::move(task)); }
  TimerId post_after(Duration, Task) override { return 0; }
  void cancel(TimerId) override {}
  void wait(Duration) override {}
  void run() {
    for (Task& task : std::exchange(held, {})) task();
  }
  std::vector<Task> held;
};

TEST_F(AuditLog, NobodyWaitsForItsCompression) {
  HeldExecutor executor;
  const World world{clock_, real_world().random, executor};
  auto file = RotatingFile::open(logs_ + "/a.log", 10, 1, 0, true, world);
  ASSERT_TRUE(file);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE((*file)->write(std::string(1000, static_cast<char>('a' + i))));
    clock_.at += std::chrono::milliseconds(1);
  }
  EXPECT_EQ(set_aside(), 3u) << "as they were";
  EXPECT_EQ(executor.held.size(), 1u) << "one task for all of them";
  executor.run();
  EXPECT_EQ(set_aside(), 1u);
  EXPECT_TRUE(std::filesystem::exists(logs_ + "/a-2026-03-01T12-00-00.003.log.gz"));
  // What was set aside when the process ended is packed by the next one.
  ASSERT_TRUE((*file)->write(std::string(1000, 'z')));
  file->reset();
  executor.run();
  file = RotatingFile::open(logs_ + "/a.log", 10, 0, 0, true, world);
  ASSERT_TRUE(file);
  executor.run();
  EXPECT_FALSE(std::filesystem::exists(logs_ + "/a-2026-03-01T12-00-00.004.log"));
  EXPECT_TRUE(std::filesystem::exists(logs_ + "/a-2026-03-01T12-00-00.004.log.gz"));
}

// A server of its own that audits to a file and to a webhook.
class AuditedServer : public ::testing::Test {
 protected:
  void SetUp() override {
    auto hook = net::Server::start(net::ServerOptions(), [this](std::shared_ptr<net::Exchange> exchange) {
      auto list = parse_json(exchange->request().body);
      std::lock_guard lock(mutex_);
      if (list)
        for (Value item : (*list)["items"].items()) sent_.push_back(item.document());
      exchange->respond({200, {}, ""});
    });
    ASSERT_TRUE(hook) << hook.error().message;
    hook_ = std::move(*hook);
    ServerOptions options = live_.options();
    options.audit.policy_file = live_.write(
        "policy",
        "kind: Policy\napiVersion: audit.k8s.io/v1\nomitManagedFields: true\nrules:\n- {level: RequestResponse, resources: [{group: "
        "'', resources: [configmaps]}]}\n- {level: Metadata, resources: [{group: '', resources: [secrets, pods, "
        "serviceaccounts/token]}]}\n- {level: Metadata, "
        "nonResourceURLs: [/version], omitStages: [RequestReceived]}\n");
    options.audit.log_path = live_.folder() + "/audit.log";
    options.audit.webhook_config = live_.write(
        "hook", "kind: Config\napiVersion: v1\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:" + std::to_string(hook_->port()) +
                    "/events'}}]\n");
    options.audit.webhook_batch.max_wait = "10ms";
    auto started = live_.start(std::move(options));
    ASSERT_TRUE(started) << started.error().message;
  }
  void TearDown() override {
    live_.stop();
    if (hook_) hook_->stop(std::chrono::seconds(1));
    hook_.reset();
  }
  int http(std::string_view method, std::string target, std::string body = "", const char* token = "secret-admin") {
    return live_.http(method, std::move(target), {{"content-type", "application/json"}, {"user-agent", "tester"}}, std::move(body), token)
        .status;
  }
  // The last event of a stage for a URI, by that user when one is named; waits for it.
  Document event(std::string_view uri, std::string_view stage, std::string_view verb, std::string_view user = "") {
    Document found;
    EXPECT_TRUE(eventually([&] {
      for (const Document& line : lines(live_.folder() + "/audit.log"))
        if (line["requestURI"].as_string() == uri && line["stage"].as_string() == stage && line["verb"].as_string() == verb &&
            (user.empty() || line["user"]["username"].as_string() == user))
          found = line;
      return static_cast<bool>(found);
    })) << uri
        << " " << stage;
    return found;
  }

  testing::LiveServer live_;
  std::unique_ptr<net::Server> hook_;
  std::mutex mutex_;
  std::vector<Document> sent_;
};

TEST_F(AuditedServer, RequestsLeaveATrail) {
  const std::string maps = "/api/v1/namespaces/default/configmaps";
  EXPECT_EQ(http("POST", maps, R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}})"), 201);
  const Document made = event(maps, "ResponseComplete", "create");
  ASSERT_TRUE(made);
  EXPECT_EQ(made["level"].as_string(), "RequestResponse");
  EXPECT_EQ(made["user"]["username"].as_string(), "admin");
  EXPECT_EQ(made["sourceIPs"][0].as_string(), "127.0.0.1");
  EXPECT_EQ(made["userAgent"].as_string(), "tester");
  EXPECT_EQ(to_json(made["objectRef"]), R"({"resource":"configmaps","namespace":"default","apiVersion":"v1","name":"a"})");
  EXPECT_EQ(to_json(made["responseStatus"]), R"({"metadata":{},"code":201})");
  EXPECT_EQ(made["requestObject"]["data"]["k"].as_string(), "v");
  EXPECT_TRUE(made["responseObject"]["metadata"]["uid"].exists());
  EXPECT_FALSE(made["responseObject"]["metadata"]["managedFields"].exists());
  EXPECT_EQ(made["annotations"]["authorization.k8s.io/decision"].as_string(), "allow");
  EXPECT_TRUE(event(maps, "RequestReceived", "create"));

  EXPECT_EQ(http("GET", maps), 200);
  EXPECT_GE(event(maps, "ResponseComplete", "list")["responseObject"]["items"].size(), 1u);

  const std::string secret = "/api/v1/namespaces/default/secrets/none";
  EXPECT_EQ(http("GET", secret), 404);
  const Document missing = event(secret, "ResponseComplete", "get");
  EXPECT_EQ(missing["responseStatus"]["reason"].as_string(), "NotFound");
  EXPECT_FALSE(missing["responseObject"].exists());

  EXPECT_EQ(http("GET", secret, "", "secret-user"), 403);
  const Document refused = event(secret, "ResponseComplete", "get", "jane");
  EXPECT_EQ(refused["annotations"]["authorization.k8s.io/decision"].as_string(), "forbid");

  EXPECT_EQ(http("GET", secret, "", "wrong"), 401);
  EXPECT_EQ(event(secret, "ResponseStarted", "get")["responseStatus"]["message"].as_string(), "Authentication failed, attempted: bearer");

  EXPECT_EQ(http("GET", "/version"), 200);
  EXPECT_TRUE(event("/version", "ResponseComplete", "get"));
  EXPECT_EQ(http("GET", "/api/v1/nodes"), 200);
  for (const Document& line : lines(live_.folder() + "/audit.log")) EXPECT_NE(line["requestURI"].as_string(), "/api/v1/nodes");

  EXPECT_TRUE(eventually([&] {
    std::lock_guard lock(mutex_);
    return std::any_of(sent_.begin(), sent_.end(),
                       [&](const Document& e) { return e["auditID"].as_string() == made["auditID"].as_string(); });
  })) << "the webhook is told";
}

TEST_F(AuditedServer, AdmissionLeavesItsAnnotations) {
  testing::TestHook hook([](const Document& review) -> net::Response {
    const std::string uid = review["request"]["uid"].str();
    const bool mutates = review["request"]["object"]["data"]["seen"].as_string().empty();
    const std::string patch = base64_encode(R"([{"op":"add","path":"/data/seen","value":"yes"}])");
    return {200,
            {},
            R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":")" + uid +
                R"(","allowed":true,"auditAnnotations":{"why":"because"})" +
                (mutates ? R"(,"patchType":"JSONPatch","patch":")" + patch + "\"" : "") + "}}"};
  });
  auto configure = [&](const std::string& kind, const std::string& client, const std::string& more) {
    live_.must("POST", "/apis/admissionregistration.k8s.io/v1/" + to_lower(kind) + "webhookconfigurations",
               R"({"apiVersion":"admissionregistration.k8s.io/v1","kind":")" + kind + R"(WebhookConfiguration","metadata":{"name":")" +
                   to_lower(kind) + R"("},"webhooks":[{"name":")" + to_lower(kind) + R"(.test.io","clientConfig":)" + client +
                   R"(,"rules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]}],)"
                   R"("sideEffects":"None","admissionReviewVersions":["v1"])" +
                   more + "}]}");
  };
  live_.must(
      "POST", "/api/v1/namespaces",
      R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"held","labels":{"pod-security.kubernetes.io/audit":"baseline"}}})");
  live_.must("POST", "/api/v1/namespaces/held/serviceaccounts",
             R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}})");
  configure("Mutating", hook.url_config(), "");
  configure("Validating", R"({"url":"https://127.0.0.1:1"})", R"(,"failurePolicy":"Ignore")");
  live_.must(
      "POST", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
      R"({"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy","metadata":{"name":"p.test.io"},"spec":{)"
      R"("matchConstraints":{"resourceRules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]}]},)"
      R"x("validations":[{"expression":"false","message":"not so"}],"auditAnnotations":[{"key":"name","valueExpression":"string(object.metadata.name)"}]}})x");
  live_.must("POST", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
             R"({"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicyBinding","metadata":{"name":"b"},"spec":{)"
             R"("policyName":"p.test.io","validationActions":["Audit"]}})");
  const std::string maps = "/api/v1/namespaces/held/configmaps", pods = "/api/v1/namespaces/held/pods";
  EXPECT_EQ(http("POST", maps, R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}})"), 201);
  const Document made = event(maps, "ResponseComplete", "create");
  ASSERT_TRUE(made);
  Value notes = made["annotations"];
  EXPECT_EQ(notes["mutating.test.io/why"].as_string(), "because");
  EXPECT_EQ(notes["mutation.webhook.admission.k8s.io/round_0_index_0"].as_string(),
            R"({"configuration":"mutating","webhook":"mutating.test.io","mutated":true})");
  EXPECT_EQ(
      notes["patch.webhook.admission.k8s.io/round_0_index_0"].as_string(),
      R"({"configuration":"mutating","webhook":"mutating.test.io","patch":[{"op":"add","path":"/data/seen","value":"yes"}],"patchType":"JSONPatch"})");
  EXPECT_EQ(notes["failed-open.validating.webhook.admission.k8s.io/round_0_index_0"].as_string(), "validating.test.io");
  EXPECT_EQ(notes["p.test.io/name"].as_string(), "a");
  EXPECT_EQ(notes["validation.policy.admission.k8s.io/validation_failure"].as_string(),
            R"([{"message":"not so","policy":"p.test.io","binding":"b","expressionIndex":0,"validationActions":["Audit"]}])");
  EXPECT_EQ(
      http(
          "POST", pods,
          R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"hostNetwork":true,"containers":[{"name":"c","image":"i"}]}})"),
      201);
  const Document pod = event(pods, "ResponseComplete", "create");
  EXPECT_EQ(pod["annotations"]["pod-security.kubernetes.io/enforce-policy"].as_string(), "privileged:latest");
  EXPECT_EQ(pod["annotations"]["pod-security.kubernetes.io/audit-violations"].as_string(),
            "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)");
}

TEST_F(AuditedServer, CredentialsLeaveTheirAnnotations) {
  auto call = [&](std::string_view method, const std::string& path, const std::string& body = "") {
    return live_.must(method, "/api/v1/namespaces/default" + path, body);
  };
  const Document account = call("POST", "/serviceaccounts",
                                R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"},"secrets":[{"name":"old"}]})");
  const std::string key = file_text(live_.server().credentials().service_account_key);
  auto make = [&](const std::string& secret) {
    const std::string token = *net::sign_jwt(
        key,
        R"({"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"default","kubernetes.io/serviceaccount/secret.name":")" +
            secret +
            R"(","kubernetes.io/serviceaccount/service-account.name":"robot","kubernetes.io/serviceaccount/service-account.uid":")" +
            account["metadata"]["uid"].str() + R"(","sub":"system:serviceaccount:default:robot"})");
    call(
        "POST", "/secrets",
        R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":")" + secret +
            R"(","annotations":{"kubernetes.io/service-account.name":"robot"}},"type":"kubernetes.io/service-account-token","data":{"token":")" +
            base64_encode(token) + "\"}}");
    return token;
  };
  const std::string made = make("old"), by_hand = make("own");
  auto warnings = [&](const std::string& uri, const std::string& token) {
    return live_.http("GET", uri, {}, "", token.c_str()).headers.all("warning").size();
  };
  const std::string at = "/api/v1/namespaces/default/secrets/";
  EXPECT_EQ(live_.http("GET", at + "a", {}, "", made.c_str()).headers.get("warning"),
            "299 - \"Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based "
            "tokens.\"");
  EXPECT_EQ(warnings(at + "a", made), 1u) << "each time, also of a refusal";
  EXPECT_EQ(warnings(at + "b", by_hand), 0u);
  EXPECT_EQ(
      event(at + "a", "ResponseComplete", "get")["annotations"]["authentication.k8s.io/legacy-token-autogenerated-secret"].as_string(),
      "old");
  const Document own = event(at + "b", "ResponseComplete", "get");
  EXPECT_EQ(own["annotations"]["authentication.k8s.io/legacy-token-manual-secret"].as_string(), "own");
  EXPECT_EQ(own["annotations"]["authentication.k8s.io/legacy-token"].as_string(), "system:serviceaccount:default:robot");
  const std::string metrics = live_.http("GET", "/metrics").body;
  auto uses = metrics.find("\nserviceaccount_legacy_tokens_total ");
  ASSERT_NE(uses, std::string::npos);
  EXPECT_GE(parse_int(metrics.substr(uses + 36, metrics.find('\n', uses + 1) - uses - 36)).value_or(0), 2);
  call("PATCH", "/secrets/old",
       R"({"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":"2026-01-01","kubernetes.io/legacy-token-last-used":null}}})");
  EXPECT_EQ(http("GET", at + "c", "", made.c_str()), 401);
  EXPECT_EQ(event(at + "c", "ResponseStarted", "get")["annotations"]["authentication.k8s.io/legacy-token-invalidated"].as_string(),
            "old/default");
  EXPECT_TRUE(eventually([&] {
    return call("GET", "/secrets/old")["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"].exists();
  })) << "that somebody uses it is still noted";
}

TEST_F(AuditedServer, AnIssuedTokenIsNamed) {
  live_.must("POST", "/api/v1/namespaces/default/serviceaccounts",
             R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}})");
  const std::string at = "/api/v1/namespaces/default/serviceaccounts/robot/token";
  auto answer = live_.http("POST", at, {{"content-type", "application/json"}},
                           R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}})");
  ASSERT_EQ(answer.status, 201) << answer.body;
  const Document claims = *parse_json(net::decode_jwt((*parse_json(answer.body))["status"]["token"].str())->claims_json);
  EXPECT_EQ(event(at, "ResponseComplete", "create")["annotations"]["authentication.kubernetes.io/issued-credential-id"].as_string(),
            "JTI=" + claims["jti"].str());
}

TEST_F(AuditedServer, WhoActsForAnotherByWhichRight) {
  const std::string at = "/api/v1/namespaces/default/secrets/";
  live_.http("GET", at + "x", {{"impersonate-user", "bob"}});
  const Document constrained = event(at + "x", "ResponseComplete", "get");
  EXPECT_EQ(constrained["user"]["username"].as_string(), "admin");
  EXPECT_EQ(constrained["impersonatedUser"]["username"].as_string(), "bob");
  EXPECT_EQ(constrained["authenticationMetadata"]["impersonationConstraint"].as_string(), "impersonate:user-info");
  live_.http("GET", at + "y", {{"impersonate-user", "bob"}, {"impersonate-group", "system:masters"}});
  const Document whole = event(at + "y", "ResponseComplete", "get");
  EXPECT_EQ(whole["impersonatedUser"]["username"].as_string(), "bob");
  EXPECT_FALSE(whole["authenticationMetadata"].exists());
}

TEST_F(AuditedServer, BadOptionsAreRefused) {
  testing::LiveServer other;
  ServerOptions options = other.options();
  options.audit.policy_file = other.folder() + "/none";
  auto server = other.start(options);
  ASSERT_FALSE(server);
  EXPECT_TRUE(server.error().message.starts_with("loading audit policy file: ")) << server.error().message;
  options.audit.policy_file = live_.folder() + "/policy";
  options.audit.log_path = other.folder() + "/x.log";
  options.audit.log_batch.mode = "never";
  server = other.start(options);
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().message, "invalid audit log mode never, allowed modes are \"batch,blocking,blocking-strict\"");
}

}  // namespace
}  // namespace kybern::apiserver::audit
