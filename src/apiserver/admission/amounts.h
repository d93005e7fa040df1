// Amounts by name, as limits and quotas count them.
#pragma once

#include <map>
#include <string>

#include "document/document.h"
#include "machinery/quantity.h"

namespace kybern::apiserver::admission {

using Amounts = std::map<std::string, Quantity>;

Amounts amounts_of(Value object);                 // {"cpu": "1", ...}; malformed ones count as 0
void add(Amounts& to, const Amounts& more);
void raise(Amounts& to, const Amounts& at_least); // the greater of both, by name
// What a pod takes as a whole: its containers together or the greatest init container, and sidecars with both; amounts
// given for the pod itself win. `field`: "requests" or "limits". Overhead is added when `overhead`.
Amounts amounts_of_pod(Value pod_spec, std::string_view field, bool overhead);

}  // namespace kybern::apiserver::admission
