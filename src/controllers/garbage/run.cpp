#include "controllers/garbage/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/log.h"
#include "client/queue.h"
#include "controllers/discovery.h"
#include "controllers/garbage/decide.h"
#include "controllers/garbage/graph.h"
#include "controllers/objects.h"

namespace kybern::controllers::garbage {
namespace {

constexpr std::size_t workers = 8;
constexpr Duration first_lists_limit = std::chrono::seconds(30);        // then work begins; owners that are not known yet are asked for
constexpr Duration rediscovery_delay = std::chrono::milliseconds(500);  // after a change of a CRD or an APIService
constexpr Duration rediscovery_retry = std::chrono::seconds(10);        // when a part of discovery failed
const std::string rediscover_key = "!";

bool is_ignored(const ApiResource& r) {  // events own nothing and are owned by nobody
  return r.resource == "events" && (r.api_version == "v1" || r.api_version.starts_with("events.k8s.io/"));
}

std::string_view group_of(std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
}

class Collector final : public Controller {
 public:
  explicit Collector(const Environment& environment)
      : transport_(environment.transport),
        world_(environment.world),
        performer_(environment.transport, environment.world, environment.mirrors, "garbage-collector-controller"),
        queue_(std::make_unique<client::WorkQueue>("garbage", environment.world, workers,
                                                   [this](const std::string& key) { return work(key); })) {}
  ~Collector() override { stop(); }

  void start() override {
    began_ = world_.clock.steady();
    begin_ = std::make_shared<Beginning>();
    begin_->collector = this;
    schedule_beginning(Duration::zero());
  }
  void stop() override {
    if (begin_) {
      std::lock_guard lock(begin_->mutex);
      begin_->collector = nullptr;
    }
    std::vector<std::unique_ptr<client::Subscription>> ended;  // destroyed without the lock: their callbacks take it
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      for (Monitor& monitor : monitors_) ended.push_back(std::move(monitor.subscription));
    }
    ended.clear();
    queue_->stop();  // not reset(): what is in work adds to it, and so do the subscriptions that it makes meanwhile
  }

 private:
  struct Monitor {
    ApiResource resource;
    std::unique_ptr<client::Subscription> subscription;
    bool filled = false;  // under mutex_
  };
  struct Beginning {  // lets a timer find out that the collector is gone
    std::mutex mutex;
    Collector* collector = nullptr;
    bool discovered = false;
  };

  void schedule_beginning(Duration delay);
  bool try_to_begin();
  bool rediscover();
  void subscribe(std::size_t index);
  void look(const std::vector<Look>& looks);
  client::Outcome work(const std::string& key);
  client::Outcome examine(const std::string& uid);
  client::Outcome leave_dependents(const std::string& uid);
  client::Outcome finish_foreground(const Node& node, const std::vector<std::string>& blocking, const Document& latest);
  std::optional<OwnerState> ask_owner(const Reference& owner, const std::string& ns);

  struct Place {
    ApiResource resource;
    std::string ns, name;
  };
  std::optional<Place> place_of(const Node& node) const;  // under mutex_
  ApiResult<Document> get(const Place& place) {
    return transport_.call({.method = "GET",
                            .path = client::object_path(place.resource.api_version, place.resource.resource, place.ns, place.name),
                            .query = {},
                            .body = {}});
  }
  Performer::Result patch(const Place& place, Draft metadata);
  Performer::Result remove_finalizer(const Place& place, const Document& latest, std::string_view finalizer);
  Performer::Result remove_references(const Place& place, const Document& latest, const std::vector<std::string>& uids);
  static client::Outcome outcome_of(const Performer::Result& result, const char* what, const Place& place);
  void went(std::string_view uid);

  client::Transport& transport_;
  const World world_;
  Performer performer_;
  Instant began_{};
  std::shared_ptr<Beginning> begin_;

  mutable std::mutex mutex_;
  bool stopping_ = false;
  Graph graph_;
  std::vector<Monitor> monitors_;  // the place of one is its number in the graph; never shrinks
  std::unique_ptr<client::WorkQueue> queue_;
};

// --- what is watched -----------------------------------------------------------------------------------------------

void Collector::schedule_beginning(Duration delay) {
  world_.executor.post_after(delay, [begin = begin_] {
    std::lock_guard lock(begin->mutex);
    if (begin->collector && !begin->collector->try_to_begin()) begin->collector->schedule_beginning(std::chrono::milliseconds(50));
  });
}

bool Collector::try_to_begin() {
  if (!begin_->discovered) {
    begin_->discovered = true;
    if (!rediscover()) queue_->add_after(rediscover_key, rediscovery_retry);
  }
  const bool late = world_.clock.steady() - began_ > first_lists_limit;
  std::lock_guard lock(mutex_);
  if (!late && !std::all_of(monitors_.begin(), monitors_.end(), [](const Monitor& m) { return m.filled || !m.subscription; })) return false;
  queue_->start();
  return true;
}

void Collector::look(const std::vector<Look>& looks) {
  for (const Look& l : looks) queue_->add((l.orphan ? "o/" : "d/") + l.uid);
}

void Collector::subscribe(std::size_t index) {
  const ApiResource resource = monitors_[index].resource;
  const bool changes_discovery = resource.resource == "customresourcedefinitions" || resource.resource == "apiservices";
  const int number = static_cast<int>(index);
  const auto after = [this, changes_discovery](const std::vector<Look>& looks) {
    look(looks);
    if (changes_discovery) queue_->add_after(rediscover_key, rediscovery_delay);
  };
  client::Listener listener;
  listener.replaced = [this, number, after](std::vector<Document> objects) {
    std::vector<Look> looks;
    {
      std::lock_guard lock(mutex_);
      graph_.replaced(number, objects, looks);
      monitors_[static_cast<std::size_t>(number)].filled = true;
    }
    after(looks);
  };
  listener.changed = [this, number, after](std::vector<client::Event> events) {
    std::vector<Look> looks;
    {
      std::lock_guard lock(mutex_);
      for (const client::Event& event : events) {
        if (event.type == client::Event::Type::put) graph_.put(number, event.object, looks);
        else graph_.erased(uid_of(event.object), looks);
      }
    }
    after(looks);
  };
  std::unique_ptr<client::Subscription> made =
      transport_.subscribe(client::object_path(resource.api_version, resource.resource, "", ""), {}, std::move(listener));
  std::lock_guard lock(mutex_);
  if (!stopping_) std::swap(monitors_[index].subscription, made);
}

// Runs on one worker at a time (one key). False: a part of discovery failed.
bool Collector::rediscover() {
  const Result<Discovered> found = discover(transport_);
  if (!found) return false;
  std::vector<std::size_t> begin;
  std::vector<std::unique_ptr<client::Subscription>> end;  // destroyed without the lock: their callbacks take it
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return true;  // the subscriptions that are missing were taken by stop()
    for (const ApiResource& resource : found->resources) {
      if (!resource.can("list") || !resource.can("watch") || !resource.can("delete") || is_ignored(resource)) continue;
      const auto known = std::find_if(monitors_.begin(), monitors_.end(), [&](const Monitor& m) {
        return m.resource.api_version == resource.api_version && m.resource.resource == resource.resource;
      });
      const std::size_t place = static_cast<std::size_t>(known - monitors_.begin());
      if (place == monitors_.size()) monitors_.push_back({resource, {}, false});
      else if (monitors_[place].subscription) continue;
      monitors_[place].resource = resource;
      begin.push_back(place);
    }
    for (std::size_t i = 0; i < monitors_.size() && found->failed.empty(); ++i) {
      Monitor& monitor = monitors_[i];
      if (!monitor.subscription) continue;
      const bool served = std::any_of(found->resources.begin(), found->resources.end(), [&](const ApiResource& r) {
        return r.api_version == monitor.resource.api_version && r.resource == monitor.resource.resource;
      });
      if (served) continue;
      end.push_back(std::move(monitor.subscription));
      graph_.forget(static_cast<int>(i));
    }
  }
  end.clear();
  for (std::size_t index : begin) subscribe(index);
  return found->failed.empty();
}

// --- what becomes of an object ---------------------------------------------------------------------------------------

client::Outcome Collector::work(const std::string& key) {
  if (key == rediscover_key) return rediscover() ? client::Outcome::done() : client::Outcome::again_after(rediscovery_retry);
  return key[0] == 'o' ? leave_dependents(key.substr(2)) : examine(key.substr(2));
}

std::optional<Collector::Place> Collector::place_of(const Node& node) const {
  if (!node.is_observed()) return {};
  return Place{monitors_[static_cast<std::size_t>(node.resource)].resource, node.ns, node.name};
}

void Collector::went(std::string_view uid) {
  std::vector<Look> looks;
  {
    std::lock_guard lock(mutex_);
    graph_.erased(uid, looks);
  }
  look(looks);
}

client::Outcome Collector::outcome_of(const Performer::Result& result, const char* what, const Place& place) {
  using Kind = Performer::Result::Kind;
  if (result.kind == Kind::done) return client::Outcome::done();
  if (result.kind == Kind::failed)
    log_info("garbage-collector", what,
             {{"resource", place.resource.resource}, {"object", place.ns + "/" + place.name}, {"error", result.failure.message}});
  return client::Outcome::retry();
}

// An owner that the graph does not know under this uid, name and namespace: asked of the API. Nothing: it cannot be known now.
std::optional<OwnerState> Collector::ask_owner(const Reference& owner, const std::string& ns) {
  std::optional<ApiResource> resource;
  {
    std::lock_guard lock(mutex_);
    for (const Monitor& monitor : monitors_) {
      const ApiResource& r = monitor.resource;
      if (!monitor.subscription || r.kind != owner.kind || group_of(r.api_version) != group_of(owner.api_version)) continue;
      if (!resource || r.api_version == owner.api_version) resource = r;
    }
  }
  if (!resource) return {};
  if (resource->namespaced && ns.empty()) return OwnerState::solid;  // a cluster object cannot be owned by a namespaced one: left alone
  const ApiResult<Document> found = get({*resource, resource->namespaced ? ns : std::string(), owner.name});
  if (!found) {
    if (found.error().code == 404) return OwnerState::gone;
    return {};
  }
  if (uid_of(*found) != owner.uid) return OwnerState::gone;
  return is_deleting(*found) && has_finalizer(*found, foreground_finalizer) ? OwnerState::waiting : OwnerState::solid;
}

Performer::Result Collector::patch(const Place& place, Draft metadata) {
  Action action;
  action.verb = Action::Verb::merge_patch;
  action.api_version = place.resource.api_version;
  action.resource = place.resource.resource;
  action.ns = place.ns;
  action.name = place.name;
  action.body = Draft::object({{"metadata", std::move(metadata)}}).freeze();
  action.gone_is_fine = true;
  return performer_.perform(action, {});
}

Performer::Result Collector::remove_finalizer(const Place& place, const Document& latest, std::string_view finalizer) {
  if (!has_finalizer(latest, finalizer)) return {};
  Draft rest = Draft::array();
  for (Value entry : latest["metadata"]["finalizers"].items())
    if (entry.as_string() != finalizer) rest.push_back(entry);
  return patch(place,
               Draft::object(
                   {{"uid", uid_of(latest)}, {"resourceVersion", latest["metadata"]["resourceVersion"]}, {"finalizers", std::move(rest)}}));
}

Performer::Result Collector::remove_references(const Place& place, const Document& latest, const std::vector<std::string>& uids) {
  Draft rest = Draft::array();
  for (Value entry : latest["metadata"]["ownerReferences"].items())
    if (std::find(uids.begin(), uids.end(), entry["uid"].as_string()) == uids.end()) rest.push_back(entry);
  return patch(place, Draft::object({{"uid", uid_of(latest)},
                                     {"resourceVersion", latest["metadata"]["resourceVersion"]},
                                     {"ownerReferences", std::move(rest)}}));
}

client::Outcome Collector::finish_foreground(const Node& node, const std::vector<std::string>& blocking, const Document& latest) {
  if (blocking.empty()) {
    const Place place = [&] {
      std::lock_guard lock(mutex_);
      return *place_of(node);
    }();
    return outcome_of(remove_finalizer(place, latest, foreground_finalizer), "a foreground deletion could not be ended", place);
  }
  for (const std::string& uid : blocking) queue_->add("d/" + uid);
  return client::Outcome::done();
}

client::Outcome Collector::examine(const std::string& uid) {
  Node node;  // a copy; its dependents are not followed
  std::optional<Place> place;
  std::vector<std::string> blocking;  // those that are not themselves on their way
  bool blocked = false, dependent_waits = false, has_dependents = false;
  std::vector<std::optional<OwnerState>> owners;
  {
    std::lock_guard lock(mutex_);
    const Node* found = graph_.find(uid);
    if (!found || !found->is_observed()) return client::Outcome::done();
    if (found->deleting && !found->foreground) return client::Outcome::done();
    place = place_of(*found);
    for (const Node* dependent : graph_.blocking(*found)) {
      blocked = true;
      if (!dependent->foreground && dependent->is_observed()) blocking.push_back(dependent->uid);
    }
    has_dependents = !found->dependents.empty();
    dependent_waits = std::any_of(found->dependents.begin(), found->dependents.end(), [](const Node* d) { return d->foreground; });
    node.uid = found->uid;
    node.ns = found->ns;
    node.name = found->name;
    node.resource = found->resource;
    node.foreground = found->foreground;
  }
  const ApiResult<Document> latest = get(*place);
  if (!latest && latest.error().code != 404) return client::Outcome::retry();
  if (!latest || uid_of(*latest) != uid) {
    went(uid);
    return client::Outcome::done();
  }
  if (node.foreground) {
    if (blocked && blocking.empty()) return client::Outcome::done();  // each of them will have us looked at when it goes
    return finish_foreground(node, blocking, *latest);
  }
  if (is_deleting(*latest)) return client::Outcome::done();  // the graph will hear of it

  Known known{.owners = {}, .has_dependents = has_dependents, .dependent_waits = dependent_waits};
  for (const Reference& reference : references_of(*latest)) {
    std::optional<OwnerState> state;
    bool elsewhere = false;  // in another namespace: it owns nothing here
    {
      std::lock_guard lock(mutex_);
      const Node* owner = graph_.find(reference.uid);
      elsewhere = owner && owner->is_observed() && !owner->ns.empty() && owner->ns != node.ns;
      const bool same = owner && owner->is_observed() && owner->name == reference.name && (owner->ns.empty() || owner->ns == node.ns) &&
                        monitors_[static_cast<std::size_t>(owner->resource)].resource.kind == reference.kind;
      if (same) state = owner->foreground ? OwnerState::waiting : OwnerState::solid;
    }
    if (elsewhere)
      performer_.events().warning(latest->root(), "OwnerRefInvalidNamespace",
                                  fmt::format("ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace \"{}\"",
                                              reference.api_version, reference.kind, node.ns, reference.name, reference.uid, node.ns));
    if (!state) state = ask_owner(reference, node.ns);
    if (!state) return client::Outcome::retry();
    known.owners.push_back(*state);
  }
  const Verdict verdict = decide(*latest, known);
  switch (verdict.kind) {
    case Verdict::Kind::keep: return client::Outcome::done();
    case Verdict::Kind::shed: return outcome_of(remove_references(*place, *latest, verdict.shed), "owners could not be removed", *place);
    case Verdict::Kind::erase: break;
  }
  Action action = erase_action(place->resource.resource, *latest, verdict.propagation);
  action.api_version = place->resource.api_version;
  if (verdict.unblock) {
    Draft references((*latest)["metadata"]["ownerReferences"]);
    for (Draft& entry : references.items()) entry["blockOwnerDeletion"] = false;
    const Performer::Result result = patch(*place, Draft::object({{"uid", uid},
                                                                  {"resourceVersion", (*latest)["metadata"]["resourceVersion"]},
                                                                  {"ownerReferences", std::move(references)}}));
    if (result.kind != Performer::Result::Kind::done) return outcome_of(result, "an owner could not be unblocked", *place);
  } else {  // it may have got another owner meanwhile
    Draft options(action.body);
    options["preconditions"]["resourceVersion"] = (*latest)["metadata"]["resourceVersion"];
    action.body = options.freeze();
  }
  log_debug("garbage-collector", "delete",
            {{"resource", place->resource.resource}, {"object", place->ns + "/" + place->name}, {"propagation", verdict.propagation}});
  return outcome_of(performer_.perform(action, {}), "garbage could not be deleted", *place);
}

// Deletion with propagation Orphan: first every dependent forgets its owner, then the owner may go.
client::Outcome Collector::leave_dependents(const std::string& uid) {
  std::optional<Place> place;
  std::vector<Place> dependents;
  {
    std::lock_guard lock(mutex_);
    const Node* found = graph_.find(uid);
    if (!found || !found->orphaning) return client::Outcome::done();
    place = place_of(*found);
    for (const Node* dependent : found->dependents)
      if (std::optional<Place> p = place_of(*dependent)) dependents.push_back(std::move(*p));
  }
  for (const Place& dependent : dependents) {
    const ApiResult<Document> latest = get(dependent);
    if (!latest && latest.error().code == 404) continue;
    if (!latest) return client::Outcome::retry();
    const Performer::Result result = remove_references(dependent, *latest, {uid});
    if (result.kind != Performer::Result::Kind::done) return outcome_of(result, "a dependent could not be orphaned", dependent);
  }
  const ApiResult<Document> latest = get(*place);
  if (!latest) return latest.error().code == 404 ? client::Outcome::done() : client::Outcome::retry();
  if (uid_of(*latest) != uid) return client::Outcome::done();
  return outcome_of(remove_finalizer(*place, *latest, orphan_finalizer), "an orphaning deletion could not be ended", *place);
}

}  // namespace

std::unique_ptr<Controller> make_controller(const Environment& environment) { return std::make_unique<Collector>(environment); }

}  // namespace kybern::controllers::garbage
