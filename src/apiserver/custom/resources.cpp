#include "apiserver/custom/resources.h"

#include <fmt/format.h>

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

struct CustomResources::Follower {
  std::mutex mutex;  // held while one is written
  CustomResources* customs;
  explicit Follower(CustomResources* c) : customs(c) {}

  void run() {
    for (;;) {
      std::lock_guard lock(mutex);
      if (!customs || !customs->follow_next()) return;
    }
  }
};

CustomResources::CustomResources(Registry& registry, Catalog& catalog)
    : registry_(registry), catalog_(catalog), follower_(std::make_shared<Follower>(this)) {}
CustomResources::~CustomResources() { stop(); }

void CustomResources::stop() {
  std::lock_guard lock(follower_->mutex);
  follower_->customs = nullptr;
}

void CustomResources::load() {
  std::vector<std::string> names;
  registry_.each(definitions_group, "v1", definitions_plural, "", [&](Value definition) {
    names.push_back(definition["metadata"]["name"].str());
    return true;
  });
  for (const std::string& name : names) settle(name);
  std::lock_guard lock(follow_mutex_);
  loaded_ = true;
}

// Not while the definition is being written: that waits for no other object.
void CustomResources::follow(std::string api_service) {
  std::lock_guard lock(follow_mutex_);
  if (!loaded_) return;
  to_follow_.insert(std::move(api_service));
  if (std::exchange(following_, true)) return;
  registry_.world().executor.post([follower = follower_] { follower->run(); });
}

void CustomResources::follow_versions(Value definition) {
  for (Value version : definition["spec"]["versions"].items())
    follow(fmt::format("{}.{}", version["name"].as_string(), definition["spec"]["group"].as_string()));
}

bool CustomResources::follow_next() {
  std::string name;
  {
    std::lock_guard lock(follow_mutex_);
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
      catalog_.replace_custom(name, {});
    }
    follow_versions(definition);
    settle_others(group, name);
    return;
  }
  settle(name);
}

// Names that went away may be what another definition waits for.
void CustomResources::settle_others(std::string_view group, std::string_view name) {
  std::vector<std::string> waiting;
  registry_.each(definitions_group, "v1", definitions_plural, "", [&](Value other) {
    if (other["spec"]["group"].as_string() == group && other["metadata"]["name"].as_string() != name &&
        !custom::has_condition(other, "NamesAccepted"))
      waiting.push_back(other["metadata"]["name"].str());
    return true;
  });
  for (const std::string& one : waiting) settle(one);
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
          custom::TakenNames taken;
          registry_.each(definitions_group, "v1", definitions_plural, "", [&](Value other) {
            if (other["spec"]["group"].as_string() != group || other["metadata"]["name"].as_string() == name) return true;
            Value names = other["status"]["acceptedNames"];
            for (std::string_view key : {"plural", "singular"}) taken.names.push_back(names[key].str());
            for (Value one : names["shortNames"].items()) taken.names.push_back(one.str());
            for (std::string_view key : {"kind", "listKind"}) taken.kinds.push_back(names[key].str());
            return true;
          });
          next["status"] = custom::next_status(current, taken, now);
          return next;
        },
        true);
    if (written) definition = written->object;
    else
      log_warn("apiserver", "the status of a custom resource's definition could not be written",
               {{"name", name}, {"why", written.error().message}});
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
  registry_.world().executor.post_after(delay, [follower = follower_, name] {
    std::lock_guard lock(follower->mutex);
    if (follower->customs) follower->customs->clean_up(name);
  });
}

// Deletes the objects, some in each turn; the last one that goes brings the definition to its end.
void CustomResources::clean_up(const std::string& name) {
  Document definition = registry_.read(definitions_group, "v1", definitions_plural, "", name);
  if (!definition || !definition["metadata"]["deletionTimestamp"].exists()) return;
  Value spec = definition["spec"];
  std::string prefix = fmt::format("/{}/{}/", spec["group"].as_string(), spec["names"]["plural"].as_string());
  // As they are stored, so that nobody is asked to convert what goes.
  const Served* served =
      registry_.catalog().find(spec["group"].as_string(), custom::storage_version(definition.root()), spec["names"]["plural"].as_string());
  if (!served) served = registry_.catalog().find_custom(name);
  int left = deletes_per_turn;
  bool any = false, more = false;
  std::vector<std::pair<std::string, std::string>> names;
  store::Snapshot snapshot = registry_.store().snapshot();
  snapshot.scan(prefix, "", [&](const store::EntryPtr& entry) {
    any = true;
    Value metadata = entry->value["metadata"];
    if (metadata["deletionTimestamp"].exists()) return true;
    if (left-- <= 0) return more = true, false;
    names.emplace_back(metadata["namespace"].str(), metadata["name"].str());
    return true;
  });
  bool progress = false;
  if (served) {
    for (const auto& [ns, object] : names) {
      Work work{.registry = registry_,
                .world = registry_.world(),
                .user = {"system:apiserver", "", {"system:masters"}, {}},
                .served = served,
                .ns = ns,
                .name = object};
      work.verb = "delete";
      progress = registry_.remove(work, {}).has_value() || progress;
    }
  }
  const Duration delay = progress ? Duration(0) : clean_up_pause;
  if (more) return clean_up_later(name, delay);
  if (any && !(served && !names.empty())) return;  // what finalizers hold is told of by object_gone()
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
