// Tokens (RFC 7515, 7517, 7519): the part of certificates.h that signs and verifies JSON.
#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/check.h"
#include "base/strings.h"
#include "document/json.h"
#include "net/certificates.h"
#include "net/pem.h"

namespace kybern::net {
namespace {

constexpr std::size_t max_jwt_bytes = 128 << 10;  // a service account's token is about 1 KiB
constexpr std::size_t max_header_depth = 16;
constexpr std::size_t max_cached_keys = 64;
constexpr int min_rsa_bits = 2048;  // RFC 7518, section 3.3

// RFC 7518, section 3.1. `curve`: of ECDSA, whose signatures are two numbers of `coordinate_bytes` each.
struct Algorithm {
  std::string_view name;
  const EVP_MD* (*digest)();
  bool probabilistic = false;  // RSASSA-PSS
  int curve = NID_undef;
  std::size_t coordinate_bytes = 0;
  std::string_view curve_name = {};  // in a JWK
  bool elliptic() const { return curve != NID_undef; }
};
constexpr Algorithm algorithms[] = {{"RS256", EVP_sha256},
                                    {"RS384", EVP_sha384},
                                    {"RS512", EVP_sha512},
                                    {"ES256", EVP_sha256, false, NID_X9_62_prime256v1, 32, "P-256"},
                                    {"ES384", EVP_sha384, false, NID_secp384r1, 48, "P-384"},
                                    {"ES512", EVP_sha512, false, NID_secp521r1, 66, "P-521"},
                                    {"PS256", EVP_sha256, true},
                                    {"PS384", EVP_sha384, true},
                                    {"PS512", EVP_sha512, true}};
constexpr const Algorithm& rs256 = algorithms[0];

const Algorithm* find_algorithm(std::string_view name) {
  for (const Algorithm& one : algorithms)
    if (one.name == name) return &one;
  return nullptr;
}

// A key, and what it signs with. An RSA key verifies all of RSA.
struct SigningKey {
  KeyPtr key;
  const Algorithm* algorithm;
  std::string id;
  bool fits(const Algorithm& other) const { return algorithm->curve == other.curve; }
};

Result<const Algorithm*> algorithm_of(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA")) {
    if (EVP_PKEY_get_bits(key) < min_rsa_bits)
      return fail(Code::invalid, fmt::format("an RSA key for tokens must have at least {} bits", min_rsa_bits));
    return &rs256;
  }
  char group[64] = "";
  std::size_t length = 0;
  if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &length) == 1) {
    int nid = OBJ_sn2nid(group);
    if (nid == NID_undef) nid = EC_curve_nist2nid(group);
    for (const Algorithm& one : algorithms)
      if (one.elliptic() && one.curve == nid) return &one;
  }
  return fail(Code::unsupported, "a key for tokens must be RSA or EC P-256, P-384 or P-521");
}

std::string id_of(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  KYBERN_CHECK(size > 0, "a key that was read can be written");
  std::string id = base64url_encode(sha256({reinterpret_cast<char*>(der), static_cast<std::size_t>(size)}));
  OPENSSL_free(der);
  return id;
}

Result<SigningKey> make_key(Result<KeyPtr> key) {
  if (!key) return std::unexpected(key.error());
  auto algorithm = algorithm_of(key->get());
  if (!algorithm) return std::unexpected(algorithm.error());
  std::string id = id_of(key->get());
  return SigningKey{std::move(*key), *algorithm, std::move(id)};
}

// Reading a PEM key takes OpenSSL longer than checking a signature with it, and the same few keys are used for every
// request: keys once read are kept, by their text.
class KeyCache {
 public:
  using Entry = std::shared_ptr<const SigningKey>;

  Result<Entry> private_key(std::string_view pem) {
    return get("private " + std::string(pem), [pem] { return read_private_key(pem); });
  }
  Result<Entry> public_key(std::string_view pem) {
    return get("public " + std::string(pem), [pem] { return read_public_key(pem); });
  }

 private:
  template <class Read>
  Result<Entry> get(std::string name, Read read) {
    {
      std::lock_guard lock(mutex_);
      if (auto found = entries_.find(name); found != entries_.end()) return found->second;
    }
    auto made = make_key(read());
    if (!made) return std::unexpected(made.error());
    auto entry = std::make_shared<const SigningKey>(std::move(*made));
    std::lock_guard lock(mutex_);
    if (entries_.size() >= max_cached_keys) entries_.clear();
    entries_.emplace(std::move(name), entry);
    return entry;
  }

  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
};

KeyCache& key_cache() {
  static auto* cache = new KeyCache;  // never destroyed: threads may verify until the very end
  return *cache;
}

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using DigestPtr = std::unique_ptr<EVP_MD_CTX, FreeDigest>;
struct FreeSignature {
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
};
using SignaturePtr = std::unique_ptr<ECDSA_SIG, FreeSignature>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

std::string fixed_width(const BIGNUM* number, std::size_t width) {
  std::string bytes(width, '\0');
  KYBERN_CHECK(BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(width)) >= 0,
               "the number is smaller than its field");
  return bytes;
}

// JOSE writes an ECDSA signature as r and s, each as wide as a coordinate (RFC 7518, section 3.4); OpenSSL as DER.
Result<std::string> raw_from_der(std::string_view der, std::size_t coordinate_bytes) {
  const unsigned char* cursor = bytes_of(der);
  SignaturePtr signature(d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(der.size())));
  if (!signature) return fail(Code::internal, fmt::format("cannot read a signature: {}", openssl_reason()));
  return fixed_width(ECDSA_SIG_get0_r(signature.get()), coordinate_bytes) +
         fixed_width(ECDSA_SIG_get0_s(signature.get()), coordinate_bytes);
}

std::string der_from_raw(std::string_view raw, std::size_t coordinate_bytes) {
  SignaturePtr signature(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(bytes_of(raw), static_cast<int>(coordinate_bytes), nullptr);
  BIGNUM* s = BN_bin2bn(bytes_of(raw) + coordinate_bytes, static_cast<int>(coordinate_bytes), nullptr);
  ECDSA_SIG_set0(signature.get(), r, s);
  unsigned char* der = nullptr;
  int size = i2d_ECDSA_SIG(signature.get(), &der);
  std::string bytes(reinterpret_cast<char*>(der), static_cast<std::size_t>(std::max(size, 0)));
  OPENSSL_free(der);
  return bytes;
}

Result<std::string> sign(const SigningKey& key, std::string_view text) {
  DigestPtr context(EVP_MD_CTX_new());
  std::size_t size = 0;
  std::string signature;
  bool done = EVP_DigestSignInit(context.get(), nullptr, key.algorithm->digest(), nullptr, key.key.get()) == 1 &&
              EVP_DigestSign(context.get(), nullptr, &size, bytes_of(text), text.size()) == 1;
  if (done) {
    signature.resize(size);
    done = EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes_of(text), text.size()) == 1;
  }
  if (!done) return fail(Code::internal, fmt::format("cannot sign a token: {}", openssl_reason()));
  signature.resize(size);
  return key.algorithm->elliptic() ? raw_from_der(signature, key.algorithm->coordinate_bytes) : Result<std::string>(std::move(signature));
}

bool verify(const SigningKey& key, const Algorithm& by, std::string_view text, std::string_view signature) {
  std::string der;
  if (by.elliptic()) {
    if (signature.size() != 2 * by.coordinate_bytes) return false;
    der = der_from_raw(signature, by.coordinate_bytes);
    signature = der;
  }
  DigestPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* padding = nullptr;  // the digest's
  bool good = EVP_DigestVerifyInit(context.get(), &padding, by.digest(), nullptr, key.key.get()) == 1 &&
              (!by.probabilistic || (EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 &&
                                     EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
              EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(text), text.size()) == 1;
  ERR_clear_error();
  return good;
}

// One spelling only: no padding, no line breaks, and no stray bits after the last byte.
std::optional<std::string> strict_base64url(std::string_view text) {
  auto bytes = base64url_decode(text);
  if (!bytes || base64url_encode(*bytes) != text) return std::nullopt;
  return bytes;
}

struct Parts {
  Jwt jwt;
  std::string_view signed_text;  // header.claims as sent
  std::string signature;
  std::string algorithm, key_id;
};

std::unexpected<Error> malformed(std::string_view why) { return fail(Code::invalid, fmt::format("malformed token: {}", why)); }

Result<Document> parse_object(std::string_view json, std::string_view what, std::size_t max_depth) {
  std::vector<std::string> duplicates;
  JsonOptions options;
  options.max_depth = max_depth;
  options.duplicates = &duplicates;
  auto document = parse_json(json, options);
  if (!document) return malformed(fmt::format("{}: {}", what, document.error().message));
  if (!document->root().is_object()) return malformed(fmt::format("{} is not an object", what));
  // Two readers of a duplicate member may disagree on which one counts.
  if (!duplicates.empty()) return malformed(fmt::format("{} has a duplicate field {}", what, go_quote(duplicates.front())));
  return document;
}

Result<Parts> parse(std::string_view token) {
  if (token.size() > max_jwt_bytes) return fail(Code::too_large, fmt::format("the token is larger than {} bytes", max_jwt_bytes));
  std::vector<std::string_view> pieces = split(token, '.');
  if (pieces.size() != 3) return malformed("it must have three parts");
  auto header = strict_base64url(pieces[0]);
  auto claims = strict_base64url(pieces[1]);
  auto signature = strict_base64url(pieces[2]);
  if (!header || !claims || !signature) return malformed("a part is not base64url");
  auto header_document = parse_object(*header, "the header", max_header_depth);
  if (!header_document) return std::unexpected(header_document.error());
  if (auto claims_document = parse_object(*claims, "the claims", JsonOptions().max_depth); !claims_document)
    return std::unexpected(claims_document.error());
  Parts parts;
  Value algorithm = (*header_document)["alg"], id = (*header_document)["kid"];
  if (!algorithm.is_string()) return malformed("the header has no alg");
  if (id.exists() && !id.is_string()) return malformed("kid is not a string");
  // RFC 7515, section 4.1.11: an extension that must be understood, and is not.
  if ((*header_document)["crit"].exists()) return malformed("crit is not supported");
  parts.algorithm = algorithm.str();
  parts.key_id = id.str();
  parts.jwt = {std::move(*header), std::move(*claims)};
  parts.signed_text = token.substr(0, pieces[0].size() + 1 + pieces[1].size());
  parts.signature = std::move(*signature);
  return parts;
}

std::string number_base64url(EVP_PKEY* key, const char* parameter, std::size_t width) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, parameter, &number) != 1) {
    ERR_clear_error();
    return {};
  }
  std::string bytes = fixed_width(number, width > 0 ? width : static_cast<std::size_t>(BN_num_bytes(number)));
  BN_free(number);
  return base64url_encode(bytes);
}

}  // namespace

Result<std::string> public_key_pem(std::string_view private_key_pem) {
  auto key = read_private_key(private_key_pem);
  if (!key) return std::unexpected(key.error());
  BioPtr bio = memory_bio();
  if (PEM_write_bio_PUBKEY(bio.get(), key->get()) != 1)
    return fail(Code::internal, fmt::format("cannot write a public key: {}", openssl_reason()));
  return bio_text(bio.get());
}

Result<std::string> key_id(std::string_view public_or_private_key_pem) {
  auto key = key_cache().public_key(public_or_private_key_pem);
  if (!key) return std::unexpected(key.error());
  return (*key)->id;
}

Result<std::string> sign_jwt(std::string_view private_key_pem, std::string_view claims_json) {
  auto key = key_cache().private_key(private_key_pem);
  if (!key) return std::unexpected(key.error());
  if (auto claims = parse_object(claims_json, "the claims", JsonOptions().max_depth); !claims) return std::unexpected(claims.error());
  std::string header = fmt::format(R"({{"alg":"{}","kid":"{}"}})", (*key)->algorithm->name, (*key)->id);
  std::string token = base64url_encode(header) + "." + base64url_encode(claims_json);
  auto signature = sign(**key, token);
  if (!signature) return std::unexpected(signature.error());
  return token + "." + base64url_encode(*signature);
}

Result<Jwt> decode_jwt(std::string_view token) {
  auto parts = parse(token);
  if (!parts) return std::unexpected(parts.error());
  return std::move(parts->jwt);
}

const std::vector<std::string>& jwt_algorithms() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Algorithm& one : algorithms) out.emplace_back(one.name);
    return out;
  }();
  return names;
}

Result<Jwt> verify_jwt(std::string_view token, const std::vector<std::string>& public_keys_pem, const std::vector<std::string>& allowed) {
  auto parts = parse(token);
  if (!parts) return std::unexpected(parts.error());
  const Algorithm* by = find_algorithm(parts->algorithm);
  // What nobody has limited is what keys sign with here.
  const bool taken =
      by && (allowed.empty() ? by == &rs256 || by->elliptic() : std::find(allowed.begin(), allowed.end(), by->name) != allowed.end());
  if (!taken) return fail(Code::forbidden, fmt::format("unexpected signature algorithm {}", go_quote(parts->algorithm)));
  std::vector<KeyCache::Entry> keys;
  for (const std::string& pem : public_keys_pem) {
    auto key = key_cache().public_key(pem);
    if (!key) return std::unexpected(key.error());
    if (!(*key)->fits(*by)) continue;
    // The named key first; the others after it, for tokens of signers that name their keys otherwise.
    keys.insert((*key)->id == parts->key_id ? keys.begin() : keys.end(), std::move(*key));
  }
  for (const auto& key : keys)
    if (verify(*key, *by, parts->signed_text, parts->signature)) return std::move(parts->jwt);
  return fail(Code::forbidden, "invalid signature, or no key for it");
}

Result<std::string> jwks_json(const std::vector<std::string>& public_keys_pem) {
  std::string out = R"({"keys":[)";
  for (const std::string& pem : public_keys_pem) {
    auto key = key_cache().public_key(pem);
    if (!key) return std::unexpected(key.error());
    EVP_PKEY* raw = (*key)->key.get();
    if (out.back() == '}') out += ',';
    const Algorithm& by = *(*key)->algorithm;
    if (!by.elliptic()) {
      out += fmt::format(R"({{"use":"sig","kty":"RSA","kid":"{}","alg":"RS256","n":"{}","e":"{}"}})", (*key)->id,
                         number_base64url(raw, OSSL_PKEY_PARAM_RSA_N, 0), number_base64url(raw, OSSL_PKEY_PARAM_RSA_E, 0));
    } else {
      out += fmt::format(R"({{"use":"sig","kty":"EC","kid":"{}","crv":"{}","alg":"{}","x":"{}","y":"{}"}})", (*key)->id, by.curve_name,
                         by.name, number_base64url(raw, OSSL_PKEY_PARAM_EC_PUB_X, by.coordinate_bytes),
                         number_base64url(raw, OSSL_PKEY_PARAM_EC_PUB_Y, by.coordinate_bytes));
    }
  }
  return out + "]}";
}

}  // namespace kybern::net
