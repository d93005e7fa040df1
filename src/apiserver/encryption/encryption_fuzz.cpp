// The parsers of encryption: the configuration's file, and the messages of a key service.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "apiserver/encryption/encryption.h"
#include "apiserver/encryption/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kybern;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)apiserver::encryption::read_message(text);
  (void)apiserver::encryption::read_configuration(text, real_world());
  return 0;
}
