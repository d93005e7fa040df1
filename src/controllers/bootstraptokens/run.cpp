#include "controllers/bootstraptokens/run.h"

#include "client/mirror.h"
#include "controllers/bootstraptokens/reconcile.h"
#include "net/cipher.h"

namespace kybern::controllers::bootstraptokens {
namespace {

constexpr const char* cluster_info = "kube-public/cluster-info";

}  // namespace

std::unique_ptr<Runner> make_cleaner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  auto runner =
      std::make_unique<Runner>("token-cleaner", 1, environment.transport, environment.world, mirrors,
                               [&mirrors, world = environment.world](const std::string& key, const Failure*) -> std::optional<Plan> {
                                 const Document secret = mirrors.bootstrap_secrets.get(key);
                                 if (!secret) return {};
                                 return clean(secret, world.clock.now());
                               });
  Runner* const r = runner.get();
  mirrors.bootstrap_secrets.add_handler([r](const Document&, const Document& now) {
    if (now) r->add(client::key_of(now));
  });
  return runner;
}

std::unique_ptr<Runner> make_signer(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  auto runner =
      std::make_unique<Runner>("bootstrap-signer", 1, environment.transport, environment.world, mirrors,
                               [&mirrors, world = environment.world](const std::string& key, const Failure*) -> std::optional<Plan> {
                                 const Document map = mirrors.cluster_info.get(key);
                                 if (!map) return {};
                                 return sign(map, mirrors.bootstrap_secrets.list(), world.clock.now(), net::hmac_sha256);
                               });
  Runner* const r = runner.get();
  mirrors.bootstrap_secrets.add_handler([r](const Document&, const Document&) { r->add(cluster_info); });
  mirrors.cluster_info.add_handler([r](const Document&, const Document& now) {
    if (now) r->add(client::key_of(now));
  });
  return runner;
}

}  // namespace kybern::controllers::bootstraptokens
