// The API server over HTTPS and from inside, without controllers: what only the whole of it shows.
#include "apiserver/server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <atomic>
#include <map>
#include <thread>

#include "apiserver/testing/live_server.h"
#include "base/testing/eventually.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

User kubelet(const std::string& node) { return {"system:node:" + node, "", {"system:nodes", "system:authenticated"}, {}}; }

Document json(const std::string& text) {
  auto out = parse_json(text);
  EXPECT_TRUE(out) << text;
  return out ? *out : Document();
}

std::string gunzip(const std::string& bytes) {
  z_stream z{};
  inflateInit2(&z, 15 + 16);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  for (int result = Z_OK; result == Z_OK;) {
    char piece[16384];
    z.next_out = reinterpret_cast<Bytef*>(piece);
    z.avail_out = sizeof piece;
    result = inflate(&z, Z_NO_FLUSH);
    out.append(piece, sizeof piece - z.avail_out);
  }
  inflateEnd(&z);
  return out;
}

const char* small_pod =
    R"({"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"p-"},"spec":{"containers":[{"name":"c","image":"i"}]}})";

class ApiServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    live_ = std::make_unique<testing::LiveServer>();
    ASSERT_TRUE(live_->start());
  }
  static void TearDownTestSuite() { live_.reset(); }
  void SetUp() override {
    ns_ = fmt::format("t{}", ++serial_);
    must(admin, "POST", "/api/v1/namespaces", fmt::format(R"({{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{}"}}}})", ns_));
  }

  static ApiResult<Document> call(const User& user, std::string_view method, const std::string& path, const std::string& body = "",
                                  std::string_view query = "", std::string_view patch = "merge") {
    return live_->call(method, path, body, query, patch, user);
  }
  static Document must(const User& user, std::string_view method, const std::string& path, const std::string& body = "") {
    return live_->must(method, path, body, user);
  }
  std::string in_ns(std::string_view rest) const { return fmt::format("/api/v1/namespaces/{}/{}", ns_, rest); }
  void make_account() const {
    must(admin, "POST", in_ns("serviceaccounts"), R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}})");
  }
  static std::string config_map(const std::string& name, const std::string& value = "v") {
    return fmt::format(R"({{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{}"}},"data":{{"k":"{}"}}}})", name, value);
  }
  static net::Response http(std::string_view method, std::string target, net::Headers headers = {}, std::string body = "",
                            const char* token = "secret-admin") {
    return live_->http(method, std::move(target), std::move(headers), std::move(body), token);
  }

  // Waits until the user's requests fall under a FlowSchema: a change of the configuration is seen a moment later.
  bool flow_becomes(const std::string& uid) const {
    return eventually(
        [&] { return http("GET", in_ns("configmaps"), {}, "", "secret-user").headers.get("x-kubernetes-pf-flowschema-uid") == uid; });
  }

  static inline const User& admin = testing::admin();
  static inline std::unique_ptr<testing::LiveServer> live_;
  static inline int serial_ = 0;
  std::string ns_;
};

TEST_F(ApiServerTest, MetricsTellOfRequests) {
  must(admin, "POST", in_ns("configmaps"), config_map("a"));
  EXPECT_EQ(http("GET", in_ns("configmaps/a")).status, 200);
  EXPECT_EQ(http("GET", in_ns("configmaps/none")).status, 404);
  EXPECT_EQ(http("GET", "/api/v1/nonsense").status, 404);
  net::Response answer = http("GET", "/metrics");
  ASSERT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.headers.get("content-type").starts_with("text/plain; version=0.0.4"));
  for (
      std::string_view line :
      {R"(apiserver_request_total{verb="GET",dry_run="",group="",version="v1",resource="configmaps",subresource="",scope="resource",component="apiserver",code="404"})",
       R"(apiserver_request_duration_seconds_count{verb="GET",dry_run="",group="",version="v1",resource="configmaps",subresource="",scope="resource",component="apiserver"})",
       R"(apiserver_storage_objects{resource="configmaps"})", R"(apiserver_storage_objects{resource="apiservices.apiregistration.k8s.io"})",
       "apiserver_current_inflight_requests{request_kind=\"readOnly\"}", "process_resident_memory_bytes ", "process_start_time_seconds ",
       R"(apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"})"})
    EXPECT_NE(answer.body.find(line), std::string::npos) << line;
  EXPECT_EQ(answer.body.find("nonsense"), std::string::npos);
  EXPECT_EQ(http("GET", "/metrics", {}, "", nullptr).status, 403);
  EXPECT_EQ(http("GET", "/metrics", {}, "", "secret-user").status, 403);
}

TEST_F(ApiServerTest, LargeAnswersAreCompressedWhenAsked) {
  for (int i = 0; i < 40; ++i)
    must(admin, "POST", in_ns("configmaps"), config_map(fmt::format("c{}", i), std::string(20000, static_cast<char>('a' + i % 26))));
  net::Response plain = http("GET", in_ns("configmaps"));
  EXPECT_EQ(plain.headers.get("content-encoding"), "");
  ASSERT_GT(plain.body.size(), 700000u);
  net::Response packed = http("GET", in_ns("configmaps"), {{"accept-encoding", "gzip"}});
  EXPECT_EQ(packed.headers.get("content-encoding"), "gzip");
  EXPECT_EQ(packed.headers.get("vary"), "Accept-Encoding");
  EXPECT_LT(packed.body.size(), 100000u);
  EXPECT_EQ(gunzip(packed.body), plain.body);
  net::Response ten = http("GET", in_ns("configmaps?limit=10"), {{"accept-encoding", "gzip"}});  // 200 KB: sent at once
  EXPECT_EQ(ten.headers.get("content-encoding"), "gzip");
  EXPECT_EQ(json(gunzip(ten.body))["items"].size(), 10u);
  EXPECT_EQ(http("GET", in_ns("configmaps/c1"), {{"accept-encoding", "gzip"}}).headers.get("content-encoding"), "");
}

TEST_F(ApiServerTest, EveryAnswerNamesItsFlow) {
  Document schema = must(admin, "GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/global-default");
  Document level = must(admin, "GET", "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/global-default");
  EXPECT_EQ(schema["status"]["conditions"][0]["type"].as_string(), "Dangling");
  EXPECT_EQ(schema["status"]["conditions"][0]["status"].as_string(), "False");
  EXPECT_EQ(level["spec"]["limited"]["limitResponse"]["queuing"]["queues"].as_int(), 128);
  net::Response answer = http("GET", in_ns("configmaps"), {}, "", "secret-user");
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.headers.get("x-kubernetes-pf-flowschema-uid"), schema["metadata"]["uid"].as_string());
  EXPECT_EQ(answer.headers.get("x-kubernetes-pf-prioritylevel-uid"), level["metadata"]["uid"].as_string());
  EXPECT_EQ(answer.headers.get("audit-id").size(), 36u);
  Document exempt = must(admin, "GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/exempt");
  EXPECT_EQ(http("GET", in_ns("configmaps")).headers.get("x-kubernetes-pf-flowschema-uid"), exempt["metadata"]["uid"].as_string());
  // A change of the configuration is seen.
  must(
      admin, "POST", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
      R"({"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"FlowSchema","metadata":{"name":"people"},"spec":{"matchingPrecedence":700,"priorityLevelConfiguration":{"name":"workload-low"},
           "rules":[{"subjects":[{"kind":"Group","group":{"name":"people"}}],"resourceRules":[{"verbs":["list"],"apiGroups":[""],"resources":["configmaps"],"namespaces":["*"]}]}]}})");
  Document people = must(admin, "GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/people");
  EXPECT_TRUE(flow_becomes(people["metadata"]["uid"].str()));
  EXPECT_EQ(http("GET", in_ns("secrets"), {}, "", "secret-user").headers.get("x-kubernetes-pf-flowschema-uid"),
            schema["metadata"]["uid"].as_string());
  must(admin, "DELETE", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/people");
}

// A read without a query goes the short way (http/quick_reads.h), one with a query the long one.
TEST_F(ApiServerTest, AReadIsTheSameByEitherWay) {
  must(admin, "POST", in_ns("configmaps"), config_map("seen"));
  auto parts = [](const net::Response& response) {
    std::map<std::string, std::string> out{{"", std::to_string(response.status) + response.body}};
    for (const auto& [name, value] : response.headers.fields())
      out[name] = name == "date" ? "" : name == "audit-id" ? std::to_string(value.size()) : value;
    return out;
  };
  for (const char* accept :
       {"", "application/json", "application/json, */*", "application/yaml", "application/vnd.kubernetes.protobuf, */*", "text/html"}) {
    for (std::string path : {in_ns("configmaps/seen"), in_ns("configmaps/none"), in_ns("nothings/seen"), "/api/v1/namespaces/" + ns_}) {
      auto long_way = parts(http("GET", path + "?pretty=false", {{"accept", accept}}));
      for (int i = 0; i < 3; ++i) EXPECT_EQ(parts(http("GET", path, {{"accept", accept}})), long_way) << accept << " " << path;
    }
  }
  EXPECT_EQ(http("GET", in_ns("configmaps/seen"), {{"audit-id", "mine"}}).headers.get("audit-id"), "mine");
  must(admin, "PUT", in_ns("configmaps/seen"), config_map("seen", "w"));
  EXPECT_EQ(json(http("GET", in_ns("configmaps/seen")).body)["data"]["k"].as_string(), "w");
}

TEST_F(ApiServerTest, WhatRolesSayCountsFromTheNextRequestOn) {
  for (const char* name : {"seen", "other"}) must(admin, "POST", in_ns("configmaps"), config_map(name));
  std::string base = fmt::format("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/", ns_);
  auto role = [&](std::string_view names) {
    return fmt::format(
        R"({{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{{"name":"r"}},"rules":[{{"apiGroups":[""],"resources":["configmaps"],"verbs":["get"]{}}}]}})",
        names);
  };
  const std::string binding =
      R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"b"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"jane"}]})";
  auto reads = [&](const char* name, const char* as = nullptr) {
    net::Headers headers;
    if (as) headers.add("impersonate-user", as);
    return http("GET", in_ns("configmaps/") + name, headers, "", as ? "secret-admin" : "secret-user").status;
  };
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(reads("seen"), 403);
    must(admin, "POST", base + "roles", role(""));
    must(admin, "POST", base + "rolebindings", binding);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(reads("seen"), 200);
      EXPECT_EQ(reads("other"), 200);
      EXPECT_EQ(reads("seen", "jim"), 403);
    }
    must(admin, "PUT", base + "roles/r", role(R"(,"resourceNames":["other"])"));
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(reads("seen"), 403);
      EXPECT_EQ(reads("other"), 200);
      EXPECT_EQ(reads("other", "jane"), 200);
    }
    must(admin, "DELETE", base + "roles/r");
    EXPECT_EQ(reads("other"), 403);
    must(admin, "POST", base + "roles", role(""));
    EXPECT_EQ(reads("seen"), 200);
    must(admin, "DELETE", base + "rolebindings/b");
    EXPECT_EQ(reads("seen"), 403);
    must(admin, "DELETE", base + "roles/r");
  }
}

TEST_F(ApiServerTest, AFullLevelRefusesWhileOthersGoOn) {
  const std::string group = "/apis/flowcontrol.apiserver.k8s.io/v1/";
  must(
      admin, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
      R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"people"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"Group","name":"people"}]})");
  must(
      admin, "POST", group + "prioritylevelconfigurations",
      R"({"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"PriorityLevelConfiguration","metadata":{"name":"tiny"},"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":1,"borrowingLimitPercent":0,"limitResponse":{"type":"Reject"}}}})");
  must(
      admin, "POST", group + "flowschemas",
      R"({"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"FlowSchema","metadata":{"name":"tiny"},"spec":{"matchingPrecedence":600,"priorityLevelConfiguration":{"name":"tiny"},
           "rules":[{"subjects":[{"kind":"Group","group":{"name":"people"}}],"resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"namespaces":["*"]}]}]}})");
  ASSERT_TRUE(flow_becomes(must(admin, "GET", group + "flowschemas/tiny")["metadata"]["uid"].str()));
  // There is no account in the namespace: the pod waits for it, and holds the only seat of the level.
  bool refused = false, answered = false;
  for (int round = 0; round < 10 && !refused; ++round) {  // the pod waits for a second, in which we may be held up
    std::atomic<bool> done = false;
    std::thread slow([&] {
      int status = 429;  // when the seat is another request's in that instant
      while (status == 429) status = http("POST", in_ns("pods"), {{"content-type", "application/json"}}, small_pod, "secret-user").status;
      EXPECT_EQ(status, 403);
      done = true;
    });
    while (!done && !refused) {
      net::Response answer = http("GET", in_ns("configmaps"), {}, "", "secret-user");
      refused = answer.status == 429;
      if (refused) {
        EXPECT_EQ(answer.headers.get("retry-after"), "1");
        EXPECT_EQ(answer.body, "Too many requests, please try again later.\n");
        answered = http("GET", in_ns("configmaps")).status == 200;
      }
    }
    slow.join();
  }
  EXPECT_TRUE(refused);
  EXPECT_TRUE(answered);
  EXPECT_EQ(http("GET", in_ns("configmaps"), {}, "", "secret-user").status, 200);
  must(admin, "DELETE", group + "flowschemas/tiny");
  must(admin, "DELETE", group + "prioritylevelconfigurations/tiny");
  must(admin, "DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/people");
}

TEST_F(ApiServerTest, BuiltInGroupsHaveAPIServices) {
  Document core = must(admin, "GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.");
  EXPECT_EQ(core["spec"]["groupPriorityMinimum"].as_int(), 18000);
  EXPECT_EQ(core["spec"]["versionPriority"].as_int(), 1);
  EXPECT_FALSE(core["spec"]["group"].exists());
  Document hpa = must(admin, "GET", "/apis/apiregistration.k8s.io/v1/apiservices/v2.autoscaling");
  EXPECT_EQ(hpa["spec"]["versionPriority"].as_int(), 30);
  EXPECT_EQ(hpa["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"].as_string(), "onstart");
  const Document services = must(admin, "GET", "/apis/apiregistration.k8s.io/v1/apiservices");
  for (Value item : services["items"].items()) {
    EXPECT_EQ(item["status"]["conditions"][0]["reason"].as_string(), "Local") << item["metadata"]["name"].as_string();
    EXPECT_EQ(item["status"]["conditions"][0]["message"].as_string(), "Local APIServices are always available");
  }
}

TEST_F(ApiServerTest, ClusterIPsHaveTheirObjects) {
  const std::string service = R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"ports":[{"port":80}]}})";
  std::string ip = must(admin, "POST", in_ns("services"), service)["spec"]["clusterIP"].str();
  Document address = must(admin, "GET", "/apis/networking.k8s.io/v1/ipaddresses/" + ip);
  EXPECT_EQ(address["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"].as_string(), "ipallocator.k8s.io");
  EXPECT_EQ(address["metadata"]["labels"]["ipaddress.kubernetes.io/ip-family"].as_string(), "IPv4");
  EXPECT_EQ(to_json(address["spec"]["parentRef"]), fmt::format(R"({{"resource":"services","namespace":"{}","name":"web"}})", ns_));
  EXPECT_EQ(call(admin, "POST", in_ns("services"), service).error().code, 409);
  EXPECT_TRUE(call(admin, "GET", "/apis/networking.k8s.io/v1/ipaddresses/" + ip));
  must(admin, "DELETE", in_ns("services/web"));
  EXPECT_EQ(call(admin, "GET", "/apis/networking.k8s.io/v1/ipaddresses/" + ip).error().code, 404);
  Document kubernetes = must(admin, "GET", "/api/v1/namespaces/default/services/kubernetes");
  EXPECT_TRUE(call(admin, "GET", "/apis/networking.k8s.io/v1/ipaddresses/" + kubernetes["spec"]["clusterIP"].str()));
  EXPECT_EQ(must(admin, "GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes")["spec"]["cidrs"][0].as_string(), "10.96.0.0/12");
}

TEST_F(ApiServerTest, AJudgementOfARequestIsDated) {
  const std::string path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  must(
      admin, "POST", path,
      R"({"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"dated"},"spec":{"request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIaE1JR0hBZ0VBTUNVeEVUQVBCZ05WQkFvTUNISnZMV2R5YjNWd01SQXdEZ1lEVlFRRERBZHlieTExYzJWeQpNRmt3RXdZSEtvWkl6ajBDQVFZSUtvWkl6ajBEQVFjRFFnQUVLRk8xOFk4bHh3U2VIT0k4YVJYMVNtVzloaFhWCnNzQzFFV3FKS0U2ZU0yQkRsRWZGbnlLejBpVW53T1l3Y1E4T0I5TGdzRFV3K3c0TkY5eVhtRzZSbUtBQU1Bb0cKQ0NxR1NNNDlCQU1DQTBrQU1FWUNJUUM3WjUxQjF6aDk2WG5USnBMMmJYV25NOTR2UGJyZXcwRlFXWGE1SldoVAoyZ0loQUp4REt6Z0pwZkVzNk9pQXBJdlNrSDRGUStHblJpYm9zbHI1cWF0YStqVzMKLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==","signerName":"example.com/s","usages":["client auth"]}})");
  Document request = must(admin, "GET", path + "/dated");
  Draft approved(request);
  approved["status"]["conditions"] = Draft::array({Draft::object({{"type", "Approved"}, {"status", "True"}, {"reason", "x"}})});
  Document judged = must(admin, "PUT", path + "/dated/approval", to_json(approved));
  EXPECT_FALSE(judged["status"]["conditions"][0]["lastUpdateTime"].as_string().empty());
  EXPECT_FALSE(judged["status"]["conditions"][0]["lastTransitionTime"].as_string().empty());
  Draft changed(judged);
  changed["spec"]["usages"] = Draft::array({"server auth"});
  EXPECT_EQ(must(admin, "PUT", path + "/dated", to_json(changed))["spec"]["usages"][0].as_string(), "client auth");
}

TEST_F(ApiServerTest, ARowOfAPodThatIsDoneSaysSo) {
  make_account();
  must(admin, "POST", in_ns("pods"),
       R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  auto row = [&] {
    return json(http("GET", in_ns("pods/p"), {{"accept", "application/json;as=Table;g=meta.k8s.io;v=v1"}}).body)["rows"][0].document();
  };
  EXPECT_FALSE(row()["conditions"].exists());
  must(admin, "PATCH", in_ns("pods/p/status"), R"({"status":{"phase":"Failed"}})");
  EXPECT_EQ(to_json(row()["conditions"]), R"([{"type":"Completed","status":"True","reason":"Failed","message":"The pod failed."}])");
}

TEST_F(ApiServerTest, APodThatAnotherRemovesMeanwhileIsRemoved) {
  make_account();
  // Removes whatever is marked, as the pod collector does with pods that have no node.
  auto watch = live_->server().subscribe(
      admin, in_ns("pods"), "", [](std::vector<Document>, std::uint64_t) {},
      [this](std::vector<LocalEvent> events, std::uint64_t) {
        for (const LocalEvent& e : events)
          if (!e.erased && e.object["metadata"]["deletionTimestamp"].exists())
            (void)call(admin, "DELETE", in_ns("pods/" + e.object["metadata"]["name"].str()), R"({"gracePeriodSeconds":0})");
      });
  ASSERT_TRUE(watch);
  for (int i = 0; i < 100; ++i) {
    std::string name = must(admin, "POST", in_ns("pods"), small_pod)["metadata"]["name"].str();
    auto gone = call(admin, "DELETE", in_ns("pods/" + name));
    ASSERT_TRUE(gone) << gone.error().message;
    EXPECT_EQ((*gone)["metadata"]["name"].as_string(), name);
  }
}

TEST_F(ApiServerTest, NestingIsBounded) {
  auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
  };
  auto revision = [&](int depth) {
    return fmt::format(
        R"({{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{{"name":"r{}"}},"revision":1,"data":{{"a":{}}}}})", depth,
        nested(depth));
  };
  std::string path = fmt::format("/apis/apps/v1/namespaces/{}/controllerrevisions", ns_);
  EXPECT_EQ(http("POST", path, {{"content-type", "application/json"}}, revision(10000)).status, 400);
  EXPECT_EQ(http("POST", path, {{"content-type", "application/json"}}, revision(900)).status, 201);
  must(admin, "POST", in_ns("configmaps"), config_map("a"));
  for (const char* type : {"application/merge-patch+json", "application/json-patch+json", "application/strategic-merge-patch+json"}) {
    int code = http("PATCH", in_ns("configmaps/a"), {{"content-type", type}}, nested(10000)).status;
    EXPECT_TRUE(code == 400 || code == 422) << type << " " << code;
    code = http("PATCH", in_ns("configmaps/a"), {{"content-type", type}}, R"({"data":{"a":)" + nested(900) + "}}").status;
    EXPECT_TRUE(code == 400 || code == 422) << type << " " << code;
  }
  EXPECT_EQ(
      http("PATCH", path + "/r900", {{"content-type", "application/merge-patch+json"}}, R"({"data":{"b":)" + nested(900) + "}}").status,
      422);  // its data is immutable
  EXPECT_EQ(http("GET", path + "/r900").status, 200);
  EXPECT_EQ(http("GET", path + "/r900", {{"accept", "application/yaml"}}).status, 200);
}

TEST_F(ApiServerTest, AStrictPatchNamesTheFieldPatch) {
  must(admin, "POST", in_ns("configmaps"), config_map("a"));
  net::Response answer =
      http("PATCH", in_ns("configmaps/a?fieldValidation=Strict"), {{"content-type", "application/merge-patch+json"}}, R"({"nonsense":1})");
  EXPECT_EQ(answer.status, 422);
  Document status = json(answer.body);
  EXPECT_EQ(status["details"]["causes"][0]["field"].as_string(), "patch");
  EXPECT_EQ(status["details"]["causes"][0]["reason"].as_string(), "FieldValueInvalid");
  EXPECT_TRUE(status["message"].as_string().starts_with(" \"\" is invalid: patch: Invalid value: \"{")) << status["message"].as_string();
  EXPECT_TRUE(status["message"].as_string().ends_with("strict decoding error: unknown field \"nonsense\""))
      << status["message"].as_string();
}

TEST_F(ApiServerTest, AReviewRefusedSaysNoKind) {
  auto refused = call(admin, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                      R"({"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{}})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, 422);
  EXPECT_EQ(refused.error().kind, "");
  EXPECT_TRUE(refused.error().message.starts_with(
      ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of"))
      << refused.error().message;
}

TEST_F(ApiServerTest, APodWaitsForItsNamespacesAccount) {
  std::thread maker([this] { make_account(); });
  auto pod = call(admin, "POST", in_ns("pods"), small_pod);
  maker.join();
  EXPECT_TRUE(pod) << pod.error().message;
  auto refused = call(
      admin, "POST", in_ns("pods"),
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"serviceAccountName":"none","containers":[{"name":"c","image":"i"}]}})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, 403);
}

TEST_F(ApiServerTest, ManyCreatesAtOnceKeepToTheQuota) {
  make_account();
  must(admin, "POST", in_ns("resourcequotas"),
       R"({"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q"},"spec":{"hard":{"pods":"10"}}})");
  must(
      admin, "PUT", in_ns("resourcequotas/q/status"),
      R"({"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q"},"spec":{"hard":{"pods":"10"}},"status":{"hard":{"pods":"10"},"used":{"pods":"0"}}})");
  std::atomic<int> made = 0, exceeded = 0, other = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        auto pod = call(admin, "POST", in_ns("pods"), small_pod);
        if (pod) ++made;
        else if (pod.error().code == 403 &&
                 pod.error().message.find("exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10") != std::string::npos)
          ++exceeded;
        else ++other, ADD_FAILURE() << pod.error().message;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(made, 10);
  EXPECT_EQ(exceeded, 30);
  EXPECT_EQ(must(admin, "GET", in_ns("pods"))["items"].size(), 10u);
  EXPECT_EQ(must(admin, "GET", in_ns("resourcequotas/q"))["status"]["used"]["pods"].as_string(), "10");
}

class NodeTest : public ApiServerTest {
 protected:
  // Two nodes with a pod each; each pod names a secret and a config map of its own.
  void SetUp() override {
    ApiServerTest::SetUp();
    make_account();
    for (std::string n : {"1", "2"}) {
      std::string node = node_of(n);
      must(kubelet(node), "POST", "/api/v1/nodes", fmt::format(R"({{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{}"}}}})", node));
      must(admin, "POST", in_ns("secrets"), fmt::format(R"({{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"s{}"}}}})", n));
      must(admin, "POST", in_ns("configmaps"), config_map("m" + n));
      must(
          admin, "POST", in_ns("pods"),
          fmt::format(
              R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p{0}"}},"spec":{{"nodeName":"{1}","containers":[{{"name":"c","image":"i","envFrom":[{{"configMapRef":{{"name":"m{0}"}}}}]}}],
             "volumes":[{{"name":"v","secret":{{"secretName":"s{0}"}}}},{{"name":"d","persistentVolumeClaim":{{"claimName":"d{0}"}}}}]}}}})",
              n, node));
    }
  }
  std::string node_of(std::string_view n) const { return fmt::format("{}-node{}", ns_, n); }
  int code(const std::string& node, std::string_view method, const std::string& path, const std::string& body = "",
           std::string_view query = "") {
    auto answer = call(kubelet(node), method, path, body, query);
    if (!answer) why_ = answer.error().message;
    return answer ? 200 : answer.error().code;
  }
  std::string why_;
};

TEST_F(NodeTest, ReadsWhatItsPodsReferTo) {
  std::string one = node_of("1"), other = node_of("2");
  EXPECT_EQ(code(one, "GET", in_ns("secrets/s1")), 200) << why_;
  EXPECT_EQ(code(one, "GET", in_ns("configmaps/m1")), 200) << why_;
  EXPECT_EQ(code(one, "GET", in_ns("secrets"), "", "fieldSelector=metadata.name%3Ds1"), 200) << why_;
  EXPECT_EQ(code(one, "GET", in_ns("persistentvolumeclaims/d1")), 404) << why_;
  EXPECT_EQ(code(one, "GET", in_ns("secrets/s2")), 403);
  EXPECT_EQ(why_, fmt::format("secrets \"s2\" is forbidden: User \"system:node:{0}\" cannot get resource \"secrets\" in API group \"\" in "
                              "the namespace \"{1}\": no relationship found between node '{0}' and this object",
                              one, ns_));
  EXPECT_EQ(code(one, "GET", in_ns("configmaps/m2")), 403);
  EXPECT_EQ(code(one, "GET", in_ns("secrets")), 403);
  EXPECT_EQ(code(one, "GET", "/api/v1/secrets"), 403);
  EXPECT_EQ(code(one, "DELETE", in_ns("secrets/s1")), 403);
  EXPECT_EQ(code(one, "GET", in_ns("persistentvolumeclaims/d2")), 403);
  // A pod that goes takes the right with it.
  must(admin, "DELETE", in_ns("pods/p1"), R"({"gracePeriodSeconds":0})");
  EXPECT_EQ(code(one, "GET", in_ns("secrets/s1")), 403);
  EXPECT_EQ(code(other, "GET", in_ns("secrets/s2")), 200) << why_;
}

TEST_F(NodeTest, SeesItsPodsAndItself) {
  std::string one = node_of("1"), other = node_of("2");
  EXPECT_EQ(code(one, "GET", "/api/v1/pods", "", "fieldSelector=spec.nodeName%3D" + one), 200) << why_;
  EXPECT_EQ(code(one, "GET", "/api/v1/pods", "", "fieldSelector=spec.nodeName%3D" + other), 403);
  EXPECT_EQ(code(one, "GET", "/api/v1/pods"), 403);
  EXPECT_EQ(code(one, "GET", in_ns("pods/p1")), 200) << why_;
  EXPECT_EQ(code(one, "GET", in_ns("pods/p2")), 403);
  EXPECT_EQ(code(one, "GET", "/api/v1/nodes/" + one), 200) << why_;
  EXPECT_EQ(code(one, "GET", "/api/v1/nodes/" + other), 403);
  EXPECT_EQ(code(one, "GET", "/api/v1/nodes"), 403);
  EXPECT_EQ(code(one, "GET", "/api/v1/nodes", "", "fieldSelector=metadata.name%3D" + one), 200) << why_;
  EXPECT_EQ(code(one, "GET", "/api/v1/services"), 200) << why_;
  EXPECT_EQ(code(one, "GET", "/apis/apps/v1/deployments"), 403);
  User stranger{"system:node:" + one, "", {"system:authenticated"}, {}};
  EXPECT_FALSE(call(stranger, "GET", in_ns("secrets/s1")));
}

TEST_F(NodeTest, WritesOnlyWhatIsItsOwn) {
  std::string one = node_of("1"), other = node_of("2");
  const char* running = R"({"status":{"phase":"Running"}})";
  EXPECT_EQ(code(one, "PATCH", in_ns("pods/p1/status"), running), 200) << why_;
  EXPECT_EQ(code(one, "PATCH", in_ns("pods/p2/status"), running), 403);
  EXPECT_EQ(why_,
            fmt::format("pods \"p2\" is forbidden: node \"{}\" can only update pod status for pods with spec.nodeName set to itself", one));
  EXPECT_EQ(code(one, "PATCH", in_ns("pods/p1/status"), R"({"metadata":{"labels":{"a":"b"}}})"), 403);
  EXPECT_EQ(code(one, "PATCH", in_ns("pods/p1"), R"({"metadata":{"labels":{"a":"b"}}})"), 403);
  EXPECT_EQ(code(one, "DELETE", in_ns("pods/p2")), 403);
  EXPECT_EQ(code(one, "POST", in_ns("pods"), small_pod), 403);
  EXPECT_EQ(code(one, "POST", in_ns("pods/p2/eviction"), R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p2"}})"), 403);
  EXPECT_EQ(code(one, "PATCH", "/api/v1/nodes/" + one,
                 R"({"metadata":{"labels":{"node.kubernetes.io/x":"1","example.com/y":"2","kubernetes.io/os":"linux"}}})"),
            200)
      << why_;
  EXPECT_EQ(code(one, "PATCH", "/api/v1/nodes/" + one, R"({"metadata":{"labels":{"node-restriction.kubernetes.io/x":"1"}}})"), 403);
  EXPECT_EQ(why_, fmt::format("nodes \"{}\" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x", one));
  EXPECT_EQ(code(one, "PATCH", "/api/v1/nodes/" + one, R"({"spec":{"taints":null}})"), 403);
  EXPECT_EQ(code(one, "PATCH", "/api/v1/nodes/" + other, R"({"metadata":{"labels":{"a":"b"}}})"), 403);
  EXPECT_EQ(code(one, "POST", "/api/v1/nodes", R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"another"}})"), 403);
  auto lease = [](const std::string& name) {
    return fmt::format(R"({{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"name":"{}"}}}})", name);
  };
  EXPECT_EQ(code(one, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease(one)), 200) << why_;
  EXPECT_EQ(code(one, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease(other)), 403);
  EXPECT_EQ(code(one, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", lease(one)), 403);
}

TEST_F(NodeTest, AsksForTokensOfItsPods) {
  std::string one = node_of("1");
  auto uid = [&](const std::string& pod) { return must(admin, "GET", in_ns("pods/" + pod))["metadata"]["uid"].str(); };
  auto request = [&](const std::string& pod, std::string_view audiences = "") {
    return fmt::format(
        R"({{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{{{}"expirationSeconds":600,"boundObjectRef":{{"apiVersion":"v1","kind":"Pod","name":"{}","uid":"{}"}}}}}})",
        audiences, pod, uid(pod));
  };
  EXPECT_EQ(code(one, "POST", in_ns("serviceaccounts/default/token"), request("p1")), 200) << why_;
  EXPECT_EQ(code(one, "POST", in_ns("serviceaccounts/default/token"), request("p2")), 403);
  EXPECT_EQ(why_, "serviceaccounts \"default\" is forbidden: node requested token bound to a pod scheduled on a different node");
  EXPECT_EQ(code(one, "POST", in_ns("serviceaccounts/default/token"), request("p1", R"("audiences":["vault"],)")), 403);
  EXPECT_EQ(code(one, "POST", in_ns("serviceaccounts/default/token"),
                 R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600}})"),
            403);
  EXPECT_EQ(code(one, "POST", in_ns("serviceaccounts/other/token"), request("p1")), 403);
}

}  // namespace
}  // namespace kybern::apiserver
