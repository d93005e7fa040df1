// Bound service-account tokens (KEP-1205): made for TokenRequest, checked by the authenticator.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/account_options.h"
#include "apiserver/registry/registry.h"
#include "base/result.h"

namespace kybern::apiserver {

// The options with what goes without saying, and what they name as values. Code::invalid.
struct AccountKeys {
  std::string signing_pem;
  std::vector<std::string> verifying_pem;
  std::int64_t max_seconds = 0;
};
Result<AccountKeys> settle_accounts(AccountOptions& options, const std::string& default_issuer, const std::string& default_key_file);

class TokenIssuer {
 public:
  // Settled.
  TokenIssuer(AccountOptions options, AccountKeys keys) : options_(std::move(options)), keys_(std::move(keys)) {}

  // The TokenRequest with its status, for the account that `work` names.
  ApiResult<Document> issue(Work& work, Value request) const;

  // What others verify the tokens by (OpenID Connect Discovery 1.0): /.well-known/openid-configuration and the key set that
  // it names, on `host` as the client knows this server; empty for other paths.
  struct About {
    std::string_view content_type;
    std::string body;
  };
  std::optional<About> about(std::string_view path, std::string_view host) const;

 private:
  AccountOptions options_;
  AccountKeys keys_;
};

}  // namespace kybern::apiserver
