// Copies of short texts in line: two words that overlap are quicker than a call.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>

namespace kybern {

namespace detail {

template <std::size_t width>
inline void copy_ends(char* to, const char* from, std::size_t count) {
  std::array<char, width> first, last;
  std::memcpy(&first, from, width);
  std::memcpy(&last, from + count - width, width);
  std::memcpy(to, &first, width);
  std::memcpy(to + count - width, &last, width);
}

}  // namespace detail

// As std::memcpy, but `from` may be null when `count` is 0.
inline void copy_short(void* target, const char* from, std::size_t count) {
  auto* to = static_cast<char*>(target);
  if (count > 32) {
    std::memcpy(to, from, count);
  } else if (count >= 16) {
    detail::copy_ends<16>(to, from, count);
  } else if (count >= 8) {
    detail::copy_ends<8>(to, from, count);
  } else if (count >= 4) {
    detail::copy_ends<4>(to, from, count);
  } else if (count > 0) {
    to[0] = from[0];
    to[count / 2] = from[count / 2];
    to[count - 1] = from[count - 1];
  }
}

}  // namespace kybern
