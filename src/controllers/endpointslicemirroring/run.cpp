#include "controllers/endpointslicemirroring/run.h"

#include "client/mirror.h"
#include "controllers/endpointslice/reconcile.h"
#include "controllers/endpointslicemirroring/reconcile.h"
#include "controllers/objects.h"

namespace kybern::controllers::endpointslicemirroring {

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  auto runner = std::make_unique<Runner>(
      "endpoint-slice-mirroring-controller", 2, environment.transport, environment.world, mirrors,
      [&mirrors](const std::string& key, const Failure*) -> std::optional<Plan> {
        return reconcile({mirrors.endpoints.get(key), mirrors.services.get(key), mirrors.endpoint_slices.by_index("service", key)});
      });
  Runner* const r = runner.get();
  // Endpoints that the cluster itself writes are of Services with a selector: never mirrored.
  mirrors.endpoints.add_handler([r](const Document& before, const Document& now) {
    const Document& any = now ? now : before;
    if (any["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"].as_string() != "endpoint-controller") r->add(client::key_of(any));
  });
  mirrors.services.add_handler([r](const Document& before, const Document& now) {
    const bool had = before && !before["spec"]["selector"].empty(), has = now && !now["spec"]["selector"].empty();
    if (!before || !now || had != has) r->add(client::key_of(now ? now : before));
  });
  mirrors.endpoint_slices.add_handler([r](const Document& before, const Document& now) {
    const Value labels = (now ? now : before)["metadata"]["labels"];
    if (labels[endpointslice::managed_by_label].as_string() == managed_by)
      r->add(Mirrors::service_key(namespace_of(now ? now : before), labels[endpointslice::service_label].as_string()));
  });
  return runner;
}

}  // namespace kybern::controllers::endpointslicemirroring
