// Custom resources through the whole API server: their definitions' life, across a restart too.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <functional>
#include <thread>

#include "apiserver/custom/custom.h"
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
  EXPECT_EQ(second["status"]["conditions"][0]["reason"].as_string(), "ListKindConflict");  // the last of three
  EXPECT_TRUE(refused("GET", "/apis/example.com/v1/namespaces/n/bs").starts_with("404 "));
  must("DELETE", std::string(definitions) + "/as.example.com");
  EXPECT_TRUE(eventually([&] { return call("GET", "/apis/example.com/v1/namespaces/n/bs").has_value(); }));
}

// {"type":"NamesAccepted","status":"False",...} as "NamesAccepted False ShortNamesConflict ..."
std::string condition_of(const Document& definition, std::string_view type) {
  for (Value c : definition["status"]["conditions"].items())
    if (c["type"].as_string() == type)
      return fmt::format("{} {} {}", c["status"].as_string(), c["reason"].as_string(), c["message"].as_string());
  return "";
}

TEST_F(CustomResourcesTest, ANameThatIsGivenUpGoesToWhoWaitsForIt) {
  auto short_names = [](std::string_view names) { return fmt::format(R"({{"spec":{{"names":{{"shortNames":{}}}}}}})", names); };
  const std::string as = std::string(definitions) + "/as.example.com", bs = std::string(definitions) + "/bs.example.com";
  must("POST", std::string(definitions), definition("as", "A"));
  must("POST", std::string(definitions), definition("bs", "B"));
  must("PATCH", as, short_names(R"(["p","q"])"));
  must("PATCH", bs, short_names(R"(["r"])"));
  must("PATCH", bs, short_names(R"(["p","s","q"])"));
  // They come together or not at all, and discovery tells what was promised.
  EXPECT_EQ(condition_of(must("GET", bs), "NamesAccepted"), R"(False ShortNamesConflict ["p" is already in use, "q" is already in use])");
  EXPECT_EQ(condition_of(must("GET", bs), "Established"), "True InitialNamesAccepted the initial names have been accepted");
  EXPECT_EQ(to_json(must("GET", bs)["status"]["acceptedNames"]["shortNames"]), R"(["r"])");
  auto shown = [&] {
    auto list = parse_json(live_.http("GET", "/apis/example.com/v1").body);
    for (Value r : (*list)["resources"].items())
      if (r["name"].as_string() == "bs") return to_json(r["shortNames"]);
    return std::string();
  };
  EXPECT_EQ(shown(), R"(["r"])");
  must("PATCH", as, short_names(R"(["t"])"));
  EXPECT_EQ(condition_of(must("GET", bs), "NamesAccepted"), "True NoConflicts no conflicts found");
  EXPECT_EQ(shown(), R"(["p","s","q"])");
}

TEST_F(CustomResourcesTest, ADefinitionThatServesNoVersionGoesWithItsObjects) {
  must("POST", std::string(definitions), definition("as", "A"));
  must("POST", as_, object("A", "x"));
  must("PATCH", std::string(definitions) + "/as.example.com",
       R"({"spec":{"versions":[{"name":"v1","served":false,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}})");
  EXPECT_TRUE(refused("GET", as_).starts_with("404 "));
  must("DELETE", std::string(definitions) + "/as.example.com");
  EXPECT_TRUE(eventually([&] { return refused("GET", std::string(definitions) + "/as.example.com").starts_with("404 "); }));
}

TEST_F(CustomResourcesTest, WhatAReplacedDefinitionServedGoesWithItsLastReader) {
  const std::string name = std::string(definitions) + "/as.example.com";
  auto change = [&](int i) {
    must(
        "PATCH", name,
        fmt::format(
            R"({{"spec":{{"versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object","description":"{}"}}}}}}]}}}})",
            i));
  };
  const std::size_t before = Custom::alive();
  must("POST", std::string(definitions), definition("as", "A"));
  must("POST", as_, object("A", "x"));
  for (int i = 0; i < 100; ++i) change(i);
  EXPECT_TRUE(eventually([&] { return Custom::alive() == before + 1; })) << Custom::alive() - before;
  // One that is at work keeps what it began with.
  Catalog catalog;
  Document made = must("GET", name);
  catalog.replace_custom("as.example.com", serve_definition(made));
  ServedRef held = catalog.find("example.com", "v1", "as");
  catalog.replace_custom("as.example.com", serve_definition(made));
  EXPECT_EQ(Custom::alive(), before + 3);
  EXPECT_EQ(held->custom->list_kind(), "AList");
  EXPECT_NE(catalog.find("example.com", "v1", "as").get(), held.get());
  Catalog::All all = catalog.all();
  catalog.replace_custom("as.example.com", {});
  EXPECT_FALSE(catalog.find("example.com", "v1", "as"));
  EXPECT_EQ(Custom::alive(), before + 3);
  held = nullptr;
  EXPECT_EQ(Custom::alive(), before + 2);
  all = catalog.all();
  EXPECT_EQ(Custom::alive(), before + 1);
}

TEST_F(CustomResourcesTest, ADefinitionMayChangeUnderWhoWorksWithIt) {
  const std::size_t before = Custom::alive();
  const std::string name = std::string(definitions) + "/as.example.com";
  must("POST", std::string(definitions), definition("as", "A"));
  must("POST", as_, object("A", "x"));
  std::atomic<bool> over = false;
  std::atomic<int> wrong = 0, done = 0;
  auto work = [&](const std::function<bool()>& one) {
    return std::jthread([&, one] {
      for (; !over; ++done)
        if (!one()) ++wrong;
    });
  };
  {
    auto lister = work([&] { return call("GET", as_).has_value(); });
    auto writer =
        work([&] { return call("PATCH", as_ + "/x", R"({"spec":{"n":1}})", "fieldManager=" + std::to_string(done % 3)).has_value(); });
    auto applier = work(
        [&] { return call("PATCH", as_ + "/x", object("A", "x", R"(,"a":{"b":1})"), "fieldManager=m&force=true", "apply").has_value(); });
    for (int i = 0; i < 40 || done < 40; ++i)
      must(
          "PATCH", name,
          fmt::format(
              R"({{"spec":{{"versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object","description":"{}","x-kubernetes-preserve-unknown-fields":true}}}}}}]}}}})",
              i));
    over = true;
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(eventually([&] { return Custom::alive() == before + 1; })) << Custom::alive() - before;
}

// 60 KB and its schema are what each may cost, of which the store has the object.
TEST_F(CustomResourcesTest, ADefinitionTakesLittleMemory) {
  constexpr std::size_t many = 200, most_bytes = 60 << 10;
  const std::string conversion =
      R"("conversion":{"strategy":"Webhook","webhook":{"clientConfig":{"url":"https://127.0.0.1:1/"},"conversionReviewVersions":["v1"]}},)";
  std::string schema = R"({"type":"object","properties":{)";
  for (int i = 0; i < 20; ++i)
    schema += fmt::format(R"({}"field{}":{{"type":"string","description":"what field {} says"}})", i ? "," : "", i, i);
  schema += "}}";
  auto used = [] { return ::mallinfo2().uordblks; };
  const std::size_t before = used();
  for (std::size_t i = 0; i < many; ++i) {
    std::string body = definition(fmt::format("many{}s", i), fmt::format("Many{}", i), schema);
    body.insert(body.find(R"("names")"), conversion);
    must("POST", std::string(definitions), body);
  }
  const std::size_t after = used(), each = after > before ? (after - before) / many : 0;
  std::printf("[ figure   ] a definition takes %zu bytes with its schema of %zu\n", each, schema.size());
  EXPECT_LT(each, most_bytes + schema.size());
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

TEST_F(CustomResourcesTest, RulesWaitForWhatTheSchemaRefuses) {
  must(
      "POST", std::string(definitions),
      definition(
          "as", "A",
          R"({"type":"object","properties":{"kind_":{"type":"string","enum":["a"]},"name":{"type":"string","x-kubernetes-validations":[{"rule":"self == 'x'"}]}}})"));
  EXPECT_EQ(
      refused("POST", as_, object("A", "x", R"(,"kind_":"b","name":"y")")),
      "422 A.example.com \"x\" is invalid: [kind_: Unsupported value: \"b\": supported values: \"a\", <nil>: Invalid value: null: some "
      "validation rules were not checked because the object was invalid; correct the existing errors to complete validation]");
}

TEST_F(CustomResourcesTest, AListThatWasNoSetMayStaySo) {
  must("POST", std::string(definitions), definition("as", "A"));
  must("POST", as_, object("A", "x", R"(,"l":["a","a"],"m":["b"])"));
  must(
      "PATCH", std::string(definitions) + "/as.example.com",
      R"({"spec":{"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"n":{"type":"integer"},)"
      R"("l":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},"m":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}}}}}}]}})");
  must("PATCH", as_ + "/x", R"({"n":1})");
  must("PATCH", as_ + "/x", R"({"l":["a"]})");
  EXPECT_EQ(refused("PATCH", as_ + "/x", R"({"m":["b","b"]})"), "422 A.example.com \"x\" is invalid: m[1]: Duplicate value: \"b\"");
}

TEST_F(CustomResourcesTest, WhatWasWrongBeforeIsAWarning) {
  constexpr std::string_view plain = R"({"type":"object","properties":{"name":{"type":"string"},"n":{"type":"integer"}}})";
  must("POST", std::string(definitions), definition("as", "A", plain));
  must("POST", as_, object("A", "x", R"(,"name":"UPPER","n":1)"));
  must(
      "PATCH", std::string(definitions) + "/as.example.com",
      R"x({"spec":{"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"n":{"type":"integer"},)x"
      R"x("name":{"type":"string","maxLength":9,"x-kubernetes-validations":[{"rule":"self == self.lowerAscii()","message":"must be lower case"}]}}}}}]}})x");
  net::Response changed = live_.http("PATCH", as_ + "/x", {{"content-type", "application/merge-patch+json"}}, R"({"n":2})");
  EXPECT_EQ(changed.status, 200) << changed.body;
  EXPECT_EQ(changed.headers.get("warning"), R"(299 - "name: Invalid value: \"UPPER\": must be lower case")");
  EXPECT_EQ(refused("PATCH", as_ + "/x", R"({"name":"OTHER"})"),
            "422 A.example.com \"x\" is invalid: name: Invalid value: \"OTHER\": must be lower case");
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

TEST_F(CustomResourcesTest, ACellOfAnObjectHasItsMembersSorted) {
  must(
      "POST", std::string(definitions),
      definition(
          "as", "A", R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})",
          R"(,"additionalPrinterColumns":[{"name":"Spec","type":"string","jsonPath":".spec"},{"name":"N","type":"string","jsonPath":".spec.b"}])"));
  must("POST", as_, object("A", "x", R"(,"spec":{"b":1,"a":[true]})"));
  auto table = parse_json(live_.http("GET", as_, {{"accept", "application/json;as=Table;v=v1;g=meta.k8s.io"}}).body);
  ASSERT_TRUE(table);
  EXPECT_EQ(to_json((*table)["rows"][0]["cells"]), R"J(["x","{\"a\":[true],\"b\":1}","1"])J");
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
