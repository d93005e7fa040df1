#include "controllers/endpointslicemirroring/reconcile.h"

#include <gtest/gtest.h>

#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::endpointslicemirroring {
namespace {

using namespace testing_objects;

Document service(const char* spec = "{}") {
  Draft out = object("v1", "Service", "d", "web");
  out["spec"] = Draft(json(spec));
  return out.freeze();
}
Document endpoints(const char* subsets) {
  Draft out = object("v1", "Endpoints", "d", "web");
  out["metadata"]["labels"] = Draft::object({{"team", "a"}});
  out["metadata"]["annotations"] = Draft::object({{"note", "n"}});
  out["subsets"] = Draft(json(subsets));
  return out.freeze();
}
constexpr const char* two =
    R"([{"addresses":[{"ip":"10.0.0.9","nodeName":"n"}],"notReadyAddresses":[{"ip":"fd00::9"}],"ports":[{"name":"http","port":80,"protocol":"TCP"}]}])";

TEST(EndpointSliceMirroring, OneSliceForEachFamily) {
  const Plan plan = reconcile({endpoints(two), service(), {}});
  ASSERT_EQ(plan.actions.size(), 2u);
  EXPECT_EQ(
      to_json(plan.actions[0].body.root()),
      R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"generateName":"web-","namespace":"d",)"
      R"("ownerReferences":[{"apiVersion":"v1","kind":"Endpoints","name":"web","uid":"uid-web","controller":true,"blockOwnerDeletion":true}],)"
      R"("labels":{"team":"a","kubernetes.io/service-name":"web","endpointslice.kubernetes.io/managed-by":"endpointslicemirroring-controller.k8s.io"},"annotations":{"note":"n"}},)"
      R"("addressType":"IPv4","endpoints":[{"addresses":["10.0.0.9"],"conditions":{"ready":true},"nodeName":"n"}],"ports":[{"name":"http","protocol":"TCP","port":80}]})");
  EXPECT_EQ(plan.actions[1].body["addressType"].as_string(), "IPv6");
  EXPECT_FALSE(plan.actions[1].body["endpoints"][0]["conditions"]["ready"].as_bool(true));
  const auto named = [](const Action& action, const char* name) {
    Draft out(action.body);
    out["metadata"]["name"] = name;
    out["metadata"]["uid"] = name;
    return out.freeze();
  };
  const std::vector<Document> slices = {named(plan.actions[0], "s4"), named(plan.actions[1], "s6")};
  EXPECT_EQ(describe(reconcile({endpoints(two), service(), slices})), "");
  EXPECT_EQ(describe(reconcile({endpoints(R"([{"addresses":[{"ip":"10.0.0.9"},{"ip":"10.0.0.8"}],"ports":[{"name":"http","port":80}]}])"),
                                service(), slices})),
            "replace endpointslices d/s4; delete endpointslices d/s6");
  for (const Document& gone : {Document(), endpoints("[]")})
    EXPECT_EQ(describe(reconcile({gone, service(), slices})), "delete endpointslices d/s4; delete endpointslices d/s6");
  EXPECT_EQ(describe(reconcile({endpoints(two), {}, slices})), "delete endpointslices d/s4; delete endpointslices d/s6");
}

TEST(EndpointSliceMirroring, WhatIsNotMirrored) {
  EXPECT_EQ(describe(reconcile({endpoints(two), service(R"({"selector":{"a":"b"}})"), {}})), "");
  Draft skipped(endpoints(two));
  skipped["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] = "true";
  EXPECT_EQ(describe(reconcile({skipped.freeze(), service(), {}})), "");
}

}  // namespace
}  // namespace kybern::controllers::endpointslicemirroring
