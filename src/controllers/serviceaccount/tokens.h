// Secrets of type kubernetes.io/service-account-token: filled with a token of their account that does not expire, and
// removed with it. The old way; TokenRequest (KEP-1205) is the new one.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "controllers/plan.h"

namespace kybern::controllers::serviceaccount {

inline constexpr std::string_view token_type = "kubernetes.io/service-account-token";
inline constexpr std::string_view account_name_annotation = "kubernetes.io/service-account.name",
                                  account_uid_annotation = "kubernetes.io/service-account.uid";

std::string_view account_of(Value secret);  // the name in its annotation; "" when it is no such Secret

// Claims (JSON) to a token; "" when it cannot be signed now.
using Sign = std::function<std::string(const Document& claims)>;
// `account`: the one the Secret names; absent when there is none, surely. `ca`: what ca.crt holds; "": nothing.
Plan reconcile_token(const Document& secret, const Document& account, std::string_view ca, const Sign& sign);

// The account without its reference to a Secret that is gone.
Plan forget_secret(const Document& account, std::string_view secret);

}  // namespace kybern::controllers::serviceaccount
