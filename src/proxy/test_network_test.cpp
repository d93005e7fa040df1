#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "proxy/test_network.h"

namespace kybern::proxy::test {
namespace {

// Before main: every thread of the program is inside.
std::string enter_node() {
  if (::geteuid() != 0) return "not root";
  if (::access("/usr/sbin/ip", X_OK) != 0 && ::access("/sbin/ip", X_OK) != 0) return "no ip tool";
  if (::unshare(CLONE_NEWNET) != 0) return std::string("no network namespaces: ") + std::strerror(errno);
  if (!sh("ip link set lo up")) return "ip does not work in a network namespace";
  if (::access("/usr/sbin/nft", X_OK) == 0 && !sh("nft add table ip probe && nft delete table ip probe")) return "no nftables";
  return {};
}
const std::string node_problem = enter_node();

std::string text_of(const sockaddr_in6& address) {
  char buffer[INET6_ADDRSTRLEN];
  ::inet_ntop(AF_INET6, &address.sin6_addr, buffer, sizeof buffer);
  std::string text = buffer;
  return text.starts_with("::ffff:") ? text.substr(7) : text;
}

int bound(int type, int port) {
  const int file = ::socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1, off = 0;
  ::setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(file, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<std::uint16_t>(port));
  if (::bind(file, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::perror("bind");
  if (type == SOCK_DGRAM) ::setsockopt(file, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  if (type == SOCK_STREAM && ::listen(file, 64) != 0) std::perror("listen");
  return file;
}

bool ready(int file, short events, std::chrono::milliseconds limit) {
  pollfd entry{file, events, 0};
  return ::poll(&entry, 1, static_cast<int>(limit.count())) > 0;
}

// From the address that was asked, which is not the one that the route back would take.
void answer_datagram(int file, const std::string& name) {
  sockaddr_in6 peer{};
  char buffer[64];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in6_pktinfo))];
  iovec part{buffer, sizeof buffer};
  msghdr message{};
  message.msg_name = &peer;
  message.msg_namelen = sizeof peer;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(file, &message, 0) < 0) return;
  if (cmsghdr* header = CMSG_FIRSTHDR(&message)) reinterpret_cast<in6_pktinfo*>(CMSG_DATA(header))->ipi6_ifindex = 0;
  std::string answer = name + " from " + text_of(peer);
  part = {answer.data(), answer.size()};
  ::sendmsg(file, &message, 0);
}

std::string error_text(int error) {
  if (error == ECONNREFUSED) return "refused";
  if (error == EAGAIN || error == ETIMEDOUT || error == EINPROGRESS) return "timeout";
  return std::strerror(error);
}

std::string converse(int file, const Question& question, const sockaddr* address, socklen_t size) {
  if (::connect(file, address, size) != 0 && errno != EINPROGRESS) return error_text(errno);
  if (!ready(file, POLLOUT, question.patience)) return "timeout";
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(file, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return error_text(error);
  if (question.udp && ::send(file, "?", 1, 0) < 0) return error_text(errno);
  if (!ready(file, POLLIN, question.patience)) return "timeout";
  char buffer[256];
  const ssize_t got = ::recv(file, buffer, sizeof buffer, 0);
  return got < 0 ? error_text(errno) : std::string(buffer, static_cast<std::size_t>(got));
}

std::string ask_here(const Question& question) {
  const bool v6 = question.address.find(':') != question.address.npos;
  const int file = ::socket(v6 ? AF_INET6 : AF_INET, (question.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage storage{};
  socklen_t size = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  auto fill = [&](const char* text, int port) {
    storage = {};
    if (v6) {
      auto* six = reinterpret_cast<sockaddr_in6*>(&storage);
      six->sin6_family = AF_INET6;
      six->sin6_port = htons(static_cast<std::uint16_t>(port));
      ::inet_pton(AF_INET6, text, &six->sin6_addr);
    } else {
      auto* four = reinterpret_cast<sockaddr_in*>(&storage);
      four->sin_family = AF_INET;
      four->sin_port = htons(static_cast<std::uint16_t>(port));
      ::inet_pton(AF_INET, text, &four->sin_addr);
    }
  };
  if (question.source_port != 0) {
    fill(v6 ? "::" : "0.0.0.0", question.source_port);
    ::bind(file, reinterpret_cast<sockaddr*>(&storage), size);
  }
  fill(question.address.c_str(), question.port);
  std::string answer = converse(file, question, reinterpret_cast<sockaddr*>(&storage), size);
  ::close(file);
  return answer;
}

}  // namespace

const std::string& why_no_network() { return node_problem; }

bool sh(const std::string& command, bool quiet) {
  std::string quoted = command;
  for (std::size_t at = 0; (at = quoted.find('\'', at)) != quoted.npos; at += 4) quoted.replace(at, 1, "'\\''");
  FILE* pipe = ::popen(("bash -c '" + quoted + "' 2>&1").c_str(), "r");
  if (pipe == nullptr) return false;
  std::string output;
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) output += buffer;
  if (::pclose(pipe) == 0) return true;
  if (quiet) return false;
  std::fprintf(stderr, "%s: %s", command.c_str(), output.c_str());
  return false;
}

Namespace::Namespace() {
  std::thread([this] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    sh("ip link set lo up");
    file_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  }).join();
}

Namespace::~Namespace() {
  if (file_ >= 0) ::close(file_);
}

std::string Namespace::path() const { return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file_); }

void Namespace::run(const std::function<void()>& work) const {
  std::thread([&] {
    ASSERT_EQ(::setns(file_, CLONE_NEWNET), 0);
    work();
  }).join();
}

EchoServer::EchoServer(const Namespace* where, std::string name, int port) : name_(std::move(name)) {
  auto open = [&] {
    tcp_ = bound(SOCK_STREAM, port);
    udp_ = bound(SOCK_DGRAM, port);
  };
  if (where == nullptr) open();
  else where->run(open);
  wake_ = ::eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { serve(); });
}

EchoServer::~EchoServer() {
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
  thread_.join();
  for (int file : {tcp_, udp_, wake_}) ::close(file);
}

void EchoServer::serve() {
  while (true) {
    pollfd files[] = {{tcp_, POLLIN, 0}, {udp_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (::poll(files, 3, -1) < 0 && errno != EINTR) return;
    if (files[2].revents != 0) return;
    sockaddr_in6 peer{};
    socklen_t size = sizeof peer;
    if (const int client = ::accept(tcp_, reinterpret_cast<sockaddr*>(&peer), &size); client >= 0) {
      const std::string answer = name_ + " from " + text_of(peer);
      (void)!::write(client, answer.data(), answer.size());
      ::close(client);
    }
    answer_datagram(udp_, name_);
  }
}

std::string ask(const Namespace* where, const Question& question) {
  std::string answer;
  if (where == nullptr) answer = ask_here(question);
  else where->run([&] { answer = ask_here(question); });
  return answer;
}

std::string who(const std::string& answer) { return answer.substr(0, answer.find(" from ")); }

std::string seen_as(const std::string& answer) {
  const std::size_t at = answer.find(" from ");
  return at == answer.npos ? "" : answer.substr(at + 6);
}

}  // namespace kybern::proxy::test
