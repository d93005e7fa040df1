#include "net/cipher.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <memory>

#include "net/certificates.h"

namespace kybern::net {
namespace {

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* in(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* out(std::string& bytes, std::size_t at) { return reinterpret_cast<unsigned char*>(bytes.data()) + at; }

const EVP_CIPHER* gcm_of(std::string_view key) {
  return key.size() == 16 ? EVP_aes_128_gcm() : key.size() == 24 ? EVP_aes_192_gcm() : key.size() == 32 ? EVP_aes_256_gcm() : nullptr;
}
const EVP_CIPHER* cbc_of(std::string_view key) {
  return key.size() == 16 ? EVP_aes_128_cbc() : key.size() == 24 ? EVP_aes_192_cbc() : key.size() == 32 ? EVP_aes_256_cbc() : nullptr;
}

std::unexpected<Error> wrong_key_size() { return fail(Code::invalid, "a key of AES has 16, 24 or 32 bytes"); }
std::unexpected<Error> failure(Code code, const char* what) {
  ERR_clear_error();
  return fail(code, what);
}

}  // namespace

Result<std::string> seal_gcm(std::string_view key, std::string_view plain, std::string_view associated) {
  const EVP_CIPHER* cipher = gcm_of(key);
  if (!cipher) return wrong_key_size();
  Context context(EVP_CIPHER_CTX_new());
  std::string sealed = random_bytes(gcm_nonce_bytes);
  sealed.resize(gcm_nonce_bytes + plain.size() + gcm_tag_bytes);
  int n = 0;
  bool ok = EVP_EncryptInit_ex(context.get(), cipher, nullptr, in(key), in(sealed)) == 1 &&
            EVP_EncryptUpdate(context.get(), nullptr, &n, in(associated), static_cast<int>(associated.size())) == 1 &&
            EVP_EncryptUpdate(context.get(), out(sealed, gcm_nonce_bytes), &n, in(plain), static_cast<int>(plain.size())) == 1 &&
            EVP_EncryptFinal_ex(context.get(), out(sealed, gcm_nonce_bytes + plain.size()), &n) == 1 &&
            EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, gcm_tag_bytes, out(sealed, gcm_nonce_bytes + plain.size())) == 1;
  if (!ok) return failure(Code::internal, "AES-GCM cannot encrypt");
  return sealed;
}

Result<std::string> open_gcm(std::string_view key, std::string_view sealed, std::string_view associated) {
  const EVP_CIPHER* cipher = gcm_of(key);
  if (!cipher) return wrong_key_size();
  if (sealed.size() < gcm_nonce_bytes + gcm_tag_bytes) return fail(Code::invalid, "the stored data was shorter than the required size");
  Context context(EVP_CIPHER_CTX_new());
  std::string plain(sealed.size() - gcm_nonce_bytes - gcm_tag_bytes, '\0');
  std::string tag(sealed.substr(sealed.size() - gcm_tag_bytes));
  int n = 0;
  bool ok = EVP_DecryptInit_ex(context.get(), cipher, nullptr, in(key), in(sealed)) == 1 &&
            EVP_DecryptUpdate(context.get(), nullptr, &n, in(associated), static_cast<int>(associated.size())) == 1 &&
            EVP_DecryptUpdate(context.get(), out(plain, 0), &n, in(sealed.substr(gcm_nonce_bytes)), static_cast<int>(plain.size())) == 1 &&
            EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, gcm_tag_bytes, tag.data()) == 1 &&
            EVP_DecryptFinal_ex(context.get(), out(tag, 0), &n) == 1;
  if (!ok) return failure(Code::invalid, "cipher: message authentication failed");
  return plain;
}

Result<std::string> seal_cbc(std::string_view key, std::string_view plain) {
  const EVP_CIPHER* cipher = cbc_of(key);
  if (!cipher) return wrong_key_size();
  Context context(EVP_CIPHER_CTX_new());
  std::string sealed = random_bytes(aes_block_bytes);
  sealed.resize(aes_block_bytes + (plain.size() / aes_block_bytes + 1) * aes_block_bytes);
  int n = 0, rest = 0;
  if (EVP_EncryptInit_ex(context.get(), cipher, nullptr, in(key), in(sealed)) != 1 ||
      EVP_EncryptUpdate(context.get(), out(sealed, aes_block_bytes), &n, in(plain), static_cast<int>(plain.size())) != 1 ||
      EVP_EncryptFinal_ex(context.get(), out(sealed, aes_block_bytes + static_cast<std::size_t>(n)), &rest) != 1)
    return failure(Code::internal, "AES-CBC cannot encrypt");
  return sealed;
}

Result<std::string> open_cbc(std::string_view key, std::string_view sealed) {
  const EVP_CIPHER* cipher = cbc_of(key);
  if (!cipher) return wrong_key_size();
  if (sealed.size() < 2 * aes_block_bytes) return fail(Code::invalid, "the stored data was shorter than the required size");
  if (sealed.size() % aes_block_bytes != 0) return fail(Code::invalid, "the stored data is not a multiple of the block size");
  Context context(EVP_CIPHER_CTX_new());
  std::string plain(sealed.size(), '\0');
  std::string_view blocks = sealed.substr(aes_block_bytes);
  int n = 0, rest = 0;
  if (EVP_DecryptInit_ex(context.get(), cipher, nullptr, in(key), in(sealed)) != 1 ||
      EVP_DecryptUpdate(context.get(), out(plain, 0), &n, in(blocks), static_cast<int>(blocks.size())) != 1 ||
      EVP_DecryptFinal_ex(context.get(), out(plain, static_cast<std::size_t>(n)), &rest) != 1)
    return failure(Code::invalid, "invalid padding on input");
  plain.resize(static_cast<std::size_t>(n + rest));
  return plain;
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::string mac(EVP_MAX_MD_SIZE, '\0');
  unsigned int bytes = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), in(text), text.size(), out(mac, 0), &bytes);
  mac.resize(bytes);
  return mac;
}

Result<std::string> hkdf_expand(std::string_view key, std::string_view info, std::size_t bytes) {
  struct FreeKdf {
    void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
    void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
  };
  std::unique_ptr<EVP_KDF, FreeKdf> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  std::unique_ptr<EVP_KDF_CTX, FreeKdf> context(EVP_KDF_CTX_new(kdf.get()));
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode), OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<char*>(key.data()), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, const_cast<char*>(info.data()), info.size()), OSSL_PARAM_construct_end()};
  std::string derived(bytes, '\0');
  if (!context || EVP_KDF_derive(context.get(), out(derived, 0), bytes, parameters) != 1)
    return failure(Code::internal, "HKDF cannot derive a key");
  return derived;
}

}  // namespace kybern::net
