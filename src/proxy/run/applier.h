// Carries transactions out: the kernel's tables, and what has to be forgotten after a change.
#pragma once

#include "base/result.h"
#include "proxy/apply/nft.h"
#include "proxy/rules/ruleset.h"

namespace kybern::proxy {

class Applier {
 public:
  static Result<Applier> open(bool flush_udp);

  // The error says that the kernel may now differ from what the ruleset believes: a full load must follow.
  Result<void> apply(const Transaction& transaction, const Ruleset& ruleset);
  Result<bool> tables_present();
  Result<void> remove_tables();

 private:
  Applier(Nft nft, bool flush_udp) : nft_(std::move(nft)), flush_udp_(flush_udp) {}
  Result<void> load(const Transaction& transaction);
  void forget_affinity(const Transaction& transaction, const Ruleset& ruleset);
  void forget_flows(const Transaction& transaction, const Ruleset& ruleset);
  Nft nft_;
  bool flush_udp_;
};

}  // namespace kybern::proxy
