#include "client/events.h"

#include <gtest/gtest.h>

#include "client/test_support.h"

namespace kybern::client {
namespace {

using testing_support::FeedTransport;
using testing_support::StepWorld;

Document pod(std::string_view name) {
  return Draft::object({{"kind", "Pod"},
                        {"apiVersion", "v1"},
                        {"metadata", Draft::object({{"namespace", "d"}, {"name", name}, {"uid", "u"}, {"resourceVersion", "7"}})}})
      .freeze();
}

struct Recording {
  StepWorld world;
  FeedTransport transport;
  EventRecorder recorder{transport, world.world(), "kubelet", "n1"};
};

TEST(EventRecorder, TheFirstIsCreatedTheNextRaisesItsCount) {
  Recording r;
  r.recorder.normal(pod("web"), "Pulled", "Image is there");
  r.world.run_ready();
  ASSERT_EQ(r.transport.calls.size(), 1u);
  const Call& create = r.transport.calls[0];
  EXPECT_EQ(create.method, "POST");
  EXPECT_EQ(create.path, "/api/v1/namespaces/d/events");
  const Value body = create.body;
  EXPECT_EQ(body["metadata"]["name"].as_string(), "web.17979cfe362a0000");
  EXPECT_EQ(body["involvedObject"]["kind"].as_string(), "Pod");
  EXPECT_EQ(body["involvedObject"]["resourceVersion"].as_string(), "7");
  EXPECT_EQ(body["source"]["component"].as_string(), "kubelet");
  EXPECT_EQ(body["source"]["host"].as_string(), "n1");
  EXPECT_EQ(body["reportingComponent"].as_string(), "kubelet");
  EXPECT_EQ(body["reportingInstance"].as_string(), "n1");
  EXPECT_EQ(body["count"].as_int(), 1);
  EXPECT_EQ(body["firstTimestamp"].as_string(), "2023-11-14T22:13:20Z");
  EXPECT_EQ(body["type"].as_string(), "Normal");

  r.world.advance(std::chrono::seconds(5));
  r.recorder.normal(pod("web"), "Pulled", "Image is there");
  r.world.run_ready();
  ASSERT_EQ(r.transport.calls.size(), 2u);
  const Call& patch = r.transport.calls[1];
  EXPECT_EQ(patch.method, "PATCH");
  EXPECT_EQ(patch.path, "/api/v1/namespaces/d/events/web.17979cfe362a0000");
  EXPECT_EQ(patch.body["count"].as_int(), 2);
  EXPECT_EQ(patch.body["lastTimestamp"].as_string(), "2023-11-14T22:13:25Z");
}

TEST(EventRecorder, AnExpiredEventIsMadeAnew) {
  Recording r;
  r.recorder.normal(pod("web"), "Pulled", "x");
  r.world.run_ready();
  r.transport.answer = [](const Call& call) -> ApiResult<Document> {
    if (call.method == "PATCH") return fail(not_found("", "events", "web"));
    return Document();
  };
  r.recorder.normal(pod("web"), "Pulled", "x");
  r.world.run_ready();
  ASSERT_EQ(r.transport.calls.size(), 3u);
  EXPECT_EQ(r.transport.calls[2].method, "POST");
  EXPECT_EQ(r.transport.calls[2].body["count"].as_int(), 2);
}

TEST(EventRecorder, ManyDifferentMessagesAreCombined) {
  Recording r;
  for (int i = 0; i < 12; ++i) r.recorder.warning(pod("web"), "Failed", "message " + std::to_string(i));
  r.world.run_ready();
  ASSERT_EQ(r.transport.calls.size(), 12u);
  EXPECT_EQ(r.transport.calls[8].body["message"].as_string(), "message 8");
  EXPECT_EQ(r.transport.calls[9].body["message"].as_string(), "(combined from similar events): message 9");
  EXPECT_EQ(r.transport.calls[10].method, "PATCH");
  EXPECT_EQ(r.transport.calls[10].body["message"].as_string(), "(combined from similar events): message 10");
  EXPECT_EQ(r.transport.calls[11].body["count"].as_int(), 3);
}

TEST(EventRecorder, SpamAboutOneObjectIsDropped) {
  Recording r;
  for (int i = 0; i < 40; ++i) r.recorder.normal(pod("web"), "Same", "x");
  r.recorder.normal(pod("other"), "Same", "x");
  r.world.run_ready();
  EXPECT_EQ(r.transport.calls.size(), 26u);
  r.world.advance(std::chrono::seconds(301));
  r.recorder.normal(pod("web"), "Same", "x");
  r.recorder.normal(pod("web"), "Same", "x");
  r.world.run_ready();
  EXPECT_EQ(r.transport.calls.size(), 27u);
}

TEST(EventRecorder, WaitsForAnAbsentServerAndKeepsTheOrder) {
  Recording r;
  bool up = false;
  r.transport.answer = [&](const Call&) -> ApiResult<Document> {
    if (!up) return fail(service_unavailable("down"));
    return Document();
  };
  r.recorder.normal(pod("web"), "One", "1");
  r.recorder.normal(pod("web"), "Two", "2");
  r.world.advance(std::chrono::seconds(25));
  EXPECT_EQ(r.transport.calls.size(), 3u);
  up = true;
  r.world.advance(std::chrono::seconds(10));
  ASSERT_EQ(r.transport.calls.size(), 5u);
  EXPECT_EQ(r.transport.calls[3].body["reason"].as_string(), "One");
  EXPECT_EQ(r.transport.calls[4].body["reason"].as_string(), "Two");
}

TEST(EventRecorder, ClusterScopedObjectsAreAboutInDefault) {
  Recording r;
  r.recorder.normal(Draft::object({{"kind", "Node"}, {"metadata", Draft::object({{"name", "n"}})}}).freeze(), "Ready", "x");
  r.world.run_ready();
  EXPECT_EQ(r.transport.calls.at(0).path, "/api/v1/namespaces/default/events");
  EXPECT_FALSE(r.transport.calls.at(0).body["involvedObject"]["namespace"].exists());
}

}  // namespace
}  // namespace kybern::client
