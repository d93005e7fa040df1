#include "controllers/namespace/run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "client/test_support.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::namespaces {
namespace {

using namespace testing_objects;

// A ConfigMap with a finalizer is all that is left. When that goes, nobody tells.
TEST(NamespaceRun, LooksOftenAtWhatAFinalizerHolds) {
  client::testing_support::StepWorld world;
  client::testing_support::FeedTransport transport;
  std::vector<Instant> looks;
  bool held = true, finalized = false;
  transport.answer = [&](const client::Call& call) -> ApiResult<Document> {
    if (call.path == "/apis") return json(R"({"groups":[]})");
    if (call.path == "/api/v1")
      return json(
          R"({"resources":[{"name":"configmaps","kind":"ConfigMap","namespaced":true,"verbs":["list","delete","deletecollection"]}]})");
    if (call.path.ends_with("/finalize")) finalized = true;
    if (call.method != "GET") return call.body;
    if (looks.empty() || looks.back() != world.steady()) looks.push_back(world.steady());
    return json(held ? R"({"items":[{"metadata":{"name":"held","finalizers":["example.com/hold"]}}]})" : R"({"items":[]})");
  };
  Mirrors mirrors(transport);
  const std::unique_ptr<Controller> controller = make_controller({transport, world.world(), mirrors});
  mirrors.start();
  Draft ns = object("v1", "Namespace", "", "team");
  ns["metadata"]["deletionTimestamp"] = format_rfc3339(at(0));
  ns["spec"]["finalizers"].push_back("kubernetes");
  transport.listeners.at("/api/v1/namespaces").replaced({ns.freeze()});
  controller->start();
  world.advance(std::chrono::minutes(10));
  ASSERT_GT(looks.size(), 2u);
  Duration longest{};
  for (std::size_t i = 1; i < looks.size(); ++i) longest = std::max<Duration>(longest, looks[i] - looks[i - 1]);
  EXPECT_EQ(longest, std::chrono::seconds(8));
  EXPECT_FALSE(finalized);
  held = false;
  world.advance(std::chrono::seconds(9));
  EXPECT_TRUE(finalized);
  controller->stop();
  mirrors.stop();
}

}  // namespace
}  // namespace kybern::controllers::namespaces
