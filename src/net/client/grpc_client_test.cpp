#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <filesystem>
#include <future>
#include <map>
#include <thread>

#include "base/strings.h"
#include "net/client.h"
#include "net/client/grpc_message.h"
#include "net/client/raw_server.h"

namespace kybern::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A gRPC server of few words, one thread per connection. What it does is in the method's name.
class GrpcPeer {
 public:
  explicit GrpcPeer(RawPeer& peer, std::uint32_t max_streams = 100) : peer_(peer) {
    nghttp2_session_callbacks* callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t n, const std::uint8_t* value,
                      std::size_t v, std::uint8_t, void* self) {
          std::string key(reinterpret_cast<const char*>(name), n);
          static_cast<GrpcPeer*>(self)->streams_[frame->hd.stream_id].headers[key] = std::string(reinterpret_cast<const char*>(value), v);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size, void* self) {
          static_cast<GrpcPeer*>(self)->streams_[id].in.append(reinterpret_cast<const char*>(data), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
      if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)
        static_cast<GrpcPeer*>(self)->act(frame->hd.stream_id, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
      return 0;
    });
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, [](nghttp2_session*, std::int32_t id, std::uint32_t, void* self) {
      static_cast<GrpcPeer*>(self)->streams_.erase(id);
      return 0;
    });
    nghttp2_session_server_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams}};
    nghttp2_submit_settings(session_, 0, settings, 1);
  }
  ~GrpcPeer() { nghttp2_session_del(session_); }

  void run() {
    while (flush() && !cut_) {
      std::string bytes = peer_.read_some();
      if (bytes.empty() || nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) < 0)
        return;
    }
  }

 private:
  struct Stream {
    std::map<std::string, std::string> headers;
    std::string in, out;
    std::size_t taken = 0;
    std::string status = "0", text;
    bool answered = false, finished = false, waiting = false;
  };

  bool flush() {
    const std::uint8_t* data;
    for (;;) {
      ssize_t size = nghttp2_session_mem_send(session_, &data);
      if (size <= 0) return size == 0;
      if (!peer_.write({reinterpret_cast<const char*>(data), static_cast<std::size_t>(size)})) return false;
    }
  }

  static nghttp2_nv field(std::string_view name, std::string_view value) {
    return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
            reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), 0};
  }

  static ssize_t read_out(nghttp2_session* session, std::int32_t id, std::uint8_t* to, std::size_t size, std::uint32_t* flags,
                          nghttp2_data_source*, void* user) {
    Stream& stream = static_cast<GrpcPeer*>(user)->streams_[id];
    std::size_t count = std::min(size, stream.out.size() - stream.taken);
    std::memcpy(to, stream.out.data() + stream.taken, count);
    stream.taken += count;
    if (stream.taken == stream.out.size()) {
      stream.out.clear();
      stream.taken = 0;
    }
    if (count == 0 && !stream.finished) {
      stream.waiting = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    if (stream.finished && stream.out.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      nghttp2_nv trailers[] = {field("grpc-status", stream.status), field("grpc-message", stream.text)};
      nghttp2_submit_trailer(session, id, trailers, stream.text.empty() ? 1 : 2);
    }
    return static_cast<ssize_t>(count);
  }

  void send(std::int32_t id, std::string framed, bool finish) {
    Stream& stream = streams_[id];
    stream.out += framed;
    stream.finished = finish;
    if (!stream.answered) {
      stream.answered = true;
      nghttp2_nv headers[] = {field(":status", "200"), field("content-type", "application/grpc+proto")};
      nghttp2_data_provider provider{};
      provider.read_callback = read_out;
      nghttp2_submit_response(session_, id, headers, 2, &provider);
    } else if (std::exchange(stream.waiting, false)) {
      nghttp2_session_resume_data(session_, id);
    }
  }

  void trailers_only(std::int32_t id, std::string status, std::string text) {
    nghttp2_nv headers[] = {field(":status", "200"), field("content-type", "application/grpc"), field("grpc-status", status),
                            field("grpc-message", text)};
    nghttp2_submit_response(session_, id, headers, 4, nullptr);
  }

  void act(std::int32_t id, bool ended) {
    Stream& stream = streams_[id];
    std::string method = stream.headers[":path"];
    if (method == "/t/Bidi") {  // each message back as it comes
      std::string out = std::exchange(stream.in, {});
      if (!out.empty() || ended) send(id, std::move(out), ended);
      return;
    }
    if (!ended) return;
    std::string message = stream.in.size() >= 5 ? stream.in.substr(5) : std::string();
    if (method == "/t/Echo") return send(id, stream.in, true);
    if (method == "/t/Headers")
      return send(id,
                  *frame_grpc_message(fmt::format("{} {} {} {} {}", stream.headers[":method"], stream.headers[":scheme"],
                                                  stream.headers["content-type"], stream.headers["te"], stream.headers["grpc-timeout"])),
                  true);
    if (method == "/t/Many") {  // as many messages of 64 KiB as asked for
      std::string out;
      for (int i = 0; i < std::stoi(message); ++i) out += *frame_grpc_message(fmt::format("{:0>65536}", i));
      return send(id, std::move(out), true);
    }
    if (method == "/t/Size") return send(id, *frame_grpc_message(std::string(std::stoul(message), 'z')), true);
    if (method == "/t/TooLarge") return send(id, std::string("\0\1\0\0\1", 5), false);
    if (method == "/t/None") return send(id, "", true);
    if (method == "/t/Two") return send(id, stream.in + stream.in, true);
    if (method == "/t/HalfMessage") return send(id, std::string("\0\0\0\0\5ab", 7), true);
    if (method == "/t/Late") {  // a message, and then an error
      stream.status = "5";
      stream.text = "gone%20away";
      return send(id, stream.in, true);
    }
    if (method == "/t/Fail") return trailers_only(id, message.substr(0, message.find(' ')), message.substr(message.find(' ') + 1));
    if (method == "/t/Silent") return;
    if (method == "/t/Reset") return void(nghttp2_submit_rst_stream(session_, 0, id, static_cast<std::uint32_t>(std::stoul(message))));
    if (method == "/t/RefuseFirst") {
      if (!std::exchange(refused_, true)) return void(nghttp2_submit_rst_stream(session_, 0, id, NGHTTP2_REFUSED_STREAM));
      return send(id, stream.in, true);
    }
    if (method == "/t/Goaway") {
      send(id, stream.in, true);
      nghttp2_submit_goaway(session_, 0, id, NGHTTP2_NO_ERROR, nullptr, 0);
      return;
    }
    if (method == "/t/Html") {
      nghttp2_nv headers[] = {field(":status", message), field("content-type", "text/html")};
      nghttp2_submit_response(session_, id, headers, 2, nullptr);
      return;
    }
    if (method == "/t/Cut") {
      cut_ = true;
      return;
    }
    trailers_only(id, "12", "unknown method");
  }

  RawPeer& peer_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, Stream> streams_;
  bool refused_ = false, cut_ = false;
};

void serve(RawPeer& peer) { GrpcPeer(peer).run(); }

std::unique_ptr<GrpcClient> grpc_client_of(std::string url) {
  ClientOptions options;
  options.url = std::move(url);
  auto client = GrpcClient::make(std::move(options));
  EXPECT_TRUE(client) << client.error().message;
  return std::move(*client);
}

TEST(GrpcClient, UnaryCalls) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  for (int i = 0; i < 100; ++i) {
    auto answer = client->call("/t/Echo", fmt::format("message {}", i), seconds(5));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(*answer, fmt::format("message {}", i));
  }
  EXPECT_EQ(*client->call("/t/Echo", "", seconds(5)), "");
  EXPECT_EQ(*client->call("/t/Headers", "", seconds(5)), "POST http application/grpc trailers 5000m");
  EXPECT_EQ(*client->call("/t/Headers", "", seconds(0)), "POST http application/grpc trailers ");
  EXPECT_EQ(server.connections(), 1);
}

struct FailRow {
  const char* name;
  const char* method;
  std::string message;
  Code code;
  const char* text;
};
class GrpcClientFail : public testing::TestWithParam<FailRow> {};
TEST_P(GrpcClientFail, IsMapped) {
  const FailRow& row = GetParam();
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto answer = client->call(row.method, row.message, seconds(5));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, row.code);
  EXPECT_EQ(answer.error().message, row.text);
  EXPECT_EQ(*client->call("/t/Echo", "still here", seconds(5)), "still here");
  EXPECT_EQ(server.connections(), 1);
}
INSTANTIATE_TEST_SUITE_P(
    Table, GrpcClientFail,
    testing::Values(
        FailRow{"not_found", "/t/Fail", "5 no%20such%20thing", Code::not_found, "no such thing"},
        FailRow{"already_exists", "/t/Fail", "6 twice", Code::already_exists, "twice"},
        FailRow{"unimplemented", "/t/Nothing", "", Code::unsupported, "unknown method"},
        FailRow{"deadline", "/t/Fail", "4 too slow", Code::timeout, "too slow"},
        FailRow{"unavailable", "/t/Fail", "14 later", Code::unavailable, "later"},
        FailRow{"internal", "/t/Fail", "13 oops", Code::internal, "oops"},
        FailRow{"trailers_after_data", "/t/Late", "x", Code::not_found, "gone away"},
        FailRow{"http_503", "/t/Html", "503", Code::unavailable,
                "unexpected HTTP status code received from server: 503 (Service Unavailable)"},
        FailRow{"http_404", "/t/Html", "404", Code::unsupported, "unexpected HTTP status code received from server: 404 (Not Found)"},
        FailRow{"not_grpc", "/t/Html", "200", Code::internal, "unexpected content-type of the answer: it is not gRPC"},
        FailRow{"reset_cancel", "/t/Reset", "8", Code::canceled, "stream terminated by RST_STREAM with error code: CANCEL"},
        FailRow{"reset_internal", "/t/Reset", "2", Code::internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR"},
        FailRow{"refused_always", "/t/Reset", "7", Code::unavailable, "stream terminated by RST_STREAM with error code: REFUSED_STREAM"},
        FailRow{"reset_no_error", "/t/Reset", "0", Code::internal, "server closed the stream without sending trailers"},
        FailRow{"no_message", "/t/None", "", Code::internal,
                "cardinality violation: received no response message from non-server-streaming RPC"},
        FailRow{"two_messages", "/t/Two", "x", Code::internal,
                "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message"},
        FailRow{"half_message", "/t/HalfMessage", "", Code::internal, "unexpected EOF in a message"},
        FailRow{"too_large_to_receive", "/t/TooLarge", "", Code::too_large,
                "grpc: received message larger than max (16777217 vs. 16777216 bytes)"},
        FailRow{"too_large_to_send", "/t/Echo", std::string((16 << 20) + 1, 'x'), Code::too_large,
                "grpc: trying to send message larger than max (16777217 vs. 16777216 bytes)"}),
    [](const auto& row) { return row.param.name; });

TEST(GrpcClient, LargeMessages) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  for (std::size_t size : {std::size_t(65530), std::size_t(1 << 20), std::size_t(16 << 20)}) {
    auto answer = client->call("/t/Size", std::to_string(size), seconds(30));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_TRUE(*answer == std::string(size, 'z')) << size;
    std::string sent(size, 'a');
    for (std::size_t i = 0; i < size; i += 97) sent[i] = static_cast<char>('a' + i % 26);
    auto echoed = client->call("/t/Echo", sent, seconds(30));
    ASSERT_TRUE(echoed) << echoed.error().message;
    EXPECT_TRUE(*echoed == sent) << size;
  }
}

TEST(GrpcClient, Deadline) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto start = std::chrono::steady_clock::now();
  auto answer = client->call("/t/Silent", "", milliseconds(50));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::timeout);
  EXPECT_EQ(answer.error().message, "context deadline exceeded");
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(50));
  EXPECT_EQ(*client->call("/t/Echo", "x", seconds(5)), "x");
  EXPECT_EQ(server.connections(), 1);
}

TEST(GrpcClient, ManyCallsAtOnce) {
  for (std::uint32_t max_streams : {100u, 2u}) {  // with 2, most calls wait their turn
    RawServer server([max_streams](RawPeer& peer) { GrpcPeer(peer, max_streams).run(); });
    auto client = grpc_client_of(server.url());
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) {
          std::string message = fmt::format("{} {} {}", t, i, std::string(static_cast<std::size_t>(i * 50), 'x'));
          auto answer = client->call("/t/Echo", message, seconds(30));
          if (!answer || *answer != message) ++wrong;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(server.connections(), 1);
  }
}

// A call that waits for its turn behind others and is given up, goes away without harm.
TEST(GrpcClient, DeadlineWhileQueued) {
  RawServer server([](RawPeer& peer) { GrpcPeer(peer, 1).run(); });
  auto client = grpc_client_of(server.url());
  EXPECT_EQ(*client->call("/t/Echo", "settings are here now", seconds(5)), "settings are here now");
  auto blocking = std::async(std::launch::async, [&] { return client->call("/t/Silent", "", milliseconds(300)); });
  auto limit = std::chrono::steady_clock::now() + seconds(10);
  auto queued = client->call("/t/Echo", "x", milliseconds(20));
  while (queued && std::chrono::steady_clock::now() < limit) queued = client->call("/t/Echo", "x", milliseconds(20));
  ASSERT_FALSE(queued);
  EXPECT_EQ(queued.error().code, Code::timeout);
  EXPECT_EQ(blocking.get().error().code, Code::timeout);
  EXPECT_EQ(*client->call("/t/Echo", "after", seconds(5)), "after");
}

TEST(GrpcClient, RefusedStreamIsCalledAgain) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto answer = client->call("/t/RefuseFirst", "x", seconds(5));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, "x");
}

TEST(GrpcClient, GoawayMovesToANewConnection) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  for (int i = 0; i < 5; ++i) {
    auto answer = client->call("/t/Goaway", fmt::format("{}", i), seconds(5));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(*answer, fmt::format("{}", i));
  }
  EXPECT_EQ(*client->call("/t/Echo", "x", seconds(5)), "x");
  EXPECT_GE(server.connections(), 2);
}

TEST(GrpcClient, CutConnection) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto pending = std::async(std::launch::async, [&] { return client->call("/t/Silent", "", seconds(30)); });
  EXPECT_EQ(*client->call("/t/Echo", "x", seconds(5)), "x");
  auto answer = client->call("/t/Cut", "", seconds(5));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::unavailable);
  EXPECT_TRUE(answer.error().message.starts_with("error reading from server: ")) << answer.error().message;
  auto ended = pending.get();  // it was on the same connection, or finds a new one when it came later
  if (!ended) { EXPECT_TRUE(ended.error().code == Code::unavailable || ended.error().code == Code::timeout); }
  EXPECT_EQ(*client->call("/t/Echo", "again", seconds(5)), "again");
}

TEST(GrpcClient, PeerGoesAndComesBack) {
  auto path = std::filesystem::temp_directory_path() / fmt::format("kybern-grpc-{}.sock", getpid());
  RawServerOptions options;
  options.unix_path = path;
  auto client = grpc_client_of("unix://" + path.string());
  auto missing = client->call("/t/Echo", "x", seconds(5));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::unavailable);
  EXPECT_EQ(missing.error().message,
            fmt::format("connection error: desc = \"transport: Error while dialing: dial unix {}: connect: no such file or directory\"",
                        path.string()));
  for (int round = 0; round < 3; ++round) {
    {
      RawServer server(serve, options);
      Result<std::string> answer = fail(Code::internal, "");
      auto limit = std::chrono::steady_clock::now() + seconds(10);
      do answer = client->call("/t/Echo", "x", seconds(5));  // the back-off may still refuse
      while (!answer && std::chrono::steady_clock::now() < limit);
      ASSERT_TRUE(answer) << answer.error().message;
      // From now on, no call fails.
      for (int i = 0; i < 20; ++i) EXPECT_TRUE(client->call("/t/Echo", "x", seconds(5)));
    }
    auto gone = client->call("/t/Echo", "x", seconds(5));
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, Code::unavailable) << gone.error().message;
  }
}

// The server is replaced between two calls: the second one must not see it.
TEST(GrpcClient, RestartBetweenCallsIsNotSeen) {
  auto path = std::filesystem::temp_directory_path() / fmt::format("kybern-grpc-restart-{}.sock", getpid());
  RawServerOptions options;
  options.unix_path = path;
  auto client = grpc_client_of("unix://" + path.string());
  for (int i = 0; i < 20; ++i) {
    RawServer server(serve, options);
    auto answer = client->call("/t/Echo", "x", seconds(5));
    ASSERT_TRUE(answer) << i << ": " << answer.error().message;
  }
}

TEST(GrpcClient, BadUrl) {
  EXPECT_EQ(GrpcClient::make({}).error().code, Code::invalid);
  ClientOptions options;
  options.url = "tcp://x";
  EXPECT_EQ(GrpcClient::make(options).error().code, Code::invalid);
}

TEST(GrpcClient, OverTls) {
  Time now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  KeyPair ca = *new_ca("grpc-ca", now - std::chrono::hours(1), now + std::chrono::hours(1));
  RawServerOptions server_options;
  server_options.certificate =
      *issue(ca, {"server", {}, {}, {"127.0.0.1"}, true, false, now - std::chrono::hours(1), now + std::chrono::hours(1)});
  server_options.protocol = "h2";
  RawServer server(serve, server_options);
  ClientOptions options;
  options.url = server.url();
  auto untrusted = (*GrpcClient::make(options))->call("/t/Echo", "x", seconds(5));
  ASSERT_FALSE(untrusted);
  EXPECT_EQ(untrusted.error().message,
            "connection error: desc = \"transport: Error while dialing: tls: failed to verify certificate: x509: certificate signed by "
            "unknown authority\"");
  options.tls.ca_pem = ca.certificate_pem;
  auto client = *GrpcClient::make(options);
  EXPECT_EQ(*client->call("/t/Headers", "", seconds(5)), "POST https application/grpc trailers 5000m");
  std::string large(5 << 20, 'x');
  EXPECT_TRUE(*client->call("/t/Echo", large, seconds(30)) == large);
}

// Streams

TEST(GrpcStream, ServerStreamToItsEnd) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto stream = client->stream("/t/Many");
  ASSERT_TRUE(stream) << stream.error().message;
  ASSERT_TRUE((*stream)->write("100"));
  ASSERT_TRUE((*stream)->finish_writing());
  for (int i = 0; i < 100; ++i) {
    auto message = (*stream)->read();
    ASSERT_TRUE(message) << i << ": " << message.error().message;
    EXPECT_EQ(*message, fmt::format("{:0>65536}", i));
  }
  auto end = (*stream)->read();
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Code::not_found);
  EXPECT_EQ((*stream)->read().error().code, Code::not_found);
}

// 64 MiB wait for a reader that does not read: other calls go on, and in the end everything is there.
TEST(GrpcStream, SlowReaderDoesNotBlockOthers) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto stream = client->stream("/t/Many");
  ASSERT_TRUE((*stream)->write("1000"));
  ASSERT_TRUE((*stream)->finish_writing());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(*client->call("/t/Echo", "x", seconds(10)), "x");
  for (int i = 0; i < 1000; ++i) {
    auto message = (*stream)->read();
    ASSERT_TRUE(message) << i << ": " << message.error().message;
    ASSERT_TRUE(message->ends_with(std::to_string(i)));
  }
  EXPECT_EQ((*stream)->read().error().code, Code::not_found);
  EXPECT_EQ(server.connections(), 1);
}

TEST(GrpcStream, Bidirectional) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto stream = client->stream("/t/Bidi");
  ASSERT_TRUE(stream);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE((*stream)->write(fmt::format("{}", i)));
    EXPECT_EQ(*(*stream)->read(), fmt::format("{}", i));
  }
  // Both directions at once, more than any window holds.
  std::thread writer([&] {
    for (int i = 0; i < 100; ++i) EXPECT_TRUE((*stream)->write(std::string(200000, 'y')));
    EXPECT_TRUE((*stream)->finish_writing());
  });
  int count = 0;
  while (auto message = (*stream)->read()) {
    EXPECT_EQ(message->size(), 200000u);
    ++count;
  }
  writer.join();
  EXPECT_EQ(count, 100);
  EXPECT_FALSE((*stream)->write("after the end"));
}

TEST(GrpcStream, CloseFromAnotherThread) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto stream = client->stream("/t/Bidi");
  auto read = std::async(std::launch::async, [&] { return (*stream)->read(); });
  EXPECT_EQ(read.wait_for(milliseconds(30)), std::future_status::timeout);
  (*stream)->close();
  EXPECT_EQ(read.get().error().code, Code::canceled);
  EXPECT_EQ((*stream)->read().error().code, Code::canceled);
  EXPECT_EQ((*stream)->write("x").error().code, Code::canceled);
  EXPECT_EQ(*client->call("/t/Echo", "x", seconds(5)), "x");
}

TEST(GrpcStream, ErrorAndCut) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto stream = client->stream("/t/Late");
  ASSERT_TRUE((*stream)->write("last words"));
  ASSERT_TRUE((*stream)->finish_writing());
  EXPECT_EQ(*(*stream)->read(), "last words");
  auto end = (*stream)->read();
  EXPECT_EQ(end.error().code, Code::not_found);
  EXPECT_EQ(end.error().message, "gone away");
  auto cut = client->stream("/t/Cut");
  ASSERT_TRUE((*cut)->finish_writing());
  EXPECT_EQ((*cut)->read().error().code, Code::unavailable);
}

TEST(GrpcStream, OutlivesItsClient) {
  RawServer server(serve);
  auto client = grpc_client_of(server.url());
  auto stream = client->stream("/t/Bidi");
  client.reset();
  ASSERT_TRUE((*stream)->write("x"));
  EXPECT_EQ(*(*stream)->read(), "x");
}

}  // namespace
}  // namespace kybern::net
