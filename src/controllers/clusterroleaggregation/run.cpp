#include "controllers/clusterroleaggregation/run.h"

#include "client/mirror.h"
#include "controllers/clusterroleaggregation/reconcile.h"

namespace kybern::controllers::clusterroleaggregation {
namespace {

constexpr const char* all_roles = "all";  // the only key: any role may be a part of any other

}  // namespace

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  auto runner = std::make_unique<Runner>(
      "clusterrole-aggregation-controller", 1, environment.transport, environment.world, mirrors,
      [&mirrors](const std::string&, const Failure*) -> std::optional<Plan> { return reconcile(mirrors.cluster_roles.list()); });
  Runner* const r = runner.get();
  mirrors.cluster_roles.add_handler([r](const Document&, const Document&) { r->add(all_roles); });
  return runner;
}

}  // namespace kybern::controllers::clusterroleaggregation
