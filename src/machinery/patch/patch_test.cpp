#include "machinery/patch/patch.h"

#include <gtest/gtest.h>

#include <random>

#include "document/json.h"

namespace kybern {
namespace {

struct PatchRow {
  const char *name, *original, *patch, *result;  // result: the object, or ! and the status' message
};

std::string shown(const ApiResult<Draft>& result) {
  return result ? to_json(*result) : "!" + std::to_string(result.error().code) + " " + result.error().message;
}

TEST(JsonPatch, Table) {
  constexpr const char* failed = "!422 the server rejected our request due to an error in our request";
  const PatchRow rows[] = {
      {"add", R"({"a":1})", R"([{"op":"add","path":"/b","value":2}])", R"({"a":1,"b":2})"},
      {"add null", R"({})", R"([{"op":"add","path":"/b","value":null}])", R"({"b":null})"},
      {"add without a value", R"({})", R"([{"op":"add","path":"/b"}])", failed},
      {"add to the end", R"({"a":[1]})", R"([{"op":"add","path":"/a/-","value":2},{"op":"add","path":"/a/2","value":3}])",
       R"({"a":[1,2,3]})"},
      {"add before", R"({"a":[1]})", R"([{"op":"add","path":"/a/0","value":2}])", R"({"a":[2,1]})"},
      {"add from the end", R"({"a":[1]})", R"([{"op":"add","path":"/a/-1","value":2}])", R"({"a":[1,2]})"},
      {"add too far", R"({"a":[1]})", R"([{"op":"add","path":"/a/2","value":2}])", failed},
      {"escapes", R"({"a/b":1,"c~d":2,"~1":3})",
       R"([{"op":"remove","path":"/a~1b"},{"op":"replace","path":"/c~0d","value":4},{"op":"remove","path":"/~01"}])", R"({"c~d":4})"},
      {"missing parent", R"({})", R"([{"op":"add","path":"/a/b","value":1}])", failed},
      {"remove", R"({"a":[1,2,3]})", R"([{"op":"remove","path":"/a/1"}])", R"({"a":[1,3]})"},
      {"remove missing", R"({})", R"([{"op":"remove","path":"/a"}])", failed},
      {"replace missing", R"({})", R"([{"op":"replace","path":"/a","value":1}])", failed},
      {"move", R"({"a":{"b":1}})", R"([{"op":"move","from":"/a/b","path":"/c"}])", R"({"a":{},"c":1})"},
      {"copy", R"({"a":{"b":1}})", R"([{"op":"copy","from":"/a","path":"/c"},{"op":"replace","path":"/c/b","value":2}])",
       R"({"a":{"b":1},"c":{"b":2}})"},
      {"test", R"({"a":[1,{"b":"x"}]})", R"([{"op":"test","path":"/a","value":[1,{"b":"x"}]}])", R"({"a":[1,{"b":"x"}]})"},
      {"test fails", R"({"a":1})", R"([{"op":"test","path":"/a","value":2}])", failed},
      {"test of nothing", R"({"a":1})", R"([{"op":"test","path":"/b","value":null}])", R"({"a":1})"},
      {"whole document", R"({"a":1})", R"([{"op":"replace","path":"","value":{"b":2}},{"op":"add","path":"/c","value":3}])",
       R"({"b":2,"c":3})"},
      {"whole document, no object", R"({"a":1})", R"([{"op":"replace","path":"","value":[]}])", failed},
      {"whole document, added", R"({"a":1})", R"([{"op":"add","path":"","value":{}}])", failed},
      {"unknown operation", R"({"a":1})", R"([{"op":"grow","path":"/a"}])", failed},
      {"into a text", R"({"a":"x"})", R"([{"op":"add","path":"/a/b","value":1}])", failed},
      {"no list", R"({})", R"({"op":"add"})", "!400 json: cannot unmarshal object into Go value of type jsonpatch.Patch"},
  };
  for (const PatchRow& row : rows) EXPECT_EQ(shown(json_patch(*parse_json(row.original), *parse_json(row.patch))), row.result) << row.name;
  Draft many = Draft::array();
  for (std::size_t i = 0; i <= json_patch_max_operations; ++i)
    many.push_back(Draft::object({{"op", "test"}, {"path", "/a"}, {"value", 1}}));
  EXPECT_EQ(shown(json_patch(*parse_json(R"({"a":1})"), many.freeze())),
            "!413 Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001");
}

// A few operations could nest a value in itself until nothing that walks it has stack enough.
TEST(JsonPatch, DepthIsBounded) {
  std::string copies = R"([{"op":"add","path":"/a","value":{}})", at = "/a";
  for (int i = 0; i < 14; ++i) {
    copies += R"(,{"op":"copy","from":"/a","path":")" + at + R"(/a"})";
    at += at;
  }
  EXPECT_EQ(shown(json_patch(*parse_json("{}"), *parse_json(copies + "]"))).substr(0, 4), "!422");
  std::string value = "1", path;
  for (int i = 0; i < 600; ++i) value = R"({"a":)" + value + "}", path += "/a";
  const std::string add = R"([{"op":"add","path":"/x","value":)" + value + R"(},{"op":"add","path":"/y","value":)" + value + "}";
  EXPECT_EQ(shown(json_patch(*parse_json("{}"), *parse_json(add + "]"))).substr(0, 1), "{");
  EXPECT_EQ(
      shown(json_patch(*parse_json("{}"), *parse_json(add + R"(,{"op":"move","from":"/x","path":"/y)" + path + R"("}])"))).substr(0, 4),
      "!422");
}

// What the author of a webhook or a policy is told of a patch that does not apply.
TEST(JsonPatch, SaysWhy) {
  const PatchRow rows[] = {
      {"add", R"({})", R"([{"op":"add","path":"/a/b","value":1}])",
       R"(add operation does not apply: doc is missing path: "/a/b": missing value)"},
      {"add too far", R"({"a":[1]})", R"([{"op":"add","path":"/a/2","value":2}])",
       "error in add for path: '/a/2': Unable to access invalid index: 2: invalid index referenced"},
      {"add at a name", R"({"a":[1]})", R"([{"op":"add","path":"/a/x","value":2}])",
       R"(error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: parsing "x": invalid syntax)"},
      {"remove below nothing", R"({})", R"([{"op":"remove","path":"/a/b"}])",
       R"(remove operation does not apply: doc is missing path: "/a/b": missing value)"},
      {"remove", R"({})", R"([{"op":"remove","path":"/a"}])",
       "error in remove for path: '/a': Unable to remove nonexistent key: a: missing value"},
      {"replace below nothing", R"({})", R"([{"op":"replace","path":"/a/b","value":1}])",
       "replace operation does not apply: doc is missing path: /a/b: missing value"},
      {"replace", R"({})", R"([{"op":"replace","path":"/a","value":1}])",
       "replace operation does not apply: doc is missing key: /a: missing value"},
      {"move", R"({})", R"([{"op":"move","from":"/a","path":"/b"}])",
       "error in move for path: 'a': unable to get nonexistent key: a: missing value"},
      {"copy", R"({"a":1})", R"([{"op":"copy","from":"/a","path":"/b/c"}])",
       "copy operation does not apply: doc is missing destination path: /b/c: missing value"},
      {"test", R"({"a":1})", R"([{"op":"test","path":"/a","value":2}])", "testing value /a failed: test failed"},
      {"test of nothing", R"({})", R"([{"op":"test","path":"/a","value":2}])", "testing path /a failed: test failed"},
      {"unknown", R"({})", R"([{"op":"grow","path":"/a"}])", "Unexpected kind: grow"},
  };
  for (const PatchRow& row : rows) {
    std::string why;
    EXPECT_FALSE(json_patch(*parse_json(row.original), *parse_json(row.patch), &why)) << row.name;
    EXPECT_EQ(why, row.result) << row.name;
  }
}

TEST(MergePatch, Table) {
  const PatchRow rows[] = {
      {"replace", R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {"add", R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {"remove", R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {"list", R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {"nested", R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {"list is replaced", R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {"nulls of new values are dropped", R"({})", R"({"a":{"bb":{"ccc":null}},"l":[{"x":null,"y":1}]})",
       R"({"a":{"bb":{}},"l":[{"y":1}]})"},
      {"object over a text", R"({"a":"x"})", R"({"a":{"b":null,"c":1}})", R"({"a":{"c":1}})"},
      {"no object", R"({})", R"([])",
       "!400 error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"},
  };
  for (const PatchRow& row : rows) EXPECT_EQ(shown(merge_patch(*parse_json(row.original), *parse_json(row.patch))), row.result) << row.name;
}

const schema::Type& pod() { return *schema::find_type_named("core.v1.Pod"); }

TEST(StrategicMerge, Table) {
  const PatchRow rows[] = {
      {"by name", R"({"spec":{"containers":[{"name":"a","image":"1"},{"name":"b"}]}})",
       R"({"spec":{"containers":[{"name":"a","image":"2"},{"name":"c"}]}})",
       R"({"spec":{"containers":[{"name":"a","image":"2"},{"name":"c"},{"name":"b"}]}})"},
      {"delete", R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})", R"({"spec":{"containers":[{"name":"a","$patch":"delete"}]}})",
       R"({"spec":{"containers":[{"name":"b"}]}})"},
      {"replace a list", R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
       R"({"spec":{"containers":[{"$patch":"replace"},{"name":"n"}]}})", R"({"spec":{"containers":[{"name":"n"}]}})"},
      {"replace a map", R"({"metadata":{"labels":{"a":"1"}}})", R"({"metadata":{"labels":{"$patch":"replace","z":"3"}}})",
       R"({"metadata":{"labels":{"z":"3"}}})"},
      {"delete a map", R"({"metadata":{"labels":{"a":"1"}}})", R"({"metadata":{"labels":{"$patch":"delete"}}})",
       R"({"metadata":{"labels":{}}})"},
      {"scalars", R"({"metadata":{"finalizers":["a","b"]}})", R"({"metadata":{"finalizers":["c","b"]}})",
       R"({"metadata":{"finalizers":["c","a","b"]}})"},
      {"delete scalars", R"({"metadata":{"finalizers":["a","b"]}})", R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a","z"]}})",
       R"({"metadata":{"finalizers":["b"]}})"},
      {"order", R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
       R"({"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}})", R"({"spec":{"containers":[{"name":"b"},{"name":"a"}]}})"},
      {"order of scalars", R"({"metadata":{"finalizers":["a","b"]}})", R"({"metadata":{"$setElementOrder/finalizers":["b","a"]}})",
       R"({"metadata":{"finalizers":["b","a"]}})"},
      {"order that lacks an element", R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
       R"({"spec":{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"b","image":"i:2"}]}})",
       "!500 The order in patch list:\n[map[image:i:2 name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n"},
      {"no merge key", R"({"spec":{"containers":[{"name":"a"}]}})", R"({"spec":{"containers":[{"image":"i:2"}]}})",
       "!500 map: map[image:i:2] does not contain declared merge key: name"},
      {"retain keys", R"({"spec":{"volumes":[{"name":"v","emptyDir":{}}]}})",
       R"({"spec":{"volumes":[{"name":"v","$retainKeys":["name","secret"],"secret":{}}]}})",
       R"({"spec":{"volumes":[{"name":"v","secret":{}}]}})"},
      {"retain keys that lack one", R"({"spec":{"volumes":[{"name":"v","emptyDir":{}}]}})",
       R"({"spec":{"volumes":[{"name":"v","$retainKeys":["name"],"secret":{}}]}})", "!400 invalid patch format of retainKeys"},
      {"null", R"({"spec":{"a":1,"nodeName":"n"}})", R"({"spec":{"nodeName":null,"hostname":null}})", R"({"spec":{"a":1}})"},
      {"atomic list", R"({"spec":{"tolerations":[{"key":"x"}]}})", R"({"spec":{"tolerations":[{"key":"y"}]}})",
       R"({"spec":{"tolerations":[{"key":"y"}]}})"},
      {"unknown directive", R"({"spec":{}})", R"({"spec":{"$patch":"x"}})", "!500 unknown patch type: x in map: map[$patch:x]"},
      {"new list with directives", R"({"spec":{}})",
       R"({"spec":{"containers":[{"name":"a","$patch":"delete"},{"name":"b","x":null}],"$setElementOrder/containers":[{"name":"b"}]}})",
       R"({"spec":{"containers":[{"name":"b"}]}})"},
      {"kinds differ", R"({"spec":{"containers":[]}})", R"({"spec":{"containers":{"name":"a"}}})",
       R"({"spec":{"containers":{"name":"a"}}})"},
      {"empty list", R"({"spec":{"containers":[{"name":"a"}]}})", R"({"spec":{"containers":[]}})",
       R"({"spec":{"containers":[{"name":"a"}]}})"},
  };
  for (const PatchRow& row : rows)
    EXPECT_EQ(shown(strategic_merge(*parse_json(row.original), *parse_json(row.patch), pod())), row.result) << row.name;
}

TEST(StrategicMerge, SaysWhatDoesNotFit) {
  Document list = *parse_json(R"({"spec":{"containers":{"name":"a"}}})"), map = *parse_json(R"({"metadata":{"labels":"x"}})"),
           text = *parse_json(R"({"metadata":{"labels":{"a":1}}})");
  EXPECT_EQ(convert_error(pod(), Draft(list)), "cannot restore slice from map");
  EXPECT_EQ(convert_error(pod(), Draft(map)), "cannot restore map from string");
  EXPECT_EQ(convert_error(pod(), Draft(text)), "unrecognized type: string");
  EXPECT_EQ(convert_error(pod(), Draft(*parse_json(R"({"spec":{"containers":[{"name":"a","ports":[{"containerPort":80.0}]}]}})"))), "");
  EXPECT_EQ(patch_does_not_fit(map, "cannot restore map from string").message,
            " \"\" is invalid: patch: Invalid value: \"map[metadata:map[labels:x]]\": cannot restore map from string");
}

TEST(StrategicDiff, Table) {
  const PatchRow rows[] = {
      // result: the patch
      {"equal", R"({"spec":{"nodeName":"a"}})", R"({"spec":{"nodeName":"a"}})", "{}"},
      {"change", R"({"spec":{"containers":[{"name":"a","image":"1"},{"name":"b"}]}})",
       R"({"spec":{"containers":[{"name":"a","image":"2"}]}})",
       R"({"spec":{"containers":[{"image":"2","name":"a"},{"name":"b","$patch":"delete"}],"$setElementOrder/containers":[{"name":"a"}]}})"},
      {"scalars", R"({"metadata":{"finalizers":["a","b"]}})", R"({"metadata":{"finalizers":["b","c"]}})",
       R"({"metadata":{"finalizers":["c"],"$deleteFromPrimitiveList/finalizers":["a"],"$setElementOrder/finalizers":["b","c"]}})"},
      {"retain keys", R"({"spec":{"volumes":[{"name":"v","emptyDir":{}}]}})", R"({"spec":{"volumes":[{"name":"v","secret":{}}]}})",
       R"({"spec":{"volumes":[{"secret":{},"emptyDir":null,"$retainKeys":["name","secret"],"name":"v"}],"$setElementOrder/volumes":[{"name":"v"}]}})"},
  };
  for (const PatchRow& row : rows) {
    auto patch = create_strategic_patch(*parse_json(row.original), *parse_json(row.patch), pod());
    EXPECT_EQ(patch ? to_json(*patch) : "!" + patch.error().message, row.result) << row.name;
  }
}

TEST(StrategicDiff, ThreeWays) {
  Document original =
      *parse_json(R"({"metadata":{"labels":{"gone":"1","kept":"1"}},"spec":{"containers":[{"name":"a","image":"1"},{"name":"old"}]}})");
  Document modified = *parse_json(R"({"metadata":{"labels":{"kept":"2"}},"spec":{"containers":[{"name":"a","image":"2"}]}})");
  Document current = *parse_json(
      R"({"metadata":{"labels":{"gone":"1","kept":"1","live":"1"}},"spec":{"nodeName":"n","containers":[{"name":"a","image":"1","tty":true},{"name":"old"},{"name":"injected"}]}})");
  auto patch = create_three_way_strategic_patch(original, modified, current, pod());
  ASSERT_TRUE(patch);
  auto result = strategic_merge(current, patch->freeze(), pod());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(
      to_json(*result),
      R"({"metadata":{"labels":{"kept":"2","live":"1"}},"spec":{"nodeName":"n","containers":[{"name":"a","image":"2","tty":true},{"name":"injected"}]}})");
  Document elsewhere =
      *parse_json(R"({"metadata":{"labels":{"gone":"1","kept":"3"}},"spec":{"containers":[{"name":"a","image":"1"},{"name":"old"}]}})");
  EXPECT_EQ(create_three_way_strategic_patch(original, modified, elsewhere, pod(), false).error().code, Code::conflict);
  EXPECT_TRUE(create_three_way_strategic_patch(original, modified, original, pod(), false));
  Draft merge =
      create_three_way_merge_patch(*parse_json(R"({"a":1,"b":1})"), *parse_json(R"({"a":2})"), *parse_json(R"({"a":1,"b":1,"c":1})"));
  EXPECT_EQ(to_json(merge), R"({"a":2,"b":null})");
}

// A patch from a to b applied to a gives b.
class RandomPods {
 public:
  explicit RandomPods(unsigned seed) : random_(seed) {}
  Draft pod() {
    Draft pod = Draft::object();
    if (coin()) pod["metadata"]["labels"] = texts();
    if (coin()) pod["metadata"]["finalizers"] = list();
    pod["spec"]["containers"] = elements("name", [&](Draft& c) {
      if (coin()) c["image"] = pick();
      if (coin()) c["args"] = list();
      if (coin()) c["env"] = elements("name", [&](Draft& e) { e["value"] = pick(); });
    });
    if (coin()) pod["spec"]["nodeName"] = pick();
    if (coin())
      pod["spec"]["volumes"] = elements("name", [&](Draft& v) {
        if (coin()) v["secret"]["secretName"] = pick();
        else v["configMap"]["name"] = pick();
      });
    if (coin()) pod["spec"]["tolerations"] = elements("key", [](Draft&) {});
    return pod;
  }

 private:
  bool coin() { return random_() % 2 == 0; }
  std::string pick() { return std::string(1, static_cast<char>('a' + random_() % 4)); }
  Draft texts() {
    Draft out = Draft::object();
    for (unsigned i = random_() % 3 + 1; i > 0; --i) out[pick()] = pick();
    return out;
  }
  std::vector<std::string> distinct() {
    std::vector<std::string> names = {"a", "b", "c", "d"};
    std::shuffle(names.begin(), names.end(), random_);
    names.resize(random_() % 4 + 1);
    return names;
  }
  Draft list() {
    Draft out = Draft::array();
    for (std::string& name : distinct()) out.push_back(name);
    return out;
  }
  template <class Fill>
  Draft elements(const char* key, Fill fill) {
    Draft out = Draft::array();
    for (std::string& name : distinct()) {
      Draft item = Draft::object({{key, name}});
      fill(item);
      out.push_back(std::move(item));
    }
    return out;
  }
  std::mt19937 random_;
};

TEST(StrategicDiff, PatchesMeetTheirTarget) {
  RandomPods pods(11);
  for (int i = 0; i < 3000; ++i) {
    Document a = pods.pod().freeze(), b = pods.pod().freeze();
    auto patch = create_strategic_patch(a, b, pod());
    ASSERT_TRUE(patch);
    auto result = strategic_merge(a, patch->freeze(), pod());
    ASSERT_TRUE(result) << result.error().message << "\n" << to_json(a.root()) << "\n" << to_json(*patch);
    ASSERT_TRUE(*result == Draft(b)) << to_json(a.root()) << "\n"
                                     << to_json(b.root()) << "\n"
                                     << to_json(*patch) << "\n"
                                     << to_json(*result);
    auto merged = merge_patch(a, create_merge_patch(a, b).freeze());
    ASSERT_TRUE(merged && *merged == Draft(b));
    auto three = create_three_way_strategic_patch(a, b, a, pod());
    ASSERT_TRUE(three);
    auto applied = strategic_merge(a, three->freeze(), pod());
    ASSERT_TRUE(applied) << applied.error().message << to_json(*three);
    ASSERT_TRUE(*applied == Draft(b)) << to_json(a.root()) << "\n"
                                      << to_json(b.root()) << "\n"
                                      << to_json(*three) << "\n"
                                      << to_json(*applied);
  }
}

}  // namespace
}  // namespace kybern
