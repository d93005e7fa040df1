// The two halves of this room against each other.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "net/certificates.h"
#include "net/client.h"
#include "net/server.h"

namespace kybern::net {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
namespace fs = std::filesystem;

enum class Kind { plain, tls, local };

void handle(std::shared_ptr<Exchange> exchange) {
  const Request& request = exchange->request();
  if (request.path == "/echo") {
    std::string who = request.peer ? request.peer->common_name : "";
    return exchange->respond({200, {{"x-who", who}}, request.method + " " + request.query + " " + request.body});
  }
  if (request.path == "/pulled") {
    auto left = std::make_shared<int>(200);
    return exchange->respond_pulled(200, {}, [left](std::string& out) {
      out.append(65536, static_cast<char>('a' + *left % 26));
      return --*left > 0;
    });
  }
  if (request.path == "/watch") {
    auto stream = exchange->respond_stream(200, {{"content-type", "application/json"}});
    for (int i = 0; i < 100; ++i) stream->write(fmt::format("event {}\n", i));
    if (request.query == "end") return stream->finish();
    return stream->on_close([stream] {});  // held until then
  }
  if (request.path == "/upgrade") {
    auto raw = exchange->upgrade({{"upgrade", "echo"}, {"connection", "Upgrade"}});
    if (raw) raw->on_data([raw](std::string_view bytes) { raw->write(std::string(bytes)); });
    return;
  }
  exchange->respond({404, {}, "nothing here"});
}

class ClientServer : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("kybern-client-server-{}-{}", getpid(), static_cast<int>(GetParam()));
    fs::create_directories(folder_);
    ServerOptions options;
    if (GetParam() == Kind::local) options.unix_path = folder_ / "s";
    if (GetParam() == Kind::tls) options.tls = make_certificates();
    auto server = Server::start(options, handle);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    client_options_.url = GetParam() == Kind::local
                              ? "unix://" + options.unix_path
                              : fmt::format("{}://127.0.0.1:{}", GetParam() == Kind::tls ? "https" : "http", server_->port());
    client_ = *HttpClient::make(client_options_);
  }
  void TearDown() override {
    client_.reset();
    if (server_) server_->stop(seconds(1));
    fs::remove_all(folder_);
  }
  TlsFiles make_certificates() {
    Time now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    KeyPair ca = *new_ca("both", now - hours(1), now + hours(1));
    KeyPair server = *issue(ca, {"server", {}, {}, {"127.0.0.1"}, true, false, now - hours(1), now + hours(1)});
    KeyPair client = *issue(ca, {"alice", {"team"}, {}, {}, false, true, now - hours(1), now + hours(1)});
    std::ofstream(folder_ / "ca.pem") << ca.certificate_pem;
    std::ofstream(folder_ / "cert.pem") << server.certificate_pem;
    std::ofstream(folder_ / "key.pem") << server.key_pem;
    client_options_.tls = {ca.certificate_pem, client.certificate_pem, client.key_pem, "", false};
    return {folder_ / "cert.pem", folder_ / "key.pem", folder_ / "ca.pem"};
  }
  ClientRequest get(std::string target) {
    ClientRequest request;
    request.target = std::move(target);
    request.timeout = seconds(20);
    return request;
  }

  fs::path folder_;
  ClientOptions client_options_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<HttpClient> client_;
};

TEST_P(ClientServer, Calls) {
  for (int i = 0; i < 20; ++i) {
    ClientRequest request = get(fmt::format("/echo?n={}", i));
    request.method = "PUT";
    request.body = std::string(static_cast<std::size_t>(i * 10000), 'b');
    auto response = client_->call(request);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->body, fmt::format("PUT n={} {}", i, request.body));
    EXPECT_EQ(response->headers.get("x-who"), GetParam() == Kind::tls ? "alice" : "");
  }
  EXPECT_EQ(client_->call(get("/nothing"))->status, 404);
  EXPECT_EQ(server_->connections(), 1u);
  ClientRequest large = get("/echo");
  large.method = "POST";
  large.body = std::string(4 << 20, 'x');  // above the server's limit
  auto refused = client_->call(large);
  ASSERT_TRUE(refused) << refused.error().message;
  EXPECT_EQ(refused->status, 413);
}

TEST_P(ClientServer, LargeAnswer) {
  auto response = client_->call(get("/pulled"));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body.size(), 200u * 65536);
}

TEST_P(ClientServer, WatchToItsEnd) {
  auto stream = client_->stream(get("/watch?end"));
  ASSERT_TRUE(stream) << stream.error().message;
  std::string all;
  for (;;) {
    auto bytes = (*stream)->read();
    ASSERT_TRUE(bytes) << bytes.error().message;
    if (bytes->empty()) break;
    all += *bytes;
  }
  EXPECT_TRUE(all.starts_with("event 0\nevent 1\n"));
  EXPECT_TRUE(all.ends_with("event 99\n"));
}

TEST_P(ClientServer, WatchClosedHere) {
  auto stream = client_->stream(get("/watch"));
  ASSERT_TRUE(stream) << stream.error().message;
  std::string all;
  while (!all.ends_with("event 99\n")) {
    auto bytes = (*stream)->read();
    ASSERT_TRUE(bytes) << bytes.error().message;
    all += *bytes;
  }
  EXPECT_EQ((*stream)->read_for(milliseconds(10)).error().code, Code::timeout);
  std::thread closer([&] { (*stream)->close(); });
  EXPECT_EQ((*stream)->read().error().code, Code::canceled);
  closer.join();
}

TEST_P(ClientServer, Upgrade) {
  ClientRequest request = get("/upgrade");
  request.headers = {{"connection", "Upgrade"}, {"upgrade", "echo"}};
  auto stream = client_->upgrade(request);
  ASSERT_TRUE(stream) << stream.error().message;
  std::thread writer([&] {
    for (int i = 0; i < 100; ++i) EXPECT_TRUE((*stream)->write(std::string(20000, 'u')));
  });
  std::size_t received = 0;
  while (received < 100u * 20000) {
    auto bytes = (*stream)->read();
    if (!bytes || bytes->empty()) break;
    received += bytes->size();
  }
  writer.join();
  EXPECT_EQ(received, 100u * 20000);
}

TEST_P(ClientServer, ManyThreads) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 250; ++i) {
        auto response = client_->call(get(fmt::format("/echo?{}.{}", t, i)));
        if (!response || response->body != fmt::format("GET {}.{} ", t, i)) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(server_->connections(), 4u);
}

// A TCP port could be taken by another program in between; a socket of the test's own cannot.
class ClientServerLocal : public ClientServer {};

// The server comes back on the same socket: kept connections are stale, and no call shows it.
TEST_P(ClientServerLocal, ServerRestart) {
  for (int i = 0; i < 10; ++i) {
    auto response = client_->call(get("/echo"));
    ASSERT_TRUE(response) << i << ": " << response.error().message;
    server_->stop(seconds(1));
    server_.reset();
    ServerOptions options;
    options.unix_path = folder_ / "s";
    auto server = Server::start(options, handle);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
}

INSTANTIATE_TEST_SUITE_P(Over, ClientServer, testing::Values(Kind::plain, Kind::tls, Kind::local), [](const auto& row) {
  return row.param == Kind::plain ? "tcp" : row.param == Kind::tls ? "tls" : "unix";
});

INSTANTIATE_TEST_SUITE_P(Over, ClientServerLocal, testing::Values(Kind::local), [](const auto&) { return "unix"; });

}  // namespace
}  // namespace kybern::net
