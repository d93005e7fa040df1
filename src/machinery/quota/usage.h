// What objects take of a ResourceQuota: the names under which it is counted, and how much. Shared by admission, which counts
// what is to come, and the quota controller, which counts what is there.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/quantity.h"

namespace kybern::quota {

using Amounts = std::map<std::string, Quantity>;

Amounts amounts_of(Value object);  // {"cpu": "1", ...}; malformed ones count as 0
void add(Amounts& to, const Amounts& more);
void raise(Amounts& to, const Amounts& at_least);  // the greater of both, by name
// What a pod takes as a whole: its containers together or the greatest init container, and sidecars with both; amounts
// given for the pod itself win. `field`: "requests" or "limits". Overhead is added when `overhead`.
Amounts amounts_of_pod(Value pod_spec, std::string_view field, bool overhead);

struct Kind {
  std::string_view group, plural;
};
std::string count_name(const Kind& kind);  // count/deployments.apps
// What a pod, or one of its containers, takes in the names of quotas.
Amounts compute_usage(const Amounts& requests, const Amounts& limits);
Amounts usage_of(const Kind& kind, Value object);
// Whether a kind's usage can be counted under a quota's name, whatever the object says.
bool tracks(const Kind& kind, std::string_view name);
bool in_scopes(const Kind& kind, Value quota, Value object);

}  // namespace kybern::quota
