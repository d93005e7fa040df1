#include "apiserver/discovery/openapi.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <set>

#include "document/json.h"

namespace kybern::apiserver {
namespace {

const Catalog& catalog() {
  static const Catalog one;
  return one;
}

net::Response ask(std::string path, net::Headers headers = {}) {
  net::Request request;
  request.method = "GET";
  if (auto query = path.find('?'); query != std::string::npos) {
    request.query = path.substr(query + 1);
    path.resize(query);
  }
  request.path = path;
  request.headers = std::move(headers);
  auto answer = openapi_answer(catalog(), request, path);
  EXPECT_TRUE(answer) << path;
  return answer.value_or(net::Response{404, {}, {}});
}

Document json(const net::Response& response) {
  auto document = parse_json(response.body);
  EXPECT_TRUE(document) << (document ? "" : document.error().message);
  return document ? *document : Document();
}

std::string gunzip(std::string_view bytes) {
  z_stream z{};
  EXPECT_EQ(inflateInit2(&z, 15 + 16), Z_OK);
  std::string out;
  char buffer[1 << 16];
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  for (int state = Z_OK; state == Z_OK;) {
    z.next_out = reinterpret_cast<Bytef*>(buffer);
    z.avail_out = sizeof buffer;
    state = inflate(&z, Z_NO_FLUSH);
    out.append(buffer, sizeof buffer - z.avail_out);
  }
  inflateEnd(&z);
  return out;
}

void collect_references(Value value, std::set<std::string>& out) {
  for (Member m : value.members()) {
    if (m.key == "$ref" && m.value.is_string()) out.insert(m.value.str());
    else collect_references(m.value, out);
  }
  for (Value item : value.items()) collect_references(item, out);
}

TEST(Openapi, EveryDocumentOfTheIndexHoldsWhatItRefersTo) {
  Document index = json(ask("/openapi/v3"));
  EXPECT_TRUE(index["paths"]["api/v1"].exists());
  EXPECT_TRUE(index["paths"]["apis/apps/v1"].exists());
  for (Member section : index["paths"].members()) {
    Document document = json(ask(section.value["serverRelativeURL"].str()));
    EXPECT_EQ(document["openapi"].as_string(), "3.0.0") << section.key;
    std::set<std::string> references;
    collect_references(document, references);
    for (const std::string& reference : references) {
      ASSERT_TRUE(reference.starts_with("#/components/schemas/")) << reference;
      EXPECT_TRUE(document["components"]["schemas"][reference.substr(21)].exists()) << section.key << " " << reference;
    }
  }
}

TEST(Openapi, EveryPatchTellsThatItValidatesFields) {
  for (const auto& served : catalog().all()) {
    if (!(served->resource->verbs & schema::verb_patch)) continue;
    std::string root = served->group().empty() ? "/api/" + served->api_version : "/apis/" + served->api_version;
    Document document = json(ask("/openapi/v3" + root));
    std::string path = root + (served->namespaced() ? "/namespaces/{namespace}/" : "/") + std::string(served->plural()) + "/{name}";
    Value patch = document["paths"][path]["patch"];
    ASSERT_TRUE(patch.exists()) << path;
    bool found = false;
    for (Value parameter : patch["parameters"].items())
      found |= parameter["name"].as_string() == "fieldValidation" && parameter["in"].as_string() == "query";
    EXPECT_TRUE(found) << path;
    EXPECT_EQ(patch["x-kubernetes-group-version-kind"]["kind"].as_string(), served->kind());
  }
}

TEST(Openapi, FieldsInVersion3) {
  Document apps = json(ask("/openapi/v3/apis/apps/v1"));
  Value schemas = apps["components"]["schemas"];
  Value port = schemas["io.k8s.api.core.v1.ContainerPort"];
  EXPECT_EQ(port["properties"]["protocol"]["default"].as_string(), "TCP");
  EXPECT_EQ(port["properties"]["containerPort"]["default"].as_int(-1), 0);
  EXPECT_EQ(port["properties"]["containerPort"]["format"].as_string(), "int32");
  EXPECT_EQ(port["required"][0].as_string(), "containerPort");
  Value containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
  EXPECT_EQ(containers["x-kubernetes-patch-strategy"].as_string(), "merge");
  EXPECT_EQ(containers["x-kubernetes-patch-merge-key"].as_string(), "name");
  EXPECT_EQ(containers["x-kubernetes-list-type"].as_string(), "map");
  EXPECT_EQ(containers["x-kubernetes-list-map-keys"][0].as_string(), "name");
  EXPECT_EQ(containers["items"]["allOf"][0]["$ref"].as_string(), "#/components/schemas/io.k8s.api.core.v1.Container");
  EXPECT_EQ(schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"][0]["kind"].as_string(), "Deployment");
  EXPECT_EQ(schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["oneOf"].size(), 2u);
}

TEST(Openapi, ACacheThatIsCurrentGetsNothing) {
  net::Response first = ask("/openapi/v2");
  EXPECT_EQ(first.headers.get("content-type"), "application/json");
  net::Response second = ask("/openapi/v2", {{"if-none-match", first.headers.get("etag")}});
  EXPECT_EQ(second.status, 304);
  EXPECT_TRUE(second.body.empty());
  EXPECT_EQ(ask("/openapi/v2", {{"if-none-match", "\"other\""}}).status, 200);
}

TEST(Openapi, CompressedAndPlainAreTheSame) {
  net::Response plain = ask("/openapi/v3/apis/batch/v1");
  net::Response small = ask("/openapi/v3/apis/batch/v1", {{"accept-encoding", "br, gzip"}});
  EXPECT_EQ(small.headers.get("content-encoding"), "gzip");
  EXPECT_LT(small.body.size() * 5, plain.body.size());
  EXPECT_EQ(gunzip(small.body), plain.body);
}

TEST(Openapi, AnOldHashLeadsToTheNewOne) {
  net::Response old = ask("/openapi/v3/apis/apps/v1?hash=0");
  EXPECT_EQ(old.status, 301);
  net::Response now = ask(std::string(old.headers.get("location")));
  EXPECT_EQ(now.status, 200);
  EXPECT_EQ(now.headers.get("cache-control"), "public, immutable");
}

TEST(Openapi, ProtobufIsNamedWithADot) {
  struct Row {
    std::string_view path, accept, type;
    int status;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", 200},
           {"/openapi/v3/apis/apps/v1", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
            "application/com.github.proto-openapi.spec.v3.v1.0+protobuf", 200},
           {"/openapi/v2", "application/json;q=0.9", "application/json", 200},
           {"/openapi/v2", "image/png", "text/plain; charset=utf-8", 406},
       }) {
    net::Response response = ask(std::string(row.path), {{"accept", row.accept}});
    EXPECT_EQ(response.status, row.status) << row.accept;
    EXPECT_EQ(response.headers.get("content-type"), row.type);
    // Field 1 is the text of the version, "2.0" or "3.0.0"; members come in the order of the JSON, so it may stand anywhere.
    if (row.type.ends_with("protobuf")) {
      EXPECT_NE(response.body.find(row.path == "/openapi/v2" ? "\x0a\x03"
                                                               "2.0"
                                                             : "\x0a\x05"
                                                               "3.0.0"),
                std::string::npos);
    }
  }
}

TEST(Openapi, UnknownPathsAreNotAnswered) {
  net::Request request;
  for (std::string_view path : {"/openapi/v3/apis/none/v1", "/openapi/v4", "/openapi/v2/more"})
    EXPECT_FALSE(openapi_answer(catalog(), request, path)) << path;
}

// The published document of the same version: definitions and their properties have the same names, types and merge keys.
TEST(Openapi, AgreesWithThePublishedDocument) {
  std::filesystem::path file = std::filesystem::path(KYBERN_SOURCE_DIR) / "../shared/kube-api/openapi-v1.36.0-swagger.json.gz";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "the published document is not here";
  std::string bytes(std::filesystem::file_size(file), '\0');
  FILE* opened = std::fopen(file.c_str(), "rb");
  ASSERT_NE(opened, nullptr);
  EXPECT_EQ(std::fread(bytes.data(), 1, bytes.size(), opened), bytes.size());
  std::fclose(opened);
  auto published = parse_json(gunzip(bytes));
  ASSERT_TRUE(published);
  Document ours = json(ask("/openapi/v2"));
  for (Member definition : ours["definitions"].members()) {
    if (definition.key.starts_with("io.k8s.metrics.") || definition.key.ends_with(".meta.v1.Duration"))
      continue;  // another program serves these there
    Value theirs = published->root()["definitions"][definition.key];
    ASSERT_TRUE(theirs.exists()) << definition.key;
    EXPECT_EQ(definition.value["properties"].size(), theirs["properties"].size()) << definition.key;
    for (Member property : definition.value["properties"].members()) {
      for (std::string_view member : {"$ref", "type", "format", "items", "additionalProperties", "x-kubernetes-list-type",
                                      "x-kubernetes-list-map-keys", "x-kubernetes-patch-strategy", "x-kubernetes-patch-merge-key"})
        EXPECT_TRUE(property.value[member] == theirs["properties"][property.key][member])
            << definition.key << "." << property.key << " " << member;
    }
  }
  for (Member path : ours["paths"].members()) {
    if (path.key.starts_with("/apis/metrics.k8s.io/")) continue;
    Value theirs = published->root()["paths"][path.key];
    ASSERT_TRUE(theirs.exists()) << path.key;
    for (Member operation : path.value.members())
      EXPECT_TRUE(operation.value["operationId"] == theirs[operation.key]["operationId"]) << path.key << " " << operation.key;
  }
}

}  // namespace
}  // namespace kybern::apiserver
