#include <algorithm>
#include <limits>

#include "base/strings.h"
#include "controllers/deployment/rollout.h"
#include "controllers/objects.h"

namespace kybern::controllers::deployment {
namespace {

constexpr std::size_t history_limit_bytes = 2000;  // of the revision-history annotation

// Annotations of the Deployment that its ReplicaSets do not inherit.
bool is_own_annotation(std::string_view key) {
  return key == "kubectl.kubernetes.io/last-applied-configuration" || key == revision_annotation || key == history_annotation ||
         key == desired_annotation || key == maximum_annotation || key == "deprecated.deployment.rollback.to";
}

Draft without_hash(Value pod_template) {
  Draft out(pod_template);
  if (Draft* labels = out.find_path({"metadata", "labels"})) {
    labels->erase(hash_label);
    if (labels->empty()) out.find("metadata")->erase("labels");
  }
  return out;
}

std::string set_annotation(Draft& object, std::string_view key, std::string value) {
  Draft& slot = object["metadata"]["annotations"][key];
  std::string before = slot.str();
  slot = std::move(value);
  return before;
}

std::string with_history(std::string_view history, const std::string& added) {
  if (history.empty()) return added;
  std::vector<std::string_view> entries = split(history, ',');
  std::size_t total = history.size() + added.size() + 1, start = 0;
  while (total > history_limit_bytes && start < entries.size()) total -= entries[start++].size() + 1;
  if (total > history_limit_bytes) return std::string(history);
  std::vector<std::string> kept(entries.begin() + static_cast<long>(start), entries.end());
  kept.push_back(added);
  return join(kept, ",");
}

std::int64_t max_revision(const std::vector<Document>& sets) {
  std::int64_t out = 0;
  for (const Document& set : sets) out = std::max(out, revision(set));
  return out;
}

void inherit_annotations(const Rollout& rollout, Draft& set) {
  const Value annotations = rollout.deployment["metadata"]["annotations"];
  for (Member m : annotations.members())
    if (!is_own_annotation(m.key)) set_annotation(set, m.key, m.value.str());
}

}  // namespace

std::int64_t size(Value set) { return set["spec"]["replicas"].as_int(1); }
std::int64_t actual(Value set) { return set["status"]["replicas"].as_int(); }
std::int64_t available(Value set) { return set["status"]["availableReplicas"].as_int(); }

std::optional<std::int64_t> annotated(Value set, std::string_view annotation) {
  return parse_int(set["metadata"]["annotations"][annotation].as_string());
}

std::int64_t revision(Value object) { return annotated(object, revision_annotation).value_or(0); }

std::int64_t total_size(const std::vector<Document>& sets) {
  std::int64_t out = 0;
  for (const Document& set : sets) out += size(set);
  return out;
}

bool is_rolling(Value deployment) { return deployment["spec"]["strategy"]["type"].as_string("RollingUpdate") == "RollingUpdate"; }

Fenceposts fenceposts(Value deployment) {
  const std::int64_t replicas = deployment["spec"]["replicas"].as_int(1);
  if (!is_rolling(deployment)) return {};
  const Value rolling = deployment["spec"]["strategy"]["rollingUpdate"];
  Fenceposts out{scaled(rolling["maxSurge"], replicas, true), scaled(rolling["maxUnavailable"], replicas, false)};
  if (out.surge == 0 && out.unavailable == 0) out.unavailable = 1;  // else nothing could ever move
  out.unavailable = std::min(out.unavailable, replicas);
  return out;
}

bool same_template(Value a, Value b) { return without_hash(a) == without_hash(b); }

Rollout sort_out(const Document& deployment, const Observed& observed, std::vector<Document> owned) {
  Rollout out{deployment, observed, std::move(owned), {}, {}, deployment["spec"]["replicas"].as_int(1), fenceposts(deployment)};
  std::sort(out.all.begin(), out.all.end(), [](const Document& a, const Document& b) { return created_before(a, b); });
  for (const Document& set : out.all) {
    if (!out.fresh && same_template(set["spec"]["template"], deployment["spec"]["template"])) out.fresh = set;
    else out.old.push_back(set);
  }
  return out;
}

std::string new_name(const Rollout& rollout) {
  const Value count = rollout.deployment["status"]["collisionCount"];
  std::optional<std::int64_t> collisions;
  if (!count.is_null()) collisions = count.as_int();
  return std::string(name_of(rollout.deployment)) + "-" + content_hash(rollout.deployment["spec"]["template"], collisions);
}

Document new_replica_set(const Rollout& rollout) {
  const Value deployment = rollout.deployment, spec = deployment["spec"];
  const std::string name = new_name(rollout);
  const std::string hash = name.substr(name.rfind('-') + 1);
  Draft pod_template(spec["template"]);
  pod_template["metadata"]["labels"][hash_label] = hash;
  Draft selector(spec["selector"]);
  selector["matchLabels"][hash_label] = hash;
  Draft set = Draft::object({{"apiVersion", "apps/v1"}, {"kind", "ReplicaSet"}});
  set["metadata"] = Draft::object(
      {{"name", name}, {"namespace", deployment["metadata"]["namespace"]}, {"labels", *pod_template.find_path({"metadata", "labels"})}});
  inherit_annotations(rollout, set);
  set_annotation(set, revision_annotation, std::to_string(max_revision(rollout.old) + 1));
  set_annotation(set, desired_annotation, std::to_string(rollout.replicas));
  set_annotation(set, maximum_annotation, std::to_string(rollout.replicas + rollout.posts.surge));
  set["metadata"]["ownerReferences"] = Draft::array({controller_reference(deployment)});
  set["spec"] = Draft::object({{"replicas", new_size(rollout, 0)}});
  if (const std::int64_t min_ready = spec["minReadySeconds"].as_int()) set["spec"]["minReadySeconds"] = min_ready;
  set["spec"]["selector"] = std::move(selector);
  set["spec"]["template"] = std::move(pod_template);
  return set.freeze();
}

Document with_annotations(const Rollout& rollout, const Document& fresh) {
  Draft set(fresh);
  inherit_annotations(rollout, set);
  const std::int64_t wanted = max_revision(rollout.old) + 1;
  const std::string before = fresh["metadata"]["annotations"][revision_annotation].str();
  if (before.empty() || parse_int(before)) {  // a malformed one is left alone
    if (revision(fresh) < wanted) {
      set_annotation(set, revision_annotation, std::to_string(wanted));
      if (!before.empty())
        set_annotation(set, history_annotation, with_history(fresh["metadata"]["annotations"][history_annotation].as_string(), before));
    }
  }
  const std::int64_t min_ready = rollout.deployment["spec"]["minReadySeconds"].as_int();
  if (fresh["spec"]["minReadySeconds"].as_int() != min_ready) set["spec"]["minReadySeconds"] = min_ready;
  return set.freeze();
}

Document with_size(const Rollout& rollout, const Document& set, std::int64_t replicas) {
  Draft out(set);
  out["spec"]["replicas"] = replicas;
  set_annotation(out, desired_annotation, std::to_string(rollout.replicas));
  set_annotation(out, maximum_annotation, std::to_string(rollout.replicas + rollout.posts.surge));
  return out.freeze();
}

Action scale(const Rollout& rollout, const Document& set, std::int64_t replicas) {
  Action action = replace_action("replicasets", with_size(rollout, set, replicas));
  const std::int64_t before = size(set);
  if (before != replicas) {
    action.done = Notice{"Normal", "ScalingReplicaSet",
                         std::string("Scaled ") + (before < replicas ? "up" : "down") + " replica set " + std::string(name_of(set)) +
                             " from " + std::to_string(before) + " to " + std::to_string(replicas)};
  }
  return action;
}

}  // namespace kybern::controllers::deployment
