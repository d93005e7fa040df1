#include "apiserver/admission/admission.h"

#include "apiserver/admission/plugins.h"
#include "apiserver/authz/escalation.h"

namespace kybern::apiserver {

// The order is upstream's order of its recommended plug-ins.
ApiResult<void> admit_mutating(const AdmissionAttributes& a, Draft& object) {
  using Plugin = ApiResult<void> (*)(const AdmissionAttributes&, Draft&);
  static constexpr Plugin plugins[] = {
      admission::namespace_lifecycle, admission::default_limits, admission::service_account, admission::taint_nodes_by_condition, admission::priority,
      admission::default_toleration_seconds, admission::default_storage_class, admission::storage_object_in_use, admission::runtime_class, admission::default_ingress_class,
  };
  for (Plugin plugin : plugins)
    if (auto ok = plugin(a, object); !ok) return ok;
  return {};
}

ApiResult<void> admit_validating(const AdmissionAttributes& a, Value object) {
  if (auto ok = admission::node_restriction(a, object); !ok) return ok;
  if (a.operation == "DELETE") return admission::protected_namespaces(a);
  if (auto ok = check_escalation(a, object); !ok) return ok;
  using Plugin = ApiResult<void> (*)(const AdmissionAttributes&, Value);
  static constexpr Plugin plugins[] = {admission::certificates, admission::check_limits, admission::pod_security_standards, admission::one_default_priority, admission::claim_resize};
  for (Plugin plugin : plugins)
    if (auto ok = plugin(a, object); !ok) return ok;
  return admission::charge_quotas(a, object);
}

}  // namespace kybern::apiserver
