// Bootstrap tokens (Secrets of type bootstrap.kubernetes.io/token in kube-system): removed when they have expired, and, where
// they are for it, signing the ConfigMap kube-public/cluster-info, by which who holds a token knows the cluster.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::bootstraptokens {

inline constexpr std::string_view token_type = "bootstrap.kubernetes.io/token";

Plan clean(const Document& secret, Time now);

// HMAC-SHA256 of `text` under `key`, raw.
using Mac = std::function<std::string(std::string_view key, std::string_view text)>;
// A detached JWS (RFC 7515, appendix F) of the content by a token: HS256, kid is the token's id.
std::string signature(std::string_view content, std::string_view id, std::string_view secret, const Mac& mac);
// The map's signatures as they should be: one of every token that is for signing and has not expired.
Plan sign(const Document& cluster_info, const std::vector<Document>& secrets, Time now, const Mac& mac);

}  // namespace kybern::controllers::bootstraptokens
