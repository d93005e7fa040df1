// Tokens of an issuer outside (OpenID Connect): JWTs whose keys the issuer publishes, claims that become a user.
// A file of apiserver.config.k8s.io/v1 AuthenticationConfiguration, or the --oidc flags.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/authn/token_source.h"
#include "base/result.h"
#include "base/world.h"
#include "document/document.h"

namespace kybern::apiserver {

struct OidcOptions {
  std::string issuer_url, client_id, ca_file;
  std::string username_claim = "sub", username_prefix, groups_claim, groups_prefix;
  std::vector<std::string> required_claims;  // "name=value"
  std::vector<std::string> signing_algorithms{"RS256"};
};
// The flags as the configuration that says the same. An empty document without an issuer.
Result<Document> oidc_configuration(const OidcOptions& options);

// Who may come without credentials.
struct AnonymousRule {
  bool enabled = true;
  std::vector<std::string> paths;  // only these; empty: all
  bool operator==(const AnonymousRule&) const = default;
};
struct AuthenticationConfiguration {
  std::vector<std::unique_ptr<TokenSource>> issuers;
  std::optional<AnonymousRule> anonymous;
};
struct IssuerRules {
  std::vector<std::string> algorithms;  // that are taken; none: all of net::jwt_algorithms()
  std::vector<std::string> disallowed;  // URLs that no issuer may have: those of this server's own accounts
};
// Code::invalid with all that is wrong. Issuers are asked for their keys when the first of their tokens comes.
Result<AuthenticationConfiguration> read_authentication_configuration(Value root, World world, const IssuerRules& rules = {});
Result<AuthenticationConfiguration> read_authentication_configuration(std::string_view yaml, World world, const IssuerRules& rules = {});

}  // namespace kybern::apiserver
