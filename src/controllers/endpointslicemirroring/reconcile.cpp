#include "controllers/endpointslicemirroring/reconcile.h"

#include <map>

#include "controllers/endpointslice/reconcile.h"
#include "controllers/endpointslice/slices.h"
#include "controllers/objects.h"
#include "machinery/names.h"

namespace kybern::controllers::endpointslicemirroring {
namespace {

using endpointslice::managed_by_label;
using endpointslice::service_label;

bool is_mirrored(const Document& endpoints, const Document& service) {
  if (!endpoints || is_deleting(endpoints) || !service || !service["spec"]["selector"].empty()) return false;
  const Value meta = endpoints["metadata"];
  return meta["labels"]["endpointslice.kubernetes.io/skip-mirror"].as_string() != "true" &&
         !meta["annotations"]["control-plane.alpha.kubernetes.io/leader"].exists();
}

Document mirrored_endpoint(Value address, bool ready) {
  Draft out = Draft::object({{"addresses", Draft::array({Draft(address["ip"])})}, {"conditions", Draft::object({{"ready", ready}})}});
  for (const char* field : {"hostname", "targetRef", "nodeName"})
    if (const Value value = address[field]; !value.is_null() && !(value.is_string() && value.as_string().empty())) out[field] = value;
  return out.freeze();
}

Document mirrored_ports(Value ports) {
  Draft out = Draft::array();
  for (Value port : ports.items()) {
    Draft entry =
        Draft::object({{"name", port["name"].as_string()}, {"protocol", port["protocol"].as_string("TCP")}, {"port", port["port"]}});
    if (const Value protocol = port["appProtocol"]; !protocol.is_null()) entry["appProtocol"] = protocol;
    out.push_back(std::move(entry));
  }
  return out.freeze();
}

std::map<std::string, endpointslice::Groups> families_of(const Document& endpoints) {
  std::map<std::string, endpointslice::Groups> out;
  for (Value subset : endpoints["subsets"].items()) {
    const Document ports = mirrored_ports(subset["ports"]);
    std::size_t count = 0;
    for (const bool ready : {true, false}) {
      for (Value address : subset[ready ? "addresses" : "notReadyAddresses"].items()) {
        const names::Family family = names::ip_family(address["ip"].as_string());
        if (family == names::Family::none || ++count > addresses_limit) continue;
        out[family == names::Family::ipv4 ? "IPv4" : "IPv6"].add(ports, mirrored_endpoint(address, ready));
      }
    }
  }
  return out;
}

endpointslice::Owner owner_of(const Document& endpoints) {
  Draft labels = Draft::object(), annotations = Draft::object();
  for (Member m : endpoints["metadata"]["labels"].members()) labels[m.key] = m.value;
  labels[service_label] = name_of(endpoints);
  labels[managed_by_label] = managed_by;
  for (Member m : endpoints["metadata"]["annotations"].members())
    if (m.key != "kubectl.kubernetes.io/last-applied-configuration" && m.key != "endpoints.kubernetes.io/last-change-trigger-time")
      annotations[m.key] = m.value;
  return {endpoints, labels.freeze(), annotations.freeze()};
}

}  // namespace

Plan reconcile(const Observed& observed) {
  Plan plan;
  plan.about = observed.endpoints;
  std::vector<Document> slices = observed.slices;
  std::erase_if(slices,
                [](const Document& s) { return is_deleting(s) || s["metadata"]["labels"][managed_by_label].as_string() != managed_by; });
  if (is_mirrored(observed.endpoints, observed.service)) {
    plan.actions = endpointslice::reconcile_slices(owner_of(observed.endpoints), families_of(observed.endpoints), slices);
  } else {
    for (const Document& slice : slices) plan.actions.push_back(erase_action("endpointslices", slice));
  }
  return plan;
}

}  // namespace kybern::controllers::endpointslicemirroring
