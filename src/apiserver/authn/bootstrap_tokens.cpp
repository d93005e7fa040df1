#include "apiserver/authn/bootstrap_tokens.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "base/time.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t id_length = 6, secret_length = 16, group_max = 255;
constexpr std::string_view default_group = "system:bootstrappers", group_prefix = "system:bootstrappers:";

bool plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

// system:bootstrappers:NAME of small letters, digits, colons and dashes that does not end in one of the latter two.
bool good_group(std::string_view group) {
  if (!group.starts_with(group_prefix)) return false;
  std::string_view name = group.substr(group_prefix.size());
  if (name.empty() || name.size() > group_max + 1 || !plain(name.substr(name.size() - 1))) return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return plain({&c, 1}) || c == ':' || c == '-'; });
}

class BootstrapTokens final : public TokenSource {
 public:
  explicit BootstrapTokens(const Registry& registry) : registry_(registry) {}

  bool asks_outside() const override { return false; }

  std::optional<KnownToken> check(std::string_view token, const std::vector<std::string>&, std::string&) override {
    if (token.size() != id_length + 1 + secret_length || token[id_length] != '.') return std::nullopt;
    const std::string_view id = token.substr(0, id_length), secret = token.substr(id_length + 1);
    if (!plain(id) || !plain(secret)) return std::nullopt;
    const std::string name = "bootstrap-token-" + std::string(id);
    const Document stored = registry_.read("", "v1", "secrets", "kube-system", name);
    if (!stored) return std::nullopt;
    auto refuse = [&](std::string_view why) {
      log_warn("authn", "a bootstrap token is refused", {{"secret", name}, {"why", std::string(why)}});
      return std::nullopt;
    };
    auto data = [&](std::string_view key) { return base64_decode(stored["data"][key].as_string()).value_or(""); };
    if (stored["metadata"]["deletionTimestamp"].exists()) return refuse("it is being deleted");
    if (stored["type"].as_string() != "bootstrap.kubernetes.io/token") return refuse("it has another type");
    if (!net::equal_constant_time(data("token-secret"), secret)) return refuse("its token-secret is another one");
    if (data("token-id") != id) return refuse("its token-id is another one");
    if (const std::string expiration = data("expiration"); !expiration.empty()) {
      auto end = parse_rfc3339(expiration);
      if (!end || *end <= registry_.world().clock.now()) return refuse("it has expired");
    }
    if (data("usage-bootstrap-authentication") != "true") return refuse("it is not for authentication");
    User user{"system:bootstrap:" + std::string(id), "", {std::string(default_group)}, {}};
    const std::string groups = data("auth-extra-groups");
    for (std::string_view group : split(groups, ',')) {
      if (trim(group).empty()) continue;
      if (!good_group(trim(group))) return refuse("auth-extra-groups has a group that is not below system:bootstrappers:");
      user.groups.emplace_back(trim(group));
    }
    return KnownToken{std::move(user)};
  }

 private:
  const Registry& registry_;
};

}  // namespace

std::unique_ptr<TokenSource> bootstrap_tokens(const Registry& registry) { return std::make_unique<BootstrapTokens>(registry); }

}  // namespace kybern::apiserver
