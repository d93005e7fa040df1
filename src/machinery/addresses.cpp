// IP addresses and networks, as text. Apart from names.cpp because it is the only grammar there with a value behind it.
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <optional>

#include "base/strings.h"
#include "machinery/names.h"

namespace kybern::names {
namespace {

using Bytes = std::array<std::uint8_t, 16>;  // IPv4 as ::ffff:a.b.c.d

constexpr std::size_t v4_offset = 12;

bool is_v4(const Bytes& bytes) {
  for (std::size_t i = 0; i < 10; ++i) {
    if (bytes[i] != 0) return false;
  }
  return bytes[10] == 0xff && bytes[11] == 0xff;
}

// Four decimal numbers; leading zeros are read as decimal, as old clients of the API rely on.
std::optional<std::array<std::uint8_t, 4>> parse_v4(std::string_view text) {
  std::array<std::uint8_t, 4> out{};
  auto pieces = split(text, '.');
  if (pieces.size() != 4) return std::nullopt;
  for (std::size_t i = 0; i < 4; ++i) {
    if (pieces[i].empty()) return std::nullopt;
    unsigned number = 0;
    for (char c : pieces[i]) {
      if (c < '0' || c > '9') return std::nullopt;
      number = number * 10 + static_cast<unsigned>(c - '0');
      if (number > 255) return std::nullopt;
    }
    out[i] = static_cast<std::uint8_t>(number);
  }
  return out;
}

std::optional<unsigned> parse_group(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  unsigned number = 0;
  for (char c : text) {
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return std::nullopt;
    number = number * 16 + static_cast<unsigned>(digit);
  }
  return number;
}

// Appends the 16-bit groups of "a:b:c" (an IPv4 address may close it) to `out`, `used` bytes of which are filled.
bool parse_groups(std::string_view text, Bytes& out, std::size_t& used) {
  if (text.empty()) return true;
  auto pieces = split(text, ':');
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i + 1 == pieces.size() && pieces[i].find('.') != std::string_view::npos) {
      auto v4 = parse_v4(pieces[i]);
      if (!v4 || used + 4 > 16) return false;
      for (std::uint8_t byte : *v4) out[used++] = byte;
      return true;
    }
    auto group = parse_group(pieces[i]);
    if (!group || used + 2 > 16) return false;
    out[used++] = static_cast<std::uint8_t>(*group >> 8);
    out[used++] = static_cast<std::uint8_t>(*group & 0xff);
  }
  return true;
}

std::optional<Bytes> parse_ip(std::string_view text) {
  Bytes out{};
  if (text.find(':') == std::string_view::npos) {
    auto v4 = parse_v4(text);
    if (!v4) return std::nullopt;
    out[10] = out[11] = 0xff;
    for (std::size_t i = 0; i < 4; ++i) out[v4_offset + i] = (*v4)[i];
    return out;
  }
  std::size_t used = 0;
  std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) return parse_groups(text, out, used) && used == 16 ? std::optional(out) : std::nullopt;
  std::string_view head = text.substr(0, gap), tail = text.substr(gap + 2);
  if (head.find('.') != std::string_view::npos || tail.starts_with(':')) return std::nullopt;
  if (!parse_groups(head, out, used)) return std::nullopt;
  Bytes back{};
  std::size_t back_used = 0;
  if (!parse_groups(tail, back, back_used) || used + back_used > 14) return std::nullopt;
  for (std::size_t i = 0; i < back_used; ++i) out[16 - back_used + i] = back[i];
  return out;
}

std::string print(const Bytes& bytes) {
  if (is_v4(bytes)) return fmt::format("{}.{}.{}.{}", bytes[12], bytes[13], bytes[14], bytes[15]);
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) groups[i] = static_cast<unsigned>(bytes[2 * i]) << 8 | bytes[2 * i + 1];
  std::size_t best = 8, best_length = 1;  // a single zero group is not shortened
  for (std::size_t i = 0; i < 8; ++i) {
    std::size_t length = 0;
    while (i + length < 8 && groups[i + length] == 0) ++length;
    if (length > best_length) {
      best = i;
      best_length = length;
    }
  }
  std::string out;
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == best) {
      out += "::";
      i += best_length - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out.push_back(':');
    out += fmt::format("{:x}", groups[i]);
  }
  return out;
}

struct Network {
  Bytes address;
  int prefix;  // of 32 for IPv4 written as such, else of 128
  bool short_form;
};

std::optional<Network> parse_network(std::string_view text) {
  std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  auto address = parse_ip(text.substr(0, slash));
  std::string_view bits = text.substr(slash + 1);
  if (!address || bits.empty() || bits.size() > 3) return std::nullopt;
  int prefix = 0;
  for (char c : bits) {
    if (c < '0' || c > '9') return std::nullopt;
    prefix = prefix * 10 + (c - '0');
  }
  bool short_form = text.substr(0, slash).find(':') == std::string_view::npos;
  if (prefix > (short_form ? 32 : 128)) return std::nullopt;
  return Network{*address, prefix, short_form};
}

}  // namespace

Family ip_family(std::string_view text) {
  auto address = parse_ip(text);
  return !address ? Family::none : is_v4(*address) ? Family::ipv4 : Family::ipv6;
}

std::string canonical_ip(std::string_view text) {
  auto address = parse_ip(text);
  return address ? print(*address) : "";
}

Family cidr_family(std::string_view text) {
  auto network = parse_network(text);
  return !network ? Family::none : is_v4(network->address) ? Family::ipv4 : Family::ipv6;
}

std::string canonical_cidr(std::string_view text) {
  auto network = parse_network(text);
  if (!network) return "";
  int keep = network->prefix + (network->short_form ? 96 : 0);
  for (int bit = keep; bit < 128; ++bit) {
    network->address[static_cast<std::size_t>(bit / 8)] &= static_cast<std::uint8_t>(~(0x80u >> (bit % 8)));
  }
  if (network->short_form)
    return fmt::format("{}.{}.{}.{}/{}", network->address[12], network->address[13], network->address[14], network->address[15],
                       network->prefix);
  bool v4 = is_v4(network->address);
  return fmt::format("{}/{}", print(network->address), v4 && keep >= 96 ? keep - 96 : network->prefix);
}

}  // namespace kybern::names
