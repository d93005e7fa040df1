#include "document/document.h"

#include <gtest/gtest.h>

#include <thread>

#include "document/json.h"

namespace kybern {
namespace {

Document parsed(std::string_view text) {
  auto d = parse_json(text);
  EXPECT_TRUE(d) << text << ": " << (d ? "" : d.error().message);
  return d ? *d : Document();
}

TEST(Value, ReadsEveryKind) {
  Document d = parsed(
      R"({"kind":"Pod","n":-5,"big":9223372036854775807,"f":1.5,"t":true,"z":null,"short":"abc","long":"a longer text","a":[1,"x",{}]})");
  EXPECT_EQ(d["kind"].as_string(), "Pod");
  EXPECT_EQ(d["n"].as_int(), -5);
  EXPECT_EQ(d["big"].as_int(), 9223372036854775807LL);
  EXPECT_EQ(d["f"].as_double(), 1.5);
  EXPECT_TRUE(d["t"].as_bool());
  EXPECT_TRUE(d["z"].exists() && d["z"].is_null());
  EXPECT_EQ(d["short"].as_string(), "abc");
  EXPECT_EQ(d["long"].as_string(), "a longer text");
  EXPECT_EQ(d["a"].size(), 3u);
  EXPECT_EQ(d["a"][1].as_string(), "x");
  EXPECT_FALSE(d["a"][3].exists());
  EXPECT_FALSE(d["absent"]["deeper"].exists());
  EXPECT_EQ(d["n"].as_string("fallback"), "fallback");
}

TEST(Value, ASubtreeKeepsItsBlockAlive) {
  Document inner;
  {
    Document d = parsed(R"({"metadata":{"labels":{"app":"a text that is not inline"}}})");
    inner = d["metadata"]["labels"].document();
  }
  EXPECT_EQ(inner["app"].as_string(), "a text that is not inline");
}

TEST(Value, LargeObjectsAreSortedAndFound) {
  std::string text = "{";
  for (int i = 999; i >= 0; --i) text += "\"key" + std::to_string(i) + "\":" + std::to_string(i) + (i ? "," : "}");
  Document d = parsed(text);
  ASSERT_EQ(d.root().size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(d[("key" + std::to_string(i)).c_str()].as_int(-1), i);
  EXPECT_FALSE(d["key1000"].exists());
  EXPECT_EQ(d.root().member(0).key, "key0");
}

// A member is found however its name is said: as a literal, which is looked up while it is compiled, a text, or a number; in
// an object that is small or sorted.
TEST(Value, MembersAreFoundByLiteralTextAndNumber) {
  std::string text = R"({"metadata":1,"example.com/x":2,"":3)";
  for (int more : {0, 40}) {
    for (int i = 0; i < more; ++i) text += ",\"k" + std::to_string(i) + "\":0";
    Document d = parsed(text + "}");
    EXPECT_EQ(d["metadata"].as_int(), 1);
    EXPECT_EQ(d[std::string("metadata")].as_int(), 1);
    EXPECT_EQ(d[*find_name("metadata")].as_int(), 1);
    EXPECT_EQ(d["example.com/x"].as_int(), 2);
    EXPECT_EQ(d[std::string_view("example.com/x")].as_int(), 2);
    EXPECT_EQ(d[""].as_int(), 3);
    EXPECT_FALSE(d["spec"].exists());
    EXPECT_FALSE(d["example.com/y"].exists());
    EXPECT_FALSE(d[std::string("spec")].exists());
  }
}

TEST(Value, EqualityIgnoresTheOrderOfMembersOnly) {
  EXPECT_EQ(parsed(R"({"a":1,"b":[1,2]})").root(), parsed(R"({"b":[1,2],"a":1})").root());
  EXPECT_FALSE(parsed(R"({"a":[2,1]})").root() == parsed(R"({"a":[1,2]})").root());
  EXPECT_FALSE(parsed(R"({"a":1})").root() == parsed(R"({"a":1.0})").root());
  EXPECT_FALSE(parsed(R"({"a":null})").root() == parsed(R"({"b":null})").root());
}

TEST(Document, StampFillsABlankOnce) {
  Document d = Draft::object({{"metadata", Draft::object({{"resourceVersion", Document::stamp_blank()}, {"name", "a"}})}}).freeze();
  ASSERT_TRUE(d.stamp(d["metadata"]["resourceVersion"], "12345"));
  EXPECT_EQ(d["metadata"]["resourceVersion"].as_string(), "12345");
  EXPECT_FALSE(d.stamp(d["metadata"]["resourceVersion"], "6"));
  EXPECT_FALSE(d.stamp(d["metadata"]["name"], "6"));
}

TEST(Document, IsSharedBetweenThreads) {
  Document d = parsed(R"({"a":"a text that is not inline"})");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([d] {
      for (int j = 0; j < 10000; ++j) {
        Document copy = d;
        ASSERT_EQ(copy["a"].size(), 0u);
      }
    });
  for (auto& t : threads) t.join();
}

TEST(Draft, ChangesOnlyWhatItIsTold) {
  Document d = parsed(R"({"spec":{"replicas":1,"template":{"x":[1,2,3]}},"status":{}})");
  Draft draft(d);
  draft["spec"]["replicas"] = 3;
  draft["metadata"]["labels"]["app"] = "web";
  draft["spec"]["template"]["x"].push_back("four");
  EXPECT_TRUE(draft.erase("status"));
  EXPECT_FALSE(draft.erase("status"));
  EXPECT_EQ(to_json(draft), R"({"spec":{"replicas":3,"template":{"x":[1,2,3,"four"]}},"metadata":{"labels":{"app":"web"}}})");
  EXPECT_EQ(to_json(d.root()), R"({"spec":{"replicas":1,"template":{"x":[1,2,3]}},"status":{}})");
}

TEST(Draft, HoldsEveryKind) {
  Draft d(parsed(R"({"n":-5,"big":9223372036854775807,"f":1.5,"t":true,"z":null,"s":"","long":"a longer text","a":[],"o":{}})"));
  EXPECT_EQ(d["n"].as_int(), -5);
  EXPECT_EQ(d["n"].as_double(), -5.0);
  EXPECT_EQ(d["big"].as_int(), 9223372036854775807LL);
  EXPECT_EQ(d["f"].as_double(), 1.5);
  EXPECT_TRUE(d["t"].as_bool());
  EXPECT_TRUE(d["z"].is_null());
  EXPECT_TRUE(d["s"].is_string() && d["s"].as_string("x").empty());
  EXPECT_EQ(d["long"].as_string(), "a longer text");
  EXPECT_TRUE(d["a"].is_array() && d["o"].is_object());
  EXPECT_EQ(d["long"].as_int(7), 7);
  Draft copy(d), moved(std::move(copy));
  EXPECT_EQ(moved, d);
  moved = *&moved;
  Draft& same = moved;
  moved = std::move(same);
  EXPECT_EQ(moved, d);
  EXPECT_EQ(parsed(to_json(moved)).root(), d.freeze().root());
}

// Keys that are names of the API, and such as are not; asked for by literals and by texts.
TEST(Draft, KeysAreNamesAndTexts) {
  Draft d = Draft::object({{"metadata", 1}, {std::string("example.com/a-key-that-is-long"), 2}, {"", 3}});
  Draft copy(d);
  EXPECT_EQ(d[std::string("metadata")].as_int(), 1);
  EXPECT_EQ(d["example.com/a-key-that-is-long"].as_int(), 2);
  EXPECT_EQ(d.find(*find_name("metadata"))->as_int(), 1);
  EXPECT_EQ(d.find("")->as_int(), 3);
  EXPECT_EQ(d.find("spec"), nullptr);
  EXPECT_EQ(d.find(std::string("example.com/another")), nullptr);
  Draft::Key key(d.fields()[1].key);
  EXPECT_TRUE(d.erase("example.com/a-key-that-is-long"));
  EXPECT_TRUE(d.erase(std::string("metadata")));
  EXPECT_EQ(key, "example.com/a-key-that-is-long");
  EXPECT_EQ(to_json(d), R"({"":3})");
  EXPECT_EQ(copy.fields().size(), 3u);
  std::swap(copy.fields()[0], copy.fields()[1]);
  EXPECT_EQ(to_json(copy), R"({"example.com/a-key-that-is-long":2,"metadata":1,"":3})");
}

TEST(Draft, AValueMayBeAssignedFromItsOwnTree) {
  Draft d(parsed(R"({"a":{"b":{"c":1}}})"));
  d["a"] = std::move(d["a"]["b"]);
  EXPECT_EQ(to_json(d), R"({"a":{"c":1}})");
  d["a"]["copy"] = Draft(d["a"]);
  EXPECT_EQ(to_json(d), R"({"a":{"c":1,"copy":{"c":1}}})");
}

TEST(Draft, ManyMembersAreFoundAfterErasing) {
  Draft d = Draft::object();
  for (int i = 0; i < 500; ++i) d[std::to_string(i)] = i;
  for (int i = 0; i < 500; i += 2) EXPECT_TRUE(d.erase(std::to_string(i)));
  for (int i = 0; i < 500; ++i) {
    const Draft* found = d.find(std::to_string(i));
    EXPECT_EQ(found != nullptr, i % 2 == 1);
    if (found) { EXPECT_EQ(found->as_int(), i); }
  }
}

TEST(Draft, EqualsByContent) {
  Draft a(parsed(R"({"x":{"y":[1,{"z":"t"}]}})"));
  Draft b = Draft::object();
  b["x"]["y"].push_back(1);
  b["x"]["y"].push_back(Draft::object({{"z", "t"}}));
  EXPECT_TRUE(a == b);
  b["x"]["y"].items()[0] = 2;
  EXPECT_FALSE(a == b);
}

// Members go and come in any order, as in a small object.
TEST(Draft, ManyMembersComeAndGo) {
  Draft object = Draft::object();
  for (int i = 0; i < 1000; ++i) object["k" + std::to_string(i)] = i;
  for (int i = 0; i < 1000; i += 2) EXPECT_TRUE(object.erase("k" + std::to_string(i)));
  EXPECT_FALSE(object.erase("k0"));
  EXPECT_EQ(object.size(), 500u);
  EXPECT_EQ(object.find("k10"), nullptr);
  EXPECT_EQ(object.find("k11")->as_int(), 11);
  object["k10"] = "again";
  Draft copy(object);
  EXPECT_EQ(copy.find("k10")->as_string(), "again");
  EXPECT_TRUE(copy == object);
  EXPECT_EQ(object.fields().size(), 501u);
  EXPECT_EQ(object.fields().front().key, "k1");
  EXPECT_EQ(object.fields().back().key, "k10");
  EXPECT_TRUE(copy == object);
  Document frozen = copy.freeze();
  EXPECT_EQ(frozen.root().size(), 501u);
  EXPECT_EQ(frozen["k999"].as_int(), 999);
}

}  // namespace
}  // namespace kybern
