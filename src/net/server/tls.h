// The server's side of TLS, by OpenSSL: certificates from files, client certificates.
//
// A client certificate is asked for and checked as Kubernetes' servers do it: the handshake succeeds with any certificate
// whose key the client holds; whether it was issued by the client CA is found out afterwards, and is the authenticator's
// concern (Request::peer, Request::peer_error).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "net/http.h"
#include "net/server.h"

struct ssl_st;
struct ssl_ctx_st;
struct x509_store_st;

namespace kybern::net {

// What is known of a connection's client certificate.
struct PeerIdentity {
  std::shared_ptr<const PeerCertificate> certificate;  // when it is good
  std::string error;                                   // why it is not; empty when there is none
  std::shared_ptr<const PeerCertificate> proxy;        // when it is one of a front proxy
  Time not_before, not_after;
};

// The state of a file, to see that it was changed.
struct FileStamp {
  std::int64_t modified_ns = 0, changed_ns = 0, bytes = -1;
  std::uint64_t inode = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
FileStamp stamp_file(const std::string& path);

// Immutable; a change of the files makes a new one. Connections keep the one they began with.
class TlsContext {
 public:
  static Result<std::shared_ptr<TlsContext>> load(const TlsFiles& files);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  bool stale(const TlsFiles& files) const;  // the files are others than those loaded
  ssl_st* new_connection(int fd) const;     // null: out of memory
  // After the handshake. Null when the client gave no certificate (or none was asked for).
  std::shared_ptr<const PeerIdentity> identify(ssl_st* ssl) const;

 private:
  TlsContext() = default;
  Result<void> load_own(const TlsFiles& files);
  Result<void> load_client_ca(const TlsFiles& files);
  static std::string verify(x509_store_st* store, ssl_st* ssl);

  ssl_ctx_st* context_ = nullptr;
  x509_store_st* client_cas_ = nullptr;
  x509_store_st* proxy_cas_ = nullptr;
  std::array<FileStamp, 4> stamps_;
};

enum class AlpnProtocol : unsigned char { http1, http2 };
AlpnProtocol negotiated_protocol(ssl_st* ssl);

}  // namespace kybern::net
