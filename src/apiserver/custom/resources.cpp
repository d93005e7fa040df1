#include "apiserver/custom/resources.h"

#include <fmt/format.h>

#include <atomic>

#include "apiserver/bootstrap.h"
#include "apiserver/custom/converter.h"
#include "apiserver/custom/custom.h"
#include "apiserver/registry/work.h"
#include "base/log.h"
#include "base/time.h"
#include "machinery/custom/definition.h"

namespace kybern::apiserver {

namespace {

constexpr std::string_view definitions_group = "apiextensions.k8s.io", definitions_plural = "customresourcedefinitions";

// The status that this server writes is no news to it.
thread_local bool settling = false;
struct Settling {
  Settling() { settling = true; }
  ~Settling() { settling = false; }
};

// What the catalog depends on.
bool same_service(Value a, Value b) {
  return a["spec"] == b["spec"] && a["status"]["acceptedNames"] == b["status"]["acceptedNames"] &&
         custom::has_condition(a, "Established") == custom::has_condition(b, "Established") &&
         a["metadata"]["deletionTimestamp"].exists() == b["metadata"]["deletionTimestamp"].exists();
}

}  // namespace

Work CustomResources::work_for(const std::string& name, std::string subresource) const {
  Work work{.registry = registry_,
            .world = registry_.world(),
            .user = {"system:apiserver", "", {"system:masters"}, {}},
            .served = registry_.catalog().find(definitions_group, "v1", definitions_plural),
            .name = name,
            .subresource = std::move(subresource)};
  work.verb = "update";
  return work;
}

constexpr Duration clean_up_pause = std::chrono::seconds(5);  // when nothing could be deleted

// Each has a lock of its own: a clean-up that takes long holds up no APIService.
struct CustomResources::Tasks {
  std::mutex following, cleaning;         // held while one is written, while some objects are deleted
  std::atomic<CustomResources*> customs;  // changed under both
  explicit Tasks(CustomResources* c) : customs(c) {}

  void run(std::mutex& mutex, bool (CustomResources::*next)()) {
    for (;;) {
      std::lock_guard lock(mutex);
      CustomResources* at = customs;
      if (!at || !(at->*next)()) return;
    }
  }
};

CustomResources::CustomResources(Registry& registry, Catalog& catalog)
    : registry_(registry), catalog_(catalog), tasks_(std::make_shared<Tasks>(this)) {}
CustomResources::~CustomResources() { stop(); }

void CustomResources::stop() {
  std::scoped_lock lock(tasks_->following, tasks_->cleaning);
  tasks_->customs = nullptr;
}

void CustomResources::load() {
  std::vector<std::string> names;
  registry_.each(definitions_group, "v1", definitions_plural, "", [&](Value definition) {
    names.push_back(definition["metadata"]["name"].str());
    std::lock_guard lock(mutex_);
    remember_names(definition);
    return true;
  });
  for (const std::string& name : names) settle(name);
  std::lock_guard lock(task_mutex_);
  loaded_ = true;
}

// Not while the definition is being written: that waits for no other object.
void CustomResources::follow(std::string api_service) {
  std::lock_guard lock(task_mutex_);
  if (!loaded_) return;
  to_follow_.insert(std::move(api_service));
  if (std::exchange(following_, true)) return;
  registry_.world().executor.post([tasks = tasks_] { tasks->run(tasks->following, &CustomResources::follow_next); });
}

void CustomResources::follow_versions(Value definition) {
  for (Value version : definition["spec"]["versions"].items())
    follow(fmt::format("{}.{}", version["name"].as_string(), definition["spec"]["group"].as_string()));
}

bool CustomResources::follow_next() {
  std::string name;
  {
    std::lock_guard lock(task_mutex_);
    following_ = !to_follow_.empty();
    if (!following_) return false;
    name = std::move(to_follow_.extract(to_follow_.begin()).value());
  }
  if (auto ok = follow_custom_version(registry_, registry_.world(), name); !ok)
    log_warn("apiserver", "the APIService of custom resources could not be written", {{"name", name}, {"why", ok.error().message}});
  return true;
}

void CustomResources::changed(Value before, Value now) {
  if (settling) return;
  Value definition = now.exists() ? now : before;
  if (!definition.exists()) return;
  std::string name = definition["metadata"]["name"].str(), group = definition["spec"]["group"].str();
  if (!now.exists()) {
    {
      std::lock_guard lock(mutex_);
      // A write that failed or changed nothing is told of in the same way as one that removed; or it is here again.
      if (registry_.read(definitions_group, "v1", definitions_plural, "", name)) return;
      published_.erase(name);
      forget_names(group, name);
      catalog_.replace_custom(name, {});
    }
    follow_versions(definition);
    settle_others(group, name);
    return;
  }
  settle(name);
  settle_others(group, name);
}

// Names that went away, or were given up for others, may be what another definition waits for.
void CustomResources::settle_others(std::string_view group, std::string_view name) {
  std::vector<std::string> waiting;
  {
    std::lock_guard lock(mutex_);
    if (auto at = groups_.find(group); at != groups_.end()) waiting.assign(at->second.waiting.begin(), at->second.waiting.end());
  }
  for (const std::string& one : waiting)
    if (one != name) settle(one);
}

void CustomResources::remember_names(Value definition) {
  const std::string group = definition["spec"]["group"].str(), name = definition["metadata"]["name"].str();
  forget_names(group, name);
  Group& all = groups_[group];
  Value names = definition["status"]["acceptedNames"];
  for (std::string_view key : {"plural", "singular"}) all.names.try_emplace(names[key].str(), name);
  for (Value one : names["shortNames"].items()) all.names.try_emplace(one.str(), name);
  for (std::string_view key : {"kind", "listKind"}) all.kinds.try_emplace(names[key].str(), name);
  if (!custom::has_condition(definition, "NamesAccepted")) all.waiting.insert(name);
}

void CustomResources::forget_names(std::string_view group, std::string_view name) {
  auto at = groups_.find(group);
  if (at == groups_.end()) return;
  std::erase_if(at->second.names, [&](const auto& one) { return one.second == name; });
  std::erase_if(at->second.kinds, [&](const auto& one) { return one.second == name; });
  if (auto waits = at->second.waiting.find(name); waits != at->second.waiting.end()) at->second.waiting.erase(waits);
  if (at->second.names.empty() && at->second.kinds.empty() && at->second.waiting.empty()) groups_.erase(at);
}

void CustomResources::settle(const std::string& name) {
  Document definition;
  {
    std::lock_guard lock(mutex_);
    Settling mark;
    definition = registry_.read(definitions_group, "v1", definitions_plural, "", name);
    if (!definition) return;
    bool dying = definition["metadata"]["deletionTimestamp"].exists();
    std::string group = definition["spec"]["group"].str(), now = format_rfc3339(registry_.world().clock.now());
    Work work = work_for(name, "status");
    auto written = registry_.modify(
        work,
        [&](Value current) -> ApiResult<Draft> {
          Draft next(current);
          if (dying) {
            custom::set_condition(next["status"], "Terminating", true, "InstanceDeletionInProgress",
                                  "CustomResource deletion is in progress", now);
            return next;
          }
          // Of all that others have only what this one asks for matters.
          custom::TakenNames taken;
          if (auto others = groups_.find(group); others != groups_.end()) {
            Value wanted = current["spec"]["names"];
            auto look = [&](const auto& held, Value one, std::vector<std::string>& out) {
              if (auto at = held.find(one.as_string()); at != held.end() && at->second != name) out.push_back(one.str());
            };
            for (std::string_view key : {"plural", "singular"}) look(others->second.names, wanted[key], taken.names);
            for (Value one : wanted["shortNames"].items()) look(others->second.names, one, taken.names);
            for (std::string_view key : {"kind", "listKind"}) look(others->second.kinds, wanted[key], taken.kinds);
          }
          next["status"] = custom::next_status(current, taken, now);
          return next;
        },
        true);
    if (written) definition = written->object;
    else
      log_warn("apiserver", "the status of a custom resource's definition could not be written",
               {{"name", name}, {"why", written.error().message}});
    remember_names(definition.root());
    publish(definition);
  }
  if (definition["metadata"]["deletionTimestamp"].exists()) clean_up_later(name);
}

void CustomResources::publish(const Document& definition) {
  std::string name = definition["metadata"]["name"].str();
  if (!custom::has_condition(definition.root(), "Established")) return;
  auto at = published_.find(name);
  if (at != published_.end() && same_service(at->second.root(), definition.root())) return;
  std::shared_ptr<const Converter> converter;
  if (definition["spec"]["conversion"]["strategy"].as_string() == "Webhook")
    converter = std::make_shared<const Converter>(definition, registry_.hook_clients(), registry_.world());
  catalog_.replace_custom(name, serve_definition(definition, std::move(converter)));
  if (at != published_.end()) follow_versions(at->second.root());  // a version may be gone
  published_.insert_or_assign(name, definition);
  follow_versions(definition.root());
}

void CustomResources::object_gone(const Served& served) {
  if (!served.custom->terminating()) return;
  std::string name = served.custom->definition()["metadata"]["name"].str();
  clean_up_later(name);
}

void CustomResources::clean_up_later(const std::string& name, Duration delay) {
  if (delay > Duration(0)) {
    registry_.world().executor.post_after(delay, [tasks = tasks_, name] {
      std::lock_guard lock(tasks->cleaning);
      if (CustomResources* customs = tasks->customs) customs->clean_up_later(name);
    });
    return;
  }
  std::lock_guard lock(task_mutex_);
  to_clean_.insert(name);
  if (std::exchange(cleaning_, true)) return;
  registry_.world().executor.post([tasks = tasks_] { tasks->run(tasks->cleaning, &CustomResources::clean_up_next); });
}

bool CustomResources::clean_up_next() {
  {
    std::lock_guard lock(task_mutex_);
    cleaning_ = !to_clean_.empty();
    if (!cleaning_) return false;
    auto at = to_clean_.upper_bound(last_cleaned_);
    if (at == to_clean_.end()) at = to_clean_.begin();
    last_cleaned_ = std::move(to_clean_.extract(at).value());
  }
  clean_up(last_cleaned_);
  return true;
}

// Deletes the objects, some in each turn; the last one that goes brings the definition to its end.
void CustomResources::clean_up(const std::string& name) {
  Document definition = registry_.read(definitions_group, "v1", definitions_plural, "", name);
  if (!definition || !definition["metadata"]["deletionTimestamp"].exists()) return;
  Value spec = definition["spec"];
  std::string prefix = fmt::format("/{}/{}/", spec["group"].as_string(), spec["names"]["plural"].as_string());
  int left = deletes_per_turn;
  bool any = false, more = false;
  struct Doomed {
    std::string ns, name, version;
  };
  std::vector<Doomed> doomed;
  store::Snapshot snapshot = registry_.store().snapshot();
  snapshot.scan(prefix, "", [&](const store::EntryPtr& entry) {
    any = true;
    Value metadata = entry->value["metadata"];
    if (metadata["deletionTimestamp"].exists()) return true;
    if (left-- <= 0) return more = true, false;
    std::string_view api_version = entry->value["apiVersion"].as_string();
    doomed.push_back({metadata["namespace"].str(), metadata["name"].str(), std::string(api_version.substr(api_version.rfind('/') + 1))});
    return true;
  });
  bool progress = false;
  // As they are stored, in versions that may not be served any more: nobody is asked to convert what goes.
  std::map<std::string, ServedRef> as_stored;
  for (Doomed& one : doomed) {
    auto at = as_stored.find(one.version);
    if (at == as_stored.end()) {
      ServedRef served = serve_as_stored(definition, one.version);
      if (!served) served = serve_as_stored(definition, custom::storage_version(definition.root()));
      at = as_stored.emplace(one.version, std::move(served)).first;
    }
    Work work{.registry = registry_,
              .world = registry_.world(),
              .user = {"system:apiserver", "", {"system:masters"}, {}},
              .served = at->second,
              .ns = std::move(one.ns),
              .name = std::move(one.name)};
    work.verb = "delete";
    progress = registry_.remove(work, {}).has_value() || progress;
  }
  const Duration delay = progress ? Duration(0) : clean_up_pause;
  if (more) return clean_up_later(name, delay);
  if (any && doomed.empty()) return;  // what finalizers hold is told of by object_gone()
  if (any) return clean_up_later(name, delay);
  Work work = work_for(name, "");
  (void)registry_.modify(
      work,
      [&](Value current) -> ApiResult<Draft> {
        Draft next(current);
        Draft kept = Draft::array();
        for (Value finalizer : current["metadata"]["finalizers"].items())
          if (finalizer.as_string() != custom::cleanup_finalizer) kept.push_back(finalizer);
        if (kept.size()) next["metadata"]["finalizers"] = std::move(kept);
        else next["metadata"].erase("finalizers");
        return next;
      },
      true);
}

void custom_committed(Work& work, Value before, Value now) {
  if (before.exists() && !now.exists() && work.served->custom->terminating()) work.registry.customs().object_gone(*work.served);
}

ApiResult<void> prepare_definition(Work&, Draft& definition) {
  Document current = definition.freeze();
  Draft status = Draft::object({{"conditions", nullptr}, {"acceptedNames", Draft::object({{"plural", ""}, {"kind", ""}})}});
  if (std::string_view storage = custom::storage_version(current.root()); !storage.empty())
    status["storedVersions"] = Draft::array({Draft(storage)});
  else status["storedVersions"] = Draft::array();
  definition["status"] = std::move(status);
  return {};
}

ApiResult<void> prepare_changed_definition(Work& work, Draft& definition, Value before) {
  if (!work.subresource.empty()) return {};
  Document current = definition.freeze();
  std::string_view storage = custom::storage_version(current.root());
  Draft status(before["status"]);
  bool listed = storage.empty();
  for (Value version : before["status"]["storedVersions"].items()) listed |= version.as_string() == storage;
  if (!listed) status["storedVersions"].push_back(storage);
  definition["status"] = std::move(status);
  return {};
}

void definition_committed(Work& work, Value before, Value now) {
  if (!before.exists() && !now.exists()) return;
  work.registry.customs().changed(before, now);
}

}  // namespace kybern::apiserver
