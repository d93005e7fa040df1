// Results as a table for people and as JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "bench/load.h"

namespace kybern::bench {

std::string table_of(const std::vector<Measured>& results);
std::string json_of(const std::vector<Measured>& results);

}  // namespace kybern::bench
