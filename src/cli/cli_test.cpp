// The pure parts of the command line: templates, tables, flags, words, manifests, and what apply decides.
#include <gtest/gtest.h>

#include "cli/apply_plan.h"
#include "cli/discovery.h"
#include "cli/edit_labels.h"
#include "cli/flags.h"
#include "cli/jsonpath.h"
#include "cli/manifest.h"
#include "cli/output.h"
#include "cli/port_spec.h"
#include "cli/rollout_status.h"
#include "cli/subjects.h"
#include "cli/table.h"
#include "document/json.h"

namespace kybern::cli {
namespace {

Document json(std::string_view text) {
  auto parsed = parse_json(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : Document();
}

TEST(JsonPath, Prints) {
  const Document data = json(
      R"({"items":[{"metadata":{"name":"a","labels":{"x.io/y":"1"}},"n":1,"ok":true},{"metadata":{"name":"b"},"n":2}],"status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Other","status":"False"}]}})");
  const std::pair<const char*, const char*> rows[] = {
      {"{.items[*].metadata.name}", "a b"},
      {"{range .items[*]}{.metadata.name}{\"\\n\"}{end}", "a\nb\n"},
      {"{range .items[*]}{.metadata.name}{\"\\t\"}{.n}{','}{end}", "a\t1,b\t2,"},
      {"{.items[0].metadata.labels.x\\.io/y}", "1"},
      {"{.items[-1].metadata.name}", "b"},
      {"{.items[0:1].n}", "1"},
      {"{.items[?(@.n>1)].metadata.name}", "b"},
      {"{.items[?(@.ok)].metadata.name}", "a"},
      {"{.status.conditions[?(@.type==\"Ready\")].status}", "True"},
      {"{.status.conditions[?(@.type!='Ready')].type}", "Other"},
      {"{..name}", "a b"},
      {"{.items[0]['n','ok']}", "1 true"},
      {"{.items[0].metadata.labels}", R"({"x.io/y":"1"})"},
      {"{.missing.too}", ""},
      {"name={.items[0].metadata.name}!", "name=a!"},
      {"{$.items[1].n}", "2"},
  };
  for (const auto& [text, want] : rows) {
    auto path = JsonPath::parse(text);
    ASSERT_TRUE(path) << text << ": " << path.error().message;
    EXPECT_EQ(path->print(data), want) << text;
  }
  for (const char* bad : {"{.a", "{range .items[*]}x", "{end}", "{.a[}", "{.a[x]}", "{.a[?(@.x==]}", "{foo}", "{'open}"})
    EXPECT_FALSE(JsonPath::parse(bad)) << bad;
  for (const char* relaxed : {"items[0].n", ".items[0].n", "{.items[0].n}"})
    EXPECT_EQ(JsonPath::parse_relaxed(relaxed)->print(data), "1") << relaxed;
}

TEST(Table, AlignsAndKeepsItsWidths) {
  TableWriter table;
  table.head({"Name", "Status", "Age"});
  table.row({"default", "Active", "1s"});
  EXPECT_EQ(table.flush(), "NAME      STATUS   AGE\ndefault   Active   1s\n");
  table.row({"a", "b", "c"});
  EXPECT_EQ(table.flush(), "a         b        c\n");
  EXPECT_EQ(align_tabs("Name:\tx\nNamespace:\ty\n\nA:\tb\n", 0, 2), "Name:       x\nNamespace:  y\n\nA:  b\n");
}

TEST(Table, OfTheServer) {
  const Document answer =
      json(R"({"columnDefinitions":[{"name":"Name","format":"name","priority":0},{"name":"Ready","priority":0},{"name":"IP","priority":1}],
    "rows":[{"cells":["web","1/1","10.0.0.1"],"object":{"metadata":{"namespace":"default","labels":{"b":"2","a":"1"}}}}]})");
  const auto print = [&](TableOptions options) {
    TableWriter out;
    Document columns;
    bool headed = false;
    add_table(answer, options, headed, columns, out);
    return out.flush();
  };
  EXPECT_EQ(print({}), "NAME   READY\nweb    1/1\n");
  EXPECT_EQ(print({.wide = true, .with_namespace = true}), "NAMESPACE   NAME   READY   IP\ndefault     web    1/1     10.0.0.1\n");
  EXPECT_EQ(print({.headers = false, .show_labels = true, .with_kind = true, .kind_prefix = "pod/"}), "pod/web   1/1   a=1,b=2\n");
}

TEST(Flags, Read) {
  const std::vector<Flag> all{flags::output(),
                              flags::text("namespace", "", "", 'n'),
                              flags::boolean("stdin", "", false, 'i'),
                              flags::boolean("tty", "", false, 't'),
                              flags::list("filename", "", 'f'),
                              flags::dry_run(),
                              flags::boolean("wait", "", true)};
  auto a = Arguments::parse(
      all, {"pods", "-oyaml", "-n", "x", "-it", "-f", "a,b", "-f=c", "--dry-run", "--wait=false", "web", "--", "-o", "ls"});
  ASSERT_TRUE(a);
  EXPECT_EQ(a->words, (std::vector<std::string>{"pods", "web", "-o", "ls"}));
  EXPECT_EQ(a->dash, 2u);
  EXPECT_EQ(a->text("output"), "yaml");
  EXPECT_EQ(a->text("namespace"), "x");
  EXPECT_TRUE(a->on("stdin") && a->on("tty"));
  EXPECT_FALSE(a->on("wait"));
  EXPECT_EQ(a->list("filename"), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(a->text("dry-run"), "unchanged");
  const std::pair<std::vector<std::string>, const char*> bad[] = {
      {{"--namespac=x"}, "error: unknown flag: --namespac (did you mean --namespace?)"},
      {{"-x"}, "error: unknown shorthand flag: 'x' in -x"},
      {{"--output"}, "error: flag needs an argument: --output"},
      {{"-n"}, "error: flag needs an argument: 'n' in -n"},
  };
  for (const auto& [words, want] : bad) {
    auto parsed = Arguments::parse(all, words);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().message, want);
  }
}

TEST(Words, NameObjects) {
  const auto shown = [](const std::vector<std::string>& words) {
    auto named = read_words(words);
    if (!named) return std::string("refused");
    std::string out = named->several ? "*" : "";
    for (const TypeAndName& item : named->items) out += item.type + "/" + item.name + " ";
    return out;
  };
  EXPECT_EQ(shown({"pods"}), "pods/ ");
  EXPECT_EQ(shown({"pods", "a", "b"}), "pods/a pods/b ");
  EXPECT_EQ(shown({"pods,svc"}), "*pods/ svc/ ");
  EXPECT_EQ(shown({"pod/a", "svc/b"}), "*pod/a svc/b ");
  EXPECT_EQ(shown({"pod/a", "b"}), "refused");
  EXPECT_EQ(shown({"pod/"}), "refused");
  EXPECT_EQ(shown({"a/b/c"}), "refused");
}

TEST(Discovery, FindsByAnyName) {
  Discovery d;
  d.add_groups(json(
      R"({"items":[{"metadata":{},"versions":[{"version":"v1","resources":[{"resource":"pods","singularResource":"pod","responseKind":{"kind":"Pod"},"scope":"Namespaced","shortNames":["po"],"categories":["all"],"verbs":["get"],"subresources":[{"subresource":"log"}]}]}]}]})"));
  d.add_groups(json(
      R"({"items":[{"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[{"resource":"deployments","singularResource":"deployment","responseKind":{"kind":"Deployment"},"scope":"Namespaced","shortNames":["deploy"],"categories":["all"],"verbs":["get"]}]}]}]})"));
  for (const char* word : {"deploy", "deployment", "Deployments", "deployments.apps", "deployments.v1.apps", "deployment.apps"}) {
    auto found = d.find(word);
    ASSERT_TRUE(found) << word;
    EXPECT_EQ((*found)->path("x", "web", "scale"), "/apis/apps/v1/namespaces/x/deployments/web/scale");
  }
  EXPECT_EQ(d.find("deploymnt").error().message, "error: the server doesn't have a resource type \"deploymnt\"");
  EXPECT_FALSE(d.find("deployments.batch"));
  EXPECT_EQ(d.category("all").size(), 2u);
  EXPECT_EQ((*d.find("po"))->shown_kind(), "pod");
  EXPECT_TRUE((*d.find("po"))->has("log"));
}

TEST(Manifest, Reads) {
  auto two = parse_manifests(
      "apiVersion: v1\nkind: Pod\n---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service}\n", "x.yaml");
  ASSERT_TRUE(two);
  ASSERT_EQ(two->size(), 2u);
  EXPECT_EQ((*two)[1].object["kind"].as_string(), "Service");
  EXPECT_EQ(parse_manifests("kind: Pod\n", "x.yaml").error().message,
            "error: error validating \"x.yaml\": error validating data: apiVersion not set; if you choose to ignore these errors, turn "
            "validation off with --validate=false");
  EXPECT_FALSE(parse_manifests("a: [", "x.yaml"));
  EXPECT_TRUE(parse_manifests("", "x.yaml")->empty());
}

TEST(Apply, DecidesWhatToSend) {
  const Document manifest = json(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"x"},"data":{"k":"<1>"}})");
  const Document wanted = with_last_applied(manifest);
  EXPECT_EQ(wanted["metadata"]["annotations"][last_applied].as_string(),
            "{\"apiVersion\":\"v1\",\"data\":{\"k\":\"\\u003c1\\u003e\"},\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\"name\":"
            "\"a\",\"namespace\":\"x\"}}\n");
  auto same = plan_apply(wanted, wanted);
  ASSERT_TRUE(same);
  EXPECT_EQ(to_json(same->patch.root()), "{}");
  EXPECT_FALSE(same->lost_annotation);
  // What others have added stays, what was taken out of the manifest goes.
  Draft current(with_last_applied(
      json(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"x"},"data":{"k":"0","old":"1"}})")));
  current["data"]["others"] = "1";
  auto plan = plan_apply(wanted, current.freeze());
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->strategic);
  EXPECT_EQ(to_json(sorted(plan->patch["data"]).root()), R"({"k":"<1>","old":null})");
  auto lost = plan_apply(wanted, manifest);
  ASSERT_TRUE(lost);
  EXPECT_TRUE(lost->lost_annotation);
}

TEST(Edits, LabelsAndTaints) {
  std::vector<std::string> words{"pods", "a", "x=1", "y-"};
  auto edit = take_edits(words, "label");
  ASSERT_TRUE(edit);
  EXPECT_EQ(words, (std::vector<std::string>{"pods", "a"}));
  EXPECT_EQ(edit->set.at("x"), "1");
  EXPECT_EQ(edit->removed, std::vector<std::string>{"y"});
  words = {"nodes", "n", "k=v:NoSchedule", "old:NoExecute-"};
  auto taints = take_taints(words);
  ASSERT_TRUE(taints);
  const Document now = json(R"([{"key":"old","effect":"NoExecute"},{"key":"k","effect":"NoSchedule","value":"z"}])");
  EXPECT_EQ(edited_taints(now, *taints, false, "n").error().message,
            "error: node n already has k taint(s) with same effect(s) and --overwrite is false");
  EXPECT_EQ(to_json(*edited_taints(now, *taints, true, "n")), R"([{"effect":"NoSchedule","key":"k","value":"v"}])");
  words = {"nodes", "n", "k=v:Sometimes"};
  EXPECT_FALSE(take_taints(words));
}

TEST(Rollout, SaysHowFarItIs) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"kind":"Deployment","metadata":{"name":"w","generation":2},"spec":{"replicas":2},"status":{"observedGeneration":1}})",
       "Waiting for deployment spec update to be observed...\n"},
      {R"({"kind":"Deployment","metadata":{"name":"w"},"spec":{"replicas":2},"status":{"updatedReplicas":1}})",
       "Waiting for deployment \"w\" rollout to finish: 1 out of 2 new replicas have been updated...\n"},
      {R"({"kind":"Deployment","metadata":{"name":"w"},"spec":{"replicas":2},"status":{"updatedReplicas":2,"replicas":3}})",
       "Waiting for deployment \"w\" rollout to finish: 1 old replicas are pending termination...\n"},
      {R"({"kind":"Deployment","metadata":{"name":"w"},"spec":{"replicas":2},"status":{"updatedReplicas":2,"replicas":2,"availableReplicas":1}})",
       "Waiting for deployment \"w\" rollout to finish: 1 of 2 updated replicas are available...\n"},
      {R"({"kind":"Deployment","metadata":{"name":"w"},"spec":{"replicas":2},"status":{"updatedReplicas":2,"replicas":2,"availableReplicas":2}})",
       "deployment \"w\" successfully rolled out\n"},
  };
  for (const auto& [object, want] : rows) EXPECT_EQ(rollout_state(json(object), 0)->message, want);
}

TEST(Ports, Read) {
  EXPECT_EQ(read_port_spec("8080:80")->local, 8080);
  EXPECT_EQ(read_port_spec("8080:80")->remote, "80");
  EXPECT_EQ(read_port_spec(":80")->local, 0);
  EXPECT_EQ(read_port_spec("80")->local, 80);
  for (const char* bad : {"", ":", "8080:", "99999:80", "a:b:c"}) EXPECT_FALSE(read_port_spec(bad)) << bad;
  const Document pod = json(R"({"metadata":{"name":"p"},"spec":{"containers":[{"ports":[{"name":"http","containerPort":8000}]}]}})");
  const Document service =
      json(R"({"metadata":{"name":"s"},"spec":{"ports":[{"port":80,"targetPort":"http"},{"port":81,"targetPort":9}]}})");
  EXPECT_EQ(*container_port("http", {}, pod), 8000);
  EXPECT_EQ(*container_port("80", service, pod), 8000);
  EXPECT_EQ(*container_port("81", service, pod), 9);
  EXPECT_FALSE(container_port("82", service, pod));
}

}  // namespace
}  // namespace kybern::cli
