#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "net/client.h"
#include "net/client/raw_server.h"

namespace kybern::net {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

Time now() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }
const KeyPair& ca() {
  static const KeyPair pair = *new_ca("test-ca", now() - hours(1), now() + hours(24));
  return pair;
}
const KeyPair& other_ca() {
  static const KeyPair pair = *new_ca("other-ca", now() - hours(1), now() + hours(24));
  return pair;
}
KeyPair leaf(const KeyPair& by, std::vector<std::string> names, std::vector<std::string> addresses, bool server = true,
             Time begin = now() - hours(1), Time end = now() + hours(1)) {
  return *issue(by, {"leaf", {"team"}, std::move(names), std::move(addresses), server, !server, begin, end});
}
void serve_ok(RawPeer& peer) {
  while (!peer.read_request().empty()) peer.write(answer("secret"));
}
RawServerOptions with(KeyPair certificate, std::string client_ca = {}) {
  return {.unix_path = {}, .certificate = std::move(certificate), .client_ca = std::move(client_ca), .protocol = {}};
}

struct VerifyRow {
  const char* name;
  KeyPair certificate;
  std::string host = "127.0.0.1";
  std::string server_name;
  std::string message;  // "" when the call succeeds
};
class ClientTlsVerify : public testing::TestWithParam<VerifyRow> {};
TEST_P(ClientTlsVerify, VerifiesTheServer) {
  const VerifyRow& row = GetParam();
  RawServer server(serve_ok, with(row.certificate));
  ClientOptions options;
  options.url = fmt::format("https://{}:{}", row.host, server.port());
  options.tls.ca_pem = ca().certificate_pem;
  options.tls.server_name = row.server_name;
  auto client = HttpClient::make(options);
  ASSERT_TRUE(client) << client.error().message;
  auto response = (*client)->call(get());
  if (row.message.empty()) {
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->body, "secret");
  } else {
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, Code::unavailable);
    EXPECT_TRUE(response.error().message.starts_with("tls: failed to verify certificate: " + row.message)) << response.error().message;
  }
  options.tls.insecure = true;
  options.tls.ca_pem.clear();
  EXPECT_TRUE((*HttpClient::make(options))->call(get())) << "insecure takes any certificate";
}
INSTANTIATE_TEST_SUITE_P(
    Table, ClientTlsVerify,
    testing::Values(VerifyRow{"ip", leaf(ca(), {}, {"127.0.0.1"}), "127.0.0.1", "", ""},
                    VerifyRow{"dns", leaf(ca(), {"localhost"}, {}), "localhost", "", ""},
                    VerifyRow{"server_name", leaf(ca(), {"kubernetes.default"}, {}), "127.0.0.1", "kubernetes.default", ""},
                    VerifyRow{"server_name_ip6", leaf(ca(), {}, {"fd00::1"}), "127.0.0.1", "fd00::1", ""},
                    VerifyRow{"wildcard", leaf(ca(), {"*.example.com"}, {}), "127.0.0.1", "a.example.com", ""},
                    VerifyRow{"pinned_leaf_ca", leaf(ca(), {"x"}, {"127.0.0.1", "10.0.0.1"}), "127.0.0.1", "10.0.0.1", ""},
                    VerifyRow{"other_ca", leaf(other_ca(), {}, {"127.0.0.1"}), "127.0.0.1", "",
                              "x509: certificate signed by unknown authority"},
                    VerifyRow{"wrong_ip", leaf(ca(), {"localhost"}, {"10.96.0.1", "::1"}), "127.0.0.1", "",
                              "x509: certificate is valid for 10.96.0.1, ::1, not 127.0.0.1"},
                    VerifyRow{"no_ip", leaf(ca(), {"localhost"}, {}), "127.0.0.1", "",
                              "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"},
                    VerifyRow{"wrong_name", leaf(ca(), {"kubernetes", "kubernetes.default"}, {}), "localhost", "",
                              "x509: certificate is valid for kubernetes, kubernetes.default, not localhost"},
                    VerifyRow{"common_name_does_not_count", leaf(ca(), {}, {"10.0.0.1"}), "127.0.0.1", "leaf",
                              "x509: certificate is not valid for any names, but wanted to match leaf"},
                    VerifyRow{"deep_wildcard", leaf(ca(), {"*.example.com"}, {}), "127.0.0.1", "a.b.example.com",
                              "x509: certificate is valid for *.example.com, not a.b.example.com"},
                    VerifyRow{"expired", leaf(ca(), {}, {"127.0.0.1"}, true, now() - hours(2), now() - hours(1)), "127.0.0.1", "",
                              "x509: certificate has expired or is not yet valid: current time 20"},
                    VerifyRow{"not_yet", leaf(ca(), {}, {"127.0.0.1"}, true, now() + hours(1), now() + hours(2)), "127.0.0.1", "",
                              "x509: certificate has expired or is not yet valid: current time 20"},
                    VerifyRow{"client_only", leaf(ca(), {}, {"127.0.0.1"}, false), "127.0.0.1", "",
                              "x509: certificate specifies an incompatible key usage"}),
    [](const auto& row) { return row.param.name; });

TEST(ClientTls, AServersOwnCertificateCanBeTheAnchor) {
  KeyPair certificate = leaf(other_ca(), {}, {"127.0.0.1"});
  RawServer server(serve_ok, with(certificate));
  ClientOptions options;
  options.url = server.url();
  options.tls.ca_pem = ca().certificate_pem + certificate.certificate_pem;
  EXPECT_TRUE((*HttpClient::make(options))->call(get()));
}

TEST(ClientTls, ClientCertificates) {
  RawServer server(serve_ok, with(leaf(ca(), {}, {"127.0.0.1"}), ca().certificate_pem));
  ClientOptions options;
  options.url = server.url();
  options.tls.ca_pem = ca().certificate_pem;
  auto without = (*HttpClient::make(options))->call(get());
  ASSERT_FALSE(without);
  EXPECT_EQ(without.error().message, "remote error: tls: certificate required");
  KeyPair mine = leaf(ca(), {}, {}, false);
  options.tls.certificate_pem = mine.certificate_pem;
  options.tls.key_pem = mine.key_pem;
  auto client = *HttpClient::make(options);
  for (int i = 0; i < 3; ++i) {
    auto response = client->call(get());
    ASSERT_TRUE(response) << response.error().message;
  }
  EXPECT_EQ(server.connections(), 2);
  KeyPair stranger = leaf(other_ca(), {}, {}, false);
  options.tls.certificate_pem = stranger.certificate_pem;
  options.tls.key_pem = stranger.key_pem;
  auto refused = (*HttpClient::make(options))->call(get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "remote error: tls: unknown certificate authority");
}

TEST(ClientTls, BadOptions) {
  KeyPair mine = leaf(ca(), {}, {}, false), other = leaf(ca(), {}, {}, false);
  struct Row {
    ClientTls tls;
    const char* message;
  };
  for (const Row& row :
       {Row{{"junk", "", "", "", false}, "unable to load root certificates: data does not contain any valid certificates"},
        Row{{ca().certificate_pem, mine.certificate_pem, "", "", false}, "a client certificate and its key must be given together"},
        Row{{ca().certificate_pem, mine.certificate_pem, other.key_pem, "", false}, "tls: private key does not match public key"},
        Row{{ca().certificate_pem, "junk", other.key_pem, "", false},
            "the client certificate: data does not contain any valid certificates"},
        Row{{ca().certificate_pem, mine.certificate_pem, "junk", "", false},
            "the client certificate's key: data does not contain a PEM private key"}}) {
    ClientOptions options;
    options.url = "https://127.0.0.1:1";
    options.tls = row.tls;
    auto client = HttpClient::make(options);
    ASSERT_FALSE(client);
    EXPECT_EQ(client.error().code, Code::invalid);
    EXPECT_EQ(client.error().message, row.message);
  }
}

TEST(ClientTls, PlainServer) {
  RawServer server([](RawPeer& peer) {
    peer.read_some();
    peer.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  });
  ClientOptions options;
  options.url = fmt::format("https://127.0.0.1:{}", server.port());
  options.tls.insecure = true;
  auto response = (*HttpClient::make(options))->call(get());
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().message, "http: server gave HTTP response to HTTPS client");
}

TEST(ClientTls, StaleAndCut) {
  RawServer server(
      [](RawPeer& peer) {
        peer.read_request();
        peer.write(answer("once"));
        peer.cut();  // without close_notify
      },
      with(leaf(ca(), {}, {"127.0.0.1"})));
  ClientOptions options;
  options.url = server.url();
  options.tls.ca_pem = ca().certificate_pem;
  auto client = *HttpClient::make(options);
  for (int i = 0; i < 10; ++i) {
    auto response = client->call(get());
    ASSERT_TRUE(response) << response.error().message;
  }
}

// A body that ends with the connection must end with TLS's farewell, or somebody may have cut it short.
TEST(ClientTls, TruncationIsNoticed) {
  RawServer server(
      [](RawPeer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 200 OK\r\n\r\nhalf of the tru");
        peer.cut();
      },
      with(leaf(ca(), {}, {"127.0.0.1"})));
  ClientOptions options;
  options.url = server.url();
  options.tls.ca_pem = ca().certificate_pem;
  auto response = (*HttpClient::make(options))->call(get());
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().message, "unexpected EOF");
}

TEST(ClientTls, DuplexWithTwoThreads) {
  RawServer server(
      [](RawPeer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 101 Switching Protocols\r\n\r\n");
        for (;;) {
          std::string bytes = peer.read_some();
          if (bytes.empty() || !peer.write(bytes)) return;
        }
      },
      with(leaf(ca(), {}, {"127.0.0.1"})));
  ClientOptions options;
  options.url = server.url();
  options.tls.ca_pem = ca().certificate_pem;
  auto stream = (*HttpClient::make(options))->upgrade(get());
  ASSERT_TRUE(stream) << stream.error().message;
  constexpr std::size_t total = 4 << 20;
  std::thread writer([&] {
    for (std::size_t sent = 0; sent < total; sent += 50000)
      EXPECT_TRUE((*stream)->write(std::string(std::min<std::size_t>(50000, total - sent), 'x')));
  });
  std::size_t received = 0;
  while (received < total) {
    auto bytes = (*stream)->read();
    if (!bytes || bytes->empty()) break;
    received += bytes->size();
  }
  writer.join();
  EXPECT_EQ(received, total);
  auto read = std::async(std::launch::async, [&] { return (*stream)->read(); });
  EXPECT_EQ(read.wait_for(milliseconds(20)), std::future_status::timeout);
  (*stream)->close();
  EXPECT_EQ(read.get().error().code, Code::canceled);
}

TEST(ClientTls, ManyThreads) {
  RawServer server(serve_ok, with(leaf(ca(), {}, {"127.0.0.1"})));
  ClientOptions options;
  options.url = server.url();
  options.tls.ca_pem = ca().certificate_pem;
  auto client = *HttpClient::make(options);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        auto response = client->call(get());
        if (!response || response->body != "secret") ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(server.connections(), 6);
}

}  // namespace
}  // namespace kybern::net
