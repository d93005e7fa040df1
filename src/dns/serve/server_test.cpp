// The server on loopback: asked over UDP and TCP, with an upstream resolver of the test's own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "client/test_support.h"
#include "dns/answer/message.h"
#include "dns/dns.h"
#include "dns/serve/feed.h"
#include "dns/test_cluster.h"
#include "dns/test_resolver.h"

namespace kybern::dns {
namespace {

using client::testing_support::FeedTransport;
using std::chrono::milliseconds;

constexpr const char* slices_path = "/apis/discovery.k8s.io/v1/endpointslices";

Rcode rcode_of(const std::string& message) { return message.size() < header_bytes ? Rcode::refused : static_cast<Rcode>(message[3] & 0xf); }
int answers_in(const std::string& message) { return message.size() < header_bytes ? -1 : static_cast<unsigned char>(message[7]); }
std::string query(const char* name, Type type = Type::a) { return *write_query(0x1234, name, type); }
bool ends_with_ip(const std::string& message, const char* text) {
  const Ip ip = *parse_ip(text);
  return message.find(std::string("\0\4", 2) + std::string(ip.bytes.begin(), ip.bytes.begin() + 4)) != message.npos;
}

class DnsServing : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<Document> services, slices, namespaces;
    const std::vector<Document> documents = *parse_yaml(test::cluster_yaml);
    for (const Document& document : documents) {
      const std::string_view kind = document["kind"].as_string();
      (kind == "Service" ? services : kind == "Namespace" ? namespaces : slices).push_back(document);
    }
    fill_ = [this, services, slices, namespaces] {
      transport_.listeners.at("/api/v1/services").replaced(services);
      transport_.listeners.at(slices_path).replaced(slices);
      transport_.listeners.at("/api/v1/namespaces").replaced(namespaces);
    };
  }
  void TearDown() override { server_.reset(); }

  void start(DnsOptions options, bool filled = true) {
    options.addresses = {"127.0.0.1"};
    options.port = 0;
    if (options.upstreams.empty()) options.resolv_conf = "/nonexistent/resolv.conf";
    Result<std::unique_ptr<DnsServer>> server = DnsServer::start(transport_, real_world(), options);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    if (!filled) return;
    fill_();
    ASSERT_TRUE(server_->wait_synced(milliseconds(10000)));
  }
  std::string ask(const std::string& message) { return test::ask_udp(server_->port(), message); }
  void put(const char* path, std::string_view yaml) {
    transport_.listeners.at(path).changed({{client::Event::Type::put, (*parse_yaml(yaml))[0]}});
  }

  FeedTransport transport_;
  std::function<void()> fill_;
  std::unique_ptr<DnsServer> server_;
};

std::string address_answer(std::string_view message, std::uint32_t ttl_s = 60) {
  const Query query = *parse_query(message);
  Answer answer;
  answer.answers.push_back({"", Type::a, ttl_s, *parse_ip("192.0.2.80")});
  return write_answer(query, answer, max_udp_bytes);
}

TEST_F(DnsServing, OverUdpAndTcp) {
  start({});
  const std::string udp = ask(query("web.default.svc.cluster.local"));
  EXPECT_EQ(rcode_of(udp), Rcode::no_error);
  EXPECT_TRUE(ends_with_ip(udp, "10.96.0.1"));
  test::TcpClient tcp(server_->port());
  ASSERT_TRUE(tcp.ok());
  tcp.send(query("web.default.svc.cluster.local"));
  EXPECT_EQ(tcp.receive(), udp);
  // Several at once, in pieces.
  const std::string two = test::TcpClient::framed(query("gone.default.svc.cluster.local")) +
                          test::TcpClient::framed(query("six.default.svc.cluster.local", Type::aaaa));
  tcp.send_raw(two.substr(0, 5));
  tcp.send_raw(two.substr(5, 60));
  tcp.send_raw(two.substr(65));
  EXPECT_EQ(rcode_of(tcp.receive()), Rcode::name_error);
  EXPECT_EQ(answers_in(tcp.receive()), 1);
  // What is no DNS message ends the connection.
  tcp.send("x");
  EXPECT_EQ(tcp.receive(), "");
}

TEST_F(DnsServing, BeforeTheFirstListTheZoneIsNotAnswered) {
  start({}, false);
  EXPECT_EQ(rcode_of(ask(query("web.default.svc.cluster.local"))), Rcode::server_failure);
  fill_();
  ASSERT_TRUE(server_->wait_synced(milliseconds(10000)));
  EXPECT_EQ(rcode_of(ask(query("web.default.svc.cluster.local"))), Rcode::no_error);
  EXPECT_GT(server_->status().services, 5u);
}

// Runs the one task that waits at once, whatever its delay, beside the thread that feeds.
class Hasty : public Executor {
 public:
  Hasty()
      : thread_([this](std::stop_token stop) {
          while (!stop.stop_requested()) {
            Task task;
            {
              std::lock_guard lock(mutex_);
              task = std::exchange(next_, {});
            }
            if (task) task();
            else std::this_thread::yield();
          }
        }) {}
  void post(Task task) override { post_after(Duration(0), std::move(task)); }
  TimerId post_after(Duration, Task task) override {
    std::lock_guard lock(mutex_);
    next_ = std::move(task);
    return 1;
  }
  void cancel(TimerId) override {
    std::lock_guard lock(mutex_);
    next_ = {};
  }
  void wait(Duration) override {}

 private:
  std::mutex mutex_;
  Task next_;
  std::jthread thread_;
};

// A mirror says that it has its list before it has told of all that is in it.
TEST(DnsFeed, TheFirstIndexHasAllServicesAndNamespaces) {
  constexpr int count = 20000;
  std::vector<Document> services, namespaces;
  for (int i = 0; i < count; ++i) {
    const std::string name = "s" + std::to_string(i);
    services.push_back(Draft::object({{"metadata", Draft::object({{"namespace", "default"}, {"name", name}, {"resourceVersion", "1"}})},
                                      {"spec", Draft::object({{"clusterIP", "10.96.0.9"}})}})
                           .freeze());
    namespaces.push_back(Draft::object({{"metadata", Draft::object({{"name", name}, {"resourceVersion", "1"}})}}).freeze());
  }
  for (bool services_last : {false, true}) {
    FeedTransport transport;
    const World real = real_world();
    Hasty hasty;
    std::mutex mutex;
    std::shared_ptr<const Index> first;
    Feed feed(transport, World{real.clock, real.random, hasty}, Duration(0), [&](std::shared_ptr<const Index> index) {
      std::lock_guard lock(mutex);
      if (!first) first = std::move(index);
    });
    transport.listeners.at(slices_path).replaced({});
    if (services_last) transport.listeners.at("/api/v1/namespaces").replaced(namespaces);
    transport.listeners.at("/api/v1/services").replaced(services);
    if (!services_last) transport.listeners.at("/api/v1/namespaces").replaced(namespaces);
    ASSERT_TRUE(eventually([&] {
      std::lock_guard lock(mutex);
      return first != nullptr;
    }));
    feed.stop();
    EXPECT_EQ(first->services(), std::size_t(count));
    for (const Document& ns : namespaces) ASSERT_TRUE(first->has_namespace(ns["metadata"]["name"].as_string()));
  }
}

TEST_F(DnsServing, FollowsChanges) {
  start({});
  put("/api/v1/services",
      "kind: Service\nmetadata: {namespace: default, name: fresh, resourceVersion: '9', uid: f}\nspec: {clusterIP: 10.96.0.77, ports: "
      "[{port: 80}]}\n");
  EXPECT_TRUE(eventually([&] { return ends_with_ip(ask(query("fresh.default.svc.cluster.local")), "10.96.0.77"); }));
  put(slices_path,
      "kind: EndpointSlice\nmetadata: {namespace: default, name: nobody-a, uid: s, resourceVersion: '10', labels: "
      "{kubernetes.io/service-name: nobody}}\n"
      "addressType: IPv4\nendpoints: [{addresses: [10.244.0.44]}]\nports: [{port: 80}]\n");
  EXPECT_TRUE(eventually([&] { return ends_with_ip(ask(query("nobody.default.svc.cluster.local")), "10.244.0.44"); }));
  put("/api/v1/namespaces", "kind: Namespace\nmetadata: {name: late, uid: n, resourceVersion: '11'}\n");
  EXPECT_TRUE(eventually([&] { return rcode_of(ask(query("late.svc.cluster.local"))) == Rcode::no_error; }));
  transport_.listeners.at("/api/v1/services")
      .changed({{client::Event::Type::erased,
                 (*parse_yaml("kind: Service\nmetadata: {namespace: default, name: fresh, uid: f, resourceVersion: '12'}\n"))[0]}});
  EXPECT_TRUE(eventually([&] { return rcode_of(ask(query("fresh.default.svc.cluster.local"))) == Rcode::name_error; }));
}

TEST_F(DnsServing, ForwardsAndKeepsWhatOthersKnow) {
  test::Upstream upstream([](std::string_view message, bool) { return std::optional(address_answer(message)); });
  start({.upstreams = {upstream.text()}});
  const std::string found = ask(query("www.example.com"));
  EXPECT_TRUE(ends_with_ip(found, "192.0.2.80"));
  EXPECT_EQ(found.substr(0, 2), "\x12\x34");
  EXPECT_TRUE(ends_with_ip(ask(query("www.example.com")), "192.0.2.80"));
  EXPECT_EQ(upstream.asked, 1) << "the second answer was kept from the first";
  EXPECT_TRUE(eventually([&] { return server_->status().cached == 1; }));
  EXPECT_TRUE(ends_with_ip(ask(query("1.2.0.192.in-addr.arpa", Type::ptr)), "192.0.2.80")) << "an address that is not the cluster's";
  test::TcpClient tcp(server_->port());
  tcp.send(query("tcp.example.com"));
  EXPECT_TRUE(ends_with_ip(tcp.receive(), "192.0.2.80"));
}

TEST_F(DnsServing, AnotherUpstreamIsTriedAndThenServfail) {
  test::Upstream silent([](std::string_view, bool) { return std::nullopt; });
  test::Upstream good([](std::string_view message, bool) { return std::optional(address_answer(message, 0)); });
  start({.upstreams = {silent.text(), good.text()}, .upstream_timeout = std::chrono::seconds(2)});
  EXPECT_TRUE(ends_with_ip(ask(query("a.example.com")), "192.0.2.80"));
  EXPECT_TRUE(eventually([&] { return silent.asked == 1; }));
  EXPECT_TRUE(ends_with_ip(ask(query("b.example.com")), "192.0.2.80"));
  EXPECT_EQ(silent.asked, 1) << "one that was silent is not asked first again";
  server_.reset();
  start({.upstreams = {silent.text()}, .upstream_timeout = milliseconds(50), .attempts = 2});
  EXPECT_EQ(rcode_of(ask(query("a.example.com"))), Rcode::server_failure);
  EXPECT_TRUE(eventually([&] { return silent.asked == 3; }));
  EXPECT_TRUE(eventually([&] { return server_->status().failed == 1; }));
}

TEST_F(DnsServing, WithoutUpstreamsOthersNamesFail) {
  start({});
  EXPECT_EQ(rcode_of(ask(query("www.example.com"))), Rcode::server_failure);
}

TEST_F(DnsServing, ForgedAnswersArePassedOver) {
  // A wrong id, and another question: neither is taken, so the attempt ends by its time.
  test::Upstream wrong_id([](std::string_view message, bool) {
    std::string out = address_answer(message);
    out[0] = static_cast<char>(out[0] ^ 1);
    return std::optional(out);
  });
  test::Upstream wrong_question([](std::string_view message, bool) {
    const std::string other =
        *write_query(static_cast<std::uint16_t>(static_cast<unsigned char>(message[0]) << 8 | static_cast<unsigned char>(message[1])),
                     "evil.example.com", Type::a);
    return std::optional(address_answer(other));
  });
  for (const test::Upstream* upstream : {&wrong_id, &wrong_question}) {
    start({.upstreams = {upstream->text()}, .upstream_timeout = milliseconds(100), .attempts = 1});
    EXPECT_EQ(rcode_of(ask(query("www.example.com"))), Rcode::server_failure);
    server_.reset();
  }
}

TEST_F(DnsServing, ExternalNamesAreFollowed) {
  std::string seen;
  test::Upstream upstream([&](std::string_view message, bool) {
    if (message.find("www") != message.npos) seen = std::string(message.substr(header_bytes, 17));
    return std::optional(address_answer(message));
  });
  start({.upstreams = {upstream.text()}});
  const std::string found = ask(query("ext.default.svc.cluster.local"));
  EXPECT_EQ(answers_in(found), 2) << "the CNAME and where it leads";
  EXPECT_TRUE(ends_with_ip(found, "192.0.2.80"));
  EXPECT_EQ(seen, std::string("\3www\7example\3com\0", 17));
}

TEST_F(DnsServing, ALoopIsFoundAndBroken) {
  int port = 0;
  std::atomic<bool> known{false};
  // Gives everything back to the server, as a host's resolver does whose resolv.conf names the cluster's DNS.
  test::Upstream relay([&](std::string_view message, bool) -> std::optional<std::string> {
    if (!eventually([&] { return known.load(); })) return std::nullopt;
    std::string out = test::ask_udp(port, message, milliseconds(300));
    return out.empty() ? std::nullopt : std::optional(out);
  });
  const DnsOptions options{.upstreams = {relay.text()}, .upstream_timeout = std::chrono::seconds(5), .attempts = 1};
  start(options);
  port = server_->port();
  known = true;
  EXPECT_TRUE(
      eventually([&] { return rcode_of(ask(query("www.example.com"))) == Rcode::server_failure && server_->status().forwarded <= 5; }));
  const std::uint64_t before = server_->status().forwarded;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(rcode_of(ask(query("www.example.com"))), Rcode::server_failure);
  EXPECT_LE(server_->status().forwarded, before + 5) << "no query goes round";
}

TEST_F(DnsServing, OnlySoManyQueriesAreUnderWay) {
  test::Upstream silent([](std::string_view, bool) { return std::nullopt; });
  start({.upstreams = {silent.text()}, .upstream_timeout = std::chrono::seconds(20), .attempts = 1, .max_forwarded = 3});
  // The loop probe is one of them, until it ends.
  std::vector<std::thread> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.emplace_back(
        [&, i] { (void)test::ask_udp(server_->port(), query(("q" + std::to_string(i) + ".example.com").c_str()), milliseconds(500)); });
  }
  EXPECT_TRUE(eventually([&] { return silent.asked + static_cast<int>(server_->status().failed) >= 3; }));
  EXPECT_EQ(rcode_of(ask(query("more.example.com"))), Rcode::server_failure) << "at once";
  for (std::thread& thread : waiting) thread.join();
}

TEST_F(DnsServing, IdleAndTooManyConnectionsAreClosed) {
  start({.max_connections = 2, .idle_timeout = std::chrono::seconds(3)});
  test::TcpClient first(server_->port()), second(server_->port());
  first.send(query("web.default.svc.cluster.local"));
  EXPECT_NE(first.receive(), "");
  second.send(query("web.default.svc.cluster.local"));
  EXPECT_NE(second.receive(), "");
  test::TcpClient third(server_->port());
  EXPECT_EQ(third.receive(), "") << "too many";
  EXPECT_EQ(first.receive(), "") << "idle";
  test::TcpClient fourth(server_->port());
  fourth.send(query("web.default.svc.cluster.local"));
  EXPECT_NE(fourth.receive(), "");
}

TEST_F(DnsServing, APortInUseIsToldClearly) {
  start({});
  DnsOptions options;
  options.port = server_->port();
  const auto second = DnsServer::start(transport_, real_world(), options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::already_exists);
  EXPECT_EQ(second.error().message,
            "listen 127.0.0.1:" + std::to_string(options.port) +
                " (UDP): address already in use: another process holds this port; `ss -lnp sport = :" + std::to_string(options.port) +
                "` shows which; stop it, choose another port, or do without the cluster's DNS server");
  for (int port : {-1, 65536, 99999}) {
    options.port = port;
    const auto wrong = DnsServer::start(transport_, real_world(), options);
    ASSERT_FALSE(wrong) << port;
    EXPECT_EQ(wrong.error().code, Code::invalid);
    EXPECT_EQ(wrong.error().message, "listen port " + std::to_string(port) + ": a port is a number from 0 to 65535");
  }
  options.addresses = {"here"};
  options.port = 0;
  EXPECT_EQ(DnsServer::start(transport_, real_world(), options).error().message, "listen address \"here\" is not an IP address");
}

// The common client, when it is installed.
TEST_F(DnsServing, Dig) {
  if (std::system("dig -v >/dev/null 2>&1") != 0) GTEST_SKIP() << "dig is not installed";
  start({});
  auto dig = [&](const std::string& arguments) {
    std::string out;
    const std::string command =
        "dig @127.0.0.1 -p " + std::to_string(server_->port()) + " +noall +answer +comments +tries=1 +time=5 " + arguments;
    FILE* pipe = ::popen(command.c_str(), "r");
    char buffer[512];
    while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) out += buffer;
    ::pclose(pipe);
    std::ranges::replace(out, '\t', ' ');
    return out;
  };
  const std::string web = dig("web.default.svc.cluster.local A");
  EXPECT_NE(web.find("status: NOERROR"), web.npos) << web;
  EXPECT_NE(web.find("flags: qr aa rd ra; QUERY: 1, ANSWER: 1"), web.npos) << web;
  EXPECT_NE(web.find("IN A 10.96.0.1"), web.npos) << web;
  EXPECT_EQ(web.find("recursion requested but not available"), web.npos) << web;
  EXPECT_EQ(web.find("malformed"), web.npos) << web;
  EXPECT_NE(dig("+tcp _http._tcp.web.default.svc.cluster.local SRV").find("IN SRV 0 100 80 web.default.svc.cluster.local."), web.npos);
  EXPECT_NE(dig("dns-version.cluster.local TXT").find("IN TXT \"1.1.0\""), web.npos);
  EXPECT_NE(dig("-x 10.96.0.1").find("IN PTR web.default.svc.cluster.local."), web.npos);
  EXPECT_NE(dig("gone.default.svc.cluster.local").find("status: NXDOMAIN"), web.npos);
  EXPECT_NE(dig("+edns=1 +noednsneg web.default.svc.cluster.local").find("status: BADVERS"), web.npos);
  EXPECT_NE(dig("cluster.local AXFR").find("Transfer failed"), web.npos);
}

}  // namespace
}  // namespace kybern::dns
