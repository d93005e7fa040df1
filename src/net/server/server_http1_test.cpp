// The server over HTTP/1.1, by real sockets.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "net/server/test_clients.h"

namespace kybern::net {
namespace {

using namespace test;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Echoes what it was asked.
void echo(std::shared_ptr<Exchange> exchange) {
  const Request& r = exchange->request();
  exchange->respond({200,
                     {{"content-type", "text/plain"}, {"x-method", r.method}, {"x-path", r.path}, {"x-query", r.query}, {"x-remote", r.remote_address}},
                     r.method == "GET" || r.method == "HEAD" ? "hello" : r.body});
}

TEST(ServerHttp1, AnswersAndKeepsTheConnection) {
  auto server = start_server(echo);
  TcpClient client(server->port());
  for (int i = 0; i < 100; ++i) {
    HttpAnswer answer = get(client, "/a/" + std::to_string(i) + "?q=1");
    ASSERT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "hello");
    EXPECT_EQ(answer.headers.get("x-path"), "/a/" + std::to_string(i));
    EXPECT_EQ(answer.headers.get("x-query"), "q=1");
    EXPECT_EQ(answer.headers.get("content-length"), "5");
    EXPECT_TRUE(answer.headers.find("date"));
    EXPECT_FALSE(answer.headers.find("connection"));
    EXPECT_TRUE(answer.headers.get("x-remote").starts_with("127.0.0.1:"));
  }
  EXPECT_EQ(server->connections(), 1u);
}

TEST(ServerHttp1, WritesHeadersAsUsual) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    exchange->respond({201, {{"content-type", "a"}, {"x-kubernetes-pf-flowschema-uid", "b\r\nX-Evil: c"}}, "x"});
  });
  TcpClient client(server->port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  std::string text = client.read_until("\r\n\r\nx");
  EXPECT_TRUE(text.starts_with("HTTP/1.1 201 Created\r\nContent-Type: a\r\nX-Kubernetes-Pf-Flowschema-Uid: b  X-Evil: c\r\nDate: ")) << text;
}

TEST(ServerHttp1, PipelinedRequestsAreAnsweredInOrder) {
  std::atomic<int> running = 0, most = 0;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    most = std::max(most.load(), ++running);
    std::string body = exchange->request().path + ":" + exchange->request().body;
    --running;
    exchange->respond({200, {}, body});
  });
  std::string all;
  for (int i = 0; i < 300; ++i) {
    if (i % 3 == 0) all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    if (i % 3 == 1) all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    if (i % 3 == 2) all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n";
  }
  TcpClient client(server->port());
  ASSERT_TRUE(client.send(all));
  for (int i = 0; i < 300; ++i) {
    HttpAnswer answer = read_answer(client);
    ASSERT_EQ(answer.status, 200) << i;
    EXPECT_EQ(answer.body, "/" + std::to_string(i) + (i % 3 == 0 ? ":" : ":body"));
  }
  EXPECT_EQ(most, 1);
}

TEST(ServerHttp1, ByteByByte) {
  auto server = start_server(echo);
  TcpClient client(server->port());
  for (char c : std::string("PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")) ASSERT_TRUE(client.send({&c, 1}));
  EXPECT_EQ(read_answer(client).body, "hello");
}

TEST(ServerHttp1, HeadHasNoBody) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path == "/pulled") return exchange->respond_pulled(200, {}, [](std::string& out) { out = "x"; return true; });
    if (exchange->request().path == "/stream") {
      auto stream = exchange->respond_stream(200, {});
      EXPECT_TRUE(stream->write("x"));
      return stream->finish();
    }
    echo(exchange);
  });
  TcpClient client(server->port());
  for (const char* path : {"/", "/pulled", "/stream", "/"}) {
    client.send("HEAD " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    HttpAnswer answer = read_answer(client, "HEAD");
    EXPECT_EQ(answer.status, 200) << path;
    if (std::string(path) == "/") {
      EXPECT_EQ(answer.headers.get("content-length"), "5");
    }
  }
  EXPECT_EQ(get(client, "/").body, "hello");
  EXPECT_TRUE(client.take().empty());
}

TEST(ServerHttp1, NoContentHasNeitherBodyNorLength) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) { exchange->respond({204, {}, ""}); });
  TcpClient client(server->port());
  HttpAnswer answer = get(client, "/");
  EXPECT_EQ(answer.status, 204);
  EXPECT_FALSE(answer.headers.find("content-length"));
  EXPECT_EQ(get(client, "/").status, 204);
}

TEST(ServerHttp1, ConnectionCloseAndOldClients) {
  auto server = start_server(echo);
  struct Row {
    const char* head;
    bool closes;
    const char* connection;
  };
  const Row rows[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true, "close"},
      {"GET / HTTP/1.0\r\n\r\n", true, "close"},
      {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false, "keep-alive"},
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, ""},
  };
  for (const Row& row : rows) {
    TcpClient client(server->port());
    client.send(row.head);
    HttpAnswer answer = read_answer(client);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.get("connection"), row.connection) << row.head;
    if (row.closes) {
      client.read_to_end();
      EXPECT_TRUE(client.ended()) << row.head;
    } else {
      EXPECT_EQ(get(client, "/").status, 200) << row.head;
    }
  }
}

TEST(ServerHttp1, HandlerMayCloseTheConnection) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) { exchange->respond({200, {{"connection", "close"}}, "x"}); });
  TcpClient client(server->port());
  EXPECT_EQ(get(client, "/").headers.get("connection"), "close");
  client.read_to_end();
  EXPECT_TRUE(client.ended());
}

// ---- what is refused

struct Smuggle {
  const char* what;
  std::string bytes;
  int status;
};

TEST(ServerHttp1, RequestsThatCouldHideAnotherAreRefused) {
  std::atomic<int> smuggled = 0;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path == "/smuggled") ++smuggled;
    echo(exchange);
  });
  const std::string hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string host = "POST / HTTP/1.1\r\nHost: a\r\n";
  const Smuggle rows[] = {
      {"CL.TE", host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, 400},
      {"TE.CL", host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden, 400},
      {"TE.TE", host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden, 400},
      {"TE with vertical tab", host + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + hidden, 400},
      {"TE xchunked", host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, 501},
      {"CL.CL", host + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + hidden, 400},
      {"CL CL equal", host + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + hidden, 400},
      {"CL list", host + "Content-Length: 0, 44\r\n\r\n" + hidden, 400},
      {"CL signed", host + "Content-Length: +0\r\n\r\n" + hidden, 400},
      {"space before colon", host + "Content-Length : 0\r\n\r\n" + hidden, 400},
      {"folded", host + "X: a\r\n Transfer-Encoding: chunked\r\n\r\n" + hidden, 400},
      {"bare LF heads", "POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n" + hidden, 400},
      {"bare LF in a field", host + "X: a\nTransfer-Encoding: chunked\r\n\r\n" + hidden, 400},
      {"bare CR in a field", host + "X: a\rTransfer-Encoding: chunked\r\n\r\n" + hidden, 400},
      {"chunk size with space", host + "Transfer-Encoding: chunked\r\n\r\n0 \r\n\r\n" + hidden, 400},
      {"chunk size 0x", host + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + hidden, 400},
      {"chunk size overflow", host + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + hidden, 400},
      {"chunk bare LF", host + "Transfer-Encoding: chunked\r\n\r\n0\n\n" + hidden, 400},
      {"chunk longer", host + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n" + hidden, 400},
      {"NUL in name", host + std::string("Content\0Length: 0\r\n\r\n", 21) + hidden, 400},
      {"leading CRLF", "\r\n\r\n" + hidden, 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + hidden, 400},
      {"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden, 505},
  };
  for (const Smuggle& row : rows) {
    TcpClient client(server->port());
    ASSERT_TRUE(client.send(row.bytes)) << row.what;
    HttpAnswer answer = read_answer(client);
    EXPECT_EQ(answer.status, row.status) << row.what;
    EXPECT_EQ(answer.headers.get("connection"), "close") << row.what;
    client.read_to_end();
    EXPECT_TRUE(client.ended()) << row.what;
    EXPECT_TRUE(client.take().empty()) << row.what;
  }
  EXPECT_EQ(smuggled, 0);
  TcpClient client(server->port());
  EXPECT_EQ(get(client, "/fine").status, 200);
}

TEST(ServerHttp1, HeadLimits) {
  ServerOptions options;
  options.max_header_bytes = 8192;
  auto server = start_server(echo, options);
  {
    TcpClient client(server->port());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(7000, 'x') + "\r\n\r\n");
    EXPECT_EQ(read_answer(client).status, 200);
  }
  {
    TcpClient client(server->port());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(9000, 'x') + "\r\n\r\n");
    EXPECT_EQ(read_answer(client).status, 431);
  }
  {
    TcpClient client(server->port());
    std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < 1100; ++i) many += "a:b\r\n";
    client.send(many + "\r\n");
    EXPECT_EQ(read_answer(client).status, 431);
  }
}

TEST(ServerHttp1, BodyLimits) {
  ServerOptions options;
  options.max_body_bytes = 1000;
  options.body_limit = [](const Request& head) { return head.path == "/big" ? std::size_t(5000) : std::size_t(1000); };
  auto server = start_server(echo, options);
  std::string body(1000, 'b');
  auto post = [&](const std::string& path, std::size_t bytes, bool chunked) {
    TcpClient client(server->port());
    std::string text(bytes, 'b');
    if (chunked) {
      char size[32];
      std::snprintf(size, sizeof size, "%zx\r\n", bytes);
      client.send("POST " + path + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + size + text + "\r\n0\r\n\r\n");
    } else {
      client.send("POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n" + text);
    }
    return read_answer(client);
  };
  for (bool chunked : {false, true}) {
    EXPECT_EQ(post("/", 1000, chunked).status, 200);
    HttpAnswer refused = post("/", 1001, chunked);
    EXPECT_EQ(refused.status, 413);
    EXPECT_EQ(refused.body, "Request entity too large: limit is 1000");
    EXPECT_EQ(post("/big", 5000, chunked).status, 200);
    EXPECT_EQ(post("/big", 5001, chunked).status, 413);
    // The answer arrives although much more was on its way.
    EXPECT_EQ(post("/", 3 << 20, chunked).status, 413);
  }
}

TEST(ServerHttp1, RefusalsMayBeFormedByTheOwner) {
  ServerOptions options;
  options.refusal = [](int status, std::string_view message) {
    return Response{status, {{"content-type", "application/json"}}, "{\"message\":\"" + std::string(message) + "\"}"};
  };
  auto server = start_server(echo, options);
  TcpClient client(server->port());
  client.send("GET / HTTP/1.1\r\n\r\n");
  HttpAnswer answer = read_answer(client);
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body, "{\"message\":\"missing required Host header\"}");
}

TEST(ServerHttp1, ExpectContinue) {
  ServerOptions options;
  options.max_body_bytes = 10;
  auto server = start_server(echo, options);
  TcpClient client(server->port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.take();
  client.send("12345");
  EXPECT_EQ(read_answer(client).body, "12345");
  // Too large: refused before the body is sent.
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(read_answer(client).status, 413);
}

// ---- time

TEST(ServerHttp1, SlowWritersAreCutOff) {
  ServerOptions options;
  options.header_timeout = milliseconds(150);
  options.body_timeout = milliseconds(150);
  options.idle_timeout = milliseconds(150);
  auto server = start_server(echo, options);
  struct Row {
    const char* bytes;
    int status;
  };
  const Row rows[] = {
      {"", 0},
      {"GET / HTT", 408},
      {"GET / HTTP/1.1\r\nHost: a\r\n", 408},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12", 408},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 408},
  };
  for (const Row& row : rows) {
    TcpClient client(server->port());
    client.send(row.bytes);
    EXPECT_EQ(read_answer(client).status, row.status) << row.bytes;
    client.read_to_end();
    EXPECT_TRUE(client.ended());
  }
  // A head that comes in drops does not get more time.
  TcpClient dripping(server->port());
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100 && dripping.send("G"); ++i) {
    dripping.read_bytes(1, milliseconds(20));
    if (!dripping.take().empty()) break;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(1));
  // A kept connection without a request ends silently.
  TcpClient idle(server->port());
  EXPECT_EQ(get(idle, "/").status, 200);
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_TRUE(idle.ended());
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

TEST(ServerHttp1, SlowReaderIsDropped) {
  ServerOptions options;
  options.write_timeout = milliseconds(200);
  std::atomic<bool> closed = false;
  auto server = start_server(
      [&](std::shared_ptr<Exchange> exchange) {
        auto stream = exchange->respond_stream(200, {});
        stream->on_close([&closed, stream] { closed = true; });
        for (int i = 0; i < 400; ++i) stream->write(std::string(65536, 'x'));
      },
      options);
  TcpClient client(server->port(), 4096);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return closed.load(); }));
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

TEST(ServerHttp1, PipeliningWithoutReadingIsBounded) {
  ServerOptions options;
  options.write_timeout = milliseconds(500);
  std::atomic<int> handled = 0;
  auto server = start_server(
      [&](std::shared_ptr<Exchange> exchange) {
        ++handled;
        exchange->respond({200, {}, std::string(100000, 'x')});
      },
      options);
  TcpClient client(server->port(), 4096);
  std::string all;
  for (int i = 0; i < 2000; ++i) all += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  std::thread writer([&] { client.send(all); });
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
  EXPECT_LT(handled, 200);
  writer.join();
}

// ---- streams

TEST(ServerHttp1, StreamedBodyIsChunked) {
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

TEST(ServerHttp1, StreamToAnOldClientEndsWithTheConnection) {
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

TEST(ServerHttp1, AnnouncedLengthIsKept) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    auto stream = exchange->respond_stream(200, {{"content-length", "6"}});
    stream->write("abc");
    if (exchange->request().path == "/more") {
      EXPECT_FALSE(stream->write("abcdef"));
    }
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

TEST(ServerHttp1, LettingGoBreaksTheBodyOff) {
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

TEST(ServerHttp1, HandlerThatThrowsIsAnsweredFor) {
  auto server = start_server([](std::shared_ptr<Exchange>) { throw std::runtime_error("oops"); });
  TcpClient client(server->port());
  EXPECT_EQ(get(client, "/").status, 500);
  EXPECT_EQ(get(client, "/").status, 500);
}

TEST(ServerHttp1, ProducerLearnsThatThePeerIsGone) {
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

TEST(ServerHttp1, HalfClosedClientStillGetsItsAnswer) {
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

TEST(ServerHttp1, DrainedIsCalledWhenThePeerHasTakenEnough) {
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

TEST(ServerHttp1, PulledBodyIsNeverInMemoryAsAWhole) {
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

TEST(ServerHttp1, SmallPulledBodyHasALength) {
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

TEST(ServerHttp1, PullingStopsWhenThePeerGoes) {
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

TEST(ServerHttp1, SecondAnswerIsDropped) {
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

const char* const upgrade_head = "GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

TEST(ServerHttp1, UpgradeEcho) {
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
    client.send(std::string(upgrade_head) + "early");
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

TEST(ServerHttp1, PausedReaderHoldsThePeerBack) {
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
  client.send(upgrade_head);
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

TEST(ServerHttp1, FinishedUpgradeSendsWhatIsQueued) {
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    auto stream = exchange->upgrade({{"upgrade", "other"}, {"x-extra", "1"}});
    stream->write(std::string(5 << 20, 'q'));
    stream->finish();
  });
  TcpClient client(server->port());
  client.send(upgrade_head);
  std::string text = client.read_to_end();
  EXPECT_TRUE(client.ended());
  std::size_t body = text.find("\r\n\r\n") + 4;
  EXPECT_NE(text.find("Upgrade: other\r\nX-Extra: 1\r\n"), std::string::npos);
  EXPECT_EQ(text.size() - body, std::size_t(5 << 20));
}

// ---- many

TEST(ServerHttp1, ManyConnectionsAtOnce) {
  auto server = start_server(echo);
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      std::vector<std::unique_ptr<TcpClient>> clients;
      for (int i = 0; i < 50; ++i) clients.push_back(std::make_unique<TcpClient>(server->port()));
      for (int round = 0; round < 10; ++round) {
        for (auto& client : clients) client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for (auto& client : clients) good += read_answer(*client).status == 200;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 2000);
}

TEST(ServerHttp1, ConnectionLimitHoldsNewOnesBack) {
  ServerOptions options;
  options.max_connections = 2;
  auto server = start_server(echo, options);
  auto first = std::make_unique<TcpClient>(server->port());
  TcpClient second(server->port());
  EXPECT_EQ(get(*first, "/").status, 200);
  EXPECT_EQ(get(second, "/").status, 200);
  TcpClient third(server->port());
  third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(read_answer(third, "GET", milliseconds(150)).status, 0);
  first.reset();
  EXPECT_EQ(read_answer(third).status, 200);
}

TEST(ServerHttp1, BlockedHandlersDoNotHoldUpOthers) {
  std::atomic<bool> open = false;
  std::atomic<int> inside = 0;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path == "/block") {
      ++inside;
      eventually([&] { return open.load(); });
    }
    echo(exchange);
  });
  std::vector<std::unique_ptr<TcpClient>> blocked;
  for (int i = 0; i < 20; ++i) {
    blocked.push_back(std::make_unique<TcpClient>(server->port()));
    blocked.back()->send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  EXPECT_TRUE(eventually([&] { return inside == 20; }));
  TcpClient client(server->port());
  EXPECT_EQ(get(client, "/quick").status, 200);
  open = true;
  for (auto& one : blocked) EXPECT_EQ(read_answer(*one).status, 200);
}

TEST(ServerHttp1, UnixSocket) {
  TemporaryDirectory directory;
  ServerOptions options;
  options.unix_path = directory.path("s.sock");
  auto server = start_server(echo, options);
  EXPECT_EQ(server->port(), 0);
  auto again = Server::start(options, echo);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().message, "listen " + options.unix_path + ": address already in use: another process serves it; stop that process or choose another path");
  server.reset();
  EXPECT_TRUE(Server::start(options, echo).has_value());
}

TEST(ServerStart, SaysWhyItCannotListen) {
  auto server = start_server(echo);
  ServerOptions options;
  options.port = server->port();
  auto second = Server::start(options, echo);
  ASSERT_FALSE(second.has_value());
  std::string port = std::to_string(server->port());
  EXPECT_EQ(second.error().message, "listen 127.0.0.1:" + port + ": address already in use: another process holds this port; `ss -ltnp sport = :" + port +
                                        "` shows which; stop it or choose another port");
  EXPECT_EQ(second.error().code, Code::already_exists);
  options.bind_address = "nonsense";
  EXPECT_EQ(Server::start(options, echo).error().message, "listen nonsense:" + port + ": not an IP address: nonsense");
  options.bind_address = "192.0.2.1";
  EXPECT_NE(Server::start(options, echo).error().message.find("cannot assign requested address"), std::string::npos);
  options.bind_address = "127.0.0.1";
  options.port = 0;
  options.tls = TlsFiles{"/nonexistent/a", "/nonexistent/b", ""};
  EXPECT_NE(Server::start(options, echo).error().message.find("TLS certificate file /nonexistent/a: "), std::string::npos);
}

// ---- the end

TEST(ServerStop, WaitsForExchangesAndClosesIdleOnes) {
  std::atomic<bool> open = false, inside = false;
  auto server = start_server([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path == "/slow") {
      inside = true;
      eventually([&] { return open.load(); });
    }
    echo(exchange);
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
  auto server = start_server(echo);
  std::atomic<int> ran = 0;
  for (int i = 0; i < 100; ++i) server->post([&] { ++ran; });
  server->stop(milliseconds(0));
  EXPECT_EQ(ran, 100);
}

}  // namespace
}  // namespace kybern::net
