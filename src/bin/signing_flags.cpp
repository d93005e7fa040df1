#include "bin/signing_flags.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "base/strings.h"
#include "base/time.h"

namespace kybern::bin {
namespace {

Result<std::string> read(std::string_view flag, const std::string& file) {
  if (file.empty()) return std::string();
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return fail(Code::invalid, fmt::format("{} {}: cannot be read", flag, file));
  return text.str();
}

}  // namespace

void SigningFlags::add_to(Flags& flags) {
  flags.add("cluster-signing-cert-file", &certificate, "the CA that signs CertificateSigningRequests; empty: the cluster's own");
  flags.add("cluster-signing-key-file", &key, "and its key");
  flags.add("legacy-service-account-token-clean-up-period", &unused_tokens_period,
            "for how long an account's token in a Secret has to be unused before it is removed");
  flags.add("cluster-signing-duration", &duration, "the longest that a certificate signed by it is valid");
}

Result<void> SigningFlags::apply(controllers::Options& options, std::string default_certificate, std::string default_key) const {
  if (certificate.empty() != key.empty())
    return fail(Code::invalid, "--cluster-signing-cert-file and --cluster-signing-key-file go together");
  const std::string file = certificate.empty() ? default_certificate : certificate, key_file = key.empty() ? default_key : key;
  auto pem = read("--cluster-signing-cert-file", file), key_pem = read("--cluster-signing-key-file", key_file);
  if (!pem || !key_pem) return std::unexpected((pem ? key_pem : pem).error());
  auto length = parse_duration(duration);
  if (!length || *length <= Duration(0))
    return fail(Code::invalid, fmt::format("--cluster-signing-duration: {} is no duration such as 8760h", go_quote(duration)));
  if (!key_file.empty())
    options.signing_authority = [file, key_file] { return std::pair(read("", file).value_or(""), read("", key_file).value_or("")); };
  options.signing_duration = *length;
  auto period = parse_duration(unused_tokens_period);
  if (!period || *period <= Duration(0))
    return fail(Code::invalid, fmt::format("--legacy-service-account-token-clean-up-period: {} is no duration such as 8760h",
                                           go_quote(unused_tokens_period)));
  options.unused_tokens_period = *period;
  return {};
}

}  // namespace kybern::bin
