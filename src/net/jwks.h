// A set of public keys as JSON (RFC 7517), as issuers of tokens publish it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kybern::net {

struct WebKey {
  std::string id;   // kid, may be empty
  std::string pem;  // PUBLIC KEY
};
// RSA keys and those of P-256, P-384 and P-521 that are for signatures; others are left out. Code::invalid: not a key set.
Result<std::vector<WebKey>> read_jwks(std::string_view json);

}  // namespace kybern::net
