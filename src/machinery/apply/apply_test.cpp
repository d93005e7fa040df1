#include "machinery/apply/apply.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "document/json.h"
#include "document/yaml.h"
#include "machinery/apply/merge.h"
#include "schema/convert.h"

namespace kybern::apply {
namespace {

Document yaml(std::string_view text) {
  auto parsed = parse_yaml(text);
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message) << "\n" << text;
  return parsed && !parsed->empty() ? parsed->front() : Draft::object().freeze();
}

class OneVersion : public Versions {
 public:
  explicit OneVersion(std::string_view kind) {
    version = kind == "ConfigMap" || kind == "Pod" || kind == "Service" || kind == "PodTemplate" ? "v1"
              : kind == "Role"                                                                   ? "rbac.authorization.k8s.io/v1"
                                                                                                 : "apps/v1";
    type = schema::find_type(version, kind);
  }
  bool has(std::string_view v) const override { return v == version; }
  Place root(std::string_view) const override { return Place::of(*type); }
  Document convert(Value object, std::string_view, std::string_view) const override { return object.document(); }
  std::string version;
  const schema::Type* type = nullptr;
};

// An object and those who write it.
class World {
 public:
  explicit World(std::string_view kind) : versions(kind), kind(kind) {
    empty = *schema::to_typed(*versions.type, Draft::object().freeze().root());
  }

  Document body(std::string_view text) const {
    Draft d(yaml(text));
    d["apiVersion"] = versions.version;
    d["kind"] = kind;
    d["metadata"]["name"] = "a";
    return d.freeze();
  }

  // What a request that is no apply does. The text replaces the object, but for its managers.
  void update(std::string_view manager, std::string_view text, Value given = {}) { put(manager, body(text), given); }
  void put(std::string_view manager, const Document& now, Value given = {}) {
    Document typed = *schema::to_typed(*versions.type, now.root());
    store(typed, track(write(manager), object.root(), typed.root(), given));
  }

  // "" or what the answer says.
  std::string apply(std::string_view manager, std::string_view text, bool force = false) {
    Document config = body(text);
    auto applied = kybern::apply::apply(write(manager), object.root(), config.root(), force);
    if (!applied) {
      last = applied.error();
      return applied.error().message;
    }
    auto typed = schema::to_typed(*versions.type, applied->object.root());
    EXPECT_TRUE(typed) << (typed ? "" : typed.error().message) << to_json(applied->object.root());
    if (typed) store(*typed, applied->managed);
    return "";
  }

  void store(Value now, const Document& managed) {
    Draft d(now);
    if (managed) d["metadata"]["managedFields"] = managed;
    else d["metadata"].erase("managedFields");
    object = d.freeze();
  }

  // alpha/Apply {"f:data":{"f:k":{}}}; ...
  std::string managers() const {
    std::string out;
    for (Value entry : object["metadata"]["managedFields"].items()) {
      if (!out.empty()) out += "; ";
      out += entry["manager"].str() + (entry["operation"].as_string() == "Apply" ? " " : " updates ");
      if (entry["subresource"].exists()) out += "(" + entry["subresource"].str() + ") ";
      out += to_json(entry["fieldsV1"]);
    }
    return out;
  }
  // Everything but the metadata that every object has.
  std::string rest() const {
    Draft d(object);
    for (std::string_view field : {"apiVersion", "kind"}) d.erase(field);
    for (std::string_view field : {"name", "managedFields"}) d["metadata"].erase(field);
    if (d["metadata"].empty()) d.erase("metadata");
    return to_json(d);
  }

  OneVersion versions;
  std::string kind;
  std::string now = "2026-01-01T00:00:00Z";
  std::string subresource;
  FieldSet reset;
  Document empty, object;
  Status last;
  mutable std::string held;

  Write write(std::string_view manager) const { return {versions, versions.version, manager, subresource, now, reset, empty.root()}; }
};

// --- what is asked of one object, one row per case

struct Step {
  std::string_view who;  // "name": applies; "name!": applies by force; "name=": updates
  std::string_view what;
};
struct Case {
  std::string_view name, kind;
  std::vector<Step> steps;
  std::string_view error;  // of the last step; "" when it succeeds
  std::string_view object, managers;
};

const Case cases[] = {
    {"an applier owns what it names",
     "ConfigMap",
     {{"alpha", "{data: {k: v}}"}},
     "",
     R"({"data":{"k":"v"}})",
     R"(alpha {"f:data":{"f:k":{}}})"},
    {"nothing named is nothing owned", "ConfigMap", {{"alpha", "{}"}}, "", R"({})", ""},
    {"an updater owns the map too",
     "ConfigMap",
     {{"upd=", "{data: {k: v}}"}},
     "",
     R"({"data":{"k":"v"}})",
     R"(upd updates {"f:data":{".":{},"f:k":{}}})"},
    {"what an applier drops goes",
     "ConfigMap",
     {{"alpha", "{data: {k: v, l: w}}"}, {"alpha", "{data: {l: w}}"}},
     "",
     R"({"data":{"l":"w"}})",
     R"(alpha {"f:data":{"f:l":{}}})"},
    {"the last one dropped takes its map along", "ConfigMap", {{"alpha", "{data: {k: v}}"}, {"alpha", "{}"}}, "", R"({})", ""},
    {"what two apply stays when one drops it",
     "ConfigMap",
     {{"alpha", "{data: {k: v}}"}, {"beta", "{data: {k: v}}"}, {"alpha", "{}"}},
     "",
     R"({"data":{"k":"v"}})",
     R"(beta {"f:data":{"f:k":{}}})"},
    {"a conflict",
     "ConfigMap",
     {{"alpha", "{data: {k: v}}"}, {"beta", "{data: {k: w}}"}},
     "Apply failed with 1 conflict: conflict with \"alpha\": .data.k",
     R"({"data":{"k":"v"}})",
     R"(alpha {"f:data":{"f:k":{}}})"},
    {"conflicts by manager",
     "ConfigMap",
     {{"beta", "{data: {b: '1', c: '1'}}"}, {"alpha=", "{data: {b: '1', c: '1', a: '1'}}"}, {"gamma", "{data: {a: '2', b: '2', c: '2'}}"}},
     "Apply failed with 3 conflicts: conflicts with \"alpha\" using v1:\n- .data.a\nconflicts with \"beta\":\n- .data.b\n- .data.c",
     R"({"data":{"b":"1","c":"1","a":"1"}})",
     R"(beta {"f:data":{"f:b":{},"f:c":{}}}; alpha updates {"f:data":{"f:a":{}}})"},
    {"force takes",
     "ConfigMap",
     {{"alpha", "{data: {k: v, l: x}}"}, {"beta!", "{data: {k: w}}"}},
     "",
     R"({"data":{"k":"w","l":"x"}})",
     R"(alpha {"f:data":{"f:l":{}}}; beta {"f:data":{"f:k":{}}})"},
    {"an equal value is shared",
     "ConfigMap",
     {{"alpha", "{data: {k: v}}"}, {"beta", "{data: {k: v}}"}},
     "",
     R"({"data":{"k":"v"}})",
     R"(alpha {"f:data":{"f:k":{}}}; beta {"f:data":{"f:k":{}}})"},
    {"an update takes without asking",
     "ConfigMap",
     {{"alpha", "{data: {k: v, l: w}}"}, {"upd=", "{data: {k: x, l: w}}"}},
     "",
     R"({"data":{"k":"x","l":"w"}})",
     R"(alpha {"f:data":{"f:l":{}}}; upd updates {"f:data":{"f:k":{}}})"},
    {"an update of equal values takes nothing",
     "ConfigMap",
     {{"aaa=", "{data: {k: v}}"}, {"bbb=", "{data: {k: v}}"}},
     "",
     R"({"data":{"k":"v"}})",
     R"(aaa updates {"f:data":{".":{},"f:k":{}}})"},
    {"an update takes a field away",
     "ConfigMap",
     {{"alpha", "{data: {k: v, l: w}}"}, {"upd=", "{data: {l: w}}"}},
     "",
     R"({"data":{"l":"w"}})",
     R"(alpha {"f:data":{"f:l":{}}})"},
    {"what an updater took stays when the applier drops it",
     "ConfigMap",
     {{"alpha", "{data: {k: v}}"}, {"upd=", "{data: {k: w}}"}, {"alpha", "{data: {m: '1'}}"}},
     "",
     R"({"data":{"k":"w","m":"1"}})",
     R"(alpha {"f:data":{"f:m":{}}}; upd updates {"f:data":{"f:k":{}}})"},
    {"finalizers are a set",
     "ConfigMap",
     {{"alpha", "{metadata: {finalizers: [x.io/a]}}"}, {"beta", "{metadata: {finalizers: [x.io/b]}}"}},
     "",
     R"({"metadata":{"finalizers":["x.io/a","x.io/b"]}})",
     R"(alpha {"f:metadata":{"f:finalizers":{"v:\"x.io/a\"":{}}}}; beta {"f:metadata":{"f:finalizers":{"v:\"x.io/b\"":{}}}})"},
    {"null in a configuration is named",
     "ConfigMap",
     {{"alpha", "{data: {k: v}, metadata: {annotations: null}}"}},
     "",
     R"({"data":{"k":"v"}})",
     R"(alpha {"f:data":{"f:k":{}},"f:metadata":{"f:annotations":{}}})"},
    {"containers by name",
     "PodTemplate",
     {{"alpha", "{template: {spec: {containers: [{name: a, image: 'i:1'}]}}}"},
      {"beta", "{template: {spec: {containers: [{name: b, image: 'i:1'}]}}}"}},
     "",
     R"({"template":{"metadata":{},"spec":{"containers":[{"name":"a","image":"i:1","resources":{}},{"name":"b","image":"i:1","resources":{}}]}}})",
     R"(alpha {"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}}}}}}; beta {"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"b\"}":{".":{},"f:image":{},"f:name":{}}}}}})"},
    {"a dropped container goes",
     "PodTemplate",
     {{"alpha", "{template: {spec: {containers: [{name: a}, {name: b}]}}}"}, {"alpha", "{template: {spec: {containers: [{name: a}]}}}"}},
     "",
     R"({"template":{"metadata":{},"spec":{"containers":[{"name":"a","resources":{}}]}}})",
     R"(alpha {"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}}}}}})"},
    {"containers in the configuration's order",
     "PodTemplate",
     {{"alpha", "{template: {spec: {containers: [{name: a}, {name: b}, {name: d}]}}}"},
      {"alpha", "{template: {spec: {containers: [{name: d}, {name: a}, {name: b}]}}}"}},
     "",
     R"({"template":{"metadata":{},"spec":{"containers":[{"name":"d","resources":{}},{"name":"a","resources":{}},{"name":"b","resources":{}}]}}})",
     R"(alpha {"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}},"k:{\"name\":\"b\"}":{".":{},"f:name":{}},"k:{\"name\":\"d\"}":{".":{},"f:name":{}}}}}})"},
    {"a key has its default",
     "PodTemplate",
     {{"alpha", "{template: {spec: {containers: [{name: c, ports: [{containerPort: 443}, {containerPort: 53, protocol: UDP}]}]}}}"}},
     "",
     R"({"template":{"metadata":{},"spec":{"containers":[{"name":"c","ports":[{"containerPort":443},{"containerPort":53,"protocol":"UDP"}],"resources":{}}]}}})",
     R"(alpha {"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{},"f:ports":{"k:{\"containerPort\":53,\"protocol\":\"UDP\"}":{".":{},"f:containerPort":{},"f:protocol":{}},"k:{\"containerPort\":443,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}})"},
    {"rules are one value",
     "Role",
     {{"alpha", "{rules: [{verbs: [get], resources: [pods], apiGroups: ['']}]}"},
      {"beta", "{rules: [{verbs: [list], resources: [pods], apiGroups: ['']}]}"}},
     "Apply failed with 1 conflict: conflict with \"alpha\": .rules",
     R"({"rules":[{"verbs":["get"],"resources":["pods"],"apiGroups":[""]}]})",
     R"(alpha {"f:rules":{}})"},
    {"a selector is one value",
     "Deployment",
     {{"alpha", "{spec: {selector: {matchLabels: {a: b}}}}"}, {"beta", "{spec: {selector: {matchLabels: {a: c}}}}"}},
     "Apply failed with 1 conflict: conflict with \"alpha\": .spec.selector",
     "",
     R"(alpha {"f:spec":{"f:selector":{}}})"},
    {"a field that is not there",
     "ConfigMap",
     {{"alpha", "{dada: {k: v}}"}},
     "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .dada: field not declared in schema",
     "",
     ""},
    {"a text that is a number",
     "ConfigMap",
     {{"alpha", "{data: {k: 1}}"}},
     "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.k: expected string, got &value.valueUnstructured{Value:1}",
     "",
     ""},
    {"a number that is a text",
     "Deployment",
     {{"alpha", "{spec: {replicas: two}}"}},
     "failed to create typed patch object (/a; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string",
     "",
     ""},
    {"two containers of a name",
     "PodTemplate",
     {{"alpha", "{template: {spec: {containers: [{name: a}, {name: a}]}}}"}},
     "failed to create typed patch object (/a; /v1, Kind=PodTemplate): .template.spec.containers: duplicate entries for key [name=\"a\"]",
     "",
     ""},
    {"a container without a name",
     "PodTemplate",
     {{"alpha", "{template: {spec: {containers: [{image: i}]}}}"}},
     "failed to create typed patch object (/a; /v1, Kind=PodTemplate): .template.spec.containers: element 0: associative list with keys "
     "has an element that omits key field \"name\" (and doesn't have default value)",
     "",
     ""},
};

TEST(Apply, Cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    World world(c.kind);
    std::string error;
    for (const Step& step : c.steps) {
      std::string_view who = step.who;
      if (who.back() == '=') world.update(who.substr(0, who.size() - 1), step.what);
      else if (who.back() == '!') error = world.apply(who.substr(0, who.size() - 1), step.what, true);
      else error = world.apply(who, step.what);
      if (&step != &c.steps.back()) { EXPECT_EQ(error, ""); }
    }
    EXPECT_EQ(error, c.error);
    if (!c.object.empty()) { EXPECT_EQ(world.rest(), c.object); }
    EXPECT_EQ(world.managers(), c.managers);
  }
}

TEST(Apply, ConflictHasACauseForEachField) {
  World world("ConfigMap");
  world.apply("alpha", "{data: {k: v, l: w}}");
  world.apply("beta", "{data: {k: x, l: 'z'}}");
  EXPECT_EQ(world.last.code, 409);
  EXPECT_EQ(world.last.reason, "Conflict");
  ASSERT_EQ(world.last.causes.size(), 2u);
  EXPECT_EQ(world.last.causes[1].reason, "FieldManagerConflict");
  EXPECT_EQ(world.last.causes[1].message, "conflict with \"alpha\"");
  EXPECT_EQ(world.last.causes[1].field, ".data.l");
}

TEST(Apply, TimesChangeWhenTheObjectDoes) {
  World world("ConfigMap");
  world.apply("alpha", "{data: {k: v}}");
  world.now = "2026-01-02T00:00:00Z";
  world.apply("alpha", "{data: {k: v}}");
  EXPECT_EQ(world.object["metadata"]["managedFields"][0]["time"].as_string(), "2026-01-01T00:00:00Z");
  world.apply("alpha", "{data: {k: w}}");
  EXPECT_EQ(world.object["metadata"]["managedFields"][0]["time"].as_string(), "2026-01-02T00:00:00Z");
  world.update("upd", "{data: {k: w}}");
  EXPECT_EQ(world.object["metadata"]["managedFields"].size(), 1u);
}

TEST(Apply, ObjectsFromBeforeGetAManager) {
  World world("ConfigMap");
  world.store(world.body("{data: {k: v}}").root(), {});
  world.update("upd", "{data: {k: w}}");
  EXPECT_EQ(world.managers(), "") << "what nobody tracked stays so until it is applied";
  EXPECT_EQ(world.apply("alpha", "{data: {k: x}}"), "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k");
  EXPECT_EQ(world.apply("alpha", "{data: {m: x}}"), "");
  EXPECT_EQ(world.managers(), R"(alpha {"f:data":{"f:m":{}}}; before-first-apply updates {"f:data":{".":{},"f:k":{}}})");
}

TEST(Apply, ManagersCanBeForgottenAndGiven) {
  World world("ConfigMap");
  world.update("aaa", "{data: {k: v}}");
  Document reset = yaml("[{}]");
  World forgotten = world;
  forgotten.update("bbb", "{data: {k: w}}", reset.root());
  EXPECT_EQ(forgotten.managers(), "");
  Document given = yaml("[{manager: zed, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {'f:data': {'f:k': {}}}}]");
  World replaced = world;
  replaced.update("bbb", "{data: {k: v, m: '1'}}", given.root());
  EXPECT_EQ(replaced.managers(), R"(zed {"f:data":{"f:k":{}}}; bbb updates {"f:data":{"f:m":{}}})");
  Document broken = yaml("[{manager: zed, operation: Apply, apiVersion: v1, fieldsType: FieldsV7}]");
  World kept = world;
  kept.update("bbb", "{data: {k: v, m: '1'}}", broken.root());
  EXPECT_EQ(kept.managers(), R"(aaa updates {"f:data":{".":{},"f:k":{}}}; bbb updates {"f:data":{"f:m":{}}})");
  World inside = world;
  inside.subresource = "status";
  inside.update("bbb", "{data: {k: v, m: '1'}}", given.root());
  EXPECT_EQ(inside.managers(), R"(aaa updates {"f:data":{".":{},"f:k":{}}}; bbb updates (status) {"f:data":{"f:m":{}}})");
}

TEST(Apply, OldUpdatesBecomeOne) {
  World world("ConfigMap");
  std::string data;
  for (int i = 0; i < 14; ++i) {
    char stamp[32];
    std::snprintf(stamp, sizeof stamp, "2026-01-01T00:00:%02dZ", i);
    world.now = stamp;
    data += "k" + std::to_string(i) + ": v, ";
    world.update("m" + std::to_string(i), "{data: {" + data + "}}");
  }
  Value entries = world.object["metadata"]["managedFields"];
  ASSERT_EQ(entries.size(), update_managers_max);
  EXPECT_EQ(entries[0]["manager"].as_string(), ancient_changes);
  EXPECT_EQ(to_json(entries[0]["fieldsV1"]), R"({"f:data":{".":{},"f:k0":{},"f:k1":{},"f:k2":{},"f:k3":{},"f:k4":{}}})");
  EXPECT_EQ(entries[1]["manager"].as_string(), "m5");
}

TEST(Apply, FieldsOfTheOtherHalfAreNotOwned) {
  World world("Deployment");
  world.reset.insert({"f:status"});
  EXPECT_EQ(world.apply("alpha", "{spec: {replicas: 2}, status: {replicas: 7}}"), "");
  EXPECT_EQ(world.managers(), R"(alpha {"f:spec":{"f:replicas":{}}})");
  world.subresource = "status";
  world.reset = FieldSet();
  world.reset.insert({"f:spec"});
  EXPECT_EQ(world.apply("alpha", "{spec: {replicas: 3}, status: {replicas: 1}}"), "");
  EXPECT_EQ(world.managers(), R"(alpha {"f:spec":{"f:replicas":{}}}; alpha (status) {"f:status":{"f:replicas":{}}})");
}

constexpr std::string_view annotated =
    R"({data: {k: v}, metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}'}}})";

TEST(Apply, KubectlTakesOverItsClientSideApply) {
  World world("ConfigMap");
  world.update("kubectl-client-side-apply", annotated);
  EXPECT_NE(world.apply("other", "{data: {k: w}}"), "");
  EXPECT_EQ(world.apply("kubectl", "{data: {k: 'w<'}}"), "");
  EXPECT_EQ(world.object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_string(),
            R"({"apiVersion":"v1","data":{"k":"w\u003c"},"kind":"ConfigMap","metadata":{"name":"a"}})"
            "\n");
  world.update(
      "edit",
      R"({data: {k: edited}, metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"apiVersion":"v1","data":{"k":"w"}}'}}})");
  EXPECT_EQ(world.apply("kubectl", "{data: {k: z}}"), "Apply failed with 1 conflict: conflict with \"edit\" using v1: .data.k");
}

TEST(Apply, ScaleSeesTheReplicasAlone) {
  World world("Deployment");
  world.apply("alpha", "{spec: {replicas: 2, paused: true}}");
  Value parent = world.object["metadata"]["managedFields"];
  constexpr std::string_view replicas[] = {"f:spec", "f:replicas"};
  Document scale = scale_managers(parent, "apps/v1", replicas);
  ASSERT_EQ(scale.root().size(), 1u);
  EXPECT_EQ(scale.root()[0]["apiVersion"].as_string(), "autoscaling/v1");
  EXPECT_EQ(to_json(scale.root()[0]["fieldsV1"]), R"({"f:spec":{"f:replicas":{}}})");
  EXPECT_EQ(to_json(parent_managers(parent, scale.root(), "apps/v1", replicas).root()), to_json(parent)) << "nothing was taken";
  Document taken = yaml(
      "[{manager: beta, operation: Update, apiVersion: autoscaling/v1, subresource: scale, fieldsType: FieldsV1, fieldsV1: {'f:spec': "
      "{'f:replicas': {}}}}]");
  Document after = parent_managers(parent, taken.root(), "apps/v1", replicas);
  ASSERT_EQ(after.root().size(), 2u);
  EXPECT_EQ(to_json(after.root()[0]["fieldsV1"]), R"({"f:spec":{"f:paused":{}}})");
  EXPECT_EQ(after.root()[1]["subresource"].as_string(), "scale");
  EXPECT_EQ(after.root()[1]["apiVersion"].as_string(), "apps/v1");
}

TEST(Apply, NamesOfClients) {
  struct Row {
    std::string_view agent, manager;
  };
  for (Row row : {Row{"kubectl/v1.33.0 (linux/amd64) kubernetes/abc", "kubectl"}, Row{"my-tool", "my-tool"}, Row{"a\tb/1", "ab"},
                  Row{"", ""}, Row{"/x", ""}})
    EXPECT_EQ(manager_of_user_agent(row.agent), row.manager);
  EXPECT_EQ(manager_of_user_agent(std::string(200, 'x')).size(), 128u);
}

// --- sets

TEST(FieldSet, RoundTrip) {
  struct Row {
    std::string_view in, out;
  };
  for (
      Row row : {
          Row{R"({"f:data":{".":{},"f:k":{}}})", ""},
          Row{R"({"f:b":{},"f:a":{}})", R"({"f:a":{},"f:b":{}})"},
          Row{R"({"f:l":{"k:{\"protocol\":\"TCP\", \"containerPort\": 80}":{}}})",
              R"({"f:l":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{}}})"},
          Row{R"({"f:l":{"v: \"a\"":{},"v:10":{},"v:9":{}}})", R"({"f:l":{"v:9":{},"v:10":{},"v:\"a\"":{}}})"},
          Row{R"({"f:l":{"i:2":{},"i:10":{}}})", ""},
          Row{R"({"f:l":{"k:{\"port\":443,\"protocol\":\"TCP\"}":{},"k:{\"port\":53,\"protocol\":\"UDP\"}":{},"k:{\"port\":53,\"protocol\":\"TCP\"}":{}}})",
              R"({"f:l":{"k:{\"port\":53,\"protocol\":\"TCP\"}":{},"k:{\"port\":53,\"protocol\":\"UDP\"}":{},"k:{\"port\":443,\"protocol\":\"TCP\"}":{}}})"},
          Row{R"({"f:l":{"k:{\"name\":\"ab\"}":{},"k:{\"name\":\"a\"}":{},"k:{\"name\":\"a \\\"\"}":{}}})",
              R"({"f:l":{"k:{\"name\":\"a\"}":{},"k:{\"name\":\"a \\\"\"}":{},"k:{\"name\":\"ab\"}":{}}})"},
          Row{R"({"f:l":{"v:-3":{},"v:10":{},"v:9":{},"v:1.5":{}}})", R"({"f:l":{"v:-3":{},"v:1.5":{},"v:9":{},"v:10":{}}})"},
          Row{R"({"z:odd":{},"f:a":{}})", R"({"f:a":{}})"},
          Row{R"({})", ""},
      }) {
    auto parsed = parse_json(row.in);
    ASSERT_TRUE(parsed);
    FieldTexts texts;
    auto set = parse_fields_v1(parsed->root(), texts, false);
    ASSERT_TRUE(set) << row.in;
    EXPECT_EQ(to_json(fields_v1(*set).root()), row.out.empty() ? row.in : row.out);
  }
  for (std::string_view bad : {R"({"nothing":{}})", R"({"f:a":1})", R"({"k:{":{}})", R"({"i:x":{}})", R"([])"}) {
    FieldTexts texts;
    auto parsed = parse_json(bad);
    ASSERT_TRUE(parsed);
    EXPECT_FALSE(parse_fields_v1(parsed->root(), texts, false)) << bad;
  }
}

FieldSet random_set(std::mt19937& random, int depth = 0) {
  static constexpr std::string_view names[] = {"f:a", "f:b", "f:c", "k:{\"name\":\"x\"}", "v:\"y\""};
  FieldSet out;
  for (std::string_view name : names) {
    FieldNode node{Element(name), random() % 3 == 0, {}};
    if (depth < 3 && random() % 2) node.children = random_set(random, depth + 1).nodes;
    if (node.member || !node.children.empty()) out.nodes.push_back(std::move(node));
  }
  sort_nodes(out.nodes);
  return out;
}

TEST(FieldSet, Algebra) {
  std::mt19937 random(7);
  for (int i = 0; i < 500; ++i) {
    FieldSet a = random_set(random), b = random_set(random);
    EXPECT_EQ(unite(a, b), unite(b, a));
    EXPECT_EQ(intersect(a, b), intersect(b, a));
    EXPECT_EQ(unite(subtract(a, b), intersect(a, b)), a);
    EXPECT_TRUE(intersect(subtract(a, b), b).empty());
    EXPECT_TRUE(subtract_deep(a, a).empty());
    EXPECT_EQ(a.size(), subtract(a, b).size() + intersect(a, b).size());
    Document written = fields_v1(b);
    EXPECT_EQ(intersects(a, written.root()), !intersect(a, b).empty());
    FieldTexts texts;
    EXPECT_EQ(*parse_fields_v1(written.root(), texts, true), b);
    std::size_t members = 0;
    a.each([&](std::span<const std::string_view> path) { members += a.has(path); });
    EXPECT_EQ(members, a.size());
  }
}

// --- properties of random worlds

std::string pick(std::mt19937& random, std::initializer_list<std::string_view> from) {
  return std::string(*(from.begin() + random() % from.size()));
}

std::string random_config(std::mt19937& random) {
  Draft d = Draft::object();
  for (int i = random() % 4; i > 0; --i) d["metadata"]["labels"][pick(random, {"a", "b", "c"})] = pick(random, {"1", "2"});
  if (random() % 2) d["spec"]["replicas"] = static_cast<int>(random() % 3);
  if (random() % 3 == 0) d["spec"]["selector"]["matchLabels"]["x"] = pick(random, {"1", "2"});
  std::vector<std::string> names{"a", "b", "c", "d"};
  std::shuffle(names.begin(), names.end(), random);
  Draft containers = Draft::array();
  for (std::size_t i = random() % 5; i > 0; --i) {
    Draft c = Draft::object({{"name", names[i - 1]}});
    if (random() % 2) c["image"] = pick(random, {"i:1", "i:2"});
    if (random() % 3 == 0) c["args"] = Draft::array({Draft(pick(random, {"x", "y"}))});
    if (random() % 3 == 0)
      c["ports"] = Draft::array({Draft::object({{"containerPort", static_cast<int>(80 + random() % 2)}, {"protocol", "TCP"}})});
    if (random() % 3 == 0)
      c["env"] = Draft::array({Draft::object({{"name", pick(random, {"E", "F"})}, {"value", pick(random, {"1", "2"})}})});
    containers.push_back(std::move(c));
  }
  if (containers.size()) d["spec"]["template"]["spec"]["containers"] = std::move(containers);
  if (random() % 4 == 0) d["metadata"]["finalizers"] = Draft::array({Draft(pick(random, {"x.io/a", "x.io/b"}))});
  return to_json(d);
}

FieldSet owned(const World& world, std::string_view manager, FieldTexts& texts) {
  for (Value entry : world.object["metadata"]["managedFields"].items())
    if (entry["manager"].as_string() == manager && entry["operation"].as_string() == "Apply")
      return *parse_fields_v1(entry["fieldsV1"], texts, true);
  return {};
}

TEST(ApplyProperties, RandomManagers) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    World world("Deployment");
    for (int step = 0; step < 6; ++step) {
      std::string who = pick(random, {"alpha", "beta", "gamma"}), config = random_config(random);
      World before = world;
      std::string error = world.apply(who, config, random() % 2);
      if (!error.empty()) {
        EXPECT_EQ(world.object.root(), before.object.root()) << "a refused apply changes nothing";
        continue;
      }
      FieldTexts texts;
      Place root = world.versions.root("");
      Document body = world.body(config);
      FieldSet named =
          subtract(*fields_of(root, body.root(), texts),
                   *parse_fields_v1(yaml("{'f:apiVersion': {}, 'f:kind': {}, 'f:metadata': {'.': {}, 'f:name': {}}}").root(), texts, true));
      EXPECT_EQ(owned(world, who, texts), named) << "a manager owns what it applied";
      // What was applied is there.
      auto merged = merge(root, world.object.root(), body.root());
      ASSERT_TRUE(merged);
      EXPECT_TRUE(same_value(merged->freeze().root(), world.object.root())) << config << "\n" << to_json(world.object.root());
      // Applying twice changes nothing.
      World again = world;
      again.now = "2027-01-01T00:00:00Z";
      EXPECT_EQ(again.apply(who, config), "");
      EXPECT_EQ(again.object.root(), world.object.root()) << config;
      // Nobody owns what is not there; what only this manager had applied and dropped is gone.
      FieldSet there = with_named_fields(*fields_of(root, world.object.root(), texts), root);
      FieldSet everybodys;
      for (std::string_view manager : {"alpha", "beta", "gamma"}) {
        FieldSet theirs = owned(world, manager, texts);
        EXPECT_TRUE(subtract(theirs, there).empty()) << manager << " " << world.managers() << "\n" << to_json(world.object.root());
        everybodys = unite(everybodys, theirs);
      }
      FieldSet had = owned(before, who, texts);
      Draft values(world.object);
      for (std::string_view field : {"selector"})
        if (Draft* spec = values.find("spec"); spec && spec->find(field) && spec->find(field)->is_null())
          spec->erase(field);  // always shown
      FieldSet left = intersect(subtract(had, everybodys), *fields_of(root, values.freeze().root(), texts));
      // A struct or an item that somebody has something in stays.
      left.each([&](std::span<const std::string_view> path) {
        const std::vector<FieldNode>* nodes = &everybodys.nodes;
        bool leads = false;
        for (std::string_view element : path) {
          auto at = std::find_if(nodes->begin(), nodes->end(), [&](const FieldNode& n) { return n.element == Element(element); });
          leads = at != nodes->end();
          if (!leads) break;
          nodes = &at->children;
        }
        EXPECT_TRUE(leads) << path_text(path) << " stayed\n"
                           << to_json(before.object.root()) << "\n"
                           << who << ": " << config << "\n"
                           << to_json(world.object.root());
      });
    }
  }
}

TEST(ApplyProperties, CreatedObjectsAreOwnedWhole) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed);
    World world("Deployment");
    std::string config = random_config(random);
    world.update("upd", config);
    FieldTexts texts;
    // Taking everything away leaves nothing to own.
    FieldSet mine;
    for (Value entry : world.object["metadata"]["managedFields"].items())
      mine = unite(mine, *parse_fields_v1(entry["fieldsV1"], texts, true));
    auto difference = compare(world.versions.root(""), world.empty.root(), world.object.root(), texts);
    ASSERT_TRUE(difference);
    FieldSet strip = *parse_fields_v1(
        yaml("{'f:apiVersion': {}, 'f:kind': {}, 'f:metadata': {'f:name': {}, 'f:managedFields': {}}}").root(), texts, true);
    EXPECT_EQ(mine, subtract(unite(difference->added, difference->modified), strip)) << config;
    auto back = compare(world.versions.root(""), world.object.root(), world.empty.root(), texts);
    EXPECT_EQ(back->removed, difference->added);
    EXPECT_EQ(back->modified, difference->modified);
  }
}

}  // namespace
}  // namespace kybern::apply
