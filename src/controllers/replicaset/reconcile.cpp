#include "controllers/replicaset/reconcile.h"

#include <algorithm>
#include <chrono>

#include "api/apps_v1.h"
#include "controllers/objects.h"
#include "document/names.h"
#include "machinery/labels.h"
#include "machinery/names.h"

namespace kybern::controllers::replicaset {
namespace {

using api::apps_v1::ReplicaSet;

struct Claimed {
  std::vector<Document> active, terminating;
  std::vector<Action> corrections;  // adoptions and releases
};

Result<LabelSelector> selector_of(const Flavor& flavor, Value set) {
  const Value selector = set["spec"]["selector"];
  if (!flavor.plain_selector) return LabelSelector::from(selector);
  return selector.empty() ? LabelSelector::nothing() : LabelSelector::from_map(selector);
}

Action adopt(const Document& pod, const Document& owner, const Flavor& flavor) {
  const std::string ns(namespace_of(owner)), name(name_of(owner));
  Action action = patch_action(Action::Verb::strategic_patch, "pods", pod, adoption_patch(pod, owner));
  action.guard = Action::Guard{
      flavor.api_version, flavor.resource, ns, name, std::string(uid_of(owner)), std::string(flavor.kind) + " " + ns + "/" + name};
  action.gone_is_fine = true;
  return action;
}

Action release(const Document& pod, const Document& owner) {
  Action action = patch_action(Action::Verb::strategic_patch, "pods", pod, release_patch(pod, owner));
  action.gone_is_fine = true;
  return action;
}

Claimed claim(const Document& replica_set, const LabelSelector& selector, const Observed& observed, const Flavor& flavor) {
  Claimed out;
  const bool deleting = is_deleting(replica_set);
  for (const Document& pod : observed.pods) {
    const Value controller = controller_of(pod);
    const bool matches = selector.matches(pod[names::metadata][names::labels]);
    if (controller.exists() && controller[names::uid].as_string() != uid_of(replica_set)) continue;
    if (!controller.exists()) {
      if (matches && !deleting && is_active(pod)) out.corrections.push_back(adopt(pod, replica_set, flavor));
      continue;
    }
    if (!matches) {
      if (!deleting && !is_terminal(pod)) out.corrections.push_back(release(pod, replica_set));
      continue;
    }
    if (is_active(pod)) out.active.push_back(pod);
    else if (!is_terminal(pod)) out.terminating.push_back(pod);
  }
  return out;
}

Document new_pod(const Document& replica_set) {
  const ReplicaSet view(replica_set);
  std::string prefix = std::string(view.metadata().name()) + "-";
  if (!names::dns1123_subdomain(names::without_trailing_dash(prefix)).empty()) prefix.pop_back();
  const Value from = view.spec().template_().metadata().value();
  Draft meta = Draft::object({{"generateName", prefix}, {"namespace", view.metadata().namespace_()}});
  for (const char* field : {"labels", "annotations", "finalizers"})
    if (!from[field].is_null()) meta[field] = from[field];
  meta["ownerReferences"] = Draft::array({controller_reference(replica_set)});
  return Draft::object(
             {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", std::move(meta)}, {"spec", view.spec().template_().spec().value()}})
      .freeze();
}

void add_creations(Plan& plan, const Document& replica_set, std::size_t count) {
  Action action = create_action("pods", new_pod(replica_set));
  action.pace = Action::Pace::slow_start;
  action.done = Notice{"Normal", "SuccessfulCreate", "Created pod: {name}"};
  action.failed = Notice{"Warning", "FailedCreate", "Error creating: {error}"};
  plan.actions.insert(plan.actions.end(), std::min(count, burst_replicas), action);
}

void add_deletions(Plan& plan, std::vector<Document> active, const Observed& observed, std::size_t count) {
  if (count < active.size()) active = rank_for_deletion(std::move(active), observed.related, observed.now);
  active.resize(std::min(count, burst_replicas));
  for (const Document& pod : active) {
    Action action = erase_action("pods", pod);
    action.pace = Action::Pace::parallel;
    action.done = Notice{"Normal", "SuccessfulDelete", "Deleted pod: {name}"};
    action.failed = Notice{"Warning", "FailedDelete", "Error deleting: {error}"};
    plan.actions.push_back(std::move(action));
  }
}

void set_failure_condition(Draft& status, std::int64_t difference, const Observed& observed) {
  if (!observed.failure) {
    if (Draft* conditions = status.find("conditions")) {
      remove_condition(*conditions, "ReplicaFailure");
      if (conditions->empty()) status.erase("conditions");
    }
    return;
  }
  Draft& conditions = status["conditions"];
  if (find_condition(conditions, "ReplicaFailure")) return;  // the first failure stays
  conditions.push_back(Draft::object({{"type", "ReplicaFailure"},
                                      {"status", "True"},
                                      {"lastTransitionTime", format_rfc3339(observed.now)},
                                      {"reason", difference < 0 ? "FailedCreate" : "FailedDelete"},
                                      {"message", observed.failure->message}}));
}

struct Counts {
  std::int64_t fully_labeled = 0, ready = 0, available = 0;
  std::optional<Time> matures;
};

Counts count(const ReplicaSet& view, const std::vector<Document>& active, Time now) {
  Counts out;
  const LabelSelector by_template = LabelSelector::from_map(view.spec().template_().metadata().labels().value());
  const Duration min_ready = std::chrono::seconds(view.spec().min_ready_seconds());
  for (const Document& pod : active) {
    if (by_template.matches(pod[names::metadata][names::labels])) ++out.fully_labeled;
    if (!is_ready(pod)) continue;
    ++out.ready;
    if (is_available(pod, min_ready, now, &out.matures)) ++out.available;
  }
  return out;
}

// Zero counts other than `replicas` are left out, as they are on the wire.
Draft new_status(const Document& replica_set, const Claimed& claimed, const Counts& counts, std::int64_t difference,
                 const Observed& observed, const Flavor& flavor) {
  Draft status(replica_set["status"]);
  if (!status.is_object()) status = Draft::object();
  const auto set = [&](const char* field, std::int64_t value, bool always = false) {
    if (value != 0 || always) status[field] = value;
    else status.erase(field);
  };
  set("replicas", static_cast<std::int64_t>(claimed.active.size()), true);
  set("fullyLabeledReplicas", counts.fully_labeled);
  set("readyReplicas", counts.ready);
  set("availableReplicas", counts.available);
  if (flavor.counts_terminating) set("terminatingReplicas", static_cast<std::int64_t>(claimed.terminating.size()), true);
  set("observedGeneration", replica_set["metadata"]["generation"].as_int());
  set_failure_condition(status, difference, observed);
  return status;
}

}  // namespace

bool selects(const Flavor& flavor, Value set, Value pod) {
  const Result<LabelSelector> selector = selector_of(flavor, set);
  return selector && selector->matches(pod["metadata"]["labels"]);
}

Plan reconcile(const Document& replica_set, const Observed& observed, const Flavor& flavor) {
  Plan plan;
  plan.about = replica_set;
  const ReplicaSet view(replica_set);  // the fields of a ReplicationController have the same names
  const Result<LabelSelector> selector = selector_of(flavor, replica_set);
  if (!selector) return plan;  // validation lets none in; nothing can be said about one that is there
  Claimed claimed = claim(replica_set, *selector, observed, flavor);
  const std::int64_t difference = static_cast<std::int64_t>(claimed.active.size()) - view.spec().replicas().value_or(1);
  const Counts counts = count(view, claimed.active, observed.now);
  const Draft status = new_status(replica_set, claimed, counts, difference, observed, flavor);
  if (Document frozen = status.freeze(); !(frozen.root() == replica_set["status"])) {
    Draft changed(replica_set);
    changed["status"] = Draft(frozen);
    plan.status = replace_action(flavor.resource, changed.freeze(), "status");
  }
  if (counts.matures) plan.wake_after = *counts.matures - observed.now;
  plan.actions = std::move(claimed.corrections);
  if (!plan.actions.empty() || is_deleting(replica_set)) return plan;  // who belongs here first
  if (difference < 0) add_creations(plan, replica_set, static_cast<std::size_t>(-difference));
  if (difference > 0) add_deletions(plan, std::move(claimed.active), observed, static_cast<std::size_t>(difference));
  return plan;
}

}  // namespace kybern::controllers::replicaset
