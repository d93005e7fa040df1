// Custom resources through the whole API server: their definitions' life, across a restart too.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/testing/live_server.h"
#include "base/testing/eventually.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

class CustomResourcesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(live_.start());
    must("POST", "/api/v1/namespaces", R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}})");
  }
  ApiResult<Document> call(std::string_view method, const std::string& path, const std::string& body = "", std::string_view query = "",
                           std::string_view patch = "merge") {
    return live_.call(method, path, body, query, patch);
  }
  Document must(std::string_view method, const std::string& path, const std::string& body = "") { return live_.must(method, path, body); }
  std::string refused(std::string_view method, const std::string& path, const std::string& body = "") {
    return live_.refused(method, path, body);
  }
  static std::string definition(std::string_view plural, std::string_view kind,
                                std::string_view schema = R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})",
                                std::string_view more = "") {
    return fmt::format(
        R"({{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"{0}.example.com"}},"spec":{{"group":"example.com","scope":"Namespaced",)"
        R"("names":{{"plural":"{0}","kind":"{1}"}},"versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{2}}}{3}}}]}}}})",
        plural, kind, schema, more);
  }
  static std::string object(std::string_view kind, std::string_view name, std::string_view more = "") {
    return fmt::format(R"({{"apiVersion":"example.com/v1","kind":"{}","metadata":{{"name":"{}"}}{}}})", kind, name, more);
  }

  testing::LiveServer live_;
  const std::string as_ = "/apis/example.com/v1/namespaces/n/as";
};

TEST_F(CustomResourcesTest, AreServedAsSoonAsTheDefinitionIsCreated) {
  must("POST", std::string(definitions), definition("as", "A"));
  Document made = must("GET", std::string(definitions) + "/as.example.com");
  EXPECT_EQ(made["status"]["acceptedNames"]["listKind"].as_string(), "AList");
  EXPECT_EQ(must("POST", as_, object("A", "x"))["metadata"]["generation"].as_int(), 1);
  EXPECT_EQ(must("GET", as_)["items"].size(), 1u);
  Document patched = must("PATCH", as_ + "/x", R"({"spec":{"a":1}})");
  EXPECT_EQ(patched["metadata"]["generation"].as_int(), 2);
  EXPECT_EQ(refused("PUT", as_ + "/x", object("A", "x")),
            "422 as.example.com \"x\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update");
}

TEST_F(CustomResourcesTest, OutliveARestart) {
  must("POST", std::string(definitions), definition("as", "A", R"({"type":"object","properties":{"n":{"type":"integer","default":3}}})"));
  must("POST", as_, object("A", "x"));
  ASSERT_TRUE(live_.start());  // ends the one before
  EXPECT_EQ(must("GET", as_ + "/x")["n"].as_int(), 3);
  EXPECT_EQ(refused("POST", as_, object("A", "y", R"(,"n":"text")")),
            "422 A.example.com \"y\" is invalid: n: Invalid value: \"string\": n in body must be of type integer: \"string\"");
}

TEST_F(CustomResourcesTest, ADefinitionGoesWhenItsObjectsAreGone) {
  must("POST", std::string(definitions), definition("as", "A"));
  must("POST", as_, object("A", "free"));
  must("POST", as_, R"({"apiVersion":"example.com/v1","kind":"A","metadata":{"name":"held","finalizers":["example.com/hold"]}})");
  must("DELETE", std::string(definitions) + "/as.example.com");
  Document dying = must("GET", std::string(definitions) + "/as.example.com");
  EXPECT_TRUE(dying["metadata"]["deletionTimestamp"].exists());
  EXPECT_EQ(dying["status"]["conditions"][2]["type"].as_string(), "Terminating");
  EXPECT_TRUE(eventually([&] { return must("GET", as_)["items"].size() == 1; }));
  EXPECT_TRUE(refused("POST", as_, object("A", "late")).starts_with("405 "));
  EXPECT_NE(refused("PATCH", std::string(definitions) + "/as.example.com", R"({"spec":{"scope":"Cluster"}})"), "done");
  EXPECT_EQ(must("GET", as_)["items"].size(), 1u);  // a refused change leaves it served
  must("PATCH", as_ + "/held", R"({"metadata":{"finalizers":null}})");
  EXPECT_TRUE(eventually([&] { return refused("GET", std::string(definitions) + "/as.example.com").starts_with("404 "); }));
  EXPECT_TRUE(eventually([&] { return refused("GET", as_).starts_with("404 "); }));  // who serves it hears of it a moment later
  must("POST", std::string(definitions), definition("as", "A"));
  EXPECT_EQ(must("GET", as_)["items"].size(), 0u);
}

TEST_F(CustomResourcesTest, NamesBelongToOneDefinition) {
  must("POST", std::string(definitions), definition("as", "A"));
  must("POST", std::string(definitions), definition("bs", "A"));
  Document second = must("GET", std::string(definitions) + "/bs.example.com");
  EXPECT_EQ(second["status"]["conditions"][0]["reason"].as_string(), "SingularConflict");
  EXPECT_TRUE(refused("GET", "/apis/example.com/v1/namespaces/n/bs").starts_with("404 "));
  must("DELETE", std::string(definitions) + "/as.example.com");
  EXPECT_TRUE(eventually([&] { return call("GET", "/apis/example.com/v1/namespaces/n/bs").has_value(); }));
}

TEST_F(CustomResourcesTest, AChangedSchemaHoldsAtOnce) {
  must("POST", std::string(definitions), definition("as", "A"));
  must("POST", as_, object("A", "x", R"(,"spec":{"a":1,"b":"kept"})"));
  must(
      "PATCH", std::string(definitions) + "/as.example.com",
      R"({"spec":{"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"b":{"type":"string"},"c":{"type":"string","default":"d"}}}}}}}]}})");
  Document read = must("GET", as_ + "/x");
  EXPECT_FALSE(read["spec"]["a"].exists());
  EXPECT_EQ(read["spec"]["b"].as_string(), "kept");
  EXPECT_EQ(read["spec"]["c"].as_string(), "d");
}

TEST_F(CustomResourcesTest, FieldsOfTheSchemaSelect) {
  must("POST", std::string(definitions),
       definition("as", "A", R"({"type":"object","properties":{"spec":{"type":"object","properties":{"color":{"type":"string"}}}}})",
                  R"(,"selectableFields":[{"jsonPath":".spec.color"}])"));
  must("POST", as_, object("A", "x", R"(,"spec":{"color":"red"})"));
  must("POST", as_, object("A", "y", R"(,"spec":{"color":"blue"})"));
  auto red = call("GET", as_, "", "fieldSelector=spec.color%3Dred");
  ASSERT_TRUE(red) << red.error().message;
  ASSERT_EQ((*red)["items"].size(), 1u);
  EXPECT_EQ((*red)["items"][0]["metadata"]["name"].as_string(), "x");
  EXPECT_FALSE(call("GET", as_, "", "fieldSelector=spec.size%3D1"));
}

TEST_F(CustomResourcesTest, ItsScaleTakesAnApply) {
  must(
      "POST", std::string(definitions),
      R"J({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"rings.demo.dev"},"spec":{"group":"demo.dev","scope":"Namespaced",
    "names":{"plural":"rings","kind":"Ring"},"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"scale":{"specReplicasPath":".spec.size.count","statusReplicasPath":".status.count"}},
    "schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"size":{"type":"object","properties":{"count":{"type":"integer"}}}}}}}}}]}})J");
  const std::string rings = "/apis/demo.dev/v1/namespaces/n/rings";
  ASSERT_TRUE(eventually([&] { return call("GET", rings).has_value(); }));
  must("POST", rings, R"({"apiVersion":"demo.dev/v1","kind":"Ring","metadata":{"name":"a"},"spec":{"size":{"count":1}}})");
  const std::string wanted = R"({"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"a"},"spec":{"replicas":4}})";
  auto refused = call("PATCH", rings + "/a/scale", wanted, "fieldManager=scaler", "apply");
  ASSERT_FALSE(refused) << "somebody else owns the number";
  EXPECT_EQ(refused.error().code, 409);
  EXPECT_EQ(refused.error().causes.size(), 1u);
  auto applied = call("PATCH", rings + "/a/scale", wanted, "fieldManager=scaler&force=true", "apply");
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ((*applied)["kind"].as_string(), "Scale");
  EXPECT_EQ((*applied)["spec"]["replicas"].as_int(), 4);
  Document ring = must("GET", rings + "/a");
  EXPECT_EQ(ring["spec"]["size"]["count"].as_int(), 4);
  bool owned = false;
  for (Value manager : ring["metadata"]["managedFields"].items())
    if (manager["manager"].as_string() == "scaler")
      owned = manager["operation"].as_string() == "Apply" && manager["subresource"].as_string() == "scale" &&
              manager["apiVersion"].as_string() == "demo.dev/v1" && manager["fieldsV1"]["f:spec"]["f:size"]["f:count"].exists();
  EXPECT_TRUE(owned) << to_json(ring["metadata"]["managedFields"]);
}

}  // namespace
}  // namespace kybern::apiserver
