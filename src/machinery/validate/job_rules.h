// What the rules of a job's spec and of its status share. Not for other rooms.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kybern::rules {

// "1,3-5,7": indexes of a job's pods, all below `completions` and growing.
struct Indexes {
  std::int64_t total = 0;
  std::string error;  // empty: none
};
Indexes read_indexes(std::string_view text, std::int64_t completions);

}  // namespace kybern::rules
