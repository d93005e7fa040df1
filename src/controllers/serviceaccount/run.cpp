#include "controllers/serviceaccount/run.h"

#include "client/mirror.h"
#include "controllers/objects.h"
#include "controllers/serviceaccount/reconcile.h"

namespace kybern::controllers::serviceaccount {

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  auto runner = std::make_unique<Runner>("service-account-controller", 1, environment.transport, environment.world, mirrors,
                                         [&mirrors](const std::string& key, const Failure*) -> std::optional<Plan> {
                                           const Document ns = mirrors.namespaces.get(key);
                                           if (!ns) return {};
                                           return reconcile(ns, mirrors.service_accounts.get(key + "/default"));
                                         });
  Runner* const r = runner.get();
  mirrors.namespaces.add_handler([r](const Document&, const Document& now) {
    if (now) r->add(client::key_of(now));
  });
  mirrors.service_accounts.add_handler([r](const Document& before, const Document& now) {
    if (before && !now && name_of(before) == "default") r->add(std::string(namespace_of(before)));
  });
  return runner;
}

}  // namespace kybern::controllers::serviceaccount
