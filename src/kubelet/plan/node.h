// The Node object that a kubelet registers and keeps current, as a pure function of what it knows of its machine.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "document/document.h"
#include "kubelet/plan/resources.h"

namespace kybern::kubelet {

struct MachineFacts {
  std::string name;
  std::vector<std::string> ips;
  std::int64_t cpu_milli = 0, memory_bytes = 0, disk_bytes = 0, max_pods = 110;
  std::string machine_id, system_uuid, boot_id, kernel, os_image, architecture;  // architecture in Go's words: amd64, arm64
  std::string kubelet_version, runtime_version;                                  // "containerd://1.6.20"
  int port = 10250;
};

struct NodeImage {
  std::vector<std::string> names;
  std::uint64_t size_bytes = 0;
};

struct NodeCondition {
  std::string type, reason, message;
  bool status = false;
};

struct NodeState {
  std::vector<NodeCondition> problems;  // of the runtime: what keeps the node from being ready; empty: ready
  std::vector<NodeImage> images;
  std::vector<Document> runtime_handlers;
  bool supplemental_groups_policy = false;
  bool memory_pressure = false, disk_pressure = false, pid_pressure = false;
};

Amounts node_allocatable(const MachineFacts& facts);
Document make_node(const MachineFacts& facts, const std::map<std::string, std::string>& labels, const std::vector<std::string>& taints,
                   const std::string& provider_id);
// `old`: the status that the API has, for the times of transitions.
Document make_node_status(const MachineFacts& facts, const NodeState& state, Value old, Time now);
// Equal but for the heartbeat times.
bool same_node_status(Value a, Value b);

// The Lease that says that the node is alive; `old` may be absent.
Document make_lease(const std::string& node_name, const std::string& node_uid, Value old, Time now);

}  // namespace kybern::kubelet
