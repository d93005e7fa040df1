// The cells of one row of a table, one for each column of the resource.
#pragma once

#include "apiserver/registry/served.h"
#include "base/time.h"

namespace kybern::apiserver {

Draft cells_of(const Served& served, Value object, Time now);

}  // namespace kybern::apiserver
