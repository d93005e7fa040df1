// Any bytes as a token: decoding must end, in bounds, and what it accepts must be three parts of base64url.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/strings.h"
#include "net/certificates.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view token(reinterpret_cast<const char*>(data), size);
  auto jwt = kybern::net::decode_jwt(token);
  if (jwt) {
    std::string again = kybern::base64url_encode(jwt->header_json) + "." + kybern::base64url_encode(jwt->claims_json) + ".";
    if (!token.starts_with(again)) std::abort();
  }
  static const std::string key = *kybern::net::public_key_pem(*kybern::net::new_private_key_pem());
  if (kybern::net::verify_jwt(token, {key})) std::abort();
  return 0;
}
