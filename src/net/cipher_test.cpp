#include "net/cipher.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace kybern::net {
namespace {

TEST(Cipher, WhatIsSealedOpens) {
  for (std::size_t key_bytes : {16u, 24u, 32u}) {
    const std::string key(key_bytes, 'k');
    for (std::size_t size : {0u, 1u, 15u, 16u, 17u, 100000u}) {
      const std::string plain(size, 'p');
      auto gcm = seal_gcm(key, plain, "where");
      ASSERT_TRUE(gcm);
      EXPECT_EQ(gcm->size(), size + gcm_nonce_bytes + gcm_tag_bytes);
      EXPECT_EQ(open_gcm(key, *gcm, "where").value_or("?"), plain);
      EXPECT_FALSE(open_gcm(key, *gcm, "elsewhere"));
      EXPECT_FALSE(open_gcm(std::string(key_bytes, 'x'), *gcm, "where"));
      auto changed = *gcm;
      changed.back() ^= 1;
      EXPECT_EQ(open_gcm(key, changed, "where").error().message, "cipher: message authentication failed");
      auto cbc = seal_cbc(key, plain);
      ASSERT_TRUE(cbc);
      EXPECT_EQ(open_cbc(key, *cbc).value_or("?"), plain);
    }
  }
  EXPECT_FALSE(seal_gcm("short", "x", ""));
  EXPECT_FALSE(open_gcm(std::string(16, 'k'), "short", ""));
  EXPECT_FALSE(open_cbc(std::string(16, 'k'), std::string(33, 'x')));
}

// RFC 5869, test case 1.
TEST(Cipher, Hkdf) {
  auto bytes = [](std::string_view hex) {
    std::string out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    return out;
  };
  auto derived = hkdf_expand(bytes("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"), bytes("f0f1f2f3f4f5f6f7f8f9"), 42);
  ASSERT_TRUE(derived);
  EXPECT_EQ(hex_encode(*derived), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

// The example of "Cryptography in NaCl", section 10.
TEST(Cipher, Secretbox) {
  auto bytes = [](std::string_view hex) {
    std::string out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    return out;
  };
  const std::string key = bytes("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
  const std::string nonce = bytes("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
  const std::string plain = bytes(
      "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3b"
      "e8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705");
  const std::string sealed = bytes(
      "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2"
      "c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622"
      "a43d14a6599b1f654cb45a74e355a5");
  EXPECT_EQ(hex_encode(seal_secretbox(key, nonce, plain).value_or("")), hex_encode(sealed));
  EXPECT_EQ(open_secretbox(key, nonce, sealed).value_or("?"), plain);
  for (std::size_t size : {0u, 31u, 32u, 64u, 65u, 5000u}) {
    const std::string text(size, 'x');
    auto box = seal_secretbox(key, nonce, text);
    ASSERT_TRUE(box);
    EXPECT_EQ(open_secretbox(key, nonce, *box).value_or("?"), text);
    std::string changed = *box;
    changed[size / 2] ^= 4;
    EXPECT_EQ(open_secretbox(key, nonce, changed).error().message, "cipher: message authentication failed");
  }
  EXPECT_FALSE(open_secretbox(key, nonce, "short"));
  EXPECT_FALSE(seal_secretbox("short", nonce, ""));
}

// RFC 4231, test case 2.
TEST(Cipher, Hmac) {
  EXPECT_EQ(hex_encode(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

}  // namespace
}  // namespace kybern::net
