#include "controllers/endpointslice/run.h"

#include "client/mirror.h"
#include "controllers/endpointslice/reconcile.h"
#include "controllers/objects.h"
#include "controllers/service_events.h"

namespace kybern::controllers::endpointslice {
namespace {

constexpr std::size_t workers = 5;

void add_service_of(Runner& runner, Value slice) {
  if (slice["metadata"]["labels"][managed_by_label].as_string() != managed_by) return;
  const Value service = slice["metadata"]["labels"][service_label];
  if (!service.as_string().empty()) runner.add(Mirrors::service_key(namespace_of(slice), service.as_string()));
}

}  // namespace

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  auto runner =
      std::make_unique<Runner>("endpoint-slice-controller", workers, environment.transport, environment.world, mirrors,
                               [&mirrors](const std::string& key, const Failure*) -> std::optional<Plan> {
                                 const Document service = mirrors.services.get(key);
                                 if (!service) return {};
                                 return reconcile(service, {.pods = pods_of_service(mirrors, service),
                                                            .slices = mirrors.endpoint_slices.by_index("service", key),
                                                            .node = [&mirrors](std::string_view name) { return mirrors.nodes.get(name); }});
                               });
  Runner* const r = runner.get();
  mirrors.services.add_handler([r](const Document&, const Document& now) {
    if (now) r->add(client::key_of(now));
  });
  mirrors.pods.add_handler([r, &mirrors](const Document& before, const Document& now) { add_services_of_pod(*r, mirrors, before, now); });
  mirrors.endpoint_slices.add_handler([r](const Document& before, const Document& now) {
    if (before) add_service_of(*r, before);
    if (now) add_service_of(*r, now);
  });
  return runner;
}

}  // namespace kybern::controllers::endpointslice
