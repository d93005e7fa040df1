#include "controllers/endpointslice/reconcile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "controllers/objects.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::endpointslice {
namespace {

using namespace testing_objects;

Document service(
    std::string_view spec =
        R"({"clusterIP":"10.0.0.1","ipFamilies":["IPv4"],"selector":{"app":"web"},"ports":[{"name":"http","port":80,"targetPort":8080}]})") {
  Draft out = object("v1", "Service", "d", "web");
  out["metadata"]["labels"] = Draft::object({{"team", "a"}});
  out["spec"] = Draft(json(spec));
  return out.freeze();
}

Document with_ip(Document pod, std::string_view ip) {
  Draft out(pod);
  out["status"]["podIP"] = ip;
  out["status"]["podIPs"] = Draft::array({Draft::object({{"ip", ip}})});
  return out.freeze();
}

Document node(std::string_view name) {
  Draft out = object("v1", "Node", "", name);
  out["metadata"]["labels"] = Draft::object({{"topology.kubernetes.io/zone", "z1"}});
  return out.freeze();
}

Plan plan_for(const Document& svc, std::vector<Document> pods, std::vector<Document> slices = {}) {
  return reconcile(svc, {.pods = std::move(pods), .slices = std::move(slices), .node = [](std::string_view name) {
                           return name == "gone" ? Document() : node(name);
                         }});
}

// What the API would make of an action.
Document stored(const Action& action, std::string_view name) {
  Draft out(action.body);
  if (action.verb == Action::Verb::create) {
    out["metadata"]["name"] = name;
    out["metadata"]["uid"] = name;
  }
  return out.freeze();
}

TEST(EndpointSlice, TheFirstSlice) {
  const Plan plan = plan_for(service(), {with_ip(pod("a", {.ready_for = 5}), "10.1.0.1")});
  ASSERT_EQ(describe(plan), "create endpointslices d/web-*");
  EXPECT_EQ(
      to_json(plan.actions[0].body.root()),
      R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"generateName":"web-","namespace":"d","ownerReferences":[{"apiVersion":"v1","kind":"Service","name":"web","uid":"uid-web","controller":true,"blockOwnerDeletion":true}],)"
      R"("labels":{"team":"a","kubernetes.io/service-name":"web","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"}},"addressType":"IPv4",)"
      R"("endpoints":[{"addresses":["10.1.0.1"],"conditions":{"ready":true,"serving":true,"terminating":false},"targetRef":{"kind":"Pod","namespace":"d","name":"a","uid":"uid-a"},"nodeName":"n1","zone":"z1"}],)"
      R"("ports":[{"name":"http","protocol":"TCP","port":8080}]})");
  EXPECT_EQ(describe(plan_for(service(), {with_ip(pod("a", {.ready_for = 5}), "10.1.0.1")}, {stored(plan.actions[0], "s")})), "");
}

struct Row {
  const char* what;
  std::vector<Document> pods;
  std::string endpoints;  // "10.1.0.1 ready serving terminating, ..."
  const char* spec = nullptr;
};

TEST(EndpointSlice, WhoIsIn) {
  const auto ip = [](PodOptions o) { return with_ip(pod("a", o), "10.1.0.1"); };
  const auto six = [] {
    Draft out(pod("a", {.ready_for = 1}));
    out["status"]["podIPs"] = Draft(json(R"([{"ip":"10.1.0.1"},{"ip":"fd00::1"}])"));
    return out.freeze();
  };
  const Row rows[] = {
      {"ready", {ip({.ready_for = 1})}, "IPv4: 10.1.0.1 ready serving"},
      {"not ready", {ip({})}, "IPv4: 10.1.0.1"},
      {"being deleted, still ready", {ip({.ready_for = 1, .deleting = true})}, "IPv4: 10.1.0.1 serving terminating"},
      {"being deleted", {ip({.deleting = true})}, "IPv4: 10.1.0.1 terminating"},
      {"finished", {ip({.phase = "Succeeded"})}, "IPv4:"},
      {"no address yet", {pod("a")}, "IPv4:"},
      {"on a node that does not exist", {ip({.node = "gone"})}, "IPv4:"},
      {"none", {}, "IPv4:"},
      {"published although not ready",
       {ip({})},
       "IPv4: 10.1.0.1 ready",
       R"({"clusterIP":"None","ipFamilies":["IPv4"],"publishNotReadyAddresses":true,"selector":{"app":"web"}})"},
      {"two families",
       {six()},
       "IPv4: 10.1.0.1 ready serving; IPv6: fd00::1 ready serving",
       R"({"clusterIP":"10.0.0.1","ipFamilies":["IPv4","IPv6"],"selector":{"app":"web"},"ports":[{"port":80}]})"},
      {"no selector", {ip({})}, "", R"({"clusterIP":"10.0.0.1","ports":[{"port":80}]})"},
      {"external", {ip({})}, "", R"({"type":"ExternalName","selector":{"app":"web"}})"},
  };
  for (const Row& row : rows) {
    const Plan plan = plan_for(row.spec ? service(row.spec) : service(), row.pods);
    std::string text;
    for (const Action& action : plan.actions) {
      if (!text.empty()) text += "; ";
      text += action.body["addressType"].str() + ":";
      for (Value e : action.body["endpoints"].items()) {
        text += " " + e["addresses"][0].str();
        for (const char* c : {"ready", "serving", "terminating"})
          if (e["conditions"][c].as_bool()) text += std::string(" ") + c;
      }
    }
    EXPECT_EQ(text, row.endpoints) << row.what;
  }
}

TEST(EndpointSlice, NamedPortsGiveOneSliceEach) {
  const auto listening = [](Document p, int port) {
    Draft out(p);
    out["spec"]["containers"] = Draft::array({Draft::object(
        {{"name", "c"}, {"ports", Draft::array({Draft::object({{"name", "web"}, {"containerPort", port}, {"protocol", "TCP"}})})}})});
    return out.freeze();
  };
  const Plan plan = plan_for(service(R"({"clusterIP":"10.0.0.1","selector":{"app":"web"},"ports":[{"port":80,"targetPort":"web"}]})"),
                             {listening(with_ip(pod("a"), "10.1.0.1"), 8080), listening(with_ip(pod("b"), "10.1.0.2"), 9090),
                              listening(with_ip(pod("c"), "10.1.0.3"), 8080), with_ip(pod("e"), "10.1.0.4")});
  std::map<std::int64_t, std::size_t> sizes;  // by port; -1: none
  for (const Action& action : plan.actions) sizes[action.body["ports"][0]["port"].as_int(-1)] = action.body["endpoints"].size();
  EXPECT_EQ(sizes, (std::map<std::int64_t, std::size_t>{{8080, 2}, {9090, 1}, {-1, 1}}));
}

TEST(EndpointSlice, HeadlessHasItsLabelAndHostnames) {
  Draft named(with_ip(pod("a", {.ready_for = 1}), "10.1.0.1"));
  named["spec"]["hostname"] = "a-0";
  named["spec"]["subdomain"] = "web";
  const Plan plan = plan_for(service(R"({"clusterIP":"None","selector":{"app":"web"}})"), {named.freeze()});
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_TRUE(plan.actions[0].body["metadata"]["labels"]["service.kubernetes.io/headless"].exists());
  EXPECT_EQ(plan.actions[0].body["endpoints"][0]["hostname"].as_string(), "a-0");
}

TEST(EndpointSlice, TrafficDistributionGivesHints) {
  const auto hints = [](const char* distribution) {
    Draft draft(service());
    draft["spec"]["trafficDistribution"] = distribution;
    return to_json(plan_for(draft.freeze(), {with_ip(pod("a", {.ready_for = 1}), "10.1.0.1")}).actions.at(0).body["endpoints"][0]["hints"]);
  };
  EXPECT_EQ(hints("PreferSameZone"), R"({"forZones":[{"name":"z1"}]})");
  EXPECT_EQ(hints("PreferClose"), R"({"forZones":[{"name":"z1"}]})");
  EXPECT_EQ(hints("PreferSameNode"), R"({"forZones":[{"name":"z1"}],"forNodes":[{"name":"n1"}]})");
}

TEST(EndpointSlice, LabelsOfTheServiceAreCopied) {
  const Document before = stored(plan_for(service(), {}).actions.at(0), "s");
  Draft changed(service());
  changed["metadata"]["labels"]["team"] = "b";
  EXPECT_EQ(describe(plan_for(changed.freeze(), {}, {before})), "replace endpointslices d/s");
}

// Pods come, go and change in a random order, some writes are lost. The slices hold exactly the pods that should be
// there, none twice, none beyond the limit; a calm world plans nothing; and one change writes no more than it has to.
TEST(EndpointSlice, RandomChurn) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    std::map<std::string, Document> pods;
    std::map<std::string, Document> slices;
    int serial = 0;
    bool lost = false;
    for (int step = 0; step < 60; ++step) {
      const bool calm = step >= 55;
      const int changes = calm ? 0 : pick(2) ? 1 : pick(90);
      for (int i = 0; i < changes; ++i) {
        if (pods.empty() || pick(5) < 3) {
          const std::string name = "p" + std::to_string(++serial);
          pods[name] = with_ip(pod(name, {.ready_for = 1}), "10.1." + std::to_string(serial / 250) + "." + std::to_string(serial % 250));
        } else {
          auto it = std::next(pods.begin(), pick(static_cast<int>(pods.size())));
          if (pick(2)) pods.erase(it);
          else it->second = with_ip(pod(it->first, {.ready_for = pick(2) - 1}), it->second["status"]["podIP"].as_string());
        }
      }
      std::vector<Document> pod_list, slice_list;
      for (auto& [k, d] : pods) pod_list.push_back(d);
      for (auto& [k, d] : slices) slice_list.push_back(d);
      const Plan plan = plan_for(service(), pod_list, slice_list);
      if (changes == 1 && !lost) { EXPECT_LE(plan.actions.size(), 2u) << describe(plan); }
      lost = false;
      for (const Action& action : plan.actions) {
        if (!calm && pick(8) == 0) {
          lost = true;
          continue;
        }
        if (action.verb == Action::Verb::erase) slices.erase(action.name);
        else {
          const std::string name = action.verb == Action::Verb::create ? "s" + std::to_string(++serial) : action.name;
          slices[name] = stored(action, name);
        }
      }
      if (lost) continue;
      std::map<std::string, bool> shown;
      for (auto& [k, d] : slices) {
        ASSERT_LE(d["endpoints"].size(), endpoints_per_slice);
        for (Value e : d["endpoints"].items())
          ASSERT_TRUE(shown.emplace(e["targetRef"]["name"].str(), e["conditions"]["ready"].as_bool()).second) << "twice";
      }
      ASSERT_EQ(shown.size(), pods.size()) << "seed " << seed;
      for (auto& [name, d] : pods) ASSERT_EQ(shown.at(name), is_ready(d));
    }
    std::vector<Document> pod_list, slice_list;
    for (auto& [k, d] : pods) pod_list.push_back(d);
    for (auto& [k, d] : slices) slice_list.push_back(d);
    EXPECT_EQ(describe(plan_for(service(), pod_list, slice_list)), "");
    EXPECT_LE(slices.size(), pods.size() / 40 + 3) << "slices are not left nearly empty for ever";
  }
}

}  // namespace
}  // namespace kybern::controllers::endpointslice
