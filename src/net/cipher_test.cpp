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

}  // namespace
}  // namespace kybern::net
