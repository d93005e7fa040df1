#include "document/json.h"

#include <gtest/gtest.h>

#include <random>

namespace kybern {
namespace {

std::string round_trip(std::string_view text) {
  auto d = parse_json(text);
  return d ? to_json(d->root()) : "error: " + d.error().message;
}

TEST(Json, RoundTrips) {
  for (const char* text : {"null",
                           "true",
                           "false",
                           "0",
                           "-1",
                           "9223372036854775807",
                           "-9223372036854775808",
                           "36028797018963968",
                           "1.5",
                           "1e-7",
                           "1e+21",
                           "\"\"",
                           "\"abc\"",
                           "\"12345678\"",
                           "[]",
                           "{}",
                           "[[],[{}],[1,2]]",
                           "{\"a\":{\"b\":[]}}",
                           "\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001\"",
                           "\"h\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80\"",
                           "\"\\u2028\\u2029\""})
    EXPECT_EQ(round_trip(text), text);
}

TEST(Json, Normalises) {
  struct Row {
    const char *in, *out;
  };
  for (Row row :
       {Row{" { \"a\" : 1 } ", "{\"a\":1}"}, Row{"1.0", "1"}, Row{"1E2", "100"}, Row{"18446744073709551615", "18446744073709552000"},
        Row{"\"\\u0041\\/\\ud83d\\ude00\"", "\"A/\xf0\x9f\x98\x80\""}, Row{"-0", "0"}, Row{"1e-400", "0"}, Row{"0.000001", "0.000001"},
        Row{"123456789012345678901234567890", "1.2345678901234568e+29"}})
    EXPECT_EQ(round_trip(row.in), row.out) << row.in;
}

// Every byte that is written in a way of its own, at every place of a text that is handled 16 bytes at a time, in an
// object (whose text goes on behind it) and alone.
TEST(Json, EscapesAnywhere) {
  struct Row {
    std::string in, out;
  };
  for (const Row& row : {Row{"\"", "\\\""}, Row{"\\", "\\\\"}, Row{"\n", "\\n"}, Row{std::string(1, '\x01'), "\\u0001"},
                         Row{"\x1f", "\\u001f"}, Row{"\x7f", "\x7f"}, Row{" ", " "}, Row{"\u2028", "\\u2028"}, Row{"\u2029", "\\u2029"},
                         Row{"\u2030", "\u2030"}, Row{"\u00e9", "\u00e9"}})
    for (std::size_t size = 0; size < 40; ++size)
      for (std::size_t at = 0; at <= size; ++at) {
        std::string text(size, 'x'), written = text;
        text.insert(at, row.in);
        written.insert(at, row.out);
        EXPECT_EQ(to_json(Draft(text)), '"' + written + '"');
        EXPECT_EQ(to_json(Draft::object({{text, text}})), "{\"" + written + "\":\"" + written + "\"}");
      }
}

TEST(Json, IsAppended) {
  std::string out = "before ";
  Document value = *parse_json("{\"kind\":\"Pod\",\"nobody knows\":[1,true]}");
  for (int i = 0; i < 3; ++i) write_json(value.root(), out);
  write_json(value["nobody knows"], out);
  write_json(Value(), out);
  std::string one = "{\"kind\":\"Pod\",\"nobody knows\":[1,true]}";
  EXPECT_EQ(out, "before " + one + one + one + "[1,true]null");
}

// The wording is that of Go's encoding/json, which clients see in a 400.
TEST(Json, RefusesWithUpstreamsWording) {
  struct Row {
    std::string in;
    const char* message;
  };
  for (const Row& row : std::vector<Row>{{"", "unexpected end of JSON input"},
                                         {"{", "unexpected end of JSON input"},
                                         {"[1,", "unexpected end of JSON input"},
                                         {"\"abc", "unexpected end of JSON input"},
                                         {"x", "invalid character 'x' looking for beginning of value"},
                                         {"{x", "invalid character 'x' looking for beginning of object key string"},
                                         {"{\"a\" 1}", "invalid character '1' after object key"},
                                         {"{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"},
                                         {"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"},
                                         {"[1 2]", "invalid character '2' after array element"},
                                         {"[1,]", "invalid character ']' looking for beginning of value"},
                                         {"1 2", "invalid character '2' after top-level value"},
                                         {"01", "invalid character '1' after top-level value"},
                                         {"-", "unexpected end of JSON input"},
                                         {"-x", "invalid character 'x' in numeric literal"},
                                         {"1.", "unexpected end of JSON input"},
                                         {"1.x", "invalid character 'x' after decimal point in numeric literal"},
                                         {"1ex", "invalid character 'x' in exponent of numeric literal"},
                                         {"trux", "invalid character 'x' in literal true (expecting 'e')"},
                                         {"\"\\x\"", "invalid character 'x' in string escape code"},
                                         {"\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"},
                                         {"\"a\nb\"", "invalid character '\\n' in string literal"},
                                         {"'a'", "invalid character '\\'' looking for beginning of value"},
                                         {"\u00e9", "invalid character '\u00c3' looking for beginning of value"},
                                         {"\xff", "invalid character '\u00ff' looking for beginning of value"},
                                         {"\xe2\x80\x9c"
                                          "a",
                                          "invalid character '\u00e2' looking for beginning of value"},
                                         {"[1\x80]", "invalid character '\\u0080' after array element"},
                                         {"\"\\ud800\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"},
                                         {"\"\\ud800\\", "unexpected end of JSON input"},
                                         {"\"\\ud800", "unexpected end of JSON input"},
                                         {"\"\xff\n\"", "invalid character '\\n' in string literal"},
                                         {"\"\xff", "unexpected end of JSON input"},
                                         {std::string(20000, '['), "exceeded max depth"}}) {
    auto d = parse_json(row.in);
    ASSERT_FALSE(d) << row.in;
    EXPECT_EQ(d.error().message, row.message) << row.in.substr(0, 40);
    EXPECT_EQ(d.error().code, Code::invalid);
  }
}

// What is no Unicode is replaced, byte by byte and half by half (Go's encoding/json and sigs.k8s.io/json do so).
TEST(Json, ReplacesWhatIsNoUnicode) {
  struct Row {
    std::string in, out;  // without the quotes; "?" stands for U+FFFD
    bool replaced = true;
  };
  for (const Row& row : std::vector<Row>{{"\\ud800", "?"},
                                         {"a\\ud800b", "a?b"},
                                         {"\\udc00", "?"},
                                         {"\\ud800\\u0041", "?A"},
                                         {"\\ud800\\ud800", "??"},
                                         {"\\ud800\\ud83d\\ude00", "?\U0001F600"},
                                         {"\\ude00\\ud83d", "??"},
                                         {"\\ud83d\\ude00", "\U0001F600", false},
                                         {"\xff", "?"},
                                         {"\xc0\x80", "??"},
                                         {"\xed\xa0\x80", "???"},
                                         {"\xe4\xb8\xad\xe4\xb8", "\u4e2d??"},
                                         {"\xe4\xb8\xe4\xb8\xad", "??\u4e2d"},
                                         {"\xf4\x90\x80\x80x", "????x"},
                                         {"\u00e9\xfe\u00e9", "\u00e9?\u00e9"},
                                         {"0123456789abcdef\xff\\n\xff", "0123456789abcdef?\n?"},
                                         {"\ufffd", "?", false}}) {
    bool replaced = false;
    auto d = parse_json("{\"" + row.in + "\":\"" + row.in + "\"}", {.replaced = &replaced});
    ASSERT_TRUE(d) << row.in;
    std::string wanted;
    for (char c : row.out) wanted += c == '?' ? std::string("\ufffd") : std::string(1, c);
    EXPECT_EQ(d->root().member(0).key, wanted) << row.in;
    EXPECT_EQ(d->root().member(0).value.as_string(), wanted) << row.in;
    EXPECT_EQ(replaced, row.replaced) << row.in;
  }
  // In steps as many as there are bytes; and no longer than a text may be.
  EXPECT_EQ(parse_json("\"" + std::string(3'000'000, '\xff') + "\"")->root().as_string().size(), 9'000'000U);
  EXPECT_EQ(parse_json("\"" + std::string(6'000'000, '\xff') + "\"").error().message, "invalid UTF-8 in string literal");
}

TEST(Json, TheLastDuplicateIsKeptAndNamed) {
  std::vector<std::string> duplicates;
  JsonOptions options{.duplicates = &duplicates};
  auto d = parse_json(R"({"spec":{"replicas":1,"replicas":2,"list":[{},{"a":1,"b":2,"a":3}]},"kind":"x","kind":"y"})", options);
  ASSERT_TRUE(d);
  EXPECT_EQ(to_json(d->root()), R"({"spec":{"replicas":2,"list":[{},{"a":3,"b":2}]},"kind":"y"})");
  EXPECT_EQ(duplicates, (std::vector<std::string>{"spec.list[1].a", "spec.replicas", "kind"}));
}

TEST(Json, Indents) {
  auto d = parse_json(R"({"a":{"b":[1,{}],"c":[]},"d":"x"})");
  std::string out;
  write_json_indented(d->root(), out, 4);
  EXPECT_EQ(
      out, "{\n    \"a\": {\n        \"b\": [\n            1,\n            {}\n        ],\n        \"c\": []\n    },\n    \"d\": \"x\"\n}");
}

// Random trees come back equal; every cut of a valid text is refused, never read past its end.
TEST(Json, RandomTreesSurvive) {
  std::mt19937_64 random(7);
  auto make = [&](auto&& self, int depth) -> Draft {
    switch (random() % (depth > 4 ? 6 : 8)) {
      case 0: return nullptr;
      case 1: return random() % 2 == 0;
      case 2: return static_cast<long>(random());
      case 3: return static_cast<double>(random() % 1000 * 8 + 1) / 8.0;
      case 4:
      case 5: {
        std::string s;
        for (std::size_t n = random() % 30; n; --n)
          s += random() % 9 ? static_cast<char>('a' + random() % 26) : "\"\\\n\x01\xc3\xa9"[random() % 4];
        return s;
      }
      case 6: {
        Draft a = Draft::array();
        for (std::size_t n = random() % 6; n; --n) a.push_back(self(self, depth + 1));
        return a;
      }
      default: {
        Draft o = Draft::object();
        for (std::size_t n = random() % 50; n; --n) o["k" + std::to_string(random() % 100)] = self(self, depth + 1);
        return o;
      }
    }
  };
  for (int i = 0; i < 300; ++i) {
    Draft draft = make(make, 0);
    Document d = draft.freeze();
    std::string text = to_json(d.root());
    auto back = parse_json(text);
    ASSERT_TRUE(back) << back.error().message << "\n" << text;
    EXPECT_TRUE(back->root() == d.root()) << text;
    EXPECT_TRUE(Draft(*back) == draft);
    if (text.size() > 1 && (text[0] == '{' || text[0] == '[' || text[0] == '"')) {
      std::string cut = text.substr(0, random() % text.size());
      std::unique_ptr<char[]> exact(new char[cut.size()]);  // an overread is seen by the sanitizer
      std::copy(cut.begin(), cut.end(), exact.get());
      EXPECT_FALSE(parse_json({exact.get(), cut.size()}));
    }
  }
}

// Many below a long key are not each told with it.
TEST(Json, DuplicatesAreToldInBounds) {
  std::string text = "{\"" + std::string(100'000, 'k') + "\":{", few = "{";
  for (int i = 0; i < 1000; ++i) {
    std::string twice = "\"a" + std::to_string(i) + "\":1,\"a" + std::to_string(i) + "\":2,";
    text += twice;
    few += twice;
  }
  std::vector<std::string> duplicates;
  ASSERT_TRUE(parse_json(text + "\"z\":0}}", {.duplicates = &duplicates}));
  EXPECT_EQ(duplicates.size(), 1u);
  duplicates.clear();
  ASSERT_TRUE(parse_json(few + "\"z\":0}", {.duplicates = &duplicates}));
  EXPECT_EQ(duplicates.size(), 100u);
}

}  // namespace
}  // namespace kybern
