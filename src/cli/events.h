// When events happened.
#pragma once

#include <string>

#include "base/time.h"
#include "document/document.h"

namespace kybern::cli {

Time event_time(Value event);                  // the last time it was seen
std::string event_age(Value event, Time now);  // "5m", "10s (x3 over 2m)"

}  // namespace kybern::cli
