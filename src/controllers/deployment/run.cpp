#include "controllers/deployment/run.h"

#include "client/mirror.h"
#include "controllers/deployment/reconcile.h"
#include "controllers/echoes.h"
#include "controllers/objects.h"
#include "machinery/labels.h"

namespace kybern::controllers::deployment {
namespace {

constexpr std::size_t workers = 5;

void add_owner(Runner& runner, Value set) {
  const Value controller = controller_of(set);
  if (controller["kind"].as_string() == "Deployment") runner.add(std::string(namespace_of(set)) + "/" + controller["name"].str());
}

void add_adopters(Runner& runner, const Mirrors& mirrors, Value set) {
  for (const Document& deployment : mirrors.deployments.list_namespace(namespace_of(set))) {
    const auto selector = LabelSelector::from(deployment["spec"]["selector"]);
    if (selector && selector->matches(set["metadata"]["labels"])) runner.add(client::key_of(deployment));
  }
}

bool is_recreate(Value deployment) { return deployment["spec"]["strategy"]["type"].as_string() == "Recreate"; }

// A pod that ended may be the last one that Recreate waited for.
void add_waiting(Runner& runner, const Mirrors& mirrors, Value pod) {
  const Value controller = controller_of(pod);
  if (controller["kind"].as_string() != "ReplicaSet") return;
  const Document set = mirrors.replica_sets.get(std::string(namespace_of(pod)) + "/" + controller["name"].str());
  if (!set) return;
  const Value owner = controller_of(set);
  const std::string key = std::string(namespace_of(set)) + "/" + owner["name"].str();
  if (owner["kind"].as_string() == "Deployment" && is_recreate(mirrors.deployments.get(key))) runner.add(key);
}

Observed observe(const Mirrors& mirrors, const Document& deployment, Time now, const Failure* failure) {
  const std::string ns(namespace_of(deployment));
  Observed out{
      .replica_sets = mirrors.replica_sets.by_index("controller", uid_of(deployment)),
      .pods = {},
      .replica_set_named = [&mirrors, ns](std::string_view name) { return mirrors.replica_sets.get(ns + "/" + std::string(name)); },
      .now = now,
      .failure = failure};
  if (is_recreate(deployment))
    for (const Document& set : out.replica_sets)
      for (Document& pod : mirrors.pods.by_index("controller", uid_of(set))) out.pods.push_back(std::move(pod));
  for (Document& orphan : mirrors.replica_sets.by_index("controller", Mirrors::orphans_of(ns)))
    out.replica_sets.push_back(std::move(orphan));
  return out;
}

}  // namespace

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  Clock& clock = environment.world.clock;
  auto echoes = std::make_shared<Echoes>();
  auto runner = std::make_unique<Runner>("deployment-controller", workers, environment.transport, environment.world, mirrors,
                                         [&mirrors, &clock, echoes](const std::string& key, const Failure* failure) -> std::optional<Plan> {
                                           const Document deployment = mirrors.deployments.get(key);
                                           if (!deployment) return {};
                                           Plan plan = reconcile(deployment, observe(mirrors, deployment, clock.now(), failure));
                                           echoes->decided(key, deployment, plan);
                                           return plan;
                                         });
  Runner* const r = runner.get();
  mirrors.deployments.add_handler([r, echoes](const Document& before, const Document& now) {
    std::string key = client::key_of(now ? now : before);
    if (!now) echoes->forget(key);
    else if (!echoes->is_echo(key, before, now)) r->add(std::move(key));
  });
  mirrors.replica_sets.add_handler([r, &mirrors](const Document& before, const Document& now) {
    if (before) add_owner(*r, before);
    if (now && controller_of(now).exists()) add_owner(*r, now);
    else if (now) add_adopters(*r, mirrors, now);
  });
  mirrors.pods.add_handler([r, &mirrors](const Document& before, const Document& now) {
    if (before && (!now || (is_terminal(now) && !is_terminal(before)))) add_waiting(*r, mirrors, before);
  });
  return runner;
}

}  // namespace kybern::controllers::deployment
