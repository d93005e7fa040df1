// The HTTP client: blocking calls over pooled keep-alive connections, streamed bodies, upgrades; and gRPC over HTTP/2.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http.h"

namespace kybern::net {

struct ClientTls {
  std::string ca_pem;                    // a bundle; whatever is in it is trusted. "" with insecure=false: the system's roots
  std::string certificate_pem, key_pem;  // client certificate (chain) and its key; both may be empty
  std::string server_name;               // SNI and verification name (or IP address), "" for the host
  bool insecure = false;                 // do not verify
};

struct ClientOptions {
  std::string url;  // https://host:port, http://host:port, unix:///path; a path after the host goes before every target
  ClientTls tls;
  std::chrono::milliseconds connect_timeout{10000};  // name, TCP and TLS together; the call's own time-out counts too
  std::size_t max_idle_connections = 16;
  std::size_t max_body_bytes = std::size_t(512) << 20;  // of call(): a larger answer is Code::too_large
  Headers metadata;                                     // of gRPC: sent with every call, e.g. containerd-namespace, token
};

struct ClientRequest {
  std::string method = "GET";
  std::string target;  // path and query, percent-encoded
  Headers headers;
  std::string body;
  std::chrono::milliseconds timeout{60000};  // for the whole answer; of a stream, for its head. 0: no limit
};

// A response whose body is read as it comes. read() blocks; close() from another thread ends it (Code::canceled).
class ClientStream {
 public:
  virtual ~ClientStream() = default;
  virtual int status() const = 0;
  virtual const Headers& headers() const = 0;
  virtual Result<std::string> read() = 0;                                     // the next bytes, "" at the end of the body
  virtual Result<std::string> read_for(std::chrono::milliseconds limit) = 0;  // Code::timeout when nothing came
  virtual void close() = 0;
};

// Both directions after a 101 answer.
class DuplexStream : public ClientStream {
 public:
  virtual Result<void> write(std::string_view bytes) = 0;
};

// One client serves many threads; each call in progress has a connection of its own. Streams may outlive the client.
// The peer cannot be reached, TLS included: Code::unavailable, in Go's words ("dial tcp 127.0.0.1:6443: connect:
// connection refused", "tls: failed to verify certificate: x509: ..."). Any status is an answer, not an error.
class HttpClient {
 public:
  static Result<std::unique_ptr<HttpClient>> make(ClientOptions options);
  virtual ~HttpClient() = default;
  // A request on a kept connection that has gone stale is sent again once on a new one, when nothing of it was sent, or
  // nothing of an answer came and the method is GET, HEAD or OPTIONS.
  virtual Result<Response> call(ClientRequest request) = 0;
  virtual Result<std::unique_ptr<ClientStream>> stream(ClientRequest request) = 0;
  virtual Result<std::unique_ptr<DuplexStream>> upgrade(
      ClientRequest request) = 0;  // the caller sets Connection and Upgrade; any other status than 101: Code::unavailable with status and
                                   // body in the message
};

// gRPC (HTTP/2, by nghttp2) over a Unix socket or TCP; messages are bytes, the caller encodes them. One connection,
// many calls at once; reconnects by itself. A message of more than 16 MiB, either way: Code::too_large.
struct GrpcStatus {
  int code = 0;
  std::string message;
};  // code 0: OK

// Messages both ways. read() and write() may be called from different threads; close() from any.
class GrpcStream {
 public:
  virtual ~GrpcStream() = default;                           // cancels a call that has not ended
  virtual Result<std::string> read() = 0;                    // next message; Code::not_found at a clean end
  virtual Result<void> write(std::string_view message) = 0;  // waits while 1 MiB is unsent
  virtual Result<void> finish_writing() { return {}; }       // no more messages from this side: some servers answer only then
  virtual void close() = 0;                                  // cancels: read() and write() end with Code::canceled
};

class GrpcClient {
 public:
  // options.url: unix:///path, http://host:port, https://host:port. Connects with the first call. After a failed attempt
  // calls fail at once with its error for a while that grows from 50 ms to 2 s.
  static Result<std::unique_ptr<GrpcClient>> make(ClientOptions options);
  virtual ~GrpcClient() = default;
  // method: "/runtime.v1.RuntimeService/Version". A gRPC error becomes Error: NOT_FOUND not_found, ALREADY_EXISTS
  // already_exists, UNIMPLEMENTED unsupported, DEADLINE_EXCEEDED timeout, UNAVAILABLE unavailable, CANCELLED canceled,
  // others internal; the message is the peer's. timeout 0: no limit. A call that certainly did not reach the peer (a
  // connection found dead, a refused stream) is made once more on a new connection.
  virtual Result<std::string> call(std::string_view method, std::string_view message, std::chrono::milliseconds timeout) = 0;
  virtual Result<std::unique_ptr<GrpcStream>> stream(std::string_view method) = 0;
};

}  // namespace kybern::net
