// The whole proxy in the namespace of this program: fed with objects, observed in the kernel.
#include "proxy/proxy.h"

#include <gtest/gtest.h>

#include "client/test_support.h"
#include "document/yaml.h"
#include "net/server.h"
#include "proxy/apply/nft.h"
#include "proxy/apply/sysctl.h"
#include "proxy/run/health.h"
#include "proxy/test_network.h"

namespace kybern::proxy {
namespace {

using client::testing_support::FeedTransport;
using std::chrono::milliseconds;

constexpr const char* services_path = "/api/v1/services";
constexpr const char* slices_path = "/apis/discovery.k8s.io/v1/endpointslices";
constexpr const char* nodes_path = "/api/v1/nodes";

constexpr const char* web =
    "kind: Service\nmetadata: {namespace: default, name: web, uid: s, resourceVersion: '5'}\n"
    "spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}\n";
constexpr const char* web_slice =
    "kind: EndpointSlice\nmetadata: {namespace: default, name: web-a, uid: e, resourceVersion: '6', labels: {kubernetes.io/service-name: "
    "web}}\n"
    "addressType: IPv4\nendpoints: [{addresses: [10.244.0.5], nodeName: n1}]\nports: [{port: 8080}]\n";

Document read(std::string_view yaml) { return (*parse_yaml(yaml))[0]; }

class ProxyRun : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!test::why_no_network().empty()) GTEST_SKIP() << test::why_no_network();
    Result<Nft> nft = Nft::open();
    ASSERT_TRUE(nft) << nft.error().message;
    nft_ = std::make_unique<Nft>(std::move(*nft));
  }
  void TearDown() override {
    if (proxy_) proxy_->stop(true);
    proxy_.reset();
  }
  ProxyOptions options() {
    ProxyOptions out;
    out.node_name = "n1";
    out.node_ips = {"192.0.2.1"};
    out.pod_cidr = "10.244.0.0/16";
    out.check_interval = Duration(0);
    return out;
  }
  void start(ProxyOptions options) {
    Result<std::unique_ptr<Proxy>> proxy = Proxy::start(transport_, real_world(), options);
    ASSERT_TRUE(proxy) << proxy.error().message;
    proxy_ = std::move(*proxy);
  }
  void fill(std::vector<Document> services, std::vector<Document> slices, std::vector<Document> nodes = {}) {
    transport_.listeners.at(nodes_path).replaced(std::move(nodes));
    transport_.listeners.at(slices_path).replaced(std::move(slices));
    transport_.listeners.at(services_path).replaced(std::move(services));
  }
  void put(const char* path, std::string_view yaml) { transport_.listeners.at(path).changed({{client::Event::Type::put, read(yaml)}}); }
  std::string map(const std::string& name) { return nft_->list("list map ip kybern " + name).value_or(""); }
  bool has(const std::string& name, std::string_view element) { return map(name).find(element) != std::string::npos; }

  FeedTransport transport_;
  std::unique_ptr<Nft> nft_;
  std::unique_ptr<Proxy> proxy_;
};

TEST_F(ProxyRun, LoadsFollowsAndRemoves) {
  start(options());
  EXPECT_EQ(*read_sysctl("net.ipv4.ip_forward"), "1");
  EXPECT_FALSE(proxy_->status().synced);
  fill({read(web)}, {read(web_slice)});
  ASSERT_TRUE(proxy_->wait_synced(milliseconds(10000)));
  EXPECT_TRUE(has("endpoints", "0 . 10.96.0.10 . tcp . 80 : 10.244.0.5 . 8080"));
  put(slices_path,
      "kind: EndpointSlice\nmetadata: {namespace: default, name: web-b, uid: b, resourceVersion: '7', labels: {kubernetes.io/service-name: "
      "web}}\n"
      "addressType: IPv4\nendpoints: [{addresses: [10.244.1.5], nodeName: n2}]\nports: [{port: 8080}]\n");
  EXPECT_TRUE(eventually([&] { return has("endpoints", "1 . 10.96.0.10 . tcp . 80 : 10.244.1.5 . 8080"); }));
  EXPECT_EQ(proxy_->status().full_loads, 1u) << "a change is not a full load";
  // What changes nothing for packets needs no transaction.
  ASSERT_TRUE(eventually([&] { return proxy_->status().transactions == 2; }));
  put(services_path,
      "kind: Service\nmetadata: {namespace: default, name: web, uid: s, resourceVersion: '8', annotations: {a: b}}\nspec: {clusterIP: "
      "10.96.0.10, ports: [{port: 80}]}\n");
  put(services_path,
      "kind: Service\nmetadata: {namespace: default, name: other, uid: o, resourceVersion: '9'}\nspec: {clusterIP: 10.96.0.11, ports: "
      "[{port: 80}]}\n");
  EXPECT_TRUE(eventually([&] { return has("no-endpoints", "10.96.0.11 . tcp . 80 : goto reject-traffic"); }));
  EXPECT_TRUE(eventually([&] { return proxy_->status().transactions == 3; }));
  transport_.listeners.at(services_path).changed({{client::Event::Type::erased, read(web)}});
  EXPECT_TRUE(eventually([&] { return !has("services", "10.96.0.10"); }));
  proxy_->stop(true);
  EXPECT_EQ(nft_->list("list tables").value().find("kybern"), std::string::npos);
}

TEST_F(ProxyRun, AStartCleansUpWhatAnEarlierOneLeft) {
  ASSERT_TRUE(
      nft_->run("table ip kybern { map services { type ipv4_addr : verdict; }\n chain old { ip saddr vmap @services\n }\n }\n"
                "add element ip kybern services { 10.0.0.1 : drop }\n"));
  start(options());
  EXPECT_TRUE(has("services", "10.0.0.1")) << "not before the first list: services go on meanwhile";
  fill({read(web)}, {read(web_slice)});
  ASSERT_TRUE(proxy_->wait_synced(milliseconds(10000)));
  EXPECT_FALSE(has("services", "10.0.0.1"));
  EXPECT_TRUE(has("services", "10.96.0.10 . tcp . 80 : goto pick-1"));
  // The rules outlive the process that made them, unless they are to go.
  proxy_->stop(false);
  proxy_.reset();
  EXPECT_TRUE(has("services", "10.96.0.10 . tcp . 80 : goto pick-1"));
}

TEST_F(ProxyRun, FlushedTablesComeBack) {
  ProxyOptions often = options();
  often.check_interval = milliseconds(20);
  start(often);
  fill({read(web)}, {read(web_slice)});
  ASSERT_TRUE(proxy_->wait_synced(milliseconds(10000)));
  ASSERT_TRUE(nft_->run("flush ruleset"));
  EXPECT_TRUE(eventually([&] { return has("services", "10.96.0.10 . tcp . 80 : goto pick-1"); }));
}

TEST_F(ProxyRun, AChangeThatFailsIsFollowedByAFullLoad) {
  start(options());
  fill({read(web)}, {read(web_slice)});
  ASSERT_TRUE(proxy_->wait_synced(milliseconds(10000)));
  // Somebody took an element away, so its deletion fails.
  ASSERT_TRUE(nft_->run("delete element ip kybern services { 10.96.0.10 . tcp . 80 }"));
  transport_.listeners.at(services_path).changed({{client::Event::Type::erased, read(web)}});
  EXPECT_TRUE(eventually([&] { return proxy_->status().full_loads == 2; }));
  EXPECT_EQ(proxy_->status().failures, 1u);
  EXPECT_EQ(proxy_->status().last_error, "");
  EXPECT_FALSE(has("endpoints", "10.96.0.10"));
}

TEST_F(ProxyRun, TheZoneOfTheNodeChooses) {
  start(options());
  fill({read(web)},
       {read("kind: EndpointSlice\nmetadata: {namespace: default, name: web-a, uid: e, resourceVersion: '6', labels: "
             "{kubernetes.io/service-name: web}}\n"
             "addressType: IPv4\nports: [{port: 8080}]\nendpoints:\n- {addresses: [10.244.0.5], hints: {forZones: [{name: a}]}}\n- "
             "{addresses: [10.244.0.6], hints: {forZones: [{name: b}]}}\n")},
       {read("kind: Node\nmetadata: {name: n1, uid: n, resourceVersion: '1', labels: {topology.kubernetes.io/zone: a}}\n")});
  EXPECT_TRUE(
      eventually([&] { return has("endpoints", "0 . 10.96.0.10 . tcp . 80 : 10.244.0.5 . 8080") && !has("endpoints", "10.244.0.6"); }));
  put(nodes_path, "kind: Node\nmetadata: {name: n1, uid: n, resourceVersion: '2', labels: {topology.kubernetes.io/zone: b}}\n");
  EXPECT_TRUE(
      eventually([&] { return has("endpoints", "0 . 10.96.0.10 . tcp . 80 : 10.244.0.6 . 8080") && !has("endpoints", "10.244.0.5"); }));
}

TEST_F(ProxyRun, HealthCheckNodePorts) {
  ProxyOptions local = options();
  local.health_address = "127.0.0.1";
  start(local);
  const std::string service =
      "kind: Service\nmetadata: {namespace: default, name: web, uid: s, resourceVersion: '5'}\n"
      "spec: {type: LoadBalancer, clusterIP: 10.96.0.10, externalTrafficPolicy: Local, healthCheckNodePort: 32000, ports: [{port: 80}]}\n";
  fill({read(service)}, {read(web_slice)});
  ASSERT_TRUE(proxy_->wait_synced(milliseconds(10000)));
  auto curl = [](const std::string& expected) {
    return test::sh(
        "exec 3<>/dev/tcp/127.0.0.1/32000 2>/dev/null && printf 'GET /healthz HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' "
        ">&3 && cat <&3 | grep -q '" +
            expected + "'",
        true);
  };
  EXPECT_TRUE(eventually([&] { return curl("200 OK"); }));
  EXPECT_TRUE(curl("\"localEndpoints\": 1"));
  transport_.listeners.at(slices_path).changed({{client::Event::Type::erased, read(web_slice)}});
  EXPECT_TRUE(eventually([&] { return curl("503"); }));
}

TEST_F(ProxyRun, AHealthCheckNodePortThatWasTakenIsOpenedOnceItIsFree) {
  HealthServers stranger("127.0.0.1");
  stranger.set("other/web", 32001, 1);
  ASSERT_EQ(stranger.open(), 1u);
  ProxyOptions local = options();
  local.health_address = "127.0.0.1";
  local.check_interval = milliseconds(20);
  start(local);
  fill({read("kind: Service\nmetadata: {namespace: default, name: web, uid: s, resourceVersion: '5'}\n"
             "spec: {type: LoadBalancer, clusterIP: 10.96.0.10, externalTrafficPolicy: Local, healthCheckNodePort: 32001, ports: [{port: "
             "80}]}\n")},
       {read(web_slice)});
  ASSERT_TRUE(proxy_->wait_synced(milliseconds(10000)));
  stranger.set("other/web", 0, 0);
  const std::string ask =
      "exec 3<>/dev/tcp/127.0.0.1/32001 2>/dev/null && printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&3 && "
      "cat <&3 | grep -q '\"name\": \"web\"'";
  EXPECT_TRUE(eventually([&] { return test::sh(ask, true); }));
}

TEST(ProxyOptions, BadAddressesAreTold) {
  FeedTransport transport;
  ProxyOptions options;
  options.node_ips = {"here"};
  EXPECT_EQ(Proxy::start(transport, real_world(), options).error().message, "node address \"here\" is not an IP address");
  options.node_ips = {};
  options.pod_cidr = "10.244.0.0/16,x";
  EXPECT_EQ(Proxy::start(transport, real_world(), options).error().message, "pod CIDR \"x\" is not a network prefix");
}

int free_port() {
  auto server = net::Server::start(net::ServerOptions(), [](std::shared_ptr<net::Exchange>) {});
  return server ? (*server)->port() : 0;
}

// One service takes over the port of another, in either order of telling; and a stranger's port becomes free later.
TEST(HealthServers, APortThatWasTakenIsTriedAgain) {
  const int port = free_port();
  ASSERT_NE(port, 0);
  HealthServers servers("127.0.0.1"), stranger("127.0.0.1");
  servers.set("default/a", static_cast<std::uint16_t>(port), 1);
  EXPECT_EQ(servers.open(), 1u);
  servers.set("default/b", static_cast<std::uint16_t>(port), 1);
  EXPECT_EQ(servers.open(), 1u) << "a has it";
  servers.set("default/a", 0, 0);
  servers.retry();
  EXPECT_EQ(servers.open(), 1u) << "b has it now";
  stranger.set("default/c", static_cast<std::uint16_t>(port), 1);
  EXPECT_EQ(stranger.open(), 0u);
  servers.set("default/b", 0, 0);
  stranger.set("default/c", static_cast<std::uint16_t>(port), 2);
  EXPECT_EQ(stranger.open(), 1u) << "told again, c finds it free";
}

TEST(HealthBody, AsLoadBalancersReadIt) {
  EXPECT_EQ(health_body("default/web", 2, true),
            "{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": "
            "2,\n\t\"serviceProxyHealthy\": true\n}");
}

}  // namespace
}  // namespace kybern::proxy
