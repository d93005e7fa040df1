#include <cstddef>
#include <cstdint>

#include "client/watch_lines.h"

// The same bytes whole and in two pieces give the same number of events.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  kybern::client::WatchLines whole, halves;
  const auto all = whole.feed(text);
  const auto first = halves.feed(text.substr(0, size / 2));
  if (!first) return 0;
  const auto second = halves.feed(text.substr(size / 2));
  if (all && second && all->size() != first->size() + second->size()) __builtin_trap();
  return 0;
}
