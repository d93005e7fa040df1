#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "apiserver/testing/live_server.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

class WatchStreamTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(live_.start()); }

  std::unique_ptr<net::ClientStream> open(std::string target) {
    auto stream = live_.client().stream({"GET", std::move(target), {{"authorization", "Bearer secret-admin"}}, ""});
    EXPECT_TRUE(stream) << stream.error().message;
    if (!stream) return nullptr;
    EXPECT_EQ((*stream)->status(), 200);
    return std::move(*stream);
  }

  // What comes until the body ends in order, or until `enough`; how it ended goes in front when it was otherwise.
  static std::string read(
      net::ClientStream& stream, const std::function<bool(const std::string&)>& enough = [](const std::string&) { return false; }) {
    std::string text;
    while (!enough(text)) {
      auto bytes = stream.read_for(std::chrono::seconds(30));
      if (!bytes) return "broken: " + bytes.error().message + "\n" + text;
      if (bytes->empty()) break;
      text += *bytes;
    }
    return text;
  }

  std::string version_of(const Document& object) { return std::string(object["metadata"]["resourceVersion"].as_string()); }

  const std::string maps = "/api/v1/namespaces/default/configmaps";
  testing::LiveServer live_;
};

// An error of the call itself is one that upstream's RetryWatcher tries again for ever.
TEST_F(WatchStreamTest, AnExpiredVersionIsToldAsAnEvent) {
  const std::string first = version_of(live_.must("POST", maps, R"({"metadata":{"name":"a"}})"));
  for (int i = 0; i < 80; ++i)  // more than the changes that are kept, 64 MB
    live_.must("PUT", maps + "/a",
               fmt::format(R"({{"metadata":{{"name":"a"}},"data":{{"k":"{}"}}}})", std::string(1'000'000, char('a' + i % 26))));
  auto stream = open(maps + "?watch=1&resourceVersion=" + first);
  ASSERT_TRUE(stream);
  const std::string text = read(*stream);
  auto event = parse_json(text);
  ASSERT_TRUE(event) << text.substr(0, 200);
  EXPECT_EQ((*event)["type"].as_string(), "ERROR");
  EXPECT_EQ((*event)["object"]["kind"].as_string(), "Status");
  EXPECT_EQ((*event)["object"]["code"].as_int(), 410);
  EXPECT_EQ((*event)["object"]["reason"].as_string(), "Expired");
  EXPECT_TRUE((*event)["object"]["message"].as_string().starts_with("too old resource version: " + first + " ("));
}

// Whoever pages too slowly may go on, in a state that is not the one it began with.
TEST_F(WatchStreamTest, AListWhosePlaceExpiredMayGoOn) {
  for (const char* name : {"a", "b", "c"}) live_.must("POST", maps, fmt::format(R"({{"metadata":{{"name":"{}"}}}})", name));
  auto page = [&](const std::string& query, int code) -> Document {
    auto answer = live_.client().call({"GET", maps + "?limit=1" + query, {{"authorization", "Bearer secret-admin"}}, ""});
    EXPECT_TRUE(answer) << answer.error().message;
    if (!answer) return {};
    EXPECT_EQ(answer->status, code) << answer->body;
    auto parsed = parse_json(answer->body);
    return parsed ? *parsed : Document();
  };
  Document first = page("", 200);
  const std::string token = first["metadata"]["continue"].str();
  ASSERT_NE(token, "");
  for (int i = 0; i < 80; ++i)
    live_.must("PUT", maps + "/c",
               fmt::format(R"({{"metadata":{{"name":"c"}},"data":{{"k":"{}"}}}})", std::string(1'000'000, char('a' + i % 26))));
  Document status = page("&continue=" + token, 410);
  EXPECT_EQ(status["reason"].as_string(), "Expired");
  EXPECT_TRUE(status["message"].as_string().starts_with("The provided continue parameter is too old to display a consistent list"));
  const std::string fresh = status["metadata"]["continue"].str();
  ASSERT_NE(fresh, "");
  Document rest = page("&continue=" + fresh, 200);
  EXPECT_EQ(rest["items"][0]["metadata"]["name"].as_string(), "b");
  EXPECT_GT(std::stoll(version_of(rest)), std::stoll(version_of(first)));
}

TEST_F(WatchStreamTest, AVersionThatIsToComeIsWaitedFor) {
  const auto now = std::stoll(version_of(live_.must("POST", maps, R"({"metadata":{"name":"a"}})")));
  auto stream = open(fmt::format("{}?watch=1&timeoutSeconds=1&resourceVersion={}", maps, now + 1'000'000));
  ASSERT_TRUE(stream);
  live_.must("POST", maps, R"({"metadata":{"name":"b"}})");
  EXPECT_EQ(read(*stream), "");
}

TEST_F(WatchStreamTest, AServerThatStopsEndsItsWatchesInOrder) {
  auto stream = open(maps + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
  ASSERT_TRUE(stream);
  const std::string begun = read(*stream, [](const std::string& text) { return text.find("initial-events-end") != std::string::npos; });
  ASSERT_EQ(begun.find("broken"), std::string::npos) << begun;
  std::thread stopper([&] { live_.stop(); });
  EXPECT_EQ(read(*stream), "");
  stopper.join();
}

// The first schema knows no spec.size: through it a client would see, and write back, an object without it.
TEST_F(WatchStreamTest, AChangedDefinitionEndsItsWatches) {
  auto definition = [](std::string_view properties, std::string_view version) {
    return fmt::format(
        R"({{"metadata":{{"name":"widgets.example.com"{}}},"spec":{{"group":"example.com","scope":"Namespaced",
          "names":{{"plural":"widgets","singular":"widget","kind":"Widget","listKind":"WidgetList"}},
          "versions":[{{"name":"v1","served":true,"storage":true,
            "schema":{{"openAPIV3Schema":{{"type":"object","properties":{{"spec":{{"type":"object","properties":{{{}}}}}}}}}}}}}]}}}})",
        version.empty() ? "" : fmt::format(R"(,"resourceVersion":"{}")", version), properties);
  };
  const std::string definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const std::string widgets = "/apis/example.com/v1/namespaces/default/widgets";
  live_.must("POST", definitions, definition(R"("color":{"type":"string"})", ""));
  auto widget = [](std::string_view version, std::string_view spec) {
    return fmt::format(R"({{"apiVersion":"example.com/v1","kind":"Widget","metadata":{{"name":"a","resourceVersion":"{}"}},"spec":{}}})",
                       version, spec);
  };
  const std::string made = version_of(live_.must("POST", widgets, widget("", R"({"color":"red"})")));
  auto stream = open(widgets + "?watch=1");
  ASSERT_TRUE(stream);
  std::string begun = read(*stream, [](const std::string& text) { return text.find("\"red\"") != std::string::npos; });
  ASSERT_EQ(begun.find("broken"), std::string::npos) << begun;

  const std::string version = version_of(live_.must("GET", definitions + "/widgets.example.com"));
  live_.must("PUT", definitions + "/widgets.example.com", definition(R"("color":{"type":"string"},"size":{"type":"integer"})", version));
  Document grown = live_.must("PUT", widgets + "/a", widget(made, R"({"color":"red","size":7})"));
  ASSERT_EQ(grown["spec"]["size"].as_int(), 7);
  EXPECT_EQ(read(*stream), "");

  auto again = open(fmt::format("{}?watch=1&timeoutSeconds=1&resourceVersion={}", widgets, std::stoll(version_of(grown)) - 1));
  ASSERT_TRUE(again);
  EXPECT_NE(read(*again).find("\"size\":7"), std::string::npos);
}

}  // namespace
}  // namespace kybern::apiserver
