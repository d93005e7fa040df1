#include "controllers/garbage/graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "controllers/garbage/decide.h"
#include "controllers/test_objects.h"

namespace kybern::controllers::garbage {
namespace {

using namespace testing_objects;

// "web<deploy!" is owned by deploy and blocks its deletion; more owners are separated by commas.
Document thing(std::string_view name, std::vector<std::string> owners = {}, std::vector<const char*> finalizers = {}, bool deleting = false,
               std::string_view ns = "d") {
  Draft out = object("v1", "Thing", ns, name);
  Draft list = Draft::array();
  for (std::string owner : owners) {
    const bool blocks = owner.ends_with('!');
    if (blocks) owner.pop_back();
    list.push_back(
        Draft::object({{"apiVersion", "v1"}, {"kind", "Thing"}, {"name", owner}, {"uid", "uid-" + owner}, {"blockOwnerDeletion", blocks}}));
  }
  if (!list.empty()) out["metadata"]["ownerReferences"] = std::move(list);
  for (const char* f : finalizers) out["metadata"]["finalizers"].push_back(f);
  if (deleting) out["metadata"]["deletionTimestamp"] = format_rfc3339(at(0));
  return out.freeze();
}

struct World {
  Graph graph;
  std::string put(const Document& object) {
    return text([&](auto& looks) { graph.put(0, object, looks); });
  }
  std::string erase(std::string_view name) {
    return text([&](auto& looks) { graph.erased("uid-" + std::string(name), looks); });
  }
  std::string list(std::vector<Document> objects) {
    return text([&](auto& looks) { graph.replaced(0, objects, looks); });
  }
  static std::string text(auto f) {
    std::vector<Look> looks;
    f(looks);
    std::vector<std::string> out;
    for (const Look& l : looks) out.push_back(l.uid.substr(4) + (l.orphan ? " orphan" : ""));
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    std::string all;
    for (const std::string& t : out) all += (all.empty() ? "" : ", ") + t;
    return all;
  }
};

TEST(Graph, NothingToDoWhileOwnersAreThere) {
  World w;
  EXPECT_EQ(w.put(thing("deploy")), "");
  EXPECT_EQ(w.put(thing("set", {"deploy!"})), "");
  EXPECT_EQ(w.put(thing("pod", {"set!"})), "");
  EXPECT_EQ(w.put(thing("pod", {"set!"})), "");
}

TEST(Graph, DependentsOfWhatWentAreLookedAt) {
  World w;
  w.put(thing("set"));
  w.put(thing("a", {"set!"}));
  w.put(thing("b", {"set"}));
  EXPECT_EQ(w.erase("set"), "a, b");
  EXPECT_EQ(w.graph.size(), 3u) << "the owner is remembered as unobserved";
  w.erase("a");
  w.erase("b");
  EXPECT_EQ(w.graph.size(), 0u);
}

TEST(Graph, AnUnknownOwnerIsAskedFor) {
  World w;
  EXPECT_EQ(w.put(thing("a", {"set"})), "a");
  EXPECT_EQ(w.put(thing("set")), "");
  EXPECT_EQ(w.graph.size(), 2u);
}

TEST(Graph, AWrongNameOrNamespaceIsAskedFor) {
  World w;
  w.put(thing("set"));
  EXPECT_EQ(w.put(thing("a", {"set"}, {}, false, "other")), "a");
  World later;
  later.put(thing("a", {"set"}, {}, false, "other"));
  EXPECT_EQ(later.put(thing("set")), "a");
}

TEST(Graph, Foreground) {
  World w;
  w.put(thing("set"));
  w.put(thing("a", {"set!"}));
  w.put(thing("b", {"set"}));
  EXPECT_EQ(w.put(thing("set", {}, {"foregroundDeletion"}, true)), "a, b, set");
  const Node* set = w.graph.find("uid-set");
  EXPECT_TRUE(set->foreground);
  EXPECT_EQ(w.graph.blocking(*set).size(), 1u);
  EXPECT_EQ(w.put(thing("c", {"set!"})), "c") << "a late one";
  EXPECT_EQ(w.erase("a"), "set");
  EXPECT_EQ(w.put(thing("c", {"set"})), "set") << "it blocks no more";
  EXPECT_TRUE(w.graph.blocking(*set).empty());
}

TEST(Graph, Orphan) {
  World w;
  w.put(thing("set"));
  w.put(thing("a", {"set!"}));
  EXPECT_EQ(w.put(thing("set", {}, {"orphan"}, true)), "set orphan");
  EXPECT_EQ(w.put(thing("a")), "");
  EXPECT_TRUE(w.graph.find("uid-set")->dependents.empty());
}

TEST(Graph, AListAfterAGap) {
  World w;
  w.list({thing("set"), thing("a", {"set"})});
  EXPECT_EQ(w.list({thing("a", {"set"})}), "a");
  w.graph.forget(0);
  EXPECT_EQ(w.graph.size(), 0u);
}

TEST(Graph, AnObjectThatOwnsItself) {
  World w;
  w.put(thing("a", {"a!"}));
  EXPECT_TRUE(w.graph.blocking(*w.graph.find("uid-a")).empty());
  w.erase("a");
  EXPECT_EQ(w.graph.size(), 0u);
}

// Whatever comes in whatever order: dependents mirror the references, and nothing is left when all is gone.
TEST(Graph, RandomStories) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    const auto name = [&] { return std::string(1, static_cast<char>('a' + pick(6))); };
    World w;
    std::map<std::string, Document> truth;
    for (int step = 0; step < 100; ++step) {
      const std::string who = name();
      if (pick(3) == 0) {
        w.erase(who);
        truth.erase(who);
        continue;
      }
      std::vector<std::string> owners;
      for (int i = pick(3); i > 0; --i) owners.push_back(name() + (pick(2) ? "!" : ""));
      truth[who] = thing(who, owners, {}, false);
      w.put(truth[who]);
    }
    for (const auto& [who, object] : truth) {
      const Node* node = w.graph.find("uid-" + who);
      ASSERT_TRUE(node && node->is_observed());
      EXPECT_EQ(node->owners, references_of(object));
      for (const Reference& r : node->owners) EXPECT_TRUE(w.graph.find(r.uid)->dependents.contains(const_cast<Node*>(node)));
    }
    for (char c = 'a'; c < 'g'; ++c) w.erase(std::string(1, c));
    EXPECT_EQ(w.graph.size(), 0u) << "seed " << seed;
  }
}

TEST(Garbage, Verdicts) {
  using S = OwnerState;
  using K = Verdict::Kind;
  struct Row {
    const char* what;
    Document object;
    Known known;
    Verdict verdict;
  };
  const Row rows[] = {
      {"no owners", thing("a"), {}, {}},
      {"an owner", thing("a", {"x"}), {.owners = {S::solid}}, {}},
      {"its only owner is gone", thing("a", {"x"}), {.owners = {S::gone}}, {K::erase, {}, false, "Background"}},
      {"one of two is gone", thing("a", {"x", "y"}), {.owners = {S::gone, S::solid}}, {K::shed, {"uid-x"}, false, ""}},
      {"one of two waits", thing("a", {"x", "y"}), {.owners = {S::solid, S::waiting}}, {K::shed, {"uid-y"}, false, ""}},
      {"its owner waits", thing("a", {"x"}), {.owners = {S::waiting}}, {K::erase, {}, false, "Background"}},
      {"its owner waits, and it has dependents",
       thing("a", {"x"}),
       {.owners = {S::waiting}, .has_dependents = true},
       {K::erase, {}, false, "Foreground"}},
      {"perhaps a cycle",
       thing("a", {"x"}),
       {.owners = {S::waiting}, .has_dependents = true, .dependent_waits = true},
       {K::erase, {}, true, "Foreground"}},
      {"its finalizer says how", thing("a", {"x"}, {"orphan"}), {.owners = {S::gone}}, {K::erase, {}, false, "Orphan"}},
      {"its finalizer says how", thing("a", {"x"}, {"foregroundDeletion"}), {.owners = {S::gone}}, {K::erase, {}, false, "Foreground"}},
  };
  for (const Row& row : rows) EXPECT_EQ(decide(row.object, row.known), row.verdict) << row.what;
}

}  // namespace
}  // namespace kybern::controllers::garbage
