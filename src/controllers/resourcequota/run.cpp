#include "controllers/resourcequota/run.h"

#include "client/mirror.h"
#include "controllers/objects.h"
#include "controllers/resourcequota/reconcile.h"

namespace kybern::controllers::resourcequota {
namespace {

constexpr std::size_t workers = 2;

// From the mirrors where there is one, from the API otherwise. False when it cannot be read now.
bool read(Mirrors& mirrors, client::Transport& transport, std::string_view ns, Counted& kind) {
  const std::string api_version = kind.group.empty() ? kind.version : kind.group + "/" + kind.version;
  const bool whole = kind.plural != "configmaps" && kind.plural != "leases";  // of these two only some are mirrored
  if (client::MirrorCore* mirror = whole ? mirrors.find(api_version, kind.plural) : nullptr) {
    kind.objects = mirror->list_namespace(ns);
    return true;
  }
  const ApiResult<Document> list =
      transport.call({.method = "GET", .path = client::object_path(api_version, kind.plural, ns, ""), .query = {}, .body = {}});
  if (!list) return list.error().code == 404;
  for (Value item : (*list)["items"].items()) kind.objects.push_back(item.document());
  return true;
}

}  // namespace

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  client::Transport& transport = environment.transport;
  auto runner = std::make_unique<Runner>("resourcequota-controller", workers, transport, environment.world, mirrors,
                                         [&mirrors, &transport](const std::string& key, const Failure* failure) -> std::optional<Plan> {
                                           const Document quota = mirrors.resource_quotas.get(key);
                                           if (!quota || failure) return {};
                                           std::vector<Counted> counted = counted_by(quota);
                                           for (Counted& kind : counted) {
                                             if (read(mirrors, transport, namespace_of(quota), kind)) continue;
                                             Plan later;
                                             later.wake_after = unseen_resync;
                                             return later;
                                           }
                                           return reconcile(quota, counted);
                                         });
  Runner* const r = runner.get();
  mirrors.resource_quotas.add_handler([r](const Document& before, const Document& now) {
    if (now && (!before || changed(before, now))) r->add(client::key_of(now));
  });
  auto recount = [r, &mirrors](std::string_view ns) {
    for (const Document& quota : mirrors.resource_quotas.list_namespace(ns)) r->add(client::key_of(quota));
  };
  mirrors.pods.add_handler([recount](const Document& before, const Document& now) {
    if (before && (!now || (is_terminal(now) && !is_terminal(before)))) recount(namespace_of(before));
  });
  mirrors.services.add_handler([recount](const Document& before, const Document& now) {
    if (before && (!now || !(before["spec"]["type"] == now["spec"]["type"]))) recount(namespace_of(before));
  });
  return runner;
}

}  // namespace kybern::controllers::resourcequota
