// ResourceQuota: counts what the objects of a namespace take, and says so in the quota's status. Admission counts what is
// created on top; here it is counted anew when something went.
#pragma once

#include <string>
#include <vector>

#include "controllers/plan.h"
#include "machinery/quota/usage.h"

namespace kybern::controllers::resourcequota {

inline constexpr Duration resync = std::chrono::minutes(5);         // whatever happened
inline constexpr Duration unread_retry = std::chrono::seconds(10);  // when a kind could not be read

struct Counted {
  std::string group, version, plural;
  std::vector<Document> objects;
};

// The kinds that a quota counts, without objects: what has to be looked at.
std::vector<Counted> counted_by(Value quota);
Plan reconcile(const Document& quota, const std::vector<Counted>& counted);
bool changed(Value before, Value now);  // so that it has to be counted again

}  // namespace kybern::controllers::resourcequota
