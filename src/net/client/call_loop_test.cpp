#include "net/call_loop.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <string>

#include "net/client/endpoint.h"
#include "net/client/raw_server.h"

namespace kybern::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Says what it was asked for, on the connection that asked.
void echo(RawPeer& peer) {
  for (std::string request = peer.read_request(); !request.empty(); request = peer.read_request())
    if (!peer.write(answer(fmt::format("{} {}", peer.number(), request.substr(0, request.find(" HTTP")))))) return;
}

std::unique_ptr<CallLoop> loop_of(const std::string& url, std::size_t connections, const KeyPair& authority = {}) {
  ClientOptions options;
  options.url = url;
  options.tls.ca_pem = authority.certificate_pem;
  auto loop = CallLoop::make(std::move(options), connections);
  EXPECT_TRUE(loop) << loop.error().message;
  return loop ? std::move(*loop) : nullptr;
}

TEST(CallLoop, EachConnectionHasOneCallAfterTheOther) {
  RawServer server(echo);
  auto loop = loop_of(server.url(), 3);
  std::map<std::size_t, int> answers;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < 3; ++i) loop->begin(i, get(fmt::format("/{}/0", i)));
  for (int left = 30; left > 0;)
    loop->wait(deadline_after(seconds(20)), [&](std::size_t place, const Result<Response>& response) {
      ASSERT_TRUE(response) << response.error().message;
      --left;
      // "2 GET /1/4": the server's connection, then what was asked.
      EXPECT_EQ(response->body.substr(2), fmt::format("GET /{}/{}", place, answers[place]));
      seen.insert(fmt::format("{}{}", place, response->body[0]));
      EXPECT_FALSE(loop->busy(place));
      if (++answers[place] < 10) loop->begin(place, get(fmt::format("/{}/{}", place, answers[place])));
    });
  EXPECT_EQ(server.connections(), 3);
  EXPECT_EQ(seen.size(), 3u);  // nobody changed connections
}

TEST(CallLoop, ABodyOfAnySizeArrives) {
  RawServer server([](RawPeer& peer) {
    for (std::string request = peer.read_request(); !request.empty(); request = peer.read_request())
      if (!peer.write(answer(std::to_string(request.size() - request.find("\r\n\r\n") - 4)))) return;
  });
  auto loop = loop_of(server.url(), 1);
  for (std::size_t bytes : {std::size_t(0), std::size_t(10), std::size_t(5) << 20}) {
    ClientRequest request = get("/");
    request.method = "POST";
    request.body.assign(bytes, 'x');
    loop->begin(0, request);
    std::string body;
    loop->wait(deadline_after(seconds(20)), [&](std::size_t, const Result<Response>& response) { body = response ? response->body : ""; });
    EXPECT_EQ(body, std::to_string(bytes));
  }
}

TEST(CallLoop, WhatCannotBeAskedIsTold) {
  auto loop = loop_of(fmt::format("http://127.0.0.1:{}", free_port()), 2);
  std::map<std::size_t, std::string> told;
  loop->begin(0, get("/"));
  loop->begin(1, get("no target"));
  while (told.size() < 2)
    loop->wait(deadline_after(seconds(20)), [&](std::size_t place, const Result<Response>& response) {
      told[place] = response ? "answered" : response.error().message;
    });
  EXPECT_NE(told[0].find("connection refused"), std::string::npos) << told[0];
  EXPECT_NE(told[1].find("invalid request target"), std::string::npos) << told[1];
}

TEST(CallLoop, ACallThatTakesTooLongEnds) {
  RawServer server([](RawPeer& peer) {
    if (peer.number() == 0) return peer.wait_closed();  // never answers
    echo(peer);
  });
  auto loop = loop_of(server.url(), 1);
  ClientRequest request = get("/");
  request.timeout = milliseconds(50);
  std::string first, second;
  loop->begin(0, request);
  loop->wait(deadline_after(seconds(20)), [&](std::size_t, const Result<Response>& r) { first = r ? r->body : r.error().message; });
  EXPECT_NE(first.find("exceeded while awaiting headers"), std::string::npos) << first;
  loop->begin(0, get("/again"));
  loop->wait(deadline_after(seconds(20)), [&](std::size_t, const Result<Response>& r) { second = r ? r->body : r.error().message; });
  EXPECT_EQ(second, "1 GET /again");
}

TEST(CallLoop, AConnectionThatTheServerEndsIsMadeAnew) {
  std::atomic<int> ended{0};
  RawServer server([&](RawPeer& peer) {
    if (peer.read_request().empty()) return;
    peer.write(answer(std::to_string(peer.number())));
    peer.cut();
    ++ended;
    ended.notify_all();
  });
  auto loop = loop_of(server.url(), 1);
  for (int i = 0; i < 3; ++i) {
    loop->begin(0, get("/"));
    std::string body;
    loop->wait(deadline_after(seconds(20)), [&](std::size_t, const Result<Response>& r) { body = r ? r->body : r.error().message; });
    EXPECT_EQ(body, std::to_string(i));
    ended.wait(i);
    loop->wait(deadline_after(milliseconds(20)), [](std::size_t, const Result<Response>&) { FAIL() << "nothing was asked"; });
  }
}

TEST(CallLoop, WaitsNoLongerThanAsked) {
  RawServer server([](RawPeer& peer) { peer.wait_closed(); });
  auto loop = loop_of(server.url(), 1);
  loop->begin(0, get("/"));
  loop->wait(deadline_after(milliseconds(30)), [](std::size_t, const Result<Response>&) { FAIL() << "there is no answer"; });
  EXPECT_TRUE(loop->busy(0));
}

}  // namespace
}  // namespace kybern::net
