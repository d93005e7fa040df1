#include "apiserver/audit/audit.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "apiserver/server.h"
#include "base/strings.h"
#include "document/json.h"
#include "net/certificates.h"
#include "net/client.h"
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

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/audit-test-XXXXXX";
    folder_ = ::mkdtemp(pattern);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, std::string_view text) const {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }
  static std::vector<Document> lines(const std::string& file) {
    std::ifstream in(file);
    std::vector<Document> out;
    for (std::string line; std::getline(in, line);) {
      auto document = parse_json(line);
      EXPECT_TRUE(document) << line;
      if (document) out.push_back(*document);
    }
    return out;
  }
  std::string folder_;
};

using AuditLog = Folder;

TEST_F(AuditLog, IsSetAsideWhenItHasGrown) {
  auto file = RotatingFile::open(folder_ + "/a.log", 64, 2, 0, false, real_world());
  ASSERT_TRUE(file);
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE((*file)->write(std::string(40, static_cast<char>('a' + i)) + "\n"));
    const auto begun = std::chrono::system_clock::now();
    while (std::chrono::system_clock::now() - begun < std::chrono::milliseconds(2))
      std::this_thread::yield();  // names are by the millisecond
  }
  std::size_t aside = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) aside += entry.path().filename() != "a.log";
  EXPECT_EQ(aside, 2u);
  std::ifstream in(folder_ + "/a.log");
  std::string last;
  std::getline(in, last);
  EXPECT_EQ(last, std::string(40, 'h'));
}

TEST_F(AuditLog, OldOnesAreCompressed) {
  auto file = RotatingFile::open(folder_ + "/a.log", 10, 0, 0, true, real_world());
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write(std::string(1000, 'x')));
  ASSERT_TRUE((*file)->write("y"));
  bool packed = false;
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    packed = packed || (entry.path().extension() == ".gz" && entry.file_size() < 100);
  EXPECT_TRUE(packed);
}

// A server of its own that audits to a file and to a webhook.
class AuditedServer : public Folder {
 protected:
  void SetUp() override {
    Folder::SetUp();
    auto hook = net::Server::start(net::ServerOptions(), [this](std::shared_ptr<net::Exchange> exchange) {
      auto list = parse_json(exchange->request().body);
      std::lock_guard lock(mutex_);
      if (list)
        for (Value item : (*list)["items"].items()) sent_.push_back(item.document());
      exchange->respond({200, {}, ""});
    });
    ASSERT_TRUE(hook) << hook.error().message;
    hook_ = std::move(*hook);
    write("tokens", "secret-admin,admin,,\"system:masters\"\nsecret-user,jane,,\"people\"\n");
    ServerOptions options;
    options.data_dir = folder_ + "/data";
    options.bind_address = options.advertise_address = "127.0.0.1";
    options.secure_port = 0;
    options.token_file = folder_ + "/tokens";
    options.audit.policy_file =
        write("policy",
              "kind: Policy\napiVersion: audit.k8s.io/v1\nomitManagedFields: true\nrules:\n- {level: RequestResponse, resources: [{group: "
              "'', resources: [configmaps]}]}\n- {level: Metadata, resources: [{group: '', resources: [secrets]}]}\n- {level: Metadata, "
              "nonResourceURLs: [/version], omitStages: [RequestReceived]}\n");
    options.audit.log_path = folder_ + "/audit.log";
    options.audit.webhook_config = write("hook", "kind: Config\napiVersion: v1\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:" +
                                                     std::to_string(hook_->port()) + "/events'}}]\n");
    options.audit.webhook_batch.max_wait = "10ms";
    auto server = ApiServer::start(options, real_world());
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    net::ClientOptions client;
    client.url = "https://127.0.0.1:" + std::to_string(server_->port());
    client.tls.insecure = true;
    client_ = std::move(*net::HttpClient::make(client));
  }
  void TearDown() override {
    client_.reset();
    if (server_) server_->stop(std::chrono::seconds(1));
    server_.reset();
    if (hook_) hook_->stop(std::chrono::seconds(1));
    hook_.reset();
    Folder::TearDown();
  }
  int http(std::string method, std::string target, std::string body = "", std::string token = "secret-admin") {
    auto out = client_->call({std::move(method),
                              std::move(target),
                              {{"authorization", "Bearer " + token}, {"content-type", "application/json"}, {"user-agent", "tester"}},
                              std::move(body)});
    EXPECT_TRUE(out);
    return out ? out->status : 0;
  }
  // The last event of a stage for a URI.
  Document event(std::string_view uri, std::string_view stage, std::string_view verb) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (;;) {
      Document found;
      for (const Document& line : lines(folder_ + "/audit.log"))
        if (line["requestURI"].as_string() == uri && line["stage"].as_string() == stage && line["verb"].as_string() == verb) found = line;
      if (found || std::chrono::steady_clock::now() > end) return found;
      std::this_thread::yield();
    }
  }

  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<net::Server> hook_;
  std::unique_ptr<net::HttpClient> client_;
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
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  Document refused;
  while (refused = event(secret, "ResponseComplete", "get"),
         refused["user"]["username"].as_string() != "jane" && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  EXPECT_EQ(refused["annotations"]["authorization.k8s.io/decision"].as_string(), "forbid");

  EXPECT_EQ(http("GET", secret, "", "wrong"), 401);
  EXPECT_EQ(event(secret, "ResponseStarted", "get")["responseStatus"]["message"].as_string(), "Authentication failed, attempted: bearer");

  EXPECT_EQ(http("GET", "/version"), 200);
  EXPECT_TRUE(event("/version", "ResponseComplete", "get"));
  EXPECT_EQ(http("GET", "/api/v1/nodes"), 200);
  for (const Document& line : lines(folder_ + "/audit.log")) EXPECT_NE(line["requestURI"].as_string(), "/api/v1/nodes");

  for (;;) {
    std::lock_guard lock(mutex_);
    bool there = false;
    for (const Document& e : sent_) there = there || e["auditID"].as_string() == made["auditID"].as_string();
    if (there) break;
    ASSERT_LT(std::chrono::steady_clock::now(), end + std::chrono::seconds(10));
  }
}

TEST_F(AuditedServer, BadOptionsAreRefused) {
  ServerOptions options;
  options.data_dir = folder_ + "/other";
  options.bind_address = options.advertise_address = "127.0.0.1";
  options.secure_port = 0;
  options.audit.policy_file = folder_ + "/none";
  auto server = ApiServer::start(options, real_world());
  ASSERT_FALSE(server);
  EXPECT_TRUE(server.error().message.starts_with("loading audit policy file: ")) << server.error().message;
  options.audit.policy_file = folder_ + "/policy";
  options.audit.log_path = folder_ + "/x.log";
  options.audit.log_batch.mode = "never";
  server = ApiServer::start(options, real_world());
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().message, "invalid audit log mode never, allowed modes are \"batch,blocking,blocking-strict\"");
}

}  // namespace
}  // namespace kybern::apiserver::audit
