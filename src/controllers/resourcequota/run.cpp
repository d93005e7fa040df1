#include "controllers/resourcequota/run.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/mirror.h"
#include "controllers/objects.h"
#include "controllers/resourcequota/reconcile.h"

namespace kybern::controllers::resourcequota {
namespace {

constexpr std::size_t workers = 2;

// Deletions of the kinds that quotas count and that are not mirrored: each is watched from the first time it is counted.
class Watched {
 public:
  using Recount = std::function<void(std::string_view ns)>;  // "": everywhere
  Watched(client::Transport& transport, Recount recount) : transport_(transport), recount_(std::move(recount)) {}

  void watch(const std::string& api_version, const std::string& plural) {
    const std::string path = client::object_path(api_version, plural, "", "");
    {
      std::lock_guard lock(mutex_);
      if (ended_ || !watched_.try_emplace(path).second) return;
    }
    client::Listener listener;
    listener.replaced = [this](std::vector<Document>) { recount_(""); };
    listener.changed = [this](std::vector<client::Event> events) {
      for (const client::Event& event : events)
        if (event.type == client::Event::Type::erased) recount_(namespace_of(event.object));
    };
    auto made = transport_.subscribe(path, {}, std::move(listener));
    std::lock_guard lock(mutex_);
    if (!ended_) watched_[path].swap(made);
  }

  void end() {
    std::map<std::string, std::unique_ptr<client::Subscription>> gone;  // destroyed without the lock: no callback runs after it
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      gone.swap(watched_);
    }
  }

 private:
  client::Transport& transport_;
  const Recount recount_;
  std::mutex mutex_;
  bool ended_ = false;
  std::map<std::string, std::unique_ptr<client::Subscription>> watched_;  // by path
};

class QuotaRunner final : public Runner {
 public:
  QuotaRunner(const Environment& environment)
      : Runner("resourcequota-controller", workers, environment.transport, environment.world, environment.mirrors,
               [this](const std::string& key, const Failure* failure) { return count(key, failure); }),
        mirrors_(environment.mirrors),
        transport_(environment.transport),
        watched_(environment.transport, [this](std::string_view ns) { recount(ns); }) {}
  ~QuotaRunner() override { stop(); }
  void stop() override {
    watched_.end();
    Runner::stop();
  }

  void recount(std::string_view ns) {
    for (const Document& quota : ns.empty() ? mirrors_.resource_quotas.list() : mirrors_.resource_quotas.list_namespace(ns))
      add(client::key_of(quota));
  }

 private:
  std::optional<Plan> count(const std::string& key, const Failure* failure) {
    const Document quota = mirrors_.resource_quotas.get(key);
    if (!quota || failure) return {};
    std::vector<Counted> counted = counted_by(quota);
    for (Counted& kind : counted) {
      if (read(kind, namespace_of(quota))) continue;
      Plan later;
      later.wake_after = unread_retry;
      return later;
    }
    return reconcile(quota, counted);
  }

  // From the mirrors where there is one, from the API otherwise. False when it cannot be read now.
  bool read(Counted& kind, std::string_view ns) {
    const std::string api_version = kind.group.empty() ? kind.version : kind.group + "/" + kind.version;
    const bool whole = kind.plural != "configmaps" && kind.plural != "leases";  // of these two only some are mirrored
    if (client::MirrorCore* mirror = whole ? mirrors_.find(api_version, kind.plural) : nullptr) {
      kind.objects = mirror->list_namespace(ns);
      return true;
    }
    watched_.watch(api_version, kind.plural);
    const ApiResult<Document> list =
        transport_.call({.method = "GET", .path = client::object_path(api_version, kind.plural, ns, ""), .query = {}, .body = {}});
    if (!list) return list.error().code == 404;
    for (Value item : (*list)["items"].items()) kind.objects.push_back(item.document());
    return true;
  }

  Mirrors& mirrors_;
  client::Transport& transport_;
  Watched watched_;
};

}  // namespace

std::unique_ptr<Runner> make_runner(const Environment& environment) {
  Mirrors& mirrors = environment.mirrors;
  auto runner = std::make_unique<QuotaRunner>(environment);
  QuotaRunner* const r = runner.get();
  mirrors.resource_quotas.add_handler([r](const Document& before, const Document& now) {
    if (now && (!before || changed(before, now))) r->add(client::key_of(now));
    if (before && !now) r->recount(namespace_of(before));  // quotas count quotas
  });
  mirrors.pods.add_handler([r](const Document& before, const Document& now) {
    if (before && (!now || (is_terminal(now) && !is_terminal(before)))) r->recount(namespace_of(before));
  });
  mirrors.services.add_handler([r](const Document& before, const Document& now) {
    if (before && (!now || !(before["spec"]["type"] == now["spec"]["type"]))) r->recount(namespace_of(before));
  });
  for (client::MirrorCore* mirror : {&mirrors.replication_controllers, &mirrors.replica_sets, &mirrors.deployments,
                                     &mirrors.endpoint_slices, &mirrors.endpoints, &mirrors.service_accounts, &mirrors.budgets})
    mirror->add_handler([r](const Document& before, const Document& now) {
      if (before && !now) r->recount(namespace_of(before));
    });
  return runner;
}

}  // namespace kybern::controllers::resourcequota
