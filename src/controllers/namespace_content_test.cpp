// What every namespace gets: its default ServiceAccount and the cluster's CA.
#include <gtest/gtest.h>

#include "controllers/rootca/reconcile.h"
#include "controllers/serviceaccount/reconcile.h"
#include "controllers/test_objects.h"

namespace kybern::controllers {
namespace {

using namespace testing_objects;

Document ns(bool terminating = false) {
  Draft out = object("v1", "Namespace", "", "team");
  out["status"] = Draft::object({{"phase", terminating ? "Terminating" : "Active"}});
  return out.freeze();
}

TEST(ServiceAccount, Default) {
  const Plan plan = serviceaccount::reconcile(ns(), {});
  ASSERT_EQ(describe(plan), "create serviceaccounts team/default");
  EXPECT_EQ(describe(serviceaccount::reconcile(ns(), plan.actions[0].body)), "");
  EXPECT_EQ(describe(serviceaccount::reconcile(ns(true), {})), "");
}

TEST(RootCa, IsThereAndStays) {
  const Plan plan = rootca::reconcile(ns(), {}, "PEM");
  ASSERT_EQ(describe(plan), "create configmaps team/kube-root-ca.crt");
  const Document made = plan.actions[0].body;
  EXPECT_EQ(made["data"]["ca.crt"].as_string(), "PEM");
  EXPECT_EQ(describe(rootca::reconcile(ns(), made, "PEM")), "");
  EXPECT_EQ(describe(rootca::reconcile(ns(), made, "NEW")), "replace configmaps team/kube-root-ca.crt");
  Draft changed(made);
  changed["data"]["more"] = "x";
  EXPECT_EQ(describe(rootca::reconcile(ns(), changed.freeze(), "PEM")), "replace configmaps team/kube-root-ca.crt");
  EXPECT_EQ(describe(rootca::reconcile(ns(true), {}, "PEM")), "");
}

}  // namespace
}  // namespace kybern::controllers
