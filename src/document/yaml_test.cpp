#include "document/yaml.h"

#include <gtest/gtest.h>

#include "document/json.h"

namespace kybern {
namespace {

std::string json_of(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  if (!d) return d.error().message;
  std::string out;
  for (const Document& one : *d) out += to_json(one.root()) + ";";
  return out;
}

TEST(Yaml, ReadsAsKubernetesClientsDo) {
  struct Row {
    const char *yaml, *json;
  };
  for (Row row : {
           Row{"a: 1\nb: x\n", R"({"a":1,"b":"x"};)"},
           Row{"a: yes\nb: off\nc: \"yes\"\nd: null\ne: ~\nf:\n", R"({"a":true,"b":false,"c":"yes","d":null,"e":null,"f":null};)"},
           Row{"a: 0777\nb: 0x1f\nc: 1_000\nd: 1.5\ne: 1e3\nf: '8'\n", R"({"a":511,"b":31,"c":1000,"d":1.5,"e":1000,"f":"8"};)"},
           Row{"a: 2001-01-01\nb: 1.2.3\nc: 100m\nd: 1Gi\n", R"({"a":"2001-01-01","b":"1.2.3","c":"100m","d":"1Gi"};)"},
           Row{"a: |\n  x\n  y\nb: >\n  x\n  y\n", R"({"a":"x\ny\n","b":"x y\n"};)"},
           Row{"80: web\ntrue: x\n", R"({"80":"web","true":"x"};)"},
           Row{"---\na: 1\n---\n---\n# only a comment\n---\nb: 2\n...\n", R"({"a":1};{"b":2};)"},
           Row{"x: &x {p: 1, q: 2}\nw: *x\nz:\n  <<: *x\n  q: 3\n", R"({"x":{"p":1,"q":2},"w":{"p":1,"q":2},"z":{"q":3,"p":1}};)"},
           Row{"a: !!str 5\nb: !!binary aGk=\n", R"({"a":"5","b":"hi"};)"},
           Row{"", ""},
           Row{"a: [1, 2\n", "yaml: line 1: did not find expected ',' or ']'"},
           // Escapes of halves are refused, and pairs as well: go-yaml knows none of them.
           Row{"a: \"\\ud800\"\n", "yaml: found invalid Unicode character escape code"},
           Row{"a: \"\\ud83d\\ude00\"\n", "yaml: found invalid Unicode character escape code"},
           Row{"a: b: c\n", "yaml: mapping values are not allowed in this context"},
       })
    EXPECT_EQ(json_of(row.yaml), row.json) << row.yaml;
}

TEST(Yaml, NothingIsNoDocument) {
  for (std::string_view text :
       {std::string_view(), std::string_view(""), std::string_view("\n# a comment\n"), std::string_view("---\n...\n")}) {
    auto documents = parse_yaml(text);
    ASSERT_TRUE(documents) << text;
    EXPECT_TRUE(documents->empty()) << text;
  }
}

TEST(Yaml, NamesDuplicates) {
  std::vector<std::string> duplicates;
  auto d = parse_yaml("a: 1\nb: 2\na: 3\n", {.duplicates = &duplicates});
  ASSERT_TRUE(d);
  EXPECT_EQ(to_json((*d)[0].root()), R"({"a":3,"b":2})");
  EXPECT_EQ(duplicates, std::vector<std::string>{"line 3: key \"a\" already set in map"});
}

TEST(Yaml, ABillionLaughsAreRefused) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) text += std::string(j ? ", " : "") + "*a" + std::to_string(i - 1);
    text += "]\n";
  }
  EXPECT_EQ(json_of(text), "yaml: document contains excessive aliasing");
}

TEST(Yaml, AliasesAreBounded) {
  auto repeated = [](std::string_view piece, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += piece;
    return out;
  };
  const std::string excessive = "yaml: document contains excessive aliasing";
  // A long text, often: few values, many bytes.
  EXPECT_EQ(json_of("a: &a " + std::string(100'000, 'x') + "\nb: [" + repeated("*a, ", 10'000) + repeated("y, ", 20'000) + "]\n"),
            excessive);
  // Merges of what is there already: no values at all, many steps.
  std::string keys;
  for (int i = 0; i < 5000; ++i) keys += "k" + std::to_string(i) + ": 1, ";
  EXPECT_EQ(json_of("a: &a {" + keys + "}\nb: {<<: [" + repeated("*a, ", 5000) + "]}\n"), excessive);
  EXPECT_EQ(json_of("a: &a [*a]\n"), "yaml: anchor 'a' value contains itself");
  EXPECT_EQ(json_of("a: &a\n  <<: *a\n"), "yaml: anchor 'a' value contains itself");
  EXPECT_EQ(json_of("a: *b\n"), "yaml: unknown anchor 'b' referenced");
  EXPECT_EQ(json_of("a: &a q\nb: &a r\nc: *a\n*a : s\n"), R"({"a":"q","b":"r","c":"r","r":"s"};)");
  std::string anchors;
  for (int i = 0; i < 50'000; ++i) anchors += "- &a" + std::to_string(i) + " x\n";
  EXPECT_EQ(parse_yaml(anchors)->front().root().size(), 50'000u);
}

TEST(Yaml, DepthIsBounded) {
  for (std::string piece : {"[", "{a: ", "- ", "? "}) {
    std::string deep;
    for (int i = 0; i < 50'000; ++i) deep += piece;
    EXPECT_FALSE(parse_yaml(deep)) << piece;
  }
  EXPECT_TRUE(parse_yaml(std::string(900, '[') + std::string(900, ']')));
}

TEST(Yaml, OneDocumentOfMany) {
  auto first = parse_yaml("---\n# nothing\n---\na: 1\n---\n{", {.first_only = true});
  ASSERT_TRUE(first);
  ASSERT_EQ(first->size(), 1u);
  EXPECT_TRUE((*first)[0].root().is_null());
  EXPECT_EQ(to_json((*parse_yaml("a: 1\n---\nb: 2\n", {.first_only = true}))[0].root()), R"({"a":1})");
}

TEST(Yaml, WritesWhatItReads) {
  auto d = parse_json(
      R"({"b":"yes","a":["x",{"k":[],"e":{}},"1","2001-01-01","multi\nline\n","",null,true,1.5],"z":{"n":"null"," lead":"- x"}})");
  std::string out;
  write_yaml(d->root(), out);
  EXPECT_EQ(out,
            "a:\n- x\n- e: {}\n  k: []\n- \"1\"\n- \"2001-01-01\"\n- |\n  multi\n  line\n- \"\"\n- null\n- true\n- 1.5\nb: \"yes\"\nz:\n  "
            "' lead': '- x'\n  \"n\": "
            "\"null\"\n");
  auto back = parse_yaml(out);
  ASSERT_TRUE(back);
  EXPECT_TRUE((*back)[0].root() == d->root());
}

}  // namespace
}  // namespace kybern
