#include "net/server/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

namespace kybern::net {
namespace {

constexpr int backlog = 4096;
constexpr int keepalive_seconds = 15, keepalive_probes = 9;

struct Address {
  sockaddr_storage storage{};
  socklen_t bytes = 0;
  std::string text;
};

std::string lower_error(int error) {
  std::string text = ::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}

std::string advice(int error, const ServerOptions& options) {
  std::string port = std::to_string(options.port);
  switch (error) {
    case EADDRINUSE:
      if (!options.unix_path.empty()) return ": another process serves it; stop that process or choose another path";
      return ": another process holds this port; `ss -ltnp sport = :" + port + "` shows which; stop it or choose another port";
    case EADDRNOTAVAIL: return ": no network interface of this machine has this address; choose one that `ip address` shows";
    case EACCES: return options.unix_path.empty() ? ": ports below 1024 need root or CAP_NET_BIND_SERVICE; choose another port" : "";
    default: return "";
  }
}

std::unexpected<Error> listen_error(const Address& address, int error, const ServerOptions& options) {
  Code code = error == EADDRINUSE ? Code::already_exists : error == EACCES ? Code::forbidden : Code::invalid;
  return fail(code, "listen " + address.text + ": " + lower_error(error) + advice(error, options));
}

Result<Address> tcp_address(const ServerOptions& options) {
  Address out;
  std::string host = options.bind_address;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  out.text = (host.find(':') != std::string::npos ? "[" + host + "]" : host) + ":" + std::to_string(options.port);
  if (options.port < 0 || options.port > 65535) return fail(Code::invalid, "listen " + out.text + ": a port is a number from 0 to 65535");
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(options.port).c_str(), &hints, &found) != 0) {
    return fail(Code::invalid, "listen " + out.text + ": not an IP address: " + host);
  }
  ::memcpy(&out.storage, found->ai_addr, found->ai_addrlen);
  out.bytes = found->ai_addrlen;
  ::freeaddrinfo(found);
  return out;
}

bool somebody_serves(const sockaddr_un& address) {
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool served = fd >= 0 && (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN);
  if (fd >= 0) ::close(fd);
  return served;
}

Result<Address> unix_address(const ServerOptions& options) {
  Address out;
  out.text = options.unix_path;
  auto& address = reinterpret_cast<sockaddr_un&>(out.storage);
  if (options.unix_path.size() >= sizeof address.sun_path)
    return fail(Code::invalid, "listen " + out.text + ": the path is longer than 107 bytes");
  address.sun_family = AF_UNIX;
  ::memcpy(address.sun_path, options.unix_path.data(), options.unix_path.size());
  out.bytes = sizeof address;
  // A socket that a process has left behind is in the way of the next one.
  struct stat st {};
  if (::lstat(options.unix_path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode)) {
    if (somebody_serves(address)) return listen_error(out, EADDRINUSE, options);
    ::unlink(options.unix_path.c_str());
  }
  return out;
}

}  // namespace

Result<int> listen_on(const ServerOptions& options) {
  auto address = options.unix_path.empty() ? tcp_address(options) : unix_address(options);
  if (!address) return std::unexpected(address.error());
  int fd = ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return listen_error(*address, errno, options);
  int one = 1, zero = 0;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (address->storage.ss_family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address->storage), address->bytes) != 0 || ::listen(fd, backlog) != 0) {
    int error = errno;
    ::close(fd);
    return listen_error(*address, error, options);
  }
  return fd;
}

int port_of(int listen_fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  if (::getsockname(listen_fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6&>(address).sin6_port);
  return 0;
}

std::string peer_name(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    std::string port = std::to_string(ntohs(v6.sin6_port));
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
      return std::string(text) + ":" + port;
    }
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + port;
  }
  return "@";
}

void tune_accepted(int fd, const ServerOptions& options) {
  if (!options.unix_path.empty()) return;
  int one = 1, seconds = keepalive_seconds, probes = keepalive_probes;
  int unacknowledged_ms = static_cast<int>(std::min<std::int64_t>(options.write_timeout.count(), 1 << 30));
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  // A peer that vanished with bytes on their way is not probed; this bounds how long they are sent again.
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

}  // namespace kybern::net
