// The server over HTTP/1.1, by real sockets.
#include <gtest/gtest.h>

#include <pthread.h>

#include <atomic>
#include <mutex>
#include <stdexcept>
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
  exchange->respond(
      {200,
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

TEST(ServerHttp1, WhatIsAnsweredAtOnceIsAnsweredOnTheReactor) {
  ServerOptions options;
  auto handler = [](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path == "/quick/none") return;
    if (exchange->request().path == "/quick/thrown") throw std::runtime_error("as a test does");
    char name[32] = {};
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    exchange->respond({200, {}, name});
  };
  options.at_once = [handler](const std::shared_ptr<Exchange>& exchange) {
    if (!exchange->request().path.starts_with("/quick")) return false;
    handler(exchange);
    return true;
  };
  auto server = start_server(handler, std::move(options));
  TcpClient client(server->port());
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(get(client, "/quick").body, "reactor");
    EXPECT_EQ(get(client, "/slow").body, "handler");
    EXPECT_EQ(get(client, "/quick/none").status, 500);
    EXPECT_EQ(get(client, "/quick/thrown").status, 500);
  }
  std::string all;
  for (int i = 0; i < 100; ++i) all += i % 2 ? "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n" : "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
  ASSERT_TRUE(client.send(all));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(read_answer(client).body, i % 2 ? "reactor" : "handler") << i;
}

TEST(ServerHttp1, WritesHeadersAsUsual) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    exchange->respond({201, {{"content-type", "a"}, {"x-kubernetes-pf-flowschema-uid", "b\r\nX-Evil: c"}}, "x"});
  });
  TcpClient client(server->port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  std::string text = client.read_until("\r\n\r\nx");
  EXPECT_TRUE(text.starts_with("HTTP/1.1 201 Created\r\nContent-Type: a\r\nX-Kubernetes-Pf-Flowschema-Uid: b  X-Evil: c\r\nDate: "))
      << text;
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
    if (i % 3 == 2)
      all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n";
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
  for (char c : std::string("PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
    ASSERT_TRUE(client.send({&c, 1}));
  EXPECT_EQ(read_answer(client).body, "hello");
}

TEST(ServerHttp1, HeadHasNoBody) {
  auto server = start_server([](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path == "/pulled")
      return exchange->respond_pulled(200, {}, [](std::string& out) {
        out = "x";
        return true;
      });
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
    if (std::string(path) == "/") { EXPECT_EQ(answer.headers.get("content-length"), "5"); }
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

TEST(ServerHttp1, BodiesBeingReceivedAreBoundedTogether) {
  ServerOptions options;
  options.max_receiving_body_bytes = 100000;
  auto server = start_server(echo, options);
  TcpClient first(server->port()), second(server->port());
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 80000\r\n\r\n";
  // The first holds 60000 bytes; it has been read when its expectation's answer is followed by nothing more to read.
  first.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 80000\r\n\r\n");
  EXPECT_EQ(first.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  first.take();
  first.send(std::string(60000, 'x'));
  // Until the reactor has read it, others may still have room: they finish, and the next one tries again.
  EXPECT_TRUE(eventually([&] {
    TcpClient other(server->port());
    other.send(head + std::string(80000, 'y'));
    return read_answer(other).status == 503;
  }));
  first.send(std::string(20000, 'x'));
  EXPECT_EQ(read_answer(first).status, 200);
  second.send(head + std::string(80000, 'y'));
  EXPECT_EQ(read_answer(second).status, 200);
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
    EXPECT_TRUE(eventually([&] {  // whoever comes late with the first byte is idle: once more
      TcpClient client(server->port());
      client.send(row.bytes);
      if (read_answer(client).status != row.status) return false;
      client.read_to_end();
      return client.ended();
    })) << row.bytes;
  }
  // A head that comes in drops does not get more time.
  TcpClient dripping(server->port());
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000 && dripping.send("G"); ++i) {
    dripping.read_bytes(1, milliseconds(20));
    if (!dripping.take().empty()) break;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
  // A kept connection without a request ends silently.
  EXPECT_TRUE(eventually([&] {
    TcpClient idle(server->port());
    return get(idle, "/").status == 200 && idle.read_to_end().empty() && idle.ended();
  }));
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
  std::mutex mutex;
  std::vector<std::shared_ptr<BodyStream>> open;
  std::atomic<int> busy = 0;
  auto server = start_server(
      [&](std::shared_ptr<Exchange> exchange) {
        if (exchange->request().path != "/watch") return echo(exchange);
        std::lock_guard lock(mutex);
        open.push_back(exchange->respond_stream(200, {}));
        ++busy;
      },
      options);
  auto first = std::make_unique<TcpClient>(server->port());
  TcpClient second(server->port());
  for (TcpClient* client : {first.get(), &second}) client->send("GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return busy == 2; }));
  TcpClient third(server->port());
  third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(read_answer(third, "GET", milliseconds(150)).status, 0);
  first.reset();
  EXPECT_EQ(read_answer(third).status, 200);
  std::lock_guard lock(mutex);
  open.clear();
}

// Whoever fills the server with connections that do nothing keeps nobody out.
TEST(ServerHttp1, IdleConnectionsGiveWay) {
  ServerOptions options;
  options.max_connections = 20;
  auto server = start_server(echo, options);
  std::vector<std::unique_ptr<TcpClient>> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back(std::make_unique<TcpClient>(server->port()));
    if (i % 2) { EXPECT_EQ(get(*idle.back(), "/").status, 200); }
  }
  ASSERT_TRUE(eventually([&] { return server->connections() == 20; }));
  std::vector<std::unique_ptr<TcpClient>> others;
  for (int i = 0; i < 10; ++i) {
    others.push_back(std::make_unique<TcpClient>(server->port()));
    EXPECT_EQ(get(*others.back(), "/").status, 200) << i;
  }
  EXPECT_LE(server->connections(), 20u);
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

}  // namespace
}  // namespace kybern::net
