#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/jwks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)kybern::net::read_jwks({reinterpret_cast<const char*>(data), size});
  return 0;
}
