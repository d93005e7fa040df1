// Tokens of nodes that are to join: Secrets of the type bootstrap.kubernetes.io/token in kube-system, "abcdef.0123456789abcdef".
#pragma once

#include <memory>

#include "apiserver/authn/token_source.h"
#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

std::unique_ptr<TokenSource> bootstrap_tokens(const Registry& registry);

}  // namespace kybern::apiserver
