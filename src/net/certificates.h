// X.509 and tokens, by OpenSSL: the cluster's own CA, certificates signed by it, requests (PKCS #10), JWT.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace kybern::net {

struct KeyPair {
  std::string certificate_pem, key_pem;
};

struct CertificateSpec {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names, ip_addresses;
  bool server = false, client = false;  // extended key usages
  Time not_before, not_after;
  // Of sign_request: exactly these, in the words of certificates.k8s.io/v1 ("digital signature", "client auth"), instead of
  // `server` and `client` and their usual key usages. An unknown word: Code::invalid.
  std::vector<std::string> usages{};
};

Result<std::string> new_private_key_pem();  // EC P-256, PKCS #8
Result<KeyPair> new_ca(std::string_view common_name, Time not_before, Time not_after);
Result<KeyPair> issue(const KeyPair& ca, const CertificateSpec& spec);
Result<std::string> new_request(std::string_view private_key_pem,
                                const CertificateSpec& spec);  // PKCS #10; subject, names and usages from spec
// Subject and public key from the request; usages and times from spec; alternative names from spec, or when it has none
// from the request. A malformed request, or one not signed by its own key: Code::invalid.
Result<std::string> sign_request(const KeyPair& ca, std::string_view csr_pem, const CertificateSpec& spec);

struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> organizations, dns_names, ip_addresses, emails, uris;
  Time not_before, not_after;
  bool server = false, client = false, ca = false;
  std::string serial_hex;
};
Result<CertificateInfo> read_certificate(std::string_view pem);             // the first of a chain
Result<CertificateInfo> read_request(std::string_view csr_pem);             // signature checked; times are zero
bool issued_by(std::string_view certificate_pem, std::string_view ca_pem);  // by any CA of a bundle; times are not looked at

// JWT (RFC 7519) in the compact form. Claims are JSON text. The key's kind picks the algorithm: RSA of at least 2048 bits
// RS256, EC P-256, P-384 and P-521 ES256, ES384 and ES512. `kid` is the base64url SHA-256 of the public key's DER form
// (SubjectPublicKeyInfo), as upstream. A public key may be PEM of the key, of a certificate or of the private key.
Result<std::string> public_key_pem(std::string_view private_key_pem);
Result<std::string> key_id(std::string_view public_or_private_key_pem);
Result<std::string> sign_jwt(std::string_view private_key_pem, std::string_view claims_json);
struct Jwt {
  std::string header_json, claims_json;
};
Result<Jwt> decode_jwt(std::string_view token);  // no signature check
// Signature and form; times and audience are the caller's. `algorithms`: that are taken; none: those that keys sign with
// (above). Code::invalid: not a well-formed token; Code::forbidden: another algorithm ("none" too), or no key of the
// algorithm's kind made the signature.
Result<Jwt> verify_jwt(std::string_view token, const std::vector<std::string>& public_keys_pem,
                       const std::vector<std::string>& algorithms = {});
const std::vector<std::string>& jwt_algorithms();  // all that can be asked for: RS256 to RS512, ES256 to ES512, PS256 to PS512
Result<std::string> jwks_json(const std::vector<std::string>& public_keys_pem);  // RFC 7517

std::string sha256_hex(std::string_view bytes);
std::string sha256(std::string_view bytes);  // 32 raw bytes
bool equal_constant_time(std::string_view a, std::string_view b);
std::string random_bytes(std::size_t count);  // from the system's generator; for secrets

}  // namespace kybern::net
