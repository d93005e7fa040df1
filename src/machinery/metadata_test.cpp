#include "machinery/metadata.h"

#include <gtest/gtest.h>

#include "document/json.h"
#include "machinery/duration_text.h"

namespace kybern {
namespace {

std::string shown(const FieldErrors& errors) {
  std::string out;
  for (const FieldError& error : errors) out += (out.empty() ? "" : " | ") + error.field + ": " + error.message();
  return out;
}

TEST(Metadata, Creation) {
  struct Row {
    const char* meta;
    bool namespaced;
    const char* errors;
  };
  const Row rows[] = {
      {R"({"name":"a","namespace":"b"})", true, ""},
      {R"({"name":"a"})", false, ""},
      {R"({})", false, "metadata.name: Required value: name or generateName is required"},
      {R"({"name":"a"})", true, "metadata.namespace: Required value"},
      {R"({"name":"a","namespace":"b"})", false, "metadata.namespace: Forbidden: not allowed on this type"},
      {R"({"name":"ab-x1y2z","generateName":"ab-"})", false, ""},
      {R"({"name":"a","generation":-1})", false, "metadata.generation: Invalid value: -1: must be greater than or equal to 0"},
      {R"({"name":"a","finalizers":["orphan","foregroundDeletion"]})", false,
       R"(metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set)"},
      {R"({"name":"a","annotations":{"A/B":"x"}})", false, ""},
      {R"({"name":"a","ownerReferences":[{"apiVersion":"v1","kind":"Event","name":"e","uid":"u"}]})", false,
       R"(metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"e","uid":"u"}: /v1, Kind=Event is disallowed from being an owner)"},
      {R"({"name":"a","ownerReferences":[{"apiVersion":"a/b/c"}]})", false,
       R"(metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty | metadata.ownerReferences.kind: Invalid value: "": must not be empty | metadata.ownerReferences.name: Invalid value: "": must not be empty | metadata.ownerReferences.uid: Invalid value: "": must not be empty)"},
      {R"({"name":"a","managedFields":[{"operation":"X","fieldsType":"F","manager":"a\tb"}]})", false,
       R"(metadata.managedFields[0].operation: Invalid value: "X": must be `Apply` or `Update` | metadata.managedFields[0].fieldsType: Invalid value: "F": must be `FieldsV1` | metadata.managedFields[0].manager: Invalid value: "a\tb": invalid character U+0009 (at position 1))"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(shown(validate_object_meta(*parse_json(row.meta), row.namespaced, name_is_subdomain)), row.errors) << row.meta;
  Draft big = Draft::object({{"name", "a"}});
  big["annotations"]["x"] = std::string(annotations_max_bytes, 'x');
  EXPECT_EQ(shown(validate_object_meta(big.freeze(), false, name_is_subdomain)),
            "metadata.annotations: Too long: may not be more than 262144 bytes");
}

TEST(Metadata, Update) {
  Document old = *parse_json(
      R"({"name":"a","uid":"1","resourceVersion":"5","generation":2,"deletionTimestamp":"2020-01-01T00:00:00Z","finalizers":["x/y"],"creationTimestamp":"2019-01-01T00:00:00Z"})");
  EXPECT_EQ(shown(validate_object_meta_update(old, old)), "");
  Document changed = *parse_json(R"({"name":"b","uid":"2","generation":1,"finalizers":["x/y","x/z"],"creationTimestamp":null})");
  EXPECT_EQ(shown(validate_object_meta_update(changed, old)),
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
            "[]string{\"x/z\"} | "
            "metadata.resourceVersion: Invalid value: \"\": must be specified for an update | metadata.generation: Invalid value: 1: must "
            "not be decremented | "
            "metadata.name: Invalid value: \"b\": field is immutable | metadata.uid: Invalid value: \"2\": field is immutable | "
            "metadata.creationTimestamp: Invalid value: null: field is immutable | metadata.deletionTimestamp: Invalid value: "
            "null: field is immutable");
}

TEST(DurationText, AsKubectlPrintsIt) {
  using namespace std::chrono_literals;
  const std::pair<Duration, const char*> rows[] = {
      {-5s, "<invalid>"},
      {-1s, "0s"},
      {0s, "0s"},
      {1999ms, "1s"},
      {119s, "119s"},
      {120s, "2m"},
      {192s, "3m12s"},
      {599s, "9m59s"},
      {600s, "10m"},
      {179min, "179m"},
      {180min, "3h"},
      {181min, "3h1m"},
      {8h, "8h"},
      {47h, "47h"},
      {48h, "2d"},
      {51h, "2d3h"},
      {192h, "8d"},
      {24h * 729, "729d"},
      {24h * 730, "2y"},
      {24h * 830, "2y100d"},
      {24h * 365 * 8, "8y"},
      {24h * 365 * 9 + 24h, "9y"},
  };
  for (auto [age, text] : rows) EXPECT_EQ(human_duration(age), text);
}

}  // namespace
}  // namespace kybern
