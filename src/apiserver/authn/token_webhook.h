// A service outside that says who a token stands for (authentication.k8s.io/v1 TokenReview).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apiserver/authn/token_source.h"
#include "base/result.h"
#include "base/world.h"

namespace kybern::apiserver {

struct TokenWebhookOptions {
  std::string config_file;                   // a kubeconfig
  std::string cache_ttl = "2m0s";            // of an answer
  std::vector<std::string> own_audiences{};  // whom a token is for when the service names nobody
};
Result<std::unique_ptr<TokenSource>> token_webhook(const TokenWebhookOptions& options, World world);

}  // namespace kybern::apiserver
