// Numbers as texts, as Go prints them.
#pragma once

#include <cstdint>
#include <string>

namespace kybern::cel {

std::string number_text(double value);                   // 1, 0.5, 1e+21, NaN, +Inf
std::string fixed_text(double value, int precision);     // %.6f
std::string exponent_text(double value, int precision);  // %.6e
std::string duration_seconds_text(std::int64_t nanos);   // 90s, 1.5s

}  // namespace kybern::cel
