#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/strings.h"
#include "document/json.h"
#include "net/certificates.h"
#include "net/pem.h"

namespace kybern::net {
namespace {

std::string key_text(KeyPtr key) {
  BioPtr bio = memory_bio();
  PEM_write_bio_PrivateKey_traditional(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return bio_text(bio.get());
}
const std::string& rsa_key() {
  static const std::string pem = key_text(KeyPtr(EVP_RSA_gen(2048)));
  return pem;
}
const std::string& ec_key() {
  static const std::string pem = *new_private_key_pem();
  return pem;
}

std::string pem_of(std::string_view label, std::string_view der) {
  std::string text = base64_encode(der), out = "-----BEGIN " + std::string(label) + "-----\n";
  for (std::size_t i = 0; i < text.size(); i += 64) out += text.substr(i, 64) + "\n";
  return out + "-----END " + std::string(label) + "-----\n";
}

constexpr std::string_view claims =
    R"({"iss":"https://kubernetes.default.svc.cluster.local","sub":"system:serviceaccount:default:default","exp":1893456000})";

TEST(Jwt, RoundTrip) {
  for (const std::string* key : {&rsa_key(), &ec_key()}) {
    auto token = sign_jwt(*key, claims);
    ASSERT_TRUE(token) << token.error().message;
    std::string public_key = *public_key_pem(*key);
    EXPECT_EQ(*key_id(public_key), *key_id(*key));
    auto jwt = verify_jwt(*token, {public_key});
    ASSERT_TRUE(jwt) << jwt.error().message;
    EXPECT_EQ(jwt->claims_json, claims);
    auto header = *parse_json(jwt->header_json);
    EXPECT_EQ(header["alg"].as_string(), key == &rsa_key() ? "RS256" : "ES256");
    EXPECT_EQ(header["kid"].as_string(), *key_id(public_key));
    EXPECT_EQ(decode_jwt(*token)->claims_json, claims);
    // The key among others, and another key alone.
    std::string other = *public_key_pem(*new_private_key_pem());
    EXPECT_TRUE(verify_jwt(*token, {other, public_key}));
    auto wrong = verify_jwt(*token, {other});
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, Code::forbidden);
    EXPECT_FALSE(verify_jwt(*token, {}));
    // Every single changed character is noticed.
    for (std::size_t i = 0; i < token->size(); i += 7) {
      std::string forged = *token;
      forged[i] = forged[i] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(verify_jwt(forged, {public_key})) << i;
    }
    // Stray bits in the last character of the signature decode to the same bytes, and are refused.
    std::string stray = *token;
    static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    stray.back() = alphabet[alphabet.find(stray.back()) + 1];
    EXPECT_EQ(verify_jwt(stray, {public_key}).error().code, Code::invalid);
  }
}

// A token signed as any JOSE library does it.
std::string signed_by(const std::string& key_pem, std::string_view name, const EVP_MD* digest, bool probabilistic) {
  const std::string text = base64url_encode("{\"alg\":\"" + std::string(name) + "\"}") + "." + base64url_encode(claims);
  auto key = read_private_key(key_pem);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* padding = nullptr;
  EVP_DigestSignInit(context, &padding, digest, nullptr, key->get());
  if (probabilistic) {
    EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST);
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t size = 0;
  EVP_DigestSign(context, nullptr, &size, bytes, text.size());
  std::string signature(size, '\0');
  EVP_DigestSign(context, reinterpret_cast<unsigned char*>(signature.data()), &size, bytes, text.size());
  EVP_MD_CTX_free(context);
  signature.resize(size);
  return text + "." + base64url_encode(signature);
}

TEST(Jwt, EveryAlgorithmThatIsAllowedVerifies) {
  const std::string rsa_public = *public_key_pem(rsa_key());
  const struct {
    std::string name;
    const EVP_MD* digest;
  } rsa[] = {{"RS256", EVP_sha256()}, {"RS384", EVP_sha384()}, {"RS512", EVP_sha512()},
             {"PS256", EVP_sha256()}, {"PS384", EVP_sha384()}, {"PS512", EVP_sha512()}};
  for (const auto& [name, digest] : rsa) {
    const std::string token = signed_by(rsa_key(), name, digest, name[0] == 'P');
    EXPECT_TRUE(verify_jwt(token, {rsa_public}, {"ES256", name})) << name;
    EXPECT_FALSE(verify_jwt(token, {rsa_public}, {"ES256"})) << name << ": not allowed";
    EXPECT_EQ(verify_jwt(token, {rsa_public}).has_value(), name == "RS256") << name << ": what keys sign with here";
    EXPECT_FALSE(verify_jwt(signed_by(rsa_key(), name, digest, name[0] != 'P'), {rsa_public}, {name})) << name << ": the other padding";
  }
  for (const auto& [curve, name] : {std::pair("P-256", "ES256"), std::pair("P-384", "ES384"), std::pair("P-521", "ES512")}) {
    const std::string key = key_text(KeyPtr(EVP_EC_gen(curve)));
    auto token = sign_jwt(key, claims);
    ASSERT_TRUE(token) << name;
    EXPECT_EQ((*parse_json(decode_jwt(*token)->header_json))["alg"].as_string(), name);
    EXPECT_TRUE(verify_jwt(*token, {*public_key_pem(key)}));
    EXPECT_TRUE(verify_jwt(*token, {*public_key_pem(key)}, {name}));
    EXPECT_FALSE(verify_jwt(*token, {*public_key_pem(ec_key())}, {name}));
    auto published = parse_json(*jwks_json({key}));
    EXPECT_EQ((*published)["keys"][0]["crv"].as_string(), curve);
    EXPECT_EQ((*published)["keys"][0]["alg"].as_string(), name);
  }
  EXPECT_EQ(jwt_algorithms().size(), 9u);
  EXPECT_EQ(jwt_algorithms().back(), "PS512");
}

// RFC 7515, appendix A.3.
TEST(Jwt, Rfc7515Es256) {
  std::string der("\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04", 27);
  der +=
      *base64url_decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU") + *base64url_decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
  std::string key = pem_of("PUBLIC KEY", der);
  auto jwt = verify_jwt(
      "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
      {key});
  ASSERT_TRUE(jwt) << jwt.error().message;
  EXPECT_EQ(jwt->header_json, R"({"alg":"ES256"})");
  auto keys = *parse_json(*jwks_json({key}));
  EXPECT_EQ(keys["keys"][0]["x"].as_string(), "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
  EXPECT_EQ(keys["keys"][0]["y"].as_string(), "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
}

TEST(Jwt, AlgorithmsThatAreRefused) {
  std::string rsa_public = *public_key_pem(rsa_key()), ec_public = *public_key_pem(ec_key());
  auto token_with = [](std::string_view header, std::string_view signature) {
    return base64url_encode(header) + "." + base64url_encode(claims) + "." + base64url_encode(signature);
  };
  for (std::string_view algorithm : {"none", "None", "NONE", "", "HS256", "RS384", "PS256", "ES384", "rs256", "EdDSA"}) {
    std::string header = "{\"alg\":\"" + std::string(algorithm) + "\"}";
    for (std::string_view signature : {"", "x"}) {
      auto jwt = verify_jwt(token_with(header, signature), {rsa_public, ec_public});
      ASSERT_FALSE(jwt) << algorithm;
      EXPECT_EQ(jwt.error().code, Code::forbidden);
    }
  }
  // A true signature under the other key's algorithm name: the key's kind decides, not the header.
  std::string es = *sign_jwt(ec_key(), claims);
  std::string renamed = base64url_encode(R"({"alg":"RS256"})") + es.substr(es.find('.'));
  EXPECT_FALSE(verify_jwt(renamed, {rsa_public, ec_public}));
  // Zero r and s, and a DER signature where raw r and s belong.
  EXPECT_FALSE(verify_jwt(token_with(R"({"alg":"ES256"})", std::string(64, '\0')), {ec_public}));
  EXPECT_FALSE(verify_jwt(token_with(R"({"alg":"ES256"})", std::string(64, '\xff')), {ec_public}));
  EXPECT_FALSE(verify_jwt(token_with(R"({"alg":"ES256"})", std::string(70, '\x30')), {ec_public}));
}

TEST(Jwt, Malformed) {
  auto b64 = [](std::string_view text) { return base64url_encode(text); };
  std::string header = b64(R"({"alg":"ES256"})"), body = b64("{}"), signature = b64(std::string(64, 'x'));
  const std::string rows[] = {"",
                              ".",
                              "..",
                              "...",
                              "a.b",
                              header + "." + body,
                              header + "." + body + "." + signature + ".",
                              "." + body + "." + signature,
                              header + ".." + signature,
                              header + "=." + body + "." + signature,
                              header + "." + body + "." + signature + "\n",
                              " " + header + "." + body + "." + signature,
                              b64("[]") + "." + body + "." + signature,
                              b64("{") + "." + body + "." + signature,
                              b64("\"ES256\"") + "." + body + "." + signature,
                              header + "." + b64("[]") + "." + signature,
                              header + "." + b64("{} x") + "." + signature,
                              header + "." + b64("\xff") + "." + signature,
                              header + "." + b64(R"({"sub":"a","sub":"b"})") + "." + signature,
                              b64(R"({"alg":"none","alg":"ES256"})") + "." + body + "." + signature,
                              b64(R"({"alg":7})") + "." + body + "." + signature,
                              b64(R"({})") + "." + body + "." + signature,
                              b64(R"({"alg":"ES256","kid":7})") + "." + body + "." + signature,
                              b64(R"({"alg":"ES256","crit":["exp"]})") + "." + body + "." + signature};
  for (const std::string& row : rows) {
    auto jwt = decode_jwt(row);
    EXPECT_FALSE(jwt) << row;
    if (!jwt) { EXPECT_EQ(jwt.error().code, Code::invalid) << row; }
    EXPECT_FALSE(verify_jwt(row, {*public_key_pem(ec_key())}));
  }
  EXPECT_EQ(decode_jwt(std::string(200 << 10, 'a')).error().code, Code::too_large);
  EXPECT_TRUE(decode_jwt(header + "." + body + "." + signature)) << "well-formed, though no key signed it";
  EXPECT_FALSE(sign_jwt(ec_key(), "[]"));
  EXPECT_FALSE(sign_jwt("nonsense", "{}"));
}

TEST(Jwt, KeysThatAreRefused) {
  std::string small = key_text(KeyPtr(EVP_RSA_gen(1024)));
  EXPECT_EQ(sign_jwt(small, "{}").error().message, "an RSA key for tokens must have at least 2048 bits");
  std::string other_curve = key_text(KeyPtr(EVP_EC_gen("secp256k1")));
  EXPECT_EQ(sign_jwt(other_curve, "{}").error().code, Code::unsupported);
  EXPECT_FALSE(verify_jwt(*sign_jwt(ec_key(), "{}"), {"junk"}));
  EXPECT_EQ(key_id("").error().message, "data does not contain any valid RSA or ECDSA public keys");
}

TEST(Jwt, PublicKeyForms) {
  std::string token = *sign_jwt(rsa_key(), claims);
  auto key = read_private_key(rsa_key());
  unsigned char* der = nullptr;
  int size = i2d_PublicKey(key->get(), &der);
  std::string pkcs1 = pem_of("RSA PUBLIC KEY", {reinterpret_cast<char*>(der), static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  EXPECT_TRUE(verify_jwt(token, {pkcs1}));
  EXPECT_TRUE(verify_jwt(token, {rsa_key()}));
  auto ca = new_ca("x", Time(), Time(std::chrono::hours(1)));
  EXPECT_TRUE(verify_jwt(*sign_jwt(ca->key_pem, claims), {ca->certificate_pem}));
}

TEST(Jwt, Jwks) {
  EXPECT_EQ(*jwks_json({}), R"({"keys":[]})");
  auto text = jwks_json({*public_key_pem(rsa_key()), *public_key_pem(ec_key())});
  ASSERT_TRUE(text);
  auto keys = parse_json(*text);
  ASSERT_TRUE(keys) << *text;
  Value rsa = (*keys)["keys"][0], ec = (*keys)["keys"][1];
  EXPECT_EQ(rsa["kty"].as_string(), "RSA");
  EXPECT_EQ(rsa["alg"].as_string(), "RS256");
  EXPECT_EQ(rsa["use"].as_string(), "sig");
  EXPECT_EQ(rsa["e"].as_string(), "AQAB");
  EXPECT_EQ(base64url_decode(rsa["n"].as_string())->size(), 256u);
  EXPECT_EQ(rsa["kid"].as_string(), *key_id(rsa_key()));
  EXPECT_EQ(ec["kty"].as_string(), "EC");
  EXPECT_EQ(ec["crv"].as_string(), "P-256");
  EXPECT_EQ(base64url_decode(ec["x"].as_string())->size(), 32u);
}

}  // namespace
}  // namespace kybern::net
