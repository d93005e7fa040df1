// OpenSSL's objects as owned handles, and reading them from PEM. For the inside of this room: TLS contexts, certificates
// and tokens all begin here. No function asks for a pass phrase: an encrypted key is an error.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct bio_st;
struct evp_pkey_st;
struct x509_st;

namespace kybern::net {

struct FreeBio {
  void operator()(bio_st* bio) const;
};
struct FreeKey {
  void operator()(evp_pkey_st* key) const;
};
struct FreeX509 {
  void operator()(x509_st* certificate) const;
};
using BioPtr = std::unique_ptr<bio_st, FreeBio>;
using KeyPtr = std::unique_ptr<evp_pkey_st, FreeKey>;
using X509Ptr = std::unique_ptr<x509_st, FreeX509>;

BioPtr memory_bio(std::string_view bytes);  // reads `bytes`, which must outlive it
BioPtr memory_bio();                        // empty, for writing
std::string bio_text(bio_st* bio);          // what was written

// Empties the thread's error queue and returns the reason of the first entry ("" when there is none).
std::string openssl_reason();
// Empties it: SSL_get_error() wants it empty before each call. It nearly always is, and to clear it takes long.
void forget_errors();

// "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY".
Result<KeyPtr> read_private_key(std::string_view pem);
// "PUBLIC KEY", "RSA PUBLIC KEY", the key of a "CERTIFICATE", or the public half of a private key.
Result<KeyPtr> read_public_key(std::string_view pem);
// All certificates of a bundle, in order. Code::invalid when there is none or one is malformed.
Result<std::vector<X509Ptr>> read_certificates(std::string_view pem);

}  // namespace kybern::net
