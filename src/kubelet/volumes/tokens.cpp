#include "kubelet/volumes/tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace kybern::kubelet {
namespace {

constexpr std::chrono::hours longest_use{24};

}  // namespace

Result<std::string> Tokens::get(const PodView& pod, const TokenWish& wish) {
  Key key{pod.uid, pod.ns, wish.service_account, wish.audience, wish.expiration_s};
  Time now = world_.clock.now();
  std::optional<Kept> old;
  {
    std::lock_guard lock(mutex_);
    if (auto found = kept_.find(key); found != kept_.end()) {
      if (now < found->second.renew) return found->second.token;
      old = found->second;
    }
  }
  Draft spec = Draft::object({{"expirationSeconds", wish.expiration_s}});
  if (!wish.audience.empty()) spec["audiences"] = Draft::array({wish.audience});
  spec["boundObjectRef"] = Draft::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"name", pod.name}, {"uid", pod.uid}});
  client::Call call;
  call.method = "POST";
  call.path = client::object_path("v1", "serviceaccounts", pod.ns, wish.service_account, "token");
  call.body =
      Draft::object({{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenRequest"}, {"metadata", Draft::object()}, {"spec", spec}})
          .freeze();
  auto answer = api_.call(std::move(call));
  std::string token = answer ? (*answer)["status"]["token"].str() : std::string();
  if (token.empty()) {
    std::string why = answer ? "the answer has no token" : answer.error().message;
    if (old && now < old->expires) {
      log_warn("kubelet", "a service-account token could not be renewed", {{"pod", pod.key()}, {"error", why}});
      return old->token;
    }
    return fail(Code::unavailable, fmt::format("failed to fetch token: {}", why));
  }
  auto expires = parse_rfc3339((*answer)["status"]["expirationTimestamp"].as_string());
  Time end = expires.value_or(now + std::chrono::seconds(wish.expiration_s));
  Duration life = end - now;
  Kept fresh{token, now + std::min<Duration>(life * 8 / 10, longest_use), end};
  std::lock_guard lock(mutex_);
  kept_[key] = std::move(fresh);
  return token;
}

std::optional<Time> Tokens::renew_at(const std::string& uid) {
  std::lock_guard lock(mutex_);
  std::optional<Time> first;
  for (auto at = kept_.lower_bound(Key{uid, "", "", "", 0}); at != kept_.end() && at->first.uid == uid; ++at) {
    first = first ? std::min(*first, at->second.renew) : at->second.renew;
  }
  return first;
}

void Tokens::forget(const std::string& uid) {
  std::lock_guard lock(mutex_);
  std::erase_if(kept_, [&](const auto& entry) { return entry.first.uid == uid; });
}

}  // namespace kybern::kubelet
