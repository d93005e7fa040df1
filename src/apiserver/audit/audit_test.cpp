#include "apiserver/audit/audit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "apiserver/testing/live_server.h"
#include "base/testing/eventually.h"
#include "document/json.h"
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
  EXPECT_EQ(set_aside(), 2u);
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
  EXPECT_EQ(set_aside(), 4u);  // of today and three days before
}

TEST_F(AuditLog, TheyAreCompressed) {
  auto file = RotatingFile::open(logs_ + "/a.log", 10, 0, 0, true, world_);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write(std::string(1000, 'x')));
  ASSERT_TRUE((*file)->write("y"));
  bool packed = false;
  for (const auto& entry : std::filesystem::directory_iterator(logs_))
    packed = packed || (entry.path().extension() == ".gz" && entry.file_size() < 100);
  EXPECT_TRUE(packed);
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
        "'', resources: [configmaps]}]}\n- {level: Metadata, resources: [{group: '', resources: [secrets]}]}\n- {level: Metadata, "
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
