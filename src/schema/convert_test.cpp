#include "schema/convert.h"
#include "schema/test_support.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "document/json.h"

namespace kybern::schema {
namespace {

using test::parse, test::read_file;

struct Case {
  const char* what;
  const char* type;
  const char* input;
  const char* result;   // JSON, or the error's message when it does not begin with {
  const char* unknown;  // DecodeReport::text()
};

void PrintTo(const Case& row, std::ostream* out) { *out << row.what; }

class Convert : public testing::TestWithParam<Case> {};

TEST_P(Convert, AsUpstream) {
  const Case& row = GetParam();
  const Type* type = find_type_named(row.type);
  ASSERT_TRUE(type);
  Document input = parse(row.input);
  DecodeReport report;
  auto result = to_typed(*type, input, &report);
  std::string expected = row.result;
  if (expected.starts_with("{")) {
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_TRUE(result->root() == parse(expected).root()) << to_json(result->root());
  } else {
    ASSERT_FALSE(result) << to_json(result->root());
    EXPECT_EQ(result.error().message, expected);
    EXPECT_EQ(result.error().code, Code::invalid);
  }
  EXPECT_EQ(report.text(), row.unknown);
}

constexpr const char* quantity_rule = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

INSTANTIATE_TEST_SUITE_P(
    Rows, Convert,
    testing::Values(
        Case{"what is always shown is added", "core.v1.Pod", R"({"spec":{"containers":[{"name":"a"}]}})",
             R"({"metadata":{},"spec":{"containers":[{"name":"a","resources":{}}]},"status":{}})", ""},
        Case{"a list that is always shown is null when it is empty", "rbac.v1.Role", R"({"rules":[]})", R"({"metadata":{},"rules":null})",
             ""},
        Case{"a null list that is always shown stays", "rbac.v1.Role", R"({"rules":null})", R"({"metadata":{},"rules":null})", ""},
        Case{"zeros that are left out", "core.v1.PodSpec",
             R"({"containers":[],"hostNetwork":false,"nodeName":"","nodeSelector":{},"tolerations":[],"affinity":null})",
             R"({"containers":null})", ""},
        Case{"zeros of pointers stay", "core.v1.PodSpec",
             R"({"containers":null,"hostUsers":false,"priority":0,"runtimeClassName":"","affinity":{}})",
             R"({"containers":null,"hostUsers":false,"priority":0,"runtimeClassName":"","affinity":{}})", ""},
        Case{"zeros that are always shown stay", "core.v1.ContainerPort", R"({"containerPort":0})", R"({"containerPort":0})", ""},
        Case{
            "unknown fields", "core.v1.Pod",
            R"({"x":1,"metadata":{"labels":{"a":"b"},"lables":{}},"spec":{"containers":[{"name":"a"},{"name":"b","imagee":"x","resources":{"limit":1}}]}})",
            R"({"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"a","resources":{}},{"name":"b","resources":{}}]},"status":{}})",
            R"(unknown field "x", unknown field "metadata.lables", unknown field "spec.containers[1].imagee", unknown field "spec.containers[1].resources.limit")"},
        Case{"an unknown field is told once", "meta.v1.List", R"({"a":1,"items":null})", R"({"items":null,"metadata":{}})",
             R"(unknown field "a")"},
        Case{"a string for a number", "apps.v1.Deployment", R"({"spec":{"replicas":"two"}})",
             "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32", ""},
        Case{"a fraction for a number", "apps.v1.Deployment", R"({"spec":{"replicas":1.5}})",
             "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32", ""},
        Case{"a number that is too large", "apps.v1.Deployment", R"({"spec":{"replicas":3000000000}})",
             "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32", ""},
        Case{"an array for a struct", "apps.v1.Deployment", R"({"spec":[]})",
             "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec", ""},
        Case{"an object for a list", "core.v1.Pod", R"({"spec":{"containers":{}}})",
             "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container", ""},
        Case{"a number for a named string", "core.v1.Pod", R"({"spec":{"restartPolicy":1}})",
             "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy", ""},
        Case{"a number for a label", "core.v1.Pod", R"({"metadata":{"labels":{"a":1}}})",
             "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string", ""},
        Case{"a list for the labels", "core.v1.Pod", R"({"metadata":{"labels":[]}})",
             "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string", ""},
        Case{"items of lists have no index in the path", "core.v1.Pod", R"({"spec":{"containers":[{"ports":[{"containerPort":"x"}]}]}})",
             "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32", ""},
        Case{"the first of two", "core.v1.Pod", R"({"spec":{"hostIPC":1,"hostPID":"x"}})",
             "json: cannot unmarshal number into Go struct field PodSpec.spec.hostIPC of type bool", ""},
        Case{"a value that does not parse wins", "core.v1.Pod",
             R"({"spec":{"hostIPC":1,"containers":[{"resources":{"limits":{"cpu":"much"}}}]}})", quantity_rule, ""},
        Case{"not an object", "core.v1.Pod", R"([])", "json: cannot unmarshal array into Go value of type v1.Pod", ""},
        Case{"a time that does not parse", "coordination.v1.LeaseSpec", R"({"renewTime":"noon"})",
             R"(parsing time "noon" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "noon" as "2006")", ""},
        Case{"a time of another zone", "meta.v1.ObjectMeta", R"({"deletionTimestamp":"2026-01-02T03:04:05.25+02:00"})",
             R"({"deletionTimestamp":"2026-01-02T01:04:05Z"})", ""},
        Case{"a month that is not", "meta.v1.ObjectMeta", R"({"deletionTimestamp":"2026-13-02T03:04:05Z"})",
             R"(parsing time "2026-13-02T03:04:05Z": month out of range)", ""},
        Case{"a day that is not", "meta.v1.ObjectMeta", R"({"deletionTimestamp":"2026-02-30T03:04:05Z"})",
             R"(parsing time "2026-02-30T03:04:05Z": day out of range)", ""},
        Case{"a number for a time", "meta.v1.ObjectMeta", R"({"deletionTimestamp":5})",
             "json: cannot unmarshal number into Go value of type string", ""},
        Case{"a micro time", "coordination.v1.LeaseSpec", R"({"renewTime":"2026-01-02T03:04:05.000001+00:00"})",
             R"({"renewTime":"2026-01-02T03:04:05.000001Z"})", ""},
        Case{"base64 that is not", "core.v1.Secret", R"({"data":{"a":"!"}})", "illegal base64 data at input byte 0", ""},
        Case{"base64 with line breaks", "core.v1.Secret", R"({"data":{"a":"YWJj\nZGVm"}})", R"({"metadata":{},"data":{"a":"YWJjZGVm"}})",
             ""},
        Case{"a number for bytes", "core.v1.Secret", R"({"data":{"a":5}})",
             "json: cannot unmarshal number into Go struct field Secret.data of type []uint8", ""},
        Case{"nulls in lists and maps", "core.v1.Secret", R"({"data":{"a":null},"metadata":{"labels":{"a":null},"finalizers":[null]}})",
             R"({"metadata":{"labels":{"a":""},"finalizers":[""]},"data":{"a":""}})", ""},
        Case{"a null item", "core.v1.PodSpec", R"({"containers":[null]})", R"({"containers":[{"name":"","resources":{}}]})", ""},
        Case{"numbers as quantities", "core.v1.ResourceRequirements", R"({"limits":{"cpu":2,"memory":"1Gi","x/y":0.5}})",
             R"({"limits":{"cpu":"2","memory":"1Gi","x/y":"0.5"}})", ""},
        Case{"a suffix that is not", "core.v1.ResourceRequirements", R"({"limits":{"cpu":"1mm"}})", "unable to parse quantity's suffix",
             ""},
        Case{"int or string", "core.v1.HTTPGetAction", R"({"port":"http"})", R"({"port":"http"})", ""},
        Case{"int or string, absent", "core.v1.HTTPGetAction", R"({})", R"({"port":0})", ""},
        Case{"int or string, neither", "core.v1.HTTPGetAction", R"({"port":true})",
             "json: cannot unmarshal bool into Go value of type int32", ""},
        Case{"a flattened struct", "core.v1.Volume", R"({"name":"a","emptyDir":{},"foo":{}})", R"({"name":"a","emptyDir":{}})",
             R"(unknown field "foo")"},
        Case{"any JSON is kept", "apps.v1.ControllerRevision", R"({"revision":1,"data":{"a":null,"b":[],"c":{"d":0}}})",
             R"({"metadata":{},"revision":1,"data":{"a":null,"b":[],"c":{"d":0}}})", ""},
        Case{"a raw value that is absent", "apps.v1.ControllerRevision", R"({"revision":1})", R"({"metadata":{},"revision":1,"data":null})",
             ""},
        Case{"a field whose gate is off", "core.v1.PodSpec", R"({"containers":null,"schedulingGroup":{"podGroupName":"a"}})",
             R"({"containers":null})", ""},
        Case{
            "schemas or something else", "apiextensions.v1.JSONSchemaProps",
            R"({"items":{"type":"string","x":1},"additionalProperties":false,"dependencies":{"a":["b"],"c":{"type":"object"}},"default":{"z":null}})",
            R"({"items":{"type":"string"},"additionalProperties":false,"dependencies":{"a":["b"],"c":{"type":"object"}},"default":{"z":null}})",
            ""},
        Case{"neither schema nor bool", "apiextensions.v1.JSONSchemaProps", R"({"additionalProperties":"x"})",
             "boolean or JSON schema expected", ""},
        Case{"lists of strings in a map", "authorization.v1.SubjectAccessReviewSpec", R"({"extra":{"a":["b","c"],"d":[]}})",
             R"({"extra":{"a":["b","c"],"d":[]}})", ""},
        Case{"a duration", "metrics.v1beta1.NodeMetrics", R"({"window":"90s","usage":{"cpu":"1"},"timestamp":"2026-01-02T03:04:05Z"})",
             R"({"metadata":{},"window":"1m30s","usage":{"cpu":"1"},"timestamp":"2026-01-02T03:04:05Z"})", ""},
        Case{"a duration without a unit", "metrics.v1beta1.NodeMetrics", R"({"window":"5"})", R"(time: missing unit in duration "5")",
             ""}));

TEST(ConvertLimits, NestingEndsWithAnError) {
  std::string text;
  for (int i = 0; i < 1200; ++i) { text += R"({"not":)"; }
  text += "{}" + std::string(1200, '}');
  auto document = parse_json(text, {.max_depth = 5000, .duplicates = nullptr});
  ASSERT_TRUE(document);
  auto result = to_typed(*find_type_named("apiextensions.v1.JSONSchemaProps"), *document);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "exceeded max depth");
}

TEST(ConvertLimits, AHundredUnknownFieldsAreEnough) {
  std::string text = "{";
  for (int i = 0; i < 300; ++i) { text += (i ? ",\"x" : "\"x") + std::to_string(i) + "\":1"; }
  DecodeReport report;
  ASSERT_TRUE(to_typed(*find_type_named("core.v1.PodStatus"), parse(text + "}"), &report));
  EXPECT_EQ(report.unknown_fields.size(), 100u);
}

// What a real server answered is already what the round trip makes of it, but for what later versions changed.
TEST(ConvertRecorded, AnswersDoNotChange) {
  std::filesystem::path folder = std::filesystem::path(KYBERN_SOURCE_DIR) / "../shared/recorded";
  if (!std::filesystem::exists(folder)) { GTEST_SKIP() << "../shared/recorded is not there"; }
  int compared = 0;
  for (const char* name : {"20_core_defaults.json", "30_groups_defaults.json"}) {
    Document conversations = parse(read_file(folder / name));
    for (Value conversation : conversations.root().items()) {
      for (Value step : conversation["steps"].items()) {
        Value body = step["answer"]["body"];
        const Type* type = find_type(body["apiVersion"].as_string(), body["kind"].as_string());
        if (!type || step["answer"]["code"].as_int() > 299) { continue; }
        std::string text = to_json(body);
        for (std::string_view gone : {R"("creationTimestamp":null,)", R"(,"creationTimestamp":null)", R"("creationTimestamp":null)"}) {
          for (std::size_t at; (at = text.find(gone)) != std::string::npos;) { text.erase(at, gone.size()); }
        }
        Document expected = parse(text);
        DecodeReport report;
        auto result = to_typed(*type, expected, &report);
        ASSERT_TRUE(result) << result.error().message << "\n" << text;
        bool changed = body["kind"].as_string() == "StatefulSet";  // shows status.availableReplicas since
        if (report.unknown_fields.empty() && !changed) {
          EXPECT_TRUE(result->root() == expected.root()) << to_json(result->root()) << "\n" << text;
          ++compared;
        }
      }
    }
  }
  EXPECT_GT(compared, 100);
}

TEST(ConvertGolden, NothingIsUnknown) {
  std::filesystem::path folder = std::filesystem::path(KYBERN_SOURCE_DIR) / "../shared/golden";
  if (!std::filesystem::exists(folder)) { GTEST_SKIP() << "../shared/golden is not there"; }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") { continue; }
    SCOPED_TRACE(entry.path().filename().string());
    Document input = parse(read_file(entry.path()));
    const Type* type = find_type(input["apiVersion"].as_string(), input["kind"].as_string());
    if (!type) { continue; }
    DecodeReport report;
    auto once = to_typed(*type, input, &report);
    ASSERT_TRUE(once) << once.error().message;
    EXPECT_EQ(report.text(), "");
    auto twice = to_typed(*type, *once, &report);
    ASSERT_TRUE(twice);
    EXPECT_TRUE(once->root() == twice->root());
  }
}

}  // namespace
}  // namespace kybern::schema
