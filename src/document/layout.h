// How values lie in a block, for what reads them: document.h. Nothing outside this room names any of it.
#pragma once

#include <cstdint>

namespace kybern::detail {

struct Slot {
  std::uint32_t low;   // tag, inline bytes or length
  std::uint32_t high;  // inline bytes or offset
};

enum Tag : std::uint32_t {
  tag_null = 0,
  tag_boolean = 1,         // high: 0 or 1
  tag_inline_integer = 2,  // 56 bits above the tag byte
  tag_far_integer = 3,     // high: offset of 8 bytes
  tag_number = 4,          // high: offset of 8 bytes
  tag_inline_string = 5,   // bits 4..7: length; bytes 1..7: the text
  tag_far_string = 6,      // length in low >> 8, high: offset
  tag_array = 7,           // count in low >> 8, high: offset of slots
  tag_object = 8,          // count in low >> 8, high: offset of members
  tag_sorted_object = 9,   // the same, members in order of their keys
};

struct MemberSlot {
  std::uint32_t key;  // a name's id, or far_key | offset of {length byte, or 255 and 4 bytes; text}
  Slot slot;
};
static_assert(sizeof(MemberSlot) == 12);
constexpr std::uint32_t far_key = 0x80000000u;

inline std::uint32_t tag_of(Slot s) { return s.low & 15u; }
inline std::uint32_t count_of(Slot s) { return s.low >> 8; }

inline std::int64_t inline_integer(Slot s) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(s.high) << 32 | s.low) >> 8; }

}  // namespace kybern::detail
