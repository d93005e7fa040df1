// One plan carried out on a small cluster, with everything checked; and the search for a shorter plan that fails too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/plan.h"

namespace kybern::sim {

struct TrialOptions {
  PlanOptions plan;
  int nodes = 12;
  Duration rest_within = std::chrono::minutes(20);  // after the last fault everything is as it should be
  bool requests_take_time = true;
  bool narrate = false;  // every incident on standard output
};

struct TrialResult {
  std::vector<std::string> problems;  // empty: all is well
  std::uint64_t digest = 0, events = 0, calls = 0, changes = 0;
  std::uint64_t resumed = 0, expired = 0;  // watches that went on where they were, and that had to list anew
  Duration rested_after{};                 // the last incident
};
TrialResult carry_out(const Plan& plan, const TrialOptions& options);

// A part of the plan that fails still, from which nothing can be taken away (within so many trials).
Plan shorten(const Plan& plan, const TrialOptions& options, int trials);

std::string replay_command(const Plan& plan);  // of the program's `sim` command

}  // namespace kybern::sim
