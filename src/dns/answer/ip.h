// IP addresses in DNS: text, the dashed form of names, and the reverse names of RFC 1035 section 3.5 and RFC 3596.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kybern::dns {

struct Ip {
  bool v6 = false;
  std::array<std::uint8_t, 16> bytes{};  // IPv4: the first four, the rest zero
  friend auto operator<=>(const Ip&, const Ip&) = default;
  std::string text() const;
  std::string dashed() const;  // "10-244-0-5", "fd01--5"
};
std::optional<Ip> parse_ip(std::string_view text);
std::optional<Ip> parse_dashed(std::string_view label);  // the reverse of dashed()

// Of the labels of "5.0.244.10.in-addr.arpa"; nothing when they are not a whole address.
std::optional<Ip> parse_reverse(std::span<const std::string> labels);

struct IpHash {
  std::size_t operator()(const Ip& ip) const {
    return std::hash<std::string_view>()({reinterpret_cast<const char*>(ip.bytes.data()), ip.bytes.size()});
  }
};

}  // namespace kybern::dns
