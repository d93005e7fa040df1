// All pods of a node together, without a runtime or with one that has nothing: what is taken, what waits, what goes.
#include "kubelet/run/pods.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>

#include "base/strings.h"
#include "base/testing/eventually.h"
#include "document/json.h"
#include "kubelet/files.h"
#include "kubelet/testing/http2_frames.h"
#include "kubelet/testing/memory_api.h"
#include "net/client/raw_server.h"

namespace kybern::kubelet {
namespace {

// A runtime that holds nothing: every call succeeds with an empty answer.
void serve_nothing(net::RawPeer& peer) {
  namespace t = testing;
  if (peer.read_exactly(24) != "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" || !peer.write(t::frame(t::frame_settings, 0, 0, ""))) return;
  for (std::string head = peer.read_exactly(9); head.size() == 9; head = peer.read_exactly(9)) {
    auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(head[i])); };
    std::string payload = peer.read_exactly(byte(0) << 16 | byte(1) << 8 | byte(2));
    std::uint32_t stream = byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
    if (head[3] == t::frame_settings && !(head[4] & t::ack)) peer.write(t::frame(t::frame_settings, t::ack, 0, ""));
    if (head[3] == t::frame_ping && !(head[4] & t::ack)) peer.write(t::frame(t::frame_ping, t::ack, 0, payload));
    if ((head[3] != t::frame_data && head[3] != t::frame_headers) || !(head[4] & t::end_stream)) continue;
    peer.write(t::frame(t::frame_headers, t::end_headers, stream, "\x88" + t::literal("content-type", "application/grpc")) +
               t::frame(t::frame_data, 0, stream, std::string(5, '\0')) +
               t::frame(t::frame_headers, t::end_headers | t::end_stream, stream, t::literal("grpc-status", "0")));
  }
}

struct BrokenApi : testing::MemoryApi {
  ApiResult<Document> call(client::Call call) override {
    if (!down) return MemoryApi::call(std::move(call));
    ++refused;
    return fail(service_unavailable("the server is down"));
  }
  std::atomic<bool> down = false;
  std::atomic<int> refused = 0;
};

class PodsTest : public ::testing::Test {
 protected:
  PodsTest() {
    tools.node_name = "n";
    tools.log_root = folder + "/logs";
    tools.node_allocatable = {{"cpu", *Quantity::parse("2")}, {"pods", *Quantity::parse("110")}};
    pods = std::make_shared<Pods>(tools);
    api.put("/api/v1/nodes", R"({"metadata":{"name":"n"}})");
  }
  ~PodsTest() override {
    pods->stop();
    tasks.stop();
    (void)remove_tree(folder);
  }

  static std::string new_folder() {
    char name[] = "/tmp/kybern-pods-XXXXXX";
    return ::mkdtemp(name);
  }
  static Document parse(const std::string& json) { return *parse_json(json); }
  static Document pod(const std::string& name, const std::string& status, const std::string& cpu = "2") {
    return parse(fmt::format(R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{0}","namespace":"default","uid":"uid-{0}"}},
        "spec":{{"containers":[{{"name":"c","image":"i","resources":{{"requests":{{"cpu":"{2}"}}}}}}]}},"status":{1}}})",
                             name, status, cpu));
  }
  static Document static_pod(const std::string& uid) {
    return parse(fmt::format(R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"fixed-n","namespace":"default","uid":"{0}",
        "annotations":{{"kubernetes.io/config.source":"file","kubernetes.io/config.hash":"{0}"}}}},
        "spec":{{"nodeName":"n","containers":[{{"name":"c","image":"i"}}]}}}})",
                             uid));
  }
  bool refused(const std::string& name) {
    events.flush();
    for (const std::string& event : api.events_of(name)) {
      if (event.find("OutOfcpu") != std::string::npos) return true;
    }
    return false;
  }
  // Runs, and is not about to end.
  bool lives(const std::string& uid) {
    auto worker = pods->find_uid(uid);
    return worker && !worker->is_stopping();
  }
  Document mirror() { return api.get("/api/v1/namespaces/default/pods/fixed-n"); }

  std::string folder = new_folder();
  std::atomic<bool> up = false;  // the runtime
  net::RawServer server{[this](net::RawPeer& peer) {
    if (up) serve_nothing(peer);
  }};
  World world = real_world();
  BrokenApi api;
  std::unique_ptr<Cri> cri = *Cri::connect(server.url());
  client::EventRecorder events{api, world, "kubelet", "n"};
  // A path longer than any can be: nothing is made on this machine, and no pod gets as far as a sandbox.
  std::unique_ptr<Cgroups> cgroups = *Cgroups::open("/" + std::string(5000, 'x'));
  Volumes volumes{folder, world};
  Images images{*cri, world, events, {}};
  Tasks tasks{world, 8};
  Probers probers{*cri, world, tasks, events};
  ObjectCache objects{api, [](const std::string&) {}};
  Tokens tokens{api, world};
  client::MirrorCore services{api, "/api/v1/services"};
  Tools tools{world, api,      *cri, events, *cgroups, volumes, images, probers, objects, tokens,
              tasks, services, {},   {},     {},       {},      0,      {},      -1,      {}};
  std::shared_ptr<Pods> pods;
};

TEST_F(PodsTest, PodsThatAreOverTakeNoRoom) {
  pods->api_changed({}, pod("done", R"({"phase":"Succeeded","startTime":"2026-01-01T00:00:00Z"})"));
  pods->api_changed({}, pod("next", "{}"));
  EXPECT_FALSE(refused("next"));
  pods->api_changed({}, pod("third", "{}"));
  EXPECT_TRUE(refused("third"));
}

TEST_F(PodsTest, OnePodHasAHostPort) {
  auto with_port = [&](const std::string& name, const std::string& port) {
    Draft draft(pod(name, "{}", "0"));
    draft["spec"]["containers"].items()[0]["ports"] = Draft::array({Draft(parse(port))});
    return draft.freeze();
  };
  auto outcome = [&](const std::string& name) {
    events.flush();
    return join(api.events_of(name), "\n");
  };
  const std::string refusal =
      "Warning NodePorts: Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
  pods->api_changed({}, with_port("first", R"({"containerPort":80,"hostPort":8080,"hostIP":"10.0.0.1"})"));
  pods->api_changed({}, with_port("udp", R"({"containerPort":80,"hostPort":8080,"protocol":"UDP"})"));
  pods->api_changed({}, with_port("beside", R"({"containerPort":80,"hostPort":8080,"hostIP":"10.0.0.2"})"));
  pods->api_changed({}, with_port("all", R"({"containerPort":80,"hostPort":8080})"));
  EXPECT_EQ(outcome("first") + outcome("udp") + outcome("beside"), "");
  EXPECT_EQ(outcome("all"), refusal);
}

TEST_F(PodsTest, AStaticPodComesAgainWhenItsFileDoes) {
  pods->set_static({static_pod("v1")});
  pods->set_static({});
  pods->set_static({static_pod("v1")});  // while the first one still ends: there is no runtime yet
  EXPECT_EQ(pods->size(), 1u);
  auto first = pods->find_uid("v1");
  up = true;
  EXPECT_TRUE(eventually([&] { return pods->find_uid("v1") != first && lives("v1"); }, "the pod's second life"));
  EXPECT_TRUE(eventually([&] { return bool(mirror()); }, "its mirror"));
}

TEST_F(PodsTest, OfTwoFilesWithOneStaticPodOneCounts) {
  pods->set_static({static_pod("v1"), static_pod("v2")});
  EXPECT_EQ(pods->size(), 1u);
  EXPECT_NE(pods->find_uid("v2"), nullptr);
}

TEST_F(PodsTest, AStaticPodWaitsForTheEndOfTheOneBefore) {
  pods->set_static({static_pod("v1")});
  pods->set_static({static_pod("v2")});
  EXPECT_EQ(pods->size(), 1u);
  EXPECT_EQ(pods->find_uid("v2"), nullptr);
  up = true;
  EXPECT_TRUE(eventually([&] { return lives("v2") && pods->size() == 1; }, "the second version alone"));
}

// The list of the API is known before each of its pods has come to its worker.
TEST_F(PodsTest, PodsThatTheApiHasAreNoOrphans) {
  for (const char* uid : {"known", "unknown"}) ASSERT_TRUE(make_dirs(volumes.pod_folder(uid) + "/volumes").has_value());
  pods->adopt_orphans({"known"});
  EXPECT_EQ(volumes.pods_on_disk(), std::vector<std::string>{"known"});
}

TEST_F(PodsTest, AMirrorThatIsRefusedOrNotDeletedIsTriedAgain) {
  up = true;
  api.down = true;
  pods->set_static({static_pod("v1")});
  ASSERT_TRUE(eventually([&] { return api.refused > 0; }, "a first try"));
  api.down = false;
  ASSERT_TRUE(eventually([&] { return bool(mirror()); }, "the mirror"));
  pods->api_changed({}, mirror());
  api.down = true;
  int before = api.refused;
  pods->set_static({});
  ASSERT_TRUE(eventually([&] { return api.refused > before && pods->size() == 0; }, "a try to delete it"));
  api.down = false;
  EXPECT_TRUE(eventually([&] { return !mirror(); }, "the mirror's end"));
}

}  // namespace
}  // namespace kybern::kubelet
