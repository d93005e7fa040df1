// X.509 and tokens, by OpenSSL: the cluster's own CA, certificates signed by it, requests (PKCS #10), JWT (RS256, ES256).
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace kybern::net {

struct KeyPair { std::string certificate_pem, key_pem; };

struct CertificateSpec {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names, ip_addresses;
  bool server = false, client = false;  // extended key usages
  Time not_before, not_after;
};

Result<std::string> new_private_key_pem();                     // EC P-256, PKCS #8
Result<KeyPair> new_ca(std::string_view common_name, Time not_before, Time not_after);
Result<KeyPair> issue(const KeyPair& ca, const CertificateSpec& spec);
Result<std::string> sign_request(const KeyPair& ca, std::string_view csr_pem, const CertificateSpec& spec);  // subject and public key from the request; usages and times from spec

struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> organizations, dns_names, ip_addresses;
  Time not_before, not_after;
  bool server = false, client = false, ca = false;
  std::string serial_hex;
};
Result<CertificateInfo> read_certificate(std::string_view pem);
Result<CertificateInfo> read_request(std::string_view csr_pem);   // signature checked; times are zero
bool issued_by(std::string_view certificate_pem, std::string_view ca_pem);

// JWT. Claims are JSON text. The key's kind picks the algorithm; `kid` is the hash of the public key (RFC 7638 style).
Result<std::string> public_key_pem(std::string_view private_key_pem);
Result<std::string> key_id(std::string_view public_or_private_key_pem);
Result<std::string> sign_jwt(std::string_view private_key_pem, std::string_view claims_json);
struct Jwt { std::string header_json, claims_json; };
Result<Jwt> decode_jwt(std::string_view token);                                        // no signature check
Result<Jwt> verify_jwt(std::string_view token, const std::vector<std::string>& public_keys_pem);  // signature and form; times and audience are the caller's
Result<std::string> jwks_json(const std::vector<std::string>& public_keys_pem);        // RFC 7517

std::string sha256_hex(std::string_view bytes);
std::string sha256(std::string_view bytes);          // 32 raw bytes
bool equal_constant_time(std::string_view a, std::string_view b);
std::string random_bytes(std::size_t count);         // from the system's generator; for secrets

}  // namespace kybern::net
