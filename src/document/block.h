// The inside of a block: only this room's .cpp files include it. See document.h for the layout.
#pragma once

#include <atomic>
#include <cstring>

#include "base/check.h"
#include "document/document.h"
#include "document/names_table.h"

namespace kybern::detail {

struct Block {
  mutable std::atomic<std::uint32_t> references;
  std::uint32_t size;  // of the whole block, this header included
  Slot root;
};
static_assert(sizeof(Block) == 16);

// What a Value is made of, for what walks slots itself.
struct ValueParts {
  explicit ValueParts(Value value) : block(value.block_), slot(value.slot_) {}
  const Block* block;
  const Slot* slot;
};

enum Tag : std::uint32_t {
  tag_null = 0,
  tag_boolean = 1,        // high: 0 or 1
  tag_inline_integer = 2, // 56 bits above the tag byte
  tag_far_integer = 3,    // high: offset of 8 bytes
  tag_number = 4,         // high: offset of 8 bytes
  tag_inline_string = 5,  // bits 4..7: length; bytes 1..7: the text
  tag_far_string = 6,     // length in low >> 8, high: offset
  tag_array = 7,          // count in low >> 8, high: offset of slots
  tag_object = 8,         // count in low >> 8, high: offset of members
  tag_sorted_object = 9,  // the same, members in order of their keys
};

struct MemberSlot {
  std::uint32_t key;  // a name's id, or far_key | offset of {length byte, or 255 and 4 bytes; text}
  Slot slot;
};
static_assert(sizeof(MemberSlot) == 12);

constexpr std::uint32_t far_key = 0x80000000u;
constexpr std::size_t max_count = (1u << 24) - 1;    // of string bytes, items, members
constexpr std::size_t max_block_bytes = 0x7fffffffu;
constexpr std::size_t sort_above = 32;               // objects with more members than this are sorted

inline std::uint32_t tag_of(Slot s) { return s.low & 15u; }
inline std::uint32_t count_of(Slot s) { return s.low >> 8; }
inline const std::byte* bytes_of(const Block* b) { return reinterpret_cast<const std::byte*>(b); }

inline std::int64_t inline_integer(Slot s) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(s.high) << 32 | s.low) >> 8;
}

inline std::string_view key_text(const Block* b, std::uint32_t key) {
  if (!(key & far_key)) return known_names[key];
  const auto* p = reinterpret_cast<const unsigned char*>(bytes_of(b) + (key & ~far_key));
  std::uint32_t length = *p++;
  if (length == 255) {
    std::memcpy(&length, p, 4);
    p += 4;
  }
  return {reinterpret_cast<const char*>(p), length};
}

// Index into known_names, or far_key when the text is no name of the API.
std::uint32_t name_id(std::string_view text);

}  // namespace kybern::detail
