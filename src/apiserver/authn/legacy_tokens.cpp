#include "apiserver/authn/legacy_tokens.h"

#include <fmt/format.h>

#include <mutex>
#include <set>

#include "apiserver/registry/work.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/strings.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

constexpr Duration leeway = std::chrono::minutes(1);

metrics::CounterFamily legacy_uses("serviceaccount_legacy_tokens_total", "Cumulative legacy service account tokens used"),
    auto_uses("serviceaccount_legacy_auto_token_uses_total", "Cumulative auto-generated legacy tokens used"),
    manual_uses("serviceaccount_legacy_manual_token_uses_total", "Cumulative manually created legacy tokens used"),
    invalid_uses("serviceaccount_invalid_legacy_auto_token_uses_total", "Cumulative invalid auto-generated legacy tokens used"),
    stale_uses("serviceaccount_stale_tokens_total", "Cumulative stale projected service account tokens used"),
    valid_uses("serviceaccount_valid_tokens_total", "Cumulative valid projected service account tokens used");

// The account itself lists what was made for it; what somebody made for himself it does not.
bool made_for(Value account, std::string_view secret) {
  for (Value reference : account["secrets"].items())
    if (reference["name"].as_string() == secret) return true;
  return false;
}

}  // namespace

struct TokenUse::State {
  explicit State(Registry& r) : registry(r) {}
  Registry& registry;
  std::mutex writing;  // held for as long as a write takes
  bool ended = false;
  std::mutex mutex;
  std::set<std::string> pending;  // uids of Secrets whose use is being written

  void write(const Document& secret, const std::string& today) {
    std::lock_guard lock(writing);
    if (ended) return;
    Work work{.registry = registry,
              .world = registry.world(),
              .user = {"system:apiserver", "", {"system:masters", "system:authenticated"}, {}},
              .served = registry.catalog().find("", "v1", "secrets"),
              .ns = secret["metadata"]["namespace"].str(),
              .name = secret["metadata"]["name"].str()};
    work.verb = "patch";
    auto done = registry.modify(
        work,
        [&](Value before) -> ApiResult<Draft> {
          Draft now(before);
          if (before["metadata"]["uid"].as_string() == secret["metadata"]["uid"].as_string())
            now["metadata"]["labels"][last_used_label] = today;
          return now;
        },
        true);
    if (!done) log_warn("authn", "the use of a token could not be noted", {{"secret", work.name}, {"why", done.error().message}});
  }
};

TokenUse::TokenUse(Registry& registry) : state_(std::make_shared<State>(registry)) {}

TokenUse::~TokenUse() {
  std::lock_guard lock(state_->writing);
  state_->ended = true;
}

void TokenUse::note(const Document& secret) {
  const std::string today = day_of(state_->registry.world().clock.now());
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->pending.insert(secret["metadata"]["uid"].str()).second) return;
  }
  state_->registry.world().executor.post([state = state_, secret, today] {
    state->write(secret, today);
    std::lock_guard lock(state->mutex);
    state->pending.erase(secret["metadata"]["uid"].str());
  });
}

bool gone_for_good(Value object, Time now) {
  auto deleted = parse_rfc3339(object["metadata"]["deletionTimestamp"].as_string());
  return deleted && *deleted < now - leeway;
}

std::string day_of(Time now) { return format_rfc3339(now).substr(0, 10); }

void note_age(Value warn_after, std::int64_t now_s, std::string_view subject, TokenFindings& findings) {
  if (warn_after.as_int() == 0) return;
  if (now_s <= warn_after.as_int()) return valid_uses.with({}).add();
  stale_uses.with({}).add();
  findings.annotations["authentication.k8s.io/stale-token"] =
      fmt::format("subject: {}, seconds after warning threshold: {}", subject, now_s - warn_after.as_int());
}

std::optional<User> legacy_account(const Registry& registry, std::string_view token, Value claims, Time now,
                                   const std::function<void(const Document& secret)>& used, TokenFindings* findings) {
  const std::string ns = claims["kubernetes.io/serviceaccount/namespace"].str(),
                    name = claims["kubernetes.io/serviceaccount/service-account.name"].str(),
                    secret_name = claims["kubernetes.io/serviceaccount/secret.name"].str(),
                    uid = claims["kubernetes.io/serviceaccount/service-account.uid"].str();
  auto refuse = [&](std::string why) {
    log_warn("authn", "a service account's token is refused", {{"account", ns + "/" + name}, {"secret", secret_name}, {"why", why}});
    if (findings) findings->errors.push_back(std::move(why));
    return std::nullopt;
  };
  if (findings) {
    findings->annotations["authentication.k8s.io/legacy-token"] = claims["sub"].str();
    legacy_uses.with({}).add();
  }
  const std::string full = "system:serviceaccount:" + ns + ":" + name;
  for (auto [text, claim] :
       {std::pair(claims["sub"].as_string(), "sub"), std::pair(std::string_view(ns), "namespace"),
        std::pair(std::string_view(secret_name), "secretName"), std::pair(std::string_view(name), "serviceAccountName"),
        std::pair(std::string_view(uid), "serviceAccountUID")})
    if (text.empty()) return refuse(fmt::format("{} claim is missing", claim));
  if (claims["sub"].as_string() != full) return refuse("sub claim is invalid");
  const Document secret = registry.read("", "v1", "secrets", ns, secret_name);
  if (!secret || secret["metadata"]["deletionTimestamp"].exists()) return refuse("Token has been invalidated");
  if (!net::equal_constant_time(base64_decode(secret["data"]["token"].as_string()).value_or(""), token))
    return refuse("Token does not match server's copy");
  const Document account = registry.read("", "v1", "serviceaccounts", ns, name);
  if (!account) return refuse(fmt::format("serviceaccounts {} not found", go_quote(name)));
  if (account["metadata"]["deletionTimestamp"].exists()) return refuse(fmt::format("ServiceAccount {}/{} has been deleted", ns, name));
  if (account["metadata"]["uid"].as_string() != uid)
    return refuse(fmt::format("ServiceAccount UID ({}) does not match claim ({})", account["metadata"]["uid"].as_string(), uid));
  Value labels = secret["metadata"]["labels"];
  // Clocks differ: what another server has dated tomorrow is not set back.
  const std::string_view last = labels[last_used_label].as_string();
  if (last != day_of(now) && last != day_of(now + std::chrono::hours(24))) used(secret);
  if (!labels[invalid_since_label].as_string().empty()) {
    if (findings) {
      findings->annotations["authentication.k8s.io/legacy-token-invalidated"] = secret_name + "/" + ns;
      invalid_uses.with({}).add();
    }
    return refuse(
        "the token in secret " + ns + "/" + secret_name + " for service account " + ns + "/" + name +
        " has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '" +
        std::string(invalid_since_label) + "' label from the secret to temporarily allow use of this token");
  }
  if (findings) {
    const bool made = made_for(account.root(), secret_name);
    (made ? auto_uses : manual_uses).with({}).add();
    findings->annotations[made ? "authentication.k8s.io/legacy-token-autogenerated-secret"
                               : "authentication.k8s.io/legacy-token-manual-secret"] = secret_name;
    if (made)
      findings->warnings.push_back(
          "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based "
          "tokens.");
  }
  return User{full, uid, {"system:serviceaccounts", "system:serviceaccounts:" + ns}, {}};
}

}  // namespace kybern::apiserver
