// Every testdata/NAME.yaml is a node, services and slices, in steps; testdata/NAME.nft what nftables is told in each step.
// KYBERN_UPDATE_GOLDEN=1 writes the expected files anew; the difference is to be reviewed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "proxy/rules/elements.h"
#include "proxy/test_cluster.h"

namespace kybern::proxy {
namespace {

namespace fs = std::filesystem;

fs::path testdata() { return fs::path(KYBERN_SOURCE_DIR) / "src/proxy/rules/testdata"; }

std::string read_file(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

void expect_golden(const fs::path& path, const std::string& actual) {
  if (std::getenv("KYBERN_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << actual;
  EXPECT_EQ(read_file(path), actual) << path;
}

std::string keys_text(const std::vector<FrontendKey>& keys) {
  std::string out;
  for (const FrontendKey& key : keys) {
    out += out.empty() ? "" : ", ";
    append_key(key, out);
  }
  return out;
}

std::string step_text(const Transaction& transaction, const NodeInfo& node) {
  std::string script = transaction.script;
  const std::string fixed = tables(node, Chains());
  if (script.starts_with(fixed)) script.erase(0, fixed.size());
  for (const std::string& part : transaction.more) script += part;
  if (!transaction.stale_affinity.empty()) script += "# stale affinity: " + keys_text(transaction.stale_affinity) + "\n";
  if (!transaction.stale_udp.empty()) script += "# stale UDP flows: " + keys_text(transaction.stale_udp) + "\n";
  return script;
}

std::string play(const fs::path& input) {
  const auto documents = parse_yaml(read_file(input));
  EXPECT_TRUE(documents) << input;
  const NodeInfo node = test::node_of(documents->front().root());
  test::Cluster cluster;
  Ruleset ruleset(node);
  std::set<std::string> concerned;
  std::string out = "# start\n";
  bool first = true;
  auto step = [&] {
    for (const std::string& service : concerned) cluster.update(service, node, ruleset);
    concerned.clear();
    out += step_text(first ? ruleset.full() : ruleset.changes(), node);
    first = false;
  };
  for (auto object = documents->begin() + 1; object != documents->end(); ++object) {
    const std::string_view kind = (*object)["kind"].as_string();
    if (kind == "Step") {
      step();
      out += "\n# " + (*object)["about"].str() + "\n";
    } else if (kind == "Delete") {
      concerned.insert(cluster.erase((*object)["of"].as_string(), test::Cluster::key_of(object->root())));
    } else {
      concerned.insert(cluster.put(*object));
    }
  }
  step();
  return out;
}

TEST(GoldenRules, EveryCase) {
  std::size_t cases = 0;
  for (const auto& entry : fs::directory_iterator(testdata())) {
    if (entry.path().extension() != ".yaml") continue;
    ++cases;
    expect_golden(fs::path(entry.path()).replace_extension(".nft"), play(entry.path()));
  }
  EXPECT_GE(cases, 7u);
}

TEST(GoldenRules, Tables) {
  const NodeInfo node{"n1", "", {}, {*parse_prefix("10.244.0.0/16"), *parse_prefix("fd01::/48")}, false};
  Chains chains;
  for (std::size_t family : {0, 1}) chains.pick[family] = chains.local[family] = 2;
  expect_golden(testdata() / "tables.nft", tables(node, chains));
}

}  // namespace
}  // namespace kybern::proxy
