// The proxies to pods and nodes: what goes on to the server behind, and what comes back.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "apiserver/http/connect.h"
#include "apiserver/http/gzip.h"
#include "apiserver/http/proxy_links.h"
#include "apiserver/http/request_info.h"
#include "apiserver/testing/asking.h"
#include "apiserver/testing/serving_pair.h"
#include "base/strings.h"
#include "net/certificates.h"
#include "net/client.h"
#include "net/server.h"
#include "net/websocket_stream.h"

namespace kybern::apiserver {
namespace {

TEST(ProxyLinks, Rewritten) {
  const ProxyLinks links{"/api/v1/namespaces/demo/pods/p/proxy", "10.0.0.1:80", "localhost:8001"};
  struct Row {
    const char *link, *now;
  };
  for (Row row : {
           Row{"/a", "/api/v1/namespaces/demo/pods/p/proxy/a"},
           Row{"/", "/api/v1/namespaces/demo/pods/p/proxy/"},
           Row{"/a/?b=c&d#e", "/api/v1/namespaces/demo/pods/p/proxy/a/?b=c&d#e"},
           Row{"/a/../../b//c/", "/api/v1/namespaces/demo/pods/p/b/c/"},
           Row{"a/b", "a/b"},
           Row{"?x", "?x"},
           Row{"#top", "#top"},
           Row{"mailto:a@b", "mailto:a@b"},
           Row{"http://example.com/a", "http://example.com/a"},
           Row{"//example.com/a", "//example.com/a"},
           Row{"http://10.0.0.1:80/a", "/api/v1/namespaces/demo/pods/p/proxy/a"},
           Row{"http://localhost:8001/a", "http://localhost:8001/api/v1/namespaces/demo/pods/p/proxy/a"},
           Row{"/api/v1/namespaces/demo/pods/p/proxy/a", "/api/v1/namespaces/demo/pods/p/proxy/a"},
           Row{"", ""},
       })
    EXPECT_EQ(links.rewritten(row.link), row.now) << row.link;
}

std::string rewritten(const std::string& html, std::size_t step) {
  HtmlLinks page({"/p", "10.0.0.1", "h"});
  std::string out;
  for (std::size_t i = 0; i < html.size(); i += step) page.feed(std::string_view(html).substr(i, step), false, out);
  page.feed("", true, out);
  return out;
}

TEST(ProxyLinks, Pages) {
  struct Row {
    std::string html, now;
  };
  for (const Row& row : {
           Row{R"(<a href="/x">y</a>)", R"(<a href="/p/x">y</a>)"},
           Row{R"(<A class=k HREF='/x?a=1&amp;b=2' >)", R"(<A class=k HREF="/p/x?a=1&amp;b=2" >)"},
           Row{"<img src=/x><img src=/y/>", R"(<img src="/p/x"><img src="/p/y/">)"},
           Row{R"(<script src="/s.js">if (a < b) "<a href='/x'>"</script><link href="/c">)",
               R"(<script src="/p/s.js">if (a < b) "<a href='/x'>"</script><link href="/p/c">)"},
           Row{R"(<!-- <a href="/x"> --><p data="/x" href="/y">1 < 2</p>)", R"(<!-- <a href="/x"> --><p data="/x" href="/y">1 < 2</p>)"},
           Row{R"(<form action="/go" method=post><input value=">" src="/i">)",
               R"(<form action="/p/go" method=post><input value=">" src="/p/i">)"},
           Row{"<a href=", "<a href="},
           Row{"<a href=\"/never ends", "<a href=\"/never ends"},
           Row{"no page", "no page"},
       })
    for (std::size_t step : {std::size_t(1), std::size_t(3), std::size_t(1000)}) EXPECT_EQ(rewritten(row.html, step), row.now) << step;
  const std::string endless = "<a " + std::string(1'000'000, 'x');
  EXPECT_EQ(rewritten(endless, 10'000), endless);
}

// A pod and a node that are on this machine, and the front that clients ask.
class ProxyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    back_ = *net::Server::start({}, [this](std::shared_ptr<net::Exchange> exchange) { answer(*exchange); });
    auto made = [&](std::string_view verb, const std::string& path, const std::string& body, const char* ns) {
      auto done = asking_.ask(verb, path, body, ns);
      ASSERT_TRUE(done) << path << ": " << done.error().message;
    };
    made("create", "v1/namespaces", "{metadata: {name: demo}}", "");
    made("create", "v1/serviceaccounts", "{metadata: {name: default}}", "demo");
    made("create", "v1/pods",
         fmt::format("{{metadata: {{name: p}}, spec: {{containers: [{{name: a, image: i}}, {{name: b, image: i, ports: [{{containerPort: "
                     "{}}}]}}]}}}}",
                     back_->port()),
         "demo");
    made("patch", "v1/pods/p/status", "{status: {podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}]}}", "demo");
    made("create", "v1/nodes", "{metadata: {name: k}}", "");
    made("patch", "v1/nodes/k/status", "{status: {addresses: [{type: InternalIP, address: 127.0.0.1}]}}", "");
    made("create", "v1/services", "{metadata: {name: s}, spec: {ports: [{name: http, port: 80}]}}", "demo");
    start({.client_certificate_file = "", .client_key_file = "", .kubelet_ca_file = "", .local_targets = true});
  }
  void start(ConnectorOptions options) {
    front_.reset();
    connector_ = std::move(*Connector::make(std::move(options), asking_.registry()));
    front_ = *net::Server::start({}, [this](std::shared_ptr<net::Exchange> exchange) {
      const net::Request& request = exchange->request();
      Query query(request.query);
      auto work = begin_work(asking_.registry(), asking_.user, read_request_info(request.method, request.path, query), query);
      if (!work) return exchange->respond({work.error().code, {}, work.error().message});
      connector_->connect(std::move(*work), std::move(exchange));
    });
    net::ClientOptions options_of_client;
    options_of_client.url = fmt::format("http://127.0.0.1:{}", front_->port());
    client_ = std::move(*net::HttpClient::make(options_of_client));
  }
  void TearDown() override {
    client_.reset();
    if (front_) front_->stop(std::chrono::seconds(1));
    back_->stop(std::chrono::seconds(1));
  }
  void answer(net::Exchange& exchange) {
    const net::Request& request = exchange.request();
    {
      std::lock_guard lock(mutex_);
      seen_ = request;
    }
    if (request.path == "/redirect") return exchange.respond({302, {{"location", "/elsewhere?a=b"}}, "moved"});
    if (request.path == "/page")
      return exchange.respond(
          {200, {{"content-type", "text/html; charset=utf-8"}, {"access-control-allow-origin", "*"}}, R"(<a href="/x">x</a>)"});
    if (request.path == "/packed" || request.path == "/bomb" || request.path == "/broken") {
      const std::string html = request.path == "/bomb" ? std::string(20'000'000, ' ') : R"(<a href="/x">x</a>)";
      std::string body = gzip(html);
      if (request.path == "/broken") body[0] = 'x';
      return exchange.respond({200, {{"content-type", "text/html"}, {"content-encoding", "gzip"}}, std::move(body)});
    }
    if (request.path == "/upgrade") {
      auto stream = exchange.upgrade({{"connection", "Upgrade"}, {"upgrade", "echo"}});
      stream->on_data([stream](std::string_view bytes) {
        stream->write("[" + std::string(bytes) + "]");
        stream->finish();
      });
      return;
    }
    exchange.respond({request.method == "POST" ? 201 : 200, {{"x-method", request.method}}, request.body});
  }
  net::Response ask(std::string method, std::string target, net::Headers headers = {}, std::string body = "") {
    auto out = client_->call({std::move(method), std::move(target), std::move(headers), std::move(body)});
    EXPECT_TRUE(out) << out.error().message;
    return out.value_or(net::Response{0, {}, ""});
  }
  net::Request seen() {
    std::lock_guard lock(mutex_);
    return seen_;
  }

  testing::Asking asking_;
  std::mutex mutex_;
  net::Request seen_;
  std::unique_ptr<net::Server> back_, front_;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<net::HttpClient> client_;
};

const std::string pod = "/api/v1/namespaces/demo/pods/p/proxy";

TEST_F(ProxyTest, AllVerbsGoOn) {
  for (std::string method : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    net::Response out = ask(method, pod + "/a/b%20c%2Fd?q=1", {{"x-own", "v"}, {"authorization", "Bearer t"}},
                            method == "POST" || method == "PUT" || method == "PATCH" ? "body" : "");
    EXPECT_EQ(out.status, method == "POST" ? 201 : 200) << method;
    EXPECT_EQ(out.headers.get("x-method"), method);
    net::Request there = seen();
    EXPECT_EQ(there.path, "/a/b%20c%2Fd") << method;  // as it was written
    EXPECT_EQ(there.query, "q=1");
    EXPECT_EQ(there.headers.get("x-own"), "v");
    EXPECT_FALSE(there.headers.find("authorization"));
    EXPECT_EQ(there.headers.get("host"), fmt::format("127.0.0.1:{}", front_->port()));
    EXPECT_EQ(there.headers.get("x-forwarded-uri"), pod + "/a/b%20c%2Fd");
    EXPECT_EQ(there.headers.get("x-forwarded-for"), "127.0.0.1");
  }
  EXPECT_EQ(ask("POST", pod, {}, "body").body, "body");
  EXPECT_EQ(seen().path, "/");
}

// A line's end in a path stays escaped: it must not begin another header.
TEST_F(ProxyTest, PathsHoldNoHeaders) {
  EXPECT_EQ(ask("GET", pod + "/a%0d%0aX-Injected:%20yes%0d%0a%0d%0aGET%20/b").status, 200);
  EXPECT_EQ(seen().path, "/a%0d%0aX-Injected:%20yes%0d%0a%0d%0aGET%20/b");
  EXPECT_FALSE(seen().headers.find("x-injected"));
}

TEST_F(ProxyTest, LinksLeadBack) {
  net::Response bare = ask("GET", pod + "?a=b");
  EXPECT_EQ(bare.status, 301);
  EXPECT_EQ(bare.headers.get("location"), pod + "/?a=b");
  net::Response moved = ask("GET", pod + "/redirect");
  EXPECT_EQ(moved.status, 302);
  EXPECT_EQ(moved.headers.get("location"), pod + "/elsewhere?a=b");
  net::Response page = ask("GET", pod + "/page");
  EXPECT_EQ(page.body, "<a href=\"" + pod + "/x\">x</a>");
  EXPECT_FALSE(page.headers.find("access-control-allow-origin"));
}

// As upstream's transport does: unpacked, changed, packed again.
TEST_F(ProxyTest, LinksOfCompressedPages) {
  auto unpacked = [](const net::Response& answer) {
    std::string out;
    Gunzip gunzip(Packing::gzip);
    EXPECT_EQ(answer.headers.get("content-encoding"), "gzip");
    EXPECT_TRUE(gunzip.add(answer.body, [&](std::string_view text) { return out += text, true; }));
    return out;
  };
  EXPECT_EQ(unpacked(ask("GET", pod + "/packed")), "<a href=\"" + pod + "/x\">x</a>");
  EXPECT_EQ(unpacked(ask("GET", pod + "/bomb")).size(), 20'000'000u);
  auto broken = client_->call({"GET", pod + "/broken", {}, ""});
  EXPECT_TRUE(!broken || broken->body.empty()) << "what is no gzip breaks off";
}

TEST_F(ProxyTest, Upgrades) {
  auto stream = client_->upgrade({"GET", pod + "/upgrade", {{"connection", "Upgrade"}, {"upgrade", "echo"}}, ""});
  ASSERT_TRUE(stream) << stream.error().message;
  ASSERT_TRUE((*stream)->write("hello"));
  EXPECT_EQ((*stream)->read().value_or("nothing"), "[hello]");
}

TEST_F(ProxyTest, NamesSayWhere) {
  const std::string port = std::to_string(back_->port()), pods = "/api/v1/namespaces/demo/pods/";
  EXPECT_EQ(ask("GET", pods + "p:" + port + "/proxy/").status, 200);
  EXPECT_EQ(ask("GET", pods + "http:p:" + port + "/proxy/").status, 200);
  EXPECT_EQ(ask("GET", "/api/v1/nodes/k:" + port + "/proxy/").status, 200);
  EXPECT_EQ(ask("GET", "/api/v1/nodes/http:k:" + port + "/proxy/logs").status, 200);
  EXPECT_EQ(seen().path, "/logs");
  // The back speaks no TLS.
  EXPECT_EQ(ask("GET", pods + "https:p:" + port + "/proxy/").status, 503);
  struct Row {
    std::string path;
    int status;
    const char* message;
  };
  for (const Row& row : {
           Row{pods + "ftp:p:80/proxy/", 400, "invalid pod request \\\"ftp:p:80\\\""},
           Row{pods + "a:b:c:d/proxy/", 400, "invalid pod request"},
           Row{"/api/v1/nodes/ftp:k:80/proxy/", 400, "invalid node request"},
           Row{"/api/v1/namespaces/demo/services/:s:80:/proxy/", 400, "invalid service request"},
           Row{pods + "nobody/proxy/", 404, "pods \\\"nobody\\\" not found"},
           Row{"/api/v1/namespaces/demo/services/s:other/proxy/", 503, "no service port \\\"other\\\" found for service \\\"s\\\""},
           Row{"/api/v1/namespaces/demo/services/s:http/proxy/", 503, "no endpoints available for service \\\"s:http\\\""},
           Row{"/api/v1/namespaces/demo/services/https:s:http/proxy/", 503, "no endpoints available for service \\\"https:s:http\\\""},
       }) {
    net::Response out = ask("GET", row.path);
    EXPECT_EQ(out.status, row.status) << row.path;
    EXPECT_NE(out.body.find(row.message), std::string::npos) << out.body;
  }
}

// A kubelet that has no container to show or to run in.
class KubeletRefusalsTest : public ProxyTest {
 protected:
  void SetUp() override {
    ProxyTest::SetUp();
    std::string name = (std::filesystem::temp_directory_path() / "kubelet-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    const testing::ServingPair pair = testing::serving_pair("k", {"127.0.0.1"});
    net::ServerOptions options;
    options.tls = net::TlsFiles{write("k.crt", pair.server.certificate_pem), write("k.key", pair.server.key_pem), ""};
    kubelet_ = *net::Server::start(std::move(options), [](std::shared_ptr<net::Exchange> exchange) {
      const std::string& path = exchange->request().path;
      const std::string container = path.substr(path.rfind('/') + 1);
      if (path.starts_with("/exec/") || path.starts_with("/attach/"))
        return exchange->respond({500, {}, fmt::format("container not found (\"{}\")\n", container)});
      const int code = container == "fine" ? 200 : parse_int(container.substr(1)).value_or(200);
      exchange->respond({code, {{"content-type", "text/plain"}}, code == 200 ? "a line\n" : "why"});
    });
    auto done = asking_.ask("patch", "v1/nodes/k/status",
                            fmt::format("{{status: {{daemonEndpoints: {{kubeletEndpoint: {{Port: {}}}}}}}}}", kubelet_->port()), "");
    ASSERT_TRUE(done) << done.error().message;
    std::string containers;
    for (const char* name : {"fine", "c400", "c404", "c403", "c422", "c500", "c502", "c503"})
      containers += fmt::format("{{name: {}, image: i}}, ", name);
    done = asking_.ask("create", "v1/pods", fmt::format("{{metadata: {{name: q}}, spec: {{nodeName: k, containers: [{}]}}}}", containers),
                       "demo");
    ASSERT_TRUE(done) << done.error().message;
    start({.client_certificate_file = "",
           .client_key_file = "",
           .kubelet_ca_file = write("ca.crt", pair.ca.certificate_pem),
           .local_targets = true});
  }
  void TearDown() override {
    ProxyTest::TearDown();
    if (kubelet_) kubelet_->stop(std::chrono::seconds(1));
    std::filesystem::remove_all(folder_);
  }
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  // "400 BadRequest why"
  static std::string told(const net::Response& answer) {
    auto status = parse_json(answer.body);
    if (!status || (*status)["kind"].as_string() != "Status") return fmt::format("{} text {}", answer.status, answer.body);
    EXPECT_EQ((*status)["code"].as_int(), answer.status);
    return fmt::format("{} {} {}", answer.status, (*status)["reason"].as_string(), (*status)["message"].as_string());
  }

  std::string folder_;
  std::unique_ptr<net::Server> kubelet_;
};

const std::string refusing = "/api/v1/namespaces/demo/pods/q/";

TEST_F(KubeletRefusalsTest, OfLogsAreStatuses) {
  struct Row {
    const char *query, *answer;
  };
  for (const Row& row : {
           Row{"container=fine", "200 text a line\n"},
           Row{"container=c400", "400 BadRequest why"},
           Row{"container=c404", "404 NotFound the server could not find the requested resource ( pods/log q)"},
           Row{"container=c403", "403 Forbidden why ( pods/log q)"},
           Row{"container=c422", "422 Invalid the server rejected our request due to an error in our request ( pods/log q)"},
           Row{"container=c500", "500 InternalError Internal error occurred: why"},
           Row{"container=c502",
               "502 InternalError an error on the server (\"why\") has prevented the request from succeeding ( pods/log q)"},
           Row{"container=c503", "503 ServiceUnavailable the server is currently unable to handle the request ( pods/log q)"},
           Row{"container=none", "400 BadRequest container none is not valid for pod q"},
           Row{"container=fine&tailLines=-1",
               "422 Invalid PodLogOptions \"q\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"},
           Row{"container=fine&tailLines=0&limitBytes=1&sinceSeconds=1", "200 text a line\n"},
           Row{"container=fine&limitBytes=0&sinceSeconds=0",
               "422 Invalid PodLogOptions \"q\" is invalid: [limitBytes: Invalid value: 0: must be greater than 0, sinceSeconds: Invalid "
               "value: "
               "0: must be greater than 0]"},
           Row{"container=fine&sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
               "422 Invalid PodLogOptions \"q\" is invalid: : Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"},
           Row{"container=fine&stream=Both",
               "422 Invalid PodLogOptions \"q\" is invalid: stream: Unsupported value: \"Both\": supported values: \"All\", \"Stderr\", "
               "\"Stdout\""},
           Row{"container=fine&stream=Stderr&tailLines=1",
               "422 Invalid PodLogOptions \"q\" is invalid: : Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"},
           Row{"container=fine&tailLines=x", "400 BadRequest strconv.ParseInt: parsing \"x\": invalid syntax"},
           Row{"container=fine&sinceTime=x",
               "400 BadRequest parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\""},
       })
    EXPECT_EQ(told(ask("GET", refusing + "log?" + row.query)), row.answer) << row.query;
  const std::string url = fmt::format("https://127.0.0.1:{}", kubelet_->port());
  kubelet_->stop(std::chrono::seconds(0));
  const std::string gone = told(ask("GET", refusing + "log?container=fine"));
  EXPECT_TRUE(gone.starts_with(fmt::format("500  Get \"{}/containerLogs/demo/q/fine?container=fine\": dial tcp 127.0.0.1:", url))) << gone;
}

TEST_F(KubeletRefusalsTest, OfStreamsAreToldAsTheyWere) {
  for (const std::string& what : {std::string("exec"), std::string("attach")}) {
    const std::string path = refusing + what + "?container=fine&stdout=true&command=ls";
    EXPECT_EQ(told(ask("GET", path)), "400 BadRequest Upgrade request required");
    // SPDY, and the older WebSocket protocols: the kubelet's own answer.
    auto refused = [&](net::Headers headers) {
      headers.set("connection", "Upgrade");
      auto opened = client_->upgrade({"GET", path, std::move(headers), ""});
      return opened ? std::string("opened") : opened.error().message;
    };
    const std::string theirs = "unable to upgrade connection: 500 Internal Server Error: container not found (\"fine\")\n";
    EXPECT_EQ(refused({{"upgrade", "SPDY/3.1"}, {"x-stream-protocol-version", "v4.channel.k8s.io"}}), theirs);
    auto v4 = net::WebSocketClient::connect(*client_, {"GET", path, {}, ""}, {"v4.channel.k8s.io"}, {});
    ASSERT_FALSE(v4);
    EXPECT_EQ(v4.error().message, theirs);
    // v5: on the error channel, as upstream's translator tells it.
    auto on_channel = [&]() -> std::string {
      auto socket = net::WebSocketClient::connect(*client_, {"GET", path, {}, ""}, {"v5.channel.k8s.io", "v4.channel.k8s.io"}, {});
      if (!socket) return socket.error().message;
      EXPECT_EQ((*socket)->protocol(), "v5.channel.k8s.io");
      auto message = (*socket)->read();
      if (!message || message->payload.empty() || message->payload[0] != 3) return "no error";
      auto status = parse_json(std::string_view(message->payload).substr(1));
      if (!status) return message->payload;
      EXPECT_EQ((*status)["status"].as_string(), "Failure");
      EXPECT_EQ((*status)["reason"].as_string(), "InternalError");
      EXPECT_EQ((*status)["code"].as_int(), 500);
      auto end = (*socket)->read();
      EXPECT_TRUE(!end || end->opcode == net::WebSocketOpcode::close);
      return (*status)["message"].str();
    };
    EXPECT_EQ(on_channel(), "Internal error occurred: unable to upgrade connection: container not found (\"fine\")");
    if (what != "attach") continue;
    const std::string url = fmt::format("https://127.0.0.1:{}", kubelet_->port());
    kubelet_->stop(std::chrono::seconds(0));
    const std::string gone = on_channel();
    EXPECT_TRUE(gone.starts_with(fmt::format("Internal error occurred: error sending request: Post \"{}/attach/demo/q/fine?", url)))
        << gone;
    EXPECT_NE(gone.find("\": dial tcp 127.0.0.1:"), std::string::npos) << gone;
    const std::string dead = refused({{"upgrade", "SPDY/3.1"}});
    EXPECT_TRUE(dead.starts_with("unable to upgrade connection: 500 Internal Server Error: ")) << dead;
    EXPECT_NE(dead.find("\"message\":\"error dialing backend: dial tcp 127.0.0.1:"), std::string::npos) << dead;
    EXPECT_EQ(dead.find("reason"), std::string::npos) << dead;
  }
}

// Whoever may write a pod's status must not reach what listens on the server's own machine.
TEST_F(ProxyTest, NotToThisMachine) {
  start({});
  const std::string port = std::to_string(back_->port());
  for (const std::string& path : {pod + "/", "/api/v1/nodes/k:" + port + "/proxy/", std::string("/api/v1/nodes/k/proxy/")}) {
    net::Response out = ask("GET", path);
    EXPECT_EQ(out.status, 400) << path;
    EXPECT_NE(out.body.find("address not allowed"), std::string::npos) << out.body;
  }
}

}  // namespace
}  // namespace kybern::apiserver
