// IP addresses and prefixes as values: parsed once, compared and printed cheaply.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kybern::proxy {

struct Address {
  bool v6 = false;
  std::array<std::uint8_t, 16> bytes{};  // an IPv4 address in the first four, the rest zero
  friend auto operator<=>(const Address&, const Address&) = default;
  void append(std::string& out) const;  // "10.96.0.1", "fd00::1"
  std::string text() const;
};
std::optional<Address> parse_address(std::string_view text);

struct Prefix {
  Address base;  // bits beyond the length are zero
  int bits = 0;
  friend auto operator<=>(const Prefix&, const Prefix&) = default;
  bool contains(const Address& address) const;
  std::string text() const;  // "10.244.0.0/16"
};
std::optional<Prefix> parse_prefix(std::string_view text);  // "10.244.1.7/16" has the base 10.244.0.0
Prefix single(const Address& address);                      // the prefix of one address

}  // namespace kybern::proxy
