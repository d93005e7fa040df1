// Admission webhooks, with the API server and the webhooks as real TLS servers on loopback.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "apiserver/hooks/test_hook.h"
#include "apiserver/testing/live_server.h"
#include "base/testing/eventually.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

using testing::TestHook;

struct Reply {
  int status = 0;
  Document body;
  std::vector<std::string> warnings;
  std::string message() const { return body["message"].str(); }
};

class WebhooksTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    live_ = std::make_unique<testing::LiveServer>();
    ServerOptions options = live_->options();
    options.token_file = live_->write("tokens", "secret,joe,joe-uid,\"system:masters\"\n");
    auto started = live_->start(std::move(options));
    ASSERT_TRUE(started) << started.error().message;
  }
  static void TearDownTestSuite() { live_.reset(); }
  void SetUp() override {
    ns_ = fmt::format("w{}", ++serial_);
    ask("POST", "/api/v1/namespaces",
        fmt::format(R"({{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{}","labels":{{"team":"{}"}}}}}})", ns_, ns_));
    ask("POST", fmt::format("/api/v1/namespaces/{}/serviceaccounts", ns_),
        R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}})");
  }
  void TearDown() override {
    for (const std::string& path : configurations_) ask("DELETE", path);
    configurations_.clear();
  }

  static Reply ask(std::string_view method, std::string path, std::string body = "", std::string_view content_type = "application/json") {
    net::Response answer = live_->http(method, std::move(path), {{"content-type", content_type}}, std::move(body), "secret");
    Reply reply;
    reply.status = answer.status;
    if (auto parsed = parse_json(answer.body)) reply.body = *parsed;
    for (std::string_view warning : answer.headers.all("warning")) reply.warnings.emplace_back(warning);
    return reply;
  }

  // One webhook for what happens in this test's namespace. `more`: further members, begun by a comma.
  void configure(bool mutating, std::string_view name, const std::string& client_config, std::string_view rules, std::string_view more = "",
                 std::string_view selector = "") {
    std::string_view kind = mutating ? "MutatingWebhookConfiguration" : "ValidatingWebhookConfiguration";
    std::string path = fmt::format("/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations", mutating ? "mutating" : "validating");
    std::string own = selector.empty() ? fmt::format(R"({{"matchLabels":{{"team":"{}"}}}})", ns_) : std::string(selector);
    Reply made = ask(
        "POST", path,
        fmt::format(
            R"({{"apiVersion":"admissionregistration.k8s.io/v1","kind":"{}","metadata":{{"name":"{}-{}"}},"webhooks":[{{"name":"{}.hooks.test","clientConfig":{},)"
            R"("rules":{},"namespaceSelector":{},"sideEffects":"None","admissionReviewVersions":["v1"]{}}}]}})",
            kind, name, ns_, name, client_config, rules, own, more));
    ASSERT_EQ(made.status, 201) << to_json(made.body.root());
    configurations_.push_back(fmt::format("{}/{}-{}", path, name, ns_));
  }
  std::string maps() const { return fmt::format("/api/v1/namespaces/{}/configmaps", ns_); }
  Reply make_map(std::string_view name, std::string_view query = "", std::string_view labels = "{}") {
    return ask(
        "POST", maps() + std::string(query),
        fmt::format(R"({{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{}","labels":{}}},"data":{{"a":"b"}}}})", name, labels));
  }

  static inline std::unique_ptr<testing::LiveServer> live_;
  static inline int serial_ = 0;
  std::string ns_;
  std::vector<std::string> configurations_;
};

constexpr std::string_view on_maps = R"([{"operations":["*"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]}])";

TEST_F(WebhooksTest, a_review_has_all_that_upstream_tells) {
  TestHook hook(TestHook::allow);
  configure(false, "look", hook.url_config("/validate/it/"), on_maps, R"(,"timeoutSeconds":7)");
  Reply made = make_map("a", "?fieldManager=tester&fieldValidation=Strict");
  ASSERT_EQ(made.status, 201);
  ASSERT_EQ(hook.count(), 1u);
  EXPECT_EQ(hook.targets()[0], "/validate/it?timeout=7s");
  Document held = hook.last();
  Value review = held.root();
  EXPECT_EQ(review["apiVersion"].as_string(), "admission.k8s.io/v1");
  EXPECT_EQ(review["kind"].as_string(), "AdmissionReview");
  Value request = review["request"];
  EXPECT_EQ(to_json(request["kind"]), R"({"group":"","version":"v1","kind":"ConfigMap"})");
  EXPECT_EQ(to_json(request["resource"]), R"({"group":"","version":"v1","resource":"configmaps"})");
  EXPECT_EQ(to_json(request["requestKind"]), to_json(request["kind"]));
  EXPECT_EQ(to_json(request["requestResource"]), to_json(request["resource"]));
  EXPECT_EQ(request["name"].as_string(), "a");
  EXPECT_EQ(request["namespace"].as_string(), ns_);
  EXPECT_EQ(request["operation"].as_string(), "CREATE");
  EXPECT_EQ(request["userInfo"]["username"].as_string(), "joe");
  EXPECT_EQ(request["userInfo"]["uid"].as_string(), "joe-uid");
  EXPECT_EQ(request["userInfo"]["groups"][0].as_string(), "system:masters");
  EXPECT_EQ(request["object"]["data"]["a"].as_string(), "b");
  EXPECT_EQ(request["object"]["metadata"]["uid"].as_string(), made.body["metadata"]["uid"].as_string());
  EXPECT_TRUE(request["oldObject"].exists() && request["oldObject"].is_null());
  EXPECT_FALSE(request["dryRun"].as_bool(true));
  EXPECT_EQ(to_json(request["options"]),
            R"({"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"tester","fieldValidation":"Strict"})");

  ASSERT_EQ(ask("PATCH", maps() + "/a", R"({"data":{"a":"c"}})", "application/merge-patch+json").status, 200);
  held = hook.last();
  EXPECT_EQ(held["request"]["operation"].as_string(), "UPDATE");
  EXPECT_EQ(held["request"]["object"]["data"]["a"].as_string(), "c");
  EXPECT_EQ(held["request"]["oldObject"]["data"]["a"].as_string(), "b");
  EXPECT_EQ(held["request"]["options"]["kind"].as_string(), "PatchOptions");

  ASSERT_EQ(ask("DELETE", maps() + "/a?dryRun=All").status, 200);
  held = hook.last();
  EXPECT_TRUE(held["request"]["dryRun"].as_bool());
  ASSERT_EQ(ask("DELETE", maps() + "/a", R"({"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"})").status, 200);
  held = hook.last();
  EXPECT_EQ(hook.count(), 4u);
  EXPECT_EQ(held["request"]["operation"].as_string(), "DELETE");
  EXPECT_TRUE(held["request"]["object"].is_null());
  EXPECT_EQ(held["request"]["oldObject"]["data"]["a"].as_string(), "c");
  EXPECT_EQ(to_json(held["request"]["options"]),
            R"({"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","propagationPolicy":"Background"})");
}

TEST_F(WebhooksTest, refusals_read_as_upstream_words_them) {
  std::string members;
  TestHook hook([&](const Document& asked) { return TestHook::review(asked, members); });
  configure(false, "no", hook.url_config(), on_maps);
  struct Row {
    const char* members;
    int code;
    const char* reason;
    const char* message;
  };
  constexpr Row rows[] = {
      {R"("allowed":false)", 400, "", R"(admission webhook "no.hooks.test" denied the request without explanation)"},
      {R"("allowed":false,"status":{"message":"not today"})", 400, "",
       R"(admission webhook "no.hooks.test" denied the request: not today)"},
      {R"("allowed":false,"status":{"reason":"Closed"})", 400, "Closed", R"(admission webhook "no.hooks.test" denied the request: Closed)"},
      {R"("allowed":false,"status":{"code":403,"reason":"Forbidden","message":"never"})", 403, "Forbidden",
       R"(admission webhook "no.hooks.test" denied the request: never)"},
      {R"("allowed":false,"status":{"code":200,"status":"Success","message":"odd"})", 400, "",
       R"(admission webhook "no.hooks.test" denied the request: odd)"},
      {R"("allowed":false,"status":{"code":422,"message":"m","details":{"name":"n","causes":[{"message":"c","field":"f"}]}})", 422, "",
       R"(admission webhook "no.hooks.test" denied the request: m)"},
  };
  for (const Row& row : rows) {
    members = row.members;
    Reply reply = make_map("a");
    EXPECT_EQ(reply.status, row.code) << row.members;
    EXPECT_EQ(reply.body["status"].as_string(), "Failure");
    EXPECT_EQ(reply.body["code"].as_int(), row.code);
    EXPECT_EQ(reply.body["reason"].as_string(), row.reason) << row.members;
    EXPECT_EQ(reply.message(), row.message);
  }
  EXPECT_EQ(ask("GET", maps() + "/a").status, 404);
}

TEST_F(WebhooksTest, calls_that_fail) {
  net::Response answer;
  TestHook hook([&](const Document&) { return answer; });
  std::string base = fmt::format("https://127.0.0.1:{}", hook.port());
  configure(false, "bad", hook.url_config(), on_maps);
  auto v1 = [](std::string_view response) {
    return R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":)" + std::string(response) + "}";
  };
  struct Row {
    net::Response answer;
    std::string message;
  };
  const Row rows[] = {
      {{404, {}, "nothing here"}, "failed to call webhook: the server could not find the requested resource"},
      {{500, {}, "boom"}, "failed to call webhook: an error on the server (\"boom\") has prevented the request from succeeding"},
      {{503, {}, ""}, "failed to call webhook: the server is currently unable to handle the request"},
      {{200, {}, "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\"}"},
       "received invalid webhook response: webhook response was absent"},
      {{200, {}, v1(R"({"uid":"other","allowed":true})")}, "expected response.uid="},
      {{200, {}, "no json"},
       "failed to call webhook: couldn't get version/kind; json parse error: invalid character 'o' in literal null (expecting 'u')"},
  };
  for (const Row& row : rows) {
    answer = row.answer;
    Reply reply = make_map("a");
    EXPECT_EQ(reply.status, 500) << row.message;
    EXPECT_EQ(reply.body["reason"].as_string(), "InternalError");
    EXPECT_TRUE(reply.message().starts_with("Internal error occurred: failed calling webhook \"bad.hooks.test\": ")) << reply.message();
    EXPECT_NE(reply.message().find(row.message), std::string::npos) << reply.message();
    EXPECT_EQ("Internal error occurred: " + reply.body["details"]["causes"][0]["message"].str(), reply.message());
  }
}

TEST_F(WebhooksTest, answers_that_are_none) {
  std::string uid, text;
  TestHook hook([&](const Document& asked) -> net::Response {
    std::string body = text;
    if (auto at = body.find("UID"); at != std::string::npos) body.replace(at, 3, asked["request"]["uid"].str());
    return {200, {}, body};
  });
  configure(true, "odd", hook.url_config(), on_maps);
  const std::pair<const char*, const char*> rows[] = {
      {R"({"response":{"uid":"UID","allowed":true}})",
       "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="},
      {R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"UID","allowed":true,"patch":"W10="}})",
       "received invalid webhook response: webhook returned response.patch but not response.patchType"},
      {R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"UID","allowed":true,"patchType":"JSONPatch"}})",
       "received invalid webhook response: webhook returned response.patchType but not response.patch"},
      {R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"UID","allowed":true,"patchType":"Other","patch":"W10="}})",
       "unsupported patch type \"Other\""},
      {R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"UID","allowed":true,"patchType":"JSONPatch","patch":"eyI="}})",
       "received undecodable patch in webhook response: unexpected end of JSON input"},
  };
  for (const auto& [answer, message] : rows) {
    text = answer;
    EXPECT_EQ(make_map("a").message(), fmt::format("Internal error occurred: failed calling webhook \"odd.hooks.test\": {}", message));
  }
}

TEST_F(WebhooksTest, certificates_and_connections) {
  TestHook hook(TestHook::allow), other(TestHook::allow), expired(TestHook::allow, {}, std::chrono::hours(2)),
      named(TestHook::allow, {"elsewhere.test"});
  struct Row {
    std::string config, message;
  };
  auto config = [](int port, const std::string& ca) {
    return fmt::format(R"({{"url":"https://127.0.0.1:{}","caBundle":"{}"}})", port, ca);
  };
  int nobody;
  {
    TestHook gone(TestHook::allow);
    nobody = gone.port();
  }
  const Row rows[] = {
      {config(hook.port(), other.ca_bundle()), "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
      {config(expired.port(), expired.ca_bundle()), "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"},
      {config(named.port(), named.ca_bundle()),
       "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"},
      {config(nobody, hook.ca_bundle()), fmt::format("dial tcp 127.0.0.1:{}: connect: connection refused", nobody)},
  };
  for (const Row& row : rows) {
    configure(false, "tls", row.config, on_maps);
    std::string message = make_map("a").message();
    EXPECT_TRUE(message.starts_with(
        "Internal error occurred: failed calling webhook \"tls.hooks.test\": failed to call webhook: Post \"https://127.0.0.1:"))
        << message;
    EXPECT_NE(message.find("/?timeout=10s\": " + row.message), std::string::npos) << message << "\nwanted " << row.message;
    TearDown();
  }
  // With failurePolicy Ignore none of that matters.
  configure(false, "tls", config(nobody, hook.ca_bundle()), on_maps, R"(,"failurePolicy":"Ignore")");
  EXPECT_EQ(make_map("a").status, 201);
  EXPECT_EQ(hook.count() + other.count() + expired.count() + named.count(), 0u);
}

TEST_F(WebhooksTest, a_service_is_called_at_its_ready_endpoints_under_its_own_name) {
  TestHook hook(TestHook::allow, {fmt::format("hook.{}.svc", ns_)});
  std::string config =
      fmt::format(R"({{"service":{{"namespace":"{}","name":"hook","path":"/check","port":8443}},"caBundle":"{}"}})", ns_, hook.ca_bundle());
  configure(false, "svc", config, on_maps);
  std::string url = fmt::format(
      "Internal error occurred: failed calling webhook \"svc.hooks.test\": failed to call webhook: Post "
      "\"https://hook.{}.svc:8443/check?timeout=10s\": ",
      ns_);
  EXPECT_EQ(make_map("a").message(), url + "service \"hook\" not found");
  ASSERT_EQ(
      ask("POST", fmt::format("/api/v1/namespaces/{}/services", ns_),
          R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"hook"},"spec":{"ports":[{"name":"https","port":8443,"targetPort":9443}]}})")
          .status,
      201);
  EXPECT_EQ(make_map("a").message(), url + "no endpoints available for service \"hook\"");
  // Straight into the store: the API takes no endpoint on loopback.
  auto slice = parse_json(fmt::format(
      R"({{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"hook-1","namespace":"{}","labels":{{"kubernetes.io/service-name":"hook"}}}},"addressType":"IPv4",)"
      R"("ports":[{{"name":"https","port":{}}}],"endpoints":[{{"addresses":["127.0.0.1"],"conditions":{{"ready":true}}}},{{"addresses":["127.0.0.2"],"conditions":{{"ready":false}}}}]}})",
      ns_, hook.port()));
  ASSERT_TRUE(slice);
  ASSERT_TRUE(live_->server().store().commit({fmt::format("/discovery.k8s.io/endpointslices/{}/hook-1", ns_), *slice, 0}));
  EXPECT_EQ(make_map("a").status, 201);
  ASSERT_EQ(hook.count(), 1u);
  EXPECT_EQ(hook.targets()[0], "/check?timeout=10s");
}

TEST_F(WebhooksTest, patches_are_defaulted_and_validated_and_in_order) {
  TestHook first(
      [](const Document& asked) { return TestHook::patch(asked, R"([{"op":"add","path":"/metadata/labels/one","value":"1"}])"); });
  TestHook second([](const Document& asked) {
    bool seen = asked["request"]["object"]["metadata"]["labels"]["one"].as_string() == "1";
    return TestHook::patch(asked, seen ? R"([{"op":"add","path":"/metadata/labels/two","value":"2"}])"
                                       : R"([{"op":"add","path":"/metadata/labels/two","value":"early"}])");
  });
  TestHook judge([](const Document& asked) {
    Value labels = asked["request"]["object"]["metadata"]["labels"];
    return labels["two"].as_string() == "2" ? TestHook::allow(asked) : TestHook::review(asked, "\"allowed\":false");
  });
  configure(true, "b-second", second.url_config(), on_maps);
  configure(true, "a-first", first.url_config(), on_maps);
  configure(false, "judge", judge.url_config(), on_maps);
  Reply made = make_map("a", "", R"({"zero":"0"})");
  ASSERT_EQ(made.status, 201) << made.message();
  EXPECT_EQ(to_json(made.body["metadata"]["labels"]), R"({"zero":"0","one":"1","two":"2"})");
  Reply again = ask("GET", maps() + "/a");
  EXPECT_EQ(to_json(again.body["metadata"]["labels"]), R"({"zero":"0","one":"1","two":"2"})");
  TearDown();

  // Defaults of what a patch adds; and validation comes after the webhooks.
  std::string operations = R"([{"op":"add","path":"/spec/containers/-","value":{"name":"side","image":"side"}}])";
  TestHook inject([&](const Document& asked) { return TestHook::patch(asked, operations); });
  configure(true, "inject", inject.url_config(),
            R"([{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}])");
  std::string pods = fmt::format("/api/v1/namespaces/{}/pods", ns_);
  std::string pod = R"({"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"p-"},"spec":{"containers":[{"name":"c","image":"i"}]}})";
  Reply with = ask("POST", pods, pod);
  ASSERT_EQ(with.status, 201) << with.message();
  EXPECT_EQ(with.body["spec"]["containers"][1]["terminationMessagePath"].as_string(), "/dev/termination-log");
  EXPECT_EQ(with.body["spec"]["containers"][1]["imagePullPolicy"].as_string(), "Always");
  Document asked = inject.last();
  EXPECT_FALSE(asked["request"]["name"].exists());  // it is generated later
  EXPECT_FALSE(asked["request"]["object"]["metadata"]["name"].exists());
  EXPECT_TRUE(with.body["metadata"]["name"].as_string().starts_with("p-"));
  operations = R"([{"op":"replace","path":"/spec/containers/0/name","value":"Not A Name"}])";
  Reply broken = ask("POST", pods, pod);
  EXPECT_EQ(broken.status, 422);
  EXPECT_NE(broken.message().find("spec.containers[0].name"), std::string::npos) << broken.message();
  operations = R"([{"op":"remove","path":"/spec/none"}])";
  EXPECT_EQ(ask("POST", pods, pod).status, 500);
}

TEST_F(WebhooksTest, one_that_comes_before_a_change_is_asked_again_if_it_wants) {
  std::atomic<int> early = 0, never = 0;
  TestHook wants([&](const Document& asked) { return ++early, TestHook::allow(asked); });
  TestHook wants_not([&](const Document& asked) { return ++never, TestHook::allow(asked); });
  TestHook changes([](const Document& asked) { return TestHook::patch(asked, R"([{"op":"add","path":"/data/late","value":"x"}])"); });
  configure(true, "a", wants.url_config(), on_maps, R"(,"reinvocationPolicy":"IfNeeded")");
  configure(true, "b", wants_not.url_config(), on_maps);
  configure(true, "c", changes.url_config(), on_maps, R"(,"reinvocationPolicy":"IfNeeded")");
  EXPECT_EQ(make_map("a").status, 201);
  EXPECT_EQ(early, 2);
  EXPECT_EQ(never, 1);
  EXPECT_EQ(changes.count(), 1u);  // nothing has changed since its own change
  Document asked = wants.last();
  EXPECT_EQ(asked["request"]["object"]["data"]["late"].as_string(), "x");
}

TEST_F(WebhooksTest, dry_run_and_side_effects) {
  TestHook hook(TestHook::allow);
  configure(false, "dry", hook.url_config(), on_maps);
  EXPECT_EQ(make_map("a", "?dryRun=All").status, 201);
  Document asked = hook.last();
  EXPECT_TRUE(asked["request"]["dryRun"].as_bool());
  EXPECT_EQ(to_json(asked["request"]["options"]["dryRun"]), R"(["All"])");
  EXPECT_EQ(ask("GET", maps() + "/a").status, 404);
}

TEST_F(WebhooksTest, selectors_conditions_and_scope) {
  TestHook hook([](const Document& asked) { return TestHook::review(asked, "\"allowed\":false"); });
  configure(
      false, "sel", hook.url_config(), on_maps,
      R"(,"objectSelector":{"matchLabels":{"judge":"me"}},"matchConditions":[{"name":"not-admin","expression":"request.userInfo.username != 'admin'"},)"
      R"({"name":"named","expression":"object.metadata.name != 'spared'"}])");
  EXPECT_EQ(make_map("a").status, 201);
  EXPECT_EQ(make_map("b", "", R"({"judge":"me"})").status, 400);
  EXPECT_EQ(make_map("spared", "", R"({"judge":"me"})").status, 201);
  EXPECT_EQ(hook.count(), 1u);
  // An update that takes the label away is still selected by what was before.
  EXPECT_EQ(ask("PATCH", maps() + "/a", R"({"metadata":{"labels":{"judge":"me"}}})", "application/merge-patch+json").status, 400);
  // Other namespaces are not concerned.
  EXPECT_EQ(ask("POST", "/api/v1/namespaces/default/configmaps",
                fmt::format(R"({{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{}","labels":{{"judge":"me"}}}}}})", ns_))
                .status,
            201);
  TearDown();
  // A condition that cannot be evaluated fails closed.
  configure(false, "cond", hook.url_config(), on_maps, R"(,"matchConditions":[{"name":"broken","expression":"object.spec.none == 1"}])");
  Reply refused = make_map("c");
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.message(), "configmaps \"c\" is forbidden: expression 'object.spec.none == 1' resulted in error: no such key: spec");
  TearDown();
  configure(false, "cond", hook.url_config(), on_maps,
            R"(,"failurePolicy":"Ignore","matchConditions":[{"name":"broken","expression":"object.spec.none == 1"}])");
  EXPECT_EQ(make_map("c").status, 201);
}

TEST_F(WebhooksTest, equivalent_rules_get_the_version_they_name) {
  TestHook hook(TestHook::allow);
  std::string_view rules =
      R"([{"operations":["CREATE"],"apiGroups":["autoscaling"],"apiVersions":["v1"],"resources":["horizontalpodautoscalers"]}])";
  std::string path = fmt::format("/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers", ns_);
  auto body = [](std::string_view name) {
    return fmt::format(
        R"({{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{{"name":"{}"}},"spec":{{"maxReplicas":3,"scaleTargetRef":{{"kind":"Deployment","name":"d","apiVersion":"apps/v1"}},)"
        R"("metrics":[{{"type":"Resource","resource":{{"name":"cpu","target":{{"type":"Utilization","averageUtilization":70}}}}}}]}}}})",
        name);
  };
  configure(false, "exact", hook.url_config(), rules, R"(,"matchPolicy":"Exact")");
  EXPECT_EQ(ask("POST", path, body("a")).status, 201);
  EXPECT_EQ(hook.count(), 0u);
  configure(false, "equal", hook.url_config(), rules);
  EXPECT_EQ(ask("POST", path, body("b")).status, 201);
  ASSERT_EQ(hook.count(), 1u);
  Document asked = hook.last();
  EXPECT_EQ(asked["request"]["kind"]["version"].as_string(), "v1");
  EXPECT_EQ(asked["request"]["requestKind"]["version"].as_string(), "v2");
  EXPECT_EQ(asked["request"]["object"]["apiVersion"].as_string(), "autoscaling/v1");
  EXPECT_EQ(asked["request"]["object"]["spec"]["targetCPUUtilizationPercentage"].as_int(), 70);
}

TEST_F(WebhooksTest, subresources) {
  TestHook hook(TestHook::allow);
  configure(
      false, "sub", hook.url_config(),
      R"([{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["deployments/scale","pods/status","pods/exec","pods/eviction","serviceaccounts/token"]}])");
  std::string pods = fmt::format("/api/v1/namespaces/{}/pods", ns_),
              deployments = fmt::format("/apis/apps/v1/namespaces/{}/deployments", ns_);
  ASSERT_EQ(
      ask("POST", deployments,
          R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})")
          .status,
      201);
  ASSERT_EQ(
      ask("POST", pods, R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})")
          .status,
      201);
  EXPECT_EQ(hook.count(), 0u);
  ASSERT_EQ(ask("PATCH", deployments + "/d/scale", R"({"spec":{"replicas":4}})", "application/merge-patch+json").status, 200);
  Document asked = hook.last();
  ASSERT_EQ(hook.count(), 1u);
  EXPECT_EQ(to_json(asked["request"]["kind"]), R"({"group":"autoscaling","version":"v1","kind":"Scale"})");
  EXPECT_EQ(asked["request"]["subResource"].as_string(), "scale");
  EXPECT_EQ(asked["request"]["object"]["spec"]["replicas"].as_int(), 4);
  EXPECT_EQ(asked["request"]["oldObject"]["spec"]["replicas"].as_int(), 1);
  ASSERT_EQ(ask("PATCH", pods + "/p/status", R"({"status":{"phase":"Running"}})", "application/merge-patch+json").status, 200);
  asked = hook.last();
  ASSERT_EQ(hook.count(), 2u);
  EXPECT_EQ(asked["request"]["subResource"].as_string(), "status");
  EXPECT_EQ(asked["request"]["object"]["status"]["phase"].as_string(), "Running");
  EXPECT_EQ(ask("GET", pods + "/p/exec?container=c&command=ls&command=-l&stdout=true&tty=true").status, 400);  // no host assigned
  asked = hook.last();
  ASSERT_EQ(hook.count(), 3u);
  EXPECT_EQ(asked["request"]["operation"].as_string(), "CONNECT");
  EXPECT_EQ(to_json(asked["request"]["object"]),
            R"({"kind":"PodExecOptions","apiVersion":"v1","stdout":true,"tty":true,"container":"c","command":["ls","-l"]})");
  EXPECT_EQ(ask("POST", fmt::format("/api/v1/namespaces/{}/serviceaccounts/default/token", ns_),
                R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600}})")
                .status,
            201);
  asked = hook.last();
  ASSERT_EQ(hook.count(), 4u);
  EXPECT_EQ(asked["request"]["kind"]["kind"].as_string(), "TokenRequest");
  EXPECT_EQ(ask("POST", pods + "/p/eviction", R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}})").status, 201);
  asked = hook.last();
  ASSERT_EQ(hook.count(), 5u);
  EXPECT_EQ(asked["request"]["kind"]["kind"].as_string(), "Eviction");
}

TEST_F(WebhooksTest, mutated_scale_and_status) {
  TestHook hook([](const Document& asked) {
    if (asked["request"]["subResource"].as_string() == "scale")
      return TestHook::patch(asked, R"([{"op":"replace","path":"/spec/replicas","value":2}])");
    return TestHook::patch(
        asked,
        R"([{"op":"add","path":"/metadata/annotations","value":{"seen":"yes"}},{"op":"replace","path":"/spec/replicas","value":77}])");
  });
  std::string deployments = fmt::format("/apis/apps/v1/namespaces/{}/deployments", ns_);
  ASSERT_EQ(
      ask("POST", deployments,
          R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})")
          .status,
      201);
  configure(true, "sub", hook.url_config(),
            R"([{"operations":["UPDATE"],"apiGroups":["apps"],"apiVersions":["*"],"resources":["deployments/*"]}])");
  // All subresources of deployments, and deployments themselves: the rule means both.
  Reply scaled = ask("PATCH", deployments + "/d/scale", R"({"spec":{"replicas":40}})", "application/merge-patch+json");
  ASSERT_EQ(scaled.status, 200) << scaled.message();
  EXPECT_EQ(scaled.body["spec"]["replicas"].as_int(), 2);
  // What a webhook does to the spec in a write of the status is not kept.
  Reply status = ask("PATCH", deployments + "/d/status", R"({"status":{"replicas":1}})", "application/merge-patch+json");
  ASSERT_EQ(status.status, 200) << status.message();
  EXPECT_EQ(status.body["spec"]["replicas"].as_int(), 2);
}

TEST_F(WebhooksTest, warnings_become_headers_also_of_refusals) {
  std::string members = R"("allowed":true,"warnings":["first \"one\"","second"],"auditAnnotations":{"k":"v"})";
  TestHook hook([&](const Document& asked) { return TestHook::review(asked, members); });
  configure(false, "warn", hook.url_config(), on_maps);
  Reply made = make_map("a");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.warnings, (std::vector<std::string>{R"(299 - "first \"one\"")", R"(299 - "second")"}));
  members = R"("allowed":false,"warnings":["last"])";
  EXPECT_EQ(make_map("b").warnings, (std::vector<std::string>{R"(299 - "last")"}));
}

TEST_F(WebhooksTest, configurations_themselves_are_nobodys_business) {
  TestHook hook([](const Document& asked) { return TestHook::review(asked, "\"allowed\":false"); });
  configure(false, "all", hook.url_config(),
            R"([{"operations":["*"],"apiGroups":["admissionregistration.k8s.io"],"apiVersions":["*"],"resources":["*"]}])");
  configure(false, "next", hook.url_config(), on_maps);
  for (const std::string& path : configurations_)
    EXPECT_EQ(ask("PATCH", path, R"({"metadata":{"labels":{"a":"b"}}})", "application/merge-patch+json").status, 200);
  EXPECT_EQ(hook.count(), 0u);
}

TEST_F(WebhooksTest, a_change_to_a_deletion_is_refused) {
  TestHook hook([](const Document& asked) { return TestHook::patch(asked, R"([{"op":"add","path":"/data/x","value":"y"}])"); });
  ASSERT_EQ(make_map("a").status, 201);
  configure(true, "del", hook.url_config(),
            R"([{"operations":["DELETE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]}])");
  Reply refused = ask("DELETE", maps() + "/a");
  EXPECT_EQ(refused.status, 500);
  EXPECT_EQ(refused.message(),
            "Internal error occurred: admission webhook \"del.hooks.test\" attempted to modify the object, which is not supported for this "
            "operation");
  EXPECT_EQ(ask("DELETE", maps()).status, 500);  // each object of a collection is asked for
  EXPECT_EQ(ask("GET", maps() + "/a").status, 200);
}

TEST_F(WebhooksTest, custom_resources) {
  TestHook hook([](const Document& asked) {
    if (asked["request"]["operation"].as_string() != "CREATE") return TestHook::allow(asked);
    return TestHook::patch(asked, R"([{"op":"add","path":"/spec/size","value":5},{"op":"add","path":"/spec/junk","value":"x"}])");
  });
  std::string group = fmt::format("{}.example.com", ns_);
  ASSERT_EQ(
      ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
          fmt::format(
              R"({{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"foos.{0}"}},"spec":{{"group":"{0}","scope":"Namespaced","names":{{"plural":"foos","kind":"Foo"}},)"
              R"("versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object","properties":{{"spec":{{"type":"object","properties":{{"size":{{"type":"integer","maximum":9}},"colour":{{"type":"string","default":"red"}}}}}}}}}}}}}}]}}}})",
              group))
          .status,
      201);
  configure(true, "cr", hook.url_config(),
            fmt::format(R"([{{"operations":["*"],"apiGroups":["{}"],"apiVersions":["*"],"resources":["foos"]}}])", group));
  std::string path = fmt::format("/apis/{}/v1/namespaces/{}/foos", group, ns_);
  Reply made = ask("POST", path, fmt::format(R"({{"apiVersion":"{}/v1","kind":"Foo","metadata":{{"name":"a"}},"spec":{{}}}})", group));
  ASSERT_EQ(made.status, 201) << made.message();
  EXPECT_EQ(to_json(made.body["spec"]), R"({"colour":"red","size":5})");
  Document asked = hook.last();
  EXPECT_EQ(asked["request"]["kind"]["kind"].as_string(), "Foo");
  EXPECT_EQ(asked["request"]["object"]["spec"]["colour"].as_string(), "red");
  EXPECT_EQ(ask("DELETE", fmt::format("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/foos.{}", group)).status, 200);
}

TEST_F(WebhooksTest, a_webhook_that_hangs_is_given_up) {
  TestHook hook(TestHook::allow);
  hook.hold();
  configure(false, "slow", hook.url_config(), on_maps, R"(,"timeoutSeconds":1)");
  Reply late = make_map("a");
  EXPECT_EQ(late.status, 500);
  EXPECT_EQ(late.message(), fmt::format("Internal error occurred: failed calling webhook \"slow.hooks.test\": failed to call webhook: Post "
                                        "\"https://127.0.0.1:{}/?timeout=1s\": context deadline exceeded",
                                        hook.port()));
  TearDown();
  configure(false, "slow", hook.url_config(), on_maps, R"(,"timeoutSeconds":1,"failurePolicy":"Ignore")");
  EXPECT_EQ(make_map("a").status, 201);
  TearDown();
  // The request's own limit is shorter.
  configure(true, "slow", hook.url_config(), on_maps, R"(,"timeoutSeconds":30,"failurePolicy":"Ignore")");
  Reply refused = make_map("b", "?timeout=1s");
  EXPECT_EQ(refused.status, 504);
  EXPECT_EQ(refused.message(), "Timeout: request did not complete within requested timeout");
}

TEST_F(WebhooksTest, others_go_on_while_a_webhook_hangs) {
  TestHook hook(TestHook::allow);
  hook.hold();
  configure(false, "hang", hook.url_config(), on_maps, R"(,"timeoutSeconds":30)");
  constexpr std::size_t stuck = 150;  // more than the server has seats or threads for
  std::atomic<std::size_t> finished = 0, busy = 0;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < stuck; ++i)
    threads.emplace_back([&, i] {
      int status = make_map(fmt::format("m{}", i)).status;
      if (status == 429) ++busy;
      if (status == 201) ++finished;
    });
  EXPECT_TRUE(eventually([&] { return hook.count() >= 120; }));
  // Reads and writes that the webhook does not concern.
  std::string secrets = fmt::format("/api/v1/namespaces/{}/secrets", ns_);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(ask("POST", secrets, fmt::format(R"({{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"s{}"}}}})", i)).status, 201);
    EXPECT_EQ(ask("GET", maps()).status, 200);
  }
  EXPECT_EQ(finished, 0u);
  hook.release();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(finished + busy, stuck);
  EXPECT_GE(finished, 128u);
}

TEST_F(WebhooksTest, validating_webhooks_are_asked_at_once) {
  std::atomic<int> inside = 0;
  auto meet = [&](const Document& asked) {
    // Each waits until the others are there too.
    ++inside;
    return eventually([&] { return inside >= 3; }, std::chrono::seconds(10)) ? TestHook::allow(asked)
                                                                             : TestHook::review(asked, "\"allowed\":false");
  };
  TestHook a(meet), b(meet), c(meet);
  configure(false, "a", a.url_config(), on_maps);
  configure(false, "b", b.url_config(), on_maps);
  configure(false, "c", c.url_config(), on_maps);
  EXPECT_EQ(make_map("a").status, 201);
}

TEST_F(WebhooksTest, metrics) {
  TestHook hook([](const Document& asked) { return TestHook::review(asked, "\"allowed\":false"); });
  configure(false, "count", hook.url_config(), on_maps);
  EXPECT_EQ(make_map("a").status, 400);
  net::Response text = live_->http("GET", "/metrics", {}, "", "secret");
  EXPECT_NE(
      text.body.find(
          R"(apiserver_admission_webhook_rejection_count{name="count.hooks.test",type="validating",operation="CREATE",error_type="no_error",rejection_code="400"} 1)"),
      std::string::npos);
  EXPECT_NE(
      text.body.find(
          R"(apiserver_admission_webhook_admission_duration_seconds_count{name="count.hooks.test",type="validating",operation="CREATE",rejected="true"} 1)"),
      std::string::npos);
}

}  // namespace
}  // namespace kybern::apiserver
