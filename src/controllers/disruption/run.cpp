#include "controllers/disruption/run.h"

#include <algorithm>

#include "client/mirror.h"
#include "controllers/discovery.h"
#include "controllers/disruption/reconcile.h"
#include "controllers/objects.h"

namespace kybern::controllers::disruption {
namespace {

constexpr std::size_t workers = 2;

std::optional<Scale> scale_of(const Document& owner, std::string_view uid) {
  if (!owner || uid_of(owner) != uid) return {};
  return Scale{std::string(uid), owner["spec"]["replicas"].as_int(1)};
}

// Of kinds that are not mirrored: by the scale subresource, which custom resources have too.
std::optional<Scale> asked_scale(client::Transport& transport, std::string_view ns, Value reference) {
  const std::string version = reference["apiVersion"].str();
  const ApiResult<Document> list = transport.call(
      {.method = "GET", .path = (version.find('/') == std::string::npos ? "/api/" : "/apis/") + version, .query = {}, .body = {}});
  if (!list) return {};
  for (Value entry : (*list)["resources"].items()) {
    const std::string_view name = entry["name"].as_string();
    if (entry["kind"] != reference["kind"] || name.find('/') != std::string_view::npos) continue;
    const ApiResult<Document> scale = transport.call(
        {.method = "GET", .path = client::object_path(version, name, ns, reference["name"].as_string(), "scale"), .query = {}, .body = {}});
    if (scale && uid_of(*scale) == reference["uid"].as_string())
      return Scale{reference["uid"].str(), (*scale)["spec"]["replicas"].as_int()};
    return {};
  }
  return {};
}

std::optional<Scale> find_scale(Mirrors& mirrors, client::Transport& transport, std::string_view ns, Value reference) {
  const std::string_view kind = reference["kind"].as_string(), api = reference["apiVersion"].as_string(),
                         uid = reference["uid"].as_string();
  const std::string key = std::string(ns) + "/" + reference["name"].str();
  if (api == "v1" && kind == "ReplicationController") return scale_of(mirrors.replication_controllers.get(key), uid);
  if (api == "apps/v1" && kind == "ReplicaSet") {
    const Document set = mirrors.replica_sets.get(key);
    const Value above = controller_of(set);
    if (!set || uid_of(set) != uid) return {};
    if (above["kind"].as_string() != "Deployment") return scale_of(set, uid);
    return scale_of(mirrors.deployments.get(std::string(ns) + "/" + above["name"].str()), above["uid"].as_string());
  }
  if (api == "apps/v1" && kind == "StatefulSet")
    if (client::MirrorCore* sets = mirrors.find("apps/v1", "statefulsets")) return scale_of(sets->get(key), uid);
  return asked_scale(transport, ns, reference);
}

}  // namespace

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  Clock& clock = environment.world.clock;
  client::Transport& transport = environment.transport;
  auto runner = std::make_unique<Runner>(
      "controllermanager", workers, transport, environment.world, mirrors,
      [&mirrors, &clock, &transport](const std::string& key, const Failure* failure) -> std::optional<Plan> {
        const Document budget = mirrors.budgets.get(key);
        if (!budget || failure) return {};
        Observed observed{.pods = mirrors.pods.list_namespace(namespace_of(budget)), .scales = {}, .now = clock.now()};
        std::erase_if(observed.pods, [&](const Document& pod) { return !selects(budget, pod); });
        if (needs_scale(budget)) {
          for (const Document& pod : observed.pods) {
            const Value controller = controller_of(pod);
            if (!controller.exists() || observed.scales.contains(controller["uid"].str())) continue;
            if (auto scale = find_scale(mirrors, transport, namespace_of(pod), controller))
              observed.scales.emplace(controller["uid"].str(), std::move(*scale));
          }
        }
        return reconcile(budget, observed);
      });
  Runner* const r = runner.get();
  mirrors.budgets.add_handler([r](const Document&, const Document& now) {
    if (now) r->add(client::key_of(now));
  });
  mirrors.pods.add_handler([r, &mirrors](const Document& before, const Document& now) {
    if (!matters(before, now)) return;
    for (const Document& budget : mirrors.budgets.list_namespace(namespace_of(now ? now : before)))
      if ((before && selects(budget, before)) || (now && selects(budget, now))) r->add(client::key_of(budget));
  });
  return runner;
}

std::unique_ptr<Runner> make_forgetting_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  Clock& clock = environment.world.clock;
  auto runner = std::make_unique<Runner>("controllermanager", 1, environment.transport, environment.world, mirrors,
                                         [&mirrors, &clock](const std::string& key, const Failure*) -> std::optional<Plan> {
                                           const Document pod = mirrors.pods.get(key);
                                           if (!pod) return {};
                                           return forget_disruption(pod, clock.now());
                                         });
  Runner* const r = runner.get();
  mirrors.pods.add_handler([r](const Document& before, const Document& now) {
    if (!now || is_deleting(now) || condition(now["status"]["conditions"], "DisruptionTarget")["status"].as_string() != "True") return;
    if (!before || condition(before["status"]["conditions"], "DisruptionTarget")["status"].as_string() != "True")
      r->add(client::key_of(now));
  });
  return runner;
}

}  // namespace kybern::controllers::disruption
