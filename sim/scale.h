// A big cluster, measured: how fast it fills, what it costs in memory and time, how it lives under churn.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/time.h"

namespace kybern::sim {

struct ScaleOptions {
  std::uint64_t seed = 1;
  int nodes = 1000, pods = 10000;
  int pods_per_deployment = 100;
  Duration live{};                    // after it is filled
  int changes_per_minute = 0;         // scale, update, delete a pod: spread over the deployments
  int fill_limit_seconds = 3600;      // simulated
  std::string scenario;               // "": none; "update": all deployments at once; "drain": every tenth node; "zone": a zone is
                                      // lost for ten minutes; "namespaces": many come and go; "pause": the controllers stop for an hour
  int namespaces = 1000;              // of that scenario
  int request_ms = 0;                 // the longest that a request travels; 0: no time passes
  bool narrate = true;                // progress on standard error
  std::function<void()> life_begins;  // told so: for a profile of that alone
};

// The report, lines of text; false in `well` when something did not come to rest or was violated.
std::string run_scale(const ScaleOptions& options, bool& well);

}  // namespace kybern::sim
