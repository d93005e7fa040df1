// Which probes a kubelet that begins anew makes of containers that run already.
#include "kubelet/probes/probers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>

#include "base/testing/eventually.h"
#include "client/events.h"
#include "document/json.h"
#include "kubelet/run/tasks.h"
#include "kubelet/runtime/cri.h"
#include "kubelet/testing/memory_api.h"

namespace kybern::kubelet {
namespace {

// Nothing listens where these probes look.
PodView pod_with_probes(bool started) {
  return PodView::read(*parse_json(fmt::format(
      R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p","namespace":"ns","uid":"u"}},"spec":{{"containers":[{{"name":"a","image":"i",
          "startupProbe":{{"tcpSocket":{{"port":1}},"failureThreshold":1}},"livenessProbe":{{"tcpSocket":{{"port":1}},"failureThreshold":1}}}}]}},
          "status":{{"containerStatuses":[{{"name":"a","containerID":"containerd://id","started":{}}}]}}}})",
      started)));
}

TEST(Probers, WhatWasStartedIsNotAskedAgainWhetherItIs) {
  World world = real_world();
  testing::MemoryApi api;
  auto cri = *Cri::connect("unix:///nowhere/kybern.sock");
  client::EventRecorder events(api, world, "kubelet", "n");
  Tasks tasks(world, 4);
  RuntimeState runtime;
  runtime.containers.emplace_back();
  runtime.containers[0].id = "id";
  runtime.containers[0].name = "a";
  runtime.containers[0].state = ContainerState::running;
  for (bool started : {true, false}) {
    Probers probers(*cri, world, tasks, events);
    std::atomic<int> changes = 0;
    PodView pod = pod_with_probes(started);
    auto results = [&] { return probers.follow(pod, runtime, "127.0.0.1", false, [&] { ++changes; }); };
    results();
    EXPECT_TRUE(eventually([&] { return changes > 0; }, "a verdict"));
    EXPECT_EQ(results().liveness.contains("id"), started);
    EXPECT_EQ(results().startup.contains("id"), !started);
  }
  tasks.stop();
}

}  // namespace
}  // namespace kybern::kubelet
