#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "machinery/fields.h"
#include "machinery/labels.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto selector = kybern::LabelSelector::parse(text)) {
    std::string printed = selector->str();
    auto again = kybern::LabelSelector::parse(printed);
    KYBERN_CHECK(again && again->str() == printed, "a printed selector parses to itself");
  }
  if (auto selector = kybern::FieldSelector::parse(text)) (void)selector->str();
  return 0;
}
