#include "kubelet/plan/node.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace kybern::kubelet {
namespace {

constexpr std::int64_t kept_free_memory = 100 << 20;  // upstream's hard eviction thresholds
constexpr std::int64_t kept_free_disk_percent = 10;
constexpr std::size_t most_images = 50, most_image_names = 5;
constexpr std::int64_t lease_seconds = 40;

std::string kibibytes(std::int64_t bytes) { return fmt::format("{}Ki", bytes / 1024); }
std::string cpu_text(std::int64_t milli) { return milli % 1000 == 0 ? std::to_string(milli / 1000) : fmt::format("{}m", milli); }

Draft capacity(const MachineFacts& f) {
  return Draft::object({{"cpu", cpu_text(f.cpu_milli)},
                        {"ephemeral-storage", kibibytes(f.disk_bytes)},
                        {"hugepages-1Gi", "0"},
                        {"hugepages-2Mi", "0"},
                        {"memory", kibibytes(f.memory_bytes)},
                        {"pods", std::to_string(f.max_pods)}});
}

Draft allocatable(const MachineFacts& f) {
  Draft out = capacity(f);
  out["ephemeral-storage"] = std::to_string(f.disk_bytes / 100 * (100 - kept_free_disk_percent));
  out["memory"] = kibibytes(std::max<std::int64_t>(0, f.memory_bytes - kept_free_memory));
  return out;
}

struct NodeConditions {
  Value old;
  Time now;
  Draft list = Draft::array();
  void add(std::string_view type, bool status, std::string_view reason, std::string_view message) {
    std::string_view text = status ? "True" : "False";
    std::string since = format_rfc3339(now);
    for (Value c : old["conditions"].items()) {
      if (c["type"].as_string() == type && c["status"].as_string() == text) since = c["lastTransitionTime"].str();
    }
    list.push_back(Draft::object({{"lastHeartbeatTime", format_rfc3339(now)},
                                  {"lastTransitionTime", since},
                                  {"message", message},
                                  {"reason", reason},
                                  {"status", text},
                                  {"type", type}}));
  }
};

Draft node_info(const MachineFacts& f) {
  return Draft::object({{"architecture", f.architecture},
                        {"bootID", f.boot_id},
                        {"containerRuntimeVersion", f.runtime_version},
                        {"kernelVersion", f.kernel},
                        {"kubeProxyVersion", ""},
                        {"kubeletVersion", f.kubelet_version},
                        {"machineID", f.machine_id},
                        {"operatingSystem", "linux"},
                        {"osImage", f.os_image},
                        {"systemUUID", f.system_uuid}});
}

Draft taint_of(std::string_view text) {
  std::size_t colon = text.rfind(':');
  std::string_view key = text.substr(0, colon), effect = colon == std::string_view::npos ? "NoSchedule" : text.substr(colon + 1);
  Draft taint = Draft::object({{"effect", effect}});
  std::size_t equals = key.find('=');
  taint["key"] = key.substr(0, equals);
  if (equals != std::string_view::npos) taint["value"] = key.substr(equals + 1);
  return taint;
}

}  // namespace

Amounts node_allocatable(const MachineFacts& facts) { return amounts_of(allocatable(facts).freeze().root()); }

Document make_node(const MachineFacts& f, const std::map<std::string, std::string>& labels, const std::vector<std::string>& taints,
                   const std::string& provider_id) {
  Draft all = Draft::object({{"beta.kubernetes.io/arch", f.architecture},
                             {"beta.kubernetes.io/os", "linux"},
                             {"kubernetes.io/arch", f.architecture},
                             {"kubernetes.io/hostname", f.name},
                             {"kubernetes.io/os", "linux"}});
  for (const auto& [key, value] : labels) all[key] = value;
  Draft meta = Draft::object({{"name", f.name}});
  meta["annotations"]["volumes.kubernetes.io/controller-managed-attach-detach"] = "true";
  meta["labels"] = std::move(all);
  Draft spec = Draft::object();
  for (const std::string& taint : taints) spec["taints"].push_back(taint_of(taint));
  if (!provider_id.empty()) spec["providerID"] = provider_id;
  return Draft::object({{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", meta}, {"spec", spec}}).freeze();
}

Document make_node_status(const MachineFacts& f, const NodeState& state, Value old, Time now) {
  Draft s = Draft::object();
  Draft addresses = Draft::array();
  for (const std::string& ip : f.ips) addresses.push_back(Draft::object({{"address", ip}, {"type", "InternalIP"}}));
  addresses.push_back(Draft::object({{"address", f.name}, {"type", "Hostname"}}));
  s["addresses"] = std::move(addresses);
  s["allocatable"] = allocatable(f);
  s["capacity"] = capacity(f);
  NodeConditions c{old, now};
  auto pressure = [&](std::string_view type, bool on, std::string_view has, std::string_view has_not, std::string_view what,
                      std::string_view lack) { c.add(type, on, on ? has : has_not, fmt::format("kubelet has {}", on ? lack : what)); };
  pressure("MemoryPressure", state.memory_pressure, "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory",
           "sufficient memory available", "insufficient memory available");
  pressure("DiskPressure", state.disk_pressure, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure", "no disk pressure", "disk pressure");
  pressure("PIDPressure", state.pid_pressure, "KubeletHasInsufficientPID", "KubeletHasSufficientPID", "sufficient PID available",
           "insufficient PID available");
  std::vector<std::string> messages;
  for (const NodeCondition& p : state.problems) messages.push_back(p.message);
  if (messages.empty()) c.add("Ready", true, "KubeletReady", "kubelet is posting ready status");
  else c.add("Ready", false, "KubeletNotReady", messages.size() == 1 ? messages[0] : fmt::format("[{}]", join(messages, ", ")));
  s["conditions"] = std::move(c.list);
  s["daemonEndpoints"] = Draft::object({{"kubeletEndpoint", Draft::object({{"Port", f.port}})}});
  s["features"] = Draft::object({{"supplementalGroupsPolicy", state.supplemental_groups_policy}});
  std::vector<NodeImage> images = state.images;
  std::stable_sort(images.begin(), images.end(), [](const NodeImage& a, const NodeImage& b) { return a.size_bytes > b.size_bytes; });
  if (images.size() > most_images) images.resize(most_images);
  Draft list = Draft::array();
  for (const NodeImage& image : images) {
    Draft names = Draft::array();
    for (std::size_t i = 0; i < std::min(most_image_names, image.names.size()); ++i) names.push_back(image.names[i]);
    list.push_back(Draft::object({{"names", std::move(names)}, {"sizeBytes", image.size_bytes}}));
  }
  if (!list.empty()) s["images"] = std::move(list);
  s["nodeInfo"] = node_info(f);
  if (!state.runtime_handlers.empty()) {
    Draft handlers = Draft::array();
    for (const Document& h : state.runtime_handlers) handlers.push_back(h);
    s["runtimeHandlers"] = std::move(handlers);
  }
  return s.freeze();
}

bool same_node_status(Value a, Value b) {
  auto without_heartbeats = [](Value status) {
    Draft d(status);
    if (Draft* conditions = d.find("conditions"); conditions != nullptr && conditions->is_array()) {
      for (Draft& c : conditions->items()) c.erase("lastHeartbeatTime");
    }
    return d;
  };
  return without_heartbeats(a) == without_heartbeats(b);
}

Document make_lease(const std::string& node_name, const std::string& node_uid, Value old, Time now) {
  Draft lease = old.is_object() ? Draft(old) : Draft::object({{"apiVersion", "coordination.k8s.io/v1"}, {"kind", "Lease"}});
  Draft& meta = lease["metadata"];
  meta["name"] = node_name;
  meta["namespace"] = "kube-node-lease";
  if (!node_uid.empty()) {
    meta["ownerReferences"] =
        Draft::array({Draft::object({{"apiVersion", "v1"}, {"kind", "Node"}, {"name", node_name}, {"uid", node_uid}})});
  }
  lease["spec"]["holderIdentity"] = node_name;
  lease["spec"]["leaseDurationSeconds"] = lease_seconds;
  lease["spec"]["renewTime"] = format_rfc3339_micro(now);
  return lease.freeze();
}

}  // namespace kybern::kubelet
