// What parses is written, compact and indented, and read again as the same. The first writing may change numbers, as
// upstream's does: 1.0 becomes 1, and -0.0 by -0 the integer 0.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "document/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kybern;
  std::vector<std::string> duplicates;
  JsonOptions options;
  options.duplicates = &duplicates;
  auto document = parse_json({reinterpret_cast<const char*>(data), size}, options);
  if (!document) return 0;
  auto settled = parse_json(to_json(document->root()));
  if (settled) settled = parse_json(to_json(settled->root()));
  if (!settled) std::abort();
  const std::string text = to_json(settled->root());
  auto again = parse_json(text);
  if (!again || to_json(again->root()) != text || !(again->root() == settled->root())) std::abort();
  std::string indented;
  write_json_indented(settled->root(), indented);
  again = parse_json(indented);
  if (!again || to_json(again->root()) != text) std::abort();
  if (to_json(Draft(*settled)) != text) std::abort();
  return 0;
}
