#include "dns/serve/address.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/strings.h"

namespace kybern::dns {

SocketAddress SocketAddress::of(const Ip& ip, int port) {
  SocketAddress out;
  const auto wire_port = htons(static_cast<std::uint16_t>(port));
  if (ip.v6) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = wire_port;
    std::memcpy(&six.sin6_addr, ip.bytes.data(), 16);
    std::memcpy(&out.storage, &six, sizeof six);
    out.size = sizeof six;
  } else {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = wire_port;
    std::memcpy(&four.sin_addr, ip.bytes.data(), 4);
    std::memcpy(&out.storage, &four, sizeof four);
    out.size = sizeof four;
  }
  return out;
}

Ip SocketAddress::ip() const {
  Ip out;
  if (family() == AF_INET6) {
    sockaddr_in6 six;
    std::memcpy(&six, &storage, sizeof six);
    out.v6 = !IN6_IS_ADDR_V4MAPPED(&six.sin6_addr);
    std::memcpy(out.bytes.data(), six.sin6_addr.s6_addr + (out.v6 ? 0 : 12), out.v6 ? 16 : 4);
  } else {
    sockaddr_in four;
    std::memcpy(&four, &storage, sizeof four);
    std::memcpy(out.bytes.data(), &four.sin_addr, 4);
  }
  return out;
}

int SocketAddress::port() const {
  std::uint16_t wire = 0;  // the same place in both families
  std::memcpy(&wire, reinterpret_cast<const char*>(&storage) + offsetof(sockaddr_in, sin_port), sizeof wire);
  return ntohs(wire);
}

std::string SocketAddress::text() const {
  const Ip address = ip();
  return (address.v6 ? "[" + address.text() + "]" : address.text()) + ":" + std::to_string(port());
}

std::optional<SocketAddress> parse_socket_address(std::string_view text, int default_port) {
  int port = default_port;
  if (text.starts_with('[') || std::ranges::count(text, ':') == 1) {
    const std::size_t colon = text.rfind(':');
    const std::optional<std::int64_t> number = colon == text.npos ? std::nullopt : parse_int(text.substr(colon + 1));
    if (!number || *number < 1 || *number > 65535) return std::nullopt;
    port = static_cast<int>(*number);
    text = text.substr(0, colon);
    if (text.starts_with('[')) {
      if (!text.ends_with(']')) return std::nullopt;
      text = text.substr(1, text.size() - 2);
    }
  }
  const std::optional<Ip> ip = parse_ip(text);
  if (!ip) return std::nullopt;
  return SocketAddress::of(*ip, port);
}

}  // namespace kybern::dns
