#include "controllers/namespace/reconcile.h"

#include <gtest/gtest.h>

#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::namespaces {
namespace {

using namespace testing_objects;

Document ns(bool deleting = true, std::vector<const char*> finalizers = {"kubernetes"}) {
  Draft out = object("v1", "Namespace", "", "team");
  if (deleting) out["metadata"]["deletionTimestamp"] = format_rfc3339(at(0));
  Draft list = Draft::array();
  for (const char* f : finalizers) list.push_back(f);
  out["spec"] = Draft::object({{"finalizers", std::move(list)}});
  out["status"] = Draft::object({{"phase", deleting ? "Terminating" : "Active"}});
  return out.freeze();
}

TEST(Namespace, Table) {
  const Remaining pods{"pods", "", 2, {}};
  struct Row {
    const char* what;
    Document ns;
    Observed observed;
    std::string plan;
  };
  const Row rows[] = {
      {"alive", ns(false), {.now = at(1)}, ""},
      {"empty", ns(), {.now = at(1)}, "replace namespaces/finalize team"},
      {"empty, but too fresh", ns(), {.settled = false, .now = at(1)}, "wake after 100ms"},
      {"not ours any more", ns(true, {"other"}), {.now = at(1)}, ""},
      {"pods end", ns(), {.remaining = {pods}, .graceful = std::chrono::seconds(30), .now = at(1)}, "status namespaces; wake after 16s"},
      {"something cannot be deleted", ns(), {.deletion_failures = {"x"}, .now = at(1)}, "status namespaces"},
      {"a group cannot be discovered", ns(), {.discovery_failures = {"x"}, .now = at(1)}, "status namespaces"},
  };
  for (const Row& row : rows) EXPECT_EQ(describe(reconcile(row.ns, row.observed)), row.plan) << row.what;
}

TEST(Namespace, OtherFinalizersStay) {
  const Plan plan = reconcile(ns(true, {"other", "kubernetes"}), {.now = at(1)});
  EXPECT_EQ(to_json(plan.actions.at(0).body["spec"]["finalizers"]), R"(["other"])");
}

TEST(Namespace, ConditionsSayWhatIsLeft) {
  const Observed observed{.deletion_failures = {"a: no", "b: no"},
                          .remaining = {{"pods", "", 2, {{"x.io/hold", 1}}}, {"deployments", "apps", 1, {}}},
                          .now = at(1)};
  const Plan plan = reconcile(ns(), observed);
  const Value conditions = plan.status->body["status"]["conditions"];
  const auto text = [&](const char* type) {
    const Value c = condition(conditions, type);
    return c["status"].str() + " " + c["reason"].str() + ": " + c["message"].str();
  };
  EXPECT_EQ(text("NamespaceDeletionDiscoveryFailure"), "False ResourcesDiscovered: All resources successfully discovered");
  EXPECT_EQ(text("NamespaceDeletionGroupVersionParsingFailure"), "False ParsedGroupVersions: All legacy kube types successfully parsed");
  EXPECT_EQ(text("NamespaceDeletionContentFailure"),
            "True ContentDeletionFailed: Failed to delete all resource types, 2 remaining: [a: no, b: no]");
  EXPECT_EQ(
      text("NamespaceContentRemaining"),
      "True SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances");
  EXPECT_EQ(text("NamespaceFinalizersRemaining"),
            "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: x.io/hold in 1 resource instances");
  Observed later = observed;
  later.now = at(50);
  EXPECT_FALSE(reconcile(plan.status->body, later).status) << "nothing new to say";
}

}  // namespace
}  // namespace kybern::controllers::namespaces
