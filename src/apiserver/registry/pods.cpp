// What the registry itself decides about a pod: quality of service, its first status, which fields of it may change.
#include <map>

#include "apiserver/registry/registry.h"
#include "machinery/defaults/defaults.h"
#include "machinery/quantity.h"

namespace kybern::apiserver {

// Guaranteed: every container has cpu and memory limits, and requests equal to them. BestEffort: nobody asks for either.
std::string_view quality_of_service(const Draft& pod) {
  bool any = false, guaranteed = true;
  for (std::string_view list : {"initContainers", "containers"}) {
    const Draft* containers = pod.find_path({"spec", list});
    if (!containers || !containers->is_array()) continue;
    for (const Draft& c : containers->items()) {
      for (std::string_view resource : {"cpu", "memory"}) {
        const Draft* limit = c.find_path({"resources", "limits", resource});
        const Draft* request = c.find_path({"resources", "requests", resource});
        auto value = [](const Draft* d) { return d ? Quantity::parse(d->as_string()) : fail(Code::not_found, ""); };
        auto l = value(limit), r = value(request);
        bool has_limit = l && l->sign() > 0, has_request = r && r->sign() > 0;
        any |= has_limit || has_request;
        if (!has_limit || (has_request && *l != *r) || (!has_request && request)) guaranteed = false;
      }
    }
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

ApiResult<void> prepare_new_pod(Work&, Draft& pod) {
  merge_label_keys(pod);
  pod["status"] = Draft::object({{"phase", "Pending"}, {"qosClass", quality_of_service(pod)}});
  if (const Draft* gates = pod.find_path({"spec", "schedulingGates"}); gates && gates->is_array() && !gates->empty()) {
    pod["status"]["conditions"] = Draft::array({Draft::object({{"type", "PodScheduled"},
                                                               {"status", "False"},
                                                               {"lastProbeTime", nullptr},
                                                               {"lastTransitionTime", nullptr},
                                                               {"reason", "SchedulingGated"},
                                                               {"message", "Scheduling is blocked due to non-empty scheduling gates"}})});
  }
  return {};
}

ApiResult<void> prepare_pod(Work& work, Draft& pod, Value before) {
  if (work.subresource.empty()) pod["status"] = before["status"];
  return {};
}

// What old kubelets leave out is not lost by it: the class of quality, whose pod it is, which generation a state is of.
ApiResult<void> prepare_pod_status(Work&, Draft& pod, Value before) {
  if (before["metadata"]["ownerReferences"].exists()) pod["metadata"]["ownerReferences"] = before["metadata"]["ownerReferences"];
  else pod["metadata"].erase("ownerReferences");
  Draft& status = pod["status"];
  if (!status.is_object()) status = Draft::object();
  auto keep = [](Draft& now, Value old, std::string_view field) {
    const Draft* given = now.find(field);
    const bool empty = !given || given->is_null() || (given->is_string() ? given->as_string().empty() : given->as_int() == 0);
    if (empty && old[field].exists()) now[field] = old[field];
  };
  keep(status, before["status"], "qosClass");
  keep(status, before["status"], "observedGeneration");
  if (Draft* conditions = status.find("conditions"); conditions && conditions->is_array())
    for (Draft& condition : conditions->items())
      for (Value old : before["status"]["conditions"].items())
        if (const Draft* type = condition.find("type"); type && type->as_string() == old["type"].as_string())
          keep(condition, old, "observedGeneration");
  return {};
}

}  // namespace kybern::apiserver
