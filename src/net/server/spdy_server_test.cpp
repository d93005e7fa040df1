// SPDY sessions: both ends joined in memory, over the server, and with kubectl as the peer (which speaks WebSocket too).
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <deque>
#include <future>
#include <thread>

#include "net/server/test_clients.h"
#include "net/spdy_session.h"
#include "net/websocket_stream.h"

namespace kybern::net {
namespace {

using namespace test;
using std::chrono::milliseconds;

// Two sessions whose transports are queues, pumped by the test.
struct Joined {
  explicit Joined(SpdySession::OnStream on_stream) {
    auto transport = [](std::deque<std::string>& out, bool& ended) {
      SpdyTransport t;
      t.write = [&out](std::string bytes) {
        out.push_back(std::move(bytes));
        return true;
      };
      t.finish = [&ended] { ended = true; };
      return t;
    };
    server = SpdySession::make(true, transport(to_client, server_ended), std::move(on_stream), [this] { ++server_closed; });
    client = SpdySession::make(false, transport(to_server, client_ended), nullptr, [this] { ++client_closed; });
  }
  void pump() {
    while (!to_server.empty() || !to_client.empty()) {
      if (!to_server.empty()) {
        std::string bytes = std::move(to_server.front());
        to_server.pop_front();
        server->feed(bytes);
      }
      if (!to_client.empty()) {
        std::string bytes = std::move(to_client.front());
        to_client.pop_front();
        client->feed(bytes);
      }
    }
    if (client_ended) server->transport_closed();
    if (server_ended) client->transport_closed();
  }
  ~Joined() {
    server->close();
    client->close();
  }
  std::deque<std::string> to_server, to_client;
  bool server_ended = false, client_ended = false;
  int server_closed = 0, client_closed = 0;
  std::shared_ptr<SpdySession> server, client;
};

TEST(SpdySession, StreamsBothWays) {
  std::vector<std::shared_ptr<SpdyStream>> accepted;
  Joined j([&](std::shared_ptr<SpdyStream> stream) {
    if (stream->headers().get("streamtype") == "bad") return false;
    stream->on_data([weak = std::weak_ptr(stream)](std::string_view bytes) { weak.lock()->write(std::string(bytes) + "!"); });
    stream->on_end([weak = std::weak_ptr(stream)] { weak.lock()->finish(); });
    accepted.push_back(stream);
    return true;
  });
  auto one = j.client->open({{"streamtype", "stdin"}}), two = j.client->open({{"streamtype", "data"}, {"port", "80"}}),
       bad = j.client->open({{"streamtype", "bad"}});
  std::string got_one, got_two;
  bool end_one = false, bad_gone = false;
  one->on_data([&](std::string_view bytes) { got_one += bytes; });
  one->on_end([&] { end_one = true; });
  two->on_data([&](std::string_view bytes) { got_two += bytes; });
  bad->on_gone([&] { bad_gone = true; });
  EXPECT_TRUE(one->write("a"));
  EXPECT_TRUE(two->write(std::string(200000, 'b')));
  EXPECT_TRUE(one->write("c"));
  j.client->ping();
  j.pump();
  one->finish();
  EXPECT_FALSE(one->write("late"));
  j.pump();
  ASSERT_EQ(accepted.size(), 2u);
  EXPECT_EQ(accepted[1]->headers().get("port"), "80");
  EXPECT_EQ(got_one, "a!c!");
  EXPECT_EQ(got_two.size(), 200004u);
  EXPECT_TRUE(end_one);
  EXPECT_TRUE(bad_gone);
  EXPECT_FALSE(bad->write("x"));
}

TEST(SpdySession, ResetsAndEnds) {
  std::shared_ptr<SpdyStream> accepted;
  int gone = 0;
  Joined j([&](std::shared_ptr<SpdyStream> stream) {
    accepted = stream;
    stream->on_gone([&] { ++gone; });
    return true;
  });
  auto first = j.client->open({});
  j.pump();
  first->reset();
  j.pump();
  EXPECT_EQ(gone, 1);
  auto second = j.client->open({});
  j.pump();
  j.client->close();
  j.pump();
  EXPECT_EQ(gone, 2);
  EXPECT_EQ(j.server_closed, 1);
  EXPECT_EQ(j.client_closed, 1);
  EXPECT_EQ(j.client->open({}), nullptr);
  EXPECT_FALSE(accepted->write("x"));
}

TEST(SpdySession, WhatIsNotWantedIsKeptForLater) {
  std::shared_ptr<SpdyStream> accepted;
  Joined j([&](std::shared_ptr<SpdyStream> stream) {
    accepted = stream;
    return true;
  });
  auto stream = j.client->open({});
  stream->write("early ");
  stream->finish();
  j.pump();
  std::string got;
  bool ended = false;
  accepted->pause_reading(true);
  accepted->on_end([&] { ended = true; });
  accepted->on_data([&](std::string_view bytes) { got += bytes; });
  EXPECT_EQ(got, "");
  EXPECT_FALSE(ended);
  accepted->pause_reading(false);
  EXPECT_EQ(got, "early ");
  EXPECT_TRUE(ended);
}

TEST(SpdySession, WrongIdsAreReset) {
  int opened = 0;
  std::string answer;
  SpdyTransport transport;
  transport.write = [&](std::string bytes) {
    answer += bytes;
    return true;
  };
  auto session = SpdySession::make(
      true, transport, [&](std::shared_ptr<SpdyStream>) { return ++opened > 0; }, nullptr);
  SpdyEncoder encoder;
  session->feed(encoder.syn_stream(2, {}, false));
  EXPECT_EQ(answer, SpdyEncoder::rst_stream(2, spdy_protocol_error));
  session->feed(encoder.syn_stream(5, {}, false));
  EXPECT_EQ(opened, 1);
  answer.clear();
  session->feed(encoder.syn_stream(3, {}, false));
  EXPECT_EQ(answer, SpdyEncoder::rst_stream(3, spdy_protocol_error));
  session->feed(SpdyEncoder::data(77, "for nobody", true));
  session->transport_closed();
}

// ---- a server that answers `kubectl exec`: stdin goes back to stdout

std::string status_json() { return R"({"metadata":{},"status":"Success"})"; }

struct ExecSpdy : std::enable_shared_from_this<ExecSpdy> {
  std::shared_ptr<SpdySession> session;
  std::map<std::string, std::shared_ptr<SpdyStream>, std::less<>> streams;
  std::size_t expected = 3;
  void begin() {
    auto& in = streams["stdin"];
    auto& out = streams["stdout"];
    streams["stderr"]->write("to stderr\n");
    in->on_data([self = shared_from_this(), out](std::string_view bytes) { out->write(bytes); });
    in->on_end([self = shared_from_this()] {
      self->streams["stdout"]->finish();
      self->streams["stderr"]->finish();
      self->streams["error"]->write(status_json());
      self->streams["error"]->finish();
      self->session->close();
      self->streams.clear();
    });
  }
};

void exec_by_spdy(std::shared_ptr<Exchange> exchange) {
  auto raw = exchange->upgrade({{"upgrade", "SPDY/3.1"}, {"x-stream-protocol-version", "v4.channel.k8s.io"}});
  ASSERT_TRUE(raw != nullptr);
  auto exec = std::make_shared<ExecSpdy>();
  exec->session = SpdySession::serve(
      raw,
      [exec](std::shared_ptr<SpdyStream> stream) {
        exec->streams[std::string(stream->headers().get("streamtype"))] = stream;
        if (exec->streams.size() == 4) exec->begin();
        return true;
      },
      [exec] { exec->streams.clear(); });
}

void exec_by_websocket(std::shared_ptr<Exchange> exchange) {
  auto protocol = choose_websocket_protocol(exchange->request(), {"v5.channel.k8s.io"});
  auto answer = accept_websocket(exchange->request(), protocol.value_or(""));
  ASSERT_TRUE(answer.has_value() && protocol);
  auto holder = std::make_shared<std::weak_ptr<WebSocket>>();
  auto ready = std::make_shared<std::promise<void>>();
  auto is_ready = ready->get_future().share();
  auto socket = WebSocket::start(
      exchange->upgrade(*answer), {},
      [holder, is_ready](WebSocketMessage message) {
        is_ready.wait();
        auto socket = holder->lock();
        if (!socket || message.payload.empty()) return;
        if (message.payload == std::string("\xff\0", 2)) {
          socket->send(WebSocketOpcode::binary, "\x03" + status_json());
          socket->close(websocket_normal);
        } else if (message.payload[0] == 0) {
          message.payload[0] = 1;
          socket->send(WebSocketOpcode::binary, message.payload);
        }
      },
      [](std::uint16_t, std::string) {});
  *holder = socket;
  ready->set_value();
  socket->send(WebSocketOpcode::binary, "\x02to stderr\n");
}

void little_api(std::shared_ptr<Exchange> exchange) {
  const Request& r = exchange->request();
  auto json = [&](std::string body) { exchange->respond({200, {{"content-type", "application/json"}}, std::move(body)}); };
  if (r.path == "/api") return json(R"({"kind":"APIVersions","versions":["v1"]})");
  if (r.path == "/apis") return json(R"({"kind":"APIGroupList","apiVersion":"v1","groups":[]})");
  if (r.path == "/api/v1") {
    return json(
        R"({"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list"]}]})");
  }
  if (r.path == "/api/v1/namespaces/default/pods/p") {
    return json(
        R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"default"},"spec":{"containers":[{"name":"c","image":"i"}]},"status":{"phase":"Running"}})");
  }
  if (r.path == "/api/v1/namespaces/default/pods/p/exec") {
    if (is_websocket_request(r)) return exec_by_websocket(std::move(exchange));
    return exec_by_spdy(std::move(exchange));
  }
  exchange->respond({404, {}, "not found"});
}

TEST(SpdySession, KubectlExec) {
  if (run("kubectl version --client 2>/dev/null").find("Client Version") == std::string::npos) GTEST_SKIP() << "kubectl is not installed";
  auto server = start_server(little_api);
  TemporaryDirectory home;
  std::string kubectl = "env HOME=" + home.path("") +
                        " KUBECONFIG=/dev/null KUBECTL_REMOTE_COMMAND_WEBSOCKETS=%s timeout 20 kubectl --cache-dir " + home.path("cache") +
                        " --server http://127.0.0.1:" + std::to_string(server->port()) + " exec -i p -- cat 2>&1";
  std::string big = home.write("big", std::string(3 << 20, 'k'));
  for (std::string websockets : {"false", "true"}) {
    std::string command = kubectl;
    command.replace(command.find("%s"), 2, websockets);
    EXPECT_EQ(run("echo hello | " + command + " | sort"), "hello\nto stderr\n") << websockets;
    EXPECT_EQ(run("cat " + big + " | " + command + " | wc -c | tr -d ' \\n'"), std::to_string((3 << 20) + 10)) << websockets;
  }
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

TEST(SpdySession, OverTheServer) {
  auto server = start_server(little_api);
  ClientOptions options;
  options.url = "http://127.0.0.1:" + std::to_string(server->port());
  auto http = HttpClient::make(options);
  ASSERT_TRUE(http.has_value());
  ClientRequest request;
  request.method = "POST";
  request.target = "/api/v1/namespaces/default/pods/p/exec";
  request.headers = {{"connection", "Upgrade"}, {"upgrade", "SPDY/3.1"}, {"x-stream-protocol-version", "v4.channel.k8s.io"}};
  auto upgraded = (*http)->upgrade(request);
  ASSERT_TRUE(upgraded.has_value()) << upgraded.error().message;
  std::shared_ptr<DuplexStream> duplex = std::move(*upgraded);
  EXPECT_EQ(duplex->headers().get("x-stream-protocol-version"), "v4.channel.k8s.io");
  SpdyTransport transport;
  transport.write = [duplex](std::string bytes) { return duplex->write(bytes).has_value(); };
  transport.finish = [duplex] { duplex->close(); };
  auto session = SpdySession::make(false, transport, nullptr, nullptr);
  std::map<std::string, std::string> got;
  std::map<std::string, std::shared_ptr<SpdyStream>> streams;
  for (const char* name : {"error", "stdin", "stdout", "stderr"}) {
    auto stream = session->open({{"streamtype", name}});
    ASSERT_TRUE(stream != nullptr);
    stream->on_data([&got, name](std::string_view bytes) { got[name] += bytes; });
    streams[name] = stream;
  }
  std::thread reader([&] {
    for (;;) {
      auto bytes = duplex->read();
      if (!bytes || bytes->empty()) break;
      session->feed(*bytes);
    }
    session->transport_closed();
  });
  std::string input(4 << 20, 'i');
  EXPECT_TRUE(streams["stdin"]->write(input));
  streams["stdin"]->finish();
  reader.join();
  EXPECT_TRUE(got["stdout"] == input);
  EXPECT_EQ(got["stderr"], "to stderr\n");
  EXPECT_EQ(got["error"], status_json());
}

}  // namespace
}  // namespace kybern::net
