#include <gtest/gtest.h>

#include <map>
#include <string>

#include "apiserver/testing/live_server.h"

namespace kybern::apiserver {
namespace {

// What Services hold is theirs over a restart of the server, and free when they are gone: nothing twice, nothing for ever.
TEST(Services, KeepWhatTheyHoldOverARestart) {
  testing::LiveServer live;
  ASSERT_TRUE(live.start());
  const std::string services = "/api/v1/namespaces/default/services";
  const auto body = [](const std::string& name, const std::string& spec) {
    return R"({"apiVersion":"v1","kind":"Service","metadata":{"name":")" + name + R"("},"spec":{"type":"NodePort",)" + spec + "}}";
  };
  const std::string ports = R"("ports":[{"port":80}])";
  std::map<std::string, std::string> ips;  // by what holds them
  std::map<std::int64_t, std::string> node_ports;
  const auto make = [&](const std::string& name) {
    Document made = live.must("POST", services, body(name, ports));
    const std::string ip = made["spec"]["clusterIP"].str();
    EXPECT_TRUE(ips.emplace(ip, name).second) << ip << " of " << ips[ip] << " and " << name;
    const std::int64_t port = made["spec"]["ports"][0]["nodePort"].as_int();
    EXPECT_TRUE(node_ports.emplace(port, name).second) << port << " of " << node_ports[port] << " and " << name;
  };
  for (int i = 0; i < 40; ++i) make("before-" + std::to_string(i));
  const auto [ip, holder] = *ips.begin();
  const std::string port = std::to_string(live.must("GET", services + "/" + holder)["spec"]["ports"][0]["nodePort"].as_int());
  const std::string its_ip = R"("clusterIP":")" + ip + R"(",)", its_port = R"("ports":[{"port":80,"nodePort":)" + port + "}]";

  for (int restart = 0; restart < 2; ++restart) {
    EXPECT_EQ(live.refused("POST", services, body("x", its_ip + ports)),
              "422 Service \"x\" is invalid: spec.clusterIPs: Invalid value: [\"" + ip + "\"]: failed to allocate IP " + ip +
                  ": provided IP is already allocated");
    EXPECT_EQ(live.refused("POST", services, body("x", its_port)),
              "422 Service \"x\" is invalid: spec.ports[0].nodePort: Invalid value: " + port + ": provided port is already allocated");
    ASSERT_TRUE(live.start());
  }
  for (int i = 0; i < 40; ++i) make("after-" + std::to_string(i));
  // What goes is free: at once, and after the next start.
  for (int round = 0; round < 2; ++round) {
    live.must("DELETE", services + "/" + (round == 0 ? holder : "again-0"));
    if (round == 1) { ASSERT_TRUE(live.start()); }
    live.must("POST", services, body("again-" + std::to_string(round), its_ip + its_port));
  }
}

}  // namespace
}  // namespace kybern::apiserver
