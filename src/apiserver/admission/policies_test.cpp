// Admission policies through the whole registry.
#include "apiserver/admission/policies.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <tuple>

#include "apiserver/testing/asking.h"

namespace kybern::apiserver {
namespace {

using Lines = std::vector<std::string>;

constexpr const char* group = "admissionregistration.k8s.io/v1";

class PoliciesTest : public ::testing::Test, protected testing::Asking {
 protected:
  PoliciesTest() {
    must("create", "v1/namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: ns, labels: {env: prod}}}");
    must("create", "v1/namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: other, labels: {env: dev}}}");
  }
  Document must(std::string_view verb, std::string_view path, std::string_view body, std::string_view ns = "",
                PatchKind patch = PatchKind::merge) {
    auto answer = ask(verb, path, body, ns, patch);
    EXPECT_TRUE(answer) << path << ": " << (answer ? "" : answer.error().message) << "\n" << body;
    return answer ? answer->object : Document();
  }
  // `spec` is the rest of a policy about config maps.
  std::string policy_text(const std::string& name, const std::string& spec, const std::string& rule = "operations: [CREATE, UPDATE]",
                          const std::string& kind = "ValidatingAdmissionPolicy") {
    return fmt::format(R"(
apiVersion: {}
kind: {}
metadata: {{name: {}}}
spec:
  matchConstraints:
    resourceRules: [{{apiGroups: [''], apiVersions: [v1], resources: [configmaps], {}}}]
{})",
                       group, kind, name, rule, spec);
  }
  void policy(const std::string& name, const std::string& spec, const std::string& rule = "operations: [CREATE, UPDATE]") {
    must("create", fmt::format("{}/validatingadmissionpolicies", group), policy_text(name, spec, rule));
  }
  void bind(const std::string& policy, const std::string& actions = "Deny", const std::string& more = "", const std::string& name = "b") {
    must("create", fmt::format("{}/validatingadmissionpolicybindings", group),
         fmt::format("{{apiVersion: {}, kind: ValidatingAdmissionPolicyBinding, metadata: {{name: {}}}, spec: {{policyName: {}, "
                     "validationActions: [{}]{}}}}}",
                     group, name, policy, actions, more.empty() ? "" : ", " + more));
  }
  void mutating(const std::string& name, const std::string& spec, const std::string& binding_more = "") {
    must("create", fmt::format("{}/mutatingadmissionpolicies", group),
         policy_text(name, spec, "operations: [CREATE, UPDATE]", "MutatingAdmissionPolicy"));
    must("create", fmt::format("{}/mutatingadmissionpolicybindings", group),
         fmt::format("{{apiVersion: {}, kind: MutatingAdmissionPolicyBinding, metadata: {{name: b-{}}}, spec: {{policyName: {}{}}}}}",
                     group, name, name, binding_more));
  }
  static std::string map_text(const std::string& name, const std::string& data = "k: v", const std::string& labels = "") {
    return fmt::format("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {}, labels: {{{}}}}}, data: {{{}}}}}", name, labels, data);
  }
  std::string map(const std::string& name, const std::string& data = "k: v", std::string_view ns = "ns", const std::string& labels = "") {
    return refusal("create", "v1/configmaps", map_text(name, data, labels), ns);
  }
  Document made(const std::string& name, const std::string& data = "k: v") {
    return must("create", "v1/configmaps", map_text(name, data), "ns");
  }
};

// A condition that was stored when it compiled (by another version, say) does not keep its policy from being changed.
TEST_F(PoliciesTest, UnchangedConditionsAreLetBe) {
  for (const auto& [kind, plural, rest] :
       {std::tuple("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "  validations: [{expression: 'true'}]"),
        std::tuple("MutatingAdmissionPolicy", "mutatingadmissionpolicies",
                   "  reinvocationPolicy: Never\n  mutations: [{patchType: JSONPatch, jsonPatch: {expression: \"[JSONPatch{op: 'remove', "
                   "path: '/data'}]\"}}]")}) {
    const std::string path = fmt::format("{}/{}", group, plural);
    must("create", path,
         policy_text("p", "  matchConditions: [{name: a, expression: 'true'}]\n" + std::string(rest), "operations: [CREATE]", kind));
    const ServedRef served = registry().catalog().find("admissionregistration.k8s.io", "v1", plural);
    auto entry = registry().store().snapshot().get(served->key("", "p"));
    ASSERT_TRUE(entry) << plural;
    Draft old(entry->value);
    old["spec"]["matchConditions"].items()[0]["expression"] = "gone()";
    old["metadata"]["resourceVersion"] = Document::stamp_blank();
    ASSERT_TRUE(registry().store().commit({served->key("", "p"), old.freeze(), entry->revision, nullptr}));
    auto patched = [&](const std::string& spec) { return refusal("patch", path + "/p", spec); };
    EXPECT_EQ(patched("{metadata: {labels: {a: b}}}"), "");
    EXPECT_EQ(patched("{spec: {failurePolicy: Ignore}}"), "");
    const std::string why =
        fmt::format("{}.admissionregistration.k8s.io \"p\" is invalid: spec.matchConditions[0].expression: Invalid value: ", kind);
    EXPECT_TRUE(patched("{spec: {matchConditions: [{name: a, expression: 'gone2()'}]}}").starts_with(why)) << plural;
    EXPECT_TRUE(patched("{spec: {paramKind: {apiVersion: v1, kind: ConfigMap}}}").starts_with(why)) << plural;
    EXPECT_EQ(patched("{spec: {matchConditions: [{name: a, expression: 'false'}]}}"), "");
  }
}

TEST_F(PoliciesTest, DeniesWhatItsBindingSays) {
  policy("p", "  validations: [{expression: \"object.data.k == 'v'\"}]");
  EXPECT_EQ(map("a", "k: x"), "");  // no binding: not in force
  bind("p");
  EXPECT_EQ(map("b", "k: x"),
            "configmaps \"b\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: "
            "object.data.k == 'v'");
  EXPECT_EQ(code, 422);
  EXPECT_EQ(reason, "Invalid");
  auto answer = ask("create", "v1/configmaps", map_text("b", "k: x"), "ns");
  ASSERT_FALSE(answer);
  ASSERT_EQ(answer.error().causes.size(), 1u);
  EXPECT_EQ(answer.error().causes[0].message,
            "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.data.k == 'v'");
  EXPECT_EQ(map("b"), "");
  EXPECT_EQ(refusal("patch", "v1/configmaps/b", "{data: {k: x}}", "ns").substr(0, 33), "configmaps \"b\" is forbidden: Vali");
  EXPECT_EQ(map("c", "x: z"),
            "configmaps \"c\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: expression 'object.data.k == "
            "'v'' resulted in error: no such key: k");
  EXPECT_EQ(refusal("delete", "v1/configmaps/b", "", "ns"), "");
  must("delete", fmt::format("{}/validatingadmissionpolicybindings/b", group), "");
  EXPECT_EQ(map("d", "k: x"), "");
}

TEST_F(PoliciesTest, MessagesAndReasons) {
  policy("p", R"x(
  variables: [{name: value, expression: object.data.k}]
  validations:
  - {expression: variables.value != 'a', message: is a, reason: Forbidden}
  - {expression: variables.value != 'b', message: plain, messageExpression: "'not ' + variables.value"}
  - {expression: variables.value != 'c', message: plain, messageExpression: "string(object.missing)"}
  - {expression: variables.value != 'd', messageExpression: "'two\\nlines'", reason: RequestEntityTooLarge})x");
  ;
  bind("p");
  auto denied = [&](const std::string& value) {
    std::string said = map("m", "k: " + value);
    auto at = said.find("denied request: ");
    return fmt::format("{} {} {}", code, reason, at == std::string::npos ? said : said.substr(at + 16));
  };
  EXPECT_EQ(denied("a"), "403 Forbidden is a");
  EXPECT_EQ(denied("b"), "422 Invalid not b");
  EXPECT_EQ(denied("d"), "413 RequestEntityTooLarge failed expression: variables.value != 'd'");
}

TEST_F(PoliciesTest, WarnsAndNotes) {
  policy("p",
         "  validations: [{expression: \"has(object.data.good)\", message: no good}]\n  auditAnnotations: [{key: seen, valueExpression: "
         "\"'value ' + object.data.k\"}]");
  bind("p", "Warn, Audit");
  EXPECT_EQ(map("a"), "");
  EXPECT_EQ(warnings, (Lines{"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no good"}));
  EXPECT_EQ(audit["p/seen"], "value v");
  EXPECT_EQ(audit["validation.policy.admission.k8s.io/validation_failure"],
            R"([{"message":"no good","policy":"p","binding":"b","expressionIndex":0,"validationActions":["Warn","Audit"]}])");
}

TEST_F(PoliciesTest, FailurePolicyDecidesAboutErrors) {
  policy(
      "p",
      "  failurePolicy: Ignore\n  validations: [{expression: \"object.data.missing == 'x'\"}, {expression: \"object.data.k != 'bad'\"}]");
  bind("p");
  EXPECT_EQ(map("a"), "");
  EXPECT_NE(map("b", "k: bad"), "");
}

TEST_F(PoliciesTest, WhatTheRequestIs) {
  struct Row {
    const char *expression, *rule;
    bool create, update, remove;
  };
  const Row rows[] = {
      {"request.operation == 'CREATE' ? oldObject == null && object != null : true", "operations: ['*']", true, true, true},
      {"request.operation != 'DELETE' || (object == null && oldObject.data.k == 'v')", "operations: ['*']", true, true, true},
      {"request.operation != 'UPDATE'", "operations: ['*']", true, false, true},
      {"request.name == 'm' && request.namespace == 'ns' && request.userInfo.username == 'admin' && 'system:masters' in "
       "request.userInfo.groups && !request.dryRun",
       "operations: ['*']", true, true, true},
      {"request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps' && request.resource.version == 'v1' && "
       "request.requestKind == request.kind",
       "operations: ['*']", true, true, true},
      {"!has(request.subResource) && namespaceObject.metadata.labels.env == 'prod'", "operations: ['*']", true, true, true},
      {"object.kind == 'ConfigMap' && object.apiVersion == 'v1' && object.metadata.name == 'm'", "operations: [CREATE, UPDATE]", true, true,
       true},
      {"!authorizer.requestResource.check('bypass').allowed()", "operations: ['*']", true, true, true},
      {"false", "operations: ['*'], resourceNames: [other]", true, true, true},
      {"false", "operations: ['*'], scope: Cluster", true, true, true},
      {"request.options.kind == 'CreateOptions'", "operations: [CREATE]", true, true, true},
  };
  int i = 0;
  for (const Row& row : rows) {
    std::string name = fmt::format("p{}", i++);
    policy(name, fmt::format("  validations: [{{expression: \"{}\"}}]", row.expression), row.rule);
    bind(name);
    EXPECT_EQ(map("m") == "", row.create) << row.expression;
    EXPECT_EQ(refusal("patch", "v1/configmaps/m", "{data: {x: z}}", "ns") == "", row.update) << row.expression;
    std::string gone = refusal("delete", "v1/configmaps/m", "", "ns");
    EXPECT_EQ(gone == "", row.remove) << row.expression << " " << gone;
    must("delete", fmt::format("{}/validatingadmissionpolicybindings/b", group), "");
  }
}

TEST_F(PoliciesTest, SelectorsAndConditionsAndBindingsNarrow) {
  policy("p",
         "  matchConditions: [{name: free, expression: \"object.metadata.name != 'free'\"}]\n  validations: [{expression: \"false\"}]");
  bind("p", "Deny", "matchResources: {namespaceSelector: {matchLabels: {env: prod}}, objectSelector: {matchLabels: {watched: 'yes'}}}");
  EXPECT_NE(map("a", "k: v", "ns", "watched: 'yes'"), "");
  EXPECT_EQ(map("a", "k: v", "ns"), "");
  EXPECT_EQ(map("a", "k: v", "other", "watched: 'yes'"), "");
  EXPECT_EQ(map("free", "k: v", "ns", "watched: 'yes'"), "");
}

TEST_F(PoliciesTest, Parameters) {
  policy("p",
         "  paramKind: {apiVersion: v1, kind: ConfigMap}\n  validations: [{expression: \"params == null || int(object.data.num) <= "
         "int(params.data.max)\", messageExpression: \"'over ' + params.data.max\"}]",
         "operations: [CREATE], resourceNames: [a, b, c]");
  must("create", "v1/configmaps", map_text("low", "max: '3'", "limit: x"), "other");
  must("create", "v1/configmaps", map_text("high", "max: '9'", "limit: x"), "other");
  auto with = [&](const std::string& ref, const std::string& n) {
    bind("p", "Deny", ref);
    std::string said = map("a", fmt::format("num: '{}'", n));
    if (said.empty()) must("delete", "v1/configmaps/a", "", "ns");
    must("delete", fmt::format("{}/validatingadmissionpolicybindings/b", group), "");
    auto at = said.find("request: ");
    return at == std::string::npos ? said : said.substr(at + 9);
  };
  EXPECT_EQ(with("paramRef: {name: low, namespace: other, parameterNotFoundAction: Deny}", "3"), "");
  EXPECT_EQ(with("paramRef: {name: low, namespace: other, parameterNotFoundAction: Deny}", "4"), "over 3");
  EXPECT_EQ(with("paramRef: {name: high, namespace: other, parameterNotFoundAction: Deny}", "4"), "");
  EXPECT_EQ(with("paramRef: {selector: {matchLabels: {limit: x}}, namespace: other, parameterNotFoundAction: Deny}", "4"), "over 3");
  EXPECT_EQ(with("paramRef: {name: none, namespace: other, parameterNotFoundAction: Allow}", "4"), "");
  EXPECT_EQ(with("paramRef: {name: none, namespace: other, parameterNotFoundAction: Deny}", "4"),
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction");
  EXPECT_EQ(with("paramRef: {name: low, parameterNotFoundAction: Deny}", "4"),
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction");
  policy("q", "  paramKind: {apiVersion: example.com/v1, kind: Limit}\n  validations: [{expression: \"params == null\"}]");
  bind("q", "Deny", "paramRef: {name: x, parameterNotFoundAction: Deny}");
  EXPECT_EQ(map("z"),
            "configmaps \"z\" is forbidden: ValidatingAdmissionPolicy 'q' denied request: failed to configure policy: failed to find "
            "resource referenced by paramKind: 'example.com/v1, Kind=Limit'");
}

TEST_F(PoliciesTest, BudgetOfAPolicy) {
  std::string items;
  for (int i = 0; i < 200; ++i) items += fmt::format("k{}: v, ", i);
  policy("p", "  validations: [{expression: \"object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != '')))\"}]");
  bind("p");
  EXPECT_EQ(map("a", items),
            "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: expression 'object.data.all(a, "
            "object.data.all(b, object.data.all(c, a + b + c != '')))' resulted in error: operation "
            "cancelled: actual cost limit exceeded");
}

TEST_F(PoliciesTest, RegistrationsAreJudged) {
  struct Row {
    std::string spec, message;
  };
  const std::string at = "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: ";
  const Row rows[] = {
      {"  validations: []",
       "[spec.validations: Required value: validations or auditAnnotations must contain at least one item, spec.auditAnnotations: Required "
       "value: validations or auditAnnotations must contain at least one item]"},
      {"  validations: [{expression: ''}]", "spec.validations[0].expression: Required value: expression is not specified"},
      {"  validations: [{expression: '1'}]", "spec.validations[0].expression: Invalid value: \"1\": must evaluate to bool"},
      {"  validations: [{expression: 'x.y'}]",
       "spec.validations[0].expression: Invalid value: \"x.y\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'x' (in "
       "container '')\n | x.y\n | ^"},
      {"  validations: [{expression: 'true', reason: Odd}]",
       "spec.validations[0].reason: Unsupported value: \"Odd\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\", "
       "\"Unauthorized\""},
      {"  validations: [{expression: 'true', messageExpression: '1'}]",
       "spec.validations[0].messageExpression: Invalid value: \"1\": must evaluate to string"},
      {"  variables: [{name: in, expression: '1'}]\n  validations: [{expression: 'true'}]",
       "spec.variables[0].name: Invalid value: \"in\": name is not a valid CEL identifier"},
      {"  validations: [{expression: 'true'}]\n  auditAnnotations: [{key: a, valueExpression: '1'}]",
       "spec.auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of [string null_type]"},
      {"  paramKind: {apiVersion: a/b/c, kind: '-'}\n  validations: [{expression: 'true'}]",
       "[spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c, spec.paramKind.kind: Invalid value: "
       "\"-\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric "
       "characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
       "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')]"},
      {"  matchConditions: [{name: a, expression: \"'x'\"}]\n  validations: [{expression: 'true'}]",
       "spec.matchConditions[0].expression: Invalid value: \"'x'\": must evaluate to bool"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(refusal("create", fmt::format("{}/validatingadmissionpolicies", group), policy_text("p", row.spec)), at + row.message)
        << row.spec;
  auto binding = [&](const std::string& spec) {
    return refusal(
        "create", fmt::format("{}/validatingadmissionpolicybindings", group),
        fmt::format("{{apiVersion: {}, kind: ValidatingAdmissionPolicyBinding, metadata: {{name: b}}, spec: {{{}}}}}", group, spec));
  };
  const std::string of = "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io \"b\" is invalid: ";
  EXPECT_EQ(binding("policyName: p"), of + "spec.validationActions: Required value: at least one validation action is required");
  EXPECT_EQ(binding("validationActions: [Deny]"), of + "spec.policyName: Required value");
  EXPECT_EQ(binding("policyName: p, validationActions: [Deny, Warn]"),
            of + "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn (repeating the same "
                 "validation failure information in the API response and headers serves no purpose)");
  EXPECT_EQ(binding("policyName: p, validationActions: [Deny], paramRef: {parameterNotFoundAction: Deny}"),
            of + "spec.paramRef: Required value: one of name or selector must be specified");
}

TEST_F(PoliciesTest, MutatesByConfiguration) {
  mutating("p", R"(
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: "Object{metadata: Object.metadata{labels: {'made-by': request.userInfo.username}}}"}
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: "Object{data: {'copy': object.metadata.labels['made-by']}}"})");
  Document object = made("a");
  EXPECT_EQ(to_json(object["metadata"]["labels"]), R"({"made-by":"admin"})");
  EXPECT_EQ(object["data"]["copy"].as_string(), "admin");
  EXPECT_EQ(object["data"]["k"].as_string(), "v");
}

TEST_F(PoliciesTest, MutatesByPatch) {
  mutating("p", R"(
  reinvocationPolicy: Never
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: "[JSONPatch{op: 'test', path: '/data/k', value: 'v'}, JSONPatch{op: 'replace', path: '/data/k', value: 'w'}, JSONPatch{op: 'add', path: '/metadata/labels', value: {'a': 'b'}}]"})");
  Document object = made("a");
  EXPECT_EQ(object["data"]["k"].as_string(), "w");
  EXPECT_EQ(object["metadata"]["labels"]["a"].as_string(), "b");
  EXPECT_EQ(made("b", "k: x")["data"]["k"].as_string(), "x");  // the test failed: nothing was changed
}

TEST_F(PoliciesTest, MutatedPodsGetDefaultsAndAreSeenAgain) {
  must("create", "v1/serviceaccounts", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default}}", "ns");
  must("create", fmt::format("{}/mutatingadmissionpolicies", group),
       fmt::format(R"x(
apiVersion: {}
kind: MutatingAdmissionPolicy
metadata: {{name: sidecar}}
spec:
  reinvocationPolicy: IfNeeded
  matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}}]}}
  matchConditions: [{{name: once, expression: "!object.spec.?initContainers.orValue([]).exists(c, c.name == 'mesh')"}}]
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{{spec: Object.spec{{initContainers: [Object.spec.initContainers{{name: 'mesh', image: 'mesh/proxy:v1', restartPolicy: 'Always'}}]}}}})x",
                   group));
  must(
      "create", fmt::format("{}/mutatingadmissionpolicybindings", group),
      fmt::format("{{apiVersion: {}, kind: MutatingAdmissionPolicyBinding, metadata: {{name: b}}, spec: {{policyName: sidecar}}}}", group));
  Document pod =
      must("create", "v1/pods", "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}", "ns");
  ASSERT_EQ(pod["spec"]["initContainers"].size(), 1u);
  Value mesh = pod["spec"]["initContainers"][0];
  EXPECT_EQ(mesh["imagePullPolicy"].as_string(), "IfNotPresent");
  EXPECT_EQ(mesh["volumeMounts"].size(), 1u);  // the account's token: the plug-ins have seen it
  EXPECT_EQ(pod["spec"]["containers"].size(), 1u);
}

TEST_F(PoliciesTest, MutationsThatFail) {
  struct Row {
    const char *mutation, *message;
  };
  const Row rows[] = {
      {"patchType: ApplyConfiguration, applyConfiguration: {expression: \"Object{nonsense: 1}\"}",
       "error applying patch: failed to convert patch object to typed object: .nonsense: field not declared in schema"},
      {"patchType: ApplyConfiguration, applyConfiguration: {expression: \"Object{metadata: Object.wrong{name: 'x'}}\"}",
       "type mismatch: unexpected type name \"Object.wrong\", expected \"Object.metadata\", which matches field name path from root Object "
       "type"},
      {"patchType: ApplyConfiguration, applyConfiguration: {expression: \"Object{data: {'a': object.data.missing}}\"}",
       "expression 'Object{data: {'a': object.data.missing}}' resulted in error: no such key: missing"},
      {"patchType: ApplyConfiguration, applyConfiguration: {expression: \"Object{metadata: Object.metadata{ownerReferences: "
       "[Object.metadata.ownerReferences{uid: 'u', name: 'n', kind: 'K', apiVersion: 'v1'}]}}\"}",
       "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .metadata.ownerReferences[0]"},
  };
  for (const Row& row : rows) {
    mutating("p", fmt::format("  reinvocationPolicy: Never\n  mutations: [{{{}}}]", row.mutation));
    std::string expected = *row.message ? fmt::format("policy 'p' with binding 'b-p' denied request: {}", row.message) : "";
    EXPECT_EQ(map("m"), expected) << row.mutation;
    if (*row.message) {
      EXPECT_EQ(code, 403);
      EXPECT_EQ(reason, "Invalid");
    }
    must("delete", fmt::format("{}/mutatingadmissionpolicies/p", group), "");
    must("delete", fmt::format("{}/mutatingadmissionpolicybindings/b-p", group), "");
  }
}

}  // namespace
}  // namespace kybern::apiserver
