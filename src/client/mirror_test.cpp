#include "client/mirror.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "client/test_support.h"

namespace kybern::client {
namespace {

using testing_support::FeedTransport;
constexpr const char* path = "/api/v1/pods";

Document pod(std::string_view name, int version, std::string_view uid, std::string_view node = "") {
  return Draft::object(
             {{"metadata", Draft::object({{"namespace", "d"}, {"name", name}, {"uid", uid}, {"resourceVersion", std::to_string(version)}})},
              {"spec", Draft::object({{"nodeName", node}})}})
      .freeze();
}

// What the handlers are told, as "key old->new".
struct MirrorWorld {
  FeedTransport transport;
  MirrorCore mirror{transport, path};
  std::vector<std::string> told;

  MirrorWorld() {
    mirror.add_index("node", [](Value object) { return std::vector<std::string>{object["spec"]["nodeName"].str()}; });
    mirror.add_handler([this](const Document& before, const Document& now) {
      const auto version = [](const Document& d) { return d ? d["metadata"]["resourceVersion"].str() : std::string("-"); };
      told.push_back(key_of(now ? now : before) + " " + version(before) + "->" + version(now));
    });
    mirror.start();
  }
  Listener& stream() { return transport.listeners.at(path); }
  void list(std::vector<Document> objects, std::uint64_t version = 0) {
    stream().replaced(std::move(objects));
    if (version) stream().progressed(version);
  }
  void put(Document object) { stream().changed({{Event::Type::put, std::move(object)}}); }
  void erase(Document object) { stream().changed({{Event::Type::erased, std::move(object)}}); }
  std::string state() const {  // "d/a@3 d/b@4"
    std::string out;
    for (const Document& d : mirror.list()) out += (out.empty() ? "" : " ") + key_of(d) + "@" + d["metadata"]["resourceVersion"].str();
    return out;
  }
  std::string on_node(std::string_view node) const {
    std::string out;
    for (const Document& d : mirror.by_index("node", node)) out += d["metadata"]["name"].str();
    return out;
  }
  std::vector<std::string> take_told() { return std::exchange(told, {}); }
};
using Told = std::vector<std::string>;

TEST(Mirror, FollowsTheStream) {
  MirrorWorld w;
  EXPECT_FALSE(w.mirror.synced());
  w.list({pod("a", 1, "ua", "n1"), pod("b", 2, "ub", "n1")}, 5);
  EXPECT_TRUE(w.mirror.synced());
  EXPECT_EQ(w.state(), "d/a@1 d/b@2");
  EXPECT_EQ(w.on_node("n1"), "ab");
  w.put(pod("a", 6, "ua", "n2"));
  EXPECT_EQ(w.on_node("n1"), "b");
  EXPECT_EQ(w.on_node("n2"), "a");
  w.erase(pod("b", 7, "ub", "n1"));
  EXPECT_EQ(w.on_node("n1"), "");
  EXPECT_EQ(w.take_told(), (Told{"d/a -->1", "d/b -->2", "d/a 1->6", "d/b 2->-"}));
  EXPECT_EQ(w.mirror.list_namespace("d").size(), 1u);
  EXPECT_EQ(w.mirror.list_namespace("").size(), 0u);
}

TEST(Mirror, AListAfterAGapTellsOnlyDifferences) {
  MirrorWorld w;
  w.list({pod("a", 1, "ua"), pod("b", 2, "ub"), pod("c", 3, "uc")}, 3);
  w.take_told();
  w.list({pod("a", 1, "ua"), pod("c", 8, "uc"), pod("e", 9, "ue")}, 9);
  EXPECT_EQ(w.take_told(), (Told{"d/c 3->8", "d/e -->9", "d/b 2->-"}));
  EXPECT_EQ(w.state(), "d/a@1 d/c@8 d/e@9");
}

TEST(Mirror, OwnWritesShowBeforeTheStreamBringsThem) {
  MirrorWorld w;
  w.list({pod("a", 1, "ua", "n1")}, 1);
  w.take_told();
  w.mirror.wrote(pod("a", 5, "ua", "n2"));
  w.mirror.wrote(pod("b", 6, "ub", "n2"));
  EXPECT_EQ(w.state(), "d/a@5 d/b@6");
  EXPECT_EQ(w.on_node("n2"), "ab");
  EXPECT_TRUE(w.take_told().empty()) << "handlers hear of it from the stream";
  w.put(pod("a", 3, "ua", "n1"));  // somebody else's change, before ours
  EXPECT_EQ(w.state(), "d/a@5 d/b@6");
  w.put(pod("a", 5, "ua", "n2"));
  w.put(pod("b", 6, "ub", "n2"));
  w.put(pod("b", 7, "ub", "n3"));
  EXPECT_EQ(w.state(), "d/a@5 d/b@7");
  EXPECT_EQ(w.take_told(), (Told{"d/a 1->3", "d/a 3->5", "d/b -->6", "d/b 6->7"}));
  w.mirror.wrote(pod("b", 6, "ub", "n2"));
  EXPECT_EQ(w.state(), "d/a@5 d/b@7") << "an old write changes nothing";
}

TEST(Mirror, OwnDeletionsShowBeforeTheStreamBringsThem) {
  MirrorWorld w;
  w.list({pod("a", 1, "ua"), pod("b", 2, "ub")}, 2);
  w.take_told();
  w.mirror.erased("d/a", "ua");
  w.mirror.erased("d/b", "another");
  EXPECT_EQ(w.state(), "d/b@2");
  w.put(pod("a", 3, "ua"));  // before it went
  EXPECT_EQ(w.state(), "d/b@2");
  w.erase(pod("a", 4, "ua"));
  EXPECT_EQ(w.state(), "d/b@2");
  EXPECT_EQ(w.take_told(), (Told{"d/a 1->3", "d/a 3->-"}));
}

TEST(Mirror, ANameUsedAgain) {
  MirrorWorld w;
  w.list({pod("a", 1, "old")}, 1);
  w.mirror.erased("d/a", "old");
  w.mirror.wrote(pod("a", 5, "new"));
  EXPECT_EQ(w.state(), "d/a@5");
  w.erase(pod("a", 4, "old"));
  EXPECT_EQ(w.state(), "d/a@5");
  w.put(pod("a", 5, "new"));
  EXPECT_EQ(w.take_told(), (Told{"d/a -->1", "d/a 1->-", "d/a -->5"}));
}

TEST(Mirror, AWriteThatNeverComesIsForgotten) {
  MirrorWorld w;
  w.list({}, 1);
  w.mirror.wrote(pod("a", 5, "ua"));
  EXPECT_EQ(w.state(), "d/a@5");
  w.stream().progressed(4);
  EXPECT_EQ(w.state(), "d/a@5");
  w.stream().progressed(5);
  EXPECT_EQ(w.state(), "") << "it is not of this collection";
  w.mirror.wrote(pod("b", 6, "ub"));
  w.list({}, 9);
  EXPECT_EQ(w.state(), "");
  EXPECT_TRUE(w.take_told().empty());
}

// A store with random changes, some of them our own; the stream lags behind. Readers never see an own write undone, the
// handlers' story is consistent, and in the end mirror, handlers and store agree.
TEST(Mirror, RandomStories) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    FeedTransport transport;
    MirrorCore mirror(transport, path);
    mirror.add_index("node", [](Value o) { return std::vector<std::string>{o["spec"]["nodeName"].str()}; });
    std::map<std::string, Document> told, store;
    mirror.add_handler([&](const Document& before, const Document& now) {
      const std::string key = key_of(now ? now : before);
      EXPECT_TRUE(before ? told[key].root() == before.root() : !told[key]) << "seed " << seed << " " << key;
      told[key] = now;
    });
    mirror.start();
    Listener& stream = transport.listeners.at(path);
    std::vector<Event> pending;
    std::map<std::string, int> own;  // the version of our last write
    int version = 1, uids = 0;
    stream.replaced({});
    stream.progressed(1);
    for (int step = 0; step < 200; ++step) {
      const std::string name(1, static_cast<char>('a' + pick(4)));
      const std::string key = "d/" + name, node = "n" + std::to_string(pick(3));
      const bool mine = pick(2) == 0;
      Document& object = store[key];
      switch (pick(6)) {
        case 0:
        case 1:
        case 2: {
          const std::string uid = object ? object["metadata"]["uid"].str() : "u" + std::to_string(++uids);
          object = pod(name, ++version, uid, node);
          pending.push_back({Event::Type::put, object});
          if (mine) {
            mirror.wrote(object);
            own[key] = version;
          }
          break;
        }
        case 3:
          if (!object) break;
          pending.push_back({Event::Type::erased, pod(name, ++version, object["metadata"]["uid"].as_string(), node)});
          if (mine) mirror.erased(key, object["metadata"]["uid"].as_string());
          own.erase(key);
          object = {};
          break;
        case 4:
          while (!pending.empty() && pick(4) != 0) {
            stream.changed({pending.front()});
            pending.erase(pending.begin());
          }
          break;
        case 5:
          if (pick(10) != 0) break;
          pending.clear();
          std::vector<Document> all;
          for (auto& [k, d] : store)
            if (d) all.push_back(d);
          stream.replaced(all);
          stream.progressed(static_cast<std::uint64_t>(version));
          break;
      }
      for (const auto& [k, v] : own) {
        const Document seen = mirror.get(k);
        ASSERT_TRUE(seen && resource_version_of(seen) >= static_cast<std::uint64_t>(v)) << "seed " << seed << " step " << step << " " << k;
      }
    }
    stream.changed(pending);
    std::size_t count = 0;
    for (auto& [k, d] : store) {
      const Document seen = mirror.get(k);
      EXPECT_EQ(static_cast<bool>(seen), static_cast<bool>(d)) << "seed " << seed;
      if (d && seen) { EXPECT_TRUE(seen.root() == d.root()) << "seed " << seed; }
      EXPECT_TRUE(told[k].root() == d.root()) << "seed " << seed << " " << k;
      if (d) ++count;
    }
    EXPECT_EQ(mirror.size(), count);
    std::size_t indexed = 0;
    for (const char* node : {"n0", "n1", "n2"}) indexed += mirror.by_index("node", node).size();
    EXPECT_EQ(indexed, count);
  }
}

}  // namespace
}  // namespace kybern::client
