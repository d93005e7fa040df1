#include "controllers/endpointslice/reconcile.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "controllers/objects.h"
#include "controllers/service_pods.h"
#include "document/json.h"
#include "machinery/names.h"

namespace kybern::controllers::endpointslice {
namespace {

constexpr Duration missing_node_wait = std::chrono::seconds(1);

// What makes an endpoint the same one although its conditions changed.
std::string identity(Value endpoint) {
  std::string out;
  std::vector<std::string_view> addresses;
  for (Value address : endpoint["addresses"].items()) addresses.push_back(address.as_string());
  std::sort(addresses.begin(), addresses.end());
  for (std::string_view address : addresses) out += std::string(address) + " ";
  const Value target = endpoint["targetRef"];
  return out + "|" + endpoint["hostname"].str() + "|" + target["namespace"].str() + "/" + target["name"].str();
}

// The same for any order of ports, and for none, null and [].
std::string ports_key(Value ports) {
  std::vector<std::string> each;
  for (Value port : ports.items())
    each.push_back(port["name"].str() + "/" + port["protocol"].str() + "/" + std::to_string(port["port"].as_int()) + "/" + port["appProtocol"].str());
  std::sort(each.begin(), each.end());
  std::string out;
  for (const std::string& text : each) out += text + ",";
  return out;
}

// Endpoints that have one set of ports. `wanted` keeps the order of the pods.
struct Group {
  Document ports;
  std::vector<std::pair<std::string, Document>> wanted;
};

struct Slice {
  Document before;                  // empty: new
  Document ports;
  std::vector<Document> endpoints;
  bool changed = false;
  std::string family;
};

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
std::map<std::string, Group> wanted_groups(const Document& service, const Observed& observed, std::string_view family, bool* node_missing) {
  std::map<std::string, Group> out;
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
    Document ports = ports_of(service, pod, true).freeze();
    Group& group = out[ports_key(ports)];
    if (!group.ports) group.ports = std::move(ports);
    Document endpoint = make_endpoint(service, pod, node, addresses);
    std::string key = identity(endpoint);
    group.wanted.emplace_back(std::move(key), std::move(endpoint));
  }
  return out;
}

// Puts the endpoints of one group into its slices. Slices that end up empty are left so, for the caller to delete.
void distribute(Group& group, std::vector<Slice>& slices, std::string_view family) {
  std::map<std::string_view, Document> missing;
  for (auto& [key, endpoint] : group.wanted) missing.emplace(key, endpoint);
  for (Slice& slice : slices) {
    std::vector<Document> kept;
    for (Document& endpoint : slice.endpoints) {
      auto found = missing.find(identity(endpoint));
      if (found == missing.end()) {
        slice.changed = true;
        continue;
      }
      if (!(found->second.root() == endpoint.root())) slice.changed = true;
      kept.push_back(found->second);
      missing.erase(found);
    }
    slice.endpoints = std::move(kept);
  }
  std::vector<Document> rest;
  for (auto& [key, endpoint] : group.wanted)
    if (missing.erase(key) > 0) rest.push_back(endpoint);
  std::size_t next = 0;
  const auto fill = [&](Slice& slice) {
    while (next < rest.size() && slice.endpoints.size() < endpoints_per_slice) {
      slice.endpoints.push_back(rest[next++]);
      slice.changed = true;
    }
  };
  std::stable_sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) { return a.endpoints.size() > b.endpoints.size(); });
  for (Slice& slice : slices)
    if (slice.changed && !slice.endpoints.empty()) fill(slice);
  while (next < rest.size()) {
    const std::size_t left = rest.size() - next;
    auto room = std::find_if(slices.begin(), slices.end(), [&](const Slice& s) { return s.endpoints.size() + left <= endpoints_per_slice; });
    if (room == slices.end()) {
      slices.push_back({{}, group.ports, {}, true, std::string(family)});
      room = slices.end() - 1;
    }
    fill(*room);
  }
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

Document write(const Document& service, const Slice& slice, const Draft& labels) {
  Draft out = slice.before ? Draft(slice.before) : Draft::object({{"apiVersion", "discovery.k8s.io/v1"}, {"kind", "EndpointSlice"}});
  Draft& meta = out["metadata"];
  if (!slice.before) {
    std::string prefix = std::string(name_of(service)) + "-";
    if (!names::dns1123_subdomain(names::without_trailing_dash(prefix)).empty()) prefix.pop_back();
    meta["generateName"] = prefix;
    meta["namespace"] = namespace_of(service);
    meta["ownerReferences"] = Draft::array({controller_reference(service)});
  }
  meta["labels"] = labels;
  out["addressType"] = slice.family;
  Draft endpoints = Draft::array();
  for (const Document& endpoint : slice.endpoints) endpoints.push_back(endpoint);
  out["endpoints"] = std::move(endpoints);
  out["ports"] = Draft(slice.ports);
  return out.freeze();
}

struct Changes {
  std::vector<Slice> made, changed;
  std::vector<Document> removed;
};

// One address family.
void reconcile_family(const Document& service, const Observed& observed, const std::string& family, Changes& out, bool* node_missing) {
  std::map<std::string, Group> groups = wanted_groups(service, observed, family, node_missing);
  std::map<std::string, std::vector<Slice>> slices;
  std::size_t existing = 0;
  for (const Document& slice : observed.slices) {
    if (slice["addressType"].as_string() != family) continue;
    ++existing;
    Slice entry{slice, {}, {}, false, family};
    if (Value ports = slice["ports"]; !ports.is_null()) entry.ports = ports.document();
    for (Value endpoint : slice["endpoints"].items()) entry.endpoints.push_back(endpoint.document());
    slices[ports_key(slice["ports"])].push_back(std::move(entry));
  }
  Changes mine;
  std::vector<Slice> kept;
  for (auto& [key, group] : groups) distribute(group, slices[key], family);
  for (auto& [key, list] : slices) {
    for (Slice& slice : list) {
      if (slice.endpoints.empty() || !groups.contains(key)) mine.removed.push_back(slice.before);
      else (slice.before ? kept : mine.made).push_back(std::move(slice));
    }
  }
  if (kept.empty() && mine.made.empty()) {  // a slice without endpoints says that there are none
    auto empty = std::find_if(mine.removed.begin(), mine.removed.end(), [](const Document& s) { return s["endpoints"].empty() && s["ports"].empty(); });
    if (empty != mine.removed.end()) {
      kept.push_back({*empty, Draft::array().freeze(), {}, false, family});
      mine.removed.erase(empty);
    } else {
      mine.made.push_back({{}, Draft::array().freeze(), {}, true, family});
    }
  }
  while (!mine.made.empty() && !mine.removed.empty()) {  // one write instead of two
    mine.made.back().before = mine.removed.back();
    mine.made.back().changed = true;
    kept.push_back(std::move(mine.made.back()));
    mine.made.pop_back();
    mine.removed.pop_back();
  }
  for (Slice& slice : kept) out.changed.push_back(std::move(slice));
  for (Slice& slice : mine.made) out.made.push_back(std::move(slice));
  for (Document& slice : mine.removed) out.removed.push_back(std::move(slice));
}

}  // namespace

Plan reconcile(const Document& service, const Observed& unfiltered) {
  Plan plan;
  plan.about = service;
  const Value selector = service["spec"]["selector"];
  if (is_deleting(service) || selector.is_null()) return plan;
  Observed observed = unfiltered;
  std::erase_if(observed.slices, [](const Document& s) {
    return is_deleting(s) || s["metadata"]["labels"][managed_by_label].as_string() != managed_by;
  });
  Changes changes;
  bool node_missing = false;
  std::vector<std::string> families;
  if (service["spec"]["type"].as_string() != "ExternalName") families = families_of(service);
  for (const std::string& family : families) reconcile_family(service, observed, family, changes, &node_missing);
  for (const Document& slice : observed.slices)
    if (std::find(families.begin(), families.end(), slice["addressType"].as_string()) == families.end()) changes.removed.push_back(slice);

  const Draft labels = labels_for(service);
  const Notice failed{"Warning", "FailedToUpdateEndpointSlices",
                      "Error updating Endpoint Slices for Service " + std::string(namespace_of(service)) + "/" + std::string(name_of(service)) + ": {error}"};
  const auto add = [&](Action action) {
    action.failed = failed;
    plan.actions.push_back(std::move(action));
  };
  for (const Slice& slice : changes.made) add(create_action("endpointslices", write(service, slice, labels)));
  const Document wanted_labels = labels.freeze();
  for (const Slice& slice : changes.changed)
    if (slice.changed || !(slice.before["metadata"]["labels"] == wanted_labels.root()))
      add(replace_action("endpointslices", write(service, slice, labels)));
  for (const Document& slice : changes.removed) add(erase_action("endpointslices", slice));
  if (node_missing) plan.wake_after = missing_node_wait;
  return plan;
}

}  // namespace kybern::controllers::endpointslice
