// What the container runtime holds for one pod, as the plan sees it. Plain values: no client, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace kybern::kubelet {

enum class ContainerState : std::uint8_t { created, running, exited, unknown };  // as CRI numbers them

struct ObservedMount {
  std::string container_path, host_path;
  bool read_only = false;
};

struct ObservedContainer {
  std::string id;    // without the runtime's scheme
  std::string name;  // of the pod's spec
  std::string sandbox_id;
  std::uint32_t attempt = 0;  // the restart count it was created with
  ContainerState state = ContainerState::unknown;
  Time created_at, started_at, finished_at;  // epoch: not yet
  int exit_code = 0;
  std::string reason;    // "Completed", "Error", "OOMKilled"
  std::string message;   // the termination message, already resolved
  std::string image;     // resolved name
  std::string image_id;  // image_ref of CRI
  std::string hash;      // of the fields whose change asks for a new container
  std::string log_path;
  std::vector<ObservedMount> mounts;
  std::string termination_path, termination_policy;  // as they were when it was created

  friend bool operator==(const ObservedContainer&, const ObservedContainer&) = default;
};
inline bool operator==(const ObservedMount& a, const ObservedMount& b) {
  return a.container_path == b.container_path && a.host_path == b.host_path && a.read_only == b.read_only;
}

struct ObservedSandbox {
  std::string id;
  std::uint32_t attempt = 0;
  bool ready = false;
  bool host_network = false;
  Time created_at;
  std::vector<std::string> ips;  // empty for the host network

  friend bool operator==(const ObservedSandbox&, const ObservedSandbox&) = default;
};

// Newest first, both.
struct RuntimeState {
  std::vector<ObservedSandbox> sandboxes;
  std::vector<ObservedContainer> containers;

  const ObservedSandbox* newest_sandbox() const { return sandboxes.empty() ? nullptr : &sandboxes.front(); }
  // The newest instance of a container; `sandbox_id` "" for any sandbox.
  const ObservedContainer* newest(std::string_view name, std::string_view sandbox_id = {}) const {
    for (const ObservedContainer& c : containers) {
      if (c.name == name && (sandbox_id.empty() || c.sandbox_id == sandbox_id)) return &c;
    }
    return nullptr;
  }
  friend bool operator==(const RuntimeState&, const RuntimeState&) = default;
};

// A pod of which the runtime holds something, by the labels on its sandboxes and containers.
struct RuntimePod {
  std::string ns, name, uid;
  RuntimeState state;
};

}  // namespace kybern::kubelet
