#include "apiserver/authn/legacy_tokens.h"

#include <mutex>
#include <set>

#include "apiserver/registry/work.h"
#include "base/log.h"
#include "base/strings.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

constexpr Duration leeway = std::chrono::minutes(1);

}  // namespace

struct TokenUse::State {
  explicit State(Registry& r) : registry(r) {}
  Registry& registry;
  std::mutex writing;  // held for as long as a write takes
  bool ended = false;
  std::mutex mutex;
  std::string day;
  std::set<std::string> noted;  // uids of Secrets whose use was noted on that day

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
    if (state_->day != today) state_->noted.clear();
    state_->day = today;
    if (!state_->noted.insert(secret["metadata"]["uid"].str()).second) return;
  }
  state_->registry.world().executor.post([state = state_, secret, today] { state->write(secret, today); });
}

bool gone_for_good(Value object, Time now) {
  auto deleted = parse_rfc3339(object["metadata"]["deletionTimestamp"].as_string());
  return deleted && *deleted < now - leeway;
}

std::string day_of(Time now) { return format_rfc3339(now).substr(0, 10); }

std::optional<User> legacy_account(const Registry& registry, std::string_view token, Value claims, std::string_view day,
                                   const std::function<void(const Document& secret)>& used) {
  const std::string ns = claims["kubernetes.io/serviceaccount/namespace"].str(),
                    name = claims["kubernetes.io/serviceaccount/service-account.name"].str(),
                    secret_name = claims["kubernetes.io/serviceaccount/secret.name"].str(),
                    uid = claims["kubernetes.io/serviceaccount/service-account.uid"].str();
  auto refuse = [&](std::string_view why) {
    log_warn("authn", "a service account's token is refused",
             {{"account", ns + "/" + name}, {"secret", secret_name}, {"why", std::string(why)}});
    return std::nullopt;
  };
  const std::string full = "system:serviceaccount:" + ns + ":" + name;
  if (ns.empty() || name.empty() || secret_name.empty() || uid.empty() || claims["sub"].as_string() != full)
    return refuse("its claims are not complete");
  const Document secret = registry.read("", "v1", "secrets", ns, secret_name);
  if (!secret || secret["metadata"]["deletionTimestamp"].exists()) return refuse("token has been invalidated");
  if (!net::equal_constant_time(base64_decode(secret["data"]["token"].as_string()).value_or(""), token))
    return refuse("token does not match server's copy");
  const Document account = registry.read("", "v1", "serviceaccounts", ns, name);
  if (!account || account["metadata"]["deletionTimestamp"].exists()) return refuse("the account is gone");
  if (account["metadata"]["uid"].as_string() != uid) return refuse("the account is another one of that name");
  Value labels = secret["metadata"]["labels"];
  if (!labels[invalid_since_label].as_string().empty()) return refuse("the Secret is marked as no longer valid");
  if (labels[last_used_label].as_string() != day) used(secret);
  return User{full, uid, {"system:serviceaccounts", "system:serviceaccounts:" + ns}, {}};
}

}  // namespace kybern::apiserver
