#include "machinery/budget.h"

namespace kybern {
namespace {

void set_condition(Draft& status, std::string_view value, std::string_view reason, std::string_view message, Time now) {
  Draft made = Draft::object({{"type", "DisruptionAllowed"},
                              {"status", value},
                              {"lastTransitionTime", format_rfc3339(now)},
                              {"reason", reason},
                              {"message", message}});
  if (const Draft* seen = status.find("observedGeneration")) made["observedGeneration"] = *seen;
  Draft& conditions = status["conditions"];
  if (!conditions.is_array()) conditions = Draft::array();
  for (Draft& one : conditions.items()) {
    const Draft* type = one.find("type");
    if (!type || type->as_string() != "DisruptionAllowed") continue;
    const Draft *before = one.find("status"), *since = one.find("lastTransitionTime");
    if (before && since && before->as_string() == value) made["lastTransitionTime"] = *since;
    one = std::move(made);
    return;
  }
  conditions.push_back(std::move(made));
}

}  // namespace

void set_disruption_allowed(Draft& status, Time now) {
  const Draft* allowed = status.find("disruptionsAllowed");
  if (allowed && allowed->as_int() > 0) set_condition(status, "True", "SufficientPods", "", now);
  else set_condition(status, "False", "InsufficientPods", "", now);
}

void set_disruption_sync_failed(Draft& status, std::string_view why, Time now) { set_condition(status, "False", "SyncFailed", why, now); }

}  // namespace kybern
