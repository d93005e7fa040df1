// WebSocket over the server, against the client's end and against raw bytes.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

#include "net/server/test_clients.h"
#include "net/websocket_stream.h"

namespace kybern::net {
namespace {

using namespace test;
using std::chrono::milliseconds;

// Echoes messages; "close" makes the server close, "stop" ends the connection without a close frame.
struct EchoServer {
  EchoServer() {
    server = start_server([this](std::shared_ptr<Exchange> exchange) {
      auto protocol = choose_websocket_protocol(exchange->request(), {"v4.channel.k8s.io", "v5.channel.k8s.io"});
      auto answer = accept_websocket(exchange->request(), protocol.value_or(""));
      if (!answer) return exchange->respond({400, {}, answer.error().message});
      auto raw = exchange->upgrade(*answer);
      ASSERT_TRUE(raw != nullptr);
      auto holder = std::make_shared<std::weak_ptr<WebSocket>>();
      auto socket = WebSocket::start(
          raw, {.from_client = true, .max_message_bytes = 100000},
          [holder, raw](WebSocketMessage message) {
            auto socket = holder->lock();
            if (!socket) return;
            if (message.payload == "close") return socket->close(4000, "as you like");
            if (message.payload == "stop") return raw->abort();
            EXPECT_TRUE(socket->send(message.opcode, message.payload));
          },
          [this](std::uint16_t code, std::string reason) {
            std::lock_guard lock(mutex);
            ends.emplace_back(code, std::move(reason));
          });
      *holder = socket;
      // Messages that came before the holder was set would be lost: the client waits for a greeting.
      socket->send(WebSocketOpcode::text, "hello");
    });
  }
  bool ended_with(std::uint16_t code) {
    return eventually([&] {
      std::lock_guard lock(mutex);
      return ends.size() == 1 && ends[0].first == code;
    });
  }
  std::mutex mutex;
  std::vector<std::pair<std::uint16_t, std::string>> ends;
  std::unique_ptr<Server> server;
};

const char* const upgrade_head =
    "GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io\r\n\r\n";
constexpr std::array<std::uint8_t, 4> mask{1, 2, 3, 4};

TEST(WebSocketServer, RawBytes) {
  EchoServer echo;
  TcpClient client(echo.server->port());
  client.send(upgrade_head);
  std::string head = client.read_until("hello");
  EXPECT_NE(head.find("Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), std::string::npos) << head;
  EXPECT_NE(head.find("Sec-Websocket-Protocol: v5.channel.k8s.io\r\n"), std::string::npos);
  client.take();
  // Two fragments, a ping between them, in single bytes.
  for (char c : encode_websocket_frame(WebSocketOpcode::text, "abc", false, mask) +
                    encode_websocket_frame(WebSocketOpcode::ping, "p", true, mask) +
                    encode_websocket_frame(WebSocketOpcode::continuation, "def", true, mask)) {
    client.send({&c, 1});
  }
  std::string expected = encode_websocket_frame(WebSocketOpcode::pong, "p") + encode_websocket_frame(WebSocketOpcode::text, "abcdef");
  EXPECT_EQ(client.read_bytes(expected.size()), expected);
  client.take();
  client.send(encode_websocket_close(1001, "leaving", mask));
  EXPECT_EQ(client.read_to_end(), encode_websocket_close(1001, ""));
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(echo.ended_with(1001));
  EXPECT_EQ(echo.ends[0].second, "leaving");
}

TEST(WebSocketServer, BreakingTheProtocolIsAnswered) {
  EchoServer echo;
  TcpClient client(echo.server->port());
  client.send(upgrade_head);
  client.read_until("hello");
  client.take();
  client.send(encode_websocket_frame(WebSocketOpcode::text, "not masked"));
  EXPECT_EQ(client.read_to_end(), encode_websocket_close(1002, "frame without a mask"));
  EXPECT_TRUE(echo.ended_with(1002));
}

TEST(WebSocketServer, PeerThatVanishes) {
  EchoServer echo;
  {
    TcpClient client(echo.server->port());
    client.send(upgrade_head);
    client.read_until("hello");
  }
  EXPECT_TRUE(echo.ended_with(1006));
  EXPECT_TRUE(eventually([&] { return echo.server->connections() == 0; }));
}

TEST(WebSocketServer, ServerMayClose) {
  EchoServer echo;
  TcpClient client(echo.server->port());
  client.send(upgrade_head);
  client.read_until("hello");
  client.take();
  client.send(encode_websocket_frame(WebSocketOpcode::text, "close", true, mask));
  EXPECT_EQ(client.read_to_end(), encode_websocket_close(4000, "as you like"));
}

TEST(WebSocketServer, BadHandshake) {
  EchoServer echo;
  TcpClient client(echo.server->port());
  EXPECT_EQ(get(client, "/", "Connection: Upgrade\r\nUpgrade: websocket\r\n").status, 400);
}

std::unique_ptr<HttpClient> http_client(int port) {
  ClientOptions options;
  options.url = "http://127.0.0.1:" + std::to_string(port);
  auto client = HttpClient::make(options);
  EXPECT_TRUE(client.has_value());
  return std::move(*client);
}

TEST(WebSocketClient, TalksToTheServer) {
  EchoServer echo;
  auto http = http_client(echo.server->port());
  ClientRequest request;
  request.target = "/exec";
  auto socket = WebSocketClient::connect(*http, request, {"v4.channel.k8s.io"}, {});
  ASSERT_TRUE(socket.has_value()) << socket.error().message;
  EXPECT_EQ((*socket)->protocol(), "v4.channel.k8s.io");
  EXPECT_EQ((*socket)->read()->payload, "hello");
  for (std::size_t size : {0, 1, 125, 126, 65535, 65536, 100000}) {
    std::string payload(size, 'x');
    ASSERT_TRUE((*socket)->write(WebSocketOpcode::binary, payload).has_value());
    auto message = (*socket)->read();
    ASSERT_TRUE(message.has_value()) << message.error().message;
    EXPECT_EQ(message->opcode, WebSocketOpcode::binary);
    EXPECT_TRUE(message->payload == payload);
  }
  ASSERT_TRUE((*socket)->write(WebSocketOpcode::text, "close").has_value());
  auto closed = (*socket)->read();
  ASSERT_TRUE(closed.has_value());
  EXPECT_EQ(closed->opcode, WebSocketOpcode::close);
  EXPECT_EQ(closed->close_code, 4000);
  EXPECT_EQ(closed->payload, "as you like");
  EXPECT_EQ((*socket)->read().error().code, Code::not_found);
  EXPECT_FALSE((*socket)->write(WebSocketOpcode::text, "late").has_value());
}

TEST(WebSocketClient, TooBigAndGone) {
  EchoServer echo;
  auto http = http_client(echo.server->port());
  ClientRequest request;
  request.target = "/exec";
  {
    auto socket = WebSocketClient::connect(*http, request, {}, {});
    ASSERT_TRUE(socket.has_value()) << socket.error().message;
    EXPECT_EQ((*socket)->protocol(), "");
    EXPECT_EQ((*socket)->read()->payload, "hello");
    ASSERT_TRUE((*socket)->write(WebSocketOpcode::binary, std::string(100001, 'x')).has_value());
    auto message = (*socket)->read();
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->close_code, 1009);
  }
  auto socket = WebSocketClient::connect(*http, request, {}, {});
  ASSERT_TRUE(socket.has_value());
  EXPECT_EQ((*socket)->read()->payload, "hello");
  ASSERT_TRUE((*socket)->write(WebSocketOpcode::text, "stop").has_value());
  EXPECT_EQ((*socket)->read().error().code, Code::unavailable);
}

// Node's own WebSocket as one more opinion.
TEST(WebSocketServer, NodeClient) {
  std::FILE* probe = ::popen("node -e 'process.stdout.write(typeof WebSocket)' 2>/dev/null", "r");
  std::array<char, 256> text{};
  std::size_t got = probe ? std::fread(text.data(), 1, text.size(), probe) : 0;
  if (probe) ::pclose(probe);
  if (std::string_view(text.data(), got) != "function") GTEST_SKIP() << "node with WebSocket is not installed";
  EchoServer echo;
  TemporaryDirectory directory;
  std::string script = directory.write("c.js", R"(
    const ws = new WebSocket("ws://127.0.0.1:" + process.argv[2] + "/exec", ["v4.channel.k8s.io"]);
    let n = 0;
    ws.onmessage = (m) => { if (n++ == 0) { ws.send("x".repeat(70000)); } else { process.stdout.write(ws.protocol + " " + m.data.length + " "); ws.send("close"); } };
    ws.onclose = (e) => { process.stdout.write(e.code + " " + e.reason); };
  )");
  std::FILE* pipe = ::popen(("timeout 10 node " + script + " " + std::to_string(echo.server->port())).c_str(), "r");
  ASSERT_TRUE(pipe);
  got = std::fread(text.data(), 1, text.size(), pipe);
  ::pclose(pipe);
  EXPECT_EQ(std::string_view(text.data(), got), "v4.channel.k8s.io 70000 4000 as you like");
}

}  // namespace
}  // namespace kybern::net
