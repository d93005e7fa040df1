// A pod's spec as the configuration messages of CRI: PodSandboxConfig and ContainerConfig (field names as in the protobuf
// definition).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kubelet/plan/environment.h"
#include "kubelet/plan/network_files.h"
#include "kubelet/plan/pod_view.h"

namespace kybern::kubelet {

struct SandboxFacts {
  std::uint32_t attempt = 0;
  std::string log_directory;
  std::string cgroup_parent;  // "/kubepods/burstable/pod<uid>"
  HostName host;
  ResolverConfig resolver;
};
Document sandbox_config(const PodView& pod, const SandboxFacts& facts);

// One bind mount of a container, host paths resolved.
struct MountSpec {
  std::string container_path, host_path;
  bool read_only = false, recursive_read_only = false;
  int propagation = 0;  // CRI's MountPropagation
};

struct ContainerFacts {
  std::uint32_t attempt = 0;
  std::string image_ref;  // what the runtime calls the image
  std::optional<std::int64_t> image_uid;
  std::string image_username;
  Environment environment;
  std::vector<MountSpec> mounts;
  std::string target_container_id;  // of an ephemeral container with targetContainerName
  std::int64_t node_memory_bytes = 0;
  bool cgroup_v2 = false;
};
// Fails with the message of CreateContainerConfigError when the user it would run as breaks runAsNonRoot.
Result<Document> container_config(const PodView& pod, const ContainerView& c, const ContainerFacts& facts);

std::string pod_log_folder(const PodView& pod);                                     // ns_name_uid
std::string container_log_path(std::string_view container, std::uint32_t attempt);  // "web/0.log", below the folder

// What the API's in-place resize and the CRI update carry: LinuxContainerResources.
Document linux_resources(const PodView& pod, const ContainerView& c, std::int64_t node_memory_bytes, bool cgroup_v2);

}  // namespace kybern::kubelet
