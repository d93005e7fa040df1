// Bound service-account tokens (KEP-1205): made for TokenRequest, checked by the authenticator.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

class TokenIssuer {
 public:
  TokenIssuer(std::string private_key_pem, std::string issuer, std::vector<std::string> audiences)
      : key_(std::move(private_key_pem)), issuer_(std::move(issuer)), audiences_(std::move(audiences)) {}

  // The TokenRequest with its status, for the account that `work` names.
  ApiResult<Document> issue(Work& work, Value request) const;
  const std::string& issuer() const { return issuer_; }

  // What others verify the tokens by (OpenID Connect Discovery 1.0): /.well-known/openid-configuration and the key set that
  // it names, on `host` as the client knows this server; empty for other paths.
  struct About {
    std::string_view content_type;
    std::string body;
  };
  std::optional<About> about(std::string_view path, std::string_view host) const;

 private:
  std::string key_, issuer_;
  std::vector<std::string> audiences_;
};

}  // namespace kybern::apiserver
