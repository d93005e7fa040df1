#include "proxy/run/applier.h"

#include <malloc.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "proxy/apply/conntrack.h"

namespace kybern::proxy {

Result<Applier> Applier::open(bool flush_udp) {
  Result<Nft> nft = Nft::open();
  if (!nft) return std::unexpected(nft.error());
  Applier out(std::move(*nft), flush_udp);
  if (Result<bool> present = out.tables_present(); !present) return std::unexpected(present.error());
  return out;
}

Result<bool> Applier::tables_present() {
  Result<std::string> listed = nft_.list("list tables");
  if (!listed) return std::unexpected(listed.error());
  return listed->find("table ip kybern\n") != listed->npos && listed->find("table ip6 kybern\n") != listed->npos;
}

Result<void> Applier::remove_tables() {
  return nft_.run("table ip kybern\ndelete table ip kybern\ntable ip6 kybern\ndelete table ip6 kybern\n");
}

Result<void> Applier::load(const Transaction& transaction) {
  const Result<std::string> tables = nft_.list("list tables");
  if (!tables) return std::unexpected(tables.error());
  const bool replaces = tables->find(" kybern\n") != tables->npos;
  Result<void> done;
  if (replaces) {
    std::string whole = transaction.script;
    for (const std::string& part : transaction.more) whole += part;
    done = nft_.run(whole);
  } else {
    done = nft_.run(transaction.script);
    for (auto part = transaction.more.begin(); done && part != transaction.more.end(); ++part) done = nft_.run(*part);
  }
  if (!transaction.more.empty()) ::malloc_trim(0);  // nft takes about a kilobyte for an element while it works
  return done;
}

Result<void> Applier::apply(const Transaction& transaction, const Ruleset& ruleset) {
  if (transaction.full) {
    if (Result<void> done = load(transaction); !done) return done;
  } else if (!transaction.script.empty()) {
    if (Result<void> done = nft_.run(transaction.script); !done) return done;
  }
  forget_affinity(transaction, ruleset);
  forget_flows(transaction, ruleset);
  return {};
}

// After the load, so that no new client is given a target that is gone. A failure leaves clients with a dead target until
// their affinity ends: it is told, and the next change tries again only for its own frontends.
void Applier::forget_affinity(const Transaction& transaction, const Ruleset& ruleset) {
  std::map<std::string, std::string> listings;
  for (const FrontendKey& key : transaction.stale_affinity) {
    const std::string map = Ruleset::affinity_map(key);
    auto [place, fresh] = listings.try_emplace(map);
    if (fresh) {
      Result<std::string> listing = nft_.list("list map " + map);
      if (!listing && listing.error().code != Code::not_found) {
        log_warn("proxy", "affinity cannot be read", {{"map", map}, {"error", listing.error().message}});
      }
      if (listing) place->second = std::move(*listing);
    }
    const std::string commands = ruleset.forget_affinity(key, place->second);
    if (commands.empty()) continue;
    Result<void> done = nft_.run(commands);
    if (!done && done.error().code != Code::not_found)
      log_warn("proxy", "affinity cannot be forgotten", {{"map", map}, {"error", done.error().message}});
  }
}

void Applier::forget_flows(const Transaction& transaction, const Ruleset& ruleset) {
  if (!flush_udp_ || transaction.stale_udp.empty()) return;
  const std::set<FrontendKey> keys(transaction.stale_udp.begin(), transaction.stale_udp.end());
  for (bool v6 : {false, true}) {
    if (std::ranges::none_of(keys, [&](const FrontendKey& key) { return key.ip.v6 == v6; })) continue;
    const Result<std::size_t> done = forget_udp_flows(v6, [&](const Flow& flow) {
      if (!keys.contains(flow.original)) return false;
      const Frontend* frontend = ruleset.find(flow.original);
      return frontend == nullptr || !frontend->reaches(flow.answers_from, flow.answers_port);
    });
    if (!done) log_warn("proxy", "stale UDP flows cannot be forgotten", {{"error", done.error().message}});
    else if (*done > 0) log_info("proxy", "stale UDP flows forgotten", {{"flows", std::to_string(*done)}});
  }
}

}  // namespace kybern::proxy
