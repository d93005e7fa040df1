#include <cstddef>
#include <cstdint>
#include <string_view>

#include "apiserver/authn/oidc.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kybern;
  (void)apiserver::read_authentication_configuration(std::string_view(reinterpret_cast<const char*>(data), size), real_world());
  return 0;
}
