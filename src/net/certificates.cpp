#include "net/certificates.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/strings.h"
#include "net/pem.h"

namespace kybern::net {
namespace {

constexpr std::size_t max_name_bytes = 4096;     // of one subject attribute; Kubernetes user and group names are far below
constexpr std::size_t max_dns_name_bytes = 253;  // RFC 1035, section 2.3.4
constexpr std::size_t max_request_bytes = 1 << 20;

template <auto Free>
struct FreeBy {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using NamePtr = std::unique_ptr<X509_NAME, FreeBy<X509_NAME_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, FreeBy<X509_REQ_free>>;
using BigPtr = std::unique_ptr<BIGNUM, FreeBy<BN_free>>;
using OctetsPtr = std::unique_ptr<ASN1_OCTET_STRING, FreeBy<ASN1_OCTET_STRING_free>>;
struct FreeGeneralNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, FreeGeneralNames>;
struct FreeExtensions {
  void operator()(STACK_OF(X509_EXTENSION) * list) const { sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free); }
};
using ExtensionsPtr = std::unique_ptr<STACK_OF(X509_EXTENSION), FreeExtensions>;

std::unexpected<Error> openssl_failure(std::string_view what) {
  return fail(Code::internal, fmt::format("{}: {}", what, openssl_reason()));
}

KeyPtr new_key() { return KeyPtr(EVP_EC_gen("P-256")); }

Result<std::string> private_key_text(EVP_PKEY* key) {
  BioPtr bio = memory_bio();
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return openssl_failure("cannot write a private key");
  return bio_text(bio.get());
}

Result<std::string> certificate_text(X509* certificate) {
  BioPtr bio = memory_bio();
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) return openssl_failure("cannot write a certificate");
  return bio_text(bio.get());
}

// A UTF-8 string set as such: by way of MBSTRING OpenSSL would refuse names of more than 64 characters, which
// "system:node:<host name>" can be.
Result<void> add_name(X509_NAME* name, int nid, std::string_view text) {
  if (text.size() > max_name_bytes) return fail(Code::invalid, fmt::format("a subject name is longer than {} bytes", max_name_bytes));
  if (!valid_utf8(text)) return fail(Code::invalid, "a subject name is not valid UTF-8");
  if (X509_NAME_add_entry_by_NID(name, nid, V_ASN1_UTF8STRING, reinterpret_cast<const unsigned char*>(text.data()),
                                 static_cast<int>(text.size()), -1, 0) != 1)
    return openssl_failure("cannot set the subject");
  return {};
}

Result<NamePtr> subject_of(const CertificateSpec& spec) {
  NamePtr name(X509_NAME_new());
  for (const std::string& organization : spec.organizations)
    if (auto added = add_name(name.get(), NID_organizationName, organization); !added) return std::unexpected(added.error());
  if (!spec.common_name.empty())
    if (auto added = add_name(name.get(), NID_commonName, spec.common_name); !added) return std::unexpected(added.error());
  return name;
}

Result<void> set_validity(X509* certificate, Time not_before, Time not_after) {
  if (not_after <= not_before) return fail(Code::invalid, "the certificate would end before it begins");
  auto seconds = [](Time t) { return static_cast<std::time_t>(std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count()); };
  if (!ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(not_before)) ||
      !ASN1_TIME_set(X509_getm_notAfter(certificate), seconds(not_after)))
    return openssl_failure("cannot set the validity");
  return {};
}

Result<void> add_extension(X509* certificate, int nid, bool critical, void* value) {
  if (X509_add1_ext_i2d(certificate, nid, value, critical ? 1 : 0, X509V3_ADD_REPLACE) != 1)
    return openssl_failure("cannot set an extension");
  return {};
}

Result<void> add_dns_name(GENERAL_NAMES* names, const std::string& text) {
  bool plain = !text.empty() && text.size() <= max_dns_name_bytes;
  for (unsigned char c : text) plain = plain && c > ' ' && c < 127;
  if (!plain) return fail(Code::invalid, fmt::format("{} is not a DNS name", go_quote(text)));
  ASN1_IA5STRING* ia5 = ASN1_IA5STRING_new();
  ASN1_STRING_set(ia5, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, GEN_DNS, ia5);
  sk_GENERAL_NAME_push(names, name);
  return {};
}

Result<void> add_ip_address(GENERAL_NAMES* names, const std::string& text) {
  unsigned char bytes[16];
  int size = 0;
  if (inet_pton(AF_INET, text.c_str(), bytes) == 1) size = 4;
  else if (inet_pton(AF_INET6, text.c_str(), bytes) == 1) size = 16;
  else return fail(Code::invalid, fmt::format("{} is not an IP address", go_quote(text)));
  OctetsPtr octets(ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(octets.get(), bytes, size);
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, GEN_IPADD, octets.release());
  sk_GENERAL_NAME_push(names, name);
  return {};
}

Result<GeneralNamesPtr> alternative_names_of(const CertificateSpec& spec) {
  GeneralNamesPtr names(GENERAL_NAMES_new());
  for (const std::string& name : spec.dns_names)
    if (auto added = add_dns_name(names.get(), name); !added) return std::unexpected(added.error());
  for (const std::string& address : spec.ip_addresses)
    if (auto added = add_ip_address(names.get(), address); !added) return std::unexpected(added.error());
  return names;
}

Result<void> add_alternative_names(X509* certificate, const CertificateSpec& spec) {
  auto names = alternative_names_of(spec);
  if (!names) return std::unexpected(names.error());
  if (sk_GENERAL_NAME_num(names->get()) == 0) return {};
  // RFC 5280, section 4.2.1.6: critical when the subject is empty.
  return add_extension(certificate, NID_subject_alt_name, X509_NAME_entry_count(X509_get_subject_name(certificate)) == 0, names->get());
}

Result<void> add_basic_constraints(X509* certificate, bool ca) {
  std::unique_ptr<BASIC_CONSTRAINTS, FreeBy<BASIC_CONSTRAINTS_free>> constraints(BASIC_CONSTRAINTS_new());
  constraints->ca = ca ? 0xff : 0;
  return add_extension(certificate, NID_basic_constraints, true, constraints.get());
}

Result<void> add_key_usage(X509* certificate, std::span<const int> bits) {
  std::unique_ptr<ASN1_BIT_STRING, FreeBy<ASN1_BIT_STRING_free>> usage(ASN1_BIT_STRING_new());
  for (int bit : bits) ASN1_BIT_STRING_set_bit(usage.get(), bit, 1);
  return add_extension(certificate, NID_key_usage, true, usage.get());
}
Result<void> add_key_usage(X509* certificate, std::initializer_list<int> bits) {
  return add_key_usage(certificate, std::span<const int>(bits.begin(), bits.size()));
}
constexpr int digital_signature = 0, key_encipherment = 2, key_cert_sign = 5, crl_sign = 6;  // RFC 5280, section 4.2.1.3

struct FreeUsages {
  void operator()(EXTENDED_KEY_USAGE* list) const { sk_ASN1_OBJECT_pop_free(list, ASN1_OBJECT_free); }
};
using UsagesPtr = std::unique_ptr<EXTENDED_KEY_USAGE, FreeUsages>;

UsagesPtr usages_of(const CertificateSpec& spec) {
  UsagesPtr usages(sk_ASN1_OBJECT_new_null());
  if (spec.server) sk_ASN1_OBJECT_push(usages.get(), OBJ_nid2obj(NID_server_auth));
  if (spec.client) sk_ASN1_OBJECT_push(usages.get(), OBJ_nid2obj(NID_client_auth));
  return usages;
}

Result<void> add_extended_usages(X509* certificate, const CertificateSpec& spec) {
  if (!spec.server && !spec.client) return {};
  return add_extension(certificate, NID_ext_key_usage, false, usages_of(spec).get());
}

// The words of certificates.k8s.io/v1 KeyUsage: a bit of the key usages, or an extended one.
struct NamedUsage {
  std::string_view name;
  int bit;  // -1: extended
  int nid;
};
constexpr NamedUsage named_usages[] = {
    {"signing", 0, 0},
    {"digital signature", 0, 0},
    {"content commitment", 1, 0},
    {"key encipherment", 2, 0},
    {"data encipherment", 3, 0},
    {"key agreement", 4, 0},
    {"cert sign", 5, 0},
    {"crl sign", 6, 0},
    {"encipher only", 7, 0},
    {"decipher only", 8, 0},
    {"any", -1, NID_anyExtendedKeyUsage},
    {"server auth", -1, NID_server_auth},
    {"client auth", -1, NID_client_auth},
    {"code signing", -1, NID_code_sign},
    {"email protection", -1, NID_email_protect},
    {"s/mime", -1, NID_email_protect},
    {"ipsec end system", -1, NID_ipsecEndSystem},
    {"ipsec tunnel", -1, NID_ipsecTunnel},
    {"ipsec user", -1, NID_ipsecUser},
    {"timestamping", -1, NID_time_stamp},
    {"ocsp signing", -1, NID_OCSP_sign},
    {"microsoft sgc", -1, NID_ms_sgc},
    {"netscape sgc", -1, NID_ns_sgc},
};

Result<void> add_named_usages(X509* certificate, const std::vector<std::string>& names) {
  std::vector<int> bits, extended;
  for (const std::string& name : names) {
    auto usage = std::find_if(std::begin(named_usages), std::end(named_usages), [&](const NamedUsage& u) { return u.name == name; });
    if (usage == std::end(named_usages)) return fail(Code::invalid, fmt::format("unrecognized usage: {}", go_quote(name)));
    std::vector<int>& into = usage->bit >= 0 ? bits : extended;
    int what = usage->bit >= 0 ? usage->bit : usage->nid;
    if (std::find(into.begin(), into.end(), what) == into.end()) into.push_back(what);
  }
  if (!bits.empty())
    if (auto added = add_key_usage(certificate, bits); !added) return added;
  if (extended.empty()) return {};
  UsagesPtr list(sk_ASN1_OBJECT_new_null());
  for (int nid : extended) sk_ASN1_OBJECT_push(list.get(), OBJ_nid2obj(nid));
  return add_extension(certificate, NID_ext_key_usage, false, list.get());
}

std::string public_key_der(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return {};
  std::string bytes(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

OctetsPtr key_hash(EVP_PKEY* key) {
  std::string hash = sha256(public_key_der(key)).substr(0, 20);
  OctetsPtr octets(ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(octets.get(), reinterpret_cast<const unsigned char*>(hash.data()), static_cast<int>(hash.size()));
  return octets;
}

Result<void> add_subject_key_id(X509* certificate, EVP_PKEY* key) {
  return add_extension(certificate, NID_subject_key_identifier, false, key_hash(key).get());
}

// The CA's own subject key identifier, or none when the CA has none: a made-up one would make chains not match.
Result<void> add_authority_key_id(X509* certificate, X509* ca) {
  const ASN1_OCTET_STRING* id = X509_get0_subject_key_id(ca);
  if (id == nullptr) return {};
  std::unique_ptr<AUTHORITY_KEYID, FreeBy<AUTHORITY_KEYID_free>> authority(AUTHORITY_KEYID_new());
  authority->keyid = ASN1_OCTET_STRING_dup(id);
  return add_extension(certificate, NID_authority_key_identifier, false, authority.get());
}

Result<X509Ptr> new_certificate(EVP_PKEY* key, Time not_before, Time not_after) {
  X509Ptr certificate(X509_new());
  std::string serial = random_bytes(16);
  serial[0] = static_cast<char>((serial[0] & 0x7f) | 0x40);  // positive, and always 16 bytes long
  BigPtr number(BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), static_cast<int>(serial.size()), nullptr));
  if (!number || !BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) ||
      X509_set_version(certificate.get(), X509_VERSION_3) != 1 || X509_set_pubkey(certificate.get(), key) != 1)
    return openssl_failure("cannot make a certificate");
  if (auto set = set_validity(certificate.get(), not_before, not_after); !set) return std::unexpected(set.error());
  return certificate;
}

struct Authority {
  X509Ptr certificate;
  KeyPtr key;
};

Result<Authority> read_authority(const KeyPair& ca) {
  auto certificates = read_certificates(ca.certificate_pem);
  if (!certificates) return fail(certificates.error().code, fmt::format("the CA's certificate: {}", certificates.error().message));
  auto key = read_private_key(ca.key_pem);
  if (!key) return fail(key.error().code, fmt::format("the CA's key: {}", key.error().message));
  if (X509_check_private_key(certificates->front().get(), key->get()) != 1) {
    ERR_clear_error();
    return fail(Code::invalid, "the CA's key does not fit its certificate");
  }
  if (X509_check_ca(certificates->front().get()) == 0) return fail(Code::invalid, "the CA's certificate is not that of a CA");
  return Authority{std::move(certificates->front()), std::move(*key)};
}

// Everything after the subject, which the caller has set.
Result<std::string> finish_leaf(X509* certificate, const Authority& ca, EVP_PKEY* key, const CertificateSpec& spec) {
  if (X509_set_issuer_name(certificate, X509_get_subject_name(ca.certificate.get())) != 1) return openssl_failure("cannot set the issuer");
  auto add = add_basic_constraints(certificate, false);
  if (add && !spec.usages.empty()) {
    add = add_named_usages(certificate, spec.usages);
  } else {
    if (add) add = add_key_usage(certificate, {digital_signature, key_encipherment});
    if (add) add = add_extended_usages(certificate, spec);
  }
  if (add) add = add_subject_key_id(certificate, key);
  if (add) add = add_authority_key_id(certificate, ca.certificate.get());
  if (!add) return std::unexpected(add.error());
  if (X509_sign(certificate, ca.key.get(), EVP_sha256()) == 0) return openssl_failure("cannot sign the certificate");
  return certificate_text(certificate);
}

Result<RequestPtr> read_signed_request(std::string_view pem) {
  if (pem.size() > max_request_bytes)
    return fail(Code::too_large, fmt::format("the certificate request is larger than {} bytes", max_request_bytes));
  BioPtr bio = memory_bio(pem);
  ERR_clear_error();
  auto no_pass_phrase = [](char*, int, int, void*) { return -1; };
  RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, no_pass_phrase, nullptr));
  if (!request) {
    std::string reason = openssl_reason();
    if (pem.find("-----BEGIN CERTIFICATE REQUEST-----") == pem.npos && pem.find("-----BEGIN NEW CERTIFICATE REQUEST-----") == pem.npos)
      return fail(Code::invalid, "PEM block type must be CERTIFICATE REQUEST");
    return fail(Code::invalid, fmt::format("malformed certificate request: {}", reason));
  }
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    ERR_clear_error();
    return fail(Code::invalid, "the certificate request is not signed by its own key");
  }
  return request;
}

std::string text_of(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) {
    ERR_clear_error();
    return {};
  }
  std::string text(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return text;
}

void read_subject(const X509_NAME* name, CertificateInfo& info) {
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (nid == NID_commonName) info.common_name = text_of(X509_NAME_ENTRY_get_data(entry));  // the last one counts
    if (nid == NID_organizationName) info.organizations.push_back(text_of(X509_NAME_ENTRY_get_data(entry)));
  }
}

void read_alternative_names(const GENERAL_NAMES* names, CertificateInfo& info) {
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) {
      info.dns_names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                                  static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_EMAIL || name->type == GEN_URI) {
      const ASN1_IA5STRING* text = name->type == GEN_EMAIL ? name->d.rfc822Name : name->d.uniformResourceIdentifier;
      (name->type == GEN_EMAIL ? info.emails : info.uris)
          .emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<std::size_t>(ASN1_STRING_length(text)));
    } else if (name->type == GEN_IPADD) {
      char text[INET6_ADDRSTRLEN];
      int size = ASN1_STRING_length(name->d.iPAddress);
      int family = size == 4 ? AF_INET : size == 16 ? AF_INET6 : 0;
      if (family != 0 && inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text))
        info.ip_addresses.emplace_back(text);
    }
  }
}

Result<Time> time_of(const ASN1_TIME* value) {
  std::tm tm{};
  if (ASN1_TIME_to_tm(value, &tm) != 1) {
    ERR_clear_error();
    return fail(Code::invalid, "malformed certificate: its validity is not a time");
  }
  using namespace std::chrono;
  year_month_day day{year(tm.tm_year + 1900), month(static_cast<unsigned>(tm.tm_mon + 1)),
                     std::chrono::day(static_cast<unsigned>(tm.tm_mday))};
  sys_seconds seconds = sys_days(day) + hours(tm.tm_hour) + minutes(tm.tm_min) + std::chrono::seconds(tm.tm_sec);
  // Nanoseconds since 1970 end in 2262; "no end" (9999-12-31, RFC 5280 section 4.1.2.5) becomes the last one.
  if (seconds >= floor<std::chrono::seconds>(Time::max())) return Time::max();
  if (seconds <= ceil<std::chrono::seconds>(Time::min())) return Time::min();
  return Time(seconds);
}

std::string serial_of(X509* certificate) {
  BigPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (!number) return {};
  char* hex = BN_bn2hex(number.get());
  std::string text = to_lower(hex);
  OPENSSL_free(hex);
  return text;
}

}  // namespace

Result<std::string> new_private_key_pem() {
  KeyPtr key = new_key();
  if (!key) return openssl_failure("cannot make a key");
  return private_key_text(key.get());
}

Result<KeyPair> new_ca(std::string_view common_name, Time not_before, Time not_after) {
  KeyPtr key = new_key();
  if (!key) return openssl_failure("cannot make a key");
  auto certificate = new_certificate(key.get(), not_before, not_after);
  if (!certificate) return std::unexpected(certificate.error());
  X509* x509 = certificate->get();
  NamePtr name(X509_NAME_new());
  if (auto added = add_name(name.get(), NID_commonName, common_name); !added) return std::unexpected(added.error());
  if (X509_set_subject_name(x509, name.get()) != 1 || X509_set_issuer_name(x509, name.get()) != 1)
    return openssl_failure("cannot set the subject");
  auto add = add_basic_constraints(x509, true);
  if (add) add = add_key_usage(x509, {digital_signature, key_encipherment, key_cert_sign, crl_sign});
  if (add) add = add_subject_key_id(x509, key.get());
  if (!add) return std::unexpected(add.error());
  if (X509_sign(x509, key.get(), EVP_sha256()) == 0) return openssl_failure("cannot sign the certificate");
  auto certificate_pem = certificate_text(x509);
  if (!certificate_pem) return std::unexpected(certificate_pem.error());
  auto key_pem = private_key_text(key.get());
  if (!key_pem) return std::unexpected(key_pem.error());
  return KeyPair{std::move(*certificate_pem), std::move(*key_pem)};
}

Result<KeyPair> issue(const KeyPair& ca, const CertificateSpec& spec) {
  auto authority = read_authority(ca);
  if (!authority) return std::unexpected(authority.error());
  KeyPtr key = new_key();
  if (!key) return openssl_failure("cannot make a key");
  auto certificate = new_certificate(key.get(), spec.not_before, spec.not_after);
  if (!certificate) return std::unexpected(certificate.error());
  auto subject = subject_of(spec);
  if (!subject) return std::unexpected(subject.error());
  if (X509_set_subject_name(certificate->get(), subject->get()) != 1) return openssl_failure("cannot set the subject");
  if (auto added = add_alternative_names(certificate->get(), spec); !added) return std::unexpected(added.error());
  auto certificate_pem = finish_leaf(certificate->get(), *authority, key.get(), spec);
  if (!certificate_pem) return std::unexpected(certificate_pem.error());
  auto key_pem = private_key_text(key.get());
  if (!key_pem) return std::unexpected(key_pem.error());
  return KeyPair{std::move(*certificate_pem), std::move(*key_pem)};
}

Result<std::string> new_request(std::string_view private_key_pem, const CertificateSpec& spec) {
  auto key = read_private_key(private_key_pem);
  if (!key) return std::unexpected(key.error());
  auto subject = subject_of(spec);
  if (!subject) return std::unexpected(subject.error());
  auto names = alternative_names_of(spec);
  if (!names) return std::unexpected(names.error());
  STACK_OF(X509_EXTENSION)* list = nullptr;
  if (sk_GENERAL_NAME_num(names->get()) > 0) X509V3_add1_i2d(&list, NID_subject_alt_name, names->get(), 0, X509V3_ADD_DEFAULT);
  if (spec.server || spec.client) X509V3_add1_i2d(&list, NID_ext_key_usage, usages_of(spec).get(), 0, X509V3_ADD_DEFAULT);
  ExtensionsPtr extensions(list);
  RequestPtr request(X509_REQ_new());
  if (X509_REQ_set_subject_name(request.get(), subject->get()) != 1 || X509_REQ_set_pubkey(request.get(), key->get()) != 1 ||
      (extensions && X509_REQ_add_extensions(request.get(), extensions.get()) != 1) ||
      X509_REQ_sign(request.get(), key->get(), EVP_sha256()) == 0)
    return openssl_failure("cannot make a certificate request");
  BioPtr bio = memory_bio();
  if (PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) return openssl_failure("cannot write a certificate request");
  return bio_text(bio.get());
}

Result<std::string> sign_request(const KeyPair& ca, std::string_view csr_pem, const CertificateSpec& spec) {
  auto authority = read_authority(ca);
  if (!authority) return std::unexpected(authority.error());
  auto request = read_signed_request(csr_pem);
  if (!request) return std::unexpected(request.error());
  EVP_PKEY* key = X509_REQ_get0_pubkey(request->get());
  auto certificate = new_certificate(key, spec.not_before, spec.not_after);
  if (!certificate) return std::unexpected(certificate.error());
  if (X509_set_subject_name(certificate->get(), X509_REQ_get_subject_name(request->get())) != 1)
    return openssl_failure("cannot set the subject");
  if (spec.dns_names.empty() && spec.ip_addresses.empty()) {
    ExtensionsPtr extensions(X509_REQ_get_extensions(request->get()));
    int at = extensions ? X509v3_get_ext_by_NID(extensions.get(), NID_subject_alt_name, -1) : -1;
    if (at >= 0 && X509_add_ext(certificate->get(), X509v3_get_ext(extensions.get(), at), -1) != 1)
      return openssl_failure("cannot set an extension");
  } else if (auto added = add_alternative_names(certificate->get(), spec); !added) {
    return std::unexpected(added.error());
  }
  return finish_leaf(certificate->get(), *authority, key, spec);
}

Result<CertificateInfo> read_certificate(std::string_view pem) {
  auto certificates = read_certificates(pem);
  if (!certificates) return std::unexpected(certificates.error());
  X509* x509 = certificates->front().get();
  CertificateInfo info;
  read_subject(X509_get_subject_name(x509), info);
  GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  read_alternative_names(names.get(), info);
  auto not_before = time_of(X509_get0_notBefore(x509));
  auto not_after = time_of(X509_get0_notAfter(x509));
  if (!not_before || !not_after) return std::unexpected((not_before ? not_after : not_before).error());
  info.not_before = *not_before;
  info.not_after = *not_after;
  std::uint32_t flags = X509_get_extension_flags(x509);
  if (flags & EXFLAG_INVALID) return fail(Code::invalid, "malformed certificate: an extension cannot be read");
  if (flags & EXFLAG_XKUSAGE) {
    std::uint32_t usages = X509_get_extended_key_usage(x509);
    info.server = usages & (XKU_SSL_SERVER | XKU_ANYEKU);
    info.client = usages & (XKU_SSL_CLIENT | XKU_ANYEKU);
  }
  info.ca = (flags & EXFLAG_CA) != 0;
  info.serial_hex = serial_of(x509);
  ERR_clear_error();
  return info;
}

Result<CertificateInfo> read_request(std::string_view csr_pem) {
  auto request = read_signed_request(csr_pem);
  if (!request) return std::unexpected(request.error());
  CertificateInfo info;
  read_subject(X509_REQ_get_subject_name(request->get()), info);
  ExtensionsPtr extensions(X509_REQ_get_extensions(request->get()));
  if (extensions) {
    GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
    read_alternative_names(names.get(), info);
    UsagesPtr usages(static_cast<EXTENDED_KEY_USAGE*>(X509V3_get_d2i(extensions.get(), NID_ext_key_usage, nullptr, nullptr)));
    for (int i = 0; usages && i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
      int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(usages.get(), i));
      info.server = info.server || nid == NID_server_auth;
      info.client = info.client || nid == NID_client_auth;
    }
  }
  ERR_clear_error();
  return info;
}

bool issued_by(std::string_view certificate_pem, std::string_view ca_pem) {
  auto certificates = read_certificates(certificate_pem);
  auto authorities = read_certificates(ca_pem);
  if (!certificates || !authorities) return false;
  X509* leaf = certificates->front().get();
  bool found = std::ranges::any_of(*authorities, [leaf](const X509Ptr& ca) {
    return X509_check_ca(ca.get()) != 0 && X509_check_issued(ca.get(), leaf) == X509_V_OK &&
           X509_verify(leaf, X509_get0_pubkey(ca.get())) == 1;
  });
  ERR_clear_error();
  return found;
}

std::string sha256(std::string_view bytes) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

std::string sha256_hex(std::string_view bytes) { return hex_encode(sha256(bytes)); }

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  KYBERN_CHECK(RAND_priv_bytes_ex(nullptr, reinterpret_cast<unsigned char*>(bytes.data()), count, 256) == 1,
               "the system's random generator works");
  return bytes;
}

}  // namespace kybern::net
