#include "controllers/legacytokens/reconcile.h"

#include <gtest/gtest.h>

#include "base/time.h"
#include "controllers/test_objects.h"
#include "document/json.h"

namespace kybern::controllers::legacytokens {
namespace {

using testing_objects::object;

const Time noon = *parse_rfc3339("2026-06-15T12:00:00Z");
constexpr Duration thirty_days = std::chrono::hours(24 * 30);  // unused before 2026-05-16

struct Case {
  const char* what;
  std::string used = "", invalid = "";        // the labels; "" for none
  std::string made = "2026-01-01T00:00:00Z";  // when
  std::string since = "2026-01-01";           // when tracking began; "" for no ConfigMap
  std::string listed = "token", uid = "";     // the account's Secret, and the uid that the Secret names
  std::string mounted = "";                   // by a pod
  std::string expected = "nothing";
};

std::string planned(const Case& c) {
  Draft secret = object("v1", "Secret", "d", "token");
  secret["type"] = "kubernetes.io/service-account-token";
  secret["metadata"]["creationTimestamp"] = c.made;
  secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] = "robot";
  if (!c.uid.empty()) secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"] = c.uid;
  if (!c.used.empty()) secret["metadata"]["labels"][last_used_label] = c.used;
  if (!c.invalid.empty()) secret["metadata"]["labels"][invalid_since_label] = c.invalid;
  Draft account = object("v1", "ServiceAccount", "d", "robot");
  account["secrets"] = Draft::array({Draft::object({{"name", c.listed}})});
  Draft pod = object("v1", "Pod", "d", "pod");
  pod["spec"]["volumes"] = Draft::array({Draft::object({{"name", "v"}, {"secret", Draft::object({{"secretName", c.mounted}})}})});
  Draft map = object("v1", "ConfigMap", "kube-system", tracking_map);
  map["data"]["since"] = c.since;
  Seen seen;
  if (!c.since.empty()) seen.tracking = map.freeze();
  seen.secrets = {secret.freeze()};
  seen.account = [&](std::string_view ns, std::string_view name) { return ns == "d" && name == "robot" ? account.freeze() : Document(); };
  seen.pods = [&] { return std::vector<Document>{pod.freeze()}; };
  const Plan plan = reconcile(seen, noon, thirty_days);
  return plan.actions.empty() ? "nothing" : plan.actions[0].verb == Action::Verb::erase ? "removed" : "marked";
}

TEST(LegacyTokens, WhatNobodyUsesIsMarkedAndThenRemoved) {
  const Case cases[] = {
      {.what = "never used", .expected = "marked"},
      {.what = "used long ago", .used = "2026-05-15", .expected = "marked"},
      {.what = "used on the last day that counts", .used = "2026-05-16"},
      {.what = "a use that is no day", .used = "lately"},
      {.what = "marked not long ago", .invalid = "2026-05-16"},
      {.what = "marked long ago", .invalid = "2026-05-15", .expected = "removed"},
      {.what = "marked with what is no day", .invalid = "yes", .expected = "marked"},
      {.what = "marked long ago and used since", .used = "2026-06-01", .invalid = "2026-03-01"},
      {.what = "new", .made = "2026-06-01T00:00:00Z"},
      {.what = "made by hand", .listed = "another"},
      {.what = "of another account of that name", .uid = "other"},
      {.what = "of this one", .uid = "uid-robot", .expected = "marked"},
      {.what = "mounted", .mounted = "token"},
      {.what = "nobody knows since when uses are noted", .since = ""},
      {.what = "for not long enough", .since = "2026-05-16"},
      {.what = "for just long enough", .since = "2026-05-14", .expected = "marked"},
      {.what = "since what is no day", .since = "x"},
  };
  for (const Case& c : cases) EXPECT_EQ(planned(c), c.expected) << c.what;
}

TEST(LegacyTokens, ActionsTouchOnlyWhatWasSeen) {
  Draft secret = object("v1", "Secret", "d", "token");
  secret["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z";
  secret["metadata"]["resourceVersion"] = "7";
  secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] = "robot";
  Draft account = object("v1", "ServiceAccount", "d", "robot");
  account["secrets"] = Draft::array({Draft::object({{"name", "token"}})});
  Draft map = object("v1", "ConfigMap", "kube-system", tracking_map);
  map["data"]["since"] = "2026-01-01";
  Seen seen{map.freeze(),
            {secret.freeze()},
            [&](std::string_view, std::string_view) { return account.freeze(); },
            [] { return std::vector<Document>(); }};
  Plan plan = reconcile(seen, noon, thirty_days);
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(to_json(plan.actions[0].body.root()),
            R"({"metadata":{"uid":"uid-token","labels":{"kubernetes.io/legacy-token-invalid-since":"2026-06-15"}}})");
  secret["metadata"]["labels"][invalid_since_label] = "2026-02-01";
  seen.secrets = {secret.freeze()};
  plan = reconcile(seen, noon, thirty_days);
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(plan.actions[0].body["preconditions"]["resourceVersion"].as_string(), "7");
  EXPECT_EQ(plan.actions[0].body["preconditions"]["uid"].as_string(), "uid-token");
  secret["metadata"]["deletionTimestamp"] = "2026-06-15T11:00:00Z";
  seen.secrets = {secret.freeze()};
  EXPECT_TRUE(reconcile(seen, noon, thirty_days).actions.empty());
}

}  // namespace
}  // namespace kybern::controllers::legacytokens
