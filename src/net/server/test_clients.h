// Clients for the server's tests: raw sockets, TLS and HTTP/2, with bounded waits.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/testing/eventually.h"
#include "net/http.h"
#include "net/server.h"

struct ssl_st;
struct ssl_ctx_st;
struct nghttp2_session;

namespace kybern::net::test {

constexpr std::chrono::milliseconds patience{10000};

// A directory that goes away with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }
  std::string write(std::string_view name, std::string_view content) const;  // returns its path

 private:
  std::string path_;
};

class TcpClient {
 public:
  explicit TcpClient(int port, int receive_buffer_bytes = 0);
  virtual ~TcpClient();
  TcpClient(const TcpClient&) = delete;
  TcpClient& operator=(const TcpClient&) = delete;

  virtual bool send(std::string_view bytes);  // all of it; false when the peer is gone
  // Everything received so far, once `marker` is in it (or the peer has closed, or time is up).
  const std::string& read_until(std::string_view marker, std::chrono::milliseconds limit = patience);
  const std::string& read_bytes(std::size_t count, std::chrono::milliseconds limit = patience);  // at least `count`
  const std::string& read_to_end(std::chrono::milliseconds limit = patience);
  std::string take();  // what was received; forgets it
  void put_back(std::string bytes) { received_ = std::move(bytes); }
  bool ended() const { return ended_; }  // the peer has closed
  void shutdown_write();
  void close();
  int fd() const { return fd_; }

 protected:
  virtual long receive(char* out, std::size_t bytes);  // > 0, 0 at the end, -1: nothing now
  bool wait_readable(std::chrono::steady_clock::time_point deadline);
  bool read_more(std::chrono::steady_clock::time_point deadline);
  int fd_ = -1;
  std::string received_;
  bool ended_ = false;
};

struct TlsClientOptions {
  std::string certificate_pem, key_pem;
  std::vector<std::string> alpn;
  int max_version = 0;  // e.g. TLS1_2_VERSION
  int min_version = 0;
};

class TlsClient : public TcpClient {
 public:
  TlsClient(int port, const TlsClientOptions& options, int receive_buffer_bytes = 0);
  ~TlsClient() override;
  bool send(std::string_view bytes) override;
  bool connected() const { return connected_; }
  std::string alpn() const;
  std::string server_common_name() const;

 protected:
  long receive(char* out, std::size_t bytes) override;

 private:
  friend class Http2Client;
  ssl_ctx_st* context_ = nullptr;
  ssl_st* ssl_ = nullptr;
  bool connected_ = false;
};

struct HttpAnswer {
  int status = 0;  // 0: none came
  Headers headers;
  std::string body;
};

// Reads one HTTP/1.1 answer (with chunks decoded); what follows it stays with the client.
HttpAnswer read_answer(TcpClient& client, std::string_view method = "GET", std::chrono::milliseconds limit = patience);
HttpAnswer get(TcpClient& client, std::string_view path, std::string_view more_headers = "");

class Http2Client {
 public:
  struct Stream {
    int status = 0;
    std::map<std::string, std::string> headers;
    std::string body;
    std::size_t body_bytes = 0;
    bool closed = false;
    std::uint32_t error = 0;
    bool continued = false;  // 100 came
  };
  struct Options {
    TlsClientOptions tls;
    bool auto_window = true;  // false: windows are never opened again
    bool keep_bodies = true;
    std::uint32_t window_bytes = 65535;
  };

  Http2Client(int port, Options options);
  ~Http2Client();
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  int request(std::string_view method, std::string_view path, const Headers& headers = {}, std::string body = "", bool end_stream = true);
  void reset(int id);
  void grow_window(int id, int bytes);
  Stream& stream(int id) { return streams_[id]; }
  bool wait(const std::function<bool()>& condition, std::chrono::milliseconds limit = patience);
  bool wait_closed(int id, std::chrono::milliseconds limit = patience);
  bool flush();  // sends what is queued
  bool goaway() const { return goaway_; }
  std::uint32_t goaway_error() const { return goaway_error_; }
  bool ended() const { return ended_; }
  TlsClient& tls() { return *tls_; }

 private:
  friend struct ClientCallbacks;
  bool pump(std::chrono::steady_clock::time_point deadline);
  std::unique_ptr<TlsClient> tls_;
  nghttp2_session* session_ = nullptr;
  std::map<int, Stream> streams_;
  std::map<int, std::pair<std::string, std::size_t>> bodies_;  // being sent
  std::map<int, bool> open_bodies_;
  bool goaway_ = false, ended_ = false, keep_bodies_ = true;
  std::uint32_t goaway_error_ = 0;
};

// A CA, a server certificate for 127.0.0.1 and client certificates, made anew.
struct TestPki {
  TestPki();
  std::string ca_pem, ca_key_pem;
  TemporaryDirectory directory;
  TlsFiles files;  // of the server
  struct Pair {
    std::string certificate_pem, key_pem;
  };
  Pair client(std::string_view common_name, const std::vector<std::string>& organizations) const;
  Pair expired_client() const;
  void write_server(std::string_view common_name) const;  // replaces the server's certificate and key
};

std::unique_ptr<Server> start_server(Handler handler, ServerOptions options = {});

std::string run(const std::string& command);  // what the shell's command printed

}  // namespace kybern::net::test
