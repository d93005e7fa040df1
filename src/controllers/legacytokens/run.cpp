#include "controllers/legacytokens/run.h"

#include "base/log.h"
#include "client/mirror.h"
#include "controllers/legacytokens/reconcile.h"

namespace kybern::controllers::legacytokens {
namespace {

constexpr Duration between_looks = std::chrono::hours(24);
constexpr Duration settled_after = std::chrono::minutes(1);
constexpr const char* all_tokens = "all";  // the only key: everything is looked at together

}  // namespace

std::unique_ptr<Runner> make_cleaner(const Environment& environment, Duration period) {
  Mirrors& mirrors = environment.mirrors;
  client::Transport& transport = environment.transport;
  // What was just carried out the mirror may not show yet: one look a time is enough. Of the one worker.
  auto acted = std::make_shared<std::optional<Instant>>();
  auto decide = [&mirrors, &transport, period, acted, world = environment.world](const std::string&,
                                                                                 const Failure* failure) -> std::optional<Plan> {
    if (failure) acted->reset();
    if (*acted && world.clock.steady() < **acted + settled_after) {
      Plan done;
      done.wake_after = between_looks;
      return done;
    }
    Seen seen;
    seen.secrets = mirrors.token_secrets.list();
    if (!seen.secrets.empty()) {
      auto map = transport.call(
          {.method = "GET", .path = client::object_path("v1", "configmaps", "kube-system", tracking_map), .query = {}, .body = {}});
      if (map) seen.tracking = std::move(*map);
      else log_warn("controllers", "since when the use of tokens is noted cannot be read", {{"why", map.error().message}});
    }
    seen.account = [&mirrors](std::string_view ns, std::string_view name) {
      return mirrors.service_accounts.get(std::string(ns) + "/" + std::string(name));
    };
    seen.pods = [&mirrors] { return mirrors.pods.list(); };
    Plan plan = reconcile(seen, world.clock.now(), period);
    plan.wake_after = between_looks;
    if (!plan.actions.empty() && !failure) *acted = world.clock.steady();
    return plan;
  };
  auto runner =
      std::make_unique<Runner>("legacy-service-account-token-cleaner", 1, transport, environment.world, mirrors, std::move(decide));
  runner->add(all_tokens);
  return runner;
}

}  // namespace kybern::controllers::legacytokens
