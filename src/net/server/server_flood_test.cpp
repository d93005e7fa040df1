// Peers that speak HTTP/2 to hurt: each is answered rightly or closed, memory stays where it was, others are served.
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <mutex>

#include "net/server/test_clients.h"

namespace kybern::net {
namespace {

using namespace test;
using std::chrono::milliseconds;

#ifdef __SANITIZE_THREAD__
constexpr std::size_t most_growth_bytes = std::size_t(384) << 20;  // it remembers two to three bytes of each byte, and every thread's past
#else
constexpr std::size_t most_growth_bytes = std::size_t(48) << 20;
#endif

std::size_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  in >> size >> resident;
  return resident * 4096;
}

enum FrameType : unsigned char { data = 0, headers = 1, priority = 2, settings = 4, ping = 6, window_update = 8, continuation = 9 };
constexpr unsigned char end_stream = 1, end_headers = 4;

// RFC 9113 section 4.1.
std::string frame(FrameType type, unsigned char flags, std::uint32_t stream, std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift & 255);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift & 255);
  return out.append(payload);
}
std::string number(std::uint32_t n) {
  std::string out;
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(n >> shift & 255);
  return out;
}

const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// :method GET, :scheme https, :path /, :authority test (RFC 7541 appendix A)
const std::string get_block("\x82\x87\x84\x41\x04test", 9);

class ServerFlood : public testing::Test {
 protected:
  ServerFlood() {
    options.tls = pki.files;
    options.write_timeout = milliseconds(500);
    options.header_timeout = milliseconds(1500);
  }
  void SetUp() override {
    server = start_server(
        [this](std::shared_ptr<Exchange> exchange) {
          ++handled;
          exchange->respond({200, {}, exchange->request().method == "GET" ? "hello" : exchange->request().body});
        },
        options);
    before = resident_bytes();
  }
  void TearDown() override { EXPECT_LT(resident_bytes(), before + most_growth_bytes); }

  std::unique_ptr<TlsClient> greeted() {
    TlsClientOptions tls;
    tls.alpn = {"h2"};
    auto client = std::make_unique<TlsClient>(server->port(), tls);
    EXPECT_TRUE(client->send(preface + frame(settings, 0, 0, "")));
    return client;
  }
  // Sends a piece over and over, until the server has had enough; so many times at most.
  static bool cut_off(TlsClient& client, const std::string& piece, int times) {
    std::string many;
    int each = std::max<int>(1, static_cast<int>(60'000 / piece.size()));
    for (int i = 0; i < each; ++i) many += piece;
    for (int sent = 0; sent < times; sent += each)
      if (!client.send(many)) return true;
    client.read_to_end();
    return client.ended();
  }
  bool serves_others() {
    Http2Client other(server->port(), {});
    int id = other.request("GET", "/");
    return other.wait_closed(id) && other.stream(id).status == 200;
  }

  TestPki pki;
  ServerOptions options;
  std::unique_ptr<Server> server;
  std::atomic<int> handled{0};
  std::size_t before = 0;
};

// CVE-2024-27316: a head that never ends.
TEST_F(ServerFlood, ContinuationsWithoutEnd) {
  std::string field("\x00\x03x-f\x64", 6);
  field += std::string(100, 'v');
  std::string block;
  for (int i = 0; i < 100; ++i) block += field;
  for (const std::string& piece : {block, std::string()}) {
    auto client = greeted();
    ASSERT_TRUE(client->send(frame(headers, end_stream, 1, get_block)));
    EXPECT_TRUE(cut_off(*client, frame(continuation, 0, 1, piece), 50'000)) << piece.size();
    EXPECT_TRUE(serves_others());
  }
  EXPECT_EQ(handled, 2);
}

TEST_F(ServerFlood, HeadThatStallsIsCutOff) {
  auto client = greeted();
  ASSERT_TRUE(client->send(frame(headers, end_stream, 1, get_block)));  // without END_HEADERS
  client->read_to_end();
  EXPECT_TRUE(client->ended());
  EXPECT_EQ(handled, 0);
}

TEST_F(ServerFlood, PrefaceThatStallsIsCutOff) {
  TlsClientOptions tls;
  tls.alpn = {"h2"};
  for (std::string_view begin : {std::string_view("PRI"), std::string_view(preface)}) {
    TlsClient client(server->port(), tls);
    client.send(begin);
    client.read_to_end();
    EXPECT_TRUE(client.ended()) << begin;
  }
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

// Each must be answered; a peer that reads no answers is not waited for.
TEST_F(ServerFlood, PingsAndSettings) {
  auto pinging = greeted();
  EXPECT_TRUE(cut_off(*pinging, frame(ping, 0, 0, "12345678"), 1'000'000));
  auto setting = greeted();
  EXPECT_TRUE(cut_off(*setting, frame(settings, 0, 0, ""), 1'000'000));
  auto many = greeted();
  std::string entries;
  for (int i = 0; i < 2000; ++i) entries += std::string("\x00\x03", 2) + number(100);
  EXPECT_TRUE(cut_off(*many, frame(settings, 0, 0, entries), 50));
  EXPECT_TRUE(serves_others());
}

// One byte for each copy of a field of 4,000.
TEST_F(ServerFlood, HpackBomb) {
  auto client = greeted();
  std::string block = get_block, value(4000, 'v');
  block += "\x40\x03x-f";  // kept in the table, where it is number 62 from then on
  block += std::string("\x7f\xa1\x1e", 3) + value;
  block += std::string(8000, '\xbe');
  ASSERT_TRUE(client->send(frame(headers, end_stream | end_headers, 1, block)));
  ASSERT_TRUE(client->send(frame(headers, end_stream | end_headers, 3, get_block)));
  EXPECT_NE(client->read_until("hello").find("request head too large"), std::string::npos);
  EXPECT_EQ(handled, 1);
}

TEST_F(ServerFlood, HeadsOfAllSizes) {
  Http2Client client(server->port(), {});
  int fits = client.request("GET", "/", {{"x-large", std::string(50'000, 'h')}});
  ASSERT_TRUE(client.wait_closed(fits));
  EXPECT_EQ(client.stream(fits).status, 200);
  Headers many;
  for (int i = 0; i < 1100; ++i) many.add("x-" + std::to_string(i), "v");
  int fields = client.request("GET", "/", many), after = client.request("GET", "/");
  ASSERT_TRUE(client.wait_closed(fields) && client.wait_closed(after));
  EXPECT_EQ(client.stream(fields).status, 431);
  EXPECT_EQ(client.stream(after).status, 200);
}

TEST_F(ServerFlood, ThousandsOfStreams) {
  Http2Client client(server->port(), {});
  for (int round = 0; round < 40; ++round) {
    std::vector<int> ids;
    for (int i = 0; i < 100; ++i) ids.push_back(client.request("GET", "/"));
    for (int id : ids) ASSERT_TRUE(client.wait_closed(id));
    for (int id : ids) EXPECT_EQ(client.stream(id).status, 200);
  }
  EXPECT_EQ(handled, 4000);
  EXPECT_FALSE(client.goaway());
}

TEST_F(ServerFlood, PrioritiesAndEmptyData) {
  auto client = greeted();
  std::string some;
  for (std::uint32_t i = 0; i < 5000; ++i) some += frame(priority, 0, 2 * i + 3, number(2 * (i * 7 % 5000) + 1) + "\x10");
  for (int round = 0; round < 10; ++round) client->send(some);
  EXPECT_TRUE(serves_others());
  auto empty = greeted();
  std::string post("\x83\x87\x84\x41\x04test", 9);
  ASSERT_TRUE(empty->send(frame(headers, end_headers, 1, post)));
  some.clear();
  for (int i = 0; i < 6000; ++i) some += frame(data, 0, 1, "");
  for (int round = 0; round < 20; ++round) empty->send(some);
  EXPECT_TRUE(serves_others());
}

TEST_F(ServerFlood, WindowBeyondItsBound) {
  auto client = greeted();
  ASSERT_TRUE(client->send(frame(window_update, 0, 0, number(0x7fffffff)) + frame(window_update, 0, 0, number(0x7fffffff))));
  client->read_to_end();
  EXPECT_TRUE(client->ended());
  auto nothing = greeted();
  ASSERT_TRUE(nothing->send(frame(window_update, 0, 0, number(0))));
  nothing->read_to_end();
  EXPECT_TRUE(nothing->ended());
}

// Lists that nobody takes, or byte by byte: what is not taken is not made.
TEST(ServerFloodWindows, TinyAndClosedOnes) {
  TestPki pki;
  ServerOptions options;
  options.tls = pki.files;
  options.write_timeout = milliseconds(700);
  std::atomic<std::size_t> made{0};
  auto server = start_server(
      [&](std::shared_ptr<Exchange> exchange) {
        if (exchange->request().path == "/") return exchange->respond({200, {}, "hello"});
        exchange->respond_pulled(200, {}, [&made](std::string& out) {
          out.append(64 << 10, 'x');
          made += 64 << 10;
          return true;
        });
      },
      options);
  std::size_t before = resident_bytes();
  {
    Http2Client closed(server->port(), {.tls = {}, .auto_window = false, .window_bytes = 0});
    std::vector<int> ids;
    for (int i = 0; i < 100; ++i) ids.push_back(closed.request("GET", "/list"));
    Http2Client tiny(server->port(), {.tls = {}, .auto_window = false, .window_bytes = 1});
    for (int i = 0; i < 100; ++i) ids.push_back(tiny.request("GET", "/list"));
    Http2Client other(server->port(), {});
    for (int i = 0; i < 50; ++i) {
      int id = other.request("GET", "/");
      ASSERT_TRUE(other.wait_closed(id));
      EXPECT_EQ(other.stream(id).status, 200);
    }
    // Those who take nothing are let go.
    EXPECT_TRUE(closed.wait([&] { return closed.ended() || closed.stream(ids[0]).closed; }));
    EXPECT_TRUE(tiny.wait([&] { return tiny.ended() || tiny.stream(ids[100]).closed; }));
  }
  EXPECT_LT(made, std::size_t(200) * (256 << 10));
  EXPECT_LT(resident_bytes(), before + most_growth_bytes);
}

}  // namespace
}  // namespace kybern::net
