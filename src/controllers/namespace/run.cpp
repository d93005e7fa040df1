#include "controllers/namespace/run.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "client/mirror.h"
#include "client/queue.h"
#include "controllers/discovery.h"
#include "controllers/namespace/reconcile.h"
#include "controllers/objects.h"

namespace kybern::controllers::namespaces {
namespace {

constexpr std::size_t workers = 5;
constexpr int page = 500;                                         // objects looked at per resource; more are only counted
constexpr Duration settle_time = std::chrono::milliseconds(300);  // requests that were admitted before the deletion end in this time
constexpr Duration first_look = std::chrono::milliseconds(200), last_look = std::chrono::seconds(60);  // at what cannot be known or deleted
constexpr Duration look_at_held = std::chrono::seconds(8);  // upstream gives finalizers 15 s, and looks after half of it

class NamespaceController final : public Controller {
 public:
  explicit NamespaceController(const Environment& environment)
      : transport_(environment.transport),
        world_(environment.world),
        mirrors_(environment.mirrors),
        performer_(environment.transport, environment.world, environment.mirrors, "namespace-controller"),
        queue_(std::make_unique<client::WorkQueue>("namespace", environment.world, workers,
                                                   [this](const std::string& key) { return work(key); })) {
    client::WorkQueue* queue = queue_.get();
    mirrors_.namespaces.add_handler([queue](const Document& before, const Document& now) {
      if (now && wants_content_gone(now) && !(before && wants_content_gone(before))) queue->add(client::key_of(now));
    });
    mirrors_.pods.add_handler([this, queue](const Document& before, const Document& now) {
      if (now || !before) return;
      const std::string ns(namespace_of(before));
      if (const Document found = mirrors_.namespaces.get(ns); found && wants_content_gone(found))
        queue->add_after(ns, std::chrono::milliseconds(50));
    });
  }
  void start() override { queue_->start(); }
  void stop() override { queue_->stop(); }

 private:
  struct Progress {
    Instant first_seen;
    Duration next_look = first_look;
  };

  client::Outcome work(const std::string& name);
  Observed sweep(const std::string& ns);
  void clear(const ApiResource& resource, const std::string& ns, Observed& observed);
  std::int64_t count(const ApiResource& resource, const std::string& ns, Observed& observed, Remaining& out);
  void erase_all(const ApiResource& resource, const std::string& ns, Observed& observed);

  client::Transport& transport_;
  const World world_;
  Mirrors& mirrors_;
  Performer performer_;
  std::mutex mutex_;
  std::unordered_map<std::string, Progress> progress_;  // of terminating namespaces
  std::unique_ptr<client::WorkQueue> queue_;
};

std::string group_of(const ApiResource& resource) {
  const std::size_t slash = resource.api_version.find('/');
  return slash == std::string::npos ? std::string() : resource.api_version.substr(0, slash);
}

std::string path_of(const ApiResource& resource, const std::string& ns, std::string_view name = {}) {
  return client::object_path(resource.api_version, resource.resource, ns, name);
}

Document background_deletion() {
  return Draft::object({{"kind", "DeleteOptions"}, {"apiVersion", "v1"}, {"propagationPolicy", "Background"}}).freeze();
}

// How many there are; what they wait for goes to `out`.
std::int64_t NamespaceController::count(const ApiResource& resource, const std::string& ns, Observed& observed, Remaining& out) {
  const ApiResult<Document> list =
      transport_.call({.method = "GET", .path = path_of(resource, ns), .query = "limit=" + std::to_string(page), .body = {}});
  if (!list) {
    if (list.error().code != 404 && list.error().code != 405)
      observed.deletion_failures.push_back(resource.resource + ": " + list.error().message);
    return 0;
  }
  out = {resource.resource, group_of(resource), static_cast<std::int64_t>((*list)["items"].size()), {}};
  out.count += (*list)["metadata"]["remainingItemCount"].as_int();
  for (Value item : (*list)["items"].items()) {
    for (Value finalizer : item["metadata"]["finalizers"].items()) ++out.finalizers[finalizer.str()];
    if (resource.resource != "pods" || !group_of(resource).empty() || is_terminal(item)) continue;
    const Duration grace = std::chrono::seconds(item["spec"]["terminationGracePeriodSeconds"].as_int());
    observed.graceful = std::max(observed.graceful, grace);
  }
  return out.count;
}

void NamespaceController::erase_all(const ApiResource& resource, const std::string& ns, Observed& observed) {
  if (resource.can("deletecollection")) {
    const ApiResult<Document> answer =
        transport_.call({.method = "DELETE", .path = path_of(resource, ns), .query = {}, .body = background_deletion()});
    if (answer) return;
    if (answer.error().code != 405 && answer.error().code != 404) {
      observed.deletion_failures.push_back(resource.resource + ": " + answer.error().message);
      return;
    }
  }
  const ApiResult<Document> list = transport_.call({.method = "GET", .path = path_of(resource, ns), .query = {}, .body = {}});
  if (!list) return;
  for (Value item : (*list)["items"].items()) {
    const ApiResult<Document> answer =
        transport_.call({.method = "DELETE", .path = path_of(resource, ns, name_of(item)), .query = {}, .body = background_deletion()});
    if (!answer && answer.error().code != 404) observed.deletion_failures.push_back(resource.resource + ": " + answer.error().message);
  }
}

void NamespaceController::clear(const ApiResource& resource, const std::string& ns, Observed& observed) {
  if (!resource.namespaced || !resource.can("delete") || !resource.can("list")) return;
  Remaining found;
  Observed first_look_only;
  if (count(resource, ns, first_look_only, found) == 0) {
    for (std::string& error : first_look_only.deletion_failures) observed.deletion_failures.push_back(std::move(error));
    return;
  }
  erase_all(resource, ns, observed);
  if (count(resource, ns, observed, found) > 0) observed.remaining.push_back(std::move(found));
}

// Pods first: what they use must not go before them.
Observed NamespaceController::sweep(const std::string& ns) {
  Observed observed;
  observed.now = world_.clock.now();
  Result<Discovered> discovered = discover(transport_);
  if (!discovered) {
    observed.discovery_failures.push_back(discovered.error().message);
    return observed;
  }
  observed.discovery_failures = std::move(discovered->failed);
  const auto is_pods = [](const ApiResource& r) { return r.api_version == "v1" && r.resource == "pods"; };
  for (const ApiResource& resource : discovered->resources)
    if (is_pods(resource)) clear(resource, ns, observed);
  if (!observed.remaining.empty()) return observed;
  for (const ApiResource& resource : discovered->resources)
    if (!is_pods(resource)) clear(resource, ns, observed);
  return observed;
}

client::Outcome NamespaceController::work(const std::string& name) {
  const Document ns = mirrors_.namespaces.get(name);
  const Instant now = world_.clock.steady();
  {
    std::lock_guard lock(mutex_);
    if (!ns || !wants_content_gone(ns)) {
      progress_.erase(name);
      return client::Outcome::done();
    }
    progress_.try_emplace(name, Progress{.first_seen = now});
  }
  Observed observed = sweep(name);
  Duration again;
  {
    std::lock_guard lock(mutex_);
    Progress& progress = progress_[name];
    observed.settled = now - progress.first_seen >= settle_time;
    again = progress.next_look;
    // Nobody tells when the last finalizer of what is left goes.
    const bool held =
        std::any_of(observed.remaining.begin(), observed.remaining.end(), [](const Remaining& r) { return !r.finalizers.empty(); });
    if (held && observed.discovery_failures.empty() && observed.deletion_failures.empty()) again = std::min(again, look_at_held);
    progress.next_look = std::min(progress.next_look * 2, last_look);
  }
  Plan plan = reconcile(ns, observed);
  log_debug("namespace-controller", "swept", {{"namespace", name}, {"plan", describe(plan)}});
  if (plan.status) {
    const Performer::Result result = performer_.perform(*plan.status, ns);
    if (result.kind == Performer::Result::Kind::stale) return client::Outcome::retry();
  }
  if (!plan.actions.empty()) {
    const Performer::Result result = performer_.perform(plan);
    if (result.kind == Performer::Result::Kind::done) return client::Outcome::done();
    log_info("namespace-controller", "a namespace could not be finalized", {{"namespace", name}, {"error", result.failure.message}});
    return client::Outcome::retry();
  }
  return client::Outcome::again_after(plan.wake_after ? std::min(*plan.wake_after, std::max(again, settle_time)) : again);
}

}  // namespace

std::unique_ptr<Controller> make_controller(const Environment& environment) { return std::make_unique<NamespaceController>(environment); }

}  // namespace kybern::controllers::namespaces
