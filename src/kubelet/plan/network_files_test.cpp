#include "kubelet/plan/network_files.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "document/json.h"

namespace kybern::kubelet {
namespace {

std::string shown(const ResolverConfig& r) { return join(r.servers, " ") + " | " + join(r.searches, " ") + " | " + join(r.options, " "); }

PodView pod_with(std::string_view spec) {
  auto pod = parse_json(R"({"metadata":{"name":"p","namespace":"shop","uid":"u"},"spec":)" + std::string(spec) + "}");
  EXPECT_TRUE(pod) << spec;
  return PodView::read(*pod);
}

// The names of the API's dnsPolicy, with and without the node's network, and what dnsConfig adds.
TEST(PodResolver, FollowsThePolicy) {
  const ResolverConfig node{{"192.0.2.53"}, {"example.com"}, {"timeout:1"}};
  const DnsFacts facts{{"10.96.0.10"}, "cluster.local", node};
  const std::string of_cluster = "10.96.0.10 | shop.svc.cluster.local svc.cluster.local cluster.local example.com | ndots:5";
  const std::string of_node = "192.0.2.53 | example.com | timeout:1";
  struct {
    std::string_view spec;
    std::string resolver;
  } const rows[] = {
      {R"({})", of_cluster},
      {R"({"dnsPolicy":"ClusterFirst"})", of_cluster},
      {R"({"dnsPolicy":"ClusterFirst","hostNetwork":true})", of_node},
      {R"({"dnsPolicy":"ClusterFirstWithHostNet","hostNetwork":true})", of_cluster},
      {R"({"dnsPolicy":"Default"})", of_node},
      {R"({"dnsPolicy":"None","dnsConfig":{"nameservers":["192.0.2.1"]}})", "192.0.2.1 |  | "},
      {R"({"dnsPolicy":"None","dnsConfig":{"nameservers":["192.0.2.1"],"searches":["a.example"],"options":[{"name":"ndots","value":"2"},{"name":"edns0"}]}})",
       "192.0.2.1 | a.example | ndots:2 edns0"},
      {R"({"dnsConfig":{"nameservers":["192.0.2.1","10.96.0.10"],"searches":["a.example","example.com"],"options":[{"name":"ndots","value":"2"}]}})",
       "10.96.0.10 192.0.2.1 | shop.svc.cluster.local svc.cluster.local cluster.local example.com a.example | ndots:2"},
  };
  for (const auto& row : rows) EXPECT_EQ(shown(pod_resolver(pod_with(row.spec), facts)), row.resolver) << row.spec;
  EXPECT_EQ(shown(pod_resolver(pod_with("{}"), {{}, "cluster.local", node})), of_node);  // a cluster without DNS
}

TEST(PodResolver, KeepsThreeServers) {
  bool cut = false;
  const DnsFacts facts{{"10.96.0.10"}, "cluster.local", {}};
  auto r = pod_resolver(pod_with(R"({"dnsConfig":{"nameservers":["192.0.2.1","192.0.2.2","192.0.2.3"]}})"), facts, &cut);
  EXPECT_EQ(join(r.servers, " "), "10.96.0.10 192.0.2.1 192.0.2.2");
  EXPECT_TRUE(cut);
  (void)pod_resolver(pod_with("{}"), facts, &cut);
  EXPECT_FALSE(cut);
}

TEST(PodResolver, ReadsTheNodesFile) {
  EXPECT_EQ(
      shown(parse_resolv_conf("# of the node\nnameserver 192.0.2.53 ; first\nsearch a.example .\nsearch b.example c.example\nnameserver "
                              "192.0.2.54\noptions ndots:1 rotate\n")),
      "192.0.2.53 192.0.2.54 | b.example c.example | ndots:1 rotate");
}

}  // namespace
}  // namespace kybern::kubelet
