// XSalsa20 and Poly1305 as NaCl's secretbox puts them together ("Cryptography in NaCl", 2009; "Extending the Salsa20 nonce",
// 2011). OpenSSL has Poly1305 and no Salsa20.
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <array>
#include <bit>
#include <cstdint>
#include <memory>

#include "net/certificates.h"
#include "net/cipher.h"

namespace kybern::net {
namespace {

constexpr std::size_t key_bytes = 32, nonce_bytes = 24, tag_bytes = 16, block_bytes = 64;
using Words = std::array<std::uint32_t, 16>;

std::uint32_t load(std::string_view bytes, std::size_t at) {
  std::uint32_t out = 0;
  for (std::size_t i = 4; i-- > 0;) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}
void store(std::string& bytes, std::uint32_t word) {
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(word >> (8 * i) & 0xff);
}

// The matrix of Salsa20: constants on the diagonal, the key around them, 16 bytes of input between.
Words matrix(std::string_view key, std::string_view input) {
  constexpr std::string_view sigma = "expand 32-byte k";
  return {load(sigma, 0), load(key, 0),    load(key, 4),   load(key, 8),  load(key, 12), load(sigma, 4), load(input, 0), load(input, 4),
          load(input, 8), load(input, 12), load(sigma, 8), load(key, 16), load(key, 20), load(key, 24),  load(key, 28),  load(sigma, 12)};
}

void rounds(Words& x) {
  auto quarter = [&](int a, int b, int c, int d) {
    auto at = [&](int i) -> std::uint32_t& { return x[static_cast<std::size_t>(i)]; };
    at(b) ^= std::rotl(at(a) + at(d), 7);
    at(c) ^= std::rotl(at(b) + at(a), 9);
    at(d) ^= std::rotl(at(c) + at(b), 13);
    at(a) ^= std::rotl(at(d) + at(c), 18);
  };
  for (int i = 0; i < 10; ++i) {
    quarter(0, 4, 8, 12), quarter(5, 9, 13, 1), quarter(10, 14, 2, 6), quarter(15, 3, 7, 11);
    quarter(0, 1, 2, 3), quarter(5, 6, 7, 4), quarter(10, 11, 8, 9), quarter(15, 12, 13, 14);
  }
}

// A key for a part of the nonce: the diagonal and the input's places after the rounds.
std::string hsalsa20(std::string_view key, std::string_view input) {
  Words x = matrix(key, input);
  rounds(x);
  std::string out;
  for (std::size_t i : {0, 5, 10, 15, 6, 7, 8, 9}) store(out, x[i]);
  return out;
}

// `bytes` of XSalsa20's stream.
std::string stream(std::string_view key, std::string_view nonce, std::size_t bytes) {
  const std::string subkey = hsalsa20(key, nonce.substr(0, 16));
  std::string input(nonce.substr(16));
  input.resize(16, '\0');
  Words start = matrix(subkey, input);
  std::string out;
  out.reserve(bytes + block_bytes);
  for (std::uint64_t block = 0; out.size() < bytes; ++block) {
    start[8] = static_cast<std::uint32_t>(block);
    start[9] = static_cast<std::uint32_t>(block >> 32);
    Words x = start;
    rounds(x);
    for (std::size_t i = 0; i < x.size(); ++i) store(out, x[i] + start[i]);
  }
  out.resize(bytes);
  return out;
}

Result<std::string> poly1305(std::string_view key, std::string_view text) {
  struct FreeMac {
    void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
  };
  std::unique_ptr<EVP_MAC, FreeMac> mac(EVP_MAC_fetch(nullptr, "POLY1305", nullptr));
  std::unique_ptr<EVP_MAC_CTX, FreeMac> context(mac ? EVP_MAC_CTX_new(mac.get()) : nullptr);
  std::string tag(tag_bytes, '\0');
  std::size_t bytes = 0;
  auto in = [](std::string_view s) { return reinterpret_cast<const unsigned char*>(s.data()); };
  bool ok = context && EVP_MAC_init(context.get(), in(key), key.size(), nullptr) == 1 &&
            EVP_MAC_update(context.get(), in(text), text.size()) == 1 &&
            EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(tag.data()), &bytes, tag.size()) == 1 && bytes == tag_bytes;
  ERR_clear_error();
  if (!ok) return fail(Code::internal, "Poly1305 cannot be had");
  return tag;
}

void mix(std::string& text, std::string_view with) {
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(text[i] ^ with[i]);
}

bool fits(std::string_view key, std::string_view nonce) { return key.size() == key_bytes && nonce.size() == nonce_bytes; }

}  // namespace

// The stream's first 32 bytes are the key of the tag, what follows is mixed into the text.
Result<std::string> seal_secretbox(std::string_view key, std::string_view nonce, std::string_view plain) {
  if (!fits(key, nonce)) return fail(Code::invalid, "a secretbox has a key of 32 bytes and a nonce of 24");
  const std::string pad = stream(key, nonce, key_bytes + plain.size());
  std::string text(plain);
  mix(text, std::string_view(pad).substr(key_bytes));
  auto tag = poly1305(std::string_view(pad).substr(0, key_bytes), text);
  if (!tag) return tag;
  return *tag + text;
}

Result<std::string> open_secretbox(std::string_view key, std::string_view nonce, std::string_view sealed) {
  if (!fits(key, nonce)) return fail(Code::invalid, "a secretbox has a key of 32 bytes and a nonce of 24");
  if (sealed.size() < tag_bytes) return fail(Code::invalid, "the stored data was shorter than the required size");
  std::string text(sealed.substr(tag_bytes));
  const std::string pad = stream(key, nonce, key_bytes + text.size());
  auto tag = poly1305(std::string_view(pad).substr(0, key_bytes), text);
  if (!tag) return tag;
  if (!equal_constant_time(*tag, sealed.substr(0, tag_bytes))) return fail(Code::invalid, "cipher: message authentication failed");
  mix(text, std::string_view(pad).substr(key_bytes));
  return text;
}

}  // namespace kybern::net
