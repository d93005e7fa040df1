// Real packets: a node with three pods on a bridge and a client outside, each in a network namespace of its own.
//
//   pod a 10.244.0.2 --+
//   pod b 10.244.0.3 --+-- bridge 10.244.0.1 [node] 192.0.2.1 ---- client 192.0.2.10
//   pod c 10.244.0.4 --+   (IPv6: fd01::2.., fd01::1, fd00::1, fd00::10)
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "proxy/apply/sysctl.h"
#include "proxy/run/applier.h"
#include "proxy/test_cluster.h"
#include "proxy/test_network.h"

namespace kybern::proxy {
namespace {

using std::chrono::milliseconds;
using test::ask;
using test::Namespace;
using test::Question;
using test::seen_as;
using test::sh;
using test::who;

constexpr milliseconds dropped{400};  // long enough for an answer here, when none is expected

class Packets : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!test::why_no_network().empty()) GTEST_SKIP() << test::why_no_network();
    ASSERT_TRUE(
        sh("ip link add br0 type bridge forward_delay 0 && ip addr add 10.244.0.1/24 dev br0 && ip -6 addr add fd01::1/64 dev br0 nodad && "
           "ip link set br0 up"));
    a_ = pod("a", 2);
    b_ = pod("b", 3);
    c_ = pod("c", 4);
    outside_ = std::make_unique<Namespace>();
    ASSERT_TRUE(sh("ip link add uplink type veth peer name eth0 netns " + outside_->path() +
                   " && ip addr add 192.0.2.1/24 dev uplink && ip -6 addr add fd00::1/64 dev uplink nodad && ip link set uplink up"));
    // Service addresses are routed by way of the node, as an outside router might.
    outside_->run([] {
      ASSERT_TRUE(
          sh("ip addr add 192.0.2.10/24 dev eth0 && ip -6 addr add fd00::10/64 dev eth0 nodad && ip link set eth0 up && "
             "ip route add default via 192.0.2.1 && ip -6 route add default via fd00::1"));
    });
    // The node's own default route leads somewhere else: sent back where it came from, a packet would cause ICMP redirects.
    ASSERT_TRUE(
        sh("ip link add up0 type veth peer name up1 && ip addr add 192.168.77.1/24 dev up0 && ip -6 addr add fd07::1/64 dev up0 nodad && "
           "ip link set up0 up && ip link set up1 up && ip neigh add 192.168.77.2 lladdr 02:00:00:00:00:02 dev up0 && "
           "ip neigh add fd07::2 lladdr 02:00:00:00:00:02 dev up0 && ip route add default via 192.168.77.2 && ip -6 route add default via "
           "fd07::2"));
    std::vector<std::string> warnings;
    Result<void> prepared = prepare_kernel(true, warnings);
    ASSERT_TRUE(prepared) << prepared.error().message;
    bridged_ = warnings.empty();
    node_.name = "n1";
    node_.addresses = {*parse_address("192.0.2.1"), *parse_address("fd00::1")};
    node_.pod_cidrs = {*parse_prefix("10.244.0.0/16"), *parse_prefix("fd01::/48")};
    Result<Applier> applier = Applier::open(true);
    ASSERT_TRUE(applier) << applier.error().message;
    applier_ = std::make_unique<Applier>(std::move(*applier));
    ruleset_ = std::make_unique<Ruleset>(node_);
  }

  void TearDown() override {
    if (applier_) (void)applier_->remove_tables();
    servers_.clear();
    if (test::why_no_network().empty())
      sh("for link in br0 uplink up0 pod-a pod-b pod-c; do ip link del $link; done; conntrack -F >/dev/null 2>&1; true");
  }

  // Endpoints given as "a", "b", "a:draining", "node" (a process of the node itself), "x" (not on this node).
  void put_service(const std::string& name, const std::string& spec, std::initializer_list<const char*> endpoints) {
    Draft service = Draft::object({{"kind", "Service"}, {"metadata", Draft::object({{"namespace", "default"}, {"name", name}})}});
    service["spec"] = Draft((*parse_yaml(spec))[0]);
    cluster_.put(service.freeze());
    for (bool v6 : {false, true}) {
      Draft list = Draft::array();
      for (const std::string text : endpoints) {
        const char pod = text[0];
        const std::string host = std::to_string(pod == 'x' ? 99 : pod - 'a' + 2);
        std::string address = (v6 ? "fd01::" : "10.244.0.") + host;
        if (text == "node") address = v6 ? "fd00::1" : "192.0.2.1";
        Draft endpoint = Draft::object({{"addresses", Draft::array({Draft(address)})}, {"nodeName", pod == 'x' ? "n2" : "n1"}});
        if (text.ends_with(":draining"))
          endpoint["conditions"] = Draft::object({{"ready", false}, {"serving", true}, {"terminating", true}});
        list.push_back(std::move(endpoint));
      }
      Draft slice = Draft::object({{"kind", "EndpointSlice"}, {"addressType", v6 ? "IPv6" : "IPv4"}, {"endpoints", std::move(list)}});
      slice["metadata"] = Draft::object({{"namespace", "default"}, {"name", name + (v6 ? "-6" : "-4")}});
      slice["metadata"]["labels"] = Draft::object({{"kubernetes.io/service-name", name}});
      slice["ports"] = Draft::array({Draft::object({{"name", "tcp"}, {"port", 8080}, {"protocol", "TCP"}}),
                                     Draft::object({{"name", "udp"}, {"port", 8080}, {"protocol", "UDP"}})});
      cluster_.put(slice.freeze());
    }
    cluster_.update("default/" + name, node_, *ruleset_);
    sync();
  }
  void delete_service(const std::string& name) {
    cluster_.erase("Service", "default/" + name);
    cluster_.update("default/" + name, node_, *ruleset_);
    sync();
  }
  void sync() {
    const Transaction transaction = loaded_ ? ruleset_->changes() : ruleset_->full();
    loaded_ = true;
    Result<void> done = applier_->apply(transaction, *ruleset_);
    ASSERT_TRUE(done) << done.error().message << "\n" << transaction.script;
  }

  std::unique_ptr<Namespace> pod(const std::string& name, int host) {
    auto out = std::make_unique<Namespace>();
    const std::string number = std::to_string(host);
    EXPECT_TRUE(sh("ip link add pod-" + name + " type veth peer name eth0 netns " + out->path() + " && ip link set pod-" + name +
                   " master br0 && ip link set pod-" + name + " type bridge_slave hairpin on && ip link set pod-" + name + " up"));
    out->run([&] {
      EXPECT_TRUE(
          sh("ip addr add 10.244.0." + number + "/24 dev eth0 && ip -6 addr add fd01::" + number +
             "/64 dev eth0 nodad && ip link set eth0 up && ip route add default via 10.244.0.1 && ip -6 route add default via fd01::1"));
    });
    servers_.push_back(std::make_unique<test::EchoServer>(out.get(), name, 8080));
    return out;
  }

  // Who answers `times` questions.
  std::multiset<std::string> answers(const Namespace* from, const Question& question, int times) {
    std::multiset<std::string> out;
    for (int i = 0; i < times; ++i) out.insert(who(ask(from, question)));
    return out;
  }

  static constexpr const char* both_ports =
      "clusterIP: 10.96.0.10\nclusterIPs: [10.96.0.10, 'fd00:96::a']\n"
      "ports: [{name: tcp, port: 80, protocol: TCP}, {name: udp, port: 80, protocol: UDP}]\n";

  std::unique_ptr<Namespace> a_, b_, c_, outside_;
  std::vector<std::unique_ptr<test::EchoServer>> servers_;
  bool bridged_ = true;
  NodeInfo node_;
  test::Cluster cluster_;
  std::unique_ptr<Ruleset> ruleset_;
  std::unique_ptr<Applier> applier_;
  bool loaded_ = false;
};

TEST_F(Packets, AClusterIpBalancesOverItsEndpoints) {
  put_service("web", both_ports, {"a", "b"});
  for (const char* address : {"10.96.0.10", "fd00:96::a"}) {
    for (bool udp : {false, true}) {
      SCOPED_TRACE(std::string(address) + (udp ? " udp" : " tcp"));
      const auto seen = answers(nullptr, {address, 80, udp}, 60);
      EXPECT_EQ(seen.count("a") + seen.count("b"), 60u);
      EXPECT_GT(seen.count("a"), 10u);
      EXPECT_GT(seen.count("b"), 10u);
    }
  }
}

TEST_F(Packets, APodIsSeenWithItsOwnAddress) {
  if (!bridged_) GTEST_SKIP() << "no br_netfilter";
  put_service("web", both_ports, {"a"});
  EXPECT_EQ(ask(c_.get(), {"10.96.0.10", 80}), "a from 10.244.0.4");
  EXPECT_EQ(ask(c_.get(), {"10.96.0.10", 80, true}), "a from 10.244.0.4");
  EXPECT_EQ(ask(c_.get(), {"fd00:96::a", 80}), "a from fd01::4");
}

TEST_F(Packets, OthersReachAClusterIpThroughTheNodesAddress) {
  put_service("web", both_ports, {"a"});
  EXPECT_EQ(ask(outside_.get(), {"10.96.0.10", 80}), "a from 10.244.0.1");
  EXPECT_EQ(ask(nullptr, {"10.96.0.10", 80}), "a from 10.244.0.1");
  EXPECT_EQ(ask(outside_.get(), {"fd00:96::a", 80}), "a from fd01::1");
}

TEST_F(Packets, APodReachesItselfThroughItsService) {
  put_service("web", both_ports, {"a"});
  for (bool udp : {false, true}) EXPECT_EQ(ask(a_.get(), {"10.96.0.10", 80, udp}), "a from 10.244.0.1");
  EXPECT_EQ(ask(a_.get(), {"fd00:96::a", 80}), "a from fd01::1");
}

TEST_F(Packets, AnEndpointMayBeAProcessOfTheNode) {
  servers_.push_back(std::make_unique<test::EchoServer>(nullptr, "node", 8080));
  put_service("web", both_ports, {"node"});
  for (bool udp : {false, true}) {
    EXPECT_EQ(ask(c_.get(), {"10.96.0.10", 80, udp}), "node from 10.244.0.4");
    EXPECT_EQ(who(ask(nullptr, {"10.96.0.10", 80, udp})), "node");
    EXPECT_EQ(who(ask(outside_.get(), {"10.96.0.10", 80, udp})), "node");
  }
  EXPECT_EQ(ask(c_.get(), {"fd00:96::a", 80}), "node from fd01::4");
}

TEST_F(Packets, NodePortsAnswerOnTheNodesAddresses) {
  put_service("web",
              std::string(both_ports) +
                  "type: NodePort\nexternalTrafficPolicy: Cluster\n"
                  "ports: [{name: tcp, port: 80, protocol: TCP, nodePort: 30080}, {name: udp, port: 80, protocol: UDP, nodePort: 30080}]\n",
              {"a", "b"});
  EXPECT_EQ(seen_as(ask(outside_.get(), {"192.0.2.1", 30080})), "10.244.0.1");
  EXPECT_EQ(seen_as(ask(outside_.get(), {"192.0.2.1", 30080, true})), "10.244.0.1");
  EXPECT_EQ(seen_as(ask(outside_.get(), {"fd00::1", 30080})), "fd01::1");
  EXPECT_EQ(seen_as(ask(nullptr, {"192.0.2.1", 30080})), "10.244.0.1");
  EXPECT_EQ(seen_as(ask(c_.get(), {"192.0.2.1", 30080})), "10.244.0.1");
  EXPECT_EQ(ask(outside_.get(), {"192.0.2.1", 30081}), "refused");
}

TEST_F(Packets, ExternalAndLoadBalancerAddresses) {
  put_service("web", std::string(both_ports) + "externalIPs: [198.51.100.7]\nexternalTrafficPolicy: Cluster\n", {"a"});
  EXPECT_EQ(ask(outside_.get(), {"198.51.100.7", 80}), "a from 10.244.0.1");
  EXPECT_EQ(ask(nullptr, {"198.51.100.7", 80}), "a from 10.244.0.1");
}

TEST_F(Packets, ExternalTrafficPolicyLocalKeepsTheClientsAddress) {
  const std::string spec = std::string(both_ports) +
                           "type: NodePort\nexternalIPs: [198.51.100.7]\nexternalTrafficPolicy: Local\n"
                           "ports: [{name: tcp, port: 80, protocol: TCP, nodePort: 30080}]\n";
  put_service("web", spec, {"a", "x"});
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ask(outside_.get(), {"192.0.2.1", 30080}), "a from 192.0.2.10") << "never the other node's endpoint";
    EXPECT_EQ(ask(outside_.get(), {"198.51.100.7", 80}), "a from 192.0.2.10");
  }
  put_service("web", spec, {"x"});
  EXPECT_EQ(ask(outside_.get(), {"192.0.2.1", 30080, false, 0, dropped}), "timeout") << "dropped: another node has endpoints";
  EXPECT_EQ(ask(outside_.get(), {"198.51.100.7", 80, false, 0, dropped}), "timeout");
  put_service("web", spec, {});
  EXPECT_EQ(ask(outside_.get(), {"192.0.2.1", 30080}), "refused") << "nobody anywhere";
}

TEST_F(Packets, PodsAndTheNodeUseAllEndpointsOfALocalService) {
  put_service("web",
              std::string(both_ports) +
                  "type: NodePort\nexternalTrafficPolicy: Local\n"
                  "ports: [{name: tcp, port: 80, protocol: TCP, nodePort: 30080}]\n",
              {"a:draining", "b"});
  EXPECT_EQ(who(ask(nullptr, {"192.0.2.1", 30080})), "b");
  EXPECT_EQ(who(ask(c_.get(), {"192.0.2.1", 30080})), "b");
  EXPECT_EQ(who(ask(outside_.get(), {"192.0.2.1", 30080})), "b");
}

TEST_F(Packets, InternalTrafficPolicyLocal) {
  const std::string spec = std::string(both_ports) + "internalTrafficPolicy: Local\n";
  put_service("web", spec, {"a", "x"});
  EXPECT_EQ(answers(nullptr, {"10.96.0.10", 80}, 10).count("a"), 10u);
  put_service("web", spec, {"x"});
  EXPECT_EQ(ask(nullptr, {"10.96.0.10", 80, false, 0, dropped}), "timeout");
}

TEST_F(Packets, RefusesServicesWithoutEndpointsAndUnknownPorts) {
  put_service("web", both_ports, {});
  for (const Namespace* from :
       {static_cast<const Namespace*>(nullptr), static_cast<const Namespace*>(outside_.get()), static_cast<const Namespace*>(c_.get())}) {
    EXPECT_EQ(ask(from, {"10.96.0.10", 80}), "refused");
    // A process of the node itself is refused by its own send().
    EXPECT_EQ(ask(from, {"10.96.0.10", 80, true}), from == nullptr ? "Operation not permitted" : "refused") << (from == c_.get());
    EXPECT_EQ(ask(from, {"10.96.0.10", 81}), "refused") << "the address is known, the port is not";
    EXPECT_EQ(ask(from, {"fd00:96::a", 80}), "refused");
  }
  put_service("web", both_ports, {"a"});
  EXPECT_EQ(who(ask(nullptr, {"10.96.0.10", 80})), "a");
  delete_service("web");
  EXPECT_NE(who(ask(nullptr, {"10.96.0.10", 80, false, 0, dropped})), "a");
}

TEST_F(Packets, DrainingEndpointsServeWhenNoneIsReady) {
  put_service("web", both_ports, {"a:draining", "b"});
  EXPECT_EQ(answers(nullptr, {"10.96.0.10", 80}, 10).count("b"), 10u);
  put_service("web", both_ports, {"a:draining"});
  EXPECT_EQ(who(ask(nullptr, {"10.96.0.10", 80})), "a");
}

TEST_F(Packets, AffinityKeepsAClientAtItsEndpointUntilItIsGone) {
  const std::string spec = std::string(both_ports) + "sessionAffinity: ClientIP\nsessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}\n";
  put_service("web", spec, {"a", "b"});
  for (const char* address : {"10.96.0.10", "fd00:96::a"}) {
    SCOPED_TRACE(address);
    for (const Namespace* from : {static_cast<const Namespace*>(nullptr), static_cast<const Namespace*>(outside_.get())}) {
      const std::string first = who(ask(from, {address, 80}));
      EXPECT_TRUE(first == "a" || first == "b") << first;
      EXPECT_EQ(answers(from, {address, 80}, 20).count(first), 20u);
    }
  }
  const std::string first = who(ask(nullptr, {"10.96.0.10", 80})), other = first == "a" ? "b" : "a";
  put_service("web", spec, {other.c_str()});
  EXPECT_EQ(answers(nullptr, {"10.96.0.10", 80}, 10).count(other), 10u) << "the remembered endpoint is gone";
  EXPECT_EQ(answers(nullptr, {"fd00:96::a", 80}, 10).count(other), 10u);
  put_service("web", spec, {"a", "b"});
  EXPECT_EQ(answers(nullptr, {"10.96.0.10", 80}, 10).count(other), 10u) << "and the new one is remembered";
}

TEST_F(Packets, AffinityEnds) {
  put_service("web", std::string(both_ports) + "sessionAffinity: ClientIP\nsessionAffinityConfig: {clientIP: {timeoutSeconds: 1}}\n",
              {"a", "b"});
  std::set<std::string> seen;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(25);
  // Each question comes after the one before has been forgotten; both endpoints show up sooner or later.
  while (seen.size() < 2 && std::chrono::steady_clock::now() < end) {
    seen.insert(who(ask(nullptr, {"10.96.0.10", 80})));
    std::this_thread::sleep_for(milliseconds(1100));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"a", "b"}));
}

TEST_F(Packets, SourceRangesFenceALoadBalancer) {
  Draft service = Draft(
      (*parse_yaml("kind: Service\nmetadata: {namespace: default, name: web}\nspec:\n  type: LoadBalancer\n  clusterIP: 10.96.0.10\n"
                   "  externalTrafficPolicy: Cluster\n  loadBalancerSourceRanges: [203.0.113.0/24]\n  ports: [{name: tcp, port: 80}]\n"
                   "status: {loadBalancer: {ingress: [{ip: 198.51.100.9}]}}\n"))[0]);
  cluster_.put(service.freeze());
  put_service("other", "clusterIP: 10.96.0.11\nports: [{name: tcp, port: 80}]\n", {"a"});
  Draft slice = Draft(cluster_.slices["default/other-4"]);
  slice["metadata"]["name"] = "web-4";
  slice["metadata"]["labels"]["kubernetes.io/service-name"] = "web";
  cluster_.update(cluster_.put(slice.freeze()), node_, *ruleset_);
  sync();
  EXPECT_EQ(ask(outside_.get(), {"198.51.100.9", 80, false, 0, dropped}), "timeout");
  EXPECT_EQ(who(ask(outside_.get(), {"10.96.0.10", 80})), "a") << "the fence is around the load balancer's address only";
  service["spec"]["loadBalancerSourceRanges"] = Draft::array({Draft("203.0.113.0/24"), Draft("192.0.2.10/32")});
  cluster_.update(cluster_.put(service.freeze()), node_, *ruleset_);
  sync();
  EXPECT_EQ(who(ask(outside_.get(), {"198.51.100.9", 80})), "a");
}

TEST_F(Packets, AUdpFlowMovesWhenItsEndpointIsGone) {
  put_service("web", both_ports, {"a"});
  const Question same_flow{"10.96.0.10", 80, true, 40000};
  EXPECT_EQ(who(ask(outside_.get(), same_flow)), "a");
  put_service("web", both_ports, {"b"});
  EXPECT_EQ(who(ask(outside_.get(), same_flow)), "b") << "the same source port: without forgetting, the flow would stay with a";
}

TEST_F(Packets, AFullLoadReplacesWhatIsThere) {
  put_service("web", both_ports, {"a"});
  // As a new process would: another ruleset, which knows nothing of what the kernel has.
  Ruleset fresh(node_);
  cluster_.erase("EndpointSlice", "default/web-4");
  put_service("web2", "clusterIP: 10.96.0.12\nports: [{name: tcp, port: 80}]\n", {"b"});
  cluster_.update("default/web2", node_, fresh);
  Result<void> done = applier_->apply(fresh.full(), fresh);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(who(ask(nullptr, {"10.96.0.12", 80})), "b");
  EXPECT_NE(who(ask(nullptr, {"10.96.0.10", 80, false, 0, dropped})), "a") << "a leftover";
  ASSERT_TRUE(applier_->remove_tables());
  EXPECT_FALSE(*applier_->tables_present());
}

}  // namespace
}  // namespace kybern::proxy
