#include "proxy/rules/ruleset.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "base/strings.h"
#include "proxy/rules/elements.h"
#include "proxy/test_cluster.h"

namespace kybern::proxy {
namespace {

// What the kernel does with the element commands of a script: a duplicate, a missing element or an unknown chain fails the
// whole transaction, so none may ever occur.
class ModelKernel {
 public:
  void run(const Transaction& transaction) {
    if (transaction.full) sets_.clear();
    run_script(transaction.script);
    for (const std::string& part : transaction.more) run_script(part);
  }
  const std::map<std::string, std::map<std::string, std::string>>& sets() const { return sets_; }

 private:
  void run_script(const std::string& script) {
    std::istringstream lines(script);
    for (std::string line; std::getline(lines, line);) {
      const bool adds = line.starts_with("add element "), deletes = line.starts_with("delete element ");
      if (!adds && !deletes) continue;
      const std::size_t open = line.find(" { "), close = line.rfind(" }");
      ASSERT_NE(open, line.npos);
      const std::size_t skip = adds ? 12 : 15;
      auto& set = sets_[line.substr(skip, open - skip)];
      std::string body = line.substr(open + 3, close - open - 3);
      for (std::size_t at = 0; at <= body.size();) {
        std::size_t comma = std::min(body.find(", ", at), body.size());
        const std::string element = body.substr(at, comma - at);
        const std::size_t colon = element.find(" : ");
        const std::string key = element.substr(0, colon);
        if (adds) {
          ASSERT_TRUE(set.emplace(key, colon == element.npos ? "" : element.substr(colon + 3)).second) << line;
        } else {
          ASSERT_EQ(set.erase(key), 1u) << line;
        }
        at = comma + 2;
      }
    }
    std::erase_if(sets_, [](const auto& entry) { return entry.second.empty(); });
  }
  std::map<std::string, std::map<std::string, std::string>> sets_;
};

// After any history, the changes that were carried out one by one give what a full load gives.
TEST(RulesetProperty, ChangesConverge) {
  for (unsigned seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    test::RandomCluster cluster(seed);
    Ruleset ruleset(cluster.node());
    std::map<std::string, ServiceRules> current;
    ModelKernel kernel;
    kernel.run(ruleset.full());
    for (int step = 0; step < 40; ++step) {
      for (unsigned i = 0; i <= cluster.below(3); ++i) {
        const std::string name = "ns/s" + std::to_string(cluster.below(6));
        current[name] = cluster.rules();
        ruleset.set_service(name, current[name]);
      }
      kernel.run(ruleset.changes());
      if (HasFatalFailure()) return;
      Ruleset fresh(cluster.node());
      for (const auto& [name, rules] : current) fresh.set_service(name, rules);
      ModelKernel expected;
      expected.run(fresh.full());
      ASSERT_EQ(kernel.sets(), expected.sets()) << "step " << step;
      EXPECT_TRUE(ruleset.changes().empty()) << "nothing is left to do";
    }
  }
}

Frontend frontend_with(std::initializer_list<const char*> ips) {
  auto targets = std::make_shared<std::vector<Target>>();
  for (const char* ip : ips) targets->push_back({*parse_address(ip), 8080, false});
  Frontend out;
  out.inside = targets;
  out.outside = std::make_shared<std::vector<Target>>();
  return out;
}

TEST(Ruleset, AServiceThatIsSetBackNeedsNoTransaction) {
  Ruleset ruleset(NodeInfo{});
  const FrontendKey key{*parse_address("10.96.0.1"), Protocol::tcp, 80};
  ruleset.set_service("a/b", {{{key, frontend_with({"10.244.0.1"})}}, 0, 0});
  (void)ruleset.full();
  ruleset.set_service("a/b", {{{key, frontend_with({"10.244.0.2"})}}, 0, 0});
  ruleset.set_service("a/b", {{{key, frontend_with({"10.244.0.1"})}}, 0, 0});
  EXPECT_TRUE(ruleset.changes().empty());
}

TEST(Ruleset, MoreTargetsThanChainsMakeAFullLoad) {
  Ruleset ruleset(NodeInfo{});
  (void)ruleset.full();
  const FrontendKey key{*parse_address("10.96.0.1"), Protocol::tcp, 80};
  auto many = std::make_shared<std::vector<Target>>();
  for (std::uint16_t i = 0; i < Chains::block + 1; ++i)
    many->push_back({*parse_address("10.244.0.1"), static_cast<std::uint16_t>(1000 + i), false});
  Frontend frontend = frontend_with({});
  frontend.inside = many;
  ruleset.set_service("a/b", {{{key, frontend}}, 0, 0});
  const Transaction grown = ruleset.changes();
  EXPECT_TRUE(grown.full);
  EXPECT_NE(grown.script.find("chain pick-64 "), grown.script.npos);
  ruleset.set_service("a/b", {});
  EXPECT_FALSE(ruleset.changes().full) << "chains that are too many do no harm";
}

TEST(Ruleset, ForgetsClientsOfTargetsThatAreGone) {
  Ruleset ruleset(NodeInfo{});
  const FrontendKey v4{*parse_address("10.96.0.1"), Protocol::tcp, 80}, v6{*parse_address("fd00:96::1"), Protocol::tcp, 80};
  Frontend four = frontend_with({"10.244.0.1"}), six = frontend_with({"fd01::1"});
  four.affinity_seconds = six.affinity_seconds = 10;
  ruleset.set_service("a/b", {{{v4, four}, {v6, six}}, 0, 0});
  const std::string listing4 =
      "table ip kybern {\n\tmap affinity {\n\t\ttype ipv4_addr . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service\n"
      "\t\tsize 65536\n\t\tflags dynamic,timeout\n\t\telements = { 10.244.0.9 . 10.96.0.1 . tcp . 80 timeout 10s expires 9s992ms : "
      "10.244.0.1 . 8080,\n"
      "\t\t\t     10.244.0.8 . 10.96.0.1 . tcp . 80 timeout 10s expires 9s992ms : 10.244.0.2 . 8080,\n"
      "\t\t\t     10.244.0.8 . 10.96.0.1 . udp . 80 timeout 10s expires 9s992ms : 10.244.0.2 . 8080 }\n\t}\n}\n";
  EXPECT_EQ(ruleset.forget_affinity(v4, listing4), "delete element ip kybern affinity { 10.244.0.8 . 10.96.0.1 . tcp . 80 }\n");
  const std::string name = affinity_name(v6);
  const std::string listing6 =
      "map x {\n elements = { fd01::9 timeout 10s expires 1s : fd01::1, fd01::8 timeout 10s expires 1s : fd01::2 }\n}";
  EXPECT_EQ(ruleset.forget_affinity(v6, listing6),
            "delete element ip6 kybern address-" + name + " { fd01::8 }\ndelete element ip6 kybern port-" + name + " { fd01::8 }\n");
  EXPECT_EQ(ruleset.forget_affinity(v4, "map affinity {\n}"), "");
}

struct PrefixRow {
  const char* text;
  const char* address;
  bool contains;
};
TEST(Address, Prefixes) {
  const PrefixRow rows[] = {
      {"10.244.0.0/16", "10.244.9.9", true}, {"10.244.0.0/16", "10.245.0.1", false}, {"0.0.0.0/0", "1.2.3.4", true},
      {"0.0.0.0/0", "::1", false},           {"10.0.0.4/31", "10.0.0.5", true},      {"10.0.0.4/31", "10.0.0.6", false},
      {"fd00::/8", "fd12::1", true},         {"10.0.0.1/32", "10.0.0.1", true},      {"10.244.7.7/16", "10.244.0.1", true},
  };
  for (const PrefixRow& row : rows)
    EXPECT_EQ(parse_prefix(row.text)->contains(*parse_address(row.address)), row.contains) << row.text << ' ' << row.address;
  for (const char* bad : {"", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "fd00::/129", "x/8", "10.0.0.0/"})
    EXPECT_FALSE(parse_prefix(bad)) << bad;
  EXPECT_EQ(parse_prefix("10.244.7.7/16")->text(), "10.244.0.0/16");
  EXPECT_EQ(parse_address("FD00:0::1")->text(), "fd00::1");
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4x", "fd00:::1", "1.2.3.4 "}) EXPECT_FALSE(parse_address(bad)) << bad;
}

}  // namespace
}  // namespace kybern::proxy
