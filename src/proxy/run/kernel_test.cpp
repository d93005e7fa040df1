// The kernel itself, after random histories of changes, holds what a fresh load holds.
#include <gtest/gtest.h>

#include <set>

#include "base/strings.h"
#include "proxy/rules/elements.h"
#include "proxy/run/applier.h"
#include "proxy/test_cluster.h"
#include "proxy/test_network.h"

namespace kybern::proxy {
namespace {

using Elements = std::map<std::string, std::set<std::string>>;

Elements kernel_elements(Nft& nft) {
  Elements out;
  for (const char* family : {"ip", "ip6"}) {
    for (std::size_t i = 0; i < set_count; ++i) {
      const std::string name = std::string(family) + " kybern " + std::string(set_name(static_cast<SetId>(i)));
      const SetId id = static_cast<SetId>(i);
      const bool plain = id == SetId::fenced || id == SetId::allowed || id == SetId::hairpin || id == SetId::cluster_ips;
      const Result<std::string> listing = nft.list((plain ? "list set " : "list map ") + name);
      EXPECT_TRUE(listing) << listing.error().message;
      std::string_view text = *listing;
      const std::size_t begin = text.find("elements = {");
      if (begin == text.npos) continue;
      text = text.substr(begin + 12, text.find('}', begin) - begin - 12);
      for (std::string_view element : split(text, ',')) out[name].emplace(trim(element));
    }
  }
  return out;
}

TEST(Kernel, ChangesConvergeThereToo) {
  if (!test::why_no_network().empty()) GTEST_SKIP() << test::why_no_network();
  Result<Nft> nft = Nft::open();
  ASSERT_TRUE(nft);
  Result<Applier> applier = Applier::open(true);
  ASSERT_TRUE(applier);
  for (unsigned seed = 101; seed <= 106; ++seed) {
    SCOPED_TRACE(seed);
    test::RandomCluster cluster(seed);
    Ruleset ruleset(cluster.node());
    std::map<std::string, ServiceRules> current;
    ASSERT_TRUE(applier->apply(ruleset.full(), ruleset));
    for (int step = 0; step < 25; ++step) {
      const std::string name = "ns/s" + std::to_string(cluster.below(6));
      current[name] = cluster.rules();
      ruleset.set_service(name, current[name]);
      const Transaction transaction = ruleset.changes();
      Result<void> done = applier->apply(transaction, ruleset);
      ASSERT_TRUE(done) << done.error().message << "\n" << transaction.script;
    }
    const Elements changed = kernel_elements(*nft);
    Ruleset fresh(cluster.node());
    for (const auto& [name, rules] : current) fresh.set_service(name, rules);
    ASSERT_TRUE(applier->apply(fresh.full(), fresh));
    EXPECT_EQ(changed, kernel_elements(*nft));
  }
  EXPECT_TRUE(applier->remove_tables());
}

}  // namespace
}  // namespace kybern::proxy
