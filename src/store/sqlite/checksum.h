// A 64-bit checksum of a row of the log, against bytes that the disk has turned. Not against a forger.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace kybern::store {

namespace detail {
inline std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}
inline std::uint64_t load(const char* p, std::size_t n) {
  std::uint64_t word = 0;
  std::memcpy(&word, p, n);  // little-endian machines, as all that we build for
  return word;
}
constexpr std::uint64_t odd_1 = 0xA24BAED4963EE407ull, odd_2 = 0x9FB21C651E98DF25ull;
}  // namespace detail

// Of the part that a writer knows before its revision: the key and the value ("" of a tombstone).
inline std::uint64_t content_checksum(std::string_view key, std::string_view value) {
  std::uint64_t h = key.size() * detail::odd_1 ^ value.size();
  for (std::string_view part : {key, value}) {
    const char* p = part.data();
    std::size_t n = part.size();
    for (; n >= 16; n -= 16, p += 16) h = detail::fold(detail::load(p, 8) ^ h ^ detail::odd_1, detail::load(p + 8, 8) ^ detail::odd_2);
    std::size_t first = n < 8 ? n : 8;
    if (n) h = detail::fold(detail::load(p, first) ^ h ^ detail::odd_2, detail::load(p + first, n - first) ^ detail::odd_1);
  }
  return h;
}

inline std::int64_t row_checksum(std::uint64_t content, std::int64_t revision) {
  return static_cast<std::int64_t>(detail::fold(content ^ detail::odd_2, static_cast<std::uint64_t>(revision) ^ detail::odd_1));
}

}  // namespace kybern::store
