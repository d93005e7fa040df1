#include "apiserver/admission/match.h"

#include <gtest/gtest.h>

#include "document/yaml.h"

namespace kybern::apiserver::admission {
namespace {

Document yaml(std::string_view text) {
  auto parsed = parse_yaml(text);
  EXPECT_TRUE(parsed) << text;
  return parsed && !parsed->empty() ? parsed->front() : Document();
}

class MatchTest : public testing::Test {
 protected:
  MatchTest() : store_(std::move(*store::Store::open({}))), registry_(*store_, real_world(), {}) {
    Document ns = yaml("{apiVersion: v1, kind: Namespace, metadata: {name: team, labels: {env: prod}}}");
    EXPECT_TRUE(store_->commit({"/namespaces/team", ns, 0}));
  }
  const Served* served(std::string_view group, std::string_view version, std::string_view plural) {
    return registry_.catalog().find(group, version, plural).get();
  }
  MatchTarget pods(std::string_view operation, std::string_view subresource = "") {
    return {served("", "v1", "pods"), operation, subresource, "team", "web", {}, {}};
  }

  std::unique_ptr<store::Store> store_;
  Registry registry_;
};

TEST_F(MatchTest, rules) {
  struct Row {
    const char* rule;
    const char* operation;
    const char* subresource;
    bool expected;
  };
  constexpr Row rows[] = {
      {"{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}", "CREATE", "", true},
      {"{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}", "UPDATE", "", false},
      {"{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}", "DELETE", "", true},
      {"{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}", "CREATE", "binding", false},
      {"{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*']}", "CREATE", "", true},
      {"{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*']}", "CONNECT", "exec", true},
      {"{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['pods/*']}", "CREATE", "", true},
      {"{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['pods/*']}", "UPDATE", "status", true},
      {"{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/status']}", "UPDATE", "status", true},
      {"{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/status']}", "UPDATE", "", false},
      {"{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['pods/exec']}", "CONNECT", "attach", false},
      {"{operations: ['*'], apiGroups: [apps], apiVersions: ['*'], resources: ['*']}", "CREATE", "", false},
      {"{operations: ['*'], apiGroups: [''], apiVersions: [v2], resources: ['*']}", "CREATE", "", false},
      {"{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: ['pods'], scope: Namespaced}", "CREATE", "", true},
      {"{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: ['pods'], scope: Cluster}", "CREATE", "", false},
      {"{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: ['pods'], scope: '*'}", "CREATE", "", true},
      {"{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: ['pods'], resourceNames: [web]}", "CREATE", "", true},
      {"{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: ['pods'], resourceNames: [other]}", "CREATE", "", false},
      {"{operations: [], apiGroups: [''], apiVersions: [v1], resources: ['pods']}", "CREATE", "", false},
  };
  for (const Row& row : rows) {
    Document rule = yaml(row.rule);
    MatchTarget target = pods(row.operation, row.subresource);
    EXPECT_EQ(rule_matches(rule.root(), target, *target.served), row.expected)
        << row.rule << " " << row.operation << " " << row.subresource;
  }
}

TEST_F(MatchTest, a_namespace_is_an_object_of_the_cluster) {
  MatchTarget target{served("", "v1", "namespaces"), "CREATE", "", "team", "team", {}, {}};
  EXPECT_TRUE(rule_matches(yaml("{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: [namespaces], scope: Cluster}").root(),
                           target, *target.served));
  EXPECT_FALSE(
      rule_matches(yaml("{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: [namespaces], scope: Namespaced}").root(),
                   target, *target.served));
  MatchTarget node{served("", "v1", "nodes"), "CREATE", "", "", "n", {}, {}};
  EXPECT_TRUE(rule_matches(yaml("{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: [nodes], scope: Cluster}").root(), node,
                           *node.served));
  EXPECT_FALSE(rule_matches(yaml("{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: [nodes], scope: Namespaced}").root(),
                            node, *node.served));
}

TEST_F(MatchTest, equivalent_rules_name_another_version) {
  Document rules = yaml("[{operations: ['*'], apiGroups: [autoscaling], apiVersions: [v1], resources: [horizontalpodautoscalers]}]");
  MatchTarget target{served("autoscaling", "v2", "horizontalpodautoscalers"), "CREATE", "", "team", "a", {}, {}};
  EXPECT_EQ(match_rules(rules.root(), true, target), served("autoscaling", "v1", "horizontalpodautoscalers"));
  EXPECT_EQ(match_rules(rules.root(), false, target), nullptr);
  // A rule that names the request's own version is taken first, wherever it stands.
  Document both = yaml(
      "[{operations: ['*'], apiGroups: [autoscaling], apiVersions: [v1], resources: [horizontalpodautoscalers]},"
      " {operations: ['*'], apiGroups: [autoscaling], apiVersions: [v2], resources: [horizontalpodautoscalers]}]");
  EXPECT_EQ(match_rules(both.root(), true, target), target.served);
  Document core = yaml("[{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: [events]}]");
  MatchTarget event{served("events.k8s.io", "v1", "events"), "CREATE", "", "team", "a", {}, {}};
  EXPECT_EQ(match_rules(core.root(), true, event), served("", "v1", "events"));
}

TEST_F(MatchTest, selectors) {
  Document prod = yaml("{matchLabels: {env: prod}}"), everything = yaml("{}"), other = yaml("{matchLabels: {env: test}}");
  MatchTarget target = pods("CREATE");
  EXPECT_EQ(namespace_selected(prod.root(), target, registry_), true);
  EXPECT_EQ(namespace_selected(other.root(), target, registry_), false);
  target.ns = "missing";
  EXPECT_EQ(namespace_selected(everything.root(), target, registry_), true);
  EXPECT_EQ(namespace_selected(prod.root(), target, registry_).error().message, "namespaces \"missing\" not found");
  MatchTarget node{served("", "v1", "nodes"), "CREATE", "", "", "n", {}, {}};
  EXPECT_EQ(namespace_selected(other.root(), node, registry_), true);
  // A namespace that is being written is judged by what it will be.
  Document fresh = yaml("{metadata: {name: team, labels: {env: test}}}");
  MatchTarget ns{served("", "v1", "namespaces"), "UPDATE", "", "team", "team", fresh.root(), {}};
  EXPECT_EQ(namespace_selected(other.root(), ns, registry_), true);
  ns.operation = "DELETE";
  EXPECT_EQ(namespace_selected(other.root(), ns, registry_), false);

  Document before = yaml("{metadata: {labels: {env: prod}}}"), after = yaml("{metadata: {labels: {env: test}}}");
  MatchTarget update = pods("UPDATE");
  EXPECT_TRUE(object_selected({}, update));
  EXPECT_TRUE(object_selected(everything.root(), update));
  EXPECT_FALSE(object_selected(prod.root(), update));
  update.object = after.root();
  EXPECT_FALSE(object_selected(prod.root(), update));
  update.before = before.root();
  EXPECT_TRUE(object_selected(prod.root(), update));
}

TEST_F(MatchTest, what_does_not_concern_the_request_is_no_error) {
  Document rules = yaml("[{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]");
  Document prod = yaml("{matchLabels: {env: prod}}"), nobody = yaml("{matchLabels: {no: body}}");
  MatchTarget target = pods("CREATE");
  MatchCriteria criteria{.rules = rules.root(), .namespace_selector = prod.root()};
  EXPECT_EQ(match(criteria, target, registry_), target.served);
  target.ns = "missing";
  EXPECT_FALSE(match(criteria, target, registry_));
  criteria.object_selector = nobody.root();
  EXPECT_EQ(match(criteria, target, registry_), nullptr);
  criteria.object_selector = {};
  target.operation = "UPDATE";
  EXPECT_EQ(match(criteria, target, registry_), nullptr);
  target = pods("CREATE");
  criteria.exclude_rules = rules.root();
  EXPECT_EQ(match(criteria, target, registry_), nullptr);
  criteria = {.rules_optional = true};
  EXPECT_EQ(match(criteria, target, registry_), target.served);
}

}  // namespace
}  // namespace kybern::apiserver::admission
