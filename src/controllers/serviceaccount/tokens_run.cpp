#include "controllers/serviceaccount/tokens_run.h"

#include "base/log.h"
#include "base/strings.h"
#include "client/mirror.h"
#include "controllers/objects.h"
#include "controllers/serviceaccount/tokens.h"
#include "document/json.h"
#include "net/certificates.h"

namespace kybern::controllers::serviceaccount {
namespace {

constexpr std::size_t workers = 2;
constexpr Duration ask_again = std::chrono::seconds(5);
constexpr char forget_mark = '-';  // "-NAMESPACE/ACCOUNT/SECRET": a reference to take out

}  // namespace

std::unique_ptr<Runner> make_token_runner(const Environment& environment, TokenOptions options) {
  Mirrors& mirrors = environment.mirrors;
  client::Transport& transport = environment.transport;
  const Sign sign = [key = options.key_pem](const Document& claims) -> std::string {
    auto token = net::sign_jwt(key(), to_json(claims.root()));
    if (token) return *token;
    log_warn("controllers", "an account's token cannot be signed", {{"why", token.error().message}});
    return "";
  };
  auto decide = [&mirrors, &transport, sign, ca = options.ca_bundle](const std::string& key, const Failure*) -> std::optional<Plan> {
    if (key[0] == forget_mark) {
      auto slash = key.rfind('/');
      const Document account = mirrors.service_accounts.get(key.substr(1, slash - 1));
      if (!account || mirrors.token_secrets.get(key.substr(1, key.find('/')) + key.substr(slash + 1))) return {};
      return forget_secret(account, key.substr(slash + 1));
    }
    const Document secret = mirrors.token_secrets.get(key);
    if (!secret) return {};
    const std::string_view name = account_of(secret), uid = secret["metadata"]["annotations"][account_uid_annotation].as_string();
    Document account = mirrors.service_accounts.get(std::string(namespace_of(secret)) + "/" + std::string(name));
    // A mirror may be behind: nothing is removed for what only it does not know.
    if (!account || (!uid.empty() && uid != uid_of(account))) {
      auto live = transport.call(
          {.method = "GET", .path = client::object_path("v1", "serviceaccounts", namespace_of(secret), name), .query = {}, .body = {}});
      if (!live && live.error().code != 404) {
        Plan plan;
        plan.wake_after = ask_again;
        return plan;
      }
      account = live ? *live : Document();
    }
    return reconcile_token(secret, account, ca(), sign);
  };
  auto runner = std::make_unique<Runner>("tokens-controller", workers, transport, environment.world, mirrors, std::move(decide));
  Runner* const r = runner.get();
  mirrors.token_secrets.add_handler([r](const Document& before, const Document& now) {
    if (now) return r->add(client::key_of(now));
    if (account_of(before).empty()) return;
    std::string key(1, forget_mark);
    key += namespace_of(before);
    key += '/';
    key += account_of(before);
    key += '/';
    key += name_of(before);
    r->add(std::move(key));
  });
  mirrors.service_accounts.add_handler([r, &mirrors](const Document& before, const Document& now) {
    const Document& account = now ? now : before;
    for (const Document& secret : mirrors.token_secrets.by_index("account", client::key_of(account))) r->add(client::key_of(secret));
  });
  return runner;
}

}  // namespace kybern::controllers::serviceaccount
