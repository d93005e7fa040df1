#include "scheduler/state.h"

#include <algorithm>

#include "machinery/quantity.h"

namespace kybern::scheduler {
namespace {

constexpr std::int64_t unasked_cpu_milli = 100, unasked_memory = 200 << 20;  // for scoring, as upstream

Resources read_resources(Value list) {
  Resources out;
  for (Member m : list.members()) {
    if (m.key == "cpu") out.cpu_milli = Quantity::of(m.value).milli_value();
    else if (m.key == "memory") out.memory = Quantity::of(m.value).value();
    else if (m.key == "ephemeral-storage") out.ephemeral_storage = Quantity::of(m.value).value();
    else if (m.key != "pods") out.extended.emplace_back(std::string(m.key), Quantity::of(m.value).value());
  }
  std::sort(out.extended.begin(), out.extended.end());
  return out;
}

void raise_to(Resources& out, const Resources& other) {
  out.cpu_milli = std::max(out.cpu_milli, other.cpu_milli);
  out.memory = std::max(out.memory, other.memory);
  out.ephemeral_storage = std::max(out.ephemeral_storage, other.ephemeral_storage);
  for (const auto& [name, amount] : other.extended) {
    std::int64_t* mine = out.find(name);
    *mine = std::max(*mine, amount);
  }
}

// `beside`: only those that run beside the containers, not the init containers that end before.
void read_ports(Value containers, bool beside, std::vector<HostPort>& out) {
  for (Value c : containers.items()) {
    if (beside && c["restartPolicy"].as_string() != "Always") continue;
    for (Value p : c["ports"].items()) {
      if (p["hostPort"].as_int() <= 0) continue;
      std::string ip = p["hostIP"].str();
      out.push_back({ip.empty() ? "0.0.0.0" : ip, p["protocol"].as_string().empty() ? "TCP" : p["protocol"].str(), p["hostPort"].as_int()});
    }
  }
}

}  // namespace

std::int64_t* Resources::find(std::string_view name) {
  auto at = std::lower_bound(extended.begin(), extended.end(), name, [](const auto& e, std::string_view n) { return e.first < n; });
  if (at == extended.end() || at->first != name) at = extended.insert(at, {std::string(name), 0});
  return &at->second;
}

std::int64_t Resources::get(std::string_view name) const {
  auto at = std::lower_bound(extended.begin(), extended.end(), name, [](const auto& e, std::string_view n) { return e.first < n; });
  return at != extended.end() && at->first == name ? at->second : 0;
}

void Resources::add(const Resources& other, int sign) {
  cpu_milli += sign * other.cpu_milli;
  memory += sign * other.memory;
  ephemeral_storage += sign * other.ephemeral_storage;
  for (const auto& [name, amount] : other.extended) *find(name) += sign * amount;
}

PodNeeds read_pod(Document pod) {
  PodNeeds out;
  Value spec = pod["spec"], meta = pod["metadata"];
  out.key = meta["namespace"].str() + "/" + meta["name"].str();
  out.node_name = spec["nodeName"].as_string();
  out.scheduler_name = spec["schedulerName"].as_string();
  out.priority = spec["priority"].as_int();
  out.tolerations = spec["tolerations"];
  out.node_selector = spec["nodeSelector"];
  out.required_terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
  out.preferred_terms = spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
  auto scored = [&](Value container, const Resources& r) {
    Value requests = container["resources"]["requests"];
    out.scored_cpu_milli += requests["cpu"].exists() ? r.cpu_milli : unasked_cpu_milli;
    out.scored_memory += requests["memory"].exists() ? r.memory : unasked_memory;
  };
  for (Value c : spec["containers"].items()) {
    Resources r = read_resources(c["resources"]["requests"]);
    scored(c, r);
    out.requests.add(r, 1);
  }
  // Init containers run one after the other; those that restart always (sidecars) stay beside the next ones.
  Resources sidecars, init_peak;
  for (Value c : spec["initContainers"].items()) {
    Resources r = read_resources(c["resources"]["requests"]);
    if (c["restartPolicy"].as_string() == "Always") {
      scored(c, r);
      out.requests.add(r, 1);
      sidecars.add(r, 1);
      raise_to(init_peak, sidecars);
    } else {
      r.add(sidecars, 1);
      raise_to(init_peak, r);
    }
  }
  raise_to(out.requests, init_peak);
  if (Value whole = spec["resources"]["requests"]; whole.is_object()) {  // pod-level resources (KEP-2837) replace the sums
    Resources r = read_resources(whole);
    if (whole["cpu"].exists()) out.requests.cpu_milli = r.cpu_milli;
    if (whole["memory"].exists()) out.requests.memory = r.memory;
  }
  Resources overhead = read_resources(spec["overhead"]);
  out.requests.add(overhead, 1);
  out.scored_cpu_milli += overhead.cpu_milli;
  out.scored_memory += overhead.memory;
  read_ports(spec["containers"], false, out.ports);
  read_ports(spec["initContainers"], true, out.ports);
  out.pod = std::move(pod);
  return out;
}

void NodeState::set_node(Document document) {
  node = std::move(document);
  name = node["metadata"]["name"].str();
  Value room = node["status"]["allocatable"].exists() ? node["status"]["allocatable"] : node["status"]["capacity"];
  allocatable = read_resources(room);
  pods_allowed = Quantity::of(room["pods"]).value();
  unschedulable = node["spec"]["unschedulable"].as_bool();
  taints.clear();
  for (Value t : node["spec"]["taints"].items()) taints.push_back({t["key"].as_string(), t["value"].as_string(), t["effect"].as_string()});
}

void NodeState::add(const PodNeeds& pod, int sign) {
  requested.add(pod.requests, sign);
  scored_cpu_milli += sign * pod.scored_cpu_milli;
  scored_memory += sign * pod.scored_memory;
  pods += sign;
  for (const HostPort& port : pod.ports) {
    if (sign > 0) ports.insert(port);
    else if (auto at = ports.find(port); at != ports.end()) ports.erase(at);
  }
}

bool occupies(Value pod) {
  std::string_view phase = pod["status"]["phase"].as_string();
  return phase != "Succeeded" && phase != "Failed";
}

}  // namespace kybern::scheduler
