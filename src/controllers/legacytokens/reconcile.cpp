#include "controllers/legacytokens/reconcile.h"

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/time.h"
#include "controllers/objects.h"
#include "machinery/pod_references.h"

namespace kybern::controllers::legacytokens {
namespace {

constexpr Duration one_day = std::chrono::hours(24);
constexpr std::string_view account_name = "kubernetes.io/service-account.name", account_uid = "kubernetes.io/service-account.uid";

std::optional<Time> day(std::string_view text) {
  if (text.size() != std::string_view("2026-01-31").size()) return std::nullopt;
  return parse_rfc3339(std::string(text) + "T00:00:00Z");
}
std::string text_of_day(Time t) { return format_rfc3339(t).substr(0, 10); }

// Whether the token was made for its account: the account lists it. What somebody made for himself is his own to remove.
bool made_for_account(const Document& secret, const Seen& seen) {
  Value annotations = secret["metadata"]["annotations"];
  if (annotations[account_name].as_string().empty()) return false;
  const Document account = seen.account(namespace_of(secret), annotations[account_name].as_string());
  if (!account) return false;
  if (std::string_view uid = annotations[account_uid].as_string(); !uid.empty() && uid != uid_of(account)) return false;
  for (Value reference : account["secrets"].items())
    if (reference["name"].as_string() == name_of(secret)) return true;
  return false;
}

// A label of use that is no day says nothing: such a token stays.
bool unused_since(Value secret, Time limit) {
  auto made = parse_rfc3339(secret["metadata"]["creationTimestamp"].as_string());
  if (!made || *made >= limit || is_deleting(secret)) return false;
  Value last = secret["metadata"]["labels"][last_used_label];
  return !last.exists() || (day(last.as_string()) && last.as_string() < text_of_day(limit));
}

using Names = std::set<std::pair<std::string, std::string>>;

Names used_by_pods(const Seen& seen) {
  Names out;
  for (const Document& pod : seen.pods())
    for (std::string& name : pod_references(pod.root()).secrets) out.emplace(namespace_of(pod), std::move(name));
  return out;
}

Action mark(const Document& secret, Time now) {
  Draft patch = Draft::object();
  patch["metadata"]["uid"] = secret["metadata"]["uid"];
  patch["metadata"]["labels"][invalid_since_label] = text_of_day(now);
  Action out = patch_action(Action::Verb::merge_patch, "secrets", secret.root(), patch.freeze());
  out.pace = Action::Pace::parallel;
  out.gone_is_fine = true;
  return out;
}

// Only as it was seen: who uses it meanwhile keeps it.
Action remove(const Document& secret) {
  Action out = erase_action("secrets", secret.root());
  Draft options(out.body);
  options["preconditions"]["resourceVersion"] = secret["metadata"]["resourceVersion"];
  out.body = options.freeze();
  out.pace = Action::Pace::parallel;
  out.gone_is_fine = true;
  return out;
}

}  // namespace

Plan reconcile(const Seen& seen, Time now, Duration period) {
  Plan plan;
  // Noted from the day after on which tracking began, as of that day only a part is known.
  auto tracked = day(seen.tracking["data"]["since"].as_string());
  if (!tracked || now < *tracked + one_day + period) return plan;
  const Time limit = now - period;
  std::optional<Names> used;
  for (const Document& secret : seen.secrets) {
    if (!unused_since(secret.root(), limit) || !made_for_account(secret, seen)) continue;
    if (!used) used = used_by_pods(seen);
    if (used->contains({std::string(namespace_of(secret)), std::string(name_of(secret))})) continue;
    const std::string_view since = secret["metadata"]["labels"][invalid_since_label].as_string();
    if (!day(since)) plan.actions.push_back(mark(secret, now));
    else if (since < text_of_day(limit)) plan.actions.push_back(remove(secret));
  }
  return plan;
}

}  // namespace kybern::controllers::legacytokens
