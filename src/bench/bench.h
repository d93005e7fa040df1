// kybern bench: how fast a Kubernetes API is, seen from outside. Any API, not only Kybern's.
#pragma once

#include <string>
#include <vector>

#include "bench/caller.h"

namespace kybern::bench {

struct Options {
  TargetChoice target;
  std::vector<std::string> scenarios;  // in this order; empty: all but `schedule`, which makes nodes
  int connections = 32;
  int count = 1000;  // objects, and operations of a scenario at most
  int seconds = 30;  // of a scenario at most; 0: only the count ends it
  int rate = 0;      // operations a second, open loop; 0: closed loop
  int pod_bytes = 1500;
  int watchers = 100;
  int nodes = 100;               // that the schedule scenario makes
  int page = 500;                // objects a page
  int think_ms = 100;            // of the mixed load
  int server_pid = 0;            // of a server on this machine, whose processor time and memory are then told too
  std::string ns;                // "": one of its own, deleted at the end
  std::string output = "table";  // or json
  bool progress = true;
  bool keep = false;  // do not delete what was made
};

std::vector<std::string> scenario_names();
// SIGINT and SIGTERM, blocked by the caller, end it early; what was made is deleted then too. 0, or 1 when something failed.
int run(const Options& options);

}  // namespace kybern::bench
