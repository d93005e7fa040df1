// A client that watches a collection, loses its connection now and then, and goes on from the last revision that it saw. Of
// what happens it must see each change once and in order, or be told (410) that it has to list anew.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "sim/checks.h"
#include "sim/cluster.h"

namespace kybern::sim {

class Follower {
 public:
  // `slow`: how long it may be away, or take to read.
  Follower(Cluster& cluster, Checker& checker, std::string prefix, Duration slow);
  void start();
  // The server is about to go: whoever follows loses the connection.
  void disconnect() { watch_.reset(); }
  // At rest: it has everything that is stored. Complains when it has not.
  void compare();

  std::uint64_t resumed() const { return resumed_; }
  std::uint64_t expired() const { return expired_; }
  std::uint64_t seen() const { return seen_; }

 private:
  void turn();
  bool connect();
  void list();
  void read(std::size_t most);
  void see(const store::Change& change);

  Cluster& cluster_;
  Checker& checker_;
  const std::string prefix_;
  const Duration slow_;
  std::unique_ptr<store::Watch> watch_;
  std::map<std::string, store::Revision, std::less<>> objects_;  // what it knows
  std::uint64_t server_ = 0;                                     // which one it watches
  store::Revision position_ = 0;                                 // it has seen everything up to here; 0: it has to list
  store::Revision last_ = 0;                                     // the newest change that it was told
  std::uint64_t resumed_ = 0, expired_ = 0, seen_ = 0;
};

}  // namespace kybern::sim
