#include "controllers/endpointslice/reconcile.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "controllers/objects.h"
#include "controllers/service_pods.h"

namespace kybern::controllers::endpointslice {
namespace {

constexpr Duration missing_node_wait = std::chrono::seconds(1);

std::string_view zone_of(Value node) { return node["metadata"]["labels"]["topology.kubernetes.io/zone"].as_string(); }

void add_hints(Draft& endpoint, std::string_view distribution, std::string_view zone, std::string_view node) {
  const bool same_node = distribution == "PreferSameNode";
  if (!same_node && distribution != "PreferClose" && distribution != "PreferSameZone") return;
  Draft hints = Draft::object();
  if (!zone.empty()) hints["forZones"] = Draft::array({Draft::object({{"name", zone}})});
  if (same_node && !node.empty()) hints["forNodes"] = Draft::array({Draft::object({{"name", node}})});
  if (!hints.empty()) endpoint["hints"] = std::move(hints);
}

Document make_endpoint(const Document& service, const Document& pod, const Document& node, const std::vector<std::string_view>& addresses) {
  const bool serving = is_ready(pod), terminating = is_deleting(pod);
  const bool ready = service["spec"]["publishNotReadyAddresses"].as_bool() || (serving && !terminating);
  Draft out = Draft::object();
  Draft list = Draft::array();
  for (std::string_view address : addresses) list.push_back(address);
  out["addresses"] = std::move(list);
  out["conditions"] = Draft::object({{"ready", ready}, {"serving", serving}, {"terminating", terminating}});
  if (const std::string_view hostname = hostname_for(service, pod); !hostname.empty()) out["hostname"] = hostname;
  out["targetRef"] = pod_reference(pod);
  const std::string_view node_name = pod["spec"]["nodeName"].as_string(), zone = zone_of(node);
  if (!node_name.empty()) out["nodeName"] = node_name;
  if (!zone.empty()) out["zone"] = zone;
  if (ready) add_hints(out, service["spec"]["trafficDistribution"].as_string(), zone, node_name);
  return out.freeze();
}

// The endpoints that there should be, by their ports.
Groups wanted_groups(const Document& service, const Observed& observed, std::string_view family, bool* node_missing) {
  Groups out;
  for (const Document& pod : observed.pods) {
    if (!can_be_endpoint(pod, true)) continue;
    const std::vector<std::string_view> addresses = addresses_of(pod, family);
    if (addresses.empty()) continue;
    const std::string_view node_name = pod["spec"]["nodeName"].as_string();
    const Document node = node_name.empty() || !observed.node ? Document() : observed.node(node_name);
    if (!node && !node_name.empty() && observed.node && !service["spec"]["publishNotReadyAddresses"].as_bool()) {
      *node_missing = true;  // the mirror of nodes may be behind, or the pod is about to be collected
      continue;
    }
    out.add(ports_of(service, pod, true).freeze(), make_endpoint(service, pod, node, addresses));
  }
  return out;
}

Draft labels_for(const Document& service) {
  Draft out = Draft::object();
  for (Member m : service["metadata"]["labels"].members())
    if (m.key != headless_label && m.key != service_label && m.key != managed_by_label) out[m.key] = m.value;
  if (is_headless(service)) out[headless_label] = "";
  out[service_label] = name_of(service);
  out[managed_by_label] = managed_by;
  return out;
}

}  // namespace

Plan reconcile(const Document& service, const Observed& unfiltered) {
  Plan plan;
  plan.about = service;
  const Value selector = service["spec"]["selector"];
  if (is_deleting(service) || selector.is_null()) return plan;
  Observed observed = unfiltered;
  std::erase_if(observed.slices,
                [](const Document& s) { return is_deleting(s) || s["metadata"]["labels"][managed_by_label].as_string() != managed_by; });
  bool node_missing = false;
  std::map<std::string, Groups> families;
  if (service["spec"]["type"].as_string() != "ExternalName")
    for (const std::string& family : families_of(service)) families[family] = wanted_groups(service, observed, family, &node_missing);
  plan.actions = reconcile_slices({service, labels_for(service).freeze(), {}}, families, observed.slices);
  for (Action& action : plan.actions)
    action.failed = Notice{"Warning", "FailedToUpdateEndpointSlices",
                           "Error updating Endpoint Slices for Service " + std::string(namespace_of(service)) + "/" +
                               std::string(name_of(service)) + ": {error}"};
  if (node_missing) plan.wake_after = missing_node_wait;
  return plan;
}

}  // namespace kybern::controllers::endpointslice
