// A group-version that another server serves, which the test is: over TLS, with the front proxy's client certificate.
#include "apiserver/aggregation/aggregator.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "apiserver/testing/live_server.h"
#include "apiserver/testing/serving_pair.h"
#include "base/strings.h"
#include "base/testing/eventually.h"
#include "document/json.h"
#include "net/certificates.h"
#include "net/server.h"

namespace kybern::apiserver {
namespace {

class AggregatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ServerOptions options = live_.options();
    options.token_file = live_.write("tokens", "secret,jane,jane-uid,\"system:masters\"\n");
    auto started = live_.start(std::move(options));
    ASSERT_TRUE(started) << started.error().message;
    begin_extension();
    must(
        "POST", "/api/v1/namespaces/default/services",
        fmt::format(
            R"({{"apiVersion":"v1","kind":"Service","metadata":{{"name":"ext"}},"spec":{{"type":"ExternalName","externalName":"localhost"}}}})"));
  }
  void TearDown() override {
    live_.stop();
    if (extension_) extension_->stop(std::chrono::seconds(1));
    extension_.reset();
  }

  void begin_extension() {
    const testing::ServingPair pair = testing::serving_pair("ext", {}, {"ext.default.svc"});
    ca_ = pair.ca.certificate_pem;
    net::ServerOptions options;
    options.tls = net::TlsFiles{live_.write("ext.crt", pair.server.certificate_pem), live_.write("ext.key", pair.server.key_pem),
                                live_.server().credentials().front_proxy_ca_file};
    auto made = net::Server::start(std::move(options), [](std::shared_ptr<net::Exchange> exchange) { serve(*exchange); });
    ASSERT_TRUE(made) << made.error().message;
    extension_ = std::move(*made);
  }
  static void serve(net::Exchange& exchange) {
    const net::Request& r = exchange.request();
    net::Response out{200, {{"content-type", "application/json"}}, ""};
    if (r.path == "/apis/ext.dev/v1") {
      out.body =
          R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"ext.dev/v1","resources":[{"name":"things","singularName":"thing","namespaced":true,"kind":"Thing","verbs":["get","list"],"shortNames":["th"]},{"name":"things/status","singularName":"","namespaced":true,"kind":"Thing","verbs":["get"]}]})";
    } else if (r.path == "/openapi/v3") {
      out.body = R"({"paths":{"apis/ext.dev/v1":{"serverRelativeURL":"/openapi/v3/apis/ext.dev/v1?hash=ABC"}}})";
    } else if (r.path == "/openapi/v2") {
      // Of its own and of what every such server has beside: another group, and types that we have too.
      out.headers.set("etag", "\"E1\"");
      if (r.headers.get("if-none-match") == "\"E1\"") out.status = 304;
      else
        out.body =
            R"({"swagger":"2.0","info":{"title":"ext"},"paths":{"/apis/":{"get":{"description":"theirs"}},"/apis/ext.dev/v1/namespaces/{namespace}/things":{"get":{"description":"list things"}},"/apis/other.dev/v1/others":{"get":{}}},)"
            R"("definitions":{"dev.ext.v1.Thing":{"type":"object","x-kubernetes-group-version-kind":[{"group":"ext.dev","kind":"Thing","version":"v1"}]},"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta":{"description":"theirs"}}})";
    } else if (r.path == "/openapi/v3/apis/ext.dev/v1") {
      out.body = R"({"openapi":"3.0.0","info":{"title":"ext"}})";
    } else {
      Draft seen = Draft::object({{"method", r.method},
                                  {"path", r.path},
                                  {"query", r.query},
                                  {"body", r.body},
                                  {"user", r.headers.get("x-remote-user")},
                                  {"uid", r.headers.get("x-remote-uid")},
                                  {"authorization", r.headers.get("authorization")},
                                  {"peer", r.peer ? r.peer->common_name : ""}});
      for (std::string_view group : r.headers.all("x-remote-group")) seen["groups"].push_back(group);
      out.status = r.method == "POST" ? 201 : 200;
      out.headers.set("x-ext", "yes");
      out.body = to_json(seen);
    }
    exchange.respond(std::move(out));
  }

  Document must(std::string_view method, const std::string& path, const std::string& body = "") { return live_.must(method, path, body); }
  void registration(const std::string& more, int port) {
    must(
        "POST", "/apis/apiregistration.k8s.io/v1/apiservices",
        fmt::format(
            R"({{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{{"name":"v1.ext.dev"}},"spec":{{"group":"ext.dev","version":"v1",)"
            R"("groupPriorityMinimum":2000,"versionPriority":10,"service":{{"namespace":"default","name":"ext","port":{}}}{}}}}})",
            port, more));
  }
  std::string condition() {
    Document found = must("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev");
    for (Value c : found["status"]["conditions"].items())
      if (c["type"].as_string() == "Available")
        return fmt::format("{} {} {}", c["status"].as_string(), c["reason"].as_string(), c["message"].as_string());
    return "";
  }
  net::Response http(std::string method, std::string target, net::Headers headers = {}, std::string body = "") {
    return live_.http(method, std::move(target), std::move(headers), std::move(body), "secret");
  }

  testing::LiveServer live_;
  std::string ca_;
  std::unique_ptr<net::Server> extension_;
};

TEST_F(AggregatorTest, RequestsGoOnUnderTheNameOfWhoAsks) {
  registration(fmt::format(R"(,"caBundle":"{}")", base64_encode(ca_)), extension_->port());
  ASSERT_TRUE(eventually([&] { return condition() == "True Passed all checks passed"; })) << condition();
  net::Response answer =
      http("POST", "/apis/ext.dev/v1/namespaces/d/things?dryRun=All",
           {{"x-remote-user", "somebody"}, {"x-remote-group", "others"}, {"content-type", "application/json"}}, R"({"a":1})");
  EXPECT_EQ(answer.status, 201);
  EXPECT_EQ(answer.headers.get("x-ext"), "yes");
  auto seen = parse_json(answer.body);
  ASSERT_TRUE(seen) << answer.body;
  EXPECT_EQ(
      to_json(seen->root()),
      R"({"method":"POST","path":"/apis/ext.dev/v1/namespaces/d/things","query":"dryRun=All","body":"{\"a\":1}","user":"jane","uid":"jane-uid","authorization":"",)"
      R"("peer":"front-proxy-client","groups":["system:masters","system:authenticated"]})");
  // Discovery in both forms, and OpenAPI.
  EXPECT_EQ((*parse_json(http("GET", "/apis/ext.dev/v1").body))["resources"][0]["name"].as_string(), "things");
  EXPECT_EQ((*parse_json(http("GET", "/apis/ext.dev").body))["preferredVersion"]["groupVersion"].as_string(), "ext.dev/v1");
  EXPECT_NE(http("GET", "/apis").body.find(R"({"name":"ext.dev","versions":[{"groupVersion":"ext.dev/v1","version":"v1"}])"),
            std::string::npos);
  std::string aggregated = http("GET", "/apis", {{"accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}}).body;
  EXPECT_NE(
      aggregated.find(
          R"({"version":"v1","freshness":"Current","resources":[{"resource":"things","responseKind":{"group":"ext.dev","version":"v1","kind":"Thing"},"scope":"Namespaced","singularResource":"thing","verbs":["get","list"],"shortNames":["th"],)"
          R"("subresources":[{"subresource":"status")"),
      std::string::npos)
      << aggregated.substr(aggregated.find("ext.dev"));
  EXPECT_NE(http("GET", "/openapi/v3").body.find(R"("apis/ext.dev/v1":{"serverRelativeURL":"/openapi/v3/apis/ext.dev/v1?hash=ABC"})"),
            std::string::npos);
  EXPECT_EQ(http("GET", "/openapi/v3/apis/ext.dev/v1?hash=ABC").body, R"({"openapi":"3.0.0","info":{"title":"ext"}})");
  // When it is gone, that is said.
  extension_->stop(std::chrono::milliseconds(0));
  extension_.reset();
  answer = http("GET", "/apis/ext.dev/v1/namespaces/d/things");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body.substr(0, 31), "error trying to reach service: ");
  must("PATCH", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev", R"({"metadata":{"labels":{"look":"now"}}})");
  ASSERT_TRUE(eventually([&] {
    return condition().starts_with("False FailedDiscoveryCheck failing or missing response from https://localhost:");
  })) << condition();
  answer = http("GET", "/apis/ext.dev/v1/namespaces/d/things");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, "service unavailable\n");
  EXPECT_NE(http("GET", "/apis", {{"accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}})
                .body.find(R"({"version":"v1","freshness":"Stale","resources":[{"resource":"things")"),
            std::string::npos);
}

TEST_F(AggregatorTest, ItsOpenapiIsPartOfOurs) {
  const std::string before(http("GET", "/openapi/v2").headers.get("etag")), index(http("GET", "/openapi/v3").headers.get("etag"));
  registration(R"(,"insecureSkipTLSVerify":true)", extension_->port());
  ASSERT_TRUE(eventually([&] { return condition() == "True Passed all checks passed"; })) << condition();
  net::Response answer = http("GET", "/openapi/v2");
  EXPECT_NE(answer.headers.get("etag"), before);
  EXPECT_NE(http("GET", "/openapi/v3").headers.get("etag"), index);
  auto check = [](const net::Response& r) {
    auto v2 = parse_json(r.body);
    ASSERT_TRUE(v2);
    EXPECT_EQ((*v2)["paths"]["/apis/ext.dev/v1/namespaces/{namespace}/things"]["get"]["description"].as_string(), "list things");
    EXPECT_FALSE((*v2)["paths"]["/apis/other.dev/v1/others"].exists());
    EXPECT_NE((*v2)["paths"]["/apis/"]["get"]["description"].as_string(), "theirs");
    EXPECT_TRUE((*v2)["paths"]["/api/v1/namespaces/{namespace}/pods"].exists());
    EXPECT_EQ((*v2)["definitions"]["dev.ext.v1.Thing"]["x-kubernetes-group-version-kind"][0]["kind"].as_string(), "Thing");
    EXPECT_NE((*v2)["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["description"].as_string(), "theirs");
  };
  check(answer);
  EXPECT_EQ(http("GET", "/openapi/v2", {{"if-none-match", std::string(answer.headers.get("etag"))}}).status, 304);
  EXPECT_EQ(http("GET", "/openapi/v2", {{"accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}}).status, 200);
  // What it said is told on while it cannot be asked.
  extension_->stop(std::chrono::milliseconds(0));
  extension_.reset();
  must("PATCH", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev", R"({"metadata":{"labels":{"look":"now"}}})");
  ASSERT_TRUE(eventually([&] { return condition().starts_with("False FailedDiscoveryCheck "); })) << condition();
  check(http("GET", "/openapi/v2"));
  must("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev");
  EXPECT_EQ(http("GET", "/openapi/v2").headers.get("etag"), before);
  EXPECT_EQ(http("GET", "/openapi/v3").headers.get("etag"), index);
}

TEST_F(AggregatorTest, AGroupMayBeServedByUsAndByAnother) {
  for (std::string_view group : {"ext.dev", "zoo.dev", "ark.dev"})
    must(
        "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        fmt::format(
            R"({{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"boxes.{0}"}},"spec":{{"group":"{0}","scope":"Namespaced",)"
            R"("names":{{"plural":"boxes","kind":"Box"}},"versions":[{{"name":"v2","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object"}}}}}}]}}}})",
            group));
  registration(R"(,"insecureSkipTLSVerify":true)", extension_->port());
  ASSERT_TRUE(eventually([&] { return condition() == "True Passed all checks passed"; })) << condition();
  auto group = parse_json(http("GET", "/apis/ext.dev").body);
  ASSERT_TRUE(group);
  EXPECT_EQ((*group)["kind"].as_string(), "APIGroup");
  EXPECT_EQ(to_json((*group)["versions"]),
            R"([{"groupVersion":"ext.dev/v2","version":"v2"},{"groupVersion":"ext.dev/v1","version":"v1"}])");  // 100 before 10
  EXPECT_EQ((*parse_json(http("GET", "/apis/ext.dev/v2").body))["resources"][0]["name"].as_string(), "boxes");
  EXPECT_EQ((*parse_json(http("GET", "/apis/ext.dev/v1").body))["resources"][0]["name"].as_string(), "things");
  auto all = parse_json(http("GET", "/apis").body);
  ASSERT_TRUE(all);
  std::vector<std::string> names;
  for (Value g : (*all)["groups"].items()) names.push_back(g["name"].str());
  // The other server's group comes by its priority (2000), before those that only definitions make.
  ASSERT_GT(names.size(), 4u);
  auto place = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) - names.begin(); };
  EXPECT_LT(place("discovery.k8s.io"), place("ext.dev"));
  EXPECT_EQ(place("ark.dev"), place("ext.dev") + 1);
  EXPECT_EQ(place("zoo.dev"), place("ext.dev") + 2);
  auto both = parse_json(http("GET", "/apis", {{"accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}}).body);
  ASSERT_TRUE(both);
  for (Value g : (*both)["items"].items()) {
    if (g["metadata"]["name"].as_string() != "ext.dev") continue;
    ASSERT_EQ(g["versions"].size(), 2u);
    EXPECT_EQ(g["versions"][0]["resources"][0]["resource"].as_string(), "boxes");
    EXPECT_EQ(g["versions"][1]["resources"][0]["resource"].as_string(), "things");
  }
}

TEST_F(AggregatorTest, OneThatHangsHoldsUpNoOther) {
  const int listening = ::socket(AF_INET, SOCK_STREAM, 0);  // never accepts
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listening, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listening, 4), 0);
  ASSERT_EQ(::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size), 0);
  must(
      "POST", "/apis/apiregistration.k8s.io/v1/apiservices",
      fmt::format(
          R"({{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{{"name":"v1.a-hung.dev"}},"spec":{{"group":"a-hung.dev","version":"v1","groupPriorityMinimum":2000,"versionPriority":10,)"
          R"("insecureSkipTLSVerify":true,"service":{{"namespace":"default","name":"ext","port":{}}}}}}})",
          ntohs(address.sin_port)));
  registration(R"(,"insecureSkipTLSVerify":true)", extension_->port());
  EXPECT_TRUE(eventually([&] { return condition() == "True Passed all checks passed"; })) << condition();
  // It is still being asked.
  Document hung = must("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.a-hung.dev");
  EXPECT_TRUE(hung["status"]["conditions"].empty()) << to_json(hung["status"]);
  ::close(listening);
}

TEST_F(AggregatorTest, AServerThatIsNotWhoItShouldBeIsNotAsked) {
  registration("", extension_->port());  // no bundle: the machine's authorities do not know it
  ASSERT_TRUE(eventually([&] { return condition().starts_with("False FailedDiscoveryCheck "); })) << condition();
  EXPECT_NE(condition().find("x509"), std::string::npos) << condition();
  must("PATCH", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev", R"({"spec":{"insecureSkipTLSVerify":true}})");
  ASSERT_TRUE(eventually([&] { return condition() == "True Passed all checks passed"; })) << condition();
  EXPECT_EQ(http("GET", "/apis/ext.dev/v1/things").status, 200);
}

TEST_F(AggregatorTest, WhatIsMissingIsSaid) {
  registration(R"(,"insecureSkipTLSVerify":true)", 443);
  must("DELETE", "/api/v1/namespaces/default/services/ext");
  ASSERT_TRUE(eventually([&] { return condition() == "False ServiceNotFound service/ext in \"default\" is not present"; })) << condition();
  EXPECT_EQ(http("GET", "/apis/ext.dev/v1/things").body, "service unavailable\n");
  must("POST", "/api/v1/namespaces/default/services",
       R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"ext"},"spec":{"ports":[{"port":80}]}})");
  ASSERT_TRUE(eventually([&] { return condition() == "False ServicePortError service/ext in \"default\" is not listening on port 443"; }))
      << condition();
  must("PATCH", "/api/v1/namespaces/default/services/ext", R"({"spec":{"ports":[{"port":443}]}})");
  ASSERT_TRUE(eventually([&] {
    return condition() == "False EndpointsNotFound cannot find endpointslices for service/ext in \"default\"";
  })) << condition();
  must(
      "POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
      R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"ext-1","labels":{"kubernetes.io/service-name":"ext"}},"addressType":"IPv4","endpoints":[],"ports":[{"port":443}]})");
  ASSERT_TRUE(eventually([&] {
    return condition() == "False MissingEndpoints endpoints for service/ext in \"default\" have no addresses with port name \"\"";
  })) << condition();
  must("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev");
  EXPECT_EQ(http("GET", "/apis/ext.dev/v1/things").status, 404);
}

// Whoever gives up another server's service is served here, and the condition says so; as does that of who never had one.
TEST_F(AggregatorTest, WhoNamesNoServerIsLocal) {
  const std::string local = "True Local Local APIServices are always available";
  registration(R"(,"insecureSkipTLSVerify":true)", 443);
  must("DELETE", "/api/v1/namespaces/default/services/ext");
  ASSERT_TRUE(eventually([&] { return condition().starts_with("False ServiceNotFound "); })) << condition();
  auto groups = [&] { return http("GET", "/apis").body; };
  EXPECT_NE(groups().find("ext.dev"), std::string::npos);
  must("PATCH", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev", R"({"spec":{"service":null,"insecureSkipTLSVerify":false}})");
  EXPECT_EQ(groups().find("ext.dev"), std::string::npos);  // which is so with the write's answer
  EXPECT_TRUE(eventually([&] { return condition() == local; })) << condition();
  must("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev");
  must("POST", "/apis/apiregistration.k8s.io/v1/apiservices",
       R"({"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.ext.dev"},"spec":{"group":"ext.dev",)"
       R"("version":"v1","groupPriorityMinimum":2000,"versionPriority":10}})");
  EXPECT_TRUE(eventually([&] { return condition() == local; })) << condition();
  must("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev");
}

// The numbers of upstream's table; another server's group stands where its own number puts it.
TEST_F(AggregatorTest, GroupsComeByTheirPriority) {
  must("POST", "/apis/apiregistration.k8s.io/v1/apiservices",
       R"({"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.ext.dev"},"spec":{"group":"ext.dev",)"
       R"("version":"v1","groupPriorityMinimum":17450,"versionPriority":10,"insecureSkipTLSVerify":true,)"
       R"("service":{"namespace":"default","name":"ext","port":443}}})");
  std::string names;
  auto all = parse_json(http("GET", "/apis").body);
  ASSERT_TRUE(all);
  for (Value g : (*all)["groups"].items()) names += g["name"].str() + " ";
  EXPECT_EQ(names,
            "apiregistration.k8s.io apps events.k8s.io authentication.k8s.io authorization.k8s.io autoscaling ext.dev batch "
            "certificates.k8s.io networking.k8s.io policy rbac.authorization.k8s.io storage.k8s.io admissionregistration.k8s.io "
            "apiextensions.k8s.io scheduling.k8s.io coordination.k8s.io node.k8s.io discovery.k8s.io resource.k8s.io "
            "flowcontrol.apiserver.k8s.io metrics.k8s.io ");
  must("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.dev");
}

}  // namespace
}  // namespace kybern::apiserver
