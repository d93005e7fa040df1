// Who is asked whether something may be done, in which order: --authorization-mode, or a file of apiserver.config.k8s.io/v1
// AuthorizationConfiguration. The first who allows or denies decides; where nobody has an opinion, it is not allowed.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/authz/webhook.h"
#include "base/result.h"
#include "base/world.h"

namespace kybern::apiserver {

struct AuthorizationOptions {
  std::vector<std::string> modes;  // Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny; none: Node, RBAC
  std::string config_file;         // AuthorizationConfiguration; not together with what else is here
  std::string webhook_config_file, webhook_version, webhook_authorized_ttl, webhook_unauthorized_ttl;  // "": v1beta1, 5m0s, 30s
};

struct Authority {
  enum class Kind { node, rbac, always_allow, always_deny, webhook } kind;
  std::unique_ptr<AuthorizationWebhook> webhook{};
};
using AuthorizationChain = std::vector<Authority>;

// Code::invalid with all that is wrong.
Result<AuthorizationChain> authorization_chain(const AuthorizationOptions& options, World world);
Result<AuthorizationChain> read_authorization_configuration(std::string_view yaml, World world);

}  // namespace kybern::apiserver
