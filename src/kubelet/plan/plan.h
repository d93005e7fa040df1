// What to do next for one pod, decided purely: the pod as desired, what the runtime holds, what the probes found and what
// is already under way go in; actions, the status to report and when to look again come out. The worker (run/worker.h)
// carries plans out and asks again after each step, so a plan holds only what can be done now.
//
//   wanted, nothing there      -> Prepare, CreateSandbox, StartContainer a (init), ... StartContainer b
//   b crashed                  -> status CrashLoopBackOff, look again in 10 s; then StartContainer b attempt 1
//   deleted                    -> KillContainer for each, StopSandbox, Finish, DeletePod, RemoveSandbox
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "document/document.h"
#include "kubelet/plan/backoff.h"
#include "kubelet/plan/pod_view.h"
#include "kubelet/plan/resources.h"
#include "kubelet/plan/runtime_state.h"

namespace kybern::kubelet {

// By container id. Absent: the probe has not come to a result yet.
struct ProbeResults {
  std::map<std::string, bool> liveness, readiness, startup;
};

// Why the last try to start something failed.
struct Problem {
  std::string reason, message;  // reason: of the container's waiting state
  Time at, retry_at;
  std::string image = {};  // of a container's: with another image it is no problem any more
  // Of ErrImagePull: from then on it is ImagePullBackOff.
  Time backs_off_at() const { return at + std::min<Duration>((retry_at - at) / 2, std::chrono::seconds(10)); }
  friend bool operator==(const Problem&, const Problem&) = default;
};

// Why the kubelet itself ends a pod. The phase becomes Failed with this reason.
struct Ending {
  std::string reason, message;
  std::optional<std::int64_t> grace_s;  // instead of the pod's
  friend bool operator==(const Ending&, const Ending&) = default;
};

// What a running container was last given.
struct Applied {
  CgroupFigures figures;
  Document resources;  // of the spec at that time: limits and requests
};

// What this kubelet knows of a pod beyond API and runtime. Empty after a restart of the kubelet: everything here can be
// done again without harm.
struct PodMemory {
  bool prepared = false;  // cgroup, folders and volumes are there
  bool finished = false;  // nothing runs, and volumes and cgroup are gone again
  bool removed = false;   // its source does not have it any more
  bool delete_asked = false;
  std::optional<Ending> ending;
  std::optional<Time> stopping_since;

  std::map<std::string, Problem> problems;  // by container
  std::map<std::string, Backoff> crashes;   // by container
  std::set<std::string> told_backoff;       // ids of ended containers whose BackOff event is recorded
  std::optional<Problem> prepare_problem, sandbox_problem;

  // Resizing in place (KEP-1287). The pod that is planned for has the resources that this node has granted; what the API
  // asks for beyond that waits here.
  std::map<std::string, Applied> applied;  // by container id
  std::optional<Problem> resize_pending;   // reason Deferred or Infeasible
  std::optional<Problem> resize_problem;   // the last try to apply what is granted failed

  // Under way
  bool preparing = false, making_sandbox = false, finishing = false;
  std::string starting;                         // a container's name
  std::map<std::string, std::int64_t> killing;  // container id -> grace in seconds
  std::set<std::string> stopping_sandboxes;
};

struct NodeFacts {
  std::vector<std::string> ips;        // the node's own, the primary one first
  std::string runtime = "containerd";  // scheme of container ids
};

struct Prepare {
  friend bool operator==(const Prepare&, const Prepare&) = default;
};
struct CreateSandbox {
  std::uint32_t attempt = 0;
  friend bool operator==(const CreateSandbox&, const CreateSandbox&) = default;
};
struct StopSandbox {
  std::string id;
  friend bool operator==(const StopSandbox&, const StopSandbox&) = default;
};
struct RemoveSandbox {
  std::string id;
  friend bool operator==(const RemoveSandbox&, const RemoveSandbox&) = default;
};
struct StartContainer {
  std::string name;
  std::uint32_t attempt = 0;
  std::optional<Time> crashed_at;  // a restart after a crash: counts for the back-off
  friend bool operator==(const StartContainer&, const StartContainer&) = default;
};
struct KillContainer {
  std::string id, name, message;
  std::int64_t grace_s = 30;
  friend bool operator==(const KillContainer&, const KillContainer&) = default;
};
struct RemoveContainer {
  std::string id;
  friend bool operator==(const RemoveContainer&, const RemoveContainer&) = default;
};
struct ResizeContainers {
  std::vector<std::string> ids;
  friend bool operator==(const ResizeContainers&, const ResizeContainers&) = default;
};
struct Finish {
  friend bool operator==(const Finish&, const Finish&) = default;
};
struct DeletePod {
  friend bool operator==(const DeletePod&, const DeletePod&) = default;
};
// An event to record. `container` "" for the pod as a whole; `about` an id by which it is told once only.
struct Tell {
  std::string type, reason, message, container, about;
  friend bool operator==(const Tell&, const Tell&) = default;
};
using Action = std::variant<Prepare, CreateSandbox, StopSandbox, RemoveSandbox, StartContainer, KillContainer, RemoveContainer,
                            ResizeContainers, Finish, DeletePod, Tell>;

struct Plan {
  std::vector<Action> actions;
  std::optional<Ending> ending;        // newly decided; the worker remembers it
  bool stopping = false;               // the pod is on its way out
  Document status;                     // the whole core/v1 PodStatus as this kubelet sees it
  std::optional<Duration> wake_after;  // look again then, even if nothing happens
};

Plan plan_pod(const PodView& pod, const RuntimeState& runtime, const ProbeResults& probes, const PodMemory& memory, const NodeFacts& node,
              Time now);

// ---- parts, shared by plan and status

// What the API was last told of this instance of a container; none when it was told of another one. It holds until the
// probes of a kubelet that has begun anew come to a verdict.
Value told_of(const PodView& pod, const ContainerView& c, const ObservedContainer& instance);
bool is_started(const PodView& pod, const ContainerView& c, const ObservedContainer& instance, const ProbeResults& probes);
// Why the last try to start it failed; null when none did, or when it has another image by now.
const Problem* problem_of(const ContainerView& c, const PodMemory& memory);
// An ended container that is to run again, but not yet: how long to wait.
Duration crash_delay(const ObservedContainer& instance, const PodMemory& memory, Time now);
// Nothing of the pod will ever start again: its containers ended and none is to be restarted, or its init failed for good.
bool is_complete(const PodView& pod, const RuntimeState& runtime);
// A running container whose granted resources are not applied yet.
bool resize_due(const ContainerView& c, const ObservedContainer& instance, const PodMemory& memory);
bool anything_runs(const RuntimeState& runtime);  // a container that has not ended, or a ready sandbox
bool is_terminal_phase(std::string_view phase);
std::uint32_t next_attempt(const PodView& pod, const ContainerView& c, const RuntimeState& runtime);
Document make_status(const PodView& pod, const RuntimeState& runtime, const ProbeResults& probes, const PodMemory& memory,
                     const NodeFacts& node, const std::optional<Ending>& ending, bool stopping, Time now);

std::string describe(const Action& action);  // one line, for logs and failing tests

}  // namespace kybern::kubelet
