// Socket addresses of the DNS server.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>

#include "dns/answer/ip.h"

namespace kybern::dns {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  static SocketAddress of(const Ip& ip, int port);
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  Ip ip() const;  // an IPv4 address mapped into IPv6 counts as IPv4
  int port() const;
  std::string text() const;  // "192.0.2.53:53", "[fd00::53]:53"
};

std::optional<SocketAddress> parse_socket_address(std::string_view text, int default_port);  // the form of text(), or an address alone

}  // namespace kybern::dns
