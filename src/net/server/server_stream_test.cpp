// Streamed and pulled bodies and upgraded connections, over HTTP/1.1.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "net/server/test_clients.h"

namespace kybern::net {
namespace {

using namespace test;
using std::chrono::milliseconds;

TEST(ServerStreams, StreamedBodyIsChunked) {
  std::shared_ptr<BodyStream> stream;
  std::mutex mutex;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    std::lock_guard lock(mutex);
    stream = exchange->respond_stream(200, {{"content-type", "application/json"}});
  });
  TcpClient client(server->port());
  client.send("GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(client.read_until("\r\n\r\n").find("Transfer-Encoding: chunked"), std::string::npos);
  client.take();
  std::lock_guard lock(mutex);
  EXPECT_TRUE(stream->write("{\"a\":1}\n"));
  EXPECT_EQ(client.read_until("\n\r\n"), "8\r\n{\"a\":1}\n\r\n");
  client.take();
  EXPECT_TRUE(stream->write(""));  // no chunk: an empty one would be the end
  EXPECT_TRUE(stream->write("b"));
  EXPECT_TRUE(eventually([&] { return stream->queued_bytes() == 0; }));
  stream->finish();
  EXPECT_FALSE(stream->write("late"));
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "1\r\nb\r\n0\r\n\r\n");
  stream.reset();
}

TEST(ServerStreams, StreamToAnOldClientEndsWithTheConnection) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    auto stream = exchange->respond_stream(200, {});
    stream->write("abc");
    stream->finish();
  });
  TcpClient client(server->port());
  client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  std::string text = client.read_to_end();
  EXPECT_TRUE(text.ends_with("\r\n\r\nabc")) << text;
  EXPECT_EQ(text.find("Transfer-Encoding"), std::string::npos);
}

TEST(ServerStreams, AnnouncedLengthIsKept) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    auto stream = exchange->respond_stream(200, {{"content-length", "6"}});
    stream->write("abc");
    if (exchange->request().path == "/more") { EXPECT_FALSE(stream->write("abcdef")); }
    if (exchange->request().path == "/right") stream->write("def");
    stream->finish();
  });
  TcpClient client(server->port());
  EXPECT_EQ(get(client, "/right").body, "abcdef");
  EXPECT_EQ(get(client, "/right").body, "abcdef");
  EXPECT_EQ(get(client, "/less").status, 0);  // cut off
  TcpClient other(server->port());
  EXPECT_EQ(get(other, "/more").status, 0);
}

TEST(ServerStreams, LettingGoBreaksTheBodyOff) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path == "/nothing") return;
    auto stream = exchange->respond_stream(200, {});
    stream->write("abc");
    if (exchange->request().path == "/abort") stream->abort();
  });
  for (const char* path : {"/abort", "/dropped"}) {
    TcpClient client(server->port());
    client.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    std::string text = client.read_to_end();
    EXPECT_TRUE(client.ended());
    EXPECT_EQ(text.find("0\r\n\r\n"), std::string::npos);
  }
  TcpClient client(server->port());
  EXPECT_EQ(get(client, "/nothing").status, 500);
}

TEST(ServerStreams, HandlerThatThrowsIsAnsweredFor) {
  auto server = start_server([](std::shared_ptr<Exchange>) { throw std::runtime_error("oops"); });
  TcpClient client(server->port());
  EXPECT_EQ(get(client, "/").status, 500);
  EXPECT_EQ(get(client, "/").status, 500);
}

TEST(ServerStreams, ProducerLearnsThatThePeerIsGone) {
  std::atomic<int> closed = 0, canceled = 0;
  std::atomic<bool> waiting = false;
  std::vector<std::shared_ptr<BodyStream>> streams;
  std::mutex mutex;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path == "/wait") {
      waiting = true;
      if (eventually([&] { return exchange->canceled(); })) ++canceled;
      return;
    }
    auto stream = exchange->respond_stream(200, {});
    stream->on_close([&] { ++closed; });
    stream->write("x");
    std::lock_guard lock(mutex);
    streams.push_back(stream);
  });
  {
    TcpClient client(server->port());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_until("x");
    EXPECT_EQ(closed, 0);
  }
  EXPECT_TRUE(eventually([&] { return closed == 1; }));
  {
    TcpClient client(server->port());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_until("x");
    client.shutdown_write();
    client.read_to_end();
    EXPECT_TRUE(client.ended());
  }
  EXPECT_TRUE(eventually([&] { return closed == 2; }));
  {
    TcpClient client(server->port());
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(eventually([&] { return waiting.load(); }));
  }
  EXPECT_TRUE(eventually([&] { return canceled == 1; }));
  std::lock_guard lock(mutex);
  for (auto& stream : streams) EXPECT_FALSE(stream->write("y"));
}

TEST(ServerStreams, HalfClosedClientStillGetsItsAnswer) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    eventually([&] { return exchange->canceled(); });
    if (exchange->request().path == "/list") {
      int left = 40;
      return exchange->respond_pulled(200, {}, [left](std::string& out) mutable {
        out.assign(65536, 'l');
        return --left > 0;
      });
    }
    exchange->respond({200, {}, "here"});
  });
  for (const char* path : {"/", "/list"}) {
    TcpClient client(server->port());
    client.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    client.shutdown_write();
    EXPECT_EQ(read_answer(client).body.size(), std::string(path) == "/" ? 4u : 40u * 65536) << path;
  }
}

TEST(ServerStreams, DrainedIsCalledWhenThePeerHasTakenEnough) {
  std::atomic<int> drained = 0;
  std::atomic<std::size_t> at_call = 99;
  std::shared_ptr<BodyStream> stream;
  std::atomic<bool> ready = false;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    stream = exchange->respond_stream(200, {});
    for (int i = 0; i < 160; ++i) stream->write(std::string(65536, 'x'));
    stream->on_drained(100000, [&] {
      at_call = stream->queued_bytes();
      ++drained;
    });
    ready = true;
  });
  TcpClient client(server->port(), 4096);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return ready.load(); }));
  client.read_bytes(1);
  EXPECT_EQ(drained, 0);
  EXPECT_GT(stream->queued_bytes(), 100000u);
  client.read_bytes(160 * 65536);
  EXPECT_TRUE(eventually([&] { return drained == 1; }));
  EXPECT_LE(at_call, 100000u);
  stream->on_drained(0, [&] { ++drained; });
  client.read_to_end(milliseconds(200));
  EXPECT_TRUE(eventually([&] { return drained == 2; }));
  stream->finish();
  stream.reset();
}

TEST(ServerStreams, PulledBodyIsNeverInMemoryAsAWhole) {
  std::atomic<std::size_t> produced = 0;
  constexpr std::size_t total = 50 << 20;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    exchange->respond_pulled(200, {{"content-type", "application/json"}}, [&, sent = std::size_t(0)](std::string& out) mutable {
      out.assign(65536, 'p');
      sent += out.size();
      produced = sent;
      return sent < total;
    });
  });
  TcpClient client(server->port(), 65536);
  client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  client.read_bytes(1);
  // Nobody reads: the producer rests. What has been produced fits into the buffers on the way.
  std::size_t before = 0;
  EXPECT_TRUE(eventually([&] { return std::exchange(before, produced.load()) == produced.load() && produced > 0; }));
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_LT(produced.load(), std::size_t(12) << 20);
  std::string first = client.take();
  std::size_t ahead_most = 0, received = first.size();
  while (!client.ended()) {
    client.read_bytes(1 << 20);
    std::string got = client.take();
    received += got.size();
    if (received < produced) ahead_most = std::max(ahead_most, produced - received);
  }
  EXPECT_EQ(produced.load(), total);
  EXPECT_GE(received, total);
  EXPECT_LT(ahead_most, std::size_t(12) << 20);
}

TEST(ServerStreams, SmallPulledBodyHasALength) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    exchange->respond_pulled(200, {}, [](std::string& out) {
      out = "all";
      return false;
    });
  });
  TcpClient client(server->port());
  HttpAnswer answer = get(client, "/");
  EXPECT_EQ(answer.body, "all");
  EXPECT_EQ(answer.headers.get("content-length"), "3");
}

TEST(ServerStreams, PullingStopsWhenThePeerGoes) {
  auto alive = std::make_shared<int>(1);
  std::weak_ptr<int> watch = alive;
  std::atomic<int> calls = 0;
  auto server = start_server([&, alive = std::move(alive)](std::shared_ptr<Exchange> exchange) mutable {
    exchange->respond_pulled(200, {}, [&calls, held = std::move(alive)](std::string& out) {
      out.assign(65536, 'x');
      return ++calls < 1000000;
    });
  });
  {
    TcpClient client(server->port(), 4096);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_bytes(1);
  }
  EXPECT_TRUE(eventually([&] { return watch.expired(); }));
  EXPECT_LT(calls, 1000);
}

TEST(ServerStreams, SecondAnswerIsDropped) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    exchange->respond({200, {}, "first"});
    exchange->respond({500, {}, "second"});
    EXPECT_FALSE(exchange->respond_stream(200, {})->write("third"));
    EXPECT_EQ(exchange->upgrade({}), nullptr);
  });
  TcpClient client(server->port());
  EXPECT_EQ(get(client, "/").body, "first");
  EXPECT_EQ(get(client, "/").body, "first");
}

// ---- upgrades

const char* const echo_upgrade_head = "GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

TEST(ServerStreams, UpgradeEcho) {
  std::atomic<bool> closed = false;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    auto stream = exchange->upgrade({});
    if (!stream) return exchange->respond({400, {}, "no upgrade"});
    stream->on_data([stream](std::string_view bytes) { stream->write(std::string(bytes)); });
    stream->on_close([&closed] { closed = true; });
  });
  {
    TcpClient client(server->port());
    EXPECT_EQ(get(client, "/").status, 400);
    client.send(std::string(echo_upgrade_head) + "early");
    std::string text = client.read_until("early");
    EXPECT_TRUE(text.starts_with("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")) << text;
    client.take();
    std::string big(3 << 20, 'u');
    std::thread writer([&] { client.send(big); });
    EXPECT_EQ(client.read_bytes(big.size()).size(), big.size());
    writer.join();
    EXPECT_FALSE(closed);
  }
  EXPECT_TRUE(eventually([&] { return closed.load(); }));
}

TEST(ServerStreams, PausedReaderHoldsThePeerBack) {
  std::atomic<std::size_t> got = 0;
  std::shared_ptr<RawStream> stream;
  std::atomic<bool> ready = false, closed = false;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    stream = exchange->upgrade({});
    stream->on_close([&] { closed = true; });
    stream->on_data([&](std::string_view bytes) {
      EXPECT_FALSE(closed);
      got += bytes.size();
      if (got == bytes.size()) stream->pause_reading(true);
    });
    ready = true;
  });
  TcpClient client(server->port());
  client.send(echo_upgrade_head);
  client.read_until("\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return ready.load(); }));
  std::string big(32 << 20, 'u');
  std::atomic<bool> sent = false;
  std::thread writer([&] {
    client.send(big);
    sent = true;
    client.shutdown_write();
  });
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_FALSE(sent);
  EXPECT_LT(got, big.size());
  stream->pause_reading(false);
  EXPECT_TRUE(eventually([&] { return closed.load(); }));
  EXPECT_EQ(got, big.size());  // everything before the end
  writer.join();
  stream.reset();
}

// As a container does that leaves its input alone: whoever sent it must not seem to be there for ever.
TEST(ServerStreams, APausedReaderHearsThatThePeerLeft) {
  std::shared_ptr<RawStream> stream;
  std::atomic<std::size_t> got = 0;
  std::atomic<bool> paused = false, closed = false;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    stream = exchange->upgrade({});
    stream->on_close([&] { closed = true; });
    stream->on_data([&](std::string_view bytes) {
      got += bytes.size();
      stream->pause_reading(true);
      paused = true;
    });
  });
  constexpr std::size_t more = 50'000;
  {
    TcpClient client(server->port());
    client.send(echo_upgrade_head);
    client.read_until("\r\n\r\n");
    client.send("x");
    ASSERT_TRUE(eventually([&] { return paused.load(); }));
    client.send(std::string(more, 'y'));
    EXPECT_FALSE(closed);
  }
  EXPECT_TRUE(eventually([&] { return closed.load(); }));
  EXPECT_EQ(got, 1 + more);  // what it sent before is not lost
  stream.reset();
}

TEST(ServerStreams, FinishedUpgradeSendsWhatIsQueued) {
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    auto stream = exchange->upgrade({{"upgrade", "other"}, {"x-extra", "1"}});
    stream->write(std::string(5 << 20, 'q'));
    stream->finish();
  });
  TcpClient client(server->port());
  client.send(echo_upgrade_head);
  std::string text = client.read_to_end();
  EXPECT_TRUE(client.ended());
  std::size_t body = text.find("\r\n\r\n") + 4;
  EXPECT_NE(text.find("Upgrade: other\r\nX-Extra: 1\r\n"), std::string::npos);
  EXPECT_EQ(text.size() - body, std::size_t(5 << 20));
}

}  // namespace
}  // namespace kybern::net
