// Persistent volumes and the claims on them.
#include <fmt/format.h>

#include "machinery/data_sources.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr const char* beta_class = "volume.beta.kubernetes.io/storage-class";

void access_modes(Findings& f, Value modes, const Path& path) {
  bool single = false, others = false;
  for (Value mode : modes.items()) {
    std::string_view name = mode.as_string();
    f.enumerated(path, name, {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"});
    if (name == "ReadWriteOncePod") single = true;
    else if (name == "ReadOnlyMany" || name == "ReadWriteMany" || name == "ReadWriteOnce") others = true;
  }
  if (single && others) f.forbidden(path, "may not use ReadWriteOncePod with other access modes");
}

void capacity(Findings& f, Value amounts, const Path& path) {
  if (amounts.empty()) f.required(path);
  if (!amounts["storage"].exists() || amounts.size() > 1) {
    FieldError error = field::not_supported(path, "", {"storage"});
    error.value = amounts.is_null() ? "null" : field::shown(amounts);
    f.add(std::move(error));
  }
  for (Member amount : amounts.members()) {
    std::int64_t value = Quantity::of(amount.value).value();
    if (value < 0) f.invalid(path.key(amount.key), value, "must be a valid resource quantity");
    positive_amount(f, amount.value, path.key(amount.key));
  }
}

void inline_only(Findings& f, Value spec, const Path& path) {
  constexpr const char* not_inline = "may not be specified in the context of inline volumes";
  if (set(spec, "claimRef")) f.forbidden(path.child("claimRef"), not_inline);
  if (!spec["capacity"].empty()) f.forbidden(path.child("capacity"), not_inline);
  if (!set(spec, "csi")) f.required(path.child("csi"), "has to be specified in the context of inline volumes");
}

void data_source(Findings& f, Value source, bool with_namespace, bool any_group, const Path& path) {
  if (text(source, "name").empty()) f.required(path.child("name"));
  if (text(source, "kind").empty()) f.required(path.child("kind"));
  std::string_view group = text(source, "apiGroup"), space = text(source, "namespace");
  if (group.empty() && text(source, "kind") != "PersistentVolumeClaim")
    f.invalid(path, text(source, "kind"), "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  if (!group.empty() && !any_group) dns_subdomain(f, group, path.child("apiGroup"));
  if (with_namespace && !space.empty()) dns_label(f, space, path.child("namespace"));
}

void data_sources(Findings& f, Value spec, Value before, const Path& path) {
  Value source = spec["dataSource"], reference = spec["dataSourceRef"];
  bool any_group = set(before["dataSource"], "apiGroup") || set(before["dataSourceRef"], "apiGroup");
  if (!source.is_null()) data_source(f, source, false, any_group, path.child("dataSource"));
  if (!reference.is_null()) data_source(f, reference, true, any_group, path.child("dataSourceRef"));
  if (source.is_null() || reference.is_null()) return;
  Document shown = Draft::object().freeze();  // a path, of which upstream prints nothing
  if (!text(reference, "namespace").empty())
    return f.invalid(path, shown.root(), "may not be specified when dataSourceRef.namespace is specified");
  bool equal = same(source["apiGroup"], reference["apiGroup"]) && text(source, "kind") == text(reference, "kind") &&
               text(source, "name") == text(reference, "name");
  if (!equal) f.invalid(path, shown.root(), "must match dataSourceRef");
}

// The source of a volume without what may be added to it later.
Document frozen_source(Value spec, bool drop_expand_secret) {
  Draft out = Draft::object();
  constexpr std::string_view other[] = {"accessModes",      "capacity",
                                        "claimRef",         "mountOptions",
                                        "nodeAffinity",     "persistentVolumeReclaimPolicy",
                                        "storageClassName", "volumeAttributesClassName",
                                        "volumeMode"};
  for (Member member : spec.members()) {
    bool source = true;
    for (std::string_view name : other) source = source && name != member.key;
    if (source) out[member.key] = Draft(member.value);
  }
  if (Draft* csi = drop_expand_secret ? out.find("csi") : nullptr) csi->erase("controllerExpandSecretRef");
  return out.freeze();
}

Document put_back(Value spec, std::initializer_list<std::pair<const char*, Value>> values) {
  Draft out(spec);
  for (auto [key, value] : values) {
    if (value.is_null()) out.erase(key);
    else out[key] = Draft(value);
  }
  return out.freeze();
}

void claim_sizes(Findings& f, Value object, Value old) {
  Quantity now = Quantity::of(object["spec"]["resources"]["requests"]["storage"]),
           before = Quantity::of(old["spec"]["resources"]["requests"]["storage"]);
  Quantity have = Quantity::of(old["status"]["capacity"]["storage"]);
  if (now < before && now <= have) f.forbidden(Path("spec.resources.requests.storage"), "field can not be less than status.capacity");
}

void attributes_class_change(Findings& f, Value now, Value old, bool may_be_empty) {
  const Path path("spec.volumeAttributesClassName");
  if (same(now, old) || old.is_null()) return;
  if (now.is_null()) f.forbidden(path, "update from non-nil value to nil is forbidden");
  else if (!may_be_empty && now.as_string().empty()) f.forbidden(path, "update from non-nil value to an empty string is forbidden");
}

// A class that was named by the old annotation, or not at all, may be written into the field once.
bool class_may_be_set(Value object, Value old) {
  Value now = object["spec"]["storageClassName"], annotation = old["metadata"]["annotations"][beta_class];
  if (now.is_null() || set(old["spec"], "storageClassName")) return false;
  return !annotation.exists() || now.as_string() == annotation.as_string();
}

bool moves_from_annotation(Value object, Value old) {
  Value before = old["metadata"]["annotations"][beta_class], after = object["metadata"]["annotations"][beta_class];
  return before.exists() && class_may_be_set(object, old) && (!after.exists() || after == before);
}

// Labels that had other names once.
constexpr std::pair<std::string_view, std::string_view> stable_labels[] = {
    {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"},
    {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
    {"beta.kubernetes.io/os", "kubernetes.io/os"},
    {"beta.kubernetes.io/arch", "kubernetes.io/arch"},
    {"beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"},
};

// A node affinity with the new names where `now` has them.
Document with_stable_labels(Value before, Value now) {
  Draft out(before);
  Value terms = before["required"]["nodeSelectorTerms"];
  for (std::size_t i = 0; i < terms.size(); ++i) {
    for (const char* list : {"matchExpressions", "matchFields"}) {
      Value requirements = terms[i][list], wanted = now["required"]["nodeSelectorTerms"][i][list];
      for (std::size_t j = 0; j < requirements.size(); ++j) {
        for (auto [old_label, label] : stable_labels) {
          if (text(requirements[j], "key") == old_label && text(wanted[j], "key") == label)
            out["required"]["nodeSelectorTerms"].items()[i][list].items()[j]["key"] = label;
        }
      }
    }
  }
  return out.freeze();
}

// By the annotation of old; kinds of volumes that cannot have options refuse it.
void mount_options(Findings& f, Value object) {
  constexpr const char* annotation = "volume.beta.kubernetes.io/mount-options";
  if (!object["metadata"]["annotations"][annotation].exists()) return;
  for (const char* kind : {"gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi", "cinder", "cephfs",
                           "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk"}) {
    if (set(object["spec"], kind)) return;
  }
  const Path path("metadata.annotations");
  f.forbidden(path.child(annotation), "may not specify mount options for this volume type");
}

void volume_rules(Findings& f, Value object, Value old) {
  object_meta(f, object, false, name_is_subdomain);
  persistent_volume_spec(f, object["spec"], text(object["metadata"], "name"), false, Path("spec"), old["spec"]);
}

void claim_rules(Findings& f, Value object, Value old) {
  object_meta(f, object, true, name_is_subdomain);
  claim_spec(f, object["spec"], false, Path("spec"), old["spec"]);
}

// The names of amounts that a claim's status tells of; answers whether `name` is one.
bool claim_resource(Findings& f, std::string_view name, const Path& path) {
  names::Messages messages = names::qualified_name(name);
  f.say(path, name, messages);
  if (!messages.empty()) return false;
  if (!is_native_resource(name) || name == "storage") return true;
  f.not_supported(path, name, {"storage"});
  return false;
}

bool whole_amount(Findings& f, Value amount, const Path& path) {
  std::int64_t value = Quantity::of(amount).value();
  if (value < 0) f.invalid(path, value, "must be a valid resource quantity");
  return value >= 0;
}

void resizing(Findings& f, Value status, const Path& status_path) {
  Path states = status_path.child("allocatedResourceStatuses"), amounts = status_path.child("allocatedResources");
  for (Member state : status["allocatedResourceStatuses"].members()) {
    claim_resource(f, state.key, states);
    std::string_view name = state.value.as_string();
    bool known = name == "ControllerResizeInProgress" || name == "ControllerResizeInfeasible" || name == "NodeResizePending" ||
                 name == "NodeResizeInProgress" || name == "NodeResizeInfeasible";
    // Upstream names the resource, not its state.
    if (!known)
      f.not_supported(states, state.key,
                      {"ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible",
                       "NodeResizePending"});
  }
  for (Member amount : status["allocatedResources"].members()) {
    if (!claim_resource(f, amount.key, amounts)) continue;
    if (whole_amount(f, amount.value, amounts.key(amount.key))) resource_amount(f, "storage", amount.value, amounts.key(amount.key));
  }
}

}  // namespace

void persistent_volume_spec(Findings& f, Value spec, std::string_view name, bool inline_volume, const Path& path, Value before) {
  if (inline_volume) inline_only(f, spec, path);
  if (spec["accessModes"].empty()) f.required(path.child("accessModes"));
  access_modes(f, spec["accessModes"], path.child("accessModes"));
  if (!inline_volume) capacity(f, spec["capacity"], path.child("capacity"));
  std::string_view reclaim = text(spec, "persistentVolumeReclaimPolicy"), mode = text(spec, "volumeMode"),
                   storage_class = text(spec, "storageClassName");
  if (!reclaim.empty() && inline_volume && reclaim != "Retain")
    f.forbidden(path.child("persistentVolumeReclaimPolicy"), "may only be Retain in the context of inline volumes");
  if (!reclaim.empty() && !inline_volume)
    f.enumerated(path.child("persistentVolumeReclaimPolicy"), reclaim, {"Delete", "Recycle", "Retain"});
  if (set(spec, "nodeAffinity") && inline_volume)
    f.forbidden(path.child("nodeAffinity"), "may not be specified in the context of inline volumes");
  if (set(spec, "nodeAffinity") && !inline_volume) {
    Path at = path.child("nodeAffinity");
    Value required = spec["nodeAffinity"]["required"];
    if (required.is_null()) f.required(at.child("required"), "must specify required node constraints");
    else node_selector(f, required, at.child("required"), has_odd_values(before["nodeAffinity"]["required"]));
  }
  persistent_volume_sources(f, spec, name, path);
  std::string_view host = text(spec["hostPath"], "path");
  if (set(spec, "hostPath") && host.find_first_not_of("/.") == std::string_view::npos && host.starts_with('/') && reclaim == "Recycle") {
    f.forbidden(path.child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'");
  }
  if (!storage_class.empty() && inline_volume)
    f.forbidden(path.child("storageClassName"), "may not be specified in the context of inline volumes");
  if (!storage_class.empty() && !inline_volume) dns_subdomain(f, storage_class, path.child("storageClassName"));
  if (set(spec, "volumeMode") && inline_volume && mode != "Filesystem") {
    f.forbidden(path.child("volumeMode"), "may not specify volumeMode other than Filesystem in the context of inline volumes");
  }
  if (set(spec, "volumeMode") && !inline_volume) f.enumerated(path.child("volumeMode"), mode, {"Block", "Filesystem"});
  if (!set(spec, "volumeAttributesClassName")) return;
  std::string_view attributes = text(spec, "volumeAttributesClassName");
  if (attributes.empty()) f.required(path.child("volumeAttributesClassName"), "an empty string is disallowed");
  else dns_subdomain(f, attributes, path.child("volumeAttributesClassName"));
  if (!set(spec, "csi")) f.required(path.child("csi"), "has to be specified when using volumeAttributesClassName");
}

void claim_spec(Findings& f, Value spec, bool, const Path& path, Value before) {
  if (spec["accessModes"].empty()) f.required(path.child("accessModes"), "at least 1 access mode is required");
  f.add(validate_label_selector(spec["selector"], path.child("selector")));
  access_modes(f, spec["accessModes"], path.child("accessModes"));
  Value size = spec["resources"]["requests"]["storage"];
  Path resources = path.child("resources"), storage = resources.key("storage");
  if (!size.exists()) f.required(storage);
  else positive_amount(f, size, storage);
  if (!text(spec, "storageClassName").empty()) dns_subdomain(f, text(spec, "storageClassName"), path.child("storageClassName"));
  if (set(spec, "volumeMode")) f.enumerated(path.child("volumeMode"), text(spec, "volumeMode"), {"Block", "Filesystem"});
  data_sources(f, spec, before, path);
  if (!text(spec, "volumeAttributesClassName").empty())
    dns_subdomain(f, text(spec, "volumeAttributesClassName"), path.child("volumeAttributesClassName"));
}

void persistent_volume_create(Findings& f, Value object) {
  volume_rules(f, object, {});
  mount_options(f, object);
}

// Upstream judges the new volume twice, and clients see what it found twice.
void persistent_volume_update(Findings& f, Value object, Value old) {
  volume_rules(f, object, old);
  mount_options(f, object);
  volume_rules(f, object, old);
  Value now = object["spec"], before = old["spec"];
  bool secret_added =
      !set(before["csi"], "controllerExpandSecretRef") && set(now["csi"], "controllerExpandSecretRef") && set(before, "csi");
  Document source = frozen_source(now, secret_added), old_source = frozen_source(before, false);
  if (!same(source, old_source)) {
    f.forbidden(Path("spec.persistentvolumesource"),
                fmt::format("spec.persistentvolumesource is immutable after creation\n{}", changes(old_source, source)));
  }
  f.add(validate_immutable(now["volumeMode"], before["volumeMode"], Path("volumeMode")));
  if (set(before, "nodeAffinity") && !same(with_stable_labels(before["nodeAffinity"], now["nodeAffinity"]), now["nodeAffinity"])) {
    f.invalid(Path("nodeAffinity"), now["nodeAffinity"], "field is immutable, except for updating from beta label to GA");
  }
  attributes_class_change(f, now["volumeAttributesClassName"], before["volumeAttributesClassName"], true);
}

void persistent_volume_claim_create(Findings& f, Value object) { claim_rules(f, object, {}); }

void persistent_volume_claim_update(Findings& f, Value object, Value old) {
  claim_rules(f, object, old);
  object_meta_update(f, object, old);
  claim_rules(f, object, old);
  Draft meant(old["spec"]);
  copy_data_sources(meant);  // what was stored before the two had to say the same
  Document old_spec = meant.freeze();
  Value now = object["spec"], before = old_spec;
  bool moved = moves_from_annotation(object, old);
  std::string_view annotation = text(object["metadata"]["annotations"], beta_class);
  if (!moved && annotation != text(old["metadata"]["annotations"], beta_class)) {
    const Path metadata("metadata.annotations");
    f.invalid(metadata.child(beta_class), annotation, "field is immutable");
  }
  Value storage_class = moved || class_may_be_set(object, old) ? before["storageClassName"] : now["storageClassName"];
  bool bound = text(object["status"], "phase") == "Bound";
  Value attributes =
      bound && set(now, "volumeAttributesClassName") ? before["volumeAttributesClassName"] : now["volumeAttributesClassName"];
  Document kept = put_back(now, {{"storageClassName", storage_class},
                                 {"volumeAttributesClassName", attributes},
                                 {"volumeName", text(before, "volumeName").empty() ? before["volumeName"] : now["volumeName"]}});
  if (bound && before["resources"]["requests"]["storage"].exists()) {
    Draft resized(kept);
    resized["resources"]["requests"]["storage"] = Draft(before["resources"]["requests"]["storage"]);
    kept = resized.freeze();
  }
  if (!same(kept, before)) {
    f.forbidden(Path("spec"),
                fmt::format("spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{}",
                            changes(before, kept)));
  }
  claim_sizes(f, object, old);
  f.add(validate_immutable(now["volumeMode"], before["volumeMode"], Path("volumeMode")));
  attributes_class_change(f, now["volumeAttributesClassName"], before["volumeAttributesClassName"], false);
}

void persistent_volume_claim_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  if (object["spec"]["accessModes"].empty()) f.required(Path("Spec.accessModes"));
  const Path status("status"), capacities = status.child("capacity");
  for (Member amount : object["status"]["capacity"].members()) whole_amount(f, amount.value, capacities.key(amount.key));
  resizing(f, object["status"], status);
}

}  // namespace kybern::rules
