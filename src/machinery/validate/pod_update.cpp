// What may change in a pod: little of its spec, its status, its ephemeral containers, its resources.
#include <fmt/format.h>

#include <limits>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {

void pod_metadata_and_spec(Findings& f, Value object);
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

bool same_toleration(Value a, Value b) {
  for (const char* key : {"key", "operator", "value", "effect"}) {
    if (text(a, key) != text(b, key)) return false;
  }
  return true;
}

void toleration_updates(Findings& f, Value now, Value old, const Path& path) {
  for (Value before : old.items()) {
    bool kept = false;
    for (Value toleration : now.items()) kept |= same_toleration(toleration, before);
    if (!kept) return f.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
  }
  tolerations(f, now, path);
}

void gate_updates(Findings& f, Value now, Value old, const Path& path) {
  std::size_t i = 0;
  for (Value gate : now.items()) {
    Path at = path.index(i++);
    bool known = false;
    for (Value before : old.items()) known |= text(before, "name") == text(gate, "name");
    if (!known)
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

void states(Findings& f, Value now, Value old, std::string_view restart, Value init_containers, const Path& path) {
  if (restart == "Always") return;
  std::size_t i = 0;
  for (Value before : old.items()) {
    Path at = path.index(i++);
    Value terminated = before["state"]["terminated"];
    if (terminated.is_null() || (terminated["exitCode"].as_int() != 0 && restart == "OnFailure")) continue;
    bool sidecar = false;
    for (Value container : init_containers.items())
      sidecar |= text(container, "name") == text(before, "name") && text(container, "restartPolicy") == "Always";
    if (sidecar) continue;
    for (Value status : now.items()) {
      if (text(status, "name") == text(before, "name") && !set(status["state"], "terminated"))
        f.forbidden(at.child("state"), "may not be transitioned to non-terminated state");
    }
  }
}

void addresses(Findings& f, Value list, const Path& path) {
  std::vector<std::string> ips;
  for (std::size_t i = 0; i < list.size(); ++i) {
    ips.push_back(list[i]["ip"].str());
    ip_address(f, ips.back(), path.index(i));
  }
  if (ips.size() > 1 && (!dual_stack(ips) || ips.size() > 2)) f.invalid(path, list, "may specify no more than one IP for each IP family");
  for (std::size_t i = 0; i < ips.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (ips[i] == ips[j]) {
        f.duplicate(path.index(i), list[i]);
        break;
      }
    }
  }
}

}  // namespace

void pod_update(Findings& f, Value object, Value old) {
  const Path meta("metadata"), path("spec");
  object_meta_update(f, object, old);
  pod_metadata_and_spec(f, object);
  annotation_updates(f, object, old);
  Value spec = object["spec"], before = old["spec"];
  for (const char* list : {"containers", "initContainers"}) {
    if (!container_updates(f, spec[list], before[list], path.child(list))) return;
  }
  if (!deadline_update(f, spec["activeDeadlineSeconds"], before["activeDeadlineSeconds"], path.child("activeDeadlineSeconds"))) return;
  toleration_updates(f, spec["tolerations"], before["tolerations"], path.child("tolerations"));
  gate_updates(f, spec["schedulingGates"], before["schedulingGates"], path.child("schedulingGates"));
  if (same(spec, before)) return;
  if (qos(before) != qos(spec)) f.invalid(meta, text(object["status"], "qosClass"), "Pod QOS Class may not change as a result of resizing");
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
  std::string_view restart = text(old["spec"], "restartPolicy");
  states(f, status["containerStatuses"], before["containerStatuses"], restart, {}, path.child("containerStatuses"));
  states(f, status["initContainerStatuses"], before["initContainerStatuses"], restart, old["spec"]["initContainers"],
         path.child("initContainerStatuses"));
  states(f, status["ephemeralContainerStatuses"], before["ephemeralContainerStatuses"], "Never", {},
         path.child("ephemeralContainerStatuses"));
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
  pod_metadata_and_spec(f, object);
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

void pod_resize_update(Findings& f, Value object, Value old) {
  const Path path("spec"), meta("metadata");
  if (old["metadata"]["annotations"][mirror].exists()) return f.forbidden(Path(), "static pods cannot be resized");
  object_meta_update(f, object, old);
  pod_metadata_and_spec(f, object);
  Value spec = object["spec"], before = old["spec"];
  if (qos(before) != qos(spec)) f.invalid(path, qos(spec), "Pod QOS Class may not change as a result of resizing");
  Draft munged(spec);
  for (const char* list : {"containers", "initContainers"}) {
    Draft* containers = munged.find(list);
    Path at = path.child(list);
    if (containers == nullptr) continue;
    if (containers->size() != before[list].size()) {
      f.forbidden(at, "pod updates may not add or remove containers");
      return;
    }
    for (std::size_t i = 0; i < containers->size(); ++i) {
      // One that runs to its end before the others begin has nothing to be resized.
      if (list == std::string_view("initContainers") && text(before[list][i], "restartPolicy") != "Always") continue;
      for (const char* which : {"limits", "requests"}) {
        for (Member amount : before[list][i]["resources"][which].members()) {
          bool gone = !spec[list][i]["resources"][which][amount.key].exists();
          if (gone && (amount.key == "cpu" || amount.key == "memory"))
            f.forbidden(at.index(i, "resources"), fmt::format("{} cannot be removed", which));
        }
        Draft& resources = containers->items()[i]["resources"];
        for (const char* name : {"cpu", "memory"}) {
          Value amount = before[list][i]["resources"][which][name];
          if (amount.exists()) resources[which][name] = Draft(amount);
          else if (Draft* amounts = resources.find(which)) amounts->erase(name);
        }
        if (const Draft* amounts = resources.find(which); amounts != nullptr && amounts->empty()) resources.erase(which);
      }
    }
  }
  Document kept = munged.freeze();
  if (!same(kept, before)) f.forbidden(path, "only cpu and memory resources are mutable");
}

}  // namespace kybern::rules
