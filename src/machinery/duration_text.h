// Durations as the tables of `kubectl get` print them: 5s, 3m12s, 2d3h, 400d, 2y100d.
#pragma once

#include <string>

#include "base/time.h"

namespace kybern {

// Two units at most, fewer the longer it is. "<invalid>" for what lies more than a second ahead.
std::string human_duration(Duration age);
// The age of something since `t`: "<unknown>" for the zero time.
std::string human_age(Time t, Time now);

}  // namespace kybern
