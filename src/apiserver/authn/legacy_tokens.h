// Tokens of service accounts that lie in Secrets (kubernetes.io/service-account-token): they have no end, and are good as long
// as the Secret holds them and the account lives.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "apiserver/registry/registry.h"
#include "apiserver/user.h"
#include "base/time.h"
#include "document/document.h"

namespace kybern::apiserver {

inline constexpr std::string_view legacy_issuer = "kubernetes/serviceaccount";
inline constexpr std::string_view last_used_label = "kubernetes.io/legacy-token-last-used",
                                  invalid_since_label = "kubernetes.io/legacy-token-invalid-since";

// The account that such claims stand for. `day`: today, as the label of use says it; when the label says another day,
// `used` is told the Secret.
std::optional<User> legacy_account(const Registry& registry, std::string_view token, Value claims, std::string_view day,
                                   const std::function<void(const Document& secret)>& used);
// Writes to Secrets on which day their token was last used: once a day, and nobody waits for it.
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
