#include "controllers/endpoints/run.h"

#include "client/mirror.h"
#include "controllers/endpoints/reconcile.h"
#include "controllers/objects.h"
#include "controllers/service_events.h"

namespace kybern::controllers::endpoints {
namespace {

constexpr std::size_t workers = 5;

}  // namespace

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  auto runner = std::make_unique<Runner>("endpoint-controller", workers, environment.transport, environment.world, mirrors,
                                         [&mirrors](const std::string& key, const Failure*) -> std::optional<Plan> {
                                           const Document service = mirrors.services.get(key), endpoints = mirrors.endpoints.get(key);
                                           if (!service) return endpoints ? std::optional(reconcile_gone(endpoints)) : std::nullopt;
                                           return reconcile(service, {.pods = pods_of_service(mirrors, service), .endpoints = endpoints});
                                         });
  Runner* const r = runner.get();
  mirrors.services.add_handler([r](const Document& before, const Document& now) { r->add(client::key_of(now ? now : before)); });
  mirrors.pods.add_handler([r, &mirrors](const Document& before, const Document& now) { add_services_of_pod(*r, mirrors, before, now); });
  // Endpoints may be there before their Service, and without one; only those of ours are looked at on their own account.
  mirrors.endpoints.add_handler([r](const Document& before, const Document& now) {
    const Value labels = (now ? now : before)["metadata"]["labels"];
    if (labels["endpoints.kubernetes.io/managed-by"].as_string() == "endpoint-controller") r->add(client::key_of(now ? now : before));
  });
  return runner;
}

}  // namespace kybern::controllers::endpoints
