// What a definition may say, and what its schema makes of objects: tables, one row a case.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/custom/definition.h"
#include "machinery/custom/json_schema.h"
#include "machinery/custom/rules.h"
#include "machinery/custom/structural.h"

namespace kybern::custom {
namespace {

Document json(std::string_view text) {
  auto out = parse_json(text);
  EXPECT_TRUE(out) << text;
  return out ? *out : Document();
}

std::string shown(const FieldErrors& errors) {
  std::vector<std::string> out;
  for (const FieldError& error : errors) out.push_back(error.field + ": " + error.message());
  return join(out, "\n");
}

TEST(Shape, PrunesAndFillsIn) {
  struct Row {
    std::string_view schema, object, expected, unknown;
  } rows[] = {
      {R"({"properties":{"a":{"type":"string"}}})", R"({"a":"x","b":1})", R"({"a":"x"})", "b"},
      {R"({"x-kubernetes-preserve-unknown-fields":true,"properties":{"o":{"type":"object","properties":{"x":{"type":"string"}}}}})",
       R"({"o":{"x":"a","y":1},"k":2})", R"({"o":{"x":"a"},"k":2})", "o.y"},
      {R"({"properties":{"a":{"type":"string","default":"d"},"o":{"type":"object","default":{},"properties":{"x":{"type":"integer","default":7}}}}})",
       "{}", R"({"a":"d","o":{"x":7}})", ""},
      {R"({"properties":{"o":{"type":"object","properties":{"x":{"type":"integer","default":7}}}}})", "{}", "{}", ""},
      {R"({"properties":{"a":{"type":"string"},"b":{"type":"string"}}})", R"({"a":null,"b":"x"})", R"({"b":"x"})", ""},
      {R"({"properties":{"a":{"type":"string","nullable":true}}})", R"({"a":null})", R"({"a":null})", ""},
      {R"({"properties":{"a":{"type":"string","default":"d"}}})", R"({"a":null})", R"({"a":"d"})", ""},
      {R"({"properties":{"l":{"type":"array","items":{"type":"object","properties":{"x":{"type":"string"}}}}}})",
       R"({"l":[{"x":"a","y":1}]})", R"({"l":[{"x":"a"}]})", "l[0].y"},
      {R"({"additionalProperties":{"type":"object","properties":{"x":{"type":"integer"}}}})", R"({"k":{"x":1,"y":2}})", R"({"k":{"x":1}})",
       "k.y"},
      {R"({"properties":{"e":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{"spec":{"type":"object"}}}}})",
       R"({"e":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"n"},"z":1}})",
       R"({"e":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"n"}}})", "e.z"},
  };
  for (const Row& row : rows) {
    std::vector<std::string> unknown;
    Document schema = json(row.schema), object = json(row.object);
    EXPECT_EQ(to_json(shape(object.root(), schema.root(), false, &unknown).root()), row.expected) << row.schema;
    EXPECT_EQ(join(unknown, ","), row.unknown) << row.schema;
  }
}

TEST(ValidateValue, SaysWhatIsWrong) {
  struct Row {
    std::string_view schema, value, expected;
  } rows[] = {
      {R"({"type":"integer"})", "1.5", R"(v: Invalid value: "number": v in body must be of type integer: "number")"},
      {R"({"type":"integer"})", "2.0", ""},
      {R"({"type":"string","maxLength":2})", R"("abc")", R"(v: Invalid value: "abc": v in body should be at most 2 chars long)"},
      {R"({"type":"string","maxLength":2})", R"("éé")", ""},
      {R"({"type":"string","pattern":"^a$"})", R"("b")", R"(v: Invalid value: "b": v in body should match '^a$')"},
      {R"({"type":"string","enum":["x","y"]})", R"("z")", R"(v: Unsupported value: "z": supported values: "x", "y")"},
      {R"({"type":"string","format":"date-time"})", R"("now")", R"(v: Invalid value: "now": v in body must be of type date-time: "now")"},
      {R"({"type":"number","maximum":3,"exclusiveMaximum":true})", "3", "v: Invalid value: 3: v in body should be less than 3"},
      {R"({"type":"object","required":["a"],"properties":{"a":{"type":"string"}}})", "{}", "v.a: Required value"},
      {R"({"x-kubernetes-int-or-string":true})", "[]", R"(v: Invalid value: "array": v in body must be of type integer,string: "array")"},
      {R"({"type":"string","anyOf":[{"pattern":"^a"},{"pattern":"^b"}]})", R"("c")",
       "v: Invalid value: \"\": \"v\" must validate at least one schema (anyOf)\nv: Invalid value: \"c\": v in body should match '^a'"},
      {R"({"type":"integer","oneOf":[{"minimum":1},{"minimum":2}]})", "3",
       R"(v: Invalid value: "": "v" must validate one and only one schema (oneOf). Found 2 valid alternatives)"},
      {R"({"type":"integer","not":{"minimum":1}})", "3", R"(v: Invalid value: "": "v" must not validate the schema (not))"},
  };
  for (const Row& row : rows) {
    Document schema = json(row.schema), value = json(row.value);
    EXPECT_EQ(shown(validate_value(value.root(), schema.root(), "v")), row.expected) << row.schema;
  }
}

TEST(ValidateValue, UnchangedFaultsAreLetThrough) {
  Document schema = json(
      R"({"type":"object","properties":{"a":{"type":"string","maxLength":1},"l":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","properties":{"k":{"type":"string"},"v":{"type":"integer","maximum":1}}}}}})");
  Document old = json(R"({"a":"long","l":[{"k":"x","v":5}]})");
  EXPECT_EQ(
      shown(validate_value(json(R"({"a":"long","b":1,"l":[{"k":"y","v":1},{"k":"x","v":5}]})").root(), schema.root(), "", old.root())), "");
  EXPECT_EQ(shown(validate_value(json(R"({"a":"longer","l":[]})").root(), schema.root(), "", old.root())),
            "a: Invalid value: \"longer\": a in body should be at most 1 chars long");
}

TEST(Structural, RefusesWhatKubernetesDoes) {
  struct Row {
    std::string_view property, expected;
  } rows[] = {
      {R"({"type":"string"})", ""},
      {"{}", "s.properties[p].type: Required value: must not be empty for specified object fields"},
      {R"({"type":"array"})", "s.properties[p].items: Required value: must be specified"},
      {R"({"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":{"type":"string"}})",
       "s.properties[p].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"},
      {R"({"type":"object","anyOf":[{"required":["b"],"properties":{"b":{"minLength":1}}}]})",
       "s.properties[p].properties[b]: Required value: because it is defined in s.properties[p].anyOf[0].properties[b]"},
      {R"({"type":"string","uniqueItems":true})",
       "s.properties[p].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"},
      {R"({"type":"string","pattern":"("})",
       "s.properties[p].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing "
       "closing ): `(`"},
      {R"x({"type":"integer","x-kubernetes-validations":[{"rule":"self > 'a'"}]})x",
       "s.properties[p].x-kubernetes-validations[0].rule: Invalid value: \"self > 'a'\": compilation failed: ERROR: <input>:1:6: found no "
       "matching overload for '_>_' applied to '(int, string)'\n | self > 'a'\n | .....^"},
      {R"x({"type":"integer","x-kubernetes-validations":[{"rule":"self + 1"}]})x",
       "s.properties[p].x-kubernetes-validations[0].rule: Invalid value: \"self + 1\": compilation failed: cel expression must evaluate to "
       "a bool"},
      {R"x({"type":"array","items":{"type":"string"},"x-kubernetes-validations":[{"rule":"self.all(x, self.all(y, x == y))"}]})x",
       "s.properties[p].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try "
       "simplifying the rule, or adding maxItems, maxProperties, and maxLength where "
       "arrays, maps, and strings are declared)\n"
       "s.properties[p].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for "
       "entire OpenAPIv3 schema\n"
       "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more "
       "than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
       "declared)"},
      {R"x({"type":"array","items":{"type":"integer","x-kubernetes-validations":[{"rule":"self == oldSelf"}]}})x",
       "s.properties[p].items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the "
       "uncorrelatable portion of the schema within s.properties[p]"},
      // The outermost place is told.
      {R"x({"type":"array","maxItems":9,"items":{"type":"array","maxItems":9,"items":{"type":"integer","x-kubernetes-validations":[{"rule":"self == oldSelf"}]}}})x",
       "s.properties[p].items.items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the "
       "uncorrelatable portion of the schema within s.properties[p]"},
      {R"x({"type":"integer","x-kubernetes-validations":[{"rule":"self > 1","optionalOldSelf":false}]})x",
       "s.properties[p].x-kubernetes-validations[0].optionalOldSelf: Invalid value: false: may not be set if oldSelf is not used in rule"},
      {R"x({"type":"integer","x-kubernetes-validations":[{"rule":"self > 1","messageExpression":" "}]})x",
       "s.properties[p].x-kubernetes-validations[0].messageExpression: Required value: messageExpression must be non-empty if specified"},
      {R"x({"type":"integer","x-kubernetes-validations":[{"rule":"self >\n 1"}]})x",
       "s.properties[p].x-kubernetes-validations[0].message: Required value: message must be specified if rule contains line breaks"},
      {R"({"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["a","a"],"items":{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}})",
       "s.properties[p].x-kubernetes-list-map-keys: Invalid value: [\"a\",\"a\"]: must not contain duplicate entries"},
  };
  for (const Row& row : rows) {
    Document schema = json(fmt::format(R"({{"type":"object","properties":{{"p":{}}}}})", row.property));
    EXPECT_EQ(shown(validate_schema(schema.root(), "s")), row.expected) << row.property;
  }
}

// Each rule within its budget, all of them above the schema's: the four dearest are told, and the total.
TEST(Structural, TheDearestRulesAreTold) {
  auto list = [](int items, std::string_view expression) {
    return fmt::format(R"x({{"type":"array","maxItems":{},"items":{{"type":"string","maxLength":10}},"x-kubernetes-validations":[)x"
                       R"x({{"rule":"self.all(x, self.all(y, x == y))"{}}}]}})x",
                       items, expression);
  };
  std::string properties;
  for (int i = 0; i < 30; ++i) properties += fmt::format(R"("p{:02}":{},)", i, list(i % 10 == 5 ? 900 : 800, ""));
  Document schema = json(fmt::format(R"({{"type":"object","properties":{{{}"small":{}}}}})", properties,
                                     list(2, R"x(,"messageExpression":"'no ' + self[0]")x")));
  FieldErrors errors = validate_schema(schema.root(), "s");
  ASSERT_EQ(errors.size(), 5U) << shown(errors);
  const std::string why = "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(errors[i].message(), why);
    EXPECT_EQ(errors[i].field, fmt::format("s.properties[p{:02}].x-kubernetes-validations[0].rule", i < 3 ? 5 + 10 * i : 0));
  }
  EXPECT_EQ(errors[4].field, "s");
  EXPECT_TRUE(errors[4].message().starts_with(
      "Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of "))
      << errors[4].message();
  // What a messageExpression costs does not grow with how often its rule is run.
  Document often = json(R"x({"type":"object","properties":{"l":{"type":"array","maxItems":100000,"items":{"type":"string","maxLength":20,
      "x-kubernetes-validations":[{"rule":"self != 'a'","messageExpression":"'no '.replace('o', self).replace('a', self)"}]}}}})x");
  EXPECT_EQ(shown(validate_schema(often.root(), "s")), "");
}

TEST(Rules, RunOnObjects) {
  Document schema = json(R"x({"type":"object","properties":{"spec":{"type":"object",
      "x-kubernetes-validations":[{"rule":"self.replicas <= self.max","messageExpression":"'above ' + string(self.max)"},
                                  {"rule":"self.image == oldSelf.image","message":"immutable","fieldPath":".image","reason":"FieldValueForbidden"},
                                  {"rule":"oldSelf.hasValue() || self.replicas < 3","optionalOldSelf":true,"message":"begins small"}],
      "properties":{"replicas":{"type":"integer"},"max":{"type":"integer"},"image":{"type":"string"},
                    "l":{"type":"array","items":{"type":"string","x-kubernetes-validations":[{"rule":"self.startsWith('a')"}]}}}}}})x");
  auto rules = Rules::compile(schema.root());
  ASSERT_TRUE(rules);
  struct Row {
    std::string_view object, old, expected;
  } rows[] = {
      {R"({"spec":{"replicas":1,"max":2,"image":"i"}})", "", ""},
      {R"({"spec":{"replicas":2,"max":1,"image":"i"}})", "", "spec: Invalid value: above 1"},
      {R"({"spec":{"replicas":4,"max":5,"image":"i"}})", "", "spec: Invalid value: begins small"},
      {R"({"spec":{"replicas":4,"max":5,"image":"j"}})", R"({"spec":{"replicas":1,"max":5,"image":"i"}})",
       "spec.image: Forbidden: immutable"},
      {R"({"spec":{"max":5,"image":"i"}})", "",
       "spec: Invalid value: \"object\": no such key: replicas evaluating rule: self.replicas <= self.max\nspec: Invalid value: "
       "\"object\": no such key: replicas evaluating rule: begins small"},
      {R"({"spec":{"replicas":1,"max":5,"l":["a","b"]}})", "", "spec.l[1]: Invalid value: \"b\": failed rule: self.startsWith('a')"},
      {R"({"spec":{"replicas":6,"max":5,"image":"i"}})", R"({"spec":{"replicas":6,"max":5,"image":"i"}})", ""},  // it was so before
  };
  for (const Row& row : rows) {
    Document object = json(row.object), old = row.old.empty() ? Document() : json(row.old);
    EXPECT_EQ(shown(rules->run(object.root(), old.root())), row.expected) << row.object;
  }
  // What is let through because it was so before is told.
  Document same = json(R"({"spec":{"replicas":6,"max":5,"image":"i"}})");
  std::vector<std::string> warnings;
  EXPECT_TRUE(rules->run(same.root(), same.root(), &warnings).empty());
  EXPECT_EQ(join(warnings, "\n"), "spec: Invalid value: above 5");
}

TEST(Definition, NamesOfOthersAreNotAccepted) {
  Document definition = json(
      R"({"metadata":{"name":"as.example.com"},"spec":{"group":"example.com","names":{"plural":"as","singular":"a","kind":"A","listKind":"AList","shortNames":["x"]}}})");
  Draft free = next_status(definition.root(), {}, "2026-01-01T00:00:00Z");
  Document status = free.freeze();
  EXPECT_EQ(status["acceptedNames"]["kind"].as_string(), "A");
  EXPECT_EQ(status["conditions"][1]["type"].as_string(), "Established");
  EXPECT_EQ(status["conditions"][1]["status"].as_string(), "True");
  Document taken = next_status(definition.root(), {.names = {"a"}, .kinds = {}}, "2026-01-01T00:00:00Z").freeze();
  EXPECT_EQ(taken["conditions"][0]["reason"].as_string(), "SingularConflict");
  EXPECT_EQ(taken["conditions"][0]["message"].as_string(), "\"a\" is already in use");
  EXPECT_EQ(taken["conditions"][1]["status"].as_string(), "False");
}

TEST(Definition, ShortNamesComeTogether) {
  Document definition = json(
      R"({"metadata":{"name":"as.example.com"},"spec":{"group":"example.com","names":{"plural":"as","singular":"a","kind":"A","listKind":"AList","shortNames":["x","y","z"]}},
          "status":{"acceptedNames":{"plural":"as","singular":"a","kind":"A","listKind":"AList","shortNames":["x"]}}})");
  Document one = next_status(definition.root(), {.names = {"y"}, .kinds = {}}, "2026-01-01T00:00:00Z").freeze();
  EXPECT_EQ(to_json(one["acceptedNames"]["shortNames"]), R"(["x"])");
  EXPECT_EQ(one["conditions"][0]["message"].as_string(), R"("y" is already in use)");
  Document two = next_status(definition.root(), {.names = {"y", "z"}, .kinds = {"A"}}, "2026-01-01T00:00:00Z").freeze();
  EXPECT_EQ(two["conditions"][0]["reason"].as_string(), "KindConflict");  // the last of them
  Document free = next_status(definition.root(), {}, "2026-01-01T00:00:00Z").freeze();
  EXPECT_EQ(to_json(free["acceptedNames"]["shortNames"]), R"(["x","y","z"])");
}

TEST(Definition, WhatOneMaySay) {
  auto with = [](std::string_view version, std::string_view spec = "") {
    return json(fmt::format(
        R"({{"metadata":{{"name":"as.example.com"}},"spec":{{"group":"example.com","scope":"Cluster","names":{{"plural":"as","singular":"a","kind":"A","listKind":"AList"}}{1},)"
        R"("versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object"}}}}{0}}}]}}}})",
        version, spec));
  };
  struct Row {
    std::string_view version, spec, expected;
  } rows[] = {
      {"", "", ""},
      {R"(,"deprecated":true,"deprecationWarning":"go on")", "", ""},
      {R"(,"deprecationWarning":"go on")", "",
       "spec.versions[0].deprecationWarning: Invalid value: \"go on\": can only be set for deprecated versions"},
      {R"(,"deprecated":true,"deprecationWarning":"")", "",
       "spec.versions[0].deprecationWarning: Invalid value: \"\": must not be an empty string"},
      {R"(,"deprecated":true,"deprecationWarning":"a\nb")", "",
       "spec.versions[0].deprecationWarning: Invalid value: \"a\\nb\": must only contain printable UTF-8 characters; non-printable "
       "character "
       "found at index 1"},
      {"", R"(,"preserveUnknownFields":true)",
       "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
       "spec.versions[*].schema instead"},
      {R"(,"additionalPrinterColumns":[{"name":"n","type":"string","jsonPath":".spec..x"}])", "", ""},
      {R"(,"subresources":{"scale":{"specReplicasPath":"spec.n","statusReplicasPath":".status.n"}})", "",
       "spec.subresources.scale.specReplicasPath: Invalid value: \"spec.n\": must be a simple json path starting with ."},
      // Who fills in the certificate comes later.
      {"",
       R"(,"conversion":{"strategy":"Webhook","webhook":{"clientConfig":{"url":"https://a.b/c","caBundle":"Cg=="},"conversionReviewVersions":["v1"]}})",
       ""},
  };
  for (const Row& row : rows)
    EXPECT_EQ(shown(validate_definition(with(row.version, row.spec).root())), row.expected) << row.version << row.spec;
  // A good certificate is not given up for a bad one once the definition is at work.
  constexpr std::string_view webhook =
      R"(,"conversion":{{"strategy":"Webhook","webhook":{{"clientConfig":{{"url":"https://a.b/c"{}}},"conversionReviewVersions":["v1"]}}}})";
  Document good = with("", fmt::format(webhook, "")), bad = with("", fmt::format(webhook, R"(,"caBundle":"Cg==")"));
  EXPECT_EQ(shown(validate_definition_update(bad, good)), "");
  Draft established(good.root());
  established["status"]["conditions"] = Draft::array({Draft::object({{"type", "Established"}, {"status", "True"}})});
  Document at_work = established.freeze();
  EXPECT_EQ(
      shown(validate_definition_update(bad, at_work.root())),
      "spec.conversion.webhookClientConfig.caBundle: Invalid value: \"Cg==\": unable to load root certificates: unable to parse bytes "
      "as PEM block");
  // Beside a status of its own the root says little.
  Document open = json(
      R"({"metadata":{"name":"as.example.com"},"spec":{"group":"example.com","scope":"Cluster","names":{"plural":"as","singular":"a","kind":"A","listKind":"AList"},
          "versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","nullable":true,"oneOf":[{"required":["a"]}],"properties":{"a":{"type":"string"}}}}}]}})");
  const std::string found = shown(validate_definition(open.root()));
  EXPECT_NE(found.find("fields are allowed at the root of the schema if the status subresource is enabled"), std::string::npos) << found;
  EXPECT_NE(found.find("spec.validation.openAPIV3Schema.nullable: Forbidden: nullable cannot be true at the root"), std::string::npos)
      << found;
}

TEST(Definition, PathsOfColumns) {
  Document object =
      json(R"({"spec":{"a":{"b.c":1},"l":[{"n":"x","v":1},{"n":"y","v":2}]},"status":{"conditions":[{"type":"Ready","status":"True"}]}})");
  struct Row {
    std::string_view path, expected;
  } rows[] = {{".spec.l[1].v", "2"},    {".status.conditions[?(@.type==\"Ready\")].status", "\"True\""},
              {".spec.a.b\\.c", "1"},   {".spec.a['b.c']", "1"},
              {".spec.none.x", "null"}, {".spec.l[*].n", "\"x\""}};
  for (const Row& row : rows) EXPECT_EQ(to_json(at_json_path(object.root(), row.path)), row.expected) << row.path;
}

}  // namespace
}  // namespace kybern::custom
