// TLS and client certificates.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <array>
#include <cstdio>
#include <thread>

#include "net/certificates.h"
#include "net/server/test_clients.h"

namespace kybern::net {
namespace {

using namespace test;
using std::chrono::milliseconds;

void who(std::shared_ptr<Exchange> exchange) {
  const Request& r = exchange->request();
  Response response{200, {{"x-tls", r.tls ? "yes" : "no"}, {"x-error", r.peer_error}}, ""};
  if (r.peer) {
    response.body = r.peer->common_name;
    for (const std::string& organization : r.peer->organizations) response.body += "/" + organization;
    response.headers.add("x-sha256", r.peer->der_sha256_hex);
  }
  exchange->respond(std::move(response));
}

ServerOptions tls_options(const TestPki& pki) {
  ServerOptions options;
  options.tls = pki.files;
  return options;
}

TEST(ServerTls, BothVersionsAndNoOlder) {
  TestPki pki;
  auto server = start_server(who, tls_options(pki));
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server->port(), {.certificate_pem = {}, .key_pem = {}, .alpn = {}, .max_version = version, .min_version = version});
    ASSERT_TRUE(client.connected());
    EXPECT_EQ(client.server_common_name(), "test-server");
    for (int i = 0; i < 3; ++i) EXPECT_EQ(get(client, "/").headers.get("x-tls"), "yes");
  }
  TlsClient old(server->port(),
                {.certificate_pem = {}, .key_pem = {}, .alpn = {}, .max_version = TLS1_1_VERSION, .min_version = TLS1_VERSION});
  EXPECT_FALSE(old.connected());
}

// A certificate without a common name is good, and nobody's.
TEST(ServerTls, WithoutANameIsNobody) {
  TestPki pki;
  auto server = start_server(who, tls_options(pki));
  auto nameless = pki.client("", {"system:masters"});
  TlsClient client(server->port(), {.certificate_pem = nameless.certificate_pem, .key_pem = nameless.key_pem, .alpn = {}});
  ASSERT_TRUE(client.connected());
  const HttpAnswer answer = get(client, "/");
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(answer.headers.get("x-error"), "");
}

TEST(ServerTls, NegotiatesTheProtocol) {
  TestPki pki;
  auto server = start_server(who, tls_options(pki));
  struct Row {
    std::vector<std::string> offered;
    std::string chosen;
    bool connects;
  };
  const Row rows[] = {{{"h2", "http/1.1"}, "h2", true},
                      {{"http/1.1", "h2"}, "h2", true},
                      {{"http/1.1"}, "http/1.1", true},
                      {{}, "", true},
                      {{"spdy/3"}, "", false}};
  for (const Row& row : rows) {
    TlsClientOptions options;
    options.alpn = row.offered;
    TlsClient client(server->port(), options);
    EXPECT_EQ(client.connected(), row.connects);
    if (row.connects) { EXPECT_EQ(client.alpn(), row.chosen); }
  }
}

TEST(ServerTls, PlainHttpIsToldSo) {
  TestPki pki;
  auto server = start_server(who, tls_options(pki));
  TcpClient client(server->port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.read_to_end(), "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
}

// As upstream: the handshake goes well whatever the certificate; the authenticator hears whether it is good.
TEST(ServerTls, ClientCertificates) {
  TestPki pki, stranger;
  auto server = start_server(who, tls_options(pki));
  struct Row {
    const char* what;
    TestPki::Pair pair;
    std::string body, error;
  };
  const Row rows[] = {
      {"none", {}, "", ""},
      {"good", pki.client("alice", {"system:masters", "dev"}), "alice/system:masters/dev", ""},
      {"of another CA", stranger.client("mallory", {"system:masters"}), "", "x509: certificate signed by unknown authority"},
      {"expired", pki.expired_client(), "", "x509: certificate has expired or is not yet valid"},
  };
  for (const Row& row : rows) {
    TlsClientOptions options;
    options.certificate_pem = row.pair.certificate_pem;
    options.key_pem = row.pair.key_pem;
    TlsClient client(server->port(), options);
    ASSERT_TRUE(client.connected()) << row.what;
    HttpAnswer answer = get(client, "/");
    EXPECT_EQ(answer.status, 200) << row.what;
    EXPECT_EQ(answer.body, row.body) << row.what;
    EXPECT_EQ(answer.headers.get("x-error"), row.error) << row.what;
    if (!row.body.empty()) { EXPECT_EQ(answer.headers.get("x-sha256").size(), 64u); }
  }
  // A server's certificate is not one of a client.
  CertificateSpec spec;
  spec.common_name = "node";
  spec.server = true;
  spec.not_before = std::chrono::system_clock::now() - std::chrono::hours(1);
  spec.not_after = std::chrono::system_clock::now() + std::chrono::hours(1);
  auto pair = issue({pki.ca_pem, pki.ca_key_pem}, spec);
  ASSERT_TRUE(pair.has_value());
  TlsClientOptions options;
  options.certificate_pem = pair->certificate_pem;
  options.key_pem = pair->key_pem;
  TlsClient client(server->port(), options);
  EXPECT_EQ(get(client, "/").headers.get("x-error"), "x509: certificate specifies an incompatible key usage");
}

TEST(ServerTls, IsNotAskedForWithoutACa) {
  TestPki pki;
  ServerOptions options = tls_options(pki);
  options.tls->client_ca_file = "";
  auto server = start_server(who, options);
  auto pair = pki.client("alice", {});
  TlsClientOptions client_options;
  client_options.certificate_pem = pair.certificate_pem;
  client_options.key_pem = pair.key_pem;
  TlsClient client(server->port(), client_options);
  EXPECT_EQ(get(client, "/").body, "");
}

TEST(ServerTls, RotatedFilesServeNewConnections) {
  TestPki pki, other;
  auto alice = pki.client("alice", {});
  auto server = start_server(who, tls_options(pki));
  TlsClientOptions as_alice;
  as_alice.certificate_pem = alice.certificate_pem;
  as_alice.key_pem = alice.key_pem;
  TlsClient kept(server->port(), as_alice);
  EXPECT_EQ(get(kept, "/").body, "alice");
  EXPECT_EQ(kept.server_common_name(), "test-server");

  auto common_name = [&] { return TlsClient(server->port(), TlsClientOptions{}).server_common_name(); };
  pki.directory.write("server.key", "half a fi");  // a file that is being written is not used
  std::this_thread::sleep_for(milliseconds(1050));
  EXPECT_EQ(common_name(), "test-server");
  pki.write_server("rotated");
  pki.directory.write("ca.pem", other.ca_pem);
  EXPECT_TRUE(eventually([&] { return common_name() == "rotated"; }));
  // The old connection lives on, but its certificate is not of the CA any more.
  HttpAnswer answer = get(kept, "/");
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(answer.headers.get("x-error"), "x509: certificate signed by unknown authority");
}

TEST(ServerTls, StartSaysWhatIsWrong) {
  TestPki pki, other;
  ServerOptions options = tls_options(pki);
  options.tls->key_file = other.files.key_file;
  auto server = Server::start(options, who);
  ASSERT_FALSE(server.has_value());
  EXPECT_NE(server.error().message.find(other.files.key_file), std::string::npos) << server.error().message;
  options = tls_options(pki);
  options.tls->client_ca_file = pki.directory.write("empty.pem", "");
  EXPECT_NE(Server::start(options, who).error().message.find("client CA file"), std::string::npos);
}

TEST(ServerTls, HandshakeTimeOut) {
  TestPki pki;
  ServerOptions options = tls_options(pki);
  options.header_timeout = milliseconds(150);
  auto server = start_server(who, options);
  TcpClient silent(server->port()), half(server->port());
  half.send("\x16\x03\x01");
  silent.read_to_end();
  half.read_to_end();
  EXPECT_TRUE(silent.ended() && half.ended());
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

TEST(ServerTls, LargeBodiesBothWays) {
  TestPki pki;
  auto server = start_server(
      [](std::shared_ptr<Exchange> exchange) {
        std::string body = std::move(exchange->request().body);
        exchange->respond({200, {}, std::move(body)});
      },
      tls_options(pki));
  TlsClient client(server->port(), {});
  std::string body(3 << 20, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 31 >> 3);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n"));
    ASSERT_TRUE(client.send(body));
    EXPECT_TRUE(read_answer(client).body == body);
  }
}

// curl as one more opinion.
TEST(ServerTls, Curl) {
  if (run("curl --version 2>/dev/null").find("HTTP2") == std::string::npos) GTEST_SKIP() << "curl with HTTP/2 is not installed";
  TestPki pki;
  auto alice = pki.client("alice", {"dev"});
  pki.directory.write("alice.pem", alice.certificate_pem);
  pki.directory.write("alice.key", alice.key_pem);
  auto server = start_server(
      [](std::shared_ptr<Exchange> exchange) {
        if (exchange->request().method == "POST") {
          std::string size = std::to_string(exchange->request().body.size());
          return exchange->respond({200, {}, "got " + size});
        }
        if (exchange->request().path == "/list") {
          int left = 100;
          return exchange->respond_pulled(200, {}, [left](std::string& out) mutable {
            out.assign(10000, 'l');
            return --left > 0;
          });
        }
        who(std::move(exchange));
      },
      tls_options(pki));
  std::string url = "https://127.0.0.1:" + std::to_string(server->port());
  std::string common = " -s -m 10 --cacert " + pki.directory.path("ca.pem") + " --cert " + pki.directory.path("alice.pem") + " --key " +
                       pki.directory.path("alice.key") + " -w ' %{http_code} %{http_version}' ";
  std::string big = pki.directory.write("big", std::string(2 << 20, 'b'));
  for (std::string version : {"1.1", "2"}) {
    std::string curl = "curl --http" + version + common;
    EXPECT_EQ(run(curl + url + "/"), "alice/dev 200 " + version);
    EXPECT_EQ(run(curl + "--data-binary @" + big + " " + url + "/"), "got 2097152 200 " + version);
    EXPECT_EQ(run(curl + "--data-binary @" + big + " --data-binary @" + big + " " + url + "/"),
              "Request entity too large: limit is 3145728 413 " + version);
    EXPECT_EQ(run(curl + "-I -o /dev/null " + url + "/"), " 200 " + version);
    EXPECT_EQ(run(curl + url + "/list | wc -c | tr -d '\\n'"), std::to_string(1000000 + 5 + version.size()));
  }
}

}  // namespace
}  // namespace kybern::net
