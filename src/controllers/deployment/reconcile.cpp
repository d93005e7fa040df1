#include "controllers/deployment/reconcile.h"

#include <algorithm>
#include <limits>

#include "controllers/deployment/rollout.h"
#include "controllers/objects.h"
#include "machinery/labels.h"

namespace kybern::controllers::deployment {
namespace {

struct Claimed {
  std::vector<Document> owned;
  std::vector<Action> corrections;
};

Claimed claim(const Document& deployment, const LabelSelector& selector, const Observed& observed) {
  Claimed out;
  const bool deleting = is_deleting(deployment);
  for (const Document& set : observed.replica_sets) {
    const Value controller = controller_of(set);
    const bool matches = selector.matches(set["metadata"]["labels"]);
    if (controller.exists() && controller["uid"].as_string() != uid_of(deployment)) continue;
    if (controller.exists() && matches) {
      out.owned.push_back(set);
      continue;
    }
    if (deleting || (!controller.exists() && (!matches || is_deleting(set)))) continue;
    const Document patch = matches ? adoption_patch(set, deployment) : release_patch(set, deployment);
    Action action = patch_action(Action::Verb::strategic_patch, "replicasets", set, patch);
    action.gone_is_fine = true;
    if (matches) {
      const std::string ns(namespace_of(deployment)), name(name_of(deployment));
      action.guard = Action::Guard{"apps/v1", "deployments", ns, name, uid_of(deployment), "Deployment " + ns + "/" + name};
    }
    out.corrections.push_back(std::move(action));
  }
  return out;
}

// The new ReplicaSet does not exist: make it, unless its name is taken.
void make_new(const Rollout& rollout, Plan& plan) {
  const std::string name = new_name(rollout);
  if (rollout.observed.replica_set_named && rollout.observed.replica_set_named(name)) {
    // Two templates, one hash (or somebody else's object): try another name.
    Draft changed(rollout.deployment);
    changed["status"]["collisionCount"] = rollout.deployment["status"]["collisionCount"].as_int() + 1;
    plan.status = replace_action("deployments", changed.freeze(), "status");
    plan.wake_after = Duration::zero();  // the change of the status alone wakes nobody (Echoes)
    return;
  }
  Action action = create_action("replicasets", new_replica_set(rollout));
  if (const std::int64_t count = size(action.body); count > 0)
    action.done = Notice{"Normal", "ScalingReplicaSet", "Scaled up replica set " + name + " from 0 to " + std::to_string(count)};
  action.failed = Notice{"Warning", "ReplicaSetCreateError", "Failed to create new replica set \"" + name + "\": {error}"};
  plan.actions.push_back(std::move(action));
}

// Revision and inherited annotations of the new ReplicaSet, and the revision of the Deployment.
std::vector<Action> mark_new(const Rollout& rollout) {
  const Document wanted = with_annotations(rollout, rollout.fresh);
  if (!(wanted.root() == rollout.fresh.root())) return {replace_action("replicasets", wanted)};
  const Value number = rollout.fresh["metadata"]["annotations"][revision_annotation];
  if (number.is_null() || number == rollout.deployment["metadata"]["annotations"][revision_annotation]) return {};
  Draft changed(rollout.deployment);
  changed["metadata"]["annotations"][revision_annotation] = number;
  return {replace_action("deployments", changed.freeze())};
}

// Old ReplicaSets beyond the history limit, oldest revision first; only those that are empty and have been seen so.
std::vector<Action> clean_up(const Rollout& rollout) {
  const Value limit = rollout.deployment["spec"]["revisionHistoryLimit"];
  if (limit.is_null() || limit.as_int() == std::numeric_limits<std::int32_t>::max()) return {};
  std::vector<Document> candidates;
  for (const Document& set : rollout.old)
    if (!is_deleting(set)) candidates.push_back(set);
  const std::int64_t surplus = static_cast<std::int64_t>(candidates.size()) - limit.as_int();
  if (surplus <= 0) return {};
  std::stable_sort(candidates.begin(), candidates.end(), [](const Document& a, const Document& b) { return revision(a) < revision(b); });
  candidates.resize(static_cast<std::size_t>(surplus));
  std::vector<Action> out;
  for (const Document& set : candidates) {
    const bool settled = set["metadata"]["generation"].as_int() <= set["status"]["observedGeneration"].as_int();
    if (size(set) == 0 && actual(set) == 0 && settled) out.push_back(erase_action("replicasets", set));
  }
  return out;
}

std::vector<Action> scale_old_to_zero(const Rollout& rollout) {
  std::vector<Action> out;
  for (const Document& set : rollout.old)
    if (size(set) > 0) out.push_back(scale(rollout, set, 0));
  return out;
}

// Recreate waits until no pod of an old template runs any more.
bool old_pods_run(const Rollout& rollout) {
  for (const Document& set : rollout.old)
    if (actual(set) > 0) return true;
  for (const Document& pod : rollout.observed.pods) {
    if (is_terminal(pod)) continue;
    const Value controller = controller_of(pod);
    if (rollout.fresh && controller["uid"].as_string() == uid_of(rollout.fresh)) continue;
    return true;
  }
  return false;
}

// The next step of a rollout; no actions: it waits, or is through.
void roll(const Rollout& rollout, Plan& plan) {
  const bool rolling = is_rolling(rollout.deployment);
  if (rollout.fresh) {
    plan.actions = mark_new(rollout);
    if (!plan.actions.empty()) return;
  }
  if (!rolling) {
    plan.actions = scale_old_to_zero(rollout);
    if (!plan.actions.empty() || old_pods_run(rollout)) return;
  }
  if (!rollout.fresh) return make_new(rollout, plan);
  plan.actions = scale_new(rollout);
  if (plan.actions.empty() && rolling) plan.actions = scale_old_rolling(rollout);
  if (!plan.actions.empty()) return;
  std::vector<Action> ends = clean_up(rollout);
  if (ends.empty()) return;
  // Also by the status that is to be written: when it has been, nobody looks again for its sake (Echoes).
  const Document& deployment = rollout.deployment;
  if (is_complete(deployment, deployment["status"]) || is_complete(deployment, with_status(rollout, true)["status"]))
    plan.actions = std::move(ends);
}

// spec.replicas changed, or the Deployment is paused: sizes move, templates do not.
void resize(const Rollout& rollout, Plan& plan) {
  if (rollout.fresh) plan.actions = mark_new(rollout);
  if (plan.actions.empty()) plan.actions = scale_proportionally(rollout);
  if (plan.actions.empty() && rollout.deployment["spec"]["paused"].as_bool()) plan.actions = clean_up(rollout);
}

void set_status(Plan& plan, const Document& wanted) {
  if (!(wanted["status"] == plan.about["status"])) plan.status = replace_action("deployments", wanted, "status");
}

}  // namespace

Plan reconcile(const Document& deployment, const Observed& observed) {
  Plan plan;
  plan.about = deployment;
  const Result<LabelSelector> selector = LabelSelector::from(deployment["spec"]["selector"]);
  if (!selector) return plan;
  if (selector->empty()) {
    plan.notices.push_back({"Warning", "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required."});
    Draft changed(deployment);
    changed["status"]["observedGeneration"] = deployment["metadata"]["generation"].as_int();
    set_status(plan, changed.freeze());
    return plan;
  }
  Claimed claimed = claim(deployment, *selector, observed);
  plan.actions = std::move(claimed.corrections);
  if (!plan.actions.empty()) return plan;

  const Rollout rollout = sort_out(deployment, observed, std::move(claimed.owned));
  const bool deleting = is_deleting(deployment), paused = deployment["spec"]["paused"].as_bool();
  const bool rolling_out = !deleting && !paused && !is_scaling_event(rollout);
  if (rolling_out) roll(rollout, plan);
  else if (!deleting) resize(rollout, plan);
  if (plan.status) return plan;  // a new name is sought
  const Document wanted = with_status(rollout, rolling_out);
  set_status(plan, wanted);
  if (rolling_out) plan.wake_after = wake_for_deadline(wanted, observed.now);
  return plan;
}

}  // namespace kybern::controllers::deployment
