// The server's beginning and end.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "net/server/test_clients.h"

namespace kybern::net {
namespace {

using namespace test;
using std::chrono::milliseconds;
using std::chrono::seconds;

void echo_body(std::shared_ptr<Exchange> exchange) {
  const Request& r = exchange->request();
  exchange->respond({200, {}, r.method == "GET" ? "hello" : r.body});
}

TEST(ServerStart, UnixSocket) {
  TemporaryDirectory directory;
  ServerOptions options;
  options.unix_path = directory.path("s.sock");
  auto server = start_server(echo_body, options);
  EXPECT_EQ(server->port(), 0);
  auto again = Server::start(options, echo_body);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().message, "listen " + options.unix_path +
                                       ": address already in use: another process serves it; stop that process or choose another path");
  server.reset();
  EXPECT_TRUE(Server::start(options, echo_body).has_value());
}

TEST(ServerStart, SaysWhyItCannotListen) {
  auto server = start_server(echo_body);
  ServerOptions options;
  options.port = server->port();
  auto second = Server::start(options, echo_body);
  ASSERT_FALSE(second.has_value());
  std::string port = std::to_string(server->port());
  EXPECT_EQ(second.error().message, "listen 127.0.0.1:" + port +
                                        ": address already in use: another process holds this port; `ss -ltnp sport = :" + port +
                                        "` shows which; stop it or choose another port");
  EXPECT_EQ(second.error().code, Code::already_exists);
  options.bind_address = "nonsense";
  EXPECT_EQ(Server::start(options, echo_body).error().message, "listen nonsense:" + port + ": not an IP address: nonsense");
  options.bind_address = "192.0.2.1";
  EXPECT_NE(Server::start(options, echo_body).error().message.find("cannot assign requested address"), std::string::npos);
  options.bind_address = "127.0.0.1";
  options.port = 0;
  options.tls = TlsFiles{"/nonexistent/a", "/nonexistent/b", ""};
  EXPECT_NE(Server::start(options, echo_body).error().message.find("TLS certificate file /nonexistent/a: "), std::string::npos);
}

// ---- the end

TEST(ServerStop, WaitsForExchangesAndClosesIdleOnes) {
  std::atomic<bool> open = false, inside = false;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path == "/slow") {
      inside = true;
      eventually([&] { return open.load(); });
    }
    echo_body(exchange);
  });
  TcpClient idle(server->port()), busy(server->port());
  EXPECT_EQ(get(idle, "/").status, 200);
  busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return inside.load(); }));
  int port = server->port();
  std::thread stopper([&] { server->stop(seconds(10)); });
  idle.read_to_end();
  EXPECT_TRUE(idle.ended());
  EXPECT_TRUE(eventually([&] { return TcpClient(port).ended(); }));  // nobody listens
  open = true;
  HttpAnswer answer = read_answer(busy);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.get("connection"), "close");
  auto begin = std::chrono::steady_clock::now();
  stopper.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(5));
}

TEST(ServerStop, TellsStreamsAndEndsThem) {
  std::atomic<int> closed = 0;
  std::mutex mutex;
  std::vector<std::shared_ptr<BodyStream>> streams;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    auto stream = exchange->respond_stream(200, {});
    stream->write("begin ");
    bool polite = exchange->request().path == "/polite";
    stream->on_close([&closed, polite, weak = std::weak_ptr(stream)] {
      ++closed;
      auto held = weak.lock();
      if (polite && held) {
        held->write("goodbye");
        held->finish();
      }
    });
    std::lock_guard lock(mutex);
    streams.push_back(stream);
  });
  TcpClient polite(server->port()), stubborn(server->port());
  polite.send("GET /polite HTTP/1.1\r\nHost: a\r\n\r\n");
  stubborn.send("GET /stubborn HTTP/1.1\r\nHost: a\r\n\r\n");
  polite.read_until("begin ");
  stubborn.read_until("begin ");
  ASSERT_TRUE(eventually([&] {
    std::lock_guard lock(mutex);
    return streams.size() == 2;
  }));
  server->stop(milliseconds(200));
  EXPECT_EQ(closed, 2);
  EXPECT_TRUE(polite.read_to_end().ends_with("7\r\ngoodbye\r\n0\r\n\r\n"));
  EXPECT_FALSE(stubborn.read_to_end().ends_with("0\r\n\r\n"));
  std::lock_guard lock(mutex);
  for (auto& stream : streams) EXPECT_FALSE(stream->write("after"));
  server.reset();
  for (auto& stream : streams) EXPECT_FALSE(stream->write("long after"));
}

TEST(ServerStop, PostedTasksRun) {
  auto server = start_server(echo_body);
  std::atomic<int> ran = 0;
  for (int i = 0; i < 100; ++i) server->post([&] { ++ran; });
  server->stop(milliseconds(0));
  EXPECT_EQ(ran, 100);
}

}  // namespace
}  // namespace kybern::net
