#include "net/jwks.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "net/certificates.h"
#include "net/pem.h"

namespace kybern::net {
namespace {

TEST(WebKeys, WhatIsPublishedVerifies) {
  for (const char* curve : {"P-384", "P-521"}) {
    KeyPtr made(EVP_EC_gen(curve));
    BioPtr bio = memory_bio();
    PEM_write_bio_PrivateKey(bio.get(), made.get(), nullptr, nullptr, 0, nullptr, nullptr);
    const std::string pem = bio_text(bio.get());
    auto of_curve = read_jwks(*jwks_json({pem}));
    ASSERT_TRUE(of_curve && of_curve->size() == 1) << curve;
    EXPECT_TRUE(verify_jwt(*sign_jwt(pem, "{}"), {(*of_curve)[0].pem})) << curve;
  }
  const std::string key = *new_private_key_pem();
  auto keys = read_jwks(*jwks_json({*public_key_pem(key)}));
  ASSERT_TRUE(keys) << keys.error().message;
  ASSERT_EQ(keys->size(), 1u);
  EXPECT_EQ((*keys)[0].id, *key_id(key));
  EXPECT_TRUE(verify_jwt(*sign_jwt(key, R"({"sub":"x"})"), {(*keys)[0].pem}));
  EXPECT_FALSE(verify_jwt(*sign_jwt(*new_private_key_pem(), R"({"sub":"x"})"), {(*keys)[0].pem}));
}

TEST(WebKeys, OthersAreLeftOut) {
  EXPECT_FALSE(read_jwks("{}"));
  EXPECT_FALSE(read_jwks("x"));
  EXPECT_TRUE(read_jwks(R"({"keys":[]})")->empty());
  EXPECT_TRUE(
      read_jwks(
          R"({"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","n":"","e":"AQAB"},{"kty":"EC","use":"enc"},7]})")
          ->empty());
}

}  // namespace
}  // namespace kybern::net
