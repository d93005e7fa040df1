// A service outside that says who a token stands for (authentication.k8s.io/v1 TokenReview).
#pragma once

#include <memory>
#include <string>

#include "apiserver/authn/token_source.h"
#include "base/result.h"
#include "base/world.h"

namespace kybern::apiserver {

struct TokenWebhookOptions {
  std::string config_file;         // a kubeconfig
  std::string cache_ttl = "2m0s";  // of an answer
};
Result<std::unique_ptr<TokenSource>> token_webhook(const TokenWebhookOptions& options, World world);

}  // namespace kybern::apiserver
