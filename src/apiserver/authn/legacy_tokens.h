// Tokens of service accounts that lie in Secrets (kubernetes.io/service-account-token): they have no end, and are good as long
// as the Secret holds them and the account lives.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "apiserver/authn/token_source.h"
#include "apiserver/registry/registry.h"
#include "apiserver/user.h"
#include "base/time.h"
#include "document/document.h"

namespace kybern::apiserver {

inline constexpr std::string_view legacy_issuer = "kubernetes/serviceaccount";
inline constexpr std::string_view last_used_label = "kubernetes.io/legacy-token-last-used",
                                  invalid_since_label = "kubernetes.io/legacy-token-invalid-since";

// The account that such claims stand for. `used` is told the Secret, also of a token that is no longer valid, unless its
// label of use says today. What else is to be said goes to `findings`, and is counted then.
std::optional<User> legacy_account(const Registry& registry, std::string_view token, Value claims, Time now,
                                   const std::function<void(const Document& secret)>& used, TokenFindings* findings);
// A token that lives on for old clients (tokens.cpp) tells whether it is past the time at which it should have been replaced.
void note_age(Value warn_after, std::int64_t now_s, std::string_view subject, TokenFindings& findings);
// Writes to Secrets on which day their token was last used. Nobody waits for it.
class TokenUse {
 public:
  explicit TokenUse(Registry& registry);
  ~TokenUse();  // waits for a write
  void note(const Document& secret);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Deleted for longer than a minute: finalizers may keep an object, but not the rights that hang on it.
bool gone_for_good(Value object, Time now);
std::string day_of(Time now);  // "2026-01-31"

}  // namespace kybern::apiserver
