// The HTTP server: TLS 1.2+, HTTP/1.1 and HTTP/2 on one port, by one epoll reactor thread and a pool of handler threads.
//
// A handler gets an Exchange and completes it once, from any thread: a whole response, a pulled or pushed stream, or an
// upgrade. Limits (header size, body size, idle and slow peers) are the server's and are answered by it: 431, 413, 408.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "net/http.h"

namespace kybern::net {

// A body written by its producer while the peer reads. All calls are thread-safe and never block. Callbacks run on pool
// threads, one at a time. Letting go of a stream without finish() is abort().
class BodyStream {
 public:
  virtual ~BodyStream() = default;
  // Queues bytes (for HTTP/1.1 they become one chunk). False when the peer is gone or finish() was called.
  virtual bool write(std::string bytes) = 0;
  virtual std::size_t queued_bytes() const = 0;  // written but not yet taken by the kernel
  // Called once, from a pool thread, when queued_bytes() has come down to `low_bytes` or less (at once if it is so now),
  // also because the peer went away and nothing is queued any more.
  virtual void on_drained(std::size_t low_bytes, std::function<void()> callback) = 0;
  // The peer went away, or the server stops (then what is written until finish() still goes out, as long as the grace
  // lasts); called once, not after finish() or abort().
  virtual void on_close(std::function<void()> callback) = 0;
  virtual void finish() = 0;  // the end of the body
  virtual void abort() = 0;   // drop the connection (HTTP/2: reset the stream)
};

// The bytes of a connection after `101 Switching Protocols` (HTTP/1.1 only), TLS still applied. Callbacks run on a pool
// thread, one at a time, in order: what the peer has sent is delivered before on_close, even to a paused reader.
class RawStream : public BodyStream {
 public:
  virtual void on_data(std::function<void(std::string_view)> callback) = 0;
  virtual void pause_reading(bool paused) = 0;  // backpressure towards the peer
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;
  virtual Request& request() = 0;
  virtual void respond(Response response) = 0;
  // The body is what `produce` appends, called on a pool thread whenever there is room (about 64 KiB a call is good);
  // it returns false at the end. A list is served this way: it is never in memory as a whole.
  virtual void respond_pulled(int status, Headers headers, std::function<bool(std::string& out)> produce) = 0;
  virtual std::shared_ptr<BodyStream> respond_stream(int status, Headers headers) = 0;
  virtual std::shared_ptr<RawStream> upgrade(Headers headers) = 0;  // sends 101; null when the connection cannot
  // The peer is gone, or has closed its side: a handler that waits for something may stop and drop the exchange.
  virtual bool canceled() const { return false; }
};
using Handler = std::function<void(std::shared_ptr<Exchange>)>;

struct TlsFiles {                          // read again when a file's time or size changes: rotation needs no restart
  std::string certificate_file, key_file;  // PEM chain and key
  std::string client_ca_file;              // client certificates are asked for, and verified against this; "" to not ask
  std::string proxy_ca_file{};             // and against this: whom it vouches for is a front proxy (Request::proxy)
};

struct ServerOptions {
  std::string bind_address = "127.0.0.1";
  int port = 0;                 // 0: any free one
  std::optional<TlsFiles> tls;  // absent: plain HTTP
  std::string unix_path;        // instead of address and port
  std::size_t max_header_bytes = 1 << 20;
  std::size_t max_body_bytes = 3 << 20;  // apiserver's request limit
  // The limit of one request, when some have another one (body is empty yet). Called on the reactor thread: quick, no locks.
  std::function<std::size_t(const Request& head)> body_limit;
  std::size_t max_receiving_body_bytes = 256 << 20;  // of all bodies that are being received; beyond it 503
  // Answers what can be answered without waiting for anything, in microseconds, and says false to all else, which the handler
  // gets then. Called on the reactor thread: such a request costs no hand-over to a pool thread and back. Absent: none.
  std::function<bool(const std::shared_ptr<Exchange>& exchange)> at_once;
  // Whose a request is, as far as can be told without looking anything up. Requests that wait for a thread get one in turn,
  // one of each flow, so that whoever sends many does not hold up who sends few; so do the parts of streamed answers. Called on
  // the reactor thread; absent: all are of one flow.
  std::function<std::uint64_t(const Request& request)> flow_of;
  // The answer to a request that no handler sees (408, 413, 417, 431, 503 and malformed ones); absent: the message as plain
  // text. The message of a 413 is `Request entity too large: limit is 3145728`. Called on the reactor thread.
  std::function<Response(int status, std::string_view message)> refusal;
  std::chrono::milliseconds header_timeout{10000};  // for TLS handshake and request head
  std::chrono::milliseconds body_timeout{60000};
  std::chrono::milliseconds idle_timeout{180000};  // keep-alive without a request
  std::chrono::milliseconds write_timeout{60000};  // a peer that takes nothing while bytes are queued
  std::size_t min_threads = 1, max_threads = 128;  // handler threads; idle ones end
  std::size_t max_connections = 16000;
  std::size_t max_concurrent_streams = 250;  // HTTP/2, per connection
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> start(ServerOptions options, Handler handler);  // port in use, bad certificate: a clear message
  virtual ~Server() = default;
  virtual int port() const = 0;
  // Stops accepting, tells peers (GOAWAY, Connection: close), waits for exchanges until the deadline, then closes all.
  virtual void stop(std::chrono::milliseconds grace) = 0;
  virtual std::size_t connections() const = 0;
  // A pool thread of this server: work that a stream's producer wants done off the reactor.
  virtual void post(std::function<void()> task, std::uint64_t flow = 0) = 0;
};

}  // namespace kybern::net
