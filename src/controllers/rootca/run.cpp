#include "controllers/rootca/run.h"

#include <utility>

#include "client/mirror.h"
#include "controllers/objects.h"
#include "controllers/rootca/reconcile.h"

namespace kybern::controllers::rootca {

std::unique_ptr<Runner> make_runner(const Environment& environment, std::string ca_pem) {
  Mirrors& mirrors = environment.mirrors;
  auto runner = std::make_unique<Runner>("root-ca-cert-publisher", 1, environment.transport, environment.world, mirrors,
                                         [&mirrors, ca_pem = std::move(ca_pem)](const std::string& key, const Failure*) -> std::optional<Plan> {
    const Document ns = mirrors.namespaces.get(key);
    if (!ns) return {};
    return reconcile(ns, mirrors.root_ca_maps.get(key + "/" + std::string(map_name)), ca_pem);
  });
  Runner* const r = runner.get();
  mirrors.namespaces.add_handler([r](const Document&, const Document& now) {
    if (now) r->add(client::key_of(now));
  });
  mirrors.root_ca_maps.add_handler([r](const Document& before, const Document& now) {
    const Document& map = now ? now : before;
    if (before && name_of(map) == map_name) r->add(std::string(namespace_of(map)));
  });
  return runner;
}

}  // namespace kybern::controllers::rootca
