// Whether a server could serve with a certificate and a key.
#pragma once

#include <string>
#include <string_view>

namespace kybern::net {

// What Go's crypto/tls says of the pair (the first certificate, and the first key), "" when it is one:
// "tls: private key does not match public key".
std::string tls_pair_fault(std::string_view certificate_pem, std::string_view key_pem);

}  // namespace kybern::net
