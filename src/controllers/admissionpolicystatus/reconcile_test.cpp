#include "controllers/admissionpolicystatus/reconcile.h"

#include <gtest/gtest.h>

#include "document/yaml.h"

namespace kybern::controllers::admissionpolicystatus {
namespace {

Document policy(std::string_view spec) {
  auto parsed = parse_yaml(
      "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: p, generation: 2, uid: u, "
      "resourceVersion: '1'}\nspec:\n" +
      std::string(spec));
  EXPECT_TRUE(parsed) << spec;
  return parsed && !parsed->empty() ? parsed->front() : Document();
}

constexpr const char* deployments =
    "  matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], resources: [deployments, deployments/scale], operations: "
    "['*']}]}\n";

TEST(AdmissionPolicyStatus, SaysWhatDoesNotFit) {
  struct Row {
    std::string spec;
    const char *field, *text;  // nullptr: nothing is said
  };
  const Row rows[] = {
      {std::string(deployments) + "  validations: [{expression: 'object.spec.replicas > 1'}]", nullptr, nullptr},
      {std::string(deployments) + "  validations: [{expression: 'object.replicas > 1'}]", "spec.validations[0].expression",
       "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^\n"},
      {std::string(deployments) + "  validations: [{expression: 'object.spec.replicas > 1', messageExpression: 'object.spec.replica'}]",
       "spec.validations[0].messageExpression",
       "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replica'\n | object.spec.replica\n | ...........^\n"},
      {std::string(deployments) + "  validations: [{expression: 'object.spec.paused == 1'}]", "spec.validations[0].expression",
       "apps/v1, Kind=Deployment: ERROR: <input>:1:20: found no matching overload for '_==_' applied to '(bool, int)'\n | "
       "object.spec.paused == 1\n | ...................^\n"},
      {std::string(deployments) + "  validations: [{expression: \"object.spec.template.spec.containers.all(c, has(c.resources.limits) && "
                                  "c.ports.all(p, p.containerPort > 1) && object.metadata.labels['a'] == 'b' && oldObject.kind == 'x')\"}]",
       nullptr, nullptr},
      {std::string(deployments) +
           "  variables: [{name: num, expression: object.spec.wrong}]\n  validations: [{expression: 'variables.num == 1'}]",
       nullptr, nullptr},
      {std::string(deployments) + "  paramKind: {apiVersion: v1, kind: ConfigMap}\n  validations: [{expression: \"params.data.max == "
                                  "'x'\"}, {expression: 'params.datum == 1'}]",
       "spec.validations[1].expression",
       "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'datum'\n | params.datum == 1\n | ......^\n"},
      {"  matchConstraints: {resourceRules: [{apiGroups: ['*'], apiVersions: [v1], resources: [deployments]}]}\n  validations: "
       "[{expression: 'object.nothing == 1'}]",
       nullptr, nullptr},
      {"  matchConstraints: {resourceRules: [{apiGroups: [''], apiVersions: [v1], resources: [secrets, configmaps]}]}\n  validations: "
       "[{expression: 'object.nothing == 1'}]",
       "spec.validations[0].expression",
       "/v1, Kind=ConfigMap: ERROR: <input>:1:7: undefined field 'nothing'\n | object.nothing == 1\n | ......^\n\n/v1, Kind=Secret: ERROR: "
       "<input>:1:7: undefined field 'nothing'\n | object.nothing == 1\n | ......^\n"},
  };
  for (const Row& row : rows) {
    auto warnings = check_types(policy(row.spec));
    ASSERT_EQ(warnings.size(), row.field ? 1u : 0u) << row.spec << (warnings.empty() ? "" : warnings[0].text);
    if (!row.field) continue;
    EXPECT_EQ(warnings[0].field, row.field);
    EXPECT_EQ(warnings[0].text, row.text);
  }
}

TEST(AdmissionPolicyStatus, WritesOnceForEachGeneration) {
  Document fresh = policy(std::string(deployments) + "  validations: [{expression: 'object.replicas > 1'}]");
  EXPECT_EQ(describe(reconcile(fresh)), "status validatingadmissionpolicies");
  Draft seen(fresh);
  seen["status"]["observedGeneration"] = 2;
  seen["status"]["typeChecking"] = Draft::object();
  EXPECT_EQ(describe(reconcile(seen.freeze())), "");
}

TEST(AdmissionPolicyStatus, KnowsCustomResourcesByTheirDefinitions) {
  auto definitions = parse_yaml(
      "spec: {group: example.com, names: {plural: widgets, kind: Widget}, versions: [{name: v1, served: true, schema: {openAPIV3Schema: "
      "{type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}]}");
  ASSERT_TRUE(definitions);
  const std::string about =
      "  matchConstraints: {resourceRules: [{apiGroups: [example.com], apiVersions: [v1], resources: [widgets], operations: ['*']}]}\n";
  Document good = policy(about + "  validations: [{expression: \"object.spec.size > 1 && object.metadata.labels['a'] == 'b'\"}]");
  Document bad = policy(about +
                        "  paramKind: {apiVersion: example.com/v1, kind: Widget}\n  validations: [{expression: 'object.spec.color == "
                        "params.spec.size'}]");
  EXPECT_TRUE(needs_definitions(good));
  EXPECT_FALSE(needs_definitions(policy(std::string(deployments) + "  validations: [{expression: 'true'}]")));
  EXPECT_TRUE(check_types(good, *definitions).empty());
  EXPECT_TRUE(check_types(bad).empty());  // nothing is known
  auto warnings = check_types(bad, *definitions);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].text,
            "example.com/v1, Kind=Widget: ERROR: <input>:1:12: undefined field 'color'\n | object.spec.color == "
            "params.spec.size\n | ...........^\n");
}

}  // namespace
}  // namespace kybern::controllers::admissionpolicystatus
