// The PodStatus that a kubelet reports: container statuses, phase, conditions.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "kubelet/plan/plan.h"
#include "kubelet/plan/resources.h"

namespace kybern::kubelet {
namespace {

using Role = ContainerView::Role;

struct StatusMaker {
  const PodView& pod;
  const RuntimeState& runtime;
  const ProbeResults& probes;
  const PodMemory& memory;
  const NodeFacts& node;
  const std::optional<Ending>& ending;
  bool stopping;
  Time now;

  Draft container_id(std::string_view id) const { return Draft(fmt::format("{}://{}", node.runtime, id)); }

  Draft terminated(const ObservedContainer& c) const {
    Draft t = Draft::object({{"containerID", container_id(c.id)}, {"exitCode", c.exit_code}});
    t["finishedAt"] = format_rfc3339(c.finished_at);
    if (!c.message.empty()) t["message"] = c.message;
    t["reason"] = c.reason.empty() ? (c.exit_code == 0 ? "Completed" : "Error") : c.reason;
    t["startedAt"] = format_rfc3339(c.started_at);
    return Draft::object({{"terminated", t}});
  }
  static Draft waiting(std::string_view reason, std::string_view message = {}) {
    Draft w = Draft::object();
    if (!message.empty()) w["message"] = message;
    w["reason"] = reason;
    return Draft::object({{"waiting", w}});
  }

  Draft problem_state(const Problem& p, const ContainerView& c) const {
    if (p.reason == "ErrImagePull" && now >= p.backs_off_at() && now < p.retry_at) {
      return waiting("ImagePullBackOff", fmt::format("Back-off pulling image \"{}\": ErrImagePull: {}", c.image, p.message));
    }
    return waiting(p.reason, p.message);
  }

  std::string_view default_waiting(const ContainerView& c) const {
    if (c.is_init()) return "PodInitializing";
    return c.role == Role::regular && pod.has_init() ? "PodInitializing" : "ContainerCreating";
  }

  static const char* list_of(const ContainerView& c) {
    return c.is_init() ? "initContainerStatuses" : c.role == Role::ephemeral ? "ephemeralContainerStatuses" : "containerStatuses";
  }
  Value old_status(const ContainerView& c) const {
    for (Value s : pod.status()[list_of(c)].items()) {
      if (s["name"].as_string() == c.name) return s;
    }
    return Value();
  }

  // The state of a container that the runtime does not have (any more).
  void without_instance(Draft& s, const ContainerView& c) const {
    Value old = old_status(c);
    const Problem* problem = problem_of(c, memory);
    if (Value ended = old["state"]["terminated"]; ended.is_object()) {
      s["restartCount"] = old["restartCount"].as_int();
      s["containerID"] = old["containerID"].str();
      s["imageID"] = old["imageID"].str();
      s["image"] = old["image"].str();
      s["lastState"] = old["lastState"];
      s["state"] = old["state"];
      s["ready"] = old["ready"].as_bool() && c.role == Role::init;
      return;
    }
    if (Value ran = old["state"]["running"]; ran.is_object() && stopping) {
      Draft t = Draft::object({{"exitCode", 137}, {"finishedAt", nullptr}, {"startedAt", nullptr}, {"reason", "ContainerStatusUnknown"}});
      t["message"] = "The container could not be located when the pod was terminated";
      s["restartCount"] = old["restartCount"].as_int();
      s["state"] = Draft::object({{"terminated", t}});
      return;
    }
    if (Value ran = old["state"]["running"]; ran.is_object() && !old["containerID"].as_string().empty()) {
      Draft t = Draft::object({{"exitCode", 137}, {"finishedAt", nullptr}, {"startedAt", nullptr}, {"reason", "ContainerStatusUnknown"}});
      t["message"] = "The container could not be located when the pod was deleted.  The container used to be Running";
      s["lastState"] = Draft::object({{"terminated", t}});
      s["restartCount"] = old["restartCount"].as_int() + 1;
    } else if (old.is_object()) {
      s["lastState"] = old["lastState"];
      s["restartCount"] = old["restartCount"].as_int();
    }
    s["state"] = problem != nullptr ? problem_state(*problem, c) : waiting(default_waiting(c));
  }

  void from_instance(Draft& s, const ContainerView& c, const ObservedContainer& seen) const {
    s["containerID"] = container_id(seen.id);
    s["image"] = seen.image.empty() ? c.image : seen.image;
    s["imageID"] = seen.image_id;
    s["restartCount"] = seen.attempt;
    last_state(s, c, seen);
    bool hook_runs = memory.starting == c.name && c.post_start;
    const Problem* problem = problem_of(c, memory);
    switch (seen.state) {
      case ContainerState::running:
        if (hook_runs) s["state"] = waiting(default_waiting(c));
        else s["state"] = Draft::object({{"running", Draft::object({{"startedAt", format_rfc3339(seen.started_at)}})}});
        break;
      case ContainerState::created: s["state"] = waiting(default_waiting(c)); break;
      case ContainerState::unknown: s["state"] = waiting("ContainerStatusUnknown"); break;
      case ContainerState::exited: {
        s["state"] = terminated(seen);
        bool again = !stopping && c.role != Role::ephemeral && c.restarts_after(seen.exit_code);
        if (!again || memory.starting == c.name) break;
        Duration delay = crash_delay(seen, memory, now);
        if (delay > Duration()) {
          auto backoff = memory.crashes.find(c.name);
          s["lastState"] = s["state"];
          s["state"] = waiting("CrashLoopBackOff", fmt::format("back-off {} restarting failed container={} pod={}",
                                                               format_duration(backoff->second.delay), c.name, pod.full_name()));
        } else if (problem != nullptr) {
          s["lastState"] = s["state"];
          s["state"] = problem_state(*problem, c);
        }
        break;
      }
    }
  }

  void last_state(Draft& s, const ContainerView& c, const ObservedContainer& seen) const {
    for (const ObservedContainer& o : runtime.containers) {
      if (o.name != c.name || o.id == seen.id || o.state != ContainerState::exited) continue;
      s["lastState"] = terminated(o);
      return;
    }
    Value old = old_status(c);  // collected by now: what was reported stays true
    if (seen.attempt > 0 && old.is_object()) {
      bool other = old["containerID"].as_string() != container_id(seen.id).as_string();
      s["lastState"] = other && old["state"]["terminated"].is_object() ? old["state"] : old["lastState"];
    }
  }

  void resources_and_mounts(Draft& s, const ContainerView& c, const ObservedContainer* seen) const {
    if (Value requests = c.spec["resources"]["requests"]; requests.is_object() && seen != nullptr) s["allocatedResources"] = requests;
    if (seen != nullptr && seen->state == ContainerState::running) {
      auto applied = memory.applied.find(seen->id);
      Value resources = applied == memory.applied.end() ? c.spec["resources"] : applied->second.resources.root();
      Draft r = Draft::object();
      for (const char* key : {"limits", "requests"}) {
        if (resources[key].is_object()) r[key] = resources[key];
      }
      s["resources"] = std::move(r);
    }
    if (c.spec["volumeMounts"].empty()) return;
    Draft mounts = Draft::array();
    for (Value m : c.spec["volumeMounts"].items()) {
      Draft out = Draft::object({{"mountPath", m["mountPath"]}, {"name", m["name"]}});
      if (m["readOnly"].as_bool()) {
        out["readOnly"] = true;
        out["recursiveReadOnly"] = m["recursiveReadOnly"].as_string() == "Enabled" ? "Enabled" : "Disabled";
      }
      mounts.push_back(std::move(out));
    }
    s["volumeMounts"] = std::move(mounts);
  }

  Draft container_status(const ContainerView& c) const {
    Draft s = Draft::object(
        {{"image", c.image}, {"imageID", ""}, {"lastState", Draft::object()}, {"name", c.name}, {"ready", false}, {"restartCount", 0}});
    s["started"] = false;
    const ObservedContainer* seen = runtime.newest(c.name);
    if (seen == nullptr) without_instance(s, c);
    else from_instance(s, c, *seen);
    if (s["lastState"].is_null()) s["lastState"] = Draft::object();
    bool runs = s["state"].find("running") != nullptr;
    if (runs && c.role != Role::init && c.role != Role::ephemeral) {
      bool started = is_started(pod, c, *seen, probes);
      s["started"] = started;
      s["ready"] = started && (!c.readiness || ready_by_probe(c, *seen));
    }
    if (c.role == Role::init) {
      const Draft* code = s.find_path({"state", "terminated", "exitCode"});
      if (code != nullptr && seen != nullptr) s["ready"] = code->as_int() == 0;
    }
    if (c.role == Role::ephemeral) s.erase("started");
    resources_and_mounts(s, c, seen);
    return s;
  }

  bool ready_by_probe(const ContainerView& c, const ObservedContainer& seen) const {
    auto found = probes.readiness.find(seen.id);
    return found != probes.readiness.end() ? found->second : told_of(pod, c, seen)["ready"].as_bool();
  }
};

bool has_state(const Draft& s, const char* state) { return s.find_path({"state", state}) != nullptr; }
std::int64_t exit_code(const Draft& s) {
  const Draft* code = s.find_path({"state", "terminated", "exitCode"});
  return code == nullptr ? -1 : code->as_int();
}

const Draft* status_of(const std::vector<Draft>& list, std::string_view name) {
  for (const Draft& s : list) {
    if (s.find("name")->as_string() == name) return &s;
  }
  return nullptr;
}

// The phase by upstream's counting. `over`: nothing will start again because the pod is being ended.
std::string phase_of(const PodView& pod, const std::vector<Draft>& init, const std::vector<Draft>& regular, bool over) {
  int pending_init = 0, failed_init = 0, pending_sidecars = 0;
  int waiting = 0, running = 0, stopped = 0, succeeded = 0, unknown = 0;
  for (const ContainerView& c : pod.containers) {
    if (!c.is_init()) continue;
    const Draft* s = status_of(init, c.name);
    if (c.role == Role::sidecar) {
      if (has_state(*s, "running")) {
        const Draft* started = s->find("started");
        if (started == nullptr || !started->as_bool()) ++pending_sidecars;
        ++running;
      } else if (has_state(*s, "waiting")) {
        const Draft* last = s->find_path({"lastState", "terminated"});
        if (last == nullptr) ++pending_sidecars;
      }
      continue;
    }
    if (has_state(*s, "terminated")) {
      if (exit_code(*s) != 0) (c.restart == RestartPolicy::never ? failed_init : pending_init)++;
    } else {
      ++pending_init;
    }
  }
  bool initialized = false;
  int regular_running = 0;
  for (const Draft& s : regular) {
    if (has_state(s, "running")) {
      ++running;
      ++regular_running;
      initialized = true;
    } else if (has_state(s, "terminated")) {
      ++stopped;
      initialized = true;
      if (exit_code(s) == 0) ++succeeded;
    } else if (has_state(s, "waiting")) {
      if (s.find_path({"lastState", "terminated"}) != nullptr) {
        ++stopped;
        initialized = true;
      } else {
        ++waiting;
      }
    } else {
      ++unknown;
    }
  }
  if (failed_init > 0 && pod.restart == RestartPolicy::never) return "Failed";
  if (over && regular_running == 0 && waiting == 0 && pending_init == 0)
    return succeeded == static_cast<int>(regular.size()) ? "Succeeded" : "Failed";
  if (pending_init > 0 || (pending_sidecars > 0 && !initialized)) return "Pending";
  if (waiting > 0) return "Pending";
  if (regular_running > 0 && unknown == 0) return "Running";
  if (stopped > 0 && unknown == 0) {
    bool again = false;
    for (const ContainerView& c : pod.containers) {
      const Draft* s = c.role == Role::regular ? status_of(regular, c.name) : nullptr;
      if (s != nullptr && (!has_state(*s, "terminated") || c.restarts_after(static_cast<int>(exit_code(*s))))) again = true;
    }
    if (again || running > 0) return "Running";
    return succeeded == stopped ? "Succeeded" : "Failed";
  }
  return running > 0 && unknown == 0 ? "Running" : "Pending";
}

struct PodConditions {
  const PodView& pod;
  Time now;
  Draft list = Draft::array();

  void add(std::string_view type, bool status, std::string_view reason = {}, std::string message = {}) {
    Draft c = Draft::object({{"lastProbeTime", nullptr}});
    std::string_view text = status ? "True" : "False";
    std::string since = format_rfc3339(now);
    for (Value old : pod.status()["conditions"].items()) {
      if (old["type"].as_string() == type && old["status"].as_string() == text && old["lastTransitionTime"].is_string())
        since = old["lastTransitionTime"].str();
    }
    c["lastTransitionTime"] = since;
    if (!message.empty()) c["message"] = std::move(message);
    if (pod.generation > 0) c["observedGeneration"] = pod.generation;
    if (!reason.empty()) c["reason"] = reason;
    c["status"] = text;
    c["type"] = type;
    list.push_back(std::move(c));
  }
};

struct Readiness {
  bool status;
  std::string reason, message;
};

std::string bracketed(const std::vector<std::string>& names) { return fmt::format("[{}]", join(names, " ")); }

Readiness containers_ready(const PodView& pod, const std::vector<Draft>& init, const std::vector<Draft>& regular, std::string_view phase) {
  if (phase == "Succeeded") return {false, "PodCompleted", ""};
  if (phase == "Failed") return {false, "PodFailed", ""};
  std::vector<std::string> unready;
  for (const ContainerView& c : pod.containers) {
    if (c.role != Role::regular && c.role != Role::sidecar) continue;
    const Draft* s = status_of(c.role == Role::regular ? regular : init, c.name);
    if (s == nullptr || !s->find("ready")->as_bool()) unready.push_back(c.name);
  }
  if (unready.empty()) return {true, "", ""};
  return {false, "ContainersNotReady", fmt::format("containers with unready status: {}", bracketed(unready))};
}

Readiness initialized(const PodView& pod, const std::vector<Draft>& init, const std::vector<Draft>& regular, std::string_view phase) {
  if (phase == "Succeeded") return {true, "PodCompleted", ""};
  for (const Draft& s : regular) {
    if (has_state(s, "running") || has_state(s, "terminated")) return {true, "", ""};
  }
  std::vector<std::string> incomplete;
  for (const ContainerView& c : pod.containers) {
    if (!c.is_init()) continue;
    const Draft* s = status_of(init, c.name);
    bool done = c.role == Role::sidecar ? s->find("started")->as_bool() : s->find("ready")->as_bool();
    if (!done) incomplete.push_back(c.name);
  }
  if (incomplete.empty()) return {true, "", ""};
  return {false, "ContainersNotInitialized", fmt::format("containers with incomplete status: {}", bracketed(incomplete))};
}

Readiness pod_ready(const PodView& pod, const Readiness& containers, std::string_view phase) {
  if (!containers.status) return {false, containers.reason, containers.message};
  if (is_terminal_phase(phase)) return {false, containers.reason, ""};
  std::vector<std::string> messages;
  for (const std::string& gate : pod.readiness_gates) {
    Value found;
    for (Value c : pod.status()["conditions"].items()) {
      if (c["type"].as_string() == gate) found = c;
    }
    if (!found.is_object()) messages.push_back(fmt::format("corresponding condition of pod readiness gate \"{}\" does not exist.", gate));
    else if (found["status"].as_string() != "True")
      messages.push_back(fmt::format("the status of pod readiness gate \"{}\" is not \"True\", but {}", gate, found["status"].as_string()));
  }
  if (messages.empty()) return {true, "", ""};
  return {false, "ReadinessGatesNotReady", join(messages, ", ")};
}

Draft ip_list(const std::vector<std::string>& ips) {
  Draft list = Draft::array();
  for (const std::string& ip : ips) list.push_back(Draft::object({{"ip", ip}}));
  return list;
}

void set_addresses(Draft& status, const PodView& pod, const RuntimeState& runtime, const NodeFacts& node) {
  if (!node.ips.empty()) {
    status["hostIP"] = node.ips.front();
    status["hostIPs"] = ip_list(node.ips);
  }
  std::vector<std::string> ips;
  const ObservedSandbox* sandbox = runtime.newest_sandbox();
  if (pod.host_network && sandbox != nullptr) ips = node.ips;
  else if (sandbox != nullptr && sandbox->ready) ips = sandbox->ips;
  if (ips.empty()) {  // a pod that ended keeps the addresses it had
    for (Value ip : pod.status()["podIPs"].items()) ips.push_back(ip["ip"].str());
  }
  if (ips.empty()) return;
  status["podIP"] = ips.front();
  status["podIPs"] = ip_list(ips);
}

// The status of a pod that was refused has nothing but its end; its time is of the refusal, and stays.
bool never_began(const PodView& pod, const Ending& ending) {
  Value old = pod.status();
  bool refused = old["phase"].as_string() == "Failed" && old["reason"].as_string() == ending.reason && old["containerStatuses"].empty();
  return refused || !old["startTime"].is_string();
}

// Of a pod that never began here.
Document refused_status(const PodView& pod, const Ending& ending, Time now) {
  Draft status = Draft::object({{"message", ending.message}});
  if (pod.generation > 0) status["observedGeneration"] = pod.generation;
  status["phase"] = "Failed";
  status["qosClass"] = qos_class(pod);
  status["reason"] = ending.reason;
  Value since = pod.status()["startTime"];
  status["startTime"] = since.is_string() ? since.str() : format_rfc3339(now);
  return status.freeze();
}

}  // namespace

Document make_status(const PodView& pod, const RuntimeState& runtime, const ProbeResults& probes, const PodMemory& memory,
                     const NodeFacts& node, const std::optional<Ending>& ending, bool stopping, Time now) {
  if (ending && runtime.sandboxes.empty() && never_began(pod, *ending)) return refused_status(pod, *ending, now);
  StatusMaker maker{pod, runtime, probes, memory, node, ending, stopping, now};
  std::vector<Draft> init, regular, ephemeral;
  for (const ContainerView& c : pod.containers) {
    std::vector<Draft>& list = c.is_init() ? init : c.role == Role::ephemeral ? ephemeral : regular;
    list.push_back(maker.container_status(c));
  }
  std::sort(regular.begin(), regular.end(),
            [](const Draft& a, const Draft& b) { return a.find("name")->as_string() < b.find("name")->as_string(); });
  Value old = pod.status();
  std::string old_phase = old["phase"].str();
  std::string phase = phase_of(pod, init, regular, stopping);
  std::string reason, message;
  if (ending) {
    phase = "Failed";
    reason = ending->reason;
    message = ending->message;
  }
  if (is_terminal_phase(old_phase)) {  // the end is final
    phase = old_phase;
    reason = old["reason"].str();
    message = old["message"].str();
  } else if (is_terminal_phase(phase) && anything_runs(runtime)) {  // told when nothing runs any more
    phase = old_phase.empty() ? "Pending" : old_phase;
    reason = message = "";
  }
  const ObservedSandbox* sandbox = runtime.newest_sandbox();
  bool network = sandbox != nullptr && sandbox->ready && (pod.host_network || !sandbox->ips.empty());
  Readiness ready_containers = containers_ready(pod, init, regular, phase), ready = pod_ready(pod, ready_containers, phase);
  Readiness init_done = initialized(pod, init, regular, phase);
  PodConditions conditions{pod, now};
  conditions.add("PodReadyToStartContainers", network && !is_terminal_phase(phase));
  conditions.add("Initialized", init_done.status, init_done.reason, init_done.message);
  conditions.add("Ready", ready.status, ready.reason, ready.message);
  conditions.add("ContainersReady", ready_containers.status, ready_containers.reason, ready_containers.message);
  conditions.add("PodScheduled", true);

  if (memory.resize_pending) conditions.add("PodResizePending", true, memory.resize_pending->reason, memory.resize_pending->message);
  bool resizing = std::any_of(pod.containers.begin(), pod.containers.end(), [&](const ContainerView& c) {
    const ObservedContainer* seen = runtime.newest(c.name);
    return seen != nullptr && resize_due(c, *seen, memory);
  });
  if (resizing && memory.resize_problem) conditions.add("PodResizeInProgress", true, "Error", memory.resize_problem->message);
  else if (resizing) conditions.add("PodResizeInProgress", true);

  Draft status = Draft::object();
  status["conditions"] = std::move(conditions.list);
  auto put = [&](const char* key, std::vector<Draft>& list) {
    if (list.empty()) return;
    Draft out = Draft::array();
    for (Draft& s : list) out.push_back(std::move(s));
    status[key] = std::move(out);
  };
  put("containerStatuses", regular);
  put("ephemeralContainerStatuses", ephemeral);
  set_addresses(status, pod, runtime, node);
  put("initContainerStatuses", init);
  if (!message.empty()) status["message"] = message;
  if (pod.generation > 0) status["observedGeneration"] = pod.generation;
  status["phase"] = phase;
  status["qosClass"] = old["qosClass"].is_string() ? old["qosClass"].str() : std::string(qos_class(pod));
  if (!reason.empty()) status["reason"] = reason;
  status["startTime"] = old["startTime"].is_string() ? old["startTime"].str() : format_rfc3339(now);
  return status.freeze();
}

}  // namespace kybern::kubelet
