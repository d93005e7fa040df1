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

constexpr std::size_t max_count = (1u << 24) - 1;  // of string bytes, items, members
constexpr std::size_t max_block_bytes = 0x7fffffffu;
constexpr std::size_t sort_above = 32;  // objects with more members than this are sorted

inline const std::byte* bytes_of(const Block* b) { return reinterpret_cast<const std::byte*>(b); }

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

// One holder less; nothing when there is no block.
void release(const Block* block);

}  // namespace kybern::detail
