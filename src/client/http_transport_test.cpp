// The transport against a real HTTP server on loopback that answers what a test says: paging, resuming, losing the place.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/eventually.h"
#include "client/following.h"
#include "client/mirror.h"
#include "client/test_support.h"
#include "client/transport.h"
#include "document/json.h"
#include "net/server.h"

namespace kybern::client {
namespace {

std::string pod(const std::string& name, int version) {
  return R"({"metadata":{"name":")" + name + R"(","namespace":"d","uid":")" + name + R"(","resourceVersion":")" + std::to_string(version) +
         R"("}})";
}
std::string event(const std::string& type, const std::string& object) { return R"({"type":")" + type + R"(","object":)" + object + "}\n"; }
std::string page(const std::string& items, int version, const std::string& continuation = "") {
  return R"({"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":")" + std::to_string(version) + R"(","continue":")" +
         continuation + R"("},"items":[)" + items + "]}";
}

struct Api {
  std::mutex mutex;
  std::vector<std::string> seen;  // "GET /path?query"
  std::vector<net::Request> requests;
  std::function<net::Response(const net::Request&)> answer;
  std::function<bool(const net::Request&, net::Exchange&)> stream;  // true: it took the exchange
  std::vector<std::shared_ptr<net::BodyStream>> watches;
  std::unique_ptr<net::Server> server;
  std::unique_ptr<Transport> transport;

  explicit Api(HttpOptions options = {}) {
    auto started = net::Server::start({}, [this](std::shared_ptr<net::Exchange> exchange) {
      const net::Request request = exchange->request();
      std::lock_guard lock(mutex);
      seen.push_back(request.method + " " + request.path + (request.query.empty() ? "" : "?" + request.query));
      requests.push_back(request);
      if (stream && stream(request, *exchange)) return;
      exchange->respond(answer ? answer(request) : net::Response{});
    });
    EXPECT_TRUE(started) << started.error().message;
    server = std::move(*started);
    options.url = "http://127.0.0.1:" + std::to_string(server->port());
    transport = *http_transport(std::move(options));
  }
  ~Api() {
    transport.reset();
    server->stop(std::chrono::milliseconds(100));
  }
  void watch_streams() {
    stream = [this](const net::Request& request, net::Exchange& exchange) {
      if (request.query.find("watch=true") == std::string::npos) return false;
      watches.push_back(exchange.respond_stream(200, net::Headers{{"content-type", "application/json"}}));
      return true;
    };
  }
  std::size_t count(std::string_view part) {
    std::lock_guard lock(mutex);
    std::size_t out = 0;
    for (const std::string& s : seen) out += s.find(part) != std::string::npos;
    return out;
  }
  std::shared_ptr<net::BodyStream> watch(std::size_t index) {
    EXPECT_TRUE(eventually([&] {
      std::lock_guard lock(mutex);
      return watches.size() > index;
    }));
    std::lock_guard lock(mutex);
    return index < watches.size() ? watches[index] : nullptr;
  }
};

net::Response json_response(int status, std::string body) {
  net::Response out;
  out.status = status;
  out.headers.set("content-type", "application/json");
  out.body = std::move(body);
  return out;
}

// To a port where nobody listens.
std::unique_ptr<Transport> nobody() {
  HttpOptions options;
  options.url = "http://127.0.0.1:1";
  return *http_transport(std::move(options));
}

TEST(HttpTransport, Calls) {
  HttpOptions options;
  options.token = "secret";
  options.user_agent = "kybern-test";
  Api api(options);
  api.answer = [](const net::Request& request) { return json_response(201, request.body.empty() ? "{}" : request.body); };
  const Document body = *parse_json(R"({"a":1})");
  auto answer = api.transport->call({.method = "POST", .path = "/api/v1/pods", .query = "fieldManager=x", .body = body});
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->root() == body.root());
  EXPECT_EQ(api.seen.back(), "POST /api/v1/pods?fieldManager=x");
  EXPECT_EQ(api.requests.back().headers.get("authorization"), "Bearer secret");
  EXPECT_EQ(api.requests.back().headers.get("accept"), "application/json");
  EXPECT_EQ(api.requests.back().headers.get("user-agent"), "kybern-test");
  EXPECT_EQ(api.requests.back().headers.get("content-type"), "application/json");
  const std::pair<PatchType, const char*> types[] = {{PatchType::json, "application/json-patch+json"},
                                                     {PatchType::merge, "application/merge-patch+json"},
                                                     {PatchType::strategic, "application/strategic-merge-patch+json"},
                                                     {PatchType::apply, "application/apply-patch+yaml"}};
  for (const auto& [type, name] : types) {
    ASSERT_TRUE(api.transport->call({.method = "PATCH", .path = "/x", .query = {}, .body = body, .patch = type}));
    EXPECT_EQ(api.requests.back().headers.get("content-type"), name);
  }
}

TEST(HttpTransport, Failures) {
  Api api;
  struct Row {
    int code;
    std::string body;
    std::string reason, message;
  };
  const Row rows[] = {
      {404,
       R"({"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods \"a\" not found","reason":"NotFound","details":{"name":"a","kind":"pods"},"code":404})",
       "NotFound", "pods \"a\" not found"},
      {404, "404 page not found\n", "NotFound", "the server could not find the requested resource"},
      {500, "broken", "InternalError", "broken"},
      {502, "", "", "an error on the server has prevented the request from succeeding (status 502)"},
      {403,
       R"({"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"Forbidden","details":{"causes":[{"reason":"NamespaceTerminating","message":"m","field":"f"}]},"code":403})",
       "Forbidden", "no"},
  };
  for (const Row& row : rows) {
    api.answer = [&](const net::Request&) { return json_response(row.code, row.body); };
    auto answer = api.transport->call({.method = "GET", .path = "/x", .query = {}, .body = {}});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, row.code);
    EXPECT_EQ(answer.error().reason, row.reason);
    EXPECT_EQ(answer.error().message, row.message);
  }
  auto unreachable = nobody();
  auto answer = unreachable->call({.method = "GET", .path = "/x", .query = {}, .body = {}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, 503);
}

TEST(HttpTransport, ABusyServerIsAskedAgainWhenItSaysWhen) {
  Api api;
  int asked = 0;
  api.answer = [&](const net::Request&) {
    if (++asked > 1) return json_response(200, "{}");
    net::Response busy = json_response(429, "");
    busy.headers.set("retry-after", "1");
    return busy;
  };
  EXPECT_TRUE(api.transport->call({.method = "GET", .path = "/x", .query = {}, .body = {}}));
  EXPECT_EQ(asked, 2);
}

// Whoever shuts down is not kept by a server that said "later".
TEST(HttpTransport, AWaitForABusyServerIsCutShort) {
  Api api;
  std::stop_source stop;
  std::atomic<int> asked = 0;
  api.answer = [&](const net::Request&) {
    ++asked;
    net::Response busy = json_response(429, "");
    busy.headers.set("retry-after", "9");
    return busy;
  };
  auto transport = following_transport(
      [&]() -> Result<HttpOptions> {
        HttpOptions options;
        options.url = "http://127.0.0.1:" + std::to_string(api.server->port());
        return options;
      },
      stop.get_token());
  ASSERT_TRUE(transport) << transport.error().message;
  const auto begun = std::chrono::steady_clock::now();
  std::thread caller([&] {
    auto answer = (*transport)->call({.method = "GET", .path = "/x", .query = {}, .body = {}});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, 429);
    EXPECT_EQ(answer.error().retry_after_seconds, 9);
  });
  EXPECT_TRUE(eventually([&] { return asked == 1; }));
  stop.request_stop();
  caller.join();
  EXPECT_EQ(asked, 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(9));
}

// A component outlives its certificate: what its kubeconfig says meanwhile counts, without a restart.
TEST(HttpTransport, CredentialsAreReadAgainWhenTheyAreRefused) {
  Api api;
  std::string valid = "a", given = "a";
  bool readable = true;
  int reads = 0;
  api.answer = [&](const net::Request& request) {
    return net::Response{
        request.headers.get("authorization") == "Bearer " + valid ? 200 : 401, {{"content-type", "application/json"}}, "{}"};
  };
  auto transport = following_transport([&]() -> Result<HttpOptions> {
    ++reads;
    if (!readable) return fail(Code::not_found, "gone");
    HttpOptions options;
    options.url = "http://127.0.0.1:" + std::to_string(api.server->port());
    options.token = given;
    return options;
  });
  ASSERT_TRUE(transport) << transport.error().message;
  auto code = [&] {
    auto answer = (*transport)->call({.method = "GET", .path = "/x", .query = "", .body = {}});
    return answer ? 200 : answer.error().code;
  };
  EXPECT_EQ(code(), 200);
  EXPECT_EQ(reads, 1);  // while all goes well they are not read for each call
  valid = "b";
  EXPECT_EQ(code(), 401);  // the file still says "a"
  given = "b";
  EXPECT_EQ(code(), 200);
  readable = false;
  EXPECT_EQ(code(), 200);
  valid = "c";
  EXPECT_EQ(code(), 401);
  valid = "b";
  EXPECT_EQ(code(), 200);  // what was read last stays
  EXPECT_FALSE(following_transport([]() -> Result<HttpOptions> { return fail(Code::not_found, "gone"); }));
}

TEST(HttpTransport, AMirrorIsFilledPageByPageAndFollows) {
  Api api;
  api.watch_streams();
  api.answer = [](const net::Request& request) {
    if (request.query.find("continue=next") != std::string::npos) return json_response(200, page(pod("b", 2), 7));
    return json_response(200, page(pod("a", 1), 7, "next"));
  };
  MirrorCore mirror(*api.transport, "/api/v1/pods", "labelSelector=x");
  mirror.start();
  ASSERT_TRUE(mirror.wait_synced(std::chrono::seconds(20)));
  EXPECT_EQ(mirror.size(), 2u);
  EXPECT_EQ(mirror.get("d/a")["kind"].as_string(), "Pod");
  auto first = api.watch(0);
  EXPECT_EQ(api.count("labelSelector=x&limit=500"), 2u);
  EXPECT_EQ(api.count("labelSelector=x&watch=true&allowWatchBookmarks=true&resourceVersion=7&"), 1u);
  first->write(event("ADDED", pod("c", 8)) + event("MODIFIED", pod("a", 9)).substr(0, 20));
  EXPECT_TRUE(eventually([&] { return static_cast<bool>(mirror.get("d/c")); }));
  first->write(event("MODIFIED", pod("a", 9)).substr(20) + event("DELETED", pod("b", 10)) +
               event("BOOKMARK", R"({"metadata":{"resourceVersion":"50"}})"));
  EXPECT_TRUE(eventually([&] { return !mirror.get("d/b") && resource_version_of(mirror.get("d/a")) == 9; }));

  first->abort();  // the connection breaks: resumed from the bookmark, nothing listed again
  auto second = api.watch(1);
  EXPECT_EQ(api.count("resourceVersion=50&"), 1u);
  EXPECT_EQ(api.count("limit=500"), 2u);
  second->write(event("ADDED", pod("e", 51)));
  EXPECT_TRUE(eventually([&] { return static_cast<bool>(mirror.get("d/e")); }));

  {  // the place is lost: listed again, and only the differences are told
    std::lock_guard lock(api.mutex);
    api.answer = [](const net::Request&) { return json_response(200, page(pod("a", 9) + "," + pod("f", 60), 60)); };
  }
  second->write(event("ERROR", R"({"kind":"Status","code":410,"reason":"Expired"})"));
  EXPECT_TRUE(eventually([&] { return static_cast<bool>(mirror.get("d/f")); }));
  EXPECT_EQ(mirror.size(), 2u);
  auto third = api.watch(2);
  EXPECT_EQ(api.count("resourceVersion=60&"), 1u);
}

TEST(HttpTransport, AWatchThatIsTooOldFromTheStart) {
  Api api;
  int version = 5;
  api.answer = [&](const net::Request& request) {
    if (request.query.find("watch=true") == std::string::npos) {
      ++version;
      return json_response(200, page(pod("a", version), version));
    }
    return json_response(410, R"({"kind":"Status","code":410,"reason":"Expired","message":"too old"})");
  };
  MirrorCore mirror(*api.transport, "/api/v1/pods");
  mirror.start();
  EXPECT_TRUE(eventually([&] { return api.count("limit=500") >= 3; }));
}

TEST(HttpTransport, EndsAtOnceWhileItWaits) {
  Api api;
  api.watch_streams();
  api.answer = [](const net::Request&) { return json_response(200, page("", 1)); };
  auto mirror = std::make_unique<MirrorCore>(*api.transport, "/api/v1/pods");
  mirror->start();
  api.watch(0);
  const auto begin = std::chrono::steady_clock::now();
  mirror.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));

  auto unreachable = nobody();
  auto waiting = std::make_unique<MirrorCore>(*unreachable, "/api/v1/pods");
  waiting->start();
  EXPECT_FALSE(waiting->wait_synced(std::chrono::milliseconds(50)));
  waiting.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
}  // namespace kybern::client
