#include "controllers/endpointslice/slices.h"

#include <algorithm>
#include <utility>

#include "controllers/objects.h"
#include "machinery/names.h"

namespace kybern::controllers::endpointslice {
namespace {

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

struct Slice {
  Document before;  // empty: new
  Document ports;
  std::vector<Document> endpoints;
  bool changed = false;
  std::string family;
};

// Puts the endpoints of one group into its slices. Slices that end up empty are left so, for the caller to delete.
void distribute(Groups::Group& group, std::vector<Slice>& slices, std::string_view family) {
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
    auto room =
        std::find_if(slices.begin(), slices.end(), [&](const Slice& s) { return s.endpoints.size() + left <= endpoints_per_slice; });
    if (room == slices.end()) {
      slices.push_back({{}, group.ports, {}, true, std::string(family)});
      room = slices.end() - 1;
    }
    fill(*room);
  }
}

Document write(const Owner& owner, const Slice& slice) {
  Draft out = slice.before ? Draft(slice.before) : Draft::object({{"apiVersion", "discovery.k8s.io/v1"}, {"kind", "EndpointSlice"}});
  Draft& meta = out["metadata"];
  if (!slice.before) {
    std::string prefix = std::string(name_of(owner.object)) + "-";
    if (!names::dns1123_subdomain(names::without_trailing_dash(prefix)).empty()) prefix.pop_back();
    meta["generateName"] = prefix;
    meta["namespace"] = namespace_of(owner.object);
    meta["ownerReferences"] = Draft::array({controller_reference(owner.object)});
  }
  meta["labels"] = Draft(owner.labels);
  for (Member m : owner.annotations.root().members()) meta["annotations"][m.key] = m.value;
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
void reconcile_family(const std::vector<Document>& existing, const std::string& family, Groups groups, Changes& out) {
  std::map<std::string, std::vector<Slice>> slices;
  for (const Document& slice : existing) {
    if (slice["addressType"].as_string() != family) continue;
    Slice entry{slice, {}, {}, false, family};
    if (Value ports = slice["ports"]; !ports.is_null()) entry.ports = ports.document();
    for (Value endpoint : slice["endpoints"].items()) entry.endpoints.push_back(endpoint.document());
    slices[ports_key(slice["ports"])].push_back(std::move(entry));
  }
  Changes mine;
  std::vector<Slice> kept;
  for (auto& [key, group] : groups.by_ports) distribute(group, slices[key], family);
  for (auto& [key, list] : slices) {
    for (Slice& slice : list) {
      if (slice.endpoints.empty() || !groups.by_ports.contains(key)) mine.removed.push_back(slice.before);
      else (slice.before ? kept : mine.made).push_back(std::move(slice));
    }
  }
  if (kept.empty() && mine.made.empty()) {  // a slice without endpoints says that there are none
    auto empty = std::find_if(mine.removed.begin(), mine.removed.end(),
                              [](const Document& s) { return s["endpoints"].empty() && s["ports"].empty(); });
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

bool annotations_differ(const Owner& owner, Value slice) {
  for (Member m : owner.annotations.root().members())
    if (!(slice["metadata"]["annotations"][m.key] == m.value)) return true;
  return false;
}

}  // namespace

std::string ports_key(Value ports) {
  std::vector<std::string> each;
  for (Value port : ports.items())
    each.push_back(port["name"].str() + "/" + port["protocol"].str() + "/" + std::to_string(port["port"].as_int()) + "/" +
                   port["appProtocol"].str());
  std::sort(each.begin(), each.end());
  std::string out;
  for (const std::string& text : each) out += text + ",";
  return out;
}

void Groups::add(const Document& ports, Document endpoint) {
  Group& group = by_ports[ports_key(ports)];
  if (!group.ports) group.ports = ports;
  std::string key = identity(endpoint);
  group.wanted.emplace_back(std::move(key), std::move(endpoint));
}

std::vector<Action> reconcile_slices(const Owner& owner, const std::map<std::string, Groups>& families,
                                     const std::vector<Document>& existing) {
  Changes changes;
  for (const auto& [family, groups] : families) reconcile_family(existing, family, groups, changes);
  for (const Document& slice : existing)
    if (!families.contains(slice["addressType"].str())) changes.removed.push_back(slice);
  std::vector<Action> out;
  for (const Slice& slice : changes.made) out.push_back(create_action("endpointslices", write(owner, slice)));
  for (const Slice& slice : changes.changed)
    if (slice.changed || !(slice.before["metadata"]["labels"] == owner.labels.root()) || annotations_differ(owner, slice.before))
      out.push_back(replace_action("endpointslices", write(owner, slice)));
  for (const Document& slice : changes.removed) out.push_back(erase_action("endpointslices", slice));
  return out;
}

}  // namespace kybern::controllers::endpointslice
