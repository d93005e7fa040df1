// What the kubelet counts about itself, under upstream's names (kubelet_*, prober_*); shown by /metrics.
#pragma once

#include <chrono>
#include <string_view>

namespace kybern::kubelet::measures {

// A call of the container runtime; `method` as CRI has it ("RunPodSandbox").
void runtime_operation(std::string_view method, bool succeeded, std::chrono::nanoseconds took);

void pod_sandbox_made(bool succeeded);
// `type`: "init_container", "container" or "ephemeral_container"; `reason`: "" or why it could not be started.
void container_started(std::string_view type, std::string_view reason);
// From when this kubelet first saw the pod until all its containers had been started.
void pod_started(std::chrono::nanoseconds took);
// One round of a pod's worker.
void pod_worked(bool stopping, std::chrono::nanoseconds took);
void status_written(std::chrono::nanoseconds took);
void request(std::string_view method, std::string_view path, bool long_running);

struct Probed {
  std::string_view type, container, pod, ns, uid;
};                                                         // type: "Liveness"...
void probed(const Probed& what, std::string_view result);  // "successful", "failed", "unknown"
void forget(const Probed& what);

}  // namespace kybern::kubelet::measures
