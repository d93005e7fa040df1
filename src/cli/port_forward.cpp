// port-forward: local ports whose connections go to a pod, each over a WebSocket of its own.
//
// The channel protocol: the first message of each channel is the port (2 bytes, little-endian); channel 0 carries data
// both ways, channel 1 an error's text.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <thread>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/port_spec.h"
#include "cli/subjects.h"
#include "cli/workload.h"

namespace kybern::cli {
namespace {

constexpr std::size_t piece_bytes = 32 << 10;
constexpr int waiting_connections = 64;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

struct Forward {
  Socket listener;
  std::uint16_t local, remote;
  std::string address;
};

Result<Forward> listen_on(const std::string& address, std::uint16_t local, std::uint16_t remote) {
  sockaddr_storage where{};
  socklen_t length = 0;
  const std::string numeric = address == "localhost" ? "127.0.0.1" : address;
  auto* four = reinterpret_cast<sockaddr_in*>(&where);
  auto* six = reinterpret_cast<sockaddr_in6*>(&where);
  if (inet_pton(AF_INET, numeric.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(local);
    length = sizeof(sockaddr_in);
  } else if (inet_pton(AF_INET6, numeric.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(local);
    length = sizeof(sockaddr_in6);
  } else {
    return refuse(address + " is not a valid IP");
  }
  Socket socket(::socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (socket.fd() < 0 || bind(socket.fd(), reinterpret_cast<sockaddr*>(&where), length) != 0 ||
      listen(socket.fd(), waiting_connections) != 0)
    return fail(Code::unavailable, fmt::format("error: unable to listen on port {}: Listeners failed to create with the following errors: "
                                               "[unable to create listener: Error listen tcp4 {}:{}: bind: address already in use]",
                                               local, numeric, local));
  getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&where), &length);
  const std::uint16_t port = ntohs(where.ss_family == AF_INET ? four->sin_port : six->sin6_port);
  return Forward{std::move(socket), port, remote, where.ss_family == AF_INET ? numeric : "[" + numeric + "]"};
}

void complain(std::uint16_t local, std::uint16_t remote, std::string_view why) {
  fmt::print(stderr, "an error occurred forwarding {} -> {}: {}\n", local, remote, why);
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// Until either side ends.
void carry(std::unique_ptr<net::WebSocketClient> tunnel, Socket connection, std::uint16_t local, std::uint16_t remote) {
  std::thread up([&] {
    std::string piece(1 + piece_bytes, '\0');
    while (true) {
      const ssize_t got = recv(connection.fd(), piece.data() + 1, piece_bytes, 0);
      if (got <= 0) break;
      piece[0] = 0;
      if (!tunnel->write(net::WebSocketOpcode::binary, std::string_view(piece).substr(0, static_cast<std::size_t>(got) + 1))) break;
    }
    if (tunnel->protocol().starts_with("v5.")) (void)tunnel->write(net::WebSocketOpcode::binary, std::string{static_cast<char>(255), 0});
    else tunnel->close();
  });
  int before_data[2] = {2, 2};  // bytes of the port that each channel begins with
  while (true) {
    auto message = tunnel->read();
    if (!message || message->opcode == net::WebSocketOpcode::close) break;
    if (message->payload.empty()) continue;
    const auto channel = static_cast<unsigned char>(message->payload[0]);
    std::string_view bytes = std::string_view(message->payload).substr(1);
    if (channel > 1) continue;
    const std::size_t skip = std::min<std::size_t>(static_cast<std::size_t>(before_data[channel]), bytes.size());
    before_data[channel] -= static_cast<int>(skip);
    bytes.remove_prefix(skip);
    if (bytes.empty()) continue;
    if (channel == 1) {
      complain(local, remote, bytes);
      break;
    }
    if (!write_all(connection.fd(), bytes)) break;
  }
  shutdown(connection.fd(), SHUT_RDWR);
  tunnel->close();
  up.join();
}

Result<int> port_forward(Session& session, const Arguments& arguments) {
  if (arguments.words.size() < 2)
    return refuse("TYPE/NAME and list of ports are required for port-forward\nSee 'kubectl port-forward -h' for help and examples");
  auto subject = one_subject(session, arguments.words[0], "pods");
  if (!subject) return std::unexpected(subject.error());
  auto pods = pods_of(session, *subject);
  if (!pods) return std::unexpected(pods.error());
  if (pods->empty()) return refuse("no pods found for " + subject->shown());
  const Value pod = pods->front();
  if (pod["status"]["phase"].as_string() != "Running")
    return refuse(fmt::format("unable to forward port because pod is not running. Current status={}", pod["status"]["phase"].as_string()));
  const Value service = subject->type->kind == "Service" ? subject->object.root() : Value();
  auto addresses = arguments.list("address");
  if (addresses.empty()) addresses = {"localhost"};
  std::vector<Forward> forwards;
  for (std::size_t i = 1; i < arguments.words.size(); ++i) {
    auto spec = read_port_spec(arguments.words[i]);
    if (!spec) return std::unexpected(spec.error());
    auto remote = container_port(spec->remote, service, pod);
    if (!remote) return std::unexpected(remote.error());
    for (const std::string& address : addresses) {
      auto made = listen_on(address, spec->local, *remote);
      if (!made) return std::unexpected(made.error());
      fmt::print("Forwarding from {}:{} -> {}\n", made->address, made->local, made->remote);
      forwards.push_back(*std::move(made));
    }
  }
  std::fflush(stdout);
  const std::string path =
      fmt::format("/api/v1/namespaces/{}/pods/{}/portforward", url_encode(subject->ns), url_encode(pod["metadata"]["name"].as_string()));
  std::vector<pollfd> waits;
  for (const Forward& forward : forwards) waits.push_back({forward.listener.fd(), POLLIN, 0});
  while (poll(waits.data(), waits.size(), -1) >= 0 || errno == EINTR) {
    for (std::size_t i = 0; i < waits.size(); ++i) {
      if (!(waits[i].revents & POLLIN)) continue;
      const int fd = accept4(waits[i].fd, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      Socket connection(fd);
      const Forward& forward = forwards[i];
      fmt::print("Handling connection for {}\n", forward.local);
      std::fflush(stdout);
      auto tunnel = session.websocket(path, "ports=" + std::to_string(forward.remote), {"v4.channel.k8s.io"});
      if (!tunnel) {
        complain(forward.local, forward.remote, shown(tunnel.error()).message);
        continue;
      }
      // Lives as long as its connection, at most as long as this process, which only a signal ends.
      std::thread(carry, *std::move(tunnel), std::move(connection), forward.local, forward.remote).detach();
    }
  }
  return 0;
}

}  // namespace

Command port_forward_command() {
  using namespace flags;
  return {"port-forward",
          "make a pod's ports local",
          "(POD | TYPE/NAME) [LOCAL:]REMOTE...",
          {list("address", "the local addresses to listen on"), text("pod-running-timeout", "accepted for compatibility", "1m0s")},
          port_forward};
}

}  // namespace kybern::cli
