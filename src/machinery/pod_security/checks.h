// The rows of the standards: one per rule and the versions in which it holds.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "machinery/pod_security/policy.h"

namespace kybern::pod_security {

struct Subject {
  Value metadata, spec;
  std::vector<Value> containers;  // init containers first, then the others, then ephemeral ones
};

struct Check {
  std::string_view id;
  Level level;
  int since, until;            // of v1.since up to but not v1.until
  std::string_view overrides;  // a check of baseline that this one stands for
  bool (*violated)(const Subject& subject, Finding& out);
};

std::span<const Check> checks();  // baseline first, by id in each level; that is the order of findings

}  // namespace kybern::pod_security
