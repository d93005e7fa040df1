// Pods: how ready, in which state, how often restarted.
#include <fmt/format.h>

#include "apiserver/print/row.h"

namespace kybern::apiserver {
namespace {

// How often containers were restarted, and when the last one ended before that.
struct Restarts {
  std::int64_t count = 0;
  Time last{};

  void add(Value container_status) {
    count += container_status["restartCount"].as_int();
    auto finished = parse_rfc3339(container_status["lastState"]["terminated"]["finishedAt"].as_string());
    if (finished && *finished > last) last = *finished;
  }
};

struct PodSummary {
  std::string reason;
  std::int64_t ready = 0;
  std::int64_t total = 0;
  Restarts restarts;          // what the cell shows
  Restarts sidecar_restarts;  // of restartable init containers alone
};

std::string end_of(Value terminated) {
  if (!terminated["reason"].as_string().empty()) return terminated["reason"].str();
  if (std::int64_t signal = terminated["signal"].as_int()) return fmt::format("Signal:{}", signal);
  return fmt::format("ExitCode:{}", terminated["exitCode"].as_int());
}

bool is_sidecar(Value pod_spec, std::string_view container) {
  for (Value c : pod_spec["initContainers"].items())
    if (c["name"].as_string() == container) return c["restartPolicy"].as_string() == "Always";
  return false;
}

// Looks at the init containers in order up to the first that is not done. True while the pod is still initializing.
bool look_at_init_containers(Value spec, Value status, PodSummary& pod) {
  Value statuses = status["initContainerStatuses"];
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    Value container = statuses[i];
    Value terminated = container["state"]["terminated"];
    bool sidecar = is_sidecar(spec, container["name"].as_string());
    pod.restarts.add(container);
    if (sidecar) pod.sidecar_restarts.add(container);
    if (!terminated.is_null() && terminated["exitCode"].as_int() == 0) continue;
    if (sidecar && container["started"].as_bool()) {
      if (container["ready"].as_bool()) ++pod.ready;
      continue;
    }
    std::string_view waiting = container["state"]["waiting"]["reason"].as_string();
    if (!terminated.is_null()) pod.reason = "Init:" + end_of(terminated);
    else if (!waiting.empty() && waiting != "PodInitializing") pod.reason = fmt::format("Init:{}", waiting);
    else pod.reason = fmt::format("Init:{}/{}", i, spec["initContainers"].size());
    return true;
  }
  return false;
}

// The first container that has something to say decides. Where that is that it is done, what went wrong with another says more.
void look_at_containers(Value status, PodSummary& pod) {
  pod.restarts = pod.sidecar_restarts;
  bool any_running = false;
  std::string failure;
  Value statuses = status["containerStatuses"];
  for (std::size_t i = statuses.size(); i-- > 0;) {
    Value container = statuses[i];
    Value state = container["state"];
    pod.restarts.add(container);
    if (!state["waiting"]["reason"].as_string().empty()) {
      pod.reason = state["waiting"]["reason"].str();
    } else if (!state["terminated"].is_null()) {
      pod.reason = end_of(state["terminated"]);
      if (state["terminated"]["exitCode"].as_int() != 0) failure = pod.reason;
    } else if (container["ready"].as_bool() && !state["running"].is_null()) {
      any_running = true;
      ++pod.ready;
    }
  }
  if (pod.reason != "Completed") return;
  if (any_running && condition_is_true(status["conditions"], "Ready")) pod.reason = "Running";
  else if (!failure.empty()) pod.reason = failure;
  else if (any_running) pod.reason = "NotReady";
}

PodSummary summary_of(const Row& row) {
  Value spec = row.spec(), status = row.status();
  PodSummary pod;
  std::string_view phase = status["phase"].as_string();
  pod.reason = text_or(status["reason"], phase);
  if (condition_of(status["conditions"], "PodScheduled")["reason"].as_string() == "SchedulingGated") pod.reason = "SchedulingGated";
  pod.total = static_cast<std::int64_t>(spec["containers"].size());
  for (Value c : spec["initContainers"].items())
    if (c["restartPolicy"].as_string() == "Always") ++pod.total;
  bool initializing = look_at_init_containers(spec, status, pod);
  if (!initializing || condition_is_true(status["conditions"], "Initialized")) look_at_containers(status, pod);
  if (row.in_deletion()) {
    if (status["reason"].as_string() == "NodeLost") pod.reason = "Unknown";
    else if (phase != "Succeeded" && phase != "Failed") pod.reason = "Terminating";
  }
  return pod;
}

std::string readiness_gates(Value spec, Value status) {
  Value gates = spec["readinessGates"];
  if (gates.empty()) return "<none>";
  int passed = 0;
  for (Value gate : gates.items())
    if (condition_is_true(status["conditions"], gate["conditionType"].as_string())) ++passed;
  return fmt::format("{}/{}", passed, gates.size());
}

}  // namespace

void pod_cells(Row& row) {
  PodSummary pod = summary_of(row);
  std::string restarts = std::to_string(pod.restarts.count);
  if (pod.restarts.count != 0 && pod.restarts.last != Time{})
    restarts += fmt::format(" ({} ago)", row.since(Draft(format_rfc3339(pod.restarts.last)).freeze()));
  row.add_all(row.name(), fmt::format("{}/{}", pod.ready, pod.total), pod.reason, restarts, row.age());
  row.add_all(text_or(row.status()["podIPs"][0]["ip"], text_or(row.status()["podIP"], "<none>")), text_or(row.spec()["nodeName"], "<none>"),
              text_or(row.status()["nominatedNodeName"], "<none>"), readiness_gates(row.spec(), row.status()));
}

void pod_template_cells(Row& row) {
  auto [names, images] = container_texts(row.object["template"]["spec"]["containers"]);
  row.add_all(row.name(), names, images, labels_text(row.object["template"]["metadata"]["labels"]));
}

}  // namespace kybern::apiserver
