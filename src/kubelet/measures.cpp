#include "kubelet/measures.h"

#include <string>

#include "base/metrics.h"

namespace kybern::kubelet::measures {
namespace {

using metrics::CounterFamily;
using metrics::HistogramFamily;

const std::vector<double> short_times = metrics::exponential_bounds(0.005, 2.5, 14);
const std::vector<double> start_times = {0.5, 1,   2,   3,   4,   5,   6,   8,   10,   20,   30,   45,  60,
                                         120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600};
const std::vector<double> work_times = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

CounterFamily operations("kubelet_runtime_operations_total", "Calls of the container runtime.", {"operation_type"});
CounterFamily operation_errors("kubelet_runtime_operations_errors_total", "Calls of the container runtime that failed.",
                               {"operation_type"});
HistogramFamily operation_seconds("kubelet_runtime_operations_duration_seconds", "How long calls of the container runtime took.",
                                  short_times, {"operation_type"});
CounterFamily pods_started("kubelet_started_pods_total", "Pod sandboxes that were asked for.");
CounterFamily pod_errors("kubelet_started_pods_errors_total", "Pod sandboxes that could not be made.");
CounterFamily containers_started("kubelet_started_containers_total", "Containers whose start was tried.", {"container_type"});
CounterFamily container_errors("kubelet_started_containers_errors_total", "Containers that could not be started, by reason.",
                               {"container_type", "code"});
HistogramFamily pod_start_seconds("kubelet_pod_start_duration_seconds", "From a pod's first sight to the start of its containers.",
                                  start_times);
HistogramFamily work_seconds("kubelet_pod_worker_duration_seconds", "One round of work for a pod.", work_times, {"operation_type"});
HistogramFamily status_seconds("kubelet_pod_status_sync_duration_seconds", "How long it took to write a pod's status to the API.",
                               {0.010, 0.050, 0.100, 0.500, 1, 5, 10, 20, 30, 45, 60});
CounterFamily requests("kubelet_http_requests_total", "Requests to the kubelet's server.",
                       {"method", "path", "server_type", "long_running"});
CounterFamily probes("prober_probe_total", "Probes of containers by their result.",
                     {"probe_type", "result", "container", "pod", "namespace", "pod_uid"});

double seconds(std::chrono::nanoseconds took) { return std::chrono::duration<double>(took).count(); }

// "RunPodSandbox" -> "run_podsandbox", as upstream names the operations: a word for each, but PodSandbox is one.
std::string operation_name(std::string_view method) {
  std::string out;
  for (std::size_t i = 0; i < method.size(); ++i) {
    char c = method[i];
    bool upper = c >= 'A' && c <= 'Z';
    bool joined = method.substr(0, i).ends_with("Pod") && method.substr(i).starts_with("Sandbox");
    if (upper && i > 0 && !joined) out += '_';
    out += upper ? static_cast<char>(c + 32) : c;
  }
  if (out == "update_container_resources") return "update_container";
  return out;
}

}  // namespace

void runtime_operation(std::string_view method, bool succeeded, std::chrono::nanoseconds took) {
  std::string name = operation_name(method);
  operations.with({name}).add();
  if (!succeeded) operation_errors.with({name}).add();
  operation_seconds.with({name}).observe(seconds(took));
}

void pod_sandbox_made(bool succeeded) {
  pods_started.with({}).add();
  if (!succeeded) pod_errors.with({}).add();
}

void container_started(std::string_view type, std::string_view reason) {
  containers_started.with({type}).add();
  if (!reason.empty()) container_errors.with({type, reason}).add();
}

void pod_started(std::chrono::nanoseconds took) { pod_start_seconds.with({}).observe(seconds(took)); }
void pod_worked(bool stopping, std::chrono::nanoseconds took) {
  work_seconds.with({stopping ? "terminating" : "sync"}).observe(seconds(took));
}
void status_written(std::chrono::nanoseconds took) { status_seconds.with({}).observe(seconds(took)); }
void request(std::string_view method, std::string_view path, bool long_running) {
  requests.with({method, path, "readwrite", long_running ? "true" : "false"}).add();
}

void probed(const Probed& what, std::string_view result) {
  probes.with({what.type, result, what.container, what.pod, what.ns, what.uid}).add();
}
void forget(const Probed& what) {
  for (const char* result : {"successful", "failed", "unknown"})
    probes.erase({what.type, result, what.container, what.pod, what.ns, what.uid});
}

}  // namespace kybern::kubelet::measures
