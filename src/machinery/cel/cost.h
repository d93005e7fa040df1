// The units in which upstream counts what an expression costs.
#pragma once

#include <cmath>
#include <cstdint>

namespace kybern::cel {

inline constexpr double character_cost = 0.1;  // of one that is walked
inline constexpr double pattern_cost = 0.25;   // of a character of a regular expression

// Rounded up; what is beyond the range stays at its end.
inline std::uint64_t scaled(std::uint64_t size, double factor) {
  const double v = std::ceil(static_cast<double>(size) * factor);
  return v >= 18446744073709551616.0 ? ~0ull : static_cast<std::uint64_t>(v);
}

}  // namespace kybern::cel
