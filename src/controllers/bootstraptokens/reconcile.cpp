#include "controllers/bootstraptokens/reconcile.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/strings.h"
#include "controllers/objects.h"

namespace kybern::controllers::bootstraptokens {
namespace {

constexpr std::string_view name_prefix = "bootstrap-token-", signature_prefix = "jws-kubeconfig-";
constexpr std::size_t id_length = 6, secret_length = 16;

std::string data_of(Value secret, std::string_view key) { return base64_decode(secret["data"][key].as_string()).value_or(""); }

// When the token ends. Nothing: never. One that cannot be read has ended.
std::optional<Time> end_of(Value secret) {
  const std::string text = data_of(secret, "expiration");
  if (text.empty()) return std::nullopt;
  return parse_rfc3339(text).value_or(Time{});
}

bool plain(std::string_view text, std::size_t length) {
  return text.size() == length &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

bool may_sign(Value secret, Time now) {
  if (is_deleting(secret) || secret["type"].as_string() != token_type) return false;
  const std::string id = data_of(secret, "token-id");
  if (!plain(id, id_length) || !plain(data_of(secret, "token-secret"), secret_length)) return false;
  if (name_of(secret) != std::string(name_prefix) + id) return false;
  if (auto end = end_of(secret); end && *end <= now) return false;
  return data_of(secret, "usage-bootstrap-signing") == "true";
}

}  // namespace

Plan clean(const Document& secret, Time now) {
  Plan plan;
  plan.about = secret;
  if (secret["type"].as_string() != token_type || is_deleting(secret)) return plan;
  const std::optional<Time> end = end_of(secret);
  if (!end) return plan;
  if (*end > now) {
    plan.wake_after = *end - now;
    return plan;
  }
  Action gone = erase_action("secrets", secret);
  gone.gone_is_fine = true;
  plan.actions.push_back(std::move(gone));
  return plan;
}

std::string signature(std::string_view content, std::string_view id, std::string_view secret, const Mac& mac) {
  const std::string header = base64url_encode(R"({"alg":"HS256","kid":")" + std::string(id) + "\"}");
  return header + ".." + base64url_encode(mac(secret, header + "." + base64url_encode(content)));
}

Plan sign(const Document& cluster_info, const std::vector<Document>& secrets, Time now, const Mac& mac) {
  Plan plan;
  plan.about = cluster_info;
  const std::string content = cluster_info["data"]["kubeconfig"].str();
  if (content.empty() || is_deleting(cluster_info)) return plan;
  std::map<std::string, std::string> wanted;
  for (const Document& secret : secrets) {
    if (auto end = end_of(secret); end && *end > now) plan.wake_after = std::min(plan.wake_after.value_or(Duration::max()), *end - now);
    if (!may_sign(secret, now)) continue;
    const std::string id = data_of(secret, "token-id");
    wanted[std::string(signature_prefix) + id] = signature(content, id, data_of(secret, "token-secret"), mac);
  }
  Draft map(cluster_info);
  bool same = true;
  for (Member m : cluster_info["data"].members())
    if (m.key.starts_with(signature_prefix) && !wanted.contains(std::string(m.key))) {
      map["data"].erase(m.key);
      same = false;
    }
  for (const auto& [key, text] : wanted) {
    if (cluster_info["data"][key].as_string() == text) continue;
    map["data"][key] = text;
    same = false;
  }
  if (!same) plan.actions.push_back(replace_action("configmaps", map.freeze()));
  return plan;
}

}  // namespace kybern::controllers::bootstraptokens
