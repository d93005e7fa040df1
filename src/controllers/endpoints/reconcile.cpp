#include "controllers/endpoints/reconcile.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "controllers/objects.h"
#include "controllers/service_pods.h"

namespace kybern::controllers::endpoints {
namespace {

constexpr std::string_view over_capacity = "endpoints.kubernetes.io/over-capacity";
constexpr std::string_view managed_by_label = "endpoints.kubernetes.io/managed-by";
constexpr std::string_view managed_by = "endpoint-controller";

struct Address {
  Document value;
  bool ready = false;
};

// {name, protocol, port, appProtocol} in an order that does not depend on the pods.
using PortKey = std::tuple<std::string, std::int64_t, std::string, std::string>;
PortKey key_of_port(const Draft& port) {
  const auto text = [&](const char* field) {
    const Draft* f = port.find(field);
    return f ? f->str() : std::string();
  };
  return {text("name"), port.find("port")->as_int(), text("protocol"), text("appProtocol")};
}

// The address under which the Service knows the pod: of its first family.
std::optional<Document> address_of(const Document& service, const Document& pod) {
  const std::vector<std::string> families = families_of(service);
  const std::vector<std::string_view> addresses = addresses_of(pod, families.front());
  if (addresses.empty()) return {};
  Draft out = Draft::object({{"ip", addresses.front()}});
  if (const std::string_view hostname = hostname_for(service, pod); !hostname.empty()) out["hostname"] = hostname;
  if (const std::string_view node = pod["spec"]["nodeName"].as_string(); !node.empty()) out["nodeName"] = node;
  out["targetRef"] = pod_reference(pod);
  return out.freeze();
}

// Ports that have the same addresses share a subset.
struct Packer {
  std::map<std::string, Address> addresses;                          // by ip and uid
  std::map<PortKey, std::pair<Draft, std::set<std::string>>> ports;  // which addresses serve the port
  std::set<std::string> portless;

  Draft subset(const std::set<std::string>& keys, std::vector<Draft> port_list) const {
    Draft ready = Draft::array(), not_ready = Draft::array(), list = Draft::array();
    for (const std::string& key : keys) (addresses.at(key).ready ? ready : not_ready).push_back(addresses.at(key).value);
    for (Draft& port : port_list) list.push_back(std::move(port));
    Draft out = Draft::object();
    if (!ready.empty()) out["addresses"] = std::move(ready);
    if (!not_ready.empty()) out["notReadyAddresses"] = std::move(not_ready);
    if (!list.empty()) out["ports"] = std::move(list);
    return out;
  }
  Draft pack() const {
    std::map<std::set<std::string>, std::vector<Draft>> groups;
    for (const auto& [key, entry] : ports) groups[entry.second].push_back(entry.first);
    Draft out = Draft::array();
    for (auto& [keys, list] : groups) out.push_back(subset(keys, list));
    if (!portless.empty()) out.push_back(subset(portless, {}));
    return out;
  }
};

Draft subsets_of(const Document& service, const std::vector<Document>& pods, bool* cut) {
  const bool unready_too = service["spec"]["publishNotReadyAddresses"].as_bool();
  const bool headless_without_ports = is_headless(service) && service["spec"]["ports"].empty();
  Packer packer;
  std::vector<std::pair<Document, Address>> members;
  for (const Document& pod : pods) {
    if (!can_be_endpoint(pod, unready_too)) continue;
    if (std::optional<Document> address = address_of(service, pod)) members.push_back({pod, {*address, unready_too || is_ready(pod)}});
  }
  if ((*cut = members.size() > addresses_limit)) {  // ready ones are worth more
    std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.second.ready > b.second.ready; });
    members.resize(addresses_limit);
  }
  for (const auto& [pod, address] : members) {
    const std::string key = address.value["ip"].str() + " " + std::string(uid_of(pod));
    const Draft ports = ports_of(service, pod, false);
    if (ports.empty() && !headless_without_ports) continue;
    packer.addresses.emplace(key, address);
    if (ports.empty()) packer.portless.insert(key);
    for (const Draft& port : ports.items()) {
      auto [entry, is_new] = packer.ports.try_emplace(key_of_port(port), port, std::set<std::string>());
      entry->second.second.insert(key);
    }
  }
  return packer.pack();
}

Draft labels_for(const Document& service) {
  Draft out = Draft::object();
  for (Member m : service["metadata"]["labels"].members())
    if (m.key != headless_label) out[m.key] = m.value;
  if (is_headless(service)) out[headless_label] = "";
  out[managed_by_label] = managed_by;
  return out;
}

Notice failed_notice(const char* reason, const char* what) { return {"Warning", reason, std::string("Failed to ") + what + ": {error}"}; }

}  // namespace

Plan reconcile(const Document& service, const Observed& observed) {
  Plan plan;
  plan.about = service;
  const Value spec = service["spec"];
  if (is_deleting(service) || spec["selector"].is_null() || spec["type"].as_string() == "ExternalName") return plan;
  bool cut = false;
  const Document subsets = subsets_of(service, observed.pods, &cut).freeze();
  const Document labels = labels_for(service).freeze();
  const Value before = observed.endpoints;
  const bool same_subsets = before["subsets"] == subsets.root() || (before["subsets"].empty() && subsets.root().empty());
  const Value mark = before["metadata"]["annotations"][over_capacity];
  if (observed.endpoints && same_subsets && before["metadata"]["labels"] == labels.root() && (mark.as_string() == "truncated") == cut)
    return plan;

  Draft out = observed.endpoints ? Draft(observed.endpoints) : Draft::object({{"apiVersion", "v1"}, {"kind", "Endpoints"}});
  Draft& meta = out["metadata"];
  meta["name"] = name_of(service);
  meta["namespace"] = namespace_of(service);
  meta["labels"] = Draft(labels);
  if (cut) meta["annotations"][over_capacity] = "truncated";
  else if (Draft* annotations = meta.find("annotations")) annotations->erase(over_capacity);
  if (subsets.root().empty()) out.erase("subsets");
  else out["subsets"] = Draft(subsets);
  Action action = observed.endpoints ? replace_action("endpoints", out.freeze()) : create_action("endpoints", out.freeze());
  action.failed =
      observed.endpoints
          ? failed_notice("FailedToUpdateEndpoint",
                          ("update endpoint " + std::string(namespace_of(service)) + "/" + std::string(name_of(service))).c_str())
          : failed_notice(
                "FailedToCreateEndpoint",
                ("create endpoint for service " + std::string(namespace_of(service)) + "/" + std::string(name_of(service))).c_str());
  plan.actions.push_back(std::move(action));
  return plan;
}

Plan reconcile_gone(const Document& endpoints) {
  Plan plan;
  if (endpoints) plan.actions.push_back(erase_action("endpoints", endpoints));
  return plan;
}

}  // namespace kybern::controllers::endpoints
