#include "apiserver/registry/deletion.h"

#include "apiserver/custom/custom.h"
#include "apiserver/custom/resources.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>

#include "apiserver/admission/admission.h"
#include "base/strings.h"
#include "machinery/custom/definition.h"

namespace kybern::apiserver {
namespace {

constexpr std::int64_t default_pod_grace_seconds = 30;
constexpr std::size_t sweep_helpers = 15;  // with whoever asked, 16 deletions are under way at once
constexpr int delete_attempts = 20;        // against writers that change the object meanwhile

bool is_pod(const Work& work) { return work.is("", "pods"); }
bool is_namespace(const Work& work) { return work.is("", "namespaces"); }

std::string_view propagation_of(const DeleteOptions& options) {
  if (options.orphan_dependents) return *options.orphan_dependents ? "Orphan" : "";
  return options.propagation_policy;
}

// The finalizers that the propagation policy asks for, and without those that it takes back.
Draft finalizers_for(Value object, const DeleteOptions& options) {
  std::string_view policy = propagation_of(options);
  bool has_orphan = false, has_foreground = false;
  Draft out = Draft::array();
  for (Value f : object["metadata"]["finalizers"].items()) {
    std::string_view text = f.as_string();
    if (text == "orphan") has_orphan = true;
    else if (text == "foregroundDeletion") has_foreground = true;
    else out.push_back(f);
  }
  bool decided = options.orphan_dependents || !options.propagation_policy.empty();
  bool orphan = decided ? policy == "Orphan" : has_orphan;
  bool foreground = decided ? policy == "Foreground" : has_foreground;
  if (orphan) out.push_back("orphan");
  if (foreground) out.push_back("foregroundDeletion");
  return out;
}

// Seconds that the object stays after it is asked to go; empty: it goes at once.
std::optional<std::int64_t> grace_of(const Work& work, Value object, const DeleteOptions& options) {
  if (!is_pod(work)) return std::nullopt;
  std::int64_t seconds =
      options.grace_period_seconds.value_or(object["spec"]["terminationGracePeriodSeconds"].as_int(default_pod_grace_seconds));
  std::string_view phase = object["status"]["phase"].as_string();
  if (object["spec"]["nodeName"].as_string().empty() || phase == "Failed" || phase == "Succeeded") seconds = 0;
  if (seconds < 0) seconds = 1;
  if (seconds == 0) return std::nullopt;
  return seconds;
}

ApiResult<void> check_preconditions(const Work& work, Value object, const DeleteOptions& options) {
  Value m = object["metadata"];
  const Served& s = *work.served;
  if (!options.uid.empty() && options.uid != m["uid"].as_string())
    return fail(
        conflict(s.group(), s.plural(), work.name,
                 fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}", options.uid, m["uid"].as_string())));
  if (!options.resource_version.empty() && options.resource_version != m["resourceVersion"].as_string())
    return fail(conflict(s.group(), s.plural(), work.name,
                         fmt::format("Precondition failed: ResourceVersion in precondition: {}, ResourceVersion in object meta: {}",
                                     options.resource_version, m["resourceVersion"].as_string())));
  return {};
}

Document success(const Work& work, Value object) {
  Draft status = Draft::object({{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Draft::object()}, {"status", "Success"}});
  Draft& details = status["details"];
  details["name"] = work.name;
  if (!work.served->group().empty()) details["group"] = work.served->group();
  details["kind"] = work.served->plural();
  details["uid"] = object["metadata"]["uid"];
  return status.freeze();
}

// The objects of a collection on their way out. Several threads take them from one listing, so that the store makes many
// deletions durable at once; whoever asked works too, and waits for those who have begun. A helper that comes late finds
// nothing to do, and touches nothing of the request.
class Sweep {
 public:
  Sweep(Work& work, const DeleteOptions& options, Listing listing) : work_(work), options_(options), listing_(std::move(listing)) {}

  // `call_helpers`: called when there are more than a few.
  ApiResult<void> run(const std::function<void()>& call_helpers) {
    work_through(few);
    call_helpers();
    work_through();
    std::unique_lock lock(mutex_);
    over_ = true;
    idle_.wait(lock, [&] { return helping_ == 0; });
    if (failure_) return fail(std::move(*failure_));
    return {};
  }

  void help() {
    {
      std::lock_guard lock(mutex_);
      if (over_) return;
      ++helping_;
    }
    work_through();
    std::lock_guard lock(mutex_);
    --helping_;
    idle_.notify_all();
  }

  bool over() const {
    std::lock_guard lock(mutex_);
    return over_;
  }
  const std::vector<Document>& removed() const { return objects_; }  // in the order of the listing

 private:
  static constexpr std::size_t few = 8;

  void work_through(std::size_t most = SIZE_MAX) {
    for (; most > 0; --most) {
      Document object;
      {
        std::lock_guard lock(mutex_);
        if (over_) return;
        object = listing_.next();
        if (!object) over_ = true;
        if (over_) return;
        objects_.push_back(object);
      }
      Work one{.registry = work_.registry,
               .world = work_.world,
               .user = work_.user,
               .served = work_.served,
               .ns = object["metadata"]["namespace"].str(),
               .name = object["metadata"]["name"].str(),
               .dry_run = work_.dry_run,
               .verb = "delete",
               .dynamic = work_.dynamic,
               .options = work_.options};
      auto gone = work_.registry.remove(one, options_);
      std::lock_guard lock(mutex_);
      for (std::string& warning : one.warnings) work_.warn(std::move(warning));
      if (gone || gone.error().code == 404) continue;
      over_ = true;
      if (!failure_) failure_ = std::move(gone.error());
    }
  }

  Work& work_;
  const DeleteOptions& options_;
  Listing listing_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::vector<Document> objects_;
  std::optional<Status> failure_;
  std::size_t helping_ = 0;
  bool over_ = false;
};

}  // namespace

bool namespace_is_done(const Served& served, Value object) {
  if (served.plural() != "namespaces" || !served.group().empty()) return true;
  return object["spec"]["finalizers"].empty();
}

ApiResult<Document> Registry::erase(Work& work, const store::EntryPtr& entry) {
  auto form = converted(*work.served, entry->value.root());
  if (!form) return fail(std::move(form.error()));
  Document before = std::move(*form);
  auto erased = store_.commit({entry->key, std::nullopt, entry->revision});
  if (!erased) return fail(status_of(work, erased.error()));
  if (work.served->traits->after_commit) work.served->traits->after_commit(work, before, {});
  Draft gone(before);
  gone["metadata"]["resourceVersion"] = std::to_string((*erased)->revision);
  return gone.freeze();
}

ApiResult<Answer> Registry::remove(Work& work, const DeleteOptions& asked) {
  const Served& served = *work.served;
  DeleteOptions options = asked;
  Document marked;  // as this request marked it
  std::string admitted_version;
  for (int attempt = 1;; ++attempt) {
    auto entry = current(work);
    // Somebody who saw the mark was quicker, as the pod collector is: it is gone, as was asked.
    if (!entry && marked) return Answer{200, served.traits->returns_deleted ? marked : success(work, marked)};
    if (!entry) return fail(std::move(entry.error()));
    auto form = converted(served, (*entry)->value.root());
    if (!form) return fail(std::move(form.error()));
    Document object = std::move(*form);
    if (auto ok = check_preconditions(work, object, options); !ok) return fail(std::move(ok.error()));
    // What was admitted once is not asked about again, unless somebody else has changed it meanwhile.
    if (std::string_view version = object["metadata"]["resourceVersion"].as_string(); !marked && version != admitted_version) {
      if (auto ok = admit_deletion({work, "DELETE", object}); !ok) return fail(std::move(ok.error()));
      admitted_version = version;
    }
    if (served.traits->check_delete)
      if (auto ok = served.traits->check_delete(work, object); !ok) return fail(std::move(ok.error()));
    Value m = object["metadata"];
    bool dying = m["deletionTimestamp"].exists();
    Draft finalizers = finalizers_for(object, options);
    bool definition = served.plural() == "customresourcedefinitions" && served.group() == "apiextensions.k8s.io";
    if (definition && !m["deletionTimestamp"].exists()) finalizers.push_back(custom::cleanup_finalizer);
    auto grace = grace_of(work, object, options);
    bool held = finalizers.size() > 0 || (is_namespace(work) && !object["spec"]["finalizers"].empty());
    if (dying && grace && m["deletionGracePeriodSeconds"].exists()) {
      // A second delete may only shorten what is left.
      std::int64_t left = m["deletionGracePeriodSeconds"].as_int();
      if (!options.grace_period_seconds || *grace >= left) return Answer{200, object};
    }
    // Also a pod that goes at once is first marked: its watchers see that its time was up, then that it is gone.
    bool marks = is_pod(work) && !grace && !(dying && m["deletionGracePeriodSeconds"].as_int(-1) == 0);
    if (!held && !grace && !marks) {
      if (work.dry_run) return Answer{200, served.traits->returns_deleted ? object : success(work, object)};
      auto gone = erase(work, *entry);
      if (gone) return Answer{200, served.traits->returns_deleted ? *gone : success(work, object)};
      if ((gone.error().reason == "Conflict" || (marked && gone.error().code == 404)) && attempt < delete_attempts) continue;
      return fail(std::move(gone.error()));
    }
    Draft now(object);
    Draft& meta = now["metadata"];
    std::int64_t seconds = grace.value_or(0);
    Time from = work.world.clock.now();
    if (dying) {
      auto set = parse_rfc3339(m["deletionTimestamp"].as_string());
      if (set && m["deletionGracePeriodSeconds"].exists()) from = *set - std::chrono::seconds(m["deletionGracePeriodSeconds"].as_int());
    }
    if (!dying || grace || marks) {
      meta["deletionTimestamp"] = format_rfc3339(from + std::chrono::seconds(seconds));
      meta["deletionGracePeriodSeconds"] = seconds;
      if (is_namespace(work)) meta.erase("deletionGracePeriodSeconds");
    }
    if (finalizers.size() > 0) meta["finalizers"] = std::move(finalizers);
    else meta.erase("finalizers");
    if (!dying && served.traits->generation && m["generation"].as_int() > 0) meta["generation"] = m["generation"].as_int() + 1;
    if (is_namespace(work)) now["status"]["phase"] = "Terminating";
    Document next = now.freeze();
    int code = held && !grace && options.orphan_dependents == false ? 202 : 200;
    if (work.dry_run || next.root() == object.root()) return Answer{code, next};
    Draft stamped(next);
    stamped["metadata"]["resourceVersion"] = Document::stamp_blank();
    auto stored = for_store(served, stamped.freeze());
    if (!stored) return fail(std::move(stored.error()));
    auto written = store_.commit({(*entry)->key, std::move(*stored), (*entry)->revision});
    if (written && marks && !held) {
      options.resource_version.clear();  // it held; the mark has moved it on
      marked = in_served_form(served, (*written)->value.root());
      continue;
    }
    if (written && definition) customs().changed(object, (*written)->value);
    if (written) return Answer{code, in_served_form(served, (*written)->value.root())};
    if (written.error().code == Code::conflict && attempt < delete_attempts) continue;
    return fail(status_of(work, written.error()));
  }
}

ApiResult<Answer> Registry::remove_collection(Work& work, const DeleteOptions& options, const ListOptions& selection) {
  auto listing = list(work, selection);
  if (!listing) return fail(std::move(listing.error()));
  if (auto ok = listing->prefetch(); !ok) return fail(std::move(ok.error()));
  std::string version = listing->resource_version;
  auto sweep = std::make_shared<Sweep>(work, options, std::move(*listing));
  auto call_helpers = [&] {
    if (!may_wait() || sweep->over()) return;
    for (std::size_t i = 0; i < sweep_helpers; ++i) work.world.executor.post([sweep] { sweep->help(); });
  };
  if (auto ok = sweep->run(call_helpers); !ok) return fail(std::move(ok.error()));
  Draft items = Draft::array();
  for (const Document& object : sweep->removed()) {
    Draft item(object);
    if (!work.served->custom) {
      item.erase("kind");
      item.erase("apiVersion");
    }
    items.push_back(std::move(item));
  }
  Draft answer = Draft::object();
  answer["kind"] = work.served->custom ? std::string(work.served->custom->list_kind()) : std::string(work.served->kind()) + "List";
  answer["apiVersion"] = work.served->api_version;
  answer["metadata"]["resourceVersion"] = version;
  answer["items"] = std::move(items);
  return Answer{200, answer.freeze()};
}

ApiResult<DeleteOptions> read_delete_options(Value body, const Query& query) {
  DeleteOptions out;
  FieldErrors errors;
  auto integer = [](std::string_view text) { return parse_int(text); };
  if (body.is_object() && !body.empty()) {
    if (body["gracePeriodSeconds"].exists() && !body["gracePeriodSeconds"].is_null())
      out.grace_period_seconds = body["gracePeriodSeconds"].as_int();
    out.uid = body["preconditions"]["uid"].str();
    out.resource_version = body["preconditions"]["resourceVersion"].str();
    if (body["orphanDependents"].is_bool()) out.orphan_dependents = body["orphanDependents"].as_bool();
    out.propagation_policy = body["propagationPolicy"].str();
    std::vector<std::string> given;
    bool known = true;
    for (Value v : body["dryRun"].items()) {
      given.push_back(go_quote(v.as_string()));
      known = known && v.as_string() == "All";
    }
    if (!known)
      errors.push_back(
          {FieldError::Type::not_supported, "dryRun", fmt::format("[]string{{{}}}", join(given, ", ")), "supported values: \"All\""});
  } else {
    if (query.has("gracePeriodSeconds")) {
      auto seconds = integer(query.get("gracePeriodSeconds"));
      if (!seconds)
        return fail(bad_request(fmt::format("strconv.ParseInt: parsing {}: invalid syntax", go_quote(query.get("gracePeriodSeconds")))));
      out.grace_period_seconds = *seconds;
    }
    if (query.has("orphanDependents")) out.orphan_dependents = query.flag("orphanDependents");
    out.propagation_policy = query.get("propagationPolicy");
  }
  const std::string& policy = out.propagation_policy;
  if (out.orphan_dependents && !policy.empty())
    errors.push_back(
        {FieldError::Type::invalid, "propagationPolicy", go_quote(policy), "orphanDependents and deletionPropagation cannot be both set"});
  if (!policy.empty() && policy != "Foreground" && policy != "Background" && policy != "Orphan")
    errors.push_back({FieldError::Type::not_supported, "propagationPolicy", go_quote(policy),
                      "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""});
  if (!errors.empty()) return fail(invalid("meta.k8s.io", "DeleteOptions", "", errors));
  return out;
}

}  // namespace kybern::apiserver
