// The rows in which kinds differ from the generic path.
#include <fmt/format.h>

#include "apiserver/admission/webhooks.h"
#include "apiserver/bootstrap.h"
#include "apiserver/custom/resources.h"
#include "apiserver/registry/ip_addresses.h"
#include "apiserver/registry/registry.h"
#include "apiserver/registry/services.h"
#include "base/strings.h"
#include "document/json.h"
#include "machinery/data_sources.h"
#include "machinery/quantity.h"

namespace kybern::apiserver {

std::string_view quality_of_service(const Draft& pod);  // registry/pods.cpp
ApiResult<void> prepare_new_pod(Work& work, Draft& pod);
ApiResult<void> prepare_pod(Work& work, Draft& pod, Value before);
ApiResult<void> prepare_pod_status(Work& work, Draft& pod, Value before);

namespace {

// stringData is written into data and never stored.
void fold_string_data(Draft& secret) {
  Draft* given = secret.find("stringData");
  if (!given) return;
  if (given->is_object())
    for (const Draft::Field& f : given->fields()) secret["data"][f.key] = base64_encode(f.value.as_string());
  secret.erase("stringData");
}

ApiResult<void> new_service(Work& work, Draft& service) {
  service["status"] = Draft::object({{"loadBalancer", Draft::object()}});
  return work.registry.services().assign(work, service, {});
}
ApiResult<void> changed_service(Work& work, Draft& service, Value before) { return work.registry.services().assign(work, service, before); }
void stored_service(Work& work, Value before, Value now) {
  bool deleted = work.verb == "delete" && before.exists() && !now.exists();
  if (!now.exists() && !deleted) return work.registry.services().abandon(work);
  work.registry.services().commit(work, before, now);
  write_ip_addresses(work.registry, before, now);
}

ApiResult<void> new_namespace(Work&, Draft& ns) {
  bool has = false;
  if (Draft* list = ns.find_path({"spec", "finalizers"}); list && list->is_array())
    for (const Draft& f : list->items()) has |= f.as_string() == "kubernetes";
  if (!has) ns["spec"]["finalizers"].push_back("kubernetes");
  ns["status"] = Draft::object({{"phase", "Active"}});
  return {};
}
ApiResult<void> changed_namespace(Work& work, Draft& ns, Value before) {
  if (work.subresource != "finalize") ns["spec"] = before["spec"];
  return {};
}

ApiResult<void> new_claim(Work&, Draft& claim) {
  claim["status"] = Draft::object({{"phase", "Pending"}});
  settle_data_sources(claim["spec"], {});
  return {};
}
ApiResult<void> changed_claim(Work&, Draft& claim, Value before) {
  settle_data_sources(claim["spec"], before["spec"]);
  return {};
}
ApiResult<void> new_volume(Work& work, Draft& volume) {
  volume["status"] = Draft::object({{"phase", "Pending"}, {"lastPhaseTransitionTime", format_rfc3339(work.world.clock.now())}});
  return {};
}

ApiResult<void> new_request(Work& work, Draft& request) {
  Draft& spec = request["spec"];
  spec["username"] = work.user.name;
  spec["uid"] = work.user.uid;
  if (work.user.uid.empty()) spec.erase("uid");
  Draft groups = Draft::array();
  for (const std::string& g : work.user.groups) groups.push_back(g);
  spec["groups"] = std::move(groups);
  spec.erase("extra");
  for (const auto& [key, values] : work.user.extra) {
    Draft list = Draft::array();
    for (const std::string& v : values) list.push_back(v);
    spec["extra"][key] = std::move(list);
  }
  return {};
}

// A condition says when it was written, and since when it holds.
ApiResult<void> judged_request(Work& work, Draft& request, Value before) {
  Draft* conditions = request.find_path({"status", "conditions"});
  if (!conditions || !conditions->is_array()) return {};
  std::string now = format_rfc3339(work.world.clock.now());
  auto unset = [](const Draft& c, std::string_view field) {
    const Draft* v = c.find(field);
    return !v || v->as_string().empty();
  };
  for (Draft& condition : conditions->items()) {
    if (unset(condition, "lastUpdateTime")) condition["lastUpdateTime"] = now;
    if (!unset(condition, "lastTransitionTime")) continue;
    std::string since = now;
    for (Value old : before["status"]["conditions"].items())
      if (old["type"].as_string() == condition["type"].as_string() && old["status"].as_string() == condition["status"].as_string() &&
          !old["lastTransitionTime"].as_string().empty())
        since = old["lastTransitionTime"].str();
    condition["lastTransitionTime"] = since;
  }
  return {};
}

// What was asked for stays as it was asked.
ApiResult<void> changed_request(Work& work, Draft& request, Value before) {
  request["spec"] = before["spec"];
  return work.subresource == "approval" ? judged_request(work, request, before) : ApiResult<void>();
}

ApiResult<void> new_secret(Work&, Draft& secret) {
  fold_string_data(secret);
  return {};
}
ApiResult<void> changed_secret(Work&, Draft& secret, Value before) {
  fold_string_data(secret);
  if (const Draft* type = secret.find("type"); !type || type->as_string().empty()) secret["type"] = before["type"];
  return {};
}

// Once the job has a uid its pods are selected by it; the labels go to the template too. What somebody wrote there already stays, for
// validation to refuse.
ApiResult<void> new_job(Work&, Draft& job) {
  const Draft* manual = job.find_path({"spec", "manualSelector"});
  if (manual && manual->as_bool()) return {};
  std::string uid(job["metadata"]["uid"].as_string()), name(job["metadata"]["name"].as_string());
  auto add = [](Draft& labels, std::string_view key, const std::string& value) {
    if (labels.find(key) == nullptr) labels[key] = value;
  };
  Draft& labels = job["spec"]["template"]["metadata"]["labels"];
  for (std::string prefix : {"", "batch.kubernetes.io/"}) {
    add(labels, prefix + "job-name", name);
    add(labels, prefix + "controller-uid", uid);
  }
  add(job["spec"]["selector"]["matchLabels"], "batch.kubernetes.io/controller-uid", uid);
  return {};
}

// Who tells a deployment's status leaves its labels alone, though not its annotations.
ApiResult<void> told_deployment(Work&, Draft& deployment, Value before) {
  if (Value labels = before["metadata"]["labels"]; labels.exists()) {
    deployment["metadata"]["labels"] = labels;
  } else {
    deployment["metadata"].erase("labels");
  }
  return {};
}

// How often its template has changed stands in an annotation that nobody else writes.
constexpr std::string_view template_generation = "deprecated.daemonset.template.generation";
ApiResult<void> new_daemon_set(Work&, Draft& set) {
  set["metadata"]["annotations"][template_generation] = "1";
  return {};
}
ApiResult<void> changed_daemon_set(Work&, Draft& set, Value before) {
  std::int64_t generation = parse_int(before["metadata"]["annotations"][template_generation].as_string()).value_or(1);
  if (Draft* now = set.find_path({"spec", "template"}); now && !(now->freeze().root() == before["spec"]["template"])) ++generation;
  set["metadata"]["annotations"][template_generation] = std::to_string(generation);
  return {};
}
ApiResult<void> told_daemon_set(Work&, Draft& set, Value before) {
  set["metadata"]["annotations"][template_generation] = before["metadata"]["annotations"][template_generation];
  return {};
}

// What this server serves itself is there as soon as it is registered.
ApiResult<void> new_registration(Work& work, Draft& registration) {
  if (const Draft* service = registration.find_path({"spec", "service"}); service && service->is_object()) return {};
  Draft condition = Draft::object({{"type", "Available"},
                                   {"status", "True"},
                                   {"lastTransitionTime", format_rfc3339(work.world.clock.now())},
                                   {"reason", "Local"},
                                   {"message", "Local APIServices are always available"}});
  registration["status"]["conditions"] = Draft::array({std::move(condition)});
  return {};
}

// Its generation is said once and does not count.
ApiResult<void> new_priority_class(Work&, Draft& object) {
  object["metadata"]["generation"] = 1;
  return {};
}

void hooks_committed(Work& work, Value, Value) { work.registry.webhooks().changed(); }

struct TraitsRow {
  std::string_view group, plural;
  Traits traits;
};

const TraitsRow traits_rows[] = {
    {"",
     "pods",
     {.returns_deleted = true,
      .generation = true,
      .prepare_create = prepare_new_pod,
      .prepare_update = prepare_pod,
      .prepare_status = prepare_pod_status}},
    {"",
     "services",
     {.returns_deleted = true,
      .keeps_status_on_create = false,
      .prepare_create = new_service,
      .prepare_update = changed_service,
      .after_commit = stored_service}},
    {"", "namespaces", {.prepare_create = new_namespace, .prepare_update = changed_namespace}},
    {"", "nodes", {.keeps_status_on_create = true}},
    {"", "secrets", {.prepare_create = new_secret, .prepare_update = changed_secret}},
    {"", "persistentvolumeclaims", {.returns_deleted = true, .prepare_create = new_claim, .prepare_update = changed_claim}},
    {"", "persistentvolumes", {.returns_deleted = true, .prepare_create = new_volume}},
    {"", "podtemplates", {.returns_deleted = true, .generation = true}},
    {"", "serviceaccounts", {.returns_deleted = true}},
    {"", "endpoints", {.create_on_update = true}},
    {"", "limitranges", {.create_on_update = true}},
    {"", "events", {.create_on_update = true, .short_lived = true}},
    {"events.k8s.io", "events", {.create_on_update = true, .short_lived = true}},
    {"", "replicationcontrollers", {.generation = true}},
    {"", "resourcequotas", {.returns_deleted = true}},
    {"apps", "deployments", {.generation = true, .prepare_status = told_deployment}},
    {"apps", "replicasets", {.generation = true}},
    {"apps", "statefulsets", {.generation = true}},
    {"apps",
     "daemonsets",
     {.generation = true, .prepare_create = new_daemon_set, .prepare_update = changed_daemon_set, .prepare_status = told_daemon_set}},
    {"batch", "jobs", {.generation = true, .prepare_create = new_job}},
    {"batch", "cronjobs", {.generation = true}},
    {"coordination.k8s.io", "leases", {.create_on_update = true, .unconditional_update = false}},
    {"discovery.k8s.io", "endpointslices", {.generation = true}},
    {"networking.k8s.io", "ingresses", {.generation = true}},
    {"networking.k8s.io", "ingressclasses", {.generation = true}},
    {"networking.k8s.io", "networkpolicies", {.generation = true}},
    {"policy", "poddisruptionbudgets", {.unconditional_update = false, .generation = true}},
    {"rbac.authorization.k8s.io", "roles", {.create_on_update = true}},
    {"rbac.authorization.k8s.io", "rolebindings", {.create_on_update = true}},
    {"rbac.authorization.k8s.io", "clusterroles", {.create_on_update = true}},
    {"rbac.authorization.k8s.io", "clusterrolebindings", {.create_on_update = true}},
    {"scheduling.k8s.io", "priorityclasses", {.prepare_create = new_priority_class}},
    {"storage.k8s.io", "volumeattachments", {.unconditional_update = false, .returns_deleted = true}},
    {"storage.k8s.io", "csidrivers", {.unconditional_update = false, .returns_deleted = true}},
    {"storage.k8s.io", "csinodes", {.unconditional_update = false, .returns_deleted = true}},
    {"storage.k8s.io", "storageclasses", {.returns_deleted = true}},
    {"storage.k8s.io", "volumeattributesclasses", {.returns_deleted = true}},
    {"resource.k8s.io", "deviceclasses", {.returns_deleted = true}},
    {"resource.k8s.io", "resourceclaims", {.returns_deleted = true}},
    {"resource.k8s.io", "resourceclaimtemplates", {.returns_deleted = true}},
    {"resource.k8s.io", "resourceslices", {.returns_deleted = true}},
    {"certificates.k8s.io",
     "certificatesigningrequests",
     {.prepare_create = new_request, .prepare_update = changed_request, .prepare_status = judged_request}},
    {"admissionregistration.k8s.io",
     "validatingwebhookconfigurations",
     {.unconditional_update = false, .generation = true, .after_commit = hooks_committed}},
    {"admissionregistration.k8s.io",
     "mutatingwebhookconfigurations",
     {.unconditional_update = false, .generation = true, .after_commit = hooks_committed}},
    {"admissionregistration.k8s.io", "validatingadmissionpolicies", {.unconditional_update = false, .generation = true}},
    {"admissionregistration.k8s.io", "validatingadmissionpolicybindings", {.unconditional_update = false, .generation = true}},
    {"admissionregistration.k8s.io", "mutatingadmissionpolicies", {.unconditional_update = false, .generation = true}},
    {"admissionregistration.k8s.io", "mutatingadmissionpolicybindings", {.unconditional_update = false, .generation = true}},
    {"apiregistration.k8s.io",
     "apiservices",
     {.unconditional_update = false, .prepare_create = new_registration, .after_commit = apiservice_committed}},
    {"apiextensions.k8s.io",
     "customresourcedefinitions",
     {.unconditional_update = false,
      .keeps_status_on_create = true,
      .generation = true,
      .prepare_create = prepare_definition,
      .prepare_update = prepare_changed_definition,
      .after_commit = definition_committed}},
    {"flowcontrol.apiserver.k8s.io", "flowschemas", {.generation = true}},
    {"flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", {.generation = true}},
};
const Traits plain;

}  // namespace

const Traits& traits_of(std::string_view group, std::string_view plural) {
  for (const TraitsRow& row : traits_rows)
    if (row.plural == plural && row.group == group) return row.traits;
  return plain;
}

}  // namespace kybern::apiserver
