// HTTP checks against a server of the test's own: headers, redirects, TLS.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <mutex>

#include "kubelet/probes/checks.h"
#include "net/client/raw_server.h"

namespace kybern::kubelet {
namespace {

using Verdict = CheckOutcome::Result;

constexpr std::chrono::seconds check_limit{20};

// Answers "/moved" with a redirect to `location`, "/loop" with one to itself, "/ok" with 200 and everything else with 503.
struct WebServer {
  std::mutex mutex;
  std::string requests, location = "/ok";
  net::RawServer server;

  explicit WebServer(net::RawServerOptions options = {}) : server([this](net::RawPeer& peer) { serve(peer); }, std::move(options)) {}
  void serve(net::RawPeer& peer) {
    if (!peer.handshake()) return;
    std::string request = peer.read_request();
    std::lock_guard lock(mutex);
    requests += request;
    auto asks = [&](const char* path) { return request.starts_with(fmt::format("GET {} ", path)); };
    if (asks("/moved") || asks("/loop"))
      peer.write(fmt::format("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", asks("/loop") ? "/loop" : location));
    else peer.write(fmt::format("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", asks("/ok") ? "200 OK" : "503 Service Unavailable"));
  }
  CheckOutcome check(HttpTarget target) {
    target.host = "127.0.0.1";
    target.port = server.port();
    return check_http(target, check_limit);
  }
  CheckOutcome check(std::string path) {
    HttpTarget target;
    target.path = std::move(path);
    return check(target);
  }
  bool was_asked(std::string_view text) {
    std::lock_guard lock(mutex);
    return requests.find(text) != std::string::npos;
  }
};

TEST(HttpCheck, TheProbesHeadersReplaceTheUsualOnes) {
  WebServer web;
  HttpTarget target;
  target.path = "/ok";
  target.headers = {{"X-Custom", "one"}, {"X-Custom", "two"}, {"Host", "shop.example"}, {"Accept", ""}};
  EXPECT_EQ(web.check(target).result, Verdict::success);
  for (const char* line : {"X-Custom: one\r\n", "X-Custom: two\r\n", "Host: shop.example\r\n", "User-Agent: kube-probe/"})
    EXPECT_TRUE(web.was_asked(line)) << line << "\n" << web.requests;
  for (const char* text : {"Host: 127", "Accept"}) EXPECT_FALSE(web.was_asked(text)) << text << "\n" << web.requests;
}

TEST(HttpCheck, RedirectsAreFollowedOnTheSameHostOnly) {
  WebServer web;
  EXPECT_EQ(web.check("/moved").result, Verdict::success);
  EXPECT_TRUE(web.was_asked("GET /ok "));
  web.location = "/broken";
  EXPECT_EQ(web.check("/moved").output, "HTTP probe failed with statuscode: 503");
  web.location = "http://elsewhere.invalid/broken";
  EXPECT_EQ(web.check("/moved").result, Verdict::success);
  EXPECT_EQ(web.check("/loop").output, fmt::format("Get \"http://127.0.0.1:{}/loop\": stopped after 10 redirects", web.server.port()));
}

TEST(HttpCheck, CertificatesAreNotVerified) {
  Time now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  auto ca = net::new_ca("nobody knows it", now - std::chrono::hours(2), now - std::chrono::hours(1));
  ASSERT_TRUE(ca.has_value());
  net::CertificateSpec spec;
  spec.common_name = "another-name";
  spec.server = true;
  spec.not_before = now - std::chrono::hours(2);
  spec.not_after = now - std::chrono::hours(1);
  auto pair = net::issue(*ca, spec);
  ASSERT_TRUE(pair.has_value());
  net::RawServerOptions options;
  options.certificate = *pair;
  WebServer web(std::move(options));
  HttpTarget target;
  target.scheme = "https";
  target.path = "/ok";
  EXPECT_EQ(web.check(target).output, "");
  target.path = "/broken";
  EXPECT_EQ(web.check(target).output, "HTTP probe failed with statuscode: 503");
}

}  // namespace
}  // namespace kybern::kubelet
