// Versions of a custom resource that a webhook converts: the API server and the webhook as real servers on loopback.
#include "apiserver/custom/converter.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/hooks/test_hook.h"
#include "apiserver/testing/live_server.h"
#include "base/testing/eventually.h"

namespace kybern::apiserver {
namespace {

using testing::TestHook;

// v1 has spec.host and spec.port, v2 spec.address "host:port".
Draft converted(Value object, std::string_view to) {
  Draft out(object);
  out["apiVersion"] = to;
  Value spec = object["spec"];
  if (to.ends_with("/v2") && spec["host"].exists()) {
    out["spec"] = Draft::object({{"address", fmt::format("{}:{}", spec["host"].as_string(), spec["port"].as_string())}});
  } else if (to.ends_with("/v1") && spec["address"].exists()) {
    std::string_view address = spec["address"].as_string();
    auto colon = address.find(':');
    out["spec"] = Draft::object({{"host", address.substr(0, colon)}, {"port", address.substr(colon + 1)}});
  }
  return out;
}

net::Response review(const Document& asked, const std::function<void(Draft&)>& spoil = {}) {
  Draft answer = Draft::object({{"apiVersion", "apiextensions.k8s.io/v1"}, {"kind", "ConversionReview"}});
  Draft& response = answer["response"];
  response["uid"] = asked["request"]["uid"];
  response["result"] = Draft::object({{"status", "Success"}});
  response["convertedObjects"] = Draft::array();
  for (Value object : asked["request"]["objects"].items())
    response["convertedObjects"].push_back(converted(object, asked["request"]["desiredAPIVersion"].as_string()));
  if (spoil) spoil(response);
  return {200, {}, to_json(answer)};
}

class ConverterTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(live_.start()); }
  ApiResult<Document> call(std::string_view method, const std::string& path, const std::string& body = "") {
    return live_.call(method, path, body);
  }
  Document must(std::string_view method, const std::string& path, const std::string& body = "") { return live_.must(method, path, body); }
  void define(const std::string& client_config) {
    std::string schema =
        R"({"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}})";
    must(
        "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        fmt::format(
            R"({{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"links.conv.test"}},"spec":{{"group":"conv.test","scope":"Cluster","names":{{"plural":"links","kind":"Link"}},)"
            R"("versions":[{{"name":"v1","served":true,"storage":true,"schema":{0}}},{{"name":"v2","served":true,"storage":false,"schema":{0}}}],)"
            R"("conversion":{{"strategy":"Webhook","webhook":{{"clientConfig":{1},"conversionReviewVersions":["v1"]}}}}}}}})",
            schema, client_config));
  }
  static std::string link(std::string_view version, std::string_view name, std::string_view spec) {
    return fmt::format(R"({{"apiVersion":"conv.test/{}","kind":"Link","metadata":{{"name":"{}","labels":{{"a":"b"}}}},"spec":{}}})",
                       version, name, spec);
  }
  static inline const std::string v1 = "/apis/conv.test/v1/links", v2 = "/apis/conv.test/v2/links";
  testing::LiveServer live_;
};

TEST_F(ConverterTest, reads_writes_and_lists_in_both_versions) {
  TestHook hook([](const Document& asked) { return review(asked); });
  define(hook.url_config("/convert"));
  must("POST", v1, link("v1", "a", R"({"host":"x","port":"1"})"));
  EXPECT_EQ(hook.count(), 0u);
  Document read = must("GET", v2 + "/a");
  EXPECT_EQ(read["apiVersion"].as_string(), "conv.test/v2");
  EXPECT_EQ(to_json(read["spec"]), R"({"address":"x:1"})");
  EXPECT_EQ(hook.count(), 1u);
  EXPECT_EQ(hook.targets()[0], "/convert?timeout=30s");
  Document asked = hook.last();
  EXPECT_EQ(asked["kind"].as_string(), "ConversionReview");
  EXPECT_EQ(asked["request"]["desiredAPIVersion"].as_string(), "conv.test/v2");
  must("GET", v2 + "/a");
  EXPECT_EQ(hook.count(), 1u);  // it is remembered

  Document made = must("POST", v2, link("v2", "b", R"({"address":"y:2"})"));
  EXPECT_EQ(to_json(made["spec"]), R"({"address":"y:2"})");
  Document stored = must("GET", v1 + "/b");
  EXPECT_EQ(to_json(stored["spec"]), R"({"host":"y","port":"2"})");
  EXPECT_EQ(stored["metadata"]["uid"].as_string(), made["metadata"]["uid"].as_string());
  EXPECT_EQ(stored["metadata"]["resourceVersion"].as_string(), made["metadata"]["resourceVersion"].as_string());
  must("POST", v1, link("v1", "c", R"({"host":"z","port":"3"})"));

  std::size_t before = hook.count();
  Document list = must("GET", v2);
  ASSERT_EQ(list["items"].size(), 3u);
  EXPECT_EQ(list["items"][0]["spec"]["address"].as_string(), "x:1");
  EXPECT_EQ(list["items"][1]["spec"]["address"].as_string(), "y:2");
  EXPECT_EQ(list["items"][2]["spec"]["address"].as_string(), "z:3");
  EXPECT_LE(hook.count(), before + 1);  // one review for all that were not known yet

  Document patched = must("PATCH", v2 + "/a", R"({"spec":{"address":"w:9"}})");
  EXPECT_EQ(to_json(patched["spec"]), R"({"address":"w:9"})");
  EXPECT_EQ(to_json(must("GET", v1 + "/a")["spec"]), R"({"host":"w","port":"9"})");
  must("DELETE", v2 + "/a");
  EXPECT_EQ(call("GET", v1 + "/a").error().code, 404);
}

// What was stored before the storage version changed is deleted as it is, and what a finalizer holds stays whole.
TEST_F(ConverterTest, a_definition_goes_without_its_webhook) {
  TestHook hook([](const Document& asked) { return review(asked); });
  define(hook.url_config());
  const std::string definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/links.conv.test";
  must("POST", v1, link("v1", "free", R"({"host":"x","port":"1"})"));
  must(
      "POST", v1,
      R"({"apiVersion":"conv.test/v1","kind":"Link","metadata":{"name":"held","finalizers":["conv.test/hold"]},"spec":{"host":"y","port":"2"}})");
  must(
      "PATCH", definition,
      R"({"spec":{"versions":[{"name":"v1","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"host":{"type":"string"},"port":{"type":"string"}}}}}}},)"
      R"({"name":"v2","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"address":{"type":"string"}}}}}}}]}})");
  must("DELETE", definition);
  EXPECT_TRUE(eventually([&] { return must("GET", v1)["items"].size() == 1; }));
  EXPECT_TRUE(eventually([&] { return must("GET", v1 + "/held")["metadata"]["deletionTimestamp"].exists(); }));
  EXPECT_EQ(hook.count(), 0u);
  Document held = must("GET", v1 + "/held");
  EXPECT_EQ(to_json(held["spec"]), R"({"host":"y","port":"2"})");
  must("PATCH", v1 + "/held", R"({"metadata":{"finalizers":null}})");
  EXPECT_TRUE(eventually([&] { return !call("GET", definition); }));
}

TEST_F(ConverterTest, what_a_webhook_may_not_do) {
  std::function<void(Draft&)> spoil;
  TestHook hook([&](const Document& asked) { return review(asked, spoil); });
  define(hook.url_config());
  must("POST", v1, link("v1", "a", R"({"host":"x","port":"1"})"));
  constexpr std::string_view what = "conversion webhook for conv.test/v1, Kind=Link ";
  struct Row {
    std::function<void(Draft&)> spoil;
    std::string message;
  };
  auto first = [](Draft& r) -> Draft& { return r["convertedObjects"].items()[0]; };
  const Row rows[] = {
      {[](Draft& r) {
         r["result"] = Draft::object({{"status", "Failed"}, {"message", "cannot"}});
       },
       "failed: cannot"},
      {[](Draft& r) {
         r["result"] = Draft::object({{"status", "Failed"}});
       },
       "failed: response.result.status was 'Failed', not 'Success'"},
      {[](Draft& r) { r["convertedObjects"] = Draft::array(); }, "returned 0 objects, expected 1"},
      {[&](Draft& r) { first(r)["apiVersion"] = "conv.test/v3"; },
       "returned invalid object at index 0: invalid groupVersion (expected conv.test/v2, received conv.test/v3)"},
      {[&](Draft& r) { first(r)["kind"] = "Other"; }, "returned invalid object at index 0: invalid kind (expected Link, received Other)"},
      {[&](Draft& r) { first(r)["metadata"]["name"] = "b"; }, "returned invalid object: must have the same name: a != b"},
      {[&](Draft& r) { first(r).erase("metadata"); }, "returned invalid object: must have the same name: a != "},
      {[&](Draft& r) { first(r)["metadata"]["labels"] = Draft::array(); },
       "returned invalid metadata: invalid metadata.labels of type []interface {} in converted object"},
  };
  for (const Row& row : rows) {
    spoil = row.spoil;
    auto answer = call("GET", v2 + "/a");
    ASSERT_FALSE(answer) << row.message;
    EXPECT_EQ(answer.error().code, 500);
    EXPECT_EQ(answer.error().message, std::string(what) + row.message);
  }
  // Other metadata is put back, labels may be changed.
  spoil = [&](Draft& r) {
    first(r)["metadata"]["generation"] = 77;
    first(r)["metadata"]["labels"]["a"] = "c";
  };
  Document read = must("GET", v2 + "/a");
  EXPECT_EQ(read["metadata"]["generation"].as_int(), 1);
  EXPECT_EQ(read["metadata"]["labels"]["a"].as_string(), "c");
  // A failed write stores nothing; the stored version does not need the webhook.
  spoil = [](Draft& r) { r["result"] = Draft::object({{"status", "Failed"}, {"message", "no"}}); };
  EXPECT_EQ(call("POST", v2, link("v2", "n", R"({"address":"y:2"})")).error().message,
            "conversion webhook for conv.test/v2, Kind=Link failed: no");
  EXPECT_EQ(call("GET", v1 + "/n").error().code, 404);
  EXPECT_TRUE(call("GET", v1 + "/a"));
}

}  // namespace
}  // namespace kybern::apiserver
