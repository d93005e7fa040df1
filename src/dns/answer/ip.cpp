#include "dns/answer/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace kybern::dns {
namespace {

std::optional<std::uint8_t> octet(std::string_view label) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), value);
  const bool leading_zero = label.size() > 1 && label[0] == '0';
  if (error != std::errc() || end != label.data() + label.size() || value > 255 || leading_zero) return std::nullopt;
  return static_cast<std::uint8_t>(value);
}

std::optional<std::uint8_t> nibble(std::string_view label) {
  unsigned value = 0;
  if (label.size() != 1) return std::nullopt;
  const auto [end, error] = std::from_chars(label.data(), label.data() + 1, value, 16);
  if (error != std::errc() || end != label.data() + 1) return std::nullopt;
  return static_cast<std::uint8_t>(value);
}

}  // namespace

std::string Ip::text() const {
  char buffer[INET6_ADDRSTRLEN];
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), buffer, sizeof buffer);
  return buffer;
}

std::string Ip::dashed() const {
  std::string out = text();
  std::replace(out.begin(), out.end(), v6 ? ':' : '.', '-');
  return out;
}

std::optional<Ip> parse_ip(std::string_view text) {
  if (text.empty() || text.size() >= INET6_ADDRSTRLEN) return std::nullopt;
  const std::string whole(text);
  Ip out;
  out.v6 = whole.find(':') != whole.npos;
  if (whole.find('\0') != whole.npos || ::inet_pton(out.v6 ? AF_INET6 : AF_INET, whole.c_str(), out.bytes.data()) != 1) return std::nullopt;
  return out;
}

std::optional<Ip> parse_dashed(std::string_view label) {
  std::string text(label);
  const bool v4 = std::ranges::count(text, '-') == 3 && text.find("--") == text.npos;
  std::replace(text.begin(), text.end(), '-', v4 ? '.' : ':');
  return parse_ip(text);
}

std::optional<Ip> parse_reverse(std::span<const std::string> labels) {
  Ip out;
  if (labels.size() == 6 && labels[4] == "in-addr" && labels[5] == "arpa") {
    for (std::size_t i = 0; i < 4; ++i) {
      const auto value = octet(labels[3 - i]);
      if (!value) return std::nullopt;
      out.bytes[i] = *value;
    }
    return out;
  }
  if (labels.size() == 34 && labels[32] == "ip6" && labels[33] == "arpa") {
    out.v6 = true;
    for (std::size_t i = 0; i < 32; ++i) {
      const auto value = nibble(labels[31 - i]);
      if (!value) return std::nullopt;
      out.bytes[i / 2] = static_cast<std::uint8_t>(out.bytes[i / 2] | *value << (i % 2 == 0 ? 4 : 0));
    }
    return out;
  }
  return std::nullopt;
}

}  // namespace kybern::dns
