// Defaults and rules of storage and ingress: finalizers that hold what is in use, classes that are the default, claims that grow.
#include <fmt/format.h>

#include <string_view>

#include "apiserver/admission/plugins.h"
#include "machinery/quantity.h"

namespace kybern::apiserver::admission {
namespace {

// The newest of the classes that one of these annotations marks as default; of equally new ones the first by name.
std::string default_class(const AdmissionAttributes& a, std::string_view group, std::string_view plural,
                          std::initializer_list<std::string_view> marks) {
  std::string best, best_time;
  a.work.registry.each(group, "v1", plural, "", [&](Value c) {
    bool marked = false;
    for (std::string_view mark : marks) marked |= c["metadata"]["annotations"][mark].as_string() == "true";
    std::string time = c["metadata"]["creationTimestamp"].str();
    if (marked && (best.empty() || time > best_time)) {
      best = c["metadata"]["name"].str();
      best_time = time;
    }
    return true;
  });
  return best;
}

std::string_view class_of(Value claim) {
  Value old = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
  return old.exists() ? old.as_string() : claim["spec"]["storageClassName"].as_string();
}

}  // namespace

ApiResult<void> storage_object_in_use(const AdmissionAttributes& a, Draft& object) {
  if (a.operation != "CREATE" || !a.work.subresource.empty()) return {};
  std::string_view finalizer;
  if (a.work.is("", "persistentvolumeclaims")) finalizer = "kubernetes.io/pvc-protection";
  else if (a.work.is("", "persistentvolumes")) finalizer = "kubernetes.io/pv-protection";
  else return {};
  Draft& list = object["metadata"]["finalizers"];
  if (list.is_array())
    for (const Draft& f : list.items())
      if (f.as_string() == finalizer) return {};
  list.push_back(finalizer);
  return {};
}

ApiResult<void> default_storage_class(const AdmissionAttributes& a, Draft& claim) {
  if (a.operation != "CREATE" || !a.work.is("", "persistentvolumeclaims") || !a.work.subresource.empty()) return {};
  if (const Draft* given = claim.find_path({"spec", "storageClassName"}); given && !given->is_null()) return {};
  if (claim.find_path({"metadata", "annotations", "volume.beta.kubernetes.io/storage-class"})) return {};
  std::string found = default_class(a, "storage.k8s.io", "storageclasses",
                                    {"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"});
  if (!found.empty()) claim["spec"]["storageClassName"] = found;
  return {};
}

ApiResult<void> default_ingress_class(const AdmissionAttributes& a, Draft& ingress) {
  if (a.operation != "CREATE" || !a.work.is("networking.k8s.io", "ingresses") || !a.work.subresource.empty()) return {};
  if (const Draft* given = ingress.find_path({"spec", "ingressClassName"}); given && !given->is_null()) return {};
  if (ingress.find_path({"metadata", "annotations", "kubernetes.io/ingress.class"})) return {};
  std::string found = default_class(a, "networking.k8s.io", "ingressclasses", {"ingressclass.kubernetes.io/is-default-class"});
  if (!found.empty()) ingress["spec"]["ingressClassName"] = found;
  return {};
}

ApiResult<void> claim_resize(const AdmissionAttributes& a, Value claim) {
  if (a.operation != "UPDATE" || !a.work.is("", "persistentvolumeclaims") || !a.work.subresource.empty()) return {};
  auto size = [](Value of) { return Quantity::of(of["spec"]["resources"]["requests"]["storage"]); };
  if (!(size(a.before) < size(claim))) return {};
  auto refuse = [&](std::string_view why) { return fail(forbidden("", "persistentvolumeclaims", a.work.name, why)); };
  if (a.before["status"]["phase"].as_string() != "Bound") return refuse("only bound persistent volume claims can be expanded");
  std::string name(class_of(claim));
  Document found;
  if (!name.empty() && name == class_of(a.before)) found = a.work.registry.read("storage.k8s.io", "v1", "storageclasses", "", name);
  if (found["allowVolumeExpansion"].as_bool()) return {};
  return refuse("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize");
}

}  // namespace kybern::apiserver::admission
