#include "net/pem.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <climits>

#include "base/check.h"

namespace kybern::net {
namespace {

// OpenSSL would otherwise ask on the terminal.
int no_pass_phrase(char*, int, int, void*) { return -1; }

constexpr std::size_t max_pem_bytes = 4 << 20;

Result<BioPtr> bounded_bio(std::string_view pem) {
  if (pem.size() > max_pem_bytes) return fail(Code::too_large, fmt::format("PEM data is larger than {} bytes", max_pem_bytes));
  return memory_bio(pem);
}

}  // namespace

void FreeBio::operator()(bio_st* bio) const { BIO_free_all(bio); }
void FreeKey::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }
void FreeX509::operator()(x509_st* certificate) const { X509_free(certificate); }

BioPtr memory_bio(std::string_view bytes) {
  KYBERN_CHECK(bytes.size() <= INT_MAX, "PEM and DER inputs are bounded by their callers");
  // A zero length means "measure the string" to OpenSSL only when it is negative, so an empty view is safe; null is not.
  BioPtr bio(BIO_new_mem_buf(bytes.data() == nullptr ? "" : bytes.data(), static_cast<int>(bytes.size())));
  KYBERN_CHECK(bio != nullptr, "memory for a BIO");
  return bio;
}

BioPtr memory_bio() {
  BioPtr bio(BIO_new(BIO_s_mem()));
  KYBERN_CHECK(bio != nullptr, "memory for a BIO");
  return bio;
}

std::string bio_text(bio_st* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

std::string openssl_reason() {
  std::string reason;
  while (unsigned long error = ERR_get_error()) {
    if (!reason.empty()) continue;
    if (const char* text = ERR_reason_error_string(error)) {
      reason = text;
    } else {
      reason = fmt::format("error {:08X}", error);
    }
  }
  return reason;
}

void forget_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

Result<KeyPtr> read_private_key(std::string_view pem) {
  auto bio = bounded_bio(pem);
  if (!bio) return std::unexpected(bio.error());
  ERR_clear_error();
  KeyPtr key(PEM_read_bio_PrivateKey(bio->get(), nullptr, no_pass_phrase, nullptr));
  if (key) {
    ERR_clear_error();
    return key;
  }
  std::string reason = openssl_reason();
  if (pem.find("-----BEGIN ENCRYPTED PRIVATE KEY") != pem.npos || pem.find("Proc-Type: 4,ENCRYPTED") != pem.npos)
    return fail(Code::invalid, "the private key is encrypted; only unencrypted keys are supported");
  if (pem.find("PRIVATE KEY-----") == pem.npos) return fail(Code::invalid, "data does not contain a PEM private key");
  return fail(Code::invalid, fmt::format("malformed PEM private key: {}", reason));
}

Result<KeyPtr> read_public_key(std::string_view pem) {
  if (pem.find("PRIVATE KEY-----") != pem.npos) return read_private_key(pem);
  if (pem.find("-----BEGIN CERTIFICATE-----") != pem.npos) {
    auto certificates = read_certificates(pem);
    if (!certificates) return std::unexpected(certificates.error());
    KeyPtr key(X509_get_pubkey(certificates->front().get()));
    if (!key) return fail(Code::invalid, fmt::format("the certificate's public key cannot be read: {}", openssl_reason()));
    return key;
  }
  auto bio = bounded_bio(pem);
  if (!bio) return std::unexpected(bio.error());
  ERR_clear_error();
  KeyPtr key;
  if (pem.find("-----BEGIN RSA PUBLIC KEY-----") != pem.npos) {  // PKCS #1
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* der = nullptr;
    long size = 0;
    if (PEM_read_bio(bio->get(), &name, &header, &der, &size) == 1) {
      const unsigned char* cursor = der;
      key.reset(d2i_PublicKey(EVP_PKEY_RSA, nullptr, &cursor, size));
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
  } else {
    key.reset(PEM_read_bio_PUBKEY(bio->get(), nullptr, no_pass_phrase, nullptr));
  }
  if (!key) {
    std::string reason = openssl_reason();
    if (pem.find("PUBLIC KEY-----") == pem.npos) return fail(Code::invalid, "data does not contain any valid RSA or ECDSA public keys");
    return fail(Code::invalid, fmt::format("malformed PEM public key: {}", reason));
  }
  ERR_clear_error();
  return key;
}

Result<std::vector<X509Ptr>> read_certificates(std::string_view pem) {
  auto bio = bounded_bio(pem);
  if (!bio) return std::unexpected(bio.error());
  ERR_clear_error();
  std::vector<X509Ptr> certificates;
  for (;;) {
    X509Ptr certificate(PEM_read_bio_X509(bio->get(), nullptr, no_pass_phrase, nullptr));
    if (!certificate) break;
    certificates.push_back(std::move(certificate));
  }
  // The loop ends with "no start line" at the end of good input, and with something else at a malformed block.
  unsigned long error = ERR_peek_last_error();
  bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  std::string reason = openssl_reason();
  if (!at_end) return fail(Code::invalid, fmt::format("malformed PEM certificate: {}", reason));
  if (certificates.empty()) return fail(Code::invalid, "data does not contain any valid certificates");
  return certificates;
}

}  // namespace kybern::net
