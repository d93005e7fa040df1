#include "net/tls_pair.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <optional>
#include <vector>

#include "base/strings.h"
#include "net/pem.h"

namespace kybern::net {
namespace {

// The type of the next block of a PEM text, which is taken off it. What does not decode is no block.
std::optional<std::string_view> take_pem_block(std::string_view& pem) {
  constexpr std::string_view begin = "-----BEGIN ", dashes = "-----";
  while (true) {
    std::size_t start = pem.find(begin);
    if (start == pem.npos) return {};
    pem.remove_prefix(start + begin.size());
    std::size_t type_end = pem.find(dashes);
    if (type_end == pem.npos || pem.find('\n') < type_end) continue;
    std::string_view type = pem.substr(0, type_end);
    std::size_t stop = pem.find(fmt::format("-----END {}-----", type));
    if (stop == pem.npos) return {};
    std::string body;
    for (char c : pem.substr(type_end + dashes.size(), stop - type_end - dashes.size()))
      if (c != '\n' && c != '\r' && c != ' ' && c != '\t') body += c;
    pem.remove_prefix(stop);
    if (body.find(':') != body.npos || base64_decode(body)) return type;  // with a colon: it has headers
  }
}

bool is_key_block(std::string_view type) { return type == "PRIVATE KEY" || type.ends_with(" PRIVATE KEY"); }

// What is wrong outside: `what` is "certificate" or "key".
std::string outside_fault(std::string_view pem, std::string_view what) {
  bool key = what == "key";
  std::vector<std::string> skipped;
  while (auto type = take_pem_block(pem)) {
    if (key ? is_key_block(*type) : *type == "CERTIFICATE") return {};
    skipped.emplace_back(*type);
  }
  if (skipped.empty()) return fmt::format("tls: failed to find any PEM data in {} input", what);
  if (!key && skipped.size() == 1 && skipped[0].ends_with("PRIVATE KEY"))
    return "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched";
  if (key && skipped.size() == 1 && skipped[0] == "CERTIFICATE")
    return "tls: found a certificate rather than a key in the PEM for the private key";
  return fmt::format("tls: failed to find {} in {} input after skipping PEM blocks of the following types: [{}]",
                     key ? "PEM block with type ending in \"PRIVATE KEY\"" : "\"CERTIFICATE\" PEM block", what, join(skipped, " "));
}

}  // namespace

std::string tls_pair_fault(std::string_view certificate_pem, std::string_view key_pem) {
  if (std::string fault = outside_fault(certificate_pem, "certificate"); !fault.empty()) return fault;
  if (std::string fault = outside_fault(key_pem, "key"); !fault.empty()) return fault;
  BioPtr bio = memory_bio(certificate_pem);
  auto no_pass_phrase = [](char*, int, int, void*) { return -1; };
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_pass_phrase, nullptr));
  KeyPtr certified(certificate ? X509_get_pubkey(certificate.get()) : nullptr);
  openssl_reason();  // empties the queue
  if (!certified) return "x509: malformed certificate";
  auto own = read_private_key(key_pem);
  if (!own) return "tls: failed to parse private key";
  int kind = EVP_PKEY_get_base_id(certified.get());
  if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_EC && kind != EVP_PKEY_ED25519) return "tls: unknown public key algorithm";
  if (EVP_PKEY_get_base_id(own->get()) != kind) return "tls: private key type does not match public key type";
  bool match = EVP_PKEY_eq(certified.get(), own->get()) == 1;
  openssl_reason();
  return match ? "" : "tls: private key does not match public key";
}

}  // namespace kybern::net
