#include "net/client/raw_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/strings.h"
#include "net/pem.h"

namespace kybern::net {

RawPeer::~RawPeer() { SSL_free(ssl_); }

bool RawPeer::handshake() { return ssl_ == nullptr || SSL_accept(ssl_) == 1; }

std::string RawPeer::read_some() {
  if (!buffer_.empty()) return std::exchange(buffer_, {});
  char bytes[16384];
  int count = ssl_ ? SSL_read(ssl_, bytes, sizeof bytes) : static_cast<int>(recv(fd_, bytes, sizeof bytes, 0));
  return count > 0 ? std::string(bytes, static_cast<std::size_t>(count)) : std::string();
}

std::string RawPeer::read_until(std::string_view end) {
  std::string all;
  for (;;) {
    if (std::size_t at = all.find(end); at != all.npos) {
      buffer_ = all.substr(at + end.size());
      return all.substr(0, at + end.size());
    }
    std::string more = read_some();
    if (more.empty()) return {};
    all += more;
  }
}

std::string RawPeer::read_exactly(std::size_t count) {
  std::string all = std::exchange(buffer_, {});
  while (all.size() < count) {
    std::string more = read_some();
    if (more.empty()) return {};
    all += more;
  }
  buffer_ = all.substr(count);
  all.resize(count);
  return all;
}

std::string RawPeer::read_request() {
  std::string head = read_until("\r\n\r\n");
  std::size_t at = head.find("content-length: ");
  if (at == head.npos) return head;
  std::size_t end = head.find('\r', at);
  return head + read_exactly(static_cast<std::size_t>(*parse_int(std::string_view(head).substr(at + 16, end - at - 16))));
}

bool RawPeer::write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t count = ssl_ ? SSL_write(ssl_, bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20)))
                         : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

void RawPeer::cut() { shutdown(fd_, SHUT_RDWR); }

void RawPeer::reset() {
  linger hard{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  // The reset goes out with the close at the end of the script; nothing more is read until then.
}

RawServer::RawServer(Script script, RawServerOptions options) : script_(std::move(script)), options_(std::move(options)) {
  std::signal(SIGPIPE, SIG_IGN);  // of the test's own OpenSSL writes
  bool local = !options_.unix_path.empty();
  listener_ = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int bound;
  if (local) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, options_.unix_path.c_str(), sizeof address.sun_path - 1);
    bound = bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bound = bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  KYBERN_CHECK(bound == 0 && listen(listener_, 128) == 0, "a test can listen");
  if (!options_.certificate.certificate_pem.empty()) {
    context_ = SSL_CTX_new(TLS_server_method());
    auto chain = *read_certificates(options_.certificate.certificate_pem);
    auto key = *read_private_key(options_.certificate.key_pem);
    KYBERN_CHECK(SSL_CTX_use_certificate(context_, chain[0].get()) == 1 && SSL_CTX_use_PrivateKey(context_, key.get()) == 1,
                 "the test's certificate is good");
    if (!options_.client_ca.empty()) {
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), (*read_certificates(options_.client_ca))[0].get());
      SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    if (!options_.protocol.empty()) {
      SSL_CTX_set_alpn_select_cb(
          context_,
          [](ssl_st*, const unsigned char** out, unsigned char* size, const unsigned char*, unsigned, void* self) {
            const std::string& protocol = static_cast<RawServer*>(self)->options_.protocol;
            *out = reinterpret_cast<const unsigned char*>(protocol.data());
            *size = static_cast<unsigned char>(protocol.size());
            return SSL_TLSEXT_ERR_OK;
          },
          this);
    }
  }
  acceptor_ = std::thread([this] { accept_all(); });
}

RawServer::~RawServer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (int fd : open_) shutdown(fd, SHUT_RDWR);
  }
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (std::thread& script : scripts_) script.join();
  close(listener_);
  SSL_CTX_free(context_);
  if (!options_.unix_path.empty()) unlink(options_.unix_path.c_str());
}

void RawServer::accept_all() {
  for (;;) {
    int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    std::lock_guard lock(mutex_);
    if (stopping_) {
      close(fd);
      return;
    }
    open_.push_back(fd);
    int number = accepted_++;
    scripts_.emplace_back([this, fd, number] {
      ssl_st* ssl = nullptr;
      if (context_ != nullptr) {
        ssl = SSL_new(context_);
        SSL_set_fd(ssl, fd);
      }
      {
        RawPeer peer(fd, ssl, number);
        if (peer.handshake()) script_(peer);
      }
      std::lock_guard lock(mutex_);
      std::erase(open_, fd);
      close(fd);
    });
  }
}

std::string RawServer::url(std::string_view host) const {
  if (!options_.unix_path.empty()) return "unix://" + options_.unix_path;
  return fmt::format("{}://{}:{}", context_ ? "https" : "http", host, port_);
}

ClientRequest get(std::string target) {
  ClientRequest request;
  request.target = std::move(target);
  request.timeout = std::chrono::seconds(10);
  return request;
}

std::string answer(std::string_view body) { return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body); }

int free_port() {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  KYBERN_CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0, "a test can bind");
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace kybern::net
