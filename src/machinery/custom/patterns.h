// Compiled patterns of schemas, shared: a schema is walked where it lies and has no room for them.
#pragma once

#include <memory>
#include <string_view>

#include "machinery/cel/regex.h"

namespace kybern::custom {

constexpr std::size_t shared_patterns_max = 4096;

std::shared_ptr<const cel::Regex> shared_pattern(std::string_view pattern);

}  // namespace kybern::custom
