// Secret-key encryption, by OpenSSL: AES in GCM and CBC, and the derivation of keys (RFC 5869).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kybern::net {

inline constexpr std::size_t gcm_nonce_bytes = 12, gcm_tag_bytes = 16, aes_block_bytes = 16;

// `key`: 16, 24 or 32 bytes. The result of seal_gcm is nonce, ciphertext and tag; the nonce is random. A wrong key, other
// `associated` data or a changed byte: Code::invalid "cipher: message authentication failed".
Result<std::string> seal_gcm(std::string_view key, std::string_view plain, std::string_view associated);
Result<std::string> open_gcm(std::string_view key, std::string_view sealed, std::string_view associated);
// Random IV, then whole blocks, padded as PKCS #7 says. There is nothing that tells a wrong key but its padding.
Result<std::string> seal_cbc(std::string_view key, std::string_view plain);
Result<std::string> open_cbc(std::string_view key, std::string_view sealed);
std::string hmac_sha256(std::string_view key, std::string_view text);  // 32 raw bytes
// XSalsa20 and Poly1305 (NaCl's secretbox): a key of 32 bytes, a nonce of 24; the result is tag and ciphertext. A wrong key
// or a changed byte: Code::invalid "cipher: message authentication failed".
Result<std::string> seal_secretbox(std::string_view key, std::string_view nonce, std::string_view plain);
Result<std::string> open_secretbox(std::string_view key, std::string_view nonce, std::string_view sealed);
// HKDF-Expand with SHA-256.
Result<std::string> hkdf_expand(std::string_view pseudorandom_key, std::string_view info, std::size_t bytes);

}  // namespace kybern::net
