// The forms of an answer, as a client asks for them by headers: tables and metadata alone, also while watching; what cannot
// be given; what is said besides.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "apiserver/http/gzip.h"
#include "apiserver/http/media.h"
#include "apiserver/testing/live_server.h"
#include "base/log.h"
#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "net/client.h"
#include "schema/protobuf.h"

namespace kybern::apiserver {
namespace {

TEST(Media, TheBestRangeDecides) {
  struct Row {
    const char *accept, *form;  // "" for 406
  };
  for (Row row : {
           Row{"", "application/json"},
           Row{"*/*", "application/json"},
           Row{"application/*", "application/json"},
           Row{"application/yaml", "application/yaml"},
           Row{"*/*, application/yaml", "application/yaml"},
           Row{"application/*, application/yaml;q=0.9", "application/json"},
           Row{"application/yaml;q=0.5, application/json;q=0.8", "application/json"},
           Row{"application/json;q=0.3,application/vnd.kubernetes.protobuf;q=0.4", "application/vnd.kubernetes.protobuf"},
           Row{"text/html", ""},
           Row{"text/html, */*;q=0.1", "application/json"},
           Row{"application/xml,application/yaml", "application/yaml"},
           Row{"application/json;q=nonsense", "application/json"},
           Row{"application/json;stream=watch", "application/json"},
           Row{"application/json;stream=other", ""},
           Row{"application/json;as=Table;g=meta.k8s.io;v=v1", "application/json table meta.k8s.io/v1"},
           Row{"application/json;as=Table;g=meta.k8s.io;v=v1beta1", "application/json table meta.k8s.io/v1beta1"},
           Row{"application/json;as=Table;g=meta.k8s.io;v=v9", ""},
           Row{"application/json;as=Bogus;g=meta.k8s.io;v=v1,application/json", "application/json"},
           Row{"application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", ""},
           Row{"application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/yaml;as=Table;g=meta.k8s.io;v=v1",
               "application/yaml table meta.k8s.io/v1"},
           Row{"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
               "application/vnd.kubernetes.protobuf partial meta.k8s.io/v1"},
       }) {
    auto accepted = negotiate(row.accept, true);
    std::string form = accepted ? accepted->content_type() : "";
    if (accepted && accepted->shape == Shape::table) form += " table " + std::string(accepted->meta_version());
    if (accepted && accepted->shape == Shape::partial) form += " partial " + std::string(accepted->meta_version());
    EXPECT_EQ(form, row.form) << row.accept;
  }
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "text/a;q=0.5;b=c,";
  EXPECT_FALSE(negotiate(many + "application/json", true));  // what comes so late is not looked at
}

TEST(Media, PeopleReadIndentedText) {
  EXPECT_TRUE(wants_pretty("", "curl/8.0"));
  EXPECT_TRUE(wants_pretty("", "Mozilla/5.0 (X11)"));
  EXPECT_TRUE(wants_pretty("true", "kubectl"));
  EXPECT_FALSE(wants_pretty("false", "curl/8.0"));
  EXPECT_FALSE(wants_pretty("", "kubectl"));
}

TEST(Media, WarningsAreCut) {
  auto sent = [](const std::vector<std::string>& warnings) {
    net::Headers headers;
    add_warnings(headers, warnings);
    std::vector<std::string> out;
    for (std::string_view one : headers.all("warning")) out.emplace_back(one);
    return out;
  };
  EXPECT_EQ(sent({"a \"b\"", "", "a \"b\"", "c"}), (std::vector<std::string>{R"(299 - "a \"b\"")", R"(299 - "c")"}));
  EXPECT_EQ(sent({std::string(4000, 'x')})[0].size(), 4000 + 8u);
  std::vector<std::string> many;
  for (int i = 0; i < 1000; ++i) many.push_back(std::to_string(i) + std::string(1000, 'x'));
  EXPECT_EQ(sent(many).size(), 16u);  // of 256 characters each
  EXPECT_EQ(sent(many)[0].size(), 256 + 8u);
}

TEST(Media, GzipIsAskedFor) {
  EXPECT_TRUE(accepts_gzip("gzip"));
  EXPECT_TRUE(accepts_gzip("deflate, gzip;q=0.5"));
  EXPECT_FALSE(accepts_gzip("deflate"));
  EXPECT_FALSE(accepts_gzip("gzip;q=0"));
  EXPECT_FALSE(accepts_gzip("gzip;q=0.0"));
}

class FormsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(live_.start());
    ASSERT_EQ(ask("POST", maps, "", R"({"metadata":{"name":"a"},"data":{"k":"v"}})").status, 201);
  }
  void TearDown() override {
    live_.stop();
    set_log_level(LogLevel::warn);
  }
  net::ClientRequest request(std::string method, std::string target, std::string accept, std::string body = "") {
    net::ClientRequest out{std::move(method), std::move(target), {{"authorization", "Bearer secret-admin"}}, std::move(body)};
    if (!accept.empty()) out.headers.set("accept", accept);
    if (!out.body.empty()) out.headers.set("content-type", "application/json");
    return out;
  }
  net::Response ask(std::string method, std::string target, std::string accept = "", std::string body = "") {
    auto out = live_.client().call(request(std::move(method), std::move(target), std::move(accept), std::move(body)));
    EXPECT_TRUE(out) << out.error().message;
    return out.value_or(net::Response{0, {}, ""});
  }
  static Document json(const std::string& text) {
    auto out = parse_json(text);
    EXPECT_TRUE(out) << text;
    return out ? *out : Document();
  }
  // The first events of a watch.
  std::vector<Document> events(const std::string& target, const std::string& accept, std::size_t count) {
    std::vector<Document> out;
    auto stream = live_.client().stream(request("GET", target, accept));
    EXPECT_TRUE(stream) << stream.error().message;
    if (!stream) return out;
    EXPECT_EQ((*stream)->status(), 200);
    std::string text;
    while (out.size() < count) {
      auto bytes = (*stream)->read_for(std::chrono::seconds(10));
      if (!bytes || bytes->empty()) break;
      text += *bytes;
      for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) out.push_back(json(text.substr(0, end)));
    }
    EXPECT_GE(out.size(), count);
    out.resize(std::max(out.size(), count));
    (*stream)->close();
    return out;
  }

  const std::string maps = "/api/v1/namespaces/default/configmaps";
  const std::string watched = maps + "?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
  testing::LiveServer live_;
};

const std::string as_table = "application/json;as=Table;g=meta.k8s.io;v=", as_metadata = ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

// The end of the initial events is told in the row's object: there is nowhere else in a table.
TEST_F(FormsTest, WatchOfTables) {
  for (const char* version : {"v1", "v1beta1"}) {
    auto seen = events(watched + "&fieldSelector=metadata.name%3Da", as_table + version, 2);
    const std::string api_version = std::string("meta.k8s.io/") + version;
    Value added = seen[0]["object"], end = seen[1]["object"];
    EXPECT_EQ(seen[0]["type"].as_string(), "ADDED");
    EXPECT_EQ(added["kind"].as_string(), "Table");
    EXPECT_EQ(added["apiVersion"].as_string(), api_version);
    EXPECT_EQ(added["columnDefinitions"][0]["name"].as_string(), "Name");
    EXPECT_EQ(added["rows"][0]["cells"][0].as_string(), "a");
    EXPECT_EQ(added["rows"][0]["object"]["kind"].as_string(), "PartialObjectMetadata");
    EXPECT_EQ(added["rows"][0]["object"]["apiVersion"].as_string(), api_version);
    EXPECT_EQ(seen[1]["type"].as_string(), "BOOKMARK");
    EXPECT_EQ(end["kind"].as_string(), "Table");
    EXPECT_TRUE(end["columnDefinitions"].is_null());
    EXPECT_FALSE(end["metadata"]["resourceVersion"].as_string().empty());
    EXPECT_EQ(end["rows"].size(), 1u);
    EXPECT_EQ(end["rows"][0]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"].as_string(), "true");
  }
  auto bare = events(watched + "&includeObject=None&fieldSelector=metadata.name%3Da", as_table + "v1", 1);
  EXPECT_FALSE(bare[0]["object"]["rows"][0]["object"].is_object());
  auto whole = events(watched + "&includeObject=Object&fieldSelector=metadata.name%3Da", as_table + "v1", 1);
  EXPECT_EQ(whole[0]["object"]["rows"][0]["object"]["data"]["k"].as_string(), "v");
}

// What `kubectl get --subresource=scale` shows.
TEST_F(FormsTest, ScalesAreTables) {
  ASSERT_EQ(
      ask("POST", "/apis/apps/v1/namespaces/default/replicasets", "",
          R"({"metadata":{"name":"r"},"spec":{"replicas":3,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},)"
          R"("spec":{"containers":[{"name":"c","image":"i"}]}}}})")
          .status,
      201);
  const std::string path = "/apis/apps/v1/namespaces/default/replicasets/r/scale";
  Document table = json(ask("GET", path, as_table + "v1").body);
  EXPECT_EQ(table["kind"].as_string(), "Table");
  std::string columns;
  for (Value c : table["columnDefinitions"].items()) columns += c["name"].str() + ":" + c["type"].str() + " ";
  EXPECT_EQ(columns, "Name:string Desired:integer Available:integer Age:string ");
  Value row = table["rows"][0];
  EXPECT_EQ(row["cells"].size(), 4U);
  EXPECT_EQ(to_json(row["cells"][0]) + to_json(row["cells"][1]) + to_json(row["cells"][2]), "\"r\"30");
  EXPECT_EQ(row["object"]["kind"].as_string(), "PartialObjectMetadata");
  Document whole = json(ask("GET", path + "?includeObject=Object", as_table + "v1").body);
  EXPECT_EQ(whole["rows"][0]["object"]["kind"].as_string(), "Scale");
  EXPECT_EQ(whole["rows"][0]["object"]["spec"]["replicas"].as_int(), 3);
}

// As requests are matched with them, not by their names; objects themselves come by name.
TEST_F(FormsTest, FlowSchemasInTheirOrder) {
  const std::string path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
  for (const auto& [name, precedence] : {std::pair("z-first", 2), std::pair("a-last", 10000), std::pair("b-first", 2)})
    ASSERT_EQ(
        ask("POST", path, "",
            fmt::format(
                R"({{"metadata":{{"name":"{}"}},"spec":{{"matchingPrecedence":{},"priorityLevelConfiguration":{{"name":"exempt"}}}}}})",
                name, precedence))
            .status,
        201);
  Document table = json(ask("GET", path, as_table + "v1").body);
  std::vector<std::string> names;
  std::int64_t last = 0;
  for (Value row : table["rows"].items()) {
    names.push_back(row["cells"][0].str());
    EXPECT_LE(last, row["cells"][2].as_int()) << names.back();
    last = row["cells"][2].as_int();
  }
  ASSERT_GE(names.size(), 3U);
  auto place = [&](std::string_view name) { return std::ranges::find(names, name) - names.begin(); };
  EXPECT_LT(place("b-first"), place("z-first"));
  EXPECT_LT(place("z-first"), place("a-last"));
  EXPECT_FALSE(table["metadata"]["resourceVersion"].as_string().empty());
  Document list = json(ask("GET", path).body);
  EXPECT_EQ(list["items"].size(), names.size());
  EXPECT_EQ(list["items"][0]["metadata"]["name"].as_string(), "a-last");
}

TEST_F(FormsTest, WatchOfMetadata) {
  auto seen = events(watched + "&fieldSelector=metadata.name%3Da", "application/json" + as_metadata, 2);
  EXPECT_EQ(seen[0]["object"]["kind"].as_string(), "PartialObjectMetadata");
  EXPECT_EQ(seen[0]["object"]["apiVersion"].as_string(), "meta.k8s.io/v1");
  EXPECT_EQ(seen[0]["object"]["metadata"]["name"].as_string(), "a");
  EXPECT_FALSE(seen[0]["object"]["data"].exists());
  EXPECT_EQ(seen[1]["type"].as_string(), "BOOKMARK");
  EXPECT_EQ(seen[1]["object"]["kind"].as_string(), "PartialObjectMetadata");
  EXPECT_EQ(seen[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"].as_string(), "true");
}

TEST_F(FormsTest, MetadataInProtobuf) {
  const std::string protobuf = "application/vnd.kubernetes.protobuf";
  net::Response one = ask("GET", maps + "/a", protobuf + as_metadata);
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(one.headers.get("content-type"), protobuf);
  EXPECT_TRUE(one.body.starts_with(std::string_view("k8s\0", 4)));
  EXPECT_NE(one.body.find("PartialObjectMetadata"), std::string::npos);
  net::Response list = ask("GET", maps, protobuf + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
  EXPECT_EQ(list.status, 200);
  EXPECT_NE(list.body.find("PartialObjectMetadataList"), std::string::npos);
  auto stream = live_.client().stream(request("GET", watched + "&fieldSelector=metadata.name%3Da", protobuf + as_metadata));
  ASSERT_TRUE(stream);
  EXPECT_EQ((*stream)->headers().get("content-type"), protobuf + ";stream=watch");
  std::string bytes;
  while (bytes.find("BOOKMARK") == std::string::npos) {
    auto more = (*stream)->read_for(std::chrono::seconds(10));
    ASSERT_TRUE(more && !more->empty());
    bytes += *more;
  }
  EXPECT_NE(bytes.find("PartialObjectMetadata"), std::string::npos);
  (*stream)->close();
}

// The same object, list and page by either encoding; a protobuf list is sent in pieces, and its length is told in front.
TEST_F(FormsTest, ProtobufSaysTheSameAsJson) {
  const std::string protobuf = "application/vnd.kubernetes.protobuf";
  for (int i = 0; i < 40; ++i)
    ASSERT_EQ(ask("POST", maps, "",
                  fmt::format(R"({{"metadata":{{"name":"b{:02}"}},"data":{{"k":"{}"}}}})", i,
                              std::string(20'000, static_cast<char>('a' + i % 26))))
                  .status,
              201);
  const std::string metadata_list = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
  for (const auto& [target, as] : std::vector<std::pair<std::string, std::string>>{{maps + "/a", ""},
                                                                                   {maps + "/a", as_metadata},
                                                                                   {maps, ""},
                                                                                   {maps, metadata_list},
                                                                                   {maps + "?labelSelector=none%3Dso", ""},
                                                                                   {"/apis/apps/v1/deployments", ""},
                                                                                   {"/apis/autoscaling/v1/horizontalpodautoscalers", ""}}) {
    SCOPED_TRACE(target + as);
    net::Response text = ask("GET", target, "application/json" + as), bytes = ask("GET", target, protobuf + as);
    ASSERT_EQ(text.status, 200);
    ASSERT_EQ(bytes.status, 200);
    auto decoded = schema::decode_protobuf(bytes.body);
    ASSERT_TRUE(decoded) << decoded.error().message;
    Document expected = json(text.body);
    ASSERT_EQ((*decoded)["items"].size(), expected["items"].size());
    if (as == metadata_list) {  // in protobuf an item of a list never says its kind
      EXPECT_EQ((*decoded)["kind"].as_string(), expected["kind"].as_string());
      for (std::size_t i = 0; i < expected["items"].size(); ++i)
        EXPECT_TRUE((*decoded)["items"][i]["metadata"] == expected["items"][i]["metadata"]) << i;
    } else if (expected["items"].size() > 0 || !expected["items"].exists()) {  // of absent and empty lists protobuf knows no difference
      EXPECT_TRUE(decoded->root() == expected.root()) << to_json(decoded->root()).substr(0, 300) << "\n" << text.body.substr(0, 300);
    }
  }
  net::Response text = ask("GET", maps + "?limit=7"), bytes = ask("GET", maps + "?limit=7", protobuf);
  auto page = schema::decode_protobuf(bytes.body);
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ((*page)["items"].size(), 7u);
  EXPECT_EQ((*page)["metadata"]["remainingItemCount"].as_int(), json(text.body)["metadata"]["remainingItemCount"].as_int());
  EXPECT_FALSE((*page)["metadata"]["continue"].as_string().empty());

  auto body = schema::encode_protobuf(json(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"p"},"data":{"k":"v"}})"));
  net::ClientRequest post = request("POST", maps, protobuf, *body);
  post.headers.set("content-type", protobuf);
  auto made = live_.client().call(std::move(post));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->status, 201);
  EXPECT_EQ(json(ask("GET", maps + "/p").body)["data"]["k"].as_string(), "v");
}

TEST_F(FormsTest, WhatCannotBeGiven) {
  struct Row {
    std::string target, accept;
    int status;
    std::string message;
  };
  const std::string accepted = "only the following media types are accepted: ";
  for (const Row& row : {
           Row{maps, "text/html", 406, accepted + "application/json, application/yaml, application/vnd.kubernetes.protobuf"},
           Row{maps + "?watch=1", "application/yaml", 406,
               accepted + "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"},
           Row{maps, "application/json" + as_metadata, 406,
               "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"},
           Row{maps + "/a", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", 406,
               "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"},
           Row{maps + "?includeObject=Some", as_table + "v1", 400,
               "Unable to convert to Table as requested: includeObject: Invalid value: \"Some\": must be 'Metadata', 'Object', 'None', or "
               "empty"},
           Row{maps + "?timeout=soon", "", 400, "invalid timeout specified in the request URL - time: invalid duration \"soon\""},
       }) {
    net::Response out = ask("GET", row.target, row.accept);
    EXPECT_EQ(out.status, row.status) << row.target;
    auto refusal = parse_yaml(out.body);  // JSON is YAML too
    ASSERT_TRUE(refusal && !refusal->empty()) << out.body;
    Value status = refusal->front().root();
    EXPECT_EQ(status["message"].as_string(), row.message);
    if (row.status == 406) {
      EXPECT_EQ(status["reason"].as_string(), "NotAcceptable");
      EXPECT_EQ(status["code"].as_int(), 406);
    }
  }
  net::ClientRequest strange = request("POST", maps, "", "<a/>");
  strange.headers.set("content-type", "text/xml");
  auto out = live_.client().call(strange);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->status, 415);
  EXPECT_EQ(json(out->body)["reason"].as_string(), "UnsupportedMediaType");
  EXPECT_EQ(ask("GET", maps + "?timeout=30s").status, 200);
}

// A refusal comes in the form that was asked for, whoever makes it.
TEST_F(FormsTest, RefusalsInTheClientsForm) {
  net::Response missing = ask("GET", maps + "/nobody", "application/yaml");
  EXPECT_EQ(missing.headers.get("content-type"), "application/yaml");
  EXPECT_NE(missing.body.find("reason: NotFound"), std::string::npos) << missing.body;
  net::ClientRequest stranger = request("GET", maps, "application/yaml");
  stranger.headers.set("authorization", "Bearer nonsense");
  auto out = live_.client().call(stranger);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->status, 401);
  EXPECT_NE(out->body.find("reason: Unauthorized"), std::string::npos) << out->body;
  // A refusal of a table is no table, and one that nothing can say is JSON that a person can read.
  EXPECT_EQ(json(ask("GET", maps + "/nobody", as_table + "v1,application/json").body)["kind"].as_string(), "Status");
  EXPECT_NE(ask("GET", maps + "/nobody", "text/html").body.find("\n  \"kind\": \"Status\""), std::string::npos);
}

TEST_F(FormsTest, IndentedForPeople) {
  auto with_agent = [&](const std::string& target, const std::string& accept = "") {
    net::ClientRequest asked = request("GET", target, accept);
    asked.headers.set("user-agent", "curl/8.0");
    auto out = live_.client().call(asked);
    EXPECT_TRUE(out && out->status == 200);
    return out ? out->body : "";
  };
  std::string one = with_agent(maps + "/a");
  EXPECT_TRUE(one.starts_with("{\n  \"kind\": \"ConfigMap\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {\n    \"name\": \"a\","));
  EXPECT_TRUE(one.ends_with("\n  }\n}"));
  EXPECT_EQ(ask("GET", maps + "/a?pretty=true").body, one);
  EXPECT_FALSE(with_agent(maps + "/a?pretty=false").starts_with("{\n"));
  for (std::string accept :
       {std::string(), as_table + "v1", std::string("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")}) {
    std::string list = with_agent(maps, accept), empty = with_agent(maps + "?labelSelector=nobody", accept);
    EXPECT_TRUE(list.starts_with("{\n  \"kind\": \"")) << list.substr(0, 100);
    EXPECT_TRUE(json(list)["items"].exists() || json(list)["rows"].exists());
    EXPECT_TRUE(json(list).root() == json(ask("GET", maps, accept).body).root()) << list;
    EXPECT_TRUE(json(empty)["metadata"]["resourceVersion"].exists());
  }
}

TEST_F(FormsTest, DiscoveryHasTags) {
  const std::string accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  net::Response first = ask("GET", "/apis", accept);
  const std::string etag(first.headers.get("etag"));
  EXPECT_TRUE(etag.size() > 2 && etag.starts_with('"') && etag.ends_with('"')) << etag;
  EXPECT_EQ(first.headers.get("cache-control"), "public");
  EXPECT_EQ(first.headers.get("vary"), "Accept");
  net::ClientRequest again = request("GET", "/apis", accept);
  again.headers.set("if-none-match", etag);
  auto second = live_.client().call(again);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->status, 304);
  EXPECT_TRUE(second->body.empty());
  again.headers.set("if-none-match", "\"other\"");
  EXPECT_EQ(live_.client().call(again)->status, 200);
}

TEST_F(FormsTest, WarningHeaders) {
  auto warnings = [](const net::Response& response) {
    std::vector<std::string> out;
    for (std::string_view one : response.headers.all("warning")) out.emplace_back(one);
    return out;
  };
  ASSERT_EQ(ask("POST", "/api/v1/namespaces/default/serviceaccounts", "", R"({"metadata":{"name":"default"}})").status, 201);
  net::Response made = ask("POST", "/api/v1/namespaces/default/pods?dryRun=All", "",
                           R"({"metadata":{"name":"a.b"},"spec":{"nodeSelector":{"beta.kubernetes.io/os":"linux"},)"
                           R"("containers":[{"name":"c","image":"i","env":[{"name":"A","value":"1"},{"name":"A","value":"2"}]}]}})");
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(warnings(made),
            (std::vector<std::string>{
                R"(299 - "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is )"
                R"(recommended: [must not contain dots]")",
                R"(299 - "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead")",
                R"(299 - "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply")"}));
  const std::vector<std::string> old{R"(299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")"};
  EXPECT_EQ(warnings(ask("GET", "/api/v1/namespaces/default/endpoints")), old);
  EXPECT_EQ(warnings(ask("GET", "/api/v1/namespaces/default/endpoints/kubernetes")), old);
  EXPECT_TRUE(warnings(ask("GET", maps)).empty());
}

}  // namespace
}  // namespace kybern::apiserver
