// Persistent volumes and the claims on them.
#include <fmt/format.h>

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

void data_source(Findings& f, Value source, bool with_namespace, const Path& path) {
  if (text(source, "name").empty()) f.required(path.child("name"));
  if (text(source, "kind").empty()) f.required(path.child("kind"));
  std::string_view group = text(source, "apiGroup"), space = text(source, "namespace");
  if (group.empty() && text(source, "kind") != "PersistentVolumeClaim")
    f.invalid(path, text(source, "kind"), "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  if (!group.empty()) dns_subdomain(f, group, path.child("apiGroup"));
  if (with_namespace && !space.empty()) dns_label(f, space, path.child("namespace"));
}

void data_sources(Findings& f, Value spec, const Path& path) {
  Value source = spec["dataSource"], reference = spec["dataSourceRef"];
  if (!source.is_null()) data_source(f, source, false, path.child("dataSource"));
  if (!reference.is_null()) data_source(f, reference, true, path.child("dataSourceRef"));
  if (source.is_null() || reference.is_null()) return;
  std::string shown = path.child("dataSource").str();
  if (!text(reference, "namespace").empty())
    return f.invalid(path, shown, "may not be specified when dataSourceRef.namespace is specified");
  bool equal = same(source["apiGroup"], reference["apiGroup"]) && text(source, "kind") == text(reference, "kind") &&
               text(source, "name") == text(reference, "name");
  if (!equal) f.invalid(path, shown, "must match dataSourceRef");
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

void attributes_class_change(Findings& f, Value now, Value old) {
  const Path path("spec.volumeAttributesClassName");
  if (same(now, old) || old.is_null()) return;
  if (now.is_null()) f.forbidden(path, "update from non-nil value to nil is forbidden");
  else if (now.as_string().empty()) f.forbidden(path, "update from non-nil value to an empty string is forbidden");
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

void claim_spec(Findings& f, Value spec, bool, const Path& path) {
  if (spec["accessModes"].empty()) f.required(path.child("accessModes"), "at least 1 access mode is required");
  f.add(validate_label_selector(spec["selector"], path.child("selector")));
  access_modes(f, spec["accessModes"], path.child("accessModes"));
  Value size = spec["resources"]["requests"]["storage"];
  Path resources = path.child("resources"), storage = resources.key("storage");
  if (!size.exists()) f.required(storage);
  else positive_amount(f, size, storage);
  if (!text(spec, "storageClassName").empty()) dns_subdomain(f, text(spec, "storageClassName"), path.child("storageClassName"));
  if (set(spec, "volumeMode")) f.enumerated(path.child("volumeMode"), text(spec, "volumeMode"), {"Block", "Filesystem"});
  data_sources(f, spec, path);
  if (!text(spec, "volumeAttributesClassName").empty())
    dns_subdomain(f, text(spec, "volumeAttributesClassName"), path.child("volumeAttributesClassName"));
}

void persistent_volume_create(Findings& f, Value object) { persistent_volume_update(f, object, {}); }

void persistent_volume_update(Findings& f, Value object, Value old) {
  object_meta(f, object, false, name_is_subdomain);
  persistent_volume_spec(f, object["spec"], text(object["metadata"], "name"), false, Path("spec"), old["spec"]);
  if (old.is_null()) return;
  Value now = object["spec"], before = old["spec"];
  bool secret_added =
      !set(before["csi"], "controllerExpandSecretRef") && set(now["csi"], "controllerExpandSecretRef") && set(before, "csi");
  Document source = frozen_source(now, secret_added), old_source = frozen_source(before, false);
  if (!same(source, old_source)) {
    f.forbidden(Path("spec.persistentvolumesource"),
                fmt::format("spec.persistentvolumesource is immutable after creation\n{}", changes(old_source, source)));
  }
  f.add(validate_immutable(now["volumeMode"], before["volumeMode"], Path("volumeMode")));
  if (set(before, "nodeAffinity") && !same(now["nodeAffinity"], before["nodeAffinity"])) {
    f.invalid(Path("nodeAffinity"), now["nodeAffinity"], "field is immutable, except for updating from beta label to GA");
  }
  attributes_class_change(f, now["volumeAttributesClassName"], before["volumeAttributesClassName"]);
}

void persistent_volume_claim_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  claim_spec(f, object["spec"], false, Path("spec"));
}

void persistent_volume_claim_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  persistent_volume_claim_create(f, object);
  Value now = object["spec"], before = old["spec"];
  bool moved = moves_from_annotation(object, old);
  std::string_view annotation = text(object["metadata"]["annotations"], beta_class);
  if (!moved && annotation != text(old["metadata"]["annotations"], beta_class)) {
    const Path metadata("metadata.annotations");
    f.invalid(metadata.child(beta_class), annotation, "field is immutable");
  }
  Value storage_class = moved || class_may_be_set(object, old) ? before["storageClassName"] : now["storageClassName"];
  Document kept = put_back(now, {{"storageClassName", storage_class},
                                 {"volumeAttributesClassName", before["volumeAttributesClassName"]},
                                 {"volumeName", text(before, "volumeName").empty() ? before["volumeName"] : now["volumeName"]}});
  if (text(object["status"], "phase") == "Bound" && before["resources"]["requests"]["storage"].exists()) {
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
  attributes_class_change(f, now["volumeAttributesClassName"], before["volumeAttributesClassName"]);
}

void persistent_volume_claim_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  if (object["spec"]["accessModes"].empty()) f.required(Path("Spec.accessModes"));
  const Path path("status.capacity");
  for (Member amount : object["status"]["capacity"].members()) {
    std::int64_t value = Quantity::of(amount.value).value();
    if (value < 0) f.invalid(path.key(amount.key), value, "must be a valid resource quantity");
  }
}

}  // namespace kybern::rules
