// The condition DisruptionAllowed of a PodDisruptionBudget's status (policy/v1): the controller writes it, and so does an
// eviction that takes the last disruption.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/time.h"
#include "document/document.h"

namespace kybern {

// SufficientPods or InsufficientPods, by how many disruptions are allowed; the time changes with the status only.
void set_disruption_allowed(Draft& status, Time now);
// The number could not be found out: why.
void set_disruption_sync_failed(Draft& status, std::string_view why, Time now);

}  // namespace kybern
