// One connection's bytes: a socket, with TLS when asked for. Non-blocking at the bottom, blocking with a deadline on top.
//
// One thread may read while another writes; interrupt() may come from any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "net/client/endpoint.h"

struct ssl_st;
struct ssl_ctx_st;
struct bio_st;

namespace kybern::net {

struct ClientTls;

// What every TLS connection of one client shares.
class ClientTlsContext {
 public:
  // `protocol`: of ALPN, "http/1.1" or "h2". Bad PEM, or a key that does not fit its certificate: Code::invalid.
  static Result<std::shared_ptr<const ClientTlsContext>> make(const ClientTls& tls, const Endpoint& endpoint, std::string_view protocol);
  ~ClientTlsContext();
  ClientTlsContext(const ClientTlsContext&) = delete;

 private:
  friend class Transport;
  ClientTlsContext() = default;
  ssl_ctx_st* context_ = nullptr;
  std::string name_;      // verified against the server's certificate
  std::string protocol_;  // ALPN
  bool insecure_ = false;
};

class Transport {
 public:
  // `tls` null: plain bytes. The deadline covers the TLS handshake too.
  static Result<std::unique_ptr<Transport>> connect(const Endpoint& endpoint, const ClientTlsContext* tls, Instant deadline);
  ~Transport();
  Transport(const Transport&) = delete;

  enum class State : unsigned char { done, blocked, closed, failed };
  struct Io {
    State state = State::done;
    std::size_t bytes = 0;
    short wait_for = 0;  // of blocked: POLLIN or POLLOUT
    Error error;         // of failed
  };
  Io try_read(char* to, std::size_t size);  // closed: the peer ended its side in good order
  Io try_write(std::string_view bytes);     // may take only some of the bytes
  int fd() const { return fd_; }

  Result<std::size_t> read(char* to, std::size_t size, Instant deadline);  // 0 at the end; Code::timeout, ::canceled, ::unavailable
  Result<void> write(std::string_view bytes, Instant deadline);
  void await(Instant deadline);  // until there may be something to read, or the deadline: spares a read that finds nothing
  void interrupt();              // ends both, now and later, with Code::canceled
  bool interrupted() const { return interrupted_.load(std::memory_order_acquire); }

  // Whether an idle connection, from which nothing is awaited, is still good: the peer neither closed it nor sent anything.
  bool quiet();

 private:
  Transport() = default;
  static int bio_read(bio_st* bio, char* to, int size);
  static int bio_write(bio_st* bio, const char* from, int size);
  static long bio_control(bio_st* bio, int command, long number, void* pointer);
  friend struct TransportBio;

  Result<void> handshake(const ClientTlsContext& tls, Instant deadline);
  Error handshake_error() const;
  Io tls_outcome(int result, const char* what);
  Error socket_error(const char* what, int error) const;  // "read tcp a->b: read: connection reset by peer"

  int fd_ = -1;
  bool local_ = false;
  std::atomic<bool> interrupted_ = false;
  std::mutex tls_mutex_;  // an SSL object is one thread's at a time
  ssl_st* ssl_ = nullptr;
  int last_errno_ = 0;        // of the socket under ssl_
  char first_bytes_[5] = {};  // received, to recognise a peer that speaks plain HTTP
  std::size_t first_count_ = 0;
  std::string verified_name_;  // "": whatever certificate the server shows is taken
  std::string distrust_;       // why the server's certificate was refused
};

}  // namespace kybern::net
