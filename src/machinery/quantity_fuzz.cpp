#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "machinery/quantity.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  auto quantity = kybern::Quantity::parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!quantity) return 0;
  auto again = kybern::Quantity::parse(quantity->str());
  KYBERN_CHECK(again && *again == *quantity, "a printed quantity parses to the same amount");
  kybern::Quantity sum = *quantity + *again;
  sum -= *again;
  KYBERN_CHECK(sum.sign() == quantity->sign(), "adding and taking away an amount changes nothing");
  return 0;
}
