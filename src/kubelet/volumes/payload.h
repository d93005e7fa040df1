// The files of a volume that is made from API objects (configMap, secret, downwardAPI, projected), computed purely.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kubelet/plan/environment.h"
#include "kubelet/plan/pod_view.h"

namespace kybern::kubelet {

struct PayloadFile {
  std::string bytes;
  unsigned mode = 0644;
  std::optional<unsigned> owner;  // uid, of tokens
  friend bool operator==(const PayloadFile&, const PayloadFile&) = default;
};
using Payload = std::map<std::string, PayloadFile>;  // by path below the volume, "a/b" makes folders

struct TokenWish {
  std::string service_account, audience;  // "" for the API server's own
  std::int64_t expiration_s = 3600;
};

struct PayloadSources {
  EnvironmentFacts facts;  // config maps, secrets, and what the pod knows of itself
  std::function<Result<std::string>(const TokenWish& wish)> token;
};

// `source`: the member of the volume ("configMap", ...). Absent when the volume is of another kind.
bool is_payload_volume(Value volume);
Result<Payload> make_payload(const PodView& pod, Value volume, const PayloadSources& sources);

// The user that every container of the pod runs as, when it is one.
std::optional<std::int64_t> common_user(const PodView& pod);

}  // namespace kybern::kubelet
