#include "controllers/tainteviction/reconcile.h"

#include <gtest/gtest.h>

#include "controllers/test_objects.h"

namespace kybern::controllers::tainteviction {
namespace {

using namespace testing_objects;

Document node(std::string_view taints) {
  Draft out = object("v1", "Node", "", "n1");
  out["spec"]["taints"] = Draft(json(taints));
  return out.freeze();
}
Document tolerant(std::string_view tolerations) {
  Draft out(pod("a"));
  out["spec"]["tolerations"] = Draft(json(tolerations));
  return out.freeze();
}

TEST(TaintEviction, Table) {
  const std::string taint = R"([{"key":"k","value":"v","effect":"NoExecute","timeAdded":")" + format_rfc3339(at(-100)) + R"("}])";
  struct Row {
    const char* what;
    std::string taints, tolerations, plan;
  };
  const Row rows[] = {
      {"no taint", "[]", "[]", ""},
      {"another effect", R"([{"key":"k","effect":"NoSchedule"}])", "[]", ""},
      {"not tolerated", taint, "[]", "patch pods/status d/a; delete pods d/a; event TaintManagerEviction"},
      {"tolerated for ever", taint, R"([{"key":"k","operator":"Exists","effect":"NoExecute"}])", ""},
      {"everything tolerated", taint, R"([{"operator":"Exists"}])", ""},
      {"another value", taint, R"([{"key":"k","operator":"Equal","value":"w"}])",
       "patch pods/status d/a; delete pods d/a; event TaintManagerEviction"},
      {"the value", taint, R"([{"key":"k","value":"v"}])", ""},
      {"for a while", taint, R"([{"key":"k","operator":"Exists","tolerationSeconds":300}])", "wake after 3m20s"},
      {"the while is over", taint, R"([{"key":"k","operator":"Exists","tolerationSeconds":100}])",
       "patch pods/status d/a; delete pods d/a; event TaintManagerEviction"},
      {"the shortest counts", taint,
       R"([{"key":"k","operator":"Exists","tolerationSeconds":300},{"key":"k","operator":"Exists","tolerationSeconds":150}])",
       "wake after 50s"},
      {"negative is at once", taint, R"([{"key":"k","operator":"Exists","tolerationSeconds":-1}])",
       "patch pods/status d/a; delete pods d/a; event TaintManagerEviction"},
  };
  for (const Row& row : rows) EXPECT_EQ(describe(reconcile(tolerant(row.tolerations), node(row.taints), {}, at(0))), row.plan) << row.what;
  const std::string untimed = R"([{"key":"k","effect":"NoExecute"}])",
                    patient = R"([{"key":"k","operator":"Exists","tolerationSeconds":60}])";
  EXPECT_EQ(describe(reconcile(tolerant(patient), node(untimed), {}, at(0))), "wake after 1m0s");
  EXPECT_EQ(describe(reconcile(tolerant(patient), node(untimed), at(-20), at(0))), "wake after 40s");
  EXPECT_EQ(describe(reconcile(tolerant(patient), node(untimed), at(-60), at(0))),
            "patch pods/status d/a; delete pods d/a; event TaintManagerEviction");
  EXPECT_EQ(describe(reconcile(tolerant("[]"), node("[]"), at(-5), at(0))), "event TaintManagerEviction") << "cancelled";
  EXPECT_EQ(describe(reconcile(pod("a", {.deleting = true}), node(taint), {}, at(0))), "");
}

}  // namespace
}  // namespace kybern::controllers::tainteviction
