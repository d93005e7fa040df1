// For the DNS tests: a client over UDP and TCP, and an upstream resolver that answers as a test wants. On loopback only.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace kybern::dns::test {

inline sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline void set_timeout(int file, std::chrono::milliseconds limit) {
  const timeval time{limit.count() / 1000, (limit.count() % 1000) * 1000};
  ::setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
}

// "" when nothing comes in time.
inline std::string ask_udp(int port, std::string_view message, std::chrono::milliseconds patience = std::chrono::seconds(10)) {
  const int file = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  set_timeout(file, patience);
  const sockaddr_in address = loopback(port);
  ::connect(file, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  (void)!::send(file, message.data(), message.size(), 0);
  char buffer[65536];
  const ssize_t size = ::recv(file, buffer, sizeof buffer, 0);
  ::close(file);
  return size < 0 ? std::string() : std::string(buffer, static_cast<std::size_t>(size));
}

class TcpClient {
 public:
  explicit TcpClient(int port) : file_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    set_timeout(file_, std::chrono::seconds(10));
    const sockaddr_in address = loopback(port);
    ok_ = ::connect(file_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~TcpClient() { ::close(file_); }
  bool ok() const { return ok_; }
  void send_raw(std::string_view bytes) { (void)!::send(file_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void send(std::string_view message) { send_raw(framed(message)); }
  std::string receive() {  // "" at the end or when nothing comes in time
    const std::string length = read_exactly(2);
    if (length.size() < 2) return {};
    return read_exactly(static_cast<std::size_t>(static_cast<unsigned char>(length[0])) << 8 | static_cast<unsigned char>(length[1]));
  }
  static std::string framed(std::string_view message) {
    std::string out{static_cast<char>(message.size() >> 8), static_cast<char>(message.size() & 0xff)};
    return out.append(message);
  }

 private:
  std::string read_exactly(std::size_t size) {
    std::string out(size, '\0');
    std::size_t at = 0;
    while (at < size) {
      const ssize_t count = ::recv(file_, out.data() + at, size - at, 0);
      if (count <= 0) return {};
      at += static_cast<std::size_t>(count);
    }
    return out;
  }
  int file_;
  bool ok_ = false;
};

class Upstream {
 public:
  // The answer to a query; nothing: silence.
  using Handler = std::function<std::optional<std::string>(std::string_view query, bool tcp)>;
  explicit Upstream(Handler handler) : handler_(std::move(handler)) {
    udp_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address = loopback(0);
    ::bind(udp_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    ::getsockname(udp_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    tcp_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ::bind(tcp_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(tcp_, 16);
    wake_ = ::eventfd(0, EFD_CLOEXEC);
    thread_ = std::thread([this] { serve(); });
  }
  ~Upstream() {
    const std::uint64_t one = 1;
    (void)!::write(wake_, &one, sizeof one);
    thread_.join();
    for (int file : {udp_, tcp_, wake_}) ::close(file);
  }
  int port() const { return port_; }
  std::string text() const { return "127.0.0.1:" + std::to_string(port_); }
  std::atomic<int> asked{0};  // without probes for loops

 private:
  std::optional<std::string> answer(std::string_view query, bool tcp) {
    if (query.find("\12loop-probe") == query.npos) ++asked;
    return handler_(query, tcp);
  }
  void serve() {
    while (true) {
      pollfd files[] = {{udp_, POLLIN, 0}, {tcp_, POLLIN, 0}, {wake_, POLLIN, 0}};
      ::poll(files, 3, -1);
      if (files[2].revents != 0) return;
      char buffer[4096];
      sockaddr_in peer{};
      socklen_t size = sizeof peer;
      const ssize_t count = ::recvfrom(udp_, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&peer), &size);
      if (count > 0) {
        const auto out = answer({buffer, static_cast<std::size_t>(count)}, false);
        if (out) ::sendto(udp_, out->data(), out->size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
      }
      const int client = ::accept4(tcp_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      set_timeout(client, std::chrono::seconds(5));
      const ssize_t read = ::recv(client, buffer, sizeof buffer, 0);
      const auto out = read > 2 ? answer({buffer + 2, static_cast<std::size_t>(read) - 2}, true) : std::nullopt;
      if (out) {
        const std::string framed = TcpClient::framed(*out);
        (void)!::send(client, framed.data(), framed.size(), MSG_NOSIGNAL);
      }
      ::close(client);
    }
  }
  Handler handler_;
  int udp_ = -1, tcp_ = -1, wake_ = -1, port_ = 0;
  std::thread thread_;
};

}  // namespace kybern::dns::test
