// Tables of expressions and what they are worth: from the statements of the CEL specification and of Kubernetes' docs.
#include <gtest/gtest.h>

#include "document/json.h"
#include "machinery/cel/cel.h"

namespace kybern::cel {
namespace {

struct Result {
  std::string text;
  std::uint64_t cost = 0;
};

// The value as JSON, "error: ..." or "does not compile: ...".
Result run(std::string_view expression, std::string_view variables = "{}", std::uint64_t limit = per_call_limit) {
  auto parsed = parse_json(variables);
  EXPECT_TRUE(parsed) << variables;
  Environment environment;
  std::vector<Val> values;
  for (Member member : parsed->root().members()) {
    environment.declare(std::string(member.key), &types::dyn);
    values.push_back(Program::value(member.value));
  }
  auto program = Program::compile(environment, expression);
  if (!program) return {"does not compile: " + program.error()};
  Outcome outcome = program->evaluate(values, limit, true);
  if (outcome.kind != Outcome::Kind::value) return {"error: " + outcome.message, outcome.cost};
  return {to_json(outcome.document.root()), outcome.cost};
}

struct CelRow {
  std::string_view expression, expected;
  std::string_view variables = "{}";
};

void check(std::initializer_list<CelRow> rows) {
  for (const CelRow& row : rows) EXPECT_EQ(run(row.expression, row.variables).text, row.expected) << row.expression;
}

TEST(Cel, LiteralsAndArithmetic) {
  check({
      {"1 + 2 * 3", "7"},
      {"(1 + 2) * 3", "9"},
      {"-7 / 2", "-3"},
      {"-7 % 2", "-1"},
      {"7u % 4u", "3"},
      {"0x1F", "31"},
      {"1.5 + 1.5", "3"},
      {"--5", "5"},
      {"-(-5)", "5"},
      {"1e3", "1000"},
      {".5 * 2.0", "1"},
      {"'a' + \"b\"", "\"ab\""},
      {"r'\\d'", "\"\\\\d\""},
      {"'''a\nb'''", "\"a\\nb\""},
      {"'\\u00e9\\x41\\101\\n'", "\"éAA\\n\""},
      {"b'abc' + b'\\xff'", "\"YWJj/w==\""},
      {"[1, 2] + [3]", "[1,2,3]"},
      {"null", "null"},
      {"!true", "false"},
      {"9223372036854775807 + 1", "error: integer overflow"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"-9223372036854775808 / -1", "error: integer overflow"},
      {"0u - 1u", "error: unsigned integer overflow"},
      {"1 / 0", "error: division by zero"},
      {"1 % 0", "error: modulus by zero"},
      {"1.0 / 0.0 > 1.0", "true"},
      {"2 * 4611686018427387904", "error: integer overflow"},
      {"// a comment\n1", "1"},
      {"[1, 2,]", "[1,2]"},
      {"{'a': 1,}", "{\"a\":1}"},
  });
}

TEST(Cel, ComparisonAndLogic) {
  check({
      {"1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3", "true"},
      {"'a' < 'b'", "true"},
      {"1 < 1.5", "true"},
      {"2u > 1", "true"},
      {"-1 < 1u", "true"},
      {"dyn(1) == 1.0", "true"},
      {"dyn(1) == 1u", "true"},
      {"dyn('1') == 1", "false"},
      {"[1, 2] == [1, 2]", "true"},
      {"{'a': 1} == {'a': 1}", "true"},
      {"1 / 0 == 1 || true", "true"},
      {"true || 1 / 0 == 1", "true"},
      {"false && 1 / 0 == 1", "false"},
      {"1 / 0 == 1 && false", "false"},
      {"1 / 0 == 1 && true", "error: division by zero"},
      {"true ? 1 : 2", "1"},
      {"false ? 1 : true ? 2 : 3", "2"},
      {"'a' in ['a', 'b']", "true"},
      {"'c' in {'a': 1}", "false"},
      {"9223372036854775807 < 9223372036854775808.0", "true"},
      {"b'a' < b'b'", "true"},
      {"false < true", "true"},
      {"null == null", "true"},
      {"type(1) == int", "true"},
      {"type('a') == string && type(1.0) == double", "true"},
      {"type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp", "true"},
      {"double('NaN') == double('NaN')", "false"},
  });
}

TEST(Cel, FieldsAndIndexes) {
  constexpr std::string_view vars = R"({"o": {"a": {"b": [10, 20]}, "n": null, "s": "x"}})";
  check({
      {"o.a.b[1]", "20", vars},
      {"o['a']['b'][0]", "10", vars},
      {"has(o.a.b)", "true", vars},
      {"has(o.zz)", "false", vars},
      {"o.zz", "error: no such key: zz", vars},
      {"o['zz']", "error: no such key: zz", vars},
      {"o.a.b[2]", "error: index out of bounds: 2", vars},
      {"o.n == null", "true", vars},
      {"o.s.size()", "1", vars},
      {"o.?zz.orValue('d')", "\"d\"", vars},
      {"o.?a.?b[0].orValue(1)", "10", vars},
      {"o.a.b[?5].hasValue()", "false", vars},
      {"o[?'s'].value()", "\"x\"", vars},
      {"[1, ?o.?zz, 2]", "[1,2]", vars},
      {"{?'k': o.?s}", "{\"k\":\"x\"}", vars},
      {"optional.none().value()", "error: optional.none() dereference", vars},
      {"o.?s.optMap(x, x + 'y').value()", "\"xy\"", vars},
      {"o.?zz.optMap(x, x + 'y').hasValue()", "false", vars},
      {"o.s.t", "error: no such overload", vars},
      {"[optional.of(1), optional.none()].unwrapOpt()", "[1]", vars},
      {"o.?zz.or(optional.of(3)).value()", "3", vars},
  });
}

TEST(Cel, Macros) {
  check({
      {"[1, 2, 3].all(x, x > 0)", "true"},
      {"[1, 2, 3].exists(x, x == 2)", "true"},
      {"[1, 2, 3].exists_one(x, x > 2)", "true"},
      {"[1, 2, 3].map(x, x * 2)", "[2,4,6]"},
      {"[1, 2, 3].map(x, x > 1, x * 2)", "[4,6]"},
      {"[1, 2, 3].filter(x, x != 2)", "[1,3]"},
      {"{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])", "true"},
      {"[1, 0].exists(x, 1 / x == 1)", "true"},
      {"[0, 1].exists(x, 1 / x == 1)", "true"},
      {"[0, 1].all(x, 1 / x == 1)", "error: division by zero"},
      {"[[1], [2]].all(x, x.all(y, y > 0))", "true"},
      {"[1, 2].map(x, [3, 4].map(y, x * y))", "[[3,4],[6,8]]"},
      {"[1, 2].all(i, v, i < v)", "true"},
      {"{'a': 1}.exists(k, v, k == 'a' && v == 1)", "true"},
      {"['x', 'y'].transformList(i, v, v + string(i))", "[\"x0\",\"y1\"]"},
      {"{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2)", "{\"b\":4}"},
      {"{'a': 'b'}.transformMapEntry(k, v, {v: k})", "{\"b\":\"a\"}"},
      {"[].all(x, x > 0)", "true"},
      {"[].exists(x, true)", "false"},
      {"[1].existsOne(i, v, v == 1)", "true"},
  });
}

TEST(Cel, Texts) {
  check({
      {"'héllo'.charAt(1)", "\"é\""},
      {"'abc'.charAt(3)", "\"\""},
      {"'abc'.charAt(4)", "error: index out of range: 4"},
      {"'hello'.indexOf('l')", "2"},
      {"'hello'.indexOf('l', 3)", "3"},
      {"'hello'.lastIndexOf('l')", "3"},
      {"'hello'.lastIndexOf('l', 2)", "2"},
      {"'TacoCat'.lowerAscii()", "\"tacocat\""},
      {"'TacoCat'.upperAscii()", "\"TACOCAT\""},
      {"'hello hello'.replace('he', 'we')", "\"wello wello\""},
      {"'hello hello'.replace('he', 'we', 1)", "\"wello hello\""},
      {"'abc'.replace('', '_')", "\"_a_b_c_\""},
      {"'a,b,c'.split(',')", "[\"a\",\"b\",\"c\"]"},
      {"'a,b,c'.split(',', 2)", "[\"a\",\"b,c\"]"},
      {"'abc'.split('')", "[\"a\",\"b\",\"c\"]"},
      {"'abc'.split(',', 0)", "[]"},
      {"['a', 'b'].join('-')", "\"a-b\""},
      {"'tacocat'.substring(4)", "\"cat\""},
      {"'tacocat'.substring(0, 4)", "\"taco\""},
      {"'  a\t\\n'.trim()", "\"a\""},
      {"'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')", "true"},
      {"'abc'.matches('^a.c$')", "true"},
      {"matches('abc', 'b')", "true"},
      {"'abc 123'.find('[0-9]+')", "\"123\""},
      {"'1 2 3'.findAll('[0-9]')", "[\"1\",\"2\",\"3\"]"},
      {"'1 2 3'.findAll('[0-9]', 2)", "[\"1\",\"2\"]"},
      {"'%s is %d, %.2f'.format([dyn('x'), dyn(3), dyn(1.5)])", "\"x is 3, 1.50\""},
      {"'%x %X %o %b'.format([255, 255, 8, 5])", "\"ff FF 10 101\""},
      {"'%s'.format([[dyn(1), dyn('a'), dyn(null)]])", "\"[1, a, null]\""},
      {"'%s'.format([{'b': dyn(1), 'a': dyn(true)}])", "\"{a: true, b: 1}\""},
      {"'%d'.format(['a'])", "error: error during formatting: decimal clause can only be used on integers, was given string"},
      {"strings.quote('a\"b')", "\"\\\"a\\\\\\\"b\\\"\""},
      {"size('héllo')", "5"},
      {"'a%%'.format([])", "\"a%\""},
  });
}

TEST(Cel, Conversions) {
  check({
      {"int('42')", "42"},
      {"int(3.9)", "3"},
      {"int('x')", "error: strconv.ParseInt: parsing \"x\": invalid syntax"},
      {"uint(3)", "3"},
      {"uint(-1)", "error: unsigned integer overflow"},
      {"double('1.5')", "1.5"},
      {"string(1)", "\"1\""},
      {"string(1.0)", "\"1\""},
      {"string(1e21)", "\"1e+21\""},
      {"string(true)", "\"true\""},
      {"bool('true')", "true"},
      {"string(b'abc')", "\"abc\""},
      {"bytes('é').size()", "2"},
      {"int(1e19)", "error: integer overflow"},
      {"string(duration('1h30m'))", "\"5400s\""},
  });
}

TEST(Cel, Times) {
  check({
      {"timestamp('2020-02-03T04:05:06.007Z').getFullYear()", "2020"},
      {"timestamp('2020-02-03T04:05:06Z').getMonth()", "1"},
      {"timestamp('2020-02-03T04:05:06Z').getDate()", "3"},
      {"timestamp('2020-02-03T04:05:06Z').getDayOfMonth()", "2"},
      {"timestamp('2020-02-03T04:05:06Z').getDayOfWeek()", "1"},
      {"timestamp('2020-02-03T04:05:06Z').getDayOfYear()", "33"},
      {"timestamp('2020-02-03T04:05:06Z').getHours()", "4"},
      {"timestamp('2020-02-03T04:05:06Z').getHours('+05:30')", "9"},
      {"timestamp('2020-02-03T04:05:06.007Z').getMilliseconds()", "7"},
      {"timestamp('2020-02-03T04:05:06Z') + duration('1h') == timestamp('2020-02-03T05:05:06Z')", "true"},
      {"timestamp('2020-02-03T05:05:06Z') - timestamp('2020-02-03T04:05:06Z')", "\"1h0m0s\""},
      {"duration('90m').getHours()", "1"},
      {"duration('1500ms').getSeconds()", "1"},
      {"timestamp('9999-12-31T23:59:59Z') + duration('1s')", "error: timestamp overflow"},
      {"duration('1s') < duration('2s')", "true"},
      {"timestamp('2020-01-01T00:00:00+01:00') == timestamp('2019-12-31T23:00:00Z')", "true"},
      {"int(timestamp('1970-01-02T00:00:00Z'))", "86400"},
      {"timestamp('2020-01-01T00:00:00Z').getHours('Nowhere/City')", "error: unknown time zone Nowhere/City"},
  });
}

TEST(Cel, Lists) {
  check({
      {"[1, 2, 3].sum()", "6"},
      {"[1, 3, 2].max()", "3"},
      {"[1, 3, 2].min()", "1"},
      {"[1, 2].isSorted()", "true"},
      {"['b', 'a'].isSorted()", "false"},
      {"[1, 2, 1].indexOf(1)", "0"},
      {"[1, 2, 1].lastIndexOf(1)", "2"},
      {"[1].indexOf(5)", "-1"},
      {"[1, 2, 3, 4].slice(1, 3)", "[2,3]"},
      {"[[1], [2, 3]].flatten()", "[1,2,3]"},
      {"[1, 2, 1].distinct()", "[1,2]"},
      {"[3, 1, 2].sort()", "[1,2,3]"},
      {"lists.range(3)", "[0,1,2]"},
      {"[1, 2].reverse()", "[2,1]"},
      {"sets.contains([1, 2, 3], [2])", "true"},
      {"sets.equivalent([1, 2], [2, 1, 1])", "true"},
      {"sets.intersects([1], [2])", "false"},
      {"[].sum()", "0"},
      {"[dyn(1)].slice(0, 5)", "error: cannot slice(0, 5), list is length 1"},
      {"[1, 2].first().value()", "1"},
  });
}

TEST(Cel, KubernetesLibraries) {
  check({
      {"quantity('1Gi').isGreaterThan(quantity('1G'))", "true"},
      {"quantity('500m').add(quantity('500m')).asInteger()", "1"},
      {"isQuantity('1.3Gix')", "false"},
      {"quantity('50k').compareTo(quantity('50000'))", "0"},
      {"quantity('1500m').asApproximateFloat()", "1.5"},
      {"quantity('-1').sign()", "-1"},
      {"quantity('5').sub(2).asInteger()", "3"},
      {"ip('127.0.0.1').isLoopback()", "true"},
      {"ip('::1').family()", "6"},
      {"isIP('1.2.3')", "false"},
      {"ip.isCanonical('2001:DB8::1')", "false"},
      {"string(ip('2001:db8::ABCD'))", "\"2001:db8::abcd\""},
      {"cidr('10.0.0.0/8').containsIP('10.1.2.3')", "true"},
      {"cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"},
      {"cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')", "true"},
      {"cidr('192.168.0.0/24').prefixLength()", "24"},
      {"isCIDR('10.0.0.0/33')", "false"},
      {"url('https://example.com:80/a?k=v&k=w').getHost()", "\"example.com:80\""},
      {"url('https://example.com:80/a').getHostname()", "\"example.com\""},
      {"url('https://example.com:80/a').getPort()", "\"80\""},
      {"url('https://e.com/a?k=v&k=w').getQuery()", "{\"k\":[\"v\",\"w\"]}"},
      {"isURL('../relative')", "false"},
      {"semver('1.2.3').isLessThan(semver('1.10.0'))", "true"},
      {"semver('1.0.0-alpha').compareTo(semver('1.0.0'))", "-1"},
      {"isSemver('v1.0')", "false"},
      {"isSemver('v1.0', true)", "true"},
      {"semver('1.2.3').minor()", "2"},
      {"format.named('dns1123Label').value().validate('ok').hasValue()", "false"},
      {"format.dns1123Label().validate('A B').hasValue()", "true"},
      {"format.named('nothing').hasValue()", "false"},
  });
}

TEST(Cel, ErrorsOfCompilation) {
  check({
      {"1 +",
       "does not compile: ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', "
       "'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, "
       "BYTES, IDENTIFIER}\n | 1 +\n | ...^"},
      {"x.y", "does not compile: ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x.y\n | ^"},
      {"1 + 'a'",
       "does not compile: ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^"},
      {"'a'.nothing(1)",
       "does not compile: ERROR: <input>:1:12: undeclared reference to 'nothing' (in container '')\n | 'a'.nothing(1)\n | ...........^"},
      {"'a'.contains(1)",
       "does not compile: ERROR: <input>:1:13: found no matching overload for 'contains' applied to 'string.(int)'\n | 'a'.contains(1)\n | "
       "............^"},
      {"[1, 'a']", "does not compile: ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"},
      {"1.all(x, true)",
       "does not compile: ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or "
       "dynamic)\n | 1.all(x, true)\n | ^"},
      {"has(1)", "does not compile: ERROR: <input>:1:5: invalid argument to has() macro\n | has(1)\n | ....^"},
      {"1 == 'a'",
       "does not compile: ERROR: <input>:1:3: found no matching overload for '_==_' applied to '(int, string)'\n | 1 == 'a'\n | ..^"},
      {"'a'.b", "does not compile: ERROR: <input>:1:4: type 'string' does not support field selection\n | 'a'.b\n | ...^"},
      {"'x'.matches('(')", "does not compile: ERROR: <input>:1:13: invalid matches argument\n | 'x'.matches('(')\n | ............^"},
      {"-({-)",
       "does not compile: ERROR: <input>:1:5: Syntax error: mismatched input ')' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', "
       "'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, "
       "BYTES, IDENTIFIER}\n | -({-)\n | ....^"},
      {"1 2", "does not compile: ERROR: <input>:1:3: Syntax error: extraneous input '2' expecting <EOF>\n | 1 2\n | ..^"},
  });
}

// Expressions about devices alone have it: machinery/validate/devices_test.cpp.
TEST(Cel, NothingIsBoundElsewhere) { EXPECT_TRUE(run("cel.bind(x, 1, x == 1)").text.starts_with("does not compile")); }

TEST(Cel, TypesOfSchemas) {
  TypePool pool;
  Type* spec = pool.make(TypeKind::object);
  spec->name = "self.spec";
  Type* set = pool.make(TypeKind::list);
  set->params = {&types::string};
  set->semantics = ListSemantics::set;
  spec->fields = {{"__namespace__", "namespace", &types::string},
                  {"at", "at", &types::timestamp},
                  {"ratio", "ratio", &types::number},
                  {"replicas", "replicas", &types::integer},
                  {"tags", "tags", set}};
  auto object = parse_json(R"({"replicas": 3, "ratio": 1, "at": "2020-01-01T00:00:00Z", "namespace": "n", "tags": ["a", "b"]})");
  auto other = parse_json(R"({"tags": ["b", "a"]})");
  Environment environment;
  environment.declare("self", spec);
  environment.declare("oldSelf", spec);
  std::vector<Val> values{Program::value(object->root(), spec), Program::value(other->root(), spec)};
  auto eval = [&](std::string_view text) {
    auto program = Program::compile(environment, text);
    if (!program) return program.error();
    Outcome outcome = program->evaluate(values, per_call_limit, true);
    return outcome.kind == Outcome::Kind::value ? to_json(outcome.document.root()) : outcome.message;
  };
  EXPECT_EQ(eval("self.replicas <= 5 && self.ratio == 1.0"), "true");
  EXPECT_EQ(eval("self.at.getFullYear()"), "2020");
  EXPECT_EQ(eval("self.__namespace__ == 'n'"), "true");
  EXPECT_EQ(eval("self.tags == oldSelf.tags"), "true");
  EXPECT_EQ(eval("(self.tags + ['a', 'c']).size()"), "3");
  EXPECT_EQ(eval("self.foo"), "ERROR: <input>:1:5: undefined field 'foo'\n | self.foo\n | ....^");
  EXPECT_EQ(eval("oldSelf.replicas"), "no such key: replicas");
  EXPECT_EQ(
      eval("self.replicas == 'a'"),
      "ERROR: <input>:1:15: found no matching overload for '_==_' applied to '(int, string)'\n | self.replicas == 'a'\n | ..............^");
}

TEST(Cel, CostsAreCountedAsUpstreamCountsThem) {
  constexpr std::string_view vars = R"({"s": "0123456789", "l": [1, 2, 3], "o": {"a": 1, "b": 2}})";
  struct {
    std::string_view expression;
    std::uint64_t cost;
  } rows[] = {
      {"1 == 1", 1},   {"o.a <= o.b", 5},          {"s == s", 3}, {"s.startsWith('0')", 2}, {"l.all(x, true)", 11},
      {"has(o.a)", 1}, {"s.matches('[0-9]+')", 5}, {"s + s", 4},
  };
  for (auto& row : rows) EXPECT_EQ(run(row.expression, vars).cost, row.cost) << row.expression;
}

TEST(Cel, BombsAreStopped) {
  std::string list = "[";
  for (int i = 0; i < 100; ++i) list += "1,";
  list += "1]";
  std::string nested = list + ".all(a, " + list + ".all(b, " + list + ".all(c, " + list + ".all(d, true))))";
  Result result = run(nested);
  EXPECT_EQ(result.text, "error: operation cancelled: actual cost limit exceeded");
  EXPECT_LT(result.cost, per_call_limit + 2000);
  std::string doubled = "optional.of([0])";
  for (int i = 0; i < 60; ++i) doubled += ".optMap(a, a + a)";
  EXPECT_EQ(run(doubled + ".value().size()").text, "error: operation cancelled: actual cost limit exceeded");
  std::string replaced = "optional.of('aaaaaaaa')";
  for (int i = 0; i < 12; ++i) replaced += ".optMap(a, a.replace('a', a))";
  EXPECT_EQ(run(replaced + ".value()").text, "error: operation cancelled: actual cost limit exceeded");
  std::string long_sum = "1", long_path = "x";
  for (int i = 0; i < 20000; ++i) long_sum += "+1", long_path += ".a";
  EXPECT_NE(run(long_sum).text.find("recursion limit"), std::string::npos);
  EXPECT_NE(run(long_path).text.find("recursion limit"), std::string::npos);
  EXPECT_NE(run(std::string(20000, '!') + "true").text, "");
  EXPECT_NE(run(std::string(400, '(') + "1" + std::string(400, ')')).text.find("recursion limit"), std::string::npos);
}

TEST(Cel, EstimatesComeFromSizes) {
  TypePool pool;
  Type* text = pool.make(TypeKind::string);
  text->max_size = 100;
  Type* list = pool.make(TypeKind::list);
  list->params = {text};
  list->max_size = 10;
  Environment environment;
  environment.declare("self", list);
  auto program = Program::compile(environment, "self.all(x, x.contains('abcdefghij'))");
  ASSERT_TRUE(program) << program.error();
  // 1 + 10 * (accu 1, not_strictly_false 1, accu 1, x 1, contains 10 * 1) + result 1
  EXPECT_EQ(program->estimate().high, 1 + 10 * 14 + 1u);
  Environment unbounded;
  unbounded.declare("self", pool.list(&types::string));
  EXPECT_GT(Program::compile(unbounded, "self.all(x, self.all(y, x == y))")->estimate().high, 10'000'000u);
}

class Rules : public Authorizer {
 public:
  AuthorizationAnswer authorize(const AuthorizationQuestion& q) override {
    return {q.verb == "get" && q.group == "apps" && q.resource == "deployments" && q.ns == "n", "because", ""};
  }
};

TEST(Cel, TheAuthorizerIsAsked) {
  Rules rules;
  auto value = authorizer_value(rules);
  Environment environment;
  environment.declare("authorizer", authorizer_type());
  std::vector<Val> values{Val::of(static_cast<const Opaque*>(value.get()))};
  auto yes = Program::compile(environment, "authorizer.group('apps').resource('deployments').namespace('n').check('get').allowed()");
  ASSERT_TRUE(yes) << yes.error();
  EXPECT_TRUE(yes->evaluate(values).truth);
  EXPECT_GE(yes->evaluate(values).cost, 350000u);
  auto no = Program::compile(environment, "authorizer.path('/healthz').check('get').allowed()");
  EXPECT_FALSE(no->evaluate(values).truth);
}

}  // namespace
}  // namespace kybern::cel
