// Service-account tokens bound to pods: asked of the API (TokenRequest), kept, and asked again when 80 % of their life or a
// day has passed.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/world.h"
#include "client/transport.h"
#include "kubelet/volumes/payload.h"

namespace kybern::kubelet {

class Tokens {
 public:
  Tokens(client::Transport& api, World world) : api_(api), world_(world) {}
  // A token that is good for a while; blocks for an API call when there is none. When a fresh one cannot be had, an old
  // one that has not expired is returned.
  Result<std::string> get(const PodView& pod, const TokenWish& wish);
  // When the first token of the pod is to be renewed.
  std::optional<Time> renew_at(const std::string& uid);
  void forget(const std::string& uid);

 private:
  struct Kept {
    std::string token;
    Time renew, expires;
  };
  struct Key {
    std::string uid, ns, service_account, audience;
    std::int64_t expiration_s;
    auto operator<=>(const Key&) const = default;
  };
  client::Transport& api_;
  World world_;
  std::mutex mutex_;
  std::map<Key, Kept> kept_;
};

}  // namespace kybern::kubelet
