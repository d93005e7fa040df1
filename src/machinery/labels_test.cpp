#include "machinery/labels.h"

#include <gtest/gtest.h>

#include <map>

#include "document/json.h"
#include "machinery/fields.h"

namespace kybern {
namespace {

struct Selection {
  const char *text, *printed;  // printed: the selector, or !the error
};

TEST(LabelSelector, Texts) {
  const Selection rows[] = {
      {"", ""},
      {"a", "a"},
      {"!a", "!a"},
      {"a=b", "a=b"},
      {"a==b", "a==b"},
      {"a!=b", "a!=b"},
      {"a=", "a="},
      {"a=,b", "a=,b"},
      {" a = b ", "a=b"},
      {"b in (y,x,,x),a notin ()", "a notin (),b in (,x,y)"},
      {"a in (in,notin)", "a in (in,notin)"},
      {"in=in", "in=in"},
      {"a>1,b<2", "a>1,b<2"},
      {"x in (,)", "x in ()"},
      {"a.io/b", "a.io/b"},
      {"a,", "!found '', expected: identifier after ','"},
      {",", "!found ',', expected: !, identifier, or 'end of string'"},
      {"a b", "!unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
      {"a in b", "!unable to parse requirement: found 'b' expected: '('"},
      {"a in (b", "!unable to parse requirement: found '', expected: ',' or ')'"},
      {"a=b c", "!found 'c', expected: ',' or 'end of string'"},
      {"!a=b", "!found '=', expected: ',' or 'end of string'"},
      {"!!a", "!unable to parse requirement: found '!', expected: identifier"},
      {"a>b", "!unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer"},
      {"a=(", "!unable to parse requirement: found '(', expected: identifier"},
      {"a=b!", "!found '!', expected: ',' or 'end of string'"},
      {"=b", "!found '=', expected: !, identifier, or 'end of string'"},
  };
  for (const Selection& row : rows) {
    auto selector = LabelSelector::parse(row.text);
    EXPECT_EQ(selector ? selector->str() : "!" + selector.error().message, row.printed) << row.text;
  }
  EXPECT_TRUE(LabelSelector::parse("a b/c").error().message.starts_with("unable to parse requirement: found 'b/c'"));
  EXPECT_TRUE(LabelSelector::parse("a_/b").error().message.starts_with(
      "unable to parse requirement: <nil>: Invalid value: \"a_/b\": prefix part a lowercase RFC 1123"));
  EXPECT_TRUE(LabelSelector::parse("a=-b").error().message.starts_with(
      "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label"));
}

TEST(LabelSelector, Matches) {
  Document labels = *parse_json(R"({"app":"web","n":"5","empty":""})");
  const std::pair<const char*, bool> rows[] = {
      {"", true},
      {"app", true},
      {"!app", false},
      {"app=web", true},
      {"app!=web", false},
      {"app=db", false},
      {"zone!=x", true},
      {"zone notin (x)", true},
      {"zone in (x)", false},
      {"app in (db,web)", true},
      {"app notin (db,web)", false},
      {"n>4", true},
      {"n>5", false},
      {"n<6", true},
      {"app>1", false},
      {"zone>1", false},
      {"empty=", true},
      {"empty", true},
      {"zone=", false},
      {"app=web,n>4,!zone", true},
      {"app=web,zone", false},
  };
  for (auto [text, matches] : rows) EXPECT_EQ(LabelSelector::parse(text)->matches(labels), matches) << text;
  EXPECT_FALSE(LabelSelector::nothing().matches(labels));
  EXPECT_EQ(LabelSelector::parse("app=web,n>4")->exact("app"), "web");
  EXPECT_EQ(LabelSelector::parse("app!=web")->exact("app"), std::nullopt);
}

TEST(LabelSelector, Objects) {
  Document selector = *parse_json(
      R"({"matchLabels":{"b":"1"},"matchExpressions":[{"key":"a","operator":"In","values":["y","x"]},{"key":"c","operator":"DoesNotExist"}]})");
  EXPECT_EQ(LabelSelector::from(selector)->str(), "a in (x,y),b=1,!c");
  EXPECT_TRUE(LabelSelector::from(Value())->matches_nothing());
  EXPECT_TRUE(LabelSelector::from(*parse_json("{}"))->empty());
  Document wrong = *parse_json(R"({"matchExpressions":[{"key":"a","operator":"Is"}]})");
  EXPECT_EQ(LabelSelector::from(wrong).error().message, "\"Is\" is not a valid label selector operator");
  Document several = *parse_json(
      R"({"matchExpressions":[{"key":"a","operator":"Is"},{"key":"","operator":"In"},{"key":"b","operator":"Exists","values":["x"]}]})");
  FieldErrors errors = validate_label_selector(several, Path("spec"));
  ASSERT_EQ(errors.size(), 5u);
  EXPECT_EQ(errors[0].field, "spec.matchExpressions[0].operator");
  EXPECT_EQ(errors[1].message(), "Required value: must be specified when `operator` is 'In' or 'NotIn'");
  EXPECT_EQ(errors[2].message(), "Invalid value: \"\": name part must be non-empty");
  EXPECT_EQ(errors[4].message(), "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
}

TEST(FieldSelector, TextsAndMatches) {
  const Selection rows[] = {
      {"", ""},
      {"a=b", "a=b"},
      {"a==b", "a=b"},
      {"b!=c,a=b", "a=b,b!=c"},
      {"a=", "a="},
      {R"(a=b\,c)", R"(a=b\,c)"},
      {"a", "!invalid selector: 'a'; can't understand 'a'"},
      {"a=b=c", "!invalid field selector: unescaped character in value: 61"},
      {R"(a=\x)", R"(!invalid field selector: invalid escape sequence: \x)"},
      {"a=b,,c=d", "a=b,c=d"},
  };
  for (const Selection& row : rows) {
    auto selector = FieldSelector::parse(row.text);
    EXPECT_EQ(selector ? selector->str() : "!" + selector.error().message, row.printed) << row.text;
  }
  std::map<std::string, std::string, std::less<>> object = {{"metadata.name", "a"}};
  auto get = [&](std::string_view field) {
    auto it = object.find(field);
    return it == object.end() ? std::string() : it->second;
  };
  EXPECT_TRUE(FieldSelector::parse("metadata.name=a,x!=y")->matches(get));
  EXPECT_FALSE(FieldSelector::parse("metadata.name!=a")->matches(get));
  EXPECT_TRUE(FieldSelector::parse("x=")->matches(get));
  EXPECT_EQ(FieldSelector::parse("metadata.name=a,x!=y")->exact("metadata.name"), "a");
  EXPECT_EQ(FieldSelector::parse("x!=y")->exact("x"), std::nullopt);
}

}  // namespace
}  // namespace kybern
