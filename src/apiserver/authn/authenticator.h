// Who is asking: a front proxy's word, a client certificate, or a token.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "apiserver/authn/front_proxy.h"
#include "apiserver/authn/oidc.h"
#include "apiserver/authn/token_source.h"
#include "apiserver/authn/token_webhook.h"
#include "apiserver/registry/registry.h"
#include "apiserver/user.h"
#include "base/published.h"
#include "net/http.h"

namespace kybern::apiserver {

struct AuthenticationOptions {
  std::string token_file;                         // CSV: token,user,uid,"group1,group2"; "" for none
  std::vector<std::string> service_account_keys;  // public keys, PEM
  std::vector<std::string> issuers{"https://kubernetes.default.svc.cluster.local"};
  std::vector<std::string> audiences;  // the server's own; default: the issuers
  bool anonymous = true;
  bool bootstrap_tokens = false;
  TokenWebhookOptions webhook;  // no file: none
  OidcOptions oidc;
  std::string configuration_file;  // AuthenticationConfiguration; not together with oidc
  FrontProxyOptions front_proxy;
  std::function<void(const Document& secret)> token_used{};  // a token that lies in a Secret, for the first time that day
};

class Authenticator {
 public:
  static Result<std::unique_ptr<Authenticator>> make(AuthenticationOptions options, const Registry& registry);

  // The user of a request: system:anonymous without credentials. 401 when the credentials are wrong. `findings`: what else is
  // to be said, also of a refusal.
  ApiResult<User> authenticate(const net::Request& request, TokenFindings* findings = nullptr) const;
  // Takes the credentials out of a request whose user is known: they are nobody else's business.
  void strip(net::Request& request) const;
  // Whether authenticate() takes microseconds and asks nobody: no token, or one whose signature has been seen to be good.
  bool answers_at_once(const net::Request& request) const;
  // Whether it may have to ask a service outside: then it is for the waiting room (hooks/waiting_room.h).
  bool may_wait(const net::Request& request) const;
  bool asks_outside() const;
  // A token alone (TokenReview, bearer), meant for one of these or more. Empty: not valid.
  std::optional<User> check_token(std::string_view token, const std::vector<std::string>& audiences,
                                  TokenFindings* findings = nullptr) const;
  // From now on the issuers of this configuration (the file's new text) are believed. Blocks until each was heard of.
  // Code::invalid: it never will do; others: it may do later. The old ones stay then.
  Result<void> reload(std::string_view configuration);
  const std::vector<std::string>& audiences() const { return options_.audiences; }

 private:
  std::optional<Document> signed_claims(std::string_view token) const;
  bool says_to_be_ours(std::string_view token) const;
  Authenticator(AuthenticationOptions options, const Registry& registry)
      : options_(std::move(options)), registry_(registry), front_proxy_(options_.front_proxy) {}
  std::optional<User> check_service_account(std::string_view token, const std::vector<std::string>& audiences,
                                            TokenFindings* findings) const;

  // Asked in this order, after accounts.
  using Sources = std::vector<std::shared_ptr<TokenSource>>;

  AuthenticationOptions options_;
  const Registry& registry_;
  Result<void> add_sources();
  void believe(std::vector<std::unique_ptr<TokenSource>> issuers);
  std::shared_ptr<const Sources> sources() const { return sources_.load(); }
  bool for_us(const std::vector<std::string>& audiences) const;
  std::vector<std::string> ours_of(const std::vector<std::string>& audiences) const;
  bool anonymous_may(std::string_view path) const;
  std::unordered_map<std::string, User> static_tokens_;
  std::shared_ptr<TokenSource> bootstrap_, webhook_;  // these stay when the issuers change
  Published<Sources> sources_;
  std::atomic<bool> any_sources_{false};
  AnonymousRule anonymous_;
  std::optional<AnonymousRule> anonymous_of_file_;
  FrontProxy front_proxy_;
  mutable std::shared_mutex verified_mutex_;
  mutable std::unordered_map<std::string, Document> verified_;  // claims by the token's digest
};

User anonymous_user();

}  // namespace kybern::apiserver
