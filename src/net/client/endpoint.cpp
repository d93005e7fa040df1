#include "net/client/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/strings.h"

namespace kybern::net {
namespace {

using std::chrono::milliseconds;

// How soon a peer that vanished without a word is noticed while a stream waits: 30 s idle, then 3 probes 10 s apart.
constexpr int keepalive_idle_s = 30, keepalive_interval_s = 10, keepalive_probes = 3;
constexpr unsigned unacknowledged_limit_ms = 60000;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

std::string text_of(const Address& address) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getnameinfo(address.get(), address.size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) return "?";
  return address.storage.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

struct Lookup {
  std::mutex mutex;
  std::condition_variable done_changed;
  bool done = false;
  int error = 0;
  std::vector<Address> addresses;
};

void look_up(const std::string& host, int port, int flags, Lookup& lookup) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  std::vector<Address> addresses;
  for (addrinfo* entry = error == 0 ? list : nullptr; entry != nullptr; entry = entry->ai_next) {
    Address address;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.size = entry->ai_addrlen;
    addresses.push_back(address);
  }
  if (list != nullptr) freeaddrinfo(list);
  std::lock_guard lock(lookup.mutex);
  lookup.error = error;
  lookup.addresses = std::move(addresses);
  lookup.done = true;
  lookup.done_changed.notify_all();
}

Result<std::vector<Address>> resolve(const std::string& host, int port, Instant deadline) {
  auto lookup = std::make_shared<Lookup>();
  look_up(host, port, AI_NUMERICHOST, *lookup);
  if (lookup->error == 0) return std::move(lookup->addresses);
  // getaddrinfo has no time limit of its own: it runs in a thread that is left alone when it takes too long.
  lookup->done = false;
  try {
    std::thread([host, port, lookup] { look_up(host, port, 0, *lookup); }).detach();
  } catch (const std::system_error& error) {
    return fail(Code::unavailable, fmt::format("dial tcp: lookup {}: cannot start a thread: {}", host, error.what()));
  }
  std::unique_lock lock(lookup->mutex);
  auto done = [&lookup] { return lookup->done; };
  if (deadline == no_deadline) lookup->done_changed.wait(lock, done);
  else if (!lookup->done_changed.wait_until(lock, deadline, done))
    return fail(Code::timeout, fmt::format("dial tcp: lookup {}: i/o timeout", host));
  if (lookup->error == EAI_NONAME || lookup->error == EAI_NODATA)
    return fail(Code::unavailable, fmt::format("dial tcp: lookup {}: no such host", host));
  if (lookup->error != 0) return fail(Code::unavailable, fmt::format("dial tcp: lookup {}: {}", host, gai_strerror(lookup->error)));
  return std::move(lookup->addresses);
}

void set_tcp_options(int fd) {
  auto set = [fd](int level, int name, auto value) { setsockopt(fd, level, name, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, keepalive_idle_s);
  set(IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval_s);
  set(IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, unacknowledged_limit_ms);
}

Result<int> connect_to(const Address& address, const std::string& what, Instant deadline) {
  int family = address.storage.ss_family;
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(Code::unavailable, fmt::format("dial {}: socket: {}", what, error_text(errno)));
  if (family != AF_UNIX) set_tcp_options(fd);
  int error = connect(fd, address.get(), address.size) == 0 ? 0 : errno;
  if (error == EINPROGRESS || error == EINTR) {
    if (wait_ready(fd, POLLOUT, deadline) == 0) {
      close(fd);
      return fail(Code::timeout, fmt::format("dial {}: i/o timeout", what));
    }
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error == 0) return fd;
  close(fd);
  return fail(Code::unavailable, fmt::format("dial {}: connect: {}", what, error_text(error)));
}

// A Unix socket whose queue is full refuses at once with EAGAIN instead of waiting: wait for it in small steps.
Result<int> connect_local(const Endpoint& endpoint, Instant deadline) {
  std::string what = "unix " + endpoint.path;
  Address address;
  auto* local = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (endpoint.path.size() >= sizeof local->sun_path)
    return fail(Code::invalid, fmt::format("dial {}: the path is longer than {} bytes", what, sizeof local->sun_path - 1));
  local->sun_family = AF_UNIX;
  std::memcpy(local->sun_path, endpoint.path.data(), endpoint.path.size());
  bool abstract = endpoint.path.starts_with('@');
  if (abstract) local->sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + endpoint.path.size() + (abstract ? 0 : 1));
  for (milliseconds pause(1);; pause = std::min(pause * 2, milliseconds(50))) {
    auto fd = connect_to(address, what, deadline);
    if (fd || !fd.error().message.ends_with(error_text(EAGAIN))) return fd;
    Instant now = std::chrono::steady_clock::now();
    if (now >= deadline) return fail(Code::timeout, fmt::format("dial {}: i/o timeout", what));
    std::this_thread::sleep_for(std::min<Duration>(pause, deadline - now));
  }
}

Result<std::pair<std::string, int>> split_authority(std::string_view authority, int default_port) {
  std::string_view host = authority, port;
  if (authority.starts_with('[')) {
    std::size_t end = authority.find(']');
    if (end == authority.npos) return fail(Code::invalid, "missing ']' in the host");
    host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
    if (!port.empty() && port[0] != ':') return fail(Code::invalid, "invalid host");
    if (!port.empty()) port.remove_prefix(1);
  } else if (std::size_t colon = authority.rfind(':'); colon != authority.npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
  }
  bool plain = !host.empty();
  for (unsigned char c : host)
    plain = plain && c > ' ' && c < 127 && std::string_view("@/?#[]\\\"<>").find(static_cast<char>(c)) == std::string_view::npos;
  if (!plain || (host.find(':') != host.npos && !authority.starts_with('['))) return fail(Code::invalid, "invalid host");
  if (port.empty()) return std::pair(std::string(host), default_port);
  auto number = parse_int(port);
  if (!number || *number < 1 || *number > 65535) return fail(Code::invalid, fmt::format("invalid port {}", go_quote(port)));
  return std::pair(std::string(host), static_cast<int>(*number));
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view url) {
  Endpoint endpoint;
  if (url.starts_with("unix:")) {
    url.remove_prefix(5);
    if (url.starts_with("//")) url.remove_prefix(2);
    if (url.empty() || url.find('\0') != url.npos) return fail(Code::invalid, "a Unix socket's URL must name its path: unix:///run/x.sock");
    endpoint.local = true;
    endpoint.path = std::string(url);
    endpoint.authority = "localhost";
    return endpoint;
  }
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    endpoint.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return fail(Code::invalid, fmt::format("unsupported URL {}: it must begin with https://, http:// or unix://", go_quote(url)));
  }
  std::size_t slash = std::min(rest.find('/'), rest.size());
  auto authority = split_authority(rest.substr(0, slash), endpoint.tls ? 443 : 80);
  if (!authority) return fail(Code::invalid, fmt::format("URL {}: {}", go_quote(url), authority.error().message));
  endpoint.host = authority->first;
  endpoint.port = authority->second;
  endpoint.authority = std::string(rest.substr(0, slash));
  endpoint.prefix = std::string(rest.substr(slash));
  while (endpoint.prefix.ends_with('/')) endpoint.prefix.pop_back();
  for (unsigned char c : endpoint.prefix)
    if (c <= ' ' || c >= 127 || c == '?' || c == '#') return fail(Code::invalid, fmt::format("URL {}: invalid path", go_quote(url)));
  return endpoint;
}

bool is_ip_address(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 || inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

Instant deadline_after(Duration limit) {
  Instant now = std::chrono::steady_clock::now();
  return limit >= no_deadline - now ? no_deadline : now + limit;
}

short wait_ready(int fd, short events, Instant deadline) {
  for (;;) {
    pollfd poll_fd{fd, events, 0};
    int timeout_ms = -1;
    if (deadline != no_deadline) {
      auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now()).count();
      timeout_ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, 3600 * 1000));
    }
    int ready = poll(&poll_fd, 1, timeout_ms);
    if (ready > 0) return poll_fd.revents;
    if (ready == 0 && deadline != no_deadline && std::chrono::steady_clock::now() >= deadline) return 0;
    if (ready < 0 && errno != EINTR) return POLLERR;
  }
}

Result<int> dial(const Endpoint& endpoint, Instant deadline) {
  if (endpoint.local) return connect_local(endpoint, deadline);
  auto addresses = resolve(endpoint.host, endpoint.port, deadline);
  if (!addresses) return std::unexpected(addresses.error());
  Result<int> fd = fail(Code::unavailable, fmt::format("dial tcp: lookup {}: no such host", endpoint.host));
  for (std::size_t i = 0; i < addresses->size(); ++i) {
    // What is left is shared fairly, so that one silent address leaves time for the others.
    Instant now = std::chrono::steady_clock::now();
    Instant share = deadline == no_deadline ? no_deadline : now + (deadline - now) / static_cast<int>(addresses->size() - i);
    auto attempt = connect_to((*addresses)[i], "tcp " + text_of((*addresses)[i]), share);
    if (attempt) return attempt;
    if (i == 0) fd = std::unexpected(attempt.error());  // the first address' error is reported
  }
  return fd;
}

std::string error_text(int error) {
  std::string text = std::generic_category().message(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}

}  // namespace kybern::net
