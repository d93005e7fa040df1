#include "proxy/rules/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/strings.h"

namespace kybern::proxy {
namespace {

int width(const Address& address) { return address.v6 ? 128 : 32; }

bool same_bits(const Address& a, const Address& b, int bits) {
  const std::size_t whole = static_cast<std::size_t>(bits) / 8;
  if (std::memcmp(a.bytes.data(), b.bytes.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const int shift = 8 - bits % 8;
  return a.bytes[whole] >> shift == b.bytes[whole] >> shift;
}

}  // namespace

void Address::append(std::string& out) const {
  char buffer[INET6_ADDRSTRLEN];
  if (v6) {
    ::inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
    out += buffer;
    return;
  }
  char* place = buffer;
  for (int i = 0; i < 4; ++i) {
    if (i != 0) *place++ = '.';
    place = std::to_chars(place, buffer + sizeof buffer, bytes[static_cast<std::size_t>(i)]).ptr;
  }
  out.append(buffer, place);
}

std::string Address::text() const {
  std::string out;
  append(out);
  return out;
}

std::optional<Address> parse_address(std::string_view text) {
  if (text.empty() || text.size() >= INET6_ADDRSTRLEN) return std::nullopt;
  char buffer[INET6_ADDRSTRLEN] = {};
  std::copy(text.begin(), text.end(), buffer);
  Address address;
  address.v6 = text.find(':') != text.npos;
  if (::inet_pton(address.v6 ? AF_INET6 : AF_INET, buffer, address.bytes.data()) != 1) return std::nullopt;
  return address;
}

bool Prefix::contains(const Address& address) const { return address.v6 == base.v6 && same_bits(base, address, bits); }

std::string Prefix::text() const { return base.text() + "/" + std::to_string(bits); }

std::optional<Prefix> parse_prefix(std::string_view text) {
  text = trim(text);
  const std::size_t slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  std::optional<Address> base = parse_address(text.substr(0, slash));
  const std::optional<std::int64_t> bits = parse_int(text.substr(slash + 1));
  if (!base || !bits || *bits < 0 || *bits > width(*base)) return std::nullopt;
  Prefix prefix{*base, static_cast<int>(*bits)};
  for (int bit = prefix.bits; bit < width(*base); ++bit) {
    prefix.base.bytes[static_cast<std::size_t>(bit) / 8] &= static_cast<std::uint8_t>(~(0x80 >> (bit % 8)));
  }
  return prefix;
}

Prefix single(const Address& address) { return {address, width(address)}; }

}  // namespace kybern::proxy
