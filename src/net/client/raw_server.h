// For tests: a server that does byte by byte what a test says, also what no good server would. Each connection runs the
// script in a thread of its own; the destructor cuts all connections and waits for the scripts.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "net/certificates.h"
#include "net/client.h"

struct ssl_st;
struct ssl_ctx_st;

namespace kybern::net {

class RawPeer {
 public:
  RawPeer(int fd, ssl_st* ssl, int number) : fd_(fd), ssl_(ssl), number_(number) {}
  ~RawPeer();
  int number() const { return number_; }  // 0 for the server's first connection
  bool handshake();
  std::string read_some();                       // "" at the end
  std::string read_until(std::string_view end);  // up to and with `end`; "" when the peer closed before
  std::string read_exactly(std::size_t count);
  std::string read_request();  // head and the body that Content-Length announces
  bool write(std::string_view bytes);
  void cut();    // both directions, without TLS's farewell
  void reset();  // with a TCP RST
  void wait_closed() {
    while (!read_some().empty()) {}
  }
  int fd() const { return fd_; }

 private:
  int fd_;
  ssl_st* ssl_;
  int number_;
  std::string buffer_;
};

struct RawServerOptions {
  std::string unix_path;
  KeyPair certificate;    // TLS when set
  std::string client_ca;  // client certificates are demanded, and verified against this
  std::string protocol;   // ALPN's choice
};

class RawServer {
 public:
  using Script = std::function<void(RawPeer&)>;
  explicit RawServer(Script script, RawServerOptions options = {});
  ~RawServer();
  int port() const { return port_; }
  std::string url(std::string_view host = "127.0.0.1") const;
  int connections() const { return accepted_; }

 private:
  void accept_all();
  Script script_;
  RawServerOptions options_;
  int listener_ = -1, port_ = 0;
  ssl_ctx_st* context_ = nullptr;
  std::atomic<int> accepted_ = 0;
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> scripts_;
  bool stopping_ = false;
  std::thread acceptor_;
};

// What tests of the client ask, and what a script answers.
ClientRequest get(std::string target = "/");
std::string answer(std::string_view body);

// A port on 127.0.0.1 where nobody listens (just now).
int free_port();

}  // namespace kybern::net
