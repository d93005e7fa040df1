#include "controllers/resourcequota/reconcile.h"

#include <gtest/gtest.h>

#include "document/json.h"

namespace kybern::controllers::resourcequota {
namespace {

Document json(const char* text) {
  auto out = parse_json(text);
  EXPECT_TRUE(out) << text;
  return out ? *out : Document();
}

std::vector<std::string> names(const std::vector<Counted>& counted) {
  std::vector<std::string> out;
  for (const Counted& c : counted) out.push_back(c.plural + "." + c.group);
  return out;
}

TEST(ResourceQuota, LooksAtWhatItCounts) {
  auto quota = [](const char* name) { return Draft::object({{"spec", Draft::object({{"hard", Draft::object({{name, "1"}})}})}}).freeze(); };
  EXPECT_EQ(names(counted_by(quota("pods"))), std::vector<std::string>{"pods."});
  EXPECT_EQ(names(counted_by(quota("limits.cpu"))), std::vector<std::string>{"pods."});
  EXPECT_EQ(names(counted_by(quota("services.nodeports"))), std::vector<std::string>{"services."});
  EXPECT_EQ(names(counted_by(quota("gold.storageclass.storage.k8s.io/requests.storage"))),
            std::vector<std::string>{"persistentvolumeclaims."});
  EXPECT_EQ(names(counted_by(quota("count/deployments.apps"))), std::vector<std::string>{"deployments.apps"});
  EXPECT_EQ(names(counted_by(quota("count/horizontalpodautoscalers.autoscaling"))),
            std::vector<std::string>{"horizontalpodautoscalers.autoscaling"});
  EXPECT_EQ(names(counted_by(quota("secrets"))), std::vector<std::string>{"secrets."});
}

TEST(ResourceQuota, CountsPodsThatAreNotDone) {
  Document quota = json(
      R"({"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q","namespace":"d","resourceVersion":"7"},"spec":{"hard":{"pods":"5","requests.cpu":"2","secrets":"3"}}})");
  Counted pods{"",
               "v1",
               "pods",
               {json(R"({"spec":{"containers":[{"resources":{"requests":{"cpu":"500m"}}}]}})"),
                json(R"({"spec":{"containers":[{"resources":{"requests":{"cpu":"1"}}}]}})"),
                json(R"({"spec":{"containers":[{"resources":{"requests":{"cpu":"1"}}}]},"status":{"phase":"Succeeded"}})")}};
  Plan plan = reconcile(quota, {pods});
  ASSERT_TRUE(plan.status);
  EXPECT_EQ(to_json(plan.status->body["status"]),
            R"({"hard":{"pods":"5","requests.cpu":"2","secrets":"3"},"used":{"pods":"2","requests.cpu":"1500m","secrets":"0"}})");
  EXPECT_EQ(plan.status->subresource, "status");
  EXPECT_EQ(plan.wake_after, resync);
  // What is written once is not written again.
  Plan again = reconcile(plan.status->body, {pods, {"", "v1", "secrets", {}}});
  EXPECT_FALSE(again.status);
  EXPECT_EQ(again.wake_after, resync);
}

TEST(ResourceQuota, AnEmptyQuotaHasAnEmptyStatus) {
  Plan plan = reconcile(json(R"({"metadata":{"name":"q","namespace":"d"},"spec":{}})"), {});
  EXPECT_FALSE(plan.status);
}

TEST(ResourceQuota, ScopesChooseThePods) {
  Document quota = json(
      R"({"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q","namespace":"d"},"spec":{"hard":{"pods":"5"},"scopes":["Terminating"]}})");
  Counted pods{"", "v1", "pods", {json(R"({"spec":{"activeDeadlineSeconds":5}})"), json(R"({"spec":{}})")}};
  EXPECT_EQ(reconcile(quota, {pods}).status->body["status"]["used"]["pods"].as_string(), "1");
}

TEST(ResourceQuota, CountedAgainOnlyWhenItSaysSomethingElse) {
  Document stored = json(R"({"spec":{"hard":{"pods":"5"}},"status":{"hard":{"pods":"5"},"used":{"pods":"1"}}})");
  Document charged = json(R"({"spec":{"hard":{"pods":"5"}},"status":{"hard":{"pods":"5"},"used":{"pods":"2"}}})");
  Document larger = json(R"({"spec":{"hard":{"pods":"6"}},"status":{"hard":{"pods":"5"},"used":{"pods":"2"}}})");
  EXPECT_FALSE(changed(stored, charged));
  EXPECT_TRUE(changed(charged, larger));
}

}  // namespace
}  // namespace kybern::controllers::resourcequota
