#include "net/jwks.h"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "base/strings.h"
#include "document/json.h"
#include "net/pem.h"

namespace kybern::net {
namespace {

constexpr std::size_t max_jwks_bytes = 1 << 20, max_keys = 256, max_number_bytes = 2048;

struct Curve {
  std::string_view name, group;
  std::size_t coordinate_bytes;
};
constexpr Curve curves[] = {{"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}, {"P-521", "secp521r1", 66}};

struct Free {
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
  void operator()(OSSL_PARAM* parameters) const { OSSL_PARAM_free(parameters); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(BIGNUM* number) const { BN_free(number); }
};

std::string make(const char* kind, OSSL_PARAM_BLD* builder) {
  std::unique_ptr<OSSL_PARAM, Free> parameters(OSSL_PARAM_BLD_to_param(builder));
  std::unique_ptr<EVP_PKEY_CTX, Free> context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
  EVP_PKEY* raw = nullptr;
  bool ok = parameters && context && EVP_PKEY_fromdata_init(context.get()) == 1 &&
            EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, parameters.get()) == 1;
  KeyPtr key(raw);
  BioPtr bio = memory_bio();
  ok = ok && PEM_write_bio_PUBKEY(bio.get(), key.get()) == 1;
  ERR_clear_error();
  return ok ? bio_text(bio.get()) : std::string();
}

std::string rsa_key(Value jwk) {
  auto n = base64url_decode(jwk["n"].as_string()), e = base64url_decode(jwk["e"].as_string());
  if (!n || !e || n->empty() || e->empty() || n->size() > max_number_bytes || e->size() > max_number_bytes) return {};
  auto number = [](const std::string& bytes) {
    return std::unique_ptr<BIGNUM, Free>(
        BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()), nullptr));
  };
  auto modulus = number(*n), exponent = number(*e);
  std::unique_ptr<OSSL_PARAM_BLD, Free> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return make("RSA", builder.get());
}

std::string ec_key(Value jwk) {
  auto x = base64url_decode(jwk["x"].as_string()), y = base64url_decode(jwk["y"].as_string());
  const Curve* curve = std::find_if(std::begin(curves), std::end(curves), [&](const Curve& c) { return c.name == jwk["crv"].as_string(); });
  if (curve == std::end(curves) || !x || !y || x->size() != curve->coordinate_bytes || y->size() != curve->coordinate_bytes) return {};
  const std::string point = '\4' + *x + *y;  // uncompressed
  std::unique_ptr<OSSL_PARAM_BLD, Free> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->group.data(), curve->group.size());
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  return make("EC", builder.get());
}

}  // namespace

Result<std::vector<WebKey>> read_jwks(std::string_view json) {
  if (json.size() > max_jwks_bytes) return fail(Code::too_large, fmt::format("a key set is larger than {} bytes", max_jwks_bytes));
  auto document = parse_json(json);
  if (!document) return fail(Code::invalid, document.error().message);
  if (!(*document)["keys"].is_array() || (*document)["keys"].size() > max_keys)
    return fail(Code::invalid, "expected an object with at most 256 keys");
  std::vector<WebKey> out;
  for (Value jwk : (*document)["keys"].items()) {
    if (std::string_view use = jwk["use"].as_string("sig"); use != "sig") continue;
    std::string_view kind = jwk["kty"].as_string();
    std::string pem = kind == "RSA" ? rsa_key(jwk) : kind == "EC" ? ec_key(jwk) : std::string();
    if (!pem.empty()) out.push_back({jwk["kid"].str(), std::move(pem)});
  }
  return out;
}

}  // namespace kybern::net
