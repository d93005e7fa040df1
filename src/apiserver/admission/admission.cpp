#include "apiserver/admission/admission.h"

#include "apiserver/admission/plugins.h"

namespace kybern::apiserver {

// The order is upstream's order of its recommended plug-ins.
ApiResult<void> admit_mutating(const AdmissionAttributes& a, Draft& object) {
  using Plugin = ApiResult<void> (*)(const AdmissionAttributes&, Draft&);
  static constexpr Plugin plugins[] = {
      admission::namespace_lifecycle, admission::service_account, admission::taint_nodes_by_condition, admission::priority,
      admission::default_toleration_seconds, admission::storage_object_in_use, admission::default_storage_class,
  };
  for (Plugin plugin : plugins)
    if (auto ok = plugin(a, object); !ok) return ok;
  return {};
}

ApiResult<void> admit_validating(const AdmissionAttributes& a, Value) {
  if (a.operation == "DELETE") return admission::protected_namespaces(a);
  return {};
}

}  // namespace kybern::apiserver
