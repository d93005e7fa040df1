// Roles, bindings, and the reviews of what someone may do.
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr const char* rbac_group = "rbac.authorization.k8s.io";

void policy_rules(Findings& f, Value rules, bool namespaced) {
  const Path path("rules");
  std::size_t i = 0;
  for (Value rule : rules.items()) {
    Path at = path.index(i++), urls = at.child("nonResourceURLs");
    if (rule["verbs"].empty()) f.required(at.child("verbs"), "verbs must contain at least one value");
    if (!rule["nonResourceURLs"].empty()) {
      bool resources = !rule["apiGroups"].empty() || !rule["resources"].empty() || !rule["resourceNames"].empty();
      if (namespaced) f.invalid(urls, rule["nonResourceURLs"], "namespaced rules cannot apply to non-resource URLs");
      if (resources) f.invalid(urls, rule["nonResourceURLs"], "rules cannot apply to both regular resources and non-resource URLs");
      continue;
    }
    if (rule["apiGroups"].empty()) f.required(at.child("apiGroups"), "resource rules must supply at least one api group");
    if (rule["resources"].empty()) f.required(at.child("resources"), "resource rules must supply at least one resource");
  }
}

void aggregation(Findings& f, Value rule) {
  if (rule.is_null()) return;
  const Path path("aggregationRule.clusterRoleSelectors");
  Value selectors = rule["clusterRoleSelectors"];
  if (selectors.empty()) f.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
  for (std::size_t i = 0; i < selectors.size(); ++i) {
    f.add(validate_label_selector(selectors[i], path.index(i)));
    if (!LabelSelector::from(selectors[i])) f.invalid(path.index(i), Value(), "invalid label selector.");
  }
}

void subjects(Findings& f, Value list, bool namespaced) {
  const Path path("subjects");
  std::size_t i = 0;
  for (Value subject : list.items()) {
    Path at = path.index(i++);
    std::string_view kind = text(subject, "kind"), name = text(subject, "name"), group = text(subject, "apiGroup");
    if (name.empty()) f.required(at.child("name"));
    if (kind == "ServiceAccount") {
      if (!name.empty()) dns_subdomain(f, name, at.child("name"));
      if (!group.empty()) f.not_supported(at.child("apiGroup"), group, {""});
      if (!namespaced && text(subject, "namespace").empty()) f.required(at.child("namespace"));
    } else if (kind == "User" || kind == "Group") {
      f.enumerated(at.child("apiGroup"), group, {rbac_group});
    } else {
      f.not_supported(at.child("kind"), kind, {"ServiceAccount", "User", "Group"});
    }
  }
}

void role_reference(Findings& f, Value reference, bool namespaced) {
  const Path path("roleRef");
  std::string_view name = text(reference, "name"), kind = text(reference, "kind");
  f.enumerated(path.child("apiGroup"), text(reference, "apiGroup"), {rbac_group});
  if (namespaced) f.enumerated(path.child("kind"), kind, {"Role", "ClusterRole"});
  else f.enumerated(path.child("kind"), kind, {"ClusterRole"});
  if (name.empty()) f.required(path.child("name"));
  else f.say(path.child("name"), name, names::path_segment(name));
}

void binding(Findings& f, Value object, bool namespaced) {
  role_reference(f, object["roleRef"], namespaced);
  subjects(f, object["subjects"], namespaced);
}

void binding_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  if (!same(object["roleRef"], old["roleRef"])) f.invalid(Path("roleRef"), object["roleRef"], "cannot change roleRef");
}

void review_attributes(Findings& f, Value spec) {
  const Path path("spec");
  Value resource = spec["resourceAttributes"], other = spec["nonResourceAttributes"];
  if (!resource.is_null() && !other.is_null())
    f.invalid(path.child("nonResourceAttributes"), other, "cannot be specified in combination with resourceAttributes");
  if (resource.is_null() && other.is_null()) {
    f.invalid(path.child("resourceAttributes"), other, "exactly one of nonResourceAttributes or resourceAttributes must be specified");
  }
}

void review_spec(Findings& f, Value spec) {
  review_attributes(f, spec);
  if (text(spec, "user").empty() && spec["groups"].empty())
    f.invalid(Path("spec.user"), text(spec, "user"), "at least one of user or group must be specified");
}

void bare_metadata(Findings& f, Value meta, bool may_have_namespace) {
  for (Member member : meta.members()) {
    bool allowed = member.key == "managedFields" || member.key == "creationTimestamp" || (may_have_namespace && member.key == "namespace");
    bool blank = member.value.is_null() || (member.value.is_string() && member.value.as_string().empty());
    if (!allowed && !blank)
      return f.invalid(Path("metadata"), meta, may_have_namespace ? "must be empty except for namespace" : "must be empty");
  }
}

// Upstream judges a changed object twice, and clients see what it found twice.
void twice(Findings& f, Value object, void (*create)(Findings& f, Value object)) {
  for (int i = 0; i < 2; ++i) create(f, object);
}

}  // namespace

void role_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_path_segment);
  policy_rules(f, object["rules"], true);
}

void role_update(Findings& f, Value object, Value old) {
  twice(f, object, role_create);
  object_meta_update(f, object, old);
}

void cluster_role_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_path_segment);
  policy_rules(f, object["rules"], false);
  aggregation(f, object["aggregationRule"]);
}

void cluster_role_update(Findings& f, Value object, Value old) {
  twice(f, object, cluster_role_create);
  object_meta_update(f, object, old);
}

void role_binding_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_path_segment);
  binding(f, object, true);
}

void role_binding_update(Findings& f, Value object, Value old) {
  twice(f, object, role_binding_create);
  binding_update(f, object, old);
}

void cluster_role_binding_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_path_segment);
  binding(f, object, false);
}

void cluster_role_binding_update(Findings& f, Value object, Value old) {
  twice(f, object, cluster_role_binding_create);
  binding_update(f, object, old);
}

void subject_access_review(Findings& f, Value object) {
  review_spec(f, object["spec"]);
  bare_metadata(f, object["metadata"], false);
}

void self_subject_access_review(Findings& f, Value object) {
  review_attributes(f, object["spec"]);
  bare_metadata(f, object["metadata"], false);
}

void local_subject_access_review(Findings& f, Value object) {
  Value spec = object["spec"], resource = spec["resourceAttributes"], other = spec["nonResourceAttributes"];
  const Path path("spec");
  review_spec(f, spec);
  bare_metadata(f, object["metadata"], true);
  if (!resource.is_null() && text(resource, "namespace") != text(object["metadata"], "namespace")) {
    f.invalid(path.child("resourceAttributes.namespace"), text(resource, "namespace"), "must match metadata.namespace");
  }
  if (!other.is_null()) f.invalid(path.child("nonResourceAttributes"), other, "disallowed on this kind of request");
}

}  // namespace kybern::rules
