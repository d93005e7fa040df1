#include "controllers/rootca/run.h"

#include <utility>

#include "client/mirror.h"
#include "controllers/objects.h"
#include "controllers/rootca/reconcile.h"

namespace kybern::controllers::rootca {

namespace {

constexpr Duration look_again = std::chrono::minutes(10);
constexpr std::string_view bundle_key = "/";  // no namespace: whether the bundle has changed

}  // namespace

std::unique_ptr<Runner> make_runner(const Environment& environment, std::function<std::string()> ca_bundle) {
  Mirrors& mirrors = environment.mirrors;
  struct State {  // of the one worker
    Runner* runner = nullptr;
    std::string bundle;
  };
  auto state = std::make_shared<State>();
  state->bundle = ca_bundle();
  auto runner = std::make_unique<Runner>(
      "root-ca-cert-publisher", 1, environment.transport, environment.world, mirrors,
      [&mirrors, state, ca_bundle = std::move(ca_bundle)](const std::string& key, const Failure*) -> std::optional<Plan> {
        if (key == bundle_key) {
          state->runner->add_after(key, look_again);
          std::string bundle = ca_bundle();
          if (bundle.empty() || bundle == state->bundle) return {};
          state->bundle = std::move(bundle);
          for (const Document& ns : mirrors.namespaces.list()) state->runner->add(client::key_of(ns));
          return {};
        }
        const Document ns = mirrors.namespaces.get(key);
        if (!ns) return {};
        return reconcile(ns, mirrors.root_ca_maps.get(key + "/" + std::string(map_name)), state->bundle);
      });
  state->runner = runner.get();
  runner->add_after(std::string(bundle_key), look_again);
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
