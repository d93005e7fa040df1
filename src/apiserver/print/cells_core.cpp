// Nodes, namespaces, configuration, events, quotas, and the small kinds.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "apiserver/print/row.h"
#include "base/strings.h"
#include "machinery/quantity.h"

namespace kybern::apiserver {
namespace {

std::int64_t size_of(Value value) { return static_cast<std::int64_t>(value.size()); }

std::string node_state(const Row& row) {
  Value ready = condition_of(row.status()["conditions"], "Ready");
  std::string text = ready.is_null() ? "Unknown" : ready["status"].as_string() == "True" ? "Ready" : "NotReady";
  if (row.spec()["unschedulable"].as_bool()) text += ",SchedulingDisabled";
  return text;
}

std::string node_roles(Value labels) {
  constexpr std::string_view prefix = "node-role.kubernetes.io/";
  std::set<std::string> roles;
  for (Member label : labels.members()) {
    if (label.key.starts_with(prefix) && label.key.size() > prefix.size()) roles.emplace(label.key.substr(prefix.size()));
    if (label.key == "kubernetes.io/role" && !label.value.as_string().empty()) roles.insert(label.value.str());
  }
  return roles.empty() ? "<none>" : join({roles.begin(), roles.end()}, ",");
}

std::string node_address(Value addresses, std::string_view type) {
  for (Value address : addresses.items())
    if (address["type"].as_string() == type) return address["address"].str();
  return "<none>";
}

}  // namespace

void node_cells(Row& row) {
  Value info = row.status()["nodeInfo"], addresses = row.status()["addresses"];
  row.add_all(row.name(), node_state(row), node_roles(row.meta()["labels"]), row.age(), info["kubeletVersion"].str());
  row.add_all(node_address(addresses, "InternalIP"), node_address(addresses, "ExternalIP"), text_or(info["osImage"], "<unknown>"),
              text_or(info["kernelVersion"], "<unknown>"), text_or(info["containerRuntimeVersion"], "<unknown>"));
}

void namespace_cells(Row& row) { row.add_all(row.name(), row.status()["phase"].str(), row.age()); }
void config_map_cells(Row& row) { row.add_all(row.name(), size_of(row.object["data"]) + size_of(row.object["binaryData"]), row.age()); }
void secret_cells(Row& row) { row.add_all(row.name(), row.object["type"].str(), size_of(row.object["data"]), row.age()); }
void service_account_cells(Row& row) { row.add_all(row.name(), row.age()); }

namespace {

// An event of the core group or of events.k8s.io: the same thing under two sets of names.
struct EventNames {
  std::string_view about, message, source, first, last, count;
};
constexpr EventNames core_names{"involvedObject", "message", "source", "firstTimestamp", "lastTimestamp", "count"};
constexpr EventNames new_names{"regarding",      "note", "deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp",
                               "deprecatedCount"};

void add_event(Row& row, const EventNames& names) {
  Value event = row.object, about = event[names.about], source = event[names.source], series = event["series"];
  std::string first = row.since(event[names.first].is_null() ? event["eventTime"] : event[names.first]);
  std::string last = event[names.last].is_null() ? first : row.since(event[names.last]);
  std::int64_t count = event[names.count].as_int();
  if (!series.is_null()) {
    last = row.since(series["lastObservedTime"]);
    count = series["count"].as_int();
  } else if (count == 0) {
    count = 1;  // single events have no count in the newer form
  }
  std::string target = to_lower(about["kind"].as_string());
  if (!about["name"].as_string().empty()) target += fmt::format("/{}", about["name"].as_string());
  std::string from = text_or(source["component"], text_or(event["reportingComponent"], event["reportingController"].as_string()));
  if (std::string host = text_or(source["host"], event["reportingInstance"].as_string()); !host.empty()) from += ", " + host;
  row.add_all(last, event["type"].str(), event["reason"].str(), target, about["fieldPath"].str(), from,
              trim(event[names.message].as_string()), first, count, row.name());
}

}  // namespace

void event_cells(Row& row) { add_event(row, row.object["regarding"].exists() ? new_names : core_names); }

void resource_quota_cells(Row& row) {
  std::vector<std::string> names, requests, limits;
  for (Member hard : row.status()["hard"].members()) names.emplace_back(hard.key);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    std::string text = fmt::format("{}: {}/{}", name, quantity_text(row.status()["used"][name]), quantity_text(row.status()["hard"][name]));
    (name.starts_with("limits.") ? limits : requests).push_back(std::move(text));
  }
  row.add_all(row.name(), join(requests, ", "), join(limits, ", "), row.age());
}

void component_status_cells(Row& row) {
  Value healthy = condition_of(row.object["conditions"], "Healthy");
  std::string_view state = healthy.is_null() ? "Unknown" : healthy["status"].as_string() == "True" ? "Healthy" : "Unhealthy";
  row.add_all(row.name(), state, healthy["message"].str(), healthy["error"].str());
}

void lease_cells(Row& row) { row.add_all(row.name(), row.spec()["holderIdentity"].str(), row.age()); }
void runtime_class_cells(Row& row) { row.add_all(row.name(), row.object["handler"].str(), row.age()); }

void priority_class_cells(Row& row) {
  row.add_all(row.name(), row.object["value"].as_int(), row.object["globalDefault"].as_bool(), row.age(),
              row.object["preemptionPolicy"].str());
}

void api_service_cells(Row& row) {
  Value service = row.spec()["service"], available = condition_of(row.status()["conditions"], "Available");
  std::string state = text_or(available["status"], "Unknown");
  if (!available.is_null() && state != "True") state += fmt::format(" ({})", available["reason"].as_string());
  row.add_all(row.name(), service.is_null() ? "Local" : fmt::format("{}/{}", service["namespace"].as_string(), service["name"].as_string()),
              state, row.age());
}

void resource_claim_cells(Row& row) {
  std::vector<std::string> states;
  if (row.in_deletion()) states.push_back("deleted");
  if (!row.status()["allocation"].is_null()) {
    states.push_back("allocated");
    if (!row.status()["reservedFor"].empty()) states.push_back("reserved");
  } else if (!row.in_deletion()) {
    states.push_back("pending");
  }
  row.add_all(row.name(), join(states, ","), row.age());
}

void resource_slice_cells(Row& row) {
  row.add_all(row.name(), row.spec()["nodeName"].str(), row.spec()["driver"].str(), row.spec()["pool"]["name"].str(), row.age());
}

// Of a node, or the sum of a pod's containers.
void usage_cells(Row& row) {
  Quantity cpu, memory;
  auto add = [&](Value usage) {
    cpu = cpu + Quantity::of(usage["cpu"]);
    memory = memory + Quantity::of(usage["memory"]);
  };
  if (row.object["usage"].exists()) add(row.object["usage"]);
  for (Value container : row.object["containers"].items()) add(container["usage"]);
  row.add_all(row.name(), cpu.str(), memory.str(), row.object["window"]);
}

}  // namespace kybern::apiserver
