#include "net/server/tls.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstring>
#include <ctime>
#include <utility>

#include "base/strings.h"

namespace kybern::net {
namespace {

constexpr const char* tls12_ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* tls13_ciphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* uid_attribute = "1.3.6.1.4.1.57683.2";  // a user's uid in the subject, as Kubernetes 1.34 reads it

std::string openssl_error() {
  unsigned long code = ::ERR_peek_last_error();
  ::ERR_clear_error();
  char text[256];
  ::ERR_error_string_n(code, text, sizeof text);
  const char* reason = ::ERR_reason_error_string(code);
  return reason ? reason : text;
}

// ALPN wants the client's list searched in the server's order.
int select_protocol(SSL*, const unsigned char** out, unsigned char* out_bytes, const unsigned char* in, unsigned int in_bytes, void*) {
  static constexpr unsigned char ours[] = "\x02h2\x08http/1.1";
  int found = ::SSL_select_next_proto(const_cast<unsigned char**>(out), out_bytes, ours, sizeof ours - 1, in, in_bytes);
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// The chain is looked at after the handshake.
int accept_any_chain(X509_STORE_CTX*, void*) { return 1; }

std::string text_of(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  int bytes = ::ASN1_STRING_to_UTF8(&utf8, value);
  if (bytes < 0) return {};
  std::string out(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(bytes));
  ::OPENSSL_free(utf8);
  return out;
}

PeerCertificate read_subject(X509* certificate) {
  PeerCertificate peer;
  X509_NAME* subject = ::X509_get_subject_name(certificate);
  for (int i = 0; i < ::X509_NAME_entry_count(subject); ++i) {
    X509_NAME_ENTRY* entry = ::X509_NAME_get_entry(subject, i);
    ASN1_OBJECT* object = ::X509_NAME_ENTRY_get_object(entry);
    std::string value = text_of(::X509_NAME_ENTRY_get_data(entry));
    char oid[80];
    if (::OBJ_obj2nid(object) == NID_commonName) {
      peer.common_name = std::move(value);
    } else if (::OBJ_obj2nid(object) == NID_organizationName) {
      peer.organizations.push_back(std::move(value));
    } else if (::OBJ_obj2txt(oid, sizeof oid, object, 1) > 0 && std::string_view(oid) == uid_attribute) {
      peer.uid = std::move(value);
    }
  }
  unsigned char digest[SHA256_DIGEST_LENGTH];
  unsigned int bytes = sizeof digest;
  if (::X509_digest(certificate, ::EVP_sha256(), digest, &bytes)) {
    peer.der_sha256_hex = hex_encode(std::string_view(reinterpret_cast<char*>(digest), bytes));
  }
  return peer;
}

Time time_of(const ASN1_TIME* value) {
  std::tm parts{};
  if (!::ASN1_TIME_to_tm(value, &parts)) return Time{};
  return Time(std::chrono::seconds(::timegm(&parts)));
}

std::string verify_error_text(int error) {
  switch (error) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED: return "x509: certificate has expired or is not yet valid";
    case X509_V_ERR_INVALID_PURPOSE: return "x509: certificate specifies an incompatible key usage";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: return "x509: certificate signed by unknown authority";
    default: return std::string("x509: ") + ::X509_verify_cert_error_string(error);
  }
}

Result<X509_STORE*> read_store(const std::string& path) {
  X509_STORE* store = ::X509_STORE_new();
  if (!::X509_STORE_load_file(store, path.c_str())) {
    std::string why = openssl_error();
    ::X509_STORE_free(store);
    return fail(Code::invalid, "client CA file " + path + ": " + why);
  }
  // A trusted certificate ends the chain even when it is not self-signed, as Go has it.
  ::X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  return store;
}

}  // namespace

FileStamp stamp_file(const std::string& path) {
  struct stat st {};
  if (path.empty() || ::stat(path.c_str(), &st) != 0) return {};
  auto nanoseconds = [](const timespec& t) { return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec; };
  return {nanoseconds(st.st_mtim), nanoseconds(st.st_ctim), st.st_size, st.st_ino};
}

TlsContext::~TlsContext() {
  ::SSL_CTX_free(context_);
  ::X509_STORE_free(client_cas_);
  ::X509_STORE_free(proxy_cas_);
}

bool TlsContext::stale(const TlsFiles& files) const {
  return stamps_[0] != stamp_file(files.certificate_file) || stamps_[1] != stamp_file(files.key_file) ||
         stamps_[2] != stamp_file(files.client_ca_file) || stamps_[3] != stamp_file(files.proxy_ca_file);
}

Result<std::shared_ptr<TlsContext>> TlsContext::load(const TlsFiles& files) {
  std::shared_ptr<TlsContext> out(new TlsContext);
  out->stamps_ = {stamp_file(files.certificate_file), stamp_file(files.key_file), stamp_file(files.client_ca_file),
                  stamp_file(files.proxy_ca_file)};
  ::ERR_clear_error();
  if (auto loaded = out->load_own(files); !loaded) return std::unexpected(loaded.error());
  if (files.client_ca_file.empty() && files.proxy_ca_file.empty()) return out;
  if (auto loaded = out->load_client_ca(files); !loaded) return std::unexpected(loaded.error());
  return out;
}

Result<void> TlsContext::load_own(const TlsFiles& files) {
  context_ = ::SSL_CTX_new(::TLS_server_method());
  if (!context_) return fail(Code::internal, "TLS: " + openssl_error());
  ::SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
  // No session is ever resumed: the client's certificate is shown on every connection.
  ::SSL_CTX_set_options(context_, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION |
                                      SSL_OP_IGNORE_UNEXPECTED_EOF);
  ::SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_num_tickets(context_, 0);
  ::SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ::SSL_CTX_set_read_ahead(context_, 1);
  ::SSL_CTX_set_cipher_list(context_, tls12_ciphers);
  ::SSL_CTX_set_ciphersuites(context_, tls13_ciphers);
  ::SSL_CTX_set1_groups_list(context_, "X25519:P-256:P-384");
  ::SSL_CTX_set_alpn_select_cb(context_, select_protocol, nullptr);
  if (::SSL_CTX_use_certificate_chain_file(context_, files.certificate_file.c_str()) != 1) {
    return fail(Code::invalid, "TLS certificate file " + files.certificate_file + ": " + openssl_error());
  }
  if (::SSL_CTX_use_PrivateKey_file(context_, files.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail(Code::invalid, "TLS key file " + files.key_file + ": " + openssl_error());
  }
  if (::SSL_CTX_check_private_key(context_) != 1) {
    return fail(Code::invalid, "TLS key file " + files.key_file + " does not belong to certificate file " + files.certificate_file + ": " +
                                   openssl_error());
  }
  return {};
}

// Both files' names are told to the client, that it may choose a certificate.
Result<void> TlsContext::load_client_ca(const TlsFiles& files) {
  STACK_OF(X509_NAME)* names = sk_X509_NAME_new_null();
  ::SSL_CTX_set_client_CA_list(context_, names);
  for (auto [file, into] : {std::pair(&files.client_ca_file, &client_cas_), std::pair(&files.proxy_ca_file, &proxy_cas_)}) {
    if (file->empty()) continue;
    auto store = read_store(*file);
    if (!store) return std::unexpected(store.error());
    *into = *store;
    if (!::SSL_add_file_cert_subjects_to_stack(names, file->c_str()))
      return fail(Code::invalid, "client CA file " + *file + ": " + openssl_error());
  }
  ::SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  ::SSL_CTX_set_cert_verify_callback(context_, accept_any_chain, nullptr);
  return {};
}

ssl_st* TlsContext::new_connection(int fd) const {
  SSL* ssl = ::SSL_new(context_);
  if (!ssl) return nullptr;
  if (!::SSL_set_fd(ssl, fd)) {
    ::SSL_free(ssl);
    return nullptr;
  }
  ::SSL_set_accept_state(ssl);
  return ssl;
}

// Why the client's chain does not lead to one of the store's authorities; "" when it does.
std::string TlsContext::verify(x509_store_st* store, ssl_st* ssl) {
  if (!store) return "x509: certificate signed by unknown authority";
  X509_STORE_CTX* check = ::X509_STORE_CTX_new();
  bool good = ::X509_STORE_CTX_init(check, store, ::SSL_get0_peer_certificate(ssl), ::SSL_get_peer_cert_chain(ssl)) == 1;
  if (good) {
    ::X509_STORE_CTX_set_default(check, "ssl_client");  // asks for the client usage
    good = ::X509_verify_cert(check) == 1;
  }
  std::string why = good ? std::string() : verify_error_text(::X509_STORE_CTX_get_error(check));
  ::X509_STORE_CTX_free(check);
  ::ERR_clear_error();
  return why;
}

std::shared_ptr<const PeerIdentity> TlsContext::identify(ssl_st* ssl) const {
  X509* leaf = ::SSL_get0_peer_certificate(ssl);
  if (!leaf || (!client_cas_ && !proxy_cas_)) return nullptr;
  auto identity = std::make_shared<PeerIdentity>();
  identity->not_before = time_of(::X509_get0_notBefore(leaf));
  identity->not_after = time_of(::X509_get0_notAfter(leaf));
  auto subject = std::make_shared<const PeerCertificate>(read_subject(leaf));
  identity->error = verify(client_cas_, ssl);
  if (identity->error.empty() && !subject->common_name.empty()) identity->certificate = subject;  // without a name it is nobody's
  if (proxy_cas_ && verify(proxy_cas_, ssl).empty()) identity->proxy = subject;
  return identity;
}

AlpnProtocol negotiated_protocol(ssl_st* ssl) {
  const unsigned char* name = nullptr;
  unsigned int bytes = 0;
  ::SSL_get0_alpn_selected(ssl, &name, &bytes);
  return bytes == 2 && std::memcmp(name, "h2", 2) == 0 ? AlpnProtocol::http2 : AlpnProtocol::http1;
}

}  // namespace kybern::net
