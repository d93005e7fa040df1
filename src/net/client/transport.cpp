#include "net/client/transport.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/check.h"
#include "base/strings.h"
#include "net/certificates.h"
#include "net/client.h"
#include "net/pem.h"

namespace kybern::net {

// OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE when the peer is gone; a library must not.
struct TransportBio {
  static BIO_METHOD* method() {
    static BIO_METHOD* shared = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "kybern client socket");
      KYBERN_CHECK(made != nullptr, "memory for a BIO method");
      BIO_meth_set_read(made, &Transport::bio_read);
      BIO_meth_set_write(made, &Transport::bio_write);
      BIO_meth_set_ctrl(made, &Transport::bio_control);
      return made;
    }();
    return shared;
  }
  static int verified(int good, x509_store_ctx_st* context);
};

namespace {

std::string address_text(int fd, bool peer) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if ((peer ? getpeername(fd, address, &size) : getsockname(fd, address, &size)) != 0) return "";
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getnameinfo(address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) return "";
  return storage.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

// The peer's alerts, in the words that users of the API know from Go.
std::string alert_text(int alert) {
  if (alert == SSL_AD_UNKNOWN_CA) return "unknown certificate authority";
  if (alert == TLS13_AD_CERTIFICATE_REQUIRED) return "certificate required";
  if (alert == TLS1_AD_NO_APPLICATION_PROTOCOL) return "no application protocol";
  if (alert == SSL_AD_PROTOCOL_VERSION) return "protocol version not supported";
  return SSL_alert_desc_string_long(alert);
}

std::string names_of(X509* certificate, bool addresses) {
  std::vector<std::string> names;
  auto* list = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; list != nullptr && i < sk_GENERAL_NAME_num(list); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list, i);
    if (!addresses && name->type == GEN_DNS) {
      names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                         static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (addresses && name->type == GEN_IPADD) {
      char text[INET6_ADDRSTRLEN];
      int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
      if (inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text)) names.emplace_back(text);
    }
  }
  GENERAL_NAMES_free(list);
  return join(names, ", ");
}

std::string time_text(const ASN1_TIME* time) {
  std::tm tm{};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return "?";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                     tm.tm_sec);
}

std::string validity_text(const char* side, const ASN1_TIME* limit) {
  std::string now = format_rfc3339(std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()));
  return fmt::format("x509: certificate has expired or is not yet valid: current time {} is {} {}", now, side, time_text(limit));
}

std::string verification_text(int result, X509* certificate, const std::string& name) {
  switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH: {
      std::string valid = names_of(certificate, false);
      if (valid.empty()) return fmt::format("x509: certificate is not valid for any names, but wanted to match {}", name);
      return fmt::format("x509: certificate is valid for {}, not {}", valid, name);
    }
    case X509_V_ERR_IP_ADDRESS_MISMATCH: {
      std::string valid = names_of(certificate, true);
      if (valid.empty()) return fmt::format("x509: cannot validate certificate for {} because it doesn't contain any IP SANs", name);
      return fmt::format("x509: certificate is valid for {}, not {}", valid, name);
    }
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: return "x509: certificate signed by unknown authority";
    case X509_V_ERR_CERT_HAS_EXPIRED: return validity_text("after", X509_get0_notAfter(certificate));
    case X509_V_ERR_CERT_NOT_YET_VALID: return validity_text("before", X509_get0_notBefore(certificate));
    case X509_V_ERR_INVALID_PURPOSE: return "x509: certificate specifies an incompatible key usage";
    default: return fmt::format("x509: {}", X509_verify_cert_error_string(result));
  }
}

}  // namespace

// Called for each finding about the server's chain. The handshake ends at the first bad one, and only here is the
// certificate at hand that the message speaks of.
int TransportBio::verified(int good, x509_store_ctx_st* context) {
  if (good == 1) return 1;
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* self = static_cast<Transport*>(BIO_get_data(SSL_get_rbio(ssl)));
  X509* certificate = X509_STORE_CTX_get_current_cert(context);
  if (certificate == nullptr) certificate = X509_STORE_CTX_get0_cert(context);
  int error = X509_STORE_CTX_get_error(context);
  if (!self->verified_name_.empty() && self->distrust_.empty())
    self->distrust_ = verification_text(error, certificate, self->verified_name_);
  return self->verified_name_.empty() ? 1 : 0;
}

Result<std::shared_ptr<const ClientTlsContext>> ClientTlsContext::make(const ClientTls& tls, const Endpoint& endpoint,
                                                                       std::string_view protocol) {
  std::shared_ptr<ClientTlsContext> made(new ClientTlsContext);
  made->context_ = SSL_CTX_new(TLS_client_method());
  KYBERN_CHECK(made->context_ != nullptr, "memory for a TLS context");
  SSL_CTX* context = made->context_;
  made->name_ = tls.server_name.empty() ? endpoint.local ? "localhost" : endpoint.host : tls.server_name;
  made->protocol_ = static_cast<char>(protocol.size()) + std::string(protocol);
  made->insecure_ = tls.insecure;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // A record's head and body in one call of the kernel. What has been read ahead no poll() tells of, which is well with
  // HTTP/1.1, where every wait comes after a read that found nothing.
  if (protocol == "http/1.1") SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, tls.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, &TransportBio::verified);
  if (!tls.insecure && tls.ca_pem.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else if (!tls.insecure) {
    auto authorities = read_certificates(tls.ca_pem);
    if (!authorities)
      return fail(authorities.error().code, fmt::format("unable to load root certificates: {}", authorities.error().message));
    X509_STORE* store = SSL_CTX_get_cert_store(context);
    // Whatever is in the bundle is trusted, an intermediate or a server's own certificate too.
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    for (const X509Ptr& authority : *authorities) X509_STORE_add_cert(store, authority.get());
  }
  if (tls.certificate_pem.empty() != tls.key_pem.empty())
    return fail(Code::invalid, "a client certificate and its key must be given together");
  if (!tls.certificate_pem.empty()) {
    auto chain = read_certificates(tls.certificate_pem);
    if (!chain) return fail(chain.error().code, fmt::format("the client certificate: {}", chain.error().message));
    auto key = read_private_key(tls.key_pem);
    if (!key) return fail(key.error().code, fmt::format("the client certificate's key: {}", key.error().message));
    bool good = SSL_CTX_use_certificate(context, chain->front().get()) == 1;
    for (std::size_t i = 1; good && i < chain->size(); ++i) good = SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) == 1;
    if (!good) return fail(Code::invalid, fmt::format("the client certificate: {}", openssl_reason()));
    if (SSL_CTX_use_PrivateKey(context, key->get()) != 1) {
      openssl_reason();
      return fail(Code::invalid, "tls: private key does not match public key");
    }
  }
  ERR_clear_error();
  return made;
}

ClientTlsContext::~ClientTlsContext() { SSL_CTX_free(context_); }

Result<std::unique_ptr<Transport>> Transport::connect(const Endpoint& endpoint, const ClientTlsContext* tls, Instant deadline) {
  auto fd = dial(endpoint, deadline);
  if (!fd) return std::unexpected(fd.error());
  std::unique_ptr<Transport> transport(new Transport);
  transport->fd_ = *fd;
  transport->local_ = endpoint.local;
  if (tls != nullptr)
    if (auto done = transport->handshake(*tls, deadline); !done) return std::unexpected(done.error());
  return transport;
}

Transport::~Transport() {
  if (ssl_ != nullptr) {
    ERR_clear_error();
    if (SSL_is_init_finished(ssl_)) SSL_shutdown(ssl_);  // says close_notify, without waiting for the answer
    ERR_clear_error();
    SSL_free(ssl_);
  }
  if (fd_ >= 0) close(fd_);
}

int Transport::bio_read(bio_st* bio, char* to, int size) {
  auto* self = static_cast<Transport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  ssize_t count = recv(self->fd_, to, static_cast<std::size_t>(size), 0);
  if (count < 0) {
    self->last_errno_ = errno;
    if (errno == EAGAIN || errno == EINTR) BIO_set_retry_read(bio);
    return -1;
  }
  if (count == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  for (ssize_t i = 0; i < count && self->first_count_ < sizeof self->first_bytes_; ++i) self->first_bytes_[self->first_count_++] = to[i];
  return static_cast<int>(count);
}

int Transport::bio_write(bio_st* bio, const char* from, int size) {
  auto* self = static_cast<Transport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  ssize_t count = send(self->fd_, from, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (count < 0) {
    self->last_errno_ = errno;
    if (errno == EAGAIN || errno == EINTR) BIO_set_retry_write(bio);
    return -1;
  }
  return static_cast<int>(count);
}

long Transport::bio_control(bio_st* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
  return 0;
}

Result<void> Transport::handshake(const ClientTlsContext& tls, Instant deadline) {
  ssl_ = SSL_new(tls.context_);
  BIO* bio = BIO_new(TransportBio::method());
  KYBERN_CHECK(ssl_ != nullptr && bio != nullptr, "memory for a TLS connection");
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  if (!tls.insecure_) verified_name_ = tls.name_;
  SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(tls.protocol_.data()), static_cast<unsigned>(tls.protocol_.size()));
  X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl_);
  if (tls.insecure_) {
    if (!is_ip_address(tls.name_)) SSL_set_tlsext_host_name(ssl_, tls.name_.c_str());
  } else if (is_ip_address(tls.name_)) {
    X509_VERIFY_PARAM_set1_ip_asc(parameters, tls.name_.c_str());
  } else {
    // Names are taken from the alternative names alone, never from the subject, as RFC 9525 asks.
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    X509_VERIFY_PARAM_set1_host(parameters, tls.name_.c_str(), tls.name_.size());
    SSL_set_tlsext_host_name(ssl_, tls.name_.c_str());
  }
  for (;;) {
    ERR_clear_error();
    last_errno_ = 0;
    int result = SSL_connect(ssl_);
    if (result == 1) break;
    int reason = SSL_get_error(ssl_, result);
    if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
      Error error = handshake_error();
      if (!distrust_.empty()) error = {Code::unavailable, "tls: failed to verify certificate: " + distrust_};
      return std::unexpected(std::move(error));
    }
    if (wait_ready(fd_, reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline) == 0)
      return fail(Code::timeout, "net/http: TLS handshake timeout");
  }
  ERR_clear_error();
  return {};
}

Error Transport::handshake_error() const {
  if (first_count_ == sizeof first_bytes_ && std::memcmp(first_bytes_, "HTTP/", 5) == 0) {
    ERR_clear_error();
    return {Code::unavailable, "http: server gave HTTP response to HTTPS client"};
  }
  unsigned long code = ERR_peek_error();
  int reason = ERR_GET_REASON(code);
  std::string text = openssl_reason();
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET)
    return {Code::unavailable, "remote error: tls: " + alert_text(reason - SSL_AD_REASON_OFFSET)};
  if (code == 0 || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
    return last_errno_ != 0 && last_errno_ != EAGAIN ? socket_error("read", last_errno_) : Error{Code::unavailable, "EOF"};
  return {Code::unavailable, "tls: " + text};
}

Error Transport::socket_error(const char* what, int error) const {
  std::string between = local_ ? std::string("unix") : fmt::format("tcp {}->{}", address_text(fd_, false), address_text(fd_, true));
  return {Code::unavailable, fmt::format("{} {}: {}: {}", what, between, what, error_text(error))};
}

Transport::Io Transport::tls_outcome(int result, const char* what) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return {State::blocked, 0, POLLIN, {}};
    case SSL_ERROR_WANT_WRITE: return {State::blocked, 0, POLLOUT, {}};
    case SSL_ERROR_ZERO_RETURN: return {State::closed, 0, 0, {}};
    case SSL_ERROR_SYSCALL:
      return {State::failed, 0, 0, last_errno_ != 0 ? socket_error(what, last_errno_) : Error{Code::unavailable, "unexpected EOF"}};
    default: break;
  }
  // A connection cut without close_notify ends in the error below; what was cut off is for the layer above to judge.
  if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    return {State::failed, 0, 0, {Code::unavailable, "unexpected EOF"}};
  }
  return {State::failed, 0, 0, handshake_error()};
}

Transport::Io Transport::try_read(char* to, std::size_t size) {
  if (ssl_ != nullptr) {
    std::lock_guard lock(tls_mutex_);
    forget_errors();
    last_errno_ = 0;
    int count = SSL_read(ssl_, to, static_cast<int>(std::min<std::size_t>(size, INT_MAX)));
    return count > 0 ? Io{State::done, static_cast<std::size_t>(count), 0, {}} : tls_outcome(count, "read");
  }
  for (;;) {
    ssize_t count = recv(fd_, to, size, 0);
    if (count > 0) return {State::done, static_cast<std::size_t>(count), 0, {}};
    if (count == 0) return {State::closed, 0, 0, {}};
    if (errno == EAGAIN) return {State::blocked, 0, POLLIN, {}};
    if (errno != EINTR) return {State::failed, 0, 0, socket_error("read", errno)};
  }
}

Transport::Io Transport::try_write(std::string_view bytes) {
  if (ssl_ != nullptr) {
    std::lock_guard lock(tls_mutex_);
    forget_errors();
    last_errno_ = 0;
    int count = SSL_write(ssl_, bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX)));
    return count > 0 ? Io{State::done, static_cast<std::size_t>(count), 0, {}} : tls_outcome(count, "write");
  }
  for (;;) {
    ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0) return {State::done, static_cast<std::size_t>(count), 0, {}};
    if (errno == EAGAIN) return {State::blocked, 0, POLLOUT, {}};
    if (errno != EINTR) return {State::failed, 0, 0, socket_error("write", errno)};
  }
}

Result<std::size_t> Transport::read(char* to, std::size_t size, Instant deadline) {
  for (;;) {
    if (interrupted()) return fail(Code::canceled, "context canceled");
    Io io = try_read(to, size);
    if (interrupted()) return fail(Code::canceled, "context canceled");
    if (io.state == State::done) return io.bytes;
    if (io.state == State::closed) return std::size_t(0);
    if (io.state == State::failed) return std::unexpected(std::move(io.error));
    if (wait_ready(fd_, io.wait_for, deadline) == 0) return fail(Code::timeout, "i/o timeout");
  }
}

Result<void> Transport::write(std::string_view bytes, Instant deadline) {
  while (!bytes.empty()) {
    if (interrupted()) return fail(Code::canceled, "context canceled");
    Io io = try_write(bytes);
    if (io.state == State::done) {
      bytes.remove_prefix(io.bytes);
      continue;
    }
    if (interrupted()) return fail(Code::canceled, "context canceled");
    if (io.state == State::closed) return fail(Code::unavailable, "tls: the peer closed the connection");
    if (io.state == State::failed) return std::unexpected(std::move(io.error));
    if (wait_ready(fd_, io.wait_for, deadline) == 0) return fail(Code::timeout, "i/o timeout");
  }
  return {};
}

void Transport::await(Instant deadline) {
  if (interrupted()) return;
  if (ssl_ != nullptr) {
    std::lock_guard lock(tls_mutex_);
    if (SSL_has_pending(ssl_)) return;
  }
  wait_ready(fd_, POLLIN, deadline);
}

void Transport::interrupt() {
  interrupted_.store(true, std::memory_order_release);
  shutdown(fd_, SHUT_RDWR);
}

bool Transport::quiet() {
  if (interrupted()) return false;
  char byte;
  if (ssl_ == nullptr) return recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  std::lock_guard lock(tls_mutex_);
  ERR_clear_error();
  last_errno_ = 0;
  int count = SSL_peek(ssl_, &byte, 1);  // takes session tickets off the wire, which are not data
  bool waiting = count <= 0 && SSL_get_error(ssl_, count) == SSL_ERROR_WANT_READ;
  ERR_clear_error();
  return waiting;
}

}  // namespace kybern::net
