#include "controllers/serviceaccount/tokens.h"

#include "base/strings.h"
#include "controllers/objects.h"

namespace kybern::controllers::serviceaccount {
namespace {

constexpr Duration sign_again = std::chrono::seconds(30);

// The claims of the old tokens: no time, no audience.
Document claims_of(Value secret, Value account) {
  const std::string ns(namespace_of(secret)), name(name_of(account));
  return Draft::object({{"iss", "kubernetes/serviceaccount"},
                        {"kubernetes.io/serviceaccount/namespace", ns},
                        {"kubernetes.io/serviceaccount/secret.name", name_of(secret)},
                        {"kubernetes.io/serviceaccount/service-account.name", name},
                        {"kubernetes.io/serviceaccount/service-account.uid", uid_of(account)},
                        {"sub", "system:serviceaccount:" + ns + ":" + name}})
      .freeze();
}

}  // namespace

std::string_view account_of(Value secret) {
  if (secret["type"].as_string() != token_type) return {};
  return secret["metadata"]["annotations"][account_name_annotation].as_string();
}

Plan reconcile_token(const Document& secret, const Document& account, std::string_view ca, const Sign& sign) {
  Plan plan;
  plan.about = secret;
  if (is_deleting(secret) || account_of(secret).empty()) return plan;
  Value uid = secret["metadata"]["annotations"][account_uid_annotation];
  if (!account || (!uid.as_string().empty() && uid.as_string() != uid_of(account))) {
    Action gone = erase_action("secrets", secret);
    gone.gone_is_fine = true;
    plan.actions.push_back(std::move(gone));
    return plan;
  }
  Value data = secret["data"];
  const bool needs_token = data["token"].as_string().empty(), needs_namespace = data["namespace"].as_string().empty();
  const bool needs_ca = !ca.empty() && base64_decode(data["ca.crt"].as_string()).value_or("") != ca;
  if (!needs_token && !needs_namespace && !needs_ca) return plan;
  Draft now(secret);
  if (needs_ca) now["data"]["ca.crt"] = base64_encode(ca);
  if (needs_namespace) now["data"]["namespace"] = base64_encode(namespace_of(secret));
  if (needs_token) {
    const std::string token = sign(claims_of(secret, account));
    if (token.empty()) {
      plan.wake_after = sign_again;
      return plan;
    }
    now["data"]["token"] = base64_encode(token);
  }
  now["metadata"]["annotations"][account_name_annotation] = name_of(account);
  now["metadata"]["annotations"][account_uid_annotation] = uid_of(account);
  plan.actions.push_back(replace_action("secrets", now.freeze()));
  return plan;
}

Plan forget_secret(const Document& account, std::string_view secret) {
  Plan plan;
  plan.about = account;
  Draft kept = Draft::array();
  for (Value ref : account["secrets"].items())
    if (ref["name"].as_string() != secret) kept.push_back(ref);
  if (kept.size() == account["secrets"].size() || is_deleting(account)) return plan;
  Draft now(account);
  if (kept.size() == 0) now.erase("secrets");
  else now["secrets"] = std::move(kept);
  plan.actions.push_back(replace_action("serviceaccounts", now.freeze()));
  return plan;
}

}  // namespace kybern::controllers::serviceaccount
