// What parses is written, and read again as the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "document/json.h"
#include "document/yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kybern;
  std::vector<std::string> duplicates;
  YamlOptions options;
  options.max_values = 100'000;
  options.duplicates = &duplicates;
  auto documents = parse_yaml({reinterpret_cast<const char*>(data), size}, options);
  if (!documents) return 0;
  for (const Document& document : *documents) {
    std::string text, second;
    write_yaml(document.root(), text);
    auto again = parse_yaml(text);
    if (!again || again->size() != 1) std::abort();
    write_yaml(again->front().root(), second);
    if (second != text) std::abort();
  }
  return 0;
}
