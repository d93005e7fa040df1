#include "document/prefetch.h"

#include <algorithm>

#include "document/block.h"

namespace kybern {

constexpr std::size_t line_bytes = 64, most_bytes = 8 << 10;

void prefetch_head(Value value) {
  if (value.exists()) __builtin_prefetch(detail::ValueParts(value).block);
}

void prefetch(Value value) {
  if (!value.exists()) return;
  const detail::Block* block = detail::ValueParts(value).block;
  const std::byte* at = detail::bytes_of(block);
  for (std::size_t i = 0, n = std::min<std::size_t>(block->size, most_bytes); i < n; i += line_bytes) __builtin_prefetch(at + i);
}

}  // namespace kybern
