// Deployments, replica sets, stateful sets, daemon sets, controller revisions.
#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr const char* mismatch = "`selector` does not match template `labels`";
constexpr std::int64_t whole_percent = 100;

bool is_percent(Value amount) { return amount.is_string() && names::percent(amount.as_string()).empty(); }

// The number in "25%" or 25; 0 for what is neither.
std::int64_t amount_of(Value amount) {
  if (!amount.is_string()) return amount.as_int();
  if (!is_percent(amount)) return 0;
  std::string_view text = amount.as_string();
  text.remove_suffix(1);
  return parse_int(text).value_or(0);
}

void at_most_all(Findings& f, Value amount, const Path& path) {
  if (is_percent(amount) && amount_of(amount) > whole_percent) f.invalid(path, amount, "must not be greater than 100%");
}

void empty_selector(Findings& f, Value selector, const char* kind, const Path& path) {
  if (selector.is_null()) return;
  if (selector["matchLabels"].empty() && selector["matchExpressions"].empty())
    f.invalid(path, selector, fmt::format("empty selector is invalid for {}", kind));
}

void labels_match(Findings& f, const LabelSelector& selector, Value labels, const Path& path) {
  if (!selector.empty() && !selector.matches(labels)) f.invalid(path, labels, mismatch);
}

void long_running(Findings& f, Value template_spec, const char* kind, const Path& path) {
  std::string_view restart = text(template_spec, "restartPolicy");
  if (restart != "Always") f.not_supported(path.child("spec.restartPolicy"), restart, {"Always"});
  if (set(template_spec, "activeDeadlineSeconds")) {
    f.forbidden(path.child("spec.activeDeadlineSeconds"), fmt::format("activeDeadlineSeconds in {} is not Supported", kind));
  }
}

// Of a replica set, and of a deployment which makes them.
void selector_and_template(Findings& f, Value spec, Value before, const char* kind, const Path& path) {
  Path selector_path = path.child("selector"), template_path = path.child("template");
  Value selector = spec["selector"], pods = spec["template"];
  if (selector.is_null()) {
    f.required(selector_path);
  } else {
    f.add(validate_label_selector(selector, selector_path));
    empty_selector(f, selector, kind, selector_path);
  }
  auto parsed = LabelSelector::from(selector);
  if (!parsed) return f.invalid(selector_path, selector, "invalid label selector");
  labels_match(f, *parsed, pods["metadata"]["labels"], template_path.child("metadata.labels"));
  pod_template(f, pods, template_path, before["template"]);
  long_running(f, pods["spec"], "ReplicaSet", template_path);
}

void rolling_deployment(Findings& f, Value rolling, const Path& path) {
  Path unavailable = path.child("maxUnavailable"), surge = path.child("maxSurge");
  amount_or_percent(f, rolling["maxUnavailable"], unavailable);
  amount_or_percent(f, rolling["maxSurge"], surge);
  if (amount_of(rolling["maxUnavailable"]) == 0 && amount_of(rolling["maxSurge"]) == 0) {
    f.invalid(unavailable, rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0");
  }
  at_most_all(f, rolling["maxUnavailable"], unavailable);
}

void deployment_strategy(Findings& f, Value strategy, const Path& path) {
  std::string_view type = text(strategy, "type");
  Path rolling = path.child("rollingUpdate");
  if (type == "Recreate") {
    if (set(strategy, "rollingUpdate")) f.forbidden(rolling, "may not be specified when strategy `type` is 'Recreate'");
  } else if (type == "RollingUpdate") {
    if (set(strategy, "rollingUpdate")) rolling_deployment(f, strategy["rollingUpdate"], rolling);
    else f.required(rolling, "this should be defaulted and never be nil");
  } else {
    f.not_supported(path, strategy, {"Recreate", "RollingUpdate"});
  }
}

void deployment_spec(Findings& f, Value spec, Value before = {}) {
  const Path path("spec");
  f.nonnegative(path.child("replicas"), spec["replicas"]);
  selector_and_template(f, spec, before, "deployment", path);
  deployment_strategy(f, spec["strategy"], path.child("strategy"));
  f.nonnegative(path.child("minReadySeconds"), spec["minReadySeconds"]);
  f.nonnegative(path.child("revisionHistoryLimit"), spec["revisionHistoryLimit"]);
  Value deadline = spec["progressDeadlineSeconds"];
  if (deadline.is_null()) return;
  f.nonnegative(path.child("progressDeadlineSeconds"), deadline);
  if (deadline.as_int() <= spec["minReadySeconds"].as_int())
    f.invalid(path.child("progressDeadlineSeconds"), deadline.as_int(), "must be greater than minReadySeconds");
}

void replica_set_spec(Findings& f, Value spec, Value before = {}) {
  const Path path("spec");
  f.nonnegative(path.child("replicas"), spec["replicas"]);
  f.nonnegative(path.child("minReadySeconds"), spec["minReadySeconds"]);
  selector_and_template(f, spec, before, "deployment", path);  // as upstream words it for both
}

// Counts that are not negative, and of which some are parts of `replicas`.
void counts(Findings& f, Value status, std::initializer_list<const char*> all, std::initializer_list<const char*> parts,
            const char* ready_words) {
  const Path path("status");
  for (const char* count : all) f.nonnegative(path.child(count), status[count]);
  std::int64_t replicas = status["replicas"].as_int(), available = status["availableReplicas"].as_int();
  for (const char* part : parts) {
    if (status[part].as_int() > replicas) f.invalid(path.child(part), status[part].as_int(), "cannot be greater than status.replicas");
  }
  if (available > status["readyReplicas"].as_int()) f.invalid(path.child("availableReplicas"), available, ready_words);
}

void collisions(Findings& f, Value object, Value old) {
  Value now = object["status"]["collisionCount"], before = old["status"]["collisionCount"];
  if (before.is_null()) return;
  if (now.as_int() < before.as_int()) f.invalid(Path("status.collisionCount"), now.as_int(), "cannot be decremented");
}

void rolling_stateful_set(Findings& f, Value rolling, const Path& path) {
  f.nonnegative(path.child("partition"), rolling["partition"]);
  Value unavailable = rolling["maxUnavailable"];
  if (unavailable.is_null()) return;
  Path at = path.child("maxUnavailable");
  amount_or_percent(f, unavailable, at);
  if (amount_of(unavailable) == 0) f.invalid(at, unavailable, "cannot be 0");
  at_most_all(f, unavailable, at);
}

void stateful_strategy(Findings& f, Value strategy, const Path& path) {
  std::string_view type = text(strategy, "type");
  Path rolling = path.child("rollingUpdate");
  if (type.empty()) {
    f.required(path);
  } else if (type == "OnDelete") {
    if (set(strategy, "rollingUpdate")) f.invalid(rolling, strategy["rollingUpdate"], "only allowed for updateStrategy 'RollingUpdate'");
  } else if (type == "RollingUpdate") {
    if (set(strategy, "rollingUpdate")) rolling_stateful_set(f, strategy["rollingUpdate"], rolling);
  } else {
    f.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'");
  }
}

// What is judged as the template of a stateful set: the host's names are the controller's, and its claims are volumes.
Document stateful_pods(Value spec) {
  Value claims = spec["volumeClaimTemplates"], volumes = spec["template"]["spec"]["volumes"];
  Draft pods(spec["template"]);
  for (const char* field : {"subdomain", "hostname"}) pods["spec"].erase(field);
  if (claims.empty()) return pods.freeze();
  std::set<std::string_view> names;
  Draft list = Draft::array();
  for (Value claim : claims.items()) {
    std::string_view name = text(claim["metadata"], "name");
    if (names.insert(name).second)
      list.push_back(Draft::object({{"name", name}, {"persistentVolumeClaim", Draft::object({{"claimName", name}})}}));
  }
  for (Value volume : volumes.items()) {
    if (!names.contains(text(volume, "name"))) list.push_back(Draft(volume));
  }
  pods["spec"]["volumes"] = std::move(list);
  return pods.freeze();
}

// Which rules of a stateful set are kept: some are younger than objects that break them.
struct Stateful {
  bool created = false;        // else names and claims, which do not change, are let be
  bool judges_pods = true;     // the template as a whole
  bool pods_were_fine = true;  // answered: nothing was found in the template as a whole
  Value before{};              // the template that is replaced
};

void stateful_template(Findings& f, Value spec, const LabelSelector& selector, Stateful& how, const Path& path) {
  Document pods = stateful_pods(spec);
  Value meta = pods["metadata"];
  labels_match(f, selector, meta["labels"], path.child("metadata.labels"));
  if (how.judges_pods) {
    Findings whole;
    pod_template(whole, pods.root(), path, how.before);
    how.pods_were_fine = whole.empty();
    f.add(whole.take());
  }
  f.add(validate_labels(meta["labels"], path.child("labels")));  // upstream judges these twice
  f.add(validate_annotations(meta["annotations"], path.child("annotations")));
  pod_annotations(f, meta["annotations"], pods["spec"], path.child("annotations"));
}

void stateful_set_spec(Findings& f, Value spec, Stateful& how) {
  const Path path("spec");
  std::string_view management = text(spec, "podManagementPolicy");
  if (management.empty()) f.required(path.child("podManagementPolicy"));
  else if (management != "OrderedReady" && management != "Parallel")
    f.invalid(path.child("podManagementPolicy"), management, "must be 'OrderedReady' or 'Parallel'");
  stateful_strategy(f, spec["updateStrategy"], path.child("updateStrategy"));
  if (Value retention = spec["persistentVolumeClaimRetentionPolicy"]; !retention.is_null()) {
    Path at = path.child("persistentVolumeClaimRetentionPolicy");
    for (const char* when : {"whenDeleted", "whenScaled"}) f.enumerated(at.child(when), text(retention, when), {"Retain", "Delete"});
  }
  Path claims = path.child("volumeClaimTemplates");
  for (std::size_t i = 0; how.created && i < spec["volumeClaimTemplates"].size(); ++i) {
    Path claim = claims.index(i, "spec");
    claim_spec(f, spec["volumeClaimTemplates"][i]["spec"], true, claim);
  }
  f.nonnegative(path.child("replicas"), spec["replicas"]);
  f.nonnegative(path.child("minReadySeconds"), spec["minReadySeconds"]);
  f.nonnegative(path.child("ordinals.start"), spec["ordinals"]["start"]);
  if (how.created && !text(spec, "serviceName").empty()) dns_label(f, text(spec, "serviceName"), path.child("serviceName"));
  Path selector_path = path.child("selector"), template_path = path.child("template");
  Value selector = spec["selector"], pods = spec["template"];
  if (selector.is_null()) {
    f.required(selector_path);
  } else {
    f.add(validate_label_selector(selector, selector_path));
    empty_selector(f, selector, "statefulset", selector_path);
  }
  if (auto parsed = LabelSelector::from(selector)) stateful_template(f, spec, *parsed, how, template_path);
  else f.invalid(selector_path, selector, "");
  long_running(f, pods["spec"], "StatefulSet", template_path);
}

void daemon_strategy(Findings& f, Value strategy, const Path& path) {
  std::string_view type = text(strategy, "type");
  if (type == "OnDelete") return;
  if (type != "RollingUpdate") return f.not_supported(path, strategy, {"RollingUpdate", "OnDelete"});
  Path rolling_path = path.child("rollingUpdate");
  Path unavailable = rolling_path.child("maxUnavailable"), surge = rolling_path.child("maxSurge");
  Value rolling = strategy["rollingUpdate"];
  if (rolling.is_null()) return f.required(rolling_path);
  amount_or_percent(f, rolling["maxUnavailable"], unavailable);
  amount_or_percent(f, rolling["maxSurge"], surge);
  at_most_all(f, rolling["maxUnavailable"], unavailable);
  at_most_all(f, rolling["maxSurge"], surge);
  bool has_unavailable = amount_of(rolling["maxUnavailable"]) != 0, has_surge = amount_of(rolling["maxSurge"]) != 0;
  if (has_unavailable && has_surge) f.invalid(surge, rolling["maxSurge"], "may not be set when maxUnavailable is non-zero");
  if (!has_unavailable && !has_surge) f.required(unavailable, "cannot be 0 when maxSurge is 0");
}

void daemon_set_spec(Findings& f, Value spec, Value before = {}) {
  const Path path("spec");
  Path selector_path = path.child("selector"), template_path = path.child("template");
  Value selector = spec["selector"], pods = spec["template"];
  f.add(validate_label_selector(selector, selector_path));
  auto parsed = LabelSelector::from(selector);
  if (parsed && !parsed->matches(pods["metadata"]["labels"]))
    f.invalid(template_path.child("metadata.labels"), pods["metadata"]["labels"], mismatch);
  empty_selector(f, selector, "daemonset", selector_path);
  pod_template(f, pods, template_path, before["template"]);
  long_running(f, pods["spec"], "DaemonSet", template_path);
  f.nonnegative(path.child("minReadySeconds"), spec["minReadySeconds"]);
  daemon_strategy(f, spec["updateStrategy"], path.child("updateStrategy"));
  f.nonnegative(path.child("revisionHistoryLimit"), spec["revisionHistoryLimit"]);
}

}  // namespace

void amount_or_percent(Findings& f, Value amount, const Path& path) {
  if (!amount.is_string()) return f.nonnegative(path, amount);
  for (const std::string& message : names::percent(amount.as_string())) f.invalid(path, amount, message);
}

void deployment_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  deployment_spec(f, object["spec"]);
}

void deployment_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  deployment_spec(f, object["spec"], old["spec"]);
  f.add(validate_immutable(object["spec"]["selector"], old["spec"]["selector"], Path("spec.selector")));
}

void deployment_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  counts(f, object["status"],
         {"observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas",
          "terminatingReplicas", "collisionCount"},
         {"updatedReplicas", "readyReplicas", "availableReplicas"}, "cannot be greater than readyReplicas");
  collisions(f, object, old);
}

void replica_set_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  replica_set_spec(f, object["spec"]);
}

void replica_set_update(Findings& f, Value object, Value old) {
  object_meta(f, object, true, name_is_subdomain);  // upstream judges it twice
  replica_set_spec(f, object["spec"], old["spec"]);
  object_meta_update(f, object, old);
  replica_set_spec(f, object["spec"], old["spec"]);
  f.add(validate_immutable(object["spec"]["selector"], old["spec"]["selector"], Path("spec.selector")));
}

void replica_set_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  counts(f, object["status"],
         {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration", "terminatingReplicas"},
         {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"}, "cannot be greater than readyReplicas");
}

void replication_controller_status(Findings& f, Value object, Value old) { replica_set_status(f, object, old); }

void stateful_set_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_label);
  Stateful how{.created = true};
  stateful_set_spec(f, object["spec"], how);
}

void stateful_set_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  Findings found, were;
  Stateful now{.before = old["spec"]["template"]}, then{.before = old["spec"]["template"]};
  stateful_set_spec(found, object["spec"], now);
  // A set that would not be accepted today is not held to the rules of its pods.
  if (!now.pods_were_fine) stateful_set_spec(were, old["spec"], then);
  if (!were.empty()) {
    found.take();
    now.judges_pods = false;
    stateful_set_spec(found, object["spec"], now);
  }
  f.add(found.take());
  Draft settled(object["spec"]);
  for (const char* field : {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
                            "persistentVolumeClaimRetentionPolicy", "minReadySeconds"}) {
    if (old["spec"][field].exists()) settled[field] = Draft(old["spec"][field]);
    else settled.erase(field);
  }
  if (same(settled.freeze(), old["spec"])) return;
  f.forbidden(
      Path("spec"),
      "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
      "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

void stateful_set_status(Findings& f, Value object, Value old) {
  counts(f, object["status"],
         {"replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "observedGeneration", "collisionCount"},
         {"readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"}, "cannot be greater than status.readyReplicas");
  object_meta_update(f, object, old);
  collisions(f, object, old);
}

void daemon_set_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  daemon_set_spec(f, object["spec"]);
}

void daemon_set_update(Findings& f, Value object, Value old) {
  object_meta(f, object, true, name_is_subdomain);  // upstream judges it twice
  daemon_set_spec(f, object["spec"], old["spec"]);
  object_meta_update(f, object, old);
  f.add(validate_immutable(object["spec"]["selector"], old["spec"]["selector"], Path("spec.selector")));
  daemon_set_spec(f, object["spec"], old["spec"]);
}

void daemon_set_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  const Path path("status");
  for (const char* count : {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
                            "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount"}) {
    f.nonnegative(path.child(count), object["status"][count]);
  }
  collisions(f, object, old);
}

void controller_revision_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  f.nonnegative(Path("revision"), object["revision"]);
  Value data = object["data"];
  if (data.is_null()) f.required(Path("data"), "data is mandatory");
  else if (!data.is_object()) f.required(Path("data"), "data must be a valid JSON object");
}

void controller_revision_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  object_meta(f, object, true, name_is_subdomain);
  f.nonnegative(Path("revision"), object["revision"]);
  f.add(validate_immutable(object["data"], old["data"], Path("data")));
}

}  // namespace kybern::rules
