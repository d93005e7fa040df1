// What may change in a pod: little of its spec, its status, its ephemeral containers, its resources.
#include <fmt/format.h>

#include <limits>
#include <map>
#include <tuple>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {

void pod_metadata_and_spec(Findings& f, Value object, Value before);
std::string_view qos(Value spec);

namespace {

constexpr std::string_view mirror = "kubernetes.io/config.mirror";
constexpr const char* changeable =
    "pod updates may not change fields other than "
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions "
    "to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

void annotation_updates(Findings& f, Value object, Value old) {
  const Path meta("metadata");
  Path path = meta.child("annotations");
  Value now = object["metadata"]["annotations"], before = old["metadata"]["annotations"];
  for (Member annotation : before.members()) {
    if (now[annotation.key] == annotation.value && now[annotation.key].exists()) continue;
    if (annotation.key.starts_with(apparmor_prefix)) f.forbidden(path.key(annotation.key), "may not remove or update AppArmor annotations");
    if (annotation.key == mirror) f.forbidden(path.key(annotation.key), "may not remove or update mirror pod annotation");
  }
  for (Member annotation : now.members()) {
    if (before[annotation.key].exists()) continue;
    if (annotation.key.starts_with(apparmor_prefix)) f.forbidden(path.key(annotation.key), "may not add AppArmor annotations");
    if (annotation.key == mirror) f.forbidden(path.key(annotation.key), "may not add mirror pod annotation");
  }
  pod_annotations(f, now, object["spec"], path);
}

// False when the lists cannot be compared item by item.
bool container_updates(Findings& f, Value now, Value old, const Path& path) {
  if (now.size() != old.size()) {
    f.forbidden(path, "pod updates may not add or remove containers");
    return false;
  }
  for (std::size_t i = 0; i < now.size(); ++i) {
    Path at = path.index(i);
    std::string_view image = text(now[i], "image");
    if (image.empty()) f.required(at.child("image"));
    if (trim(image).size() != image.size()) f.invalid(at.child("image"), image, "must not have leading or trailing whitespace");
  }
  return true;
}

// From nothing to a value, or to a smaller one.
bool deadline_update(Findings& f, Value now, Value old, const Path& path) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (now.is_null()) {
    if (!old.is_null()) f.invalid(path, now, "must not update from a positive integer to nil value");
    return true;
  }
  if (now.as_int() < 0 || now.as_int() > most) {
    f.invalid(path, now.as_int(), names::range_error(0, most));
    return false;
  }
  if (!old.is_null() && old.as_int() < now.as_int()) {
    f.invalid(path, now.as_int(), "must be less than or equal to previous value");
    return false;
  }
  return true;
}

void toleration_updates(Findings& f, Value now, Value old, const Path& path) {
  using Tolerated = std::tuple<std::string_view, std::string_view, std::string_view, std::string_view>;
  auto tolerated = [](Value t) { return Tolerated(text(t, "key"), text(t, "operator"), text(t, "value"), text(t, "effect")); };
  std::set<Tolerated> kept;
  for (Value toleration : now.items()) kept.insert(tolerated(toleration));
  for (Value before : old.items()) {
    if (!kept.contains(tolerated(before))) return f.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
  }
  tolerations(f, now, path);
}

void gate_updates(Findings& f, Value now, Value old, const Path& path) {
  std::set<std::string_view> known;
  for (Value before : old.items()) known.insert(text(before, "name"));
  std::size_t i = 0;
  for (Value gate : now.items()) {
    Path at = path.index(i++);
    if (!known.contains(text(gate, "name")))
      f.forbidden(at.child("name"), fmt::format("only deletion is allowed, but found new scheduling gate '{}'", text(gate, "name")));
  }
}

bool only_additions(Value now, Value old) {
  auto prefix = [](Value longer, Value shorter) {
    if (longer.size() < shorter.size()) return false;
    for (std::size_t i = 0; i < shorter.size(); ++i) {
      if (!(longer[i] == shorter[i])) return false;
    }
    return true;
  };
  if (old["matchExpressions"].empty() && old["matchFields"].empty()) return now["matchExpressions"].empty() && now["matchFields"].empty();
  return prefix(now["matchExpressions"], old["matchExpressions"]) && prefix(now["matchFields"], old["matchFields"]);
}

// While scheduling gates are closed, where the pod may run can be narrowed.
void gated_updates(Findings& f, Value spec, Value old, Draft& munged, const Path& path) {
  for (Member label : old["nodeSelector"].members()) {
    if (text(spec["nodeSelector"], std::string(label.key).c_str()) == label.value.as_string()) continue;
    f.invalid(path.child("nodeSelector"), spec["nodeSelector"],
              "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
    break;
  }
  if (set(old, "nodeSelector")) munged["nodeSelector"] = Draft(old["nodeSelector"]);
  else munged.erase("nodeSelector");
  Value before = old["affinity"]["nodeAffinity"], now = spec["affinity"]["nodeAffinity"];
  if (same(before, now)) return;
  Value old_terms = before["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"],
        terms = now["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
  Path at = path.child("affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
  if (!old_terms.empty() && old_terms.size() != terms.size()) {
    f.invalid(at, terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
  } else {
    for (std::size_t i = 0; i < old_terms.size(); ++i) {
      if (!only_additions(terms[i], old_terms[i]))
        f.invalid(at.index(i), terms[i], "only additions are allowed (no mutations or deletions)");
    }
  }
  if (!before.is_null()) {
    munged["affinity"]["nodeAffinity"] = Draft(before);
  } else if (Draft* rest = munged.find("affinity")) {
    rest->erase("nodeAffinity");
    if (rest->empty() && !set(old, "affinity")) munged.erase("affinity");
  }
}

void keep_old(Draft& munged, Value old, const char* key) {
  if (set(old, key)) munged[key] = Draft(old[key]);
  else munged.erase(key);
}

void keep_images(Draft& munged, Value old, const char* list) {
  Draft* containers = munged.find(list);
  if (containers == nullptr) return;
  for (std::size_t i = 0; i < containers->size(); ++i) containers->items()[i]["image"] = Draft(old[list][i]["image"]);
}

// Whether a container that ended with this code runs again: by its own rules and policy, else by its pod's.
bool runs_again(Value container, std::string_view of_pod, std::int64_t code) {
  for (Value rule : container["restartPolicyRules"].items()) {
    std::string_view op = text(rule["exitCodes"], "operator");
    bool listed = false;
    for (Value one : rule["exitCodes"]["values"].items()) listed = listed || one.as_int() == code;
    if ((op == "In" && listed) || (op == "NotIn" && !listed)) return true;
  }
  std::string_view policy = set(container, "restartPolicy") ? text(container, "restartPolicy") : of_pod;
  return policy == "Always" || (policy == "OnFailure" && code != 0);
}

// What has ended and does not run again stays ended.
void states(Findings& f, Value now, Value old, std::string_view restart, Value containers, const Path& path) {
  if (restart == "Always") return;
  std::map<std::string_view, Value> known;
  std::set<std::string_view> alive;
  for (Value container : containers.items()) known.emplace(text(container, "name"), container);
  for (Value status : now.items()) {
    if (!set(status["state"], "terminated")) alive.insert(text(status, "name"));
  }
  std::size_t i = 0;
  for (Value before : old.items()) {
    Path at = path.index(i++);
    Value terminated = before["state"]["terminated"];
    auto container = known.find(text(before, "name"));
    if (terminated.is_null() || !alive.contains(text(before, "name"))) continue;
    if (!runs_again(container == known.end() ? Value() : container->second, restart, terminated["exitCode"].as_int()))
      f.forbidden(at.child("state"), "may not be transitioned to non-terminated state");
  }
}

void claim_statuses(Findings& f, Value list, Value claims, const Path& path) {
  std::set<std::string_view> known, seen;
  for (Value claim : claims.items()) known.insert(text(claim, "name"));
  std::size_t i = 0;
  for (Value status : list.items()) {
    Path at = path.index(i++), name_path = at.child("name");
    std::string_view name = text(status, "name");
    if (!known.contains(name)) f.invalid(name_path, name, "must match the name of an entry in `spec.resourceClaims`");
    if (!seen.insert(name).second) f.duplicate(name_path, name);
    if (set(status, "resourceClaimName")) dns_subdomain(f, text(status, "resourceClaimName"), name_path);
  }
}

void addresses(Findings& f, Value list, const Path& path) {
  std::vector<std::string> ips;
  for (std::size_t i = 0; i < list.size(); ++i) {
    ips.push_back(list[i]["ip"].str());
    ip_address(f, ips.back(), path.index(i));
  }
  if (ips.size() > 1 && (!dual_stack(ips) || ips.size() > 2)) f.invalid(path, list, "may specify no more than one IP for each IP family");
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < ips.size(); ++i) {
    if (!seen.insert(ips[i]).second) f.duplicate(path.index(i), list[i]);
  }
}

}  // namespace

void pod_update(Findings& f, Value object, Value old) {
  const Path path("spec");
  object_meta_update(f, object, old);
  pod_metadata_and_spec(f, object, old);
  annotation_updates(f, object, old);
  Value spec = object["spec"], before = old["spec"];
  for (const char* list : {"containers", "initContainers"}) {
    if (!container_updates(f, spec[list], before[list], path.child(list))) return;
  }
  if (!deadline_update(f, spec["activeDeadlineSeconds"], before["activeDeadlineSeconds"], path.child("activeDeadlineSeconds"))) return;
  toleration_updates(f, spec["tolerations"], before["tolerations"], path.child("tolerations"));
  gate_updates(f, spec["schedulingGates"], before["schedulingGates"], path.child("schedulingGates"));
  if (same(spec, before)) return;
  // Put back what may change; whatever differs then may not.
  Draft munged(spec);
  keep_images(munged, before, "containers");
  keep_images(munged, before, "initContainers");
  for (const char* key : {"activeDeadlineSeconds", "schedulingGates", "tolerations"}) keep_old(munged, before, key);
  if (before["terminationGracePeriodSeconds"].as_int() < 0 && spec["terminationGracePeriodSeconds"].as_int() == 1)
    keep_old(munged, before, "terminationGracePeriodSeconds");
  if (!before["schedulingGates"].empty()) gated_updates(f, spec, before, munged, path);
  Document kept = munged.freeze();
  if (!same(kept, before)) f.forbidden(path, fmt::format("{}\n{}", changeable, changes(before, kept)));
}

void pod_status(Findings& f, Value object, Value old) {
  const Path meta("metadata"), path("status");
  object_meta_update(f, object, old);
  annotation_updates(f, object, old);
  Path conditions = meta.child("conditions");
  std::size_t i = 0;
  for (Value condition : object["status"]["conditions"].items()) {
    std::string_view type = text(condition, "type");
    Path at = conditions.index(i++);
    if (type != "PodScheduled" && type != "Ready" && type != "Initialized") qualified(f, type, at.child("Type"));
  }
  if (text(object["spec"], "nodeName") != text(old["spec"], "nodeName")) f.forbidden(path.child("nodeName"), "may not be changed directly");
  Value status = object["status"], before = old["status"];
  std::string_view nominated = text(status, "nominatedNodeName");
  if (nominated != text(before, "nominatedNodeName") && !nominated.empty()) dns_subdomain(f, nominated, path.child("nominatedNodeName"));
  // It is fixed when the pod is made; who does not know it leaves it out.
  if (!text(status, "qosClass").empty()) f.add(validate_immutable(status["qosClass"], before["qosClass"], path.child("qosClass")));
  std::string_view restart = text(old["spec"], "restartPolicy");
  states(f, status["containerStatuses"], before["containerStatuses"], restart, old["spec"]["containers"], path.child("containerStatuses"));
  states(f, status["initContainerStatuses"], before["initContainerStatuses"], restart, old["spec"]["initContainers"],
         path.child("initContainerStatuses"));
  states(f, status["ephemeralContainerStatuses"], before["ephemeralContainerStatuses"], "Never", {},
         path.child("ephemeralContainerStatuses"));
  claim_statuses(f, status["resourceClaimStatuses"], object["spec"]["resourceClaims"], path.child("resourceClaimStatuses"));
  addresses(f, status["podIPs"], path.child("podIPs"));
  Value hosts = status["hostIPs"];
  if (hosts.empty()) return;
  Path host_path = path.child("hostIPs");
  if (text(status, "hostIP") != text(hosts[0], "ip"))
    f.invalid(host_path.index(0, "ip"), text(hosts[0], "ip"), "must be equal to `hostIP`");
  addresses(f, hosts, host_path);
}

void pod_ephemeral_update(Findings& f, Value object, Value old) {
  const Path path("spec.ephemeralContainers");
  if (old["metadata"]["annotations"][mirror].exists()) return f.forbidden(Path(), "static pods do not support ephemeral containers");
  object_meta_update(f, object, old);
  pod_metadata_and_spec(f, object, old);
  annotation_updates(f, object, old);
  for (Value before : old["spec"]["ephemeralContainers"].items()) {
    Value now;
    for (Value container : object["spec"]["ephemeralContainers"].items()) {
      if (text(container, "name") == text(before, "name")) now = container;
    }
    std::string name = go_quote(text(before, "name"));
    if (!now.exists()) f.forbidden(path, fmt::format("existing ephemeral containers {} may not be removed\n", name));
    else if (!same(now, before))
      f.forbidden(path, fmt::format("existing ephemeral containers {} may not be changed\n{}", name, changes(before, now)));
  }
}

namespace {

// What a container had an amount of, it keeps an amount of.
void resized(Findings& f, Value now, Value before, const Path& path) {
  for (const char* which : {"requests", "limits"}) {
    bool removed = false;
    for (Member amount : before["resources"][which].members()) removed = removed || !now["resources"][which][amount.key].exists();
    if (removed) f.forbidden(path.child(which), fmt::format("resource {} cannot be removed", which));
  }
}

// Puts back what a resize may change: what is left must be as it was.
void keep_amounts(Draft& container, Value before) {
  Draft& resources = container["resources"];
  for (const char* which : {"limits", "requests"}) {
    for (const char* name : {"cpu", "memory"}) {
      Value amount = before["resources"][which][name];
      if (amount.exists()) resources[which][name] = Draft(amount);
      else if (Draft* amounts = resources.find(which)) amounts->erase(name);
    }
    if (const Draft* amounts = resources.find(which); amounts != nullptr && amounts->empty()) resources.erase(which);
  }
}

// One that runs to its end before the others begin has nothing to be resized.
bool runs_once(std::string_view list, Value container) { return list == "initContainers" && text(container, "restartPolicy") != "Always"; }

// The same containers in the same order, so that they can be compared one by one.
bool same_containers(Findings& f, Value now, Value before, const Path& path) {
  std::size_t found = f.size();
  for (const char* list : {"containers", "initContainers"}) {
    Path at = path.child(list);
    if (now[list].size() != before[list].size()) {
      f.forbidden(at, fmt::format("{} may not be added or removed on resize", list));
      continue;
    }
    for (std::size_t i = 0; i < now[list].size(); ++i) {
      if (text(now[list][i], "name") != text(before[list][i], "name"))
        f.forbidden(at.index(i, "name"), fmt::format("{} may not be renamed or reordered on resize", list));
    }
  }
  return f.size() == found;
}

bool supports_resize(Value pod) {
  for (Value status : pod["status"]["containerStatuses"].items()) {
    if (set(status["state"], "running")) return set(status, "resources");
  }
  return true;  // nothing runs yet: it is assumed
}

}  // namespace

void pod_resize_update(Findings& f, Value object, Value old) {
  const Path path("spec");
  if (old["metadata"]["annotations"][mirror].exists()) return f.forbidden(Path(), "static pods cannot be resized");
  if (text(old["spec"]["os"], "name") == "windows") return f.forbidden(Path(), "windows pods cannot be resized");
  object_meta_update(f, object, old);
  pod_metadata_and_spec(f, object, old);
  Value spec = object["spec"], before = old["spec"];
  if (qos(before) != qos(spec)) f.invalid(path, text(object["status"], "qosClass"), "Pod QOS Class may not change as a result of resizing");
  if (!supports_resize(old)) f.forbidden(path, "Pod running on node without support for resize");
  if (!same_containers(f, spec, before, path)) return;
  for (const char* list : {"initContainers", "containers"}) {
    Path at = path.child(list);
    for (std::size_t i = 0; i < before[list].size(); ++i) {
      if (!runs_once(list, before[list][i])) resized(f, spec[list][i], before[list][i], at.index(i, "resources"));
    }
  }
  Draft munged(spec);
  Path init = path.child("initContainers");
  for (const char* list : {"containers", "initContainers"}) {
    Draft* containers = munged.find(list);
    bool regular = std::string_view(list) == "containers";
    for (std::size_t i = 0; containers != nullptr && i < containers->size(); ++i) {
      Value was = before[list][i];
      bool once = runs_once(list, was);
      if (!once) keep_amounts(containers->items()[i], was);
      Document kept = containers->items()[i].freeze();
      if (same(kept, was)) continue;
      if (regular) f.forbidden(path, "only cpu and memory resources are mutable");
      else if (once) f.forbidden(path, "resources for non-sidecar init containers are immutable");
      else f.forbidden(init.index(i), "only cpu and memory resources for init or sidecar containers are mutable");
    }
  }
  if (!f.empty()) return;
  Document kept = munged.freeze();
  if (!same(kept, before)) f.forbidden(path, "only cpu and memory resources are mutable");
}

}  // namespace kybern::rules
