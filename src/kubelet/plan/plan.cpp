#include "kubelet/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "base/time.h"

namespace kybern::kubelet {
namespace {

using std::chrono::seconds;
using Role = ContainerView::Role;

constexpr std::int64_t minimum_grace_s = 2;     // for sidecars that come last, and after a long preStop hook
constexpr std::size_t kept_dead_instances = 1;  // of each container, besides the newest

struct Planner {
  const PodView& pod;
  const RuntimeState& runtime;
  const ProbeResults& probes;
  const PodMemory& memory;
  Time now;
  Plan plan;

  void act(Action action) { plan.actions.push_back(std::move(action)); }
  void wake(Duration after) {
    after = std::max(after, Duration(0));
    if (!plan.wake_after || after < *plan.wake_after) plan.wake_after = after;
  }
  // False while the last failure is too fresh; then the plan looks again in time.
  bool may_retry(const std::optional<Problem>& problem) {
    if (!problem || problem->retry_at <= now) return true;
    wake(problem->retry_at - now);
    return false;
  }

  // Nothing runs in one that is created and not started, and a runtime does not end it; but its start may be under way.
  bool lives(const ObservedContainer& c) const {
    return c.state == ContainerState::created ? memory.starting == c.name : c.state != ContainerState::exited;
  }

  void kill(const ObservedContainer& c, std::string message, std::int64_t grace_s) {
    if (c.state == ContainerState::exited || c.state == ContainerState::created) return;
    auto under_way = memory.killing.find(c.id);
    if (under_way != memory.killing.end() && under_way->second <= grace_s) return;
    act(KillContainer{c.id, c.name, std::move(message), grace_s});
  }

  // Starts a container, unless another start is under way (they go one by one) or the last one failed just now.
  void start(const ContainerView& c, const ObservedContainer* ended) {
    if (!plan.actions.empty() &&
        std::any_of(plan.actions.begin(), plan.actions.end(), [](const Action& a) { return std::holds_alternative<StartContainer>(a); }))
      return;
    StartContainer action{c.name, next_attempt(pod, c, runtime), std::nullopt};
    if (ended != nullptr) {
      if (Duration left = crash_delay(*ended, memory, now); left > Duration()) {
        wake(left);
        if (!memory.told_backoff.contains(ended->id)) {
          act(Tell{"Warning", "BackOff", fmt::format("Back-off restarting failed container {} in pod {}", c.name, pod.full_name()), c.name,
                   ended->id});
        }
        return;
      }
      action.crashed_at = ended->finished_at;
    }
    const Problem* problem = problem_of(c, memory);
    if ((problem != nullptr && !may_retry(*problem)) || !memory.starting.empty()) return;
    act(std::move(action));
  }

  void running();
  void stopping();
  bool sandbox_ready();
  bool init_done(const std::string& sandbox);
  void regular(const std::string& sandbox);
  void resize(const std::string& sandbox);
  void ephemeral();
  void pulls_in_backoff();
  void check_deadline();
  void collect_garbage();
};

bool keeps_sandbox(const PodView& pod, const RuntimeState& runtime) {
  const ObservedSandbox* newest = runtime.newest_sandbox();
  if (newest == nullptr || !newest->ready || newest->host_network != pod.host_network) return false;
  if (!pod.host_network && newest->ips.empty()) return false;
  return std::count_if(runtime.sandboxes.begin(), runtime.sandboxes.end(), [](const ObservedSandbox& s) { return s.ready; }) == 1;
}

// True when there is a sandbox to start containers in. Otherwise makes way for a new one and asks for it.
bool Planner::sandbox_ready() {
  if (keeps_sandbox(pod, runtime)) return true;
  if (memory.making_sandbox) return false;
  const ObservedSandbox* newest = runtime.newest_sandbox();
  bool old_alive = false;
  for (const ObservedContainer& c : runtime.containers) {
    if (!lives(c)) continue;
    old_alive = true;
    kill(c, fmt::format("Stopping container {}", c.name), pod.grace_s);
  }
  if (old_alive) return false;
  for (const ObservedSandbox& s : runtime.sandboxes) {
    if (!s.ready) continue;
    old_alive = true;
    if (!memory.stopping_sandboxes.contains(s.id)) act(StopSandbox{s.id});
  }
  if (old_alive || !may_retry(memory.sandbox_problem)) return false;
  if (newest != nullptr && !memory.told_backoff.contains(newest->id)) {
    act(Tell{"Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.", "", newest->id});
  }
  act(CreateSandbox{newest == nullptr ? 0 : newest->attempt + 1});
  return false;
}

// The grace that a failed probe gives, when the probe has one of its own.
std::int64_t probe_grace(const PodView& pod, const ContainerView& c, const char* probe) {
  return c.spec[probe]["terminationGracePeriodSeconds"].as_int(pod.grace_s);
}

// Walks the init containers in order; true when the regular ones may run.
bool Planner::init_done(const std::string& sandbox) {
  bool initialized = std::any_of(pod.containers.begin(), pod.containers.end(), [&](const ContainerView& c) {
    const ObservedContainer* seen = c.role == Role::regular ? runtime.newest(c.name, sandbox) : nullptr;
    return seen != nullptr && seen->state != ContainerState::created;
  });
  for (const ContainerView& c : pod.containers) {
    if (!c.is_init()) break;
    const ObservedContainer* seen = runtime.newest(c.name, sandbox);
    if (c.role == Role::init) {
      if (initialized) continue;  // its instance may be collected already
      if (seen == nullptr) {
        start(c, nullptr);
        return false;
      }
      if (seen->state == ContainerState::running) return false;
      if (seen->state == ContainerState::exited && seen->exit_code == 0) continue;
      if (memory.starting != c.name) start(c, seen->state == ContainerState::exited ? seen : nullptr);
      return false;
    }
    if (seen == nullptr || seen->state != ContainerState::running) {
      if (memory.starting != c.name) start(c, seen != nullptr && seen->state == ContainerState::exited ? seen : nullptr);
      if (!initialized) return false;
      continue;
    }
    auto failed = [&](const std::map<std::string, bool>& results) {
      auto found = results.find(seen->id);
      return found != results.end() && !found->second;
    };
    if (!seen->hash.empty() && seen->hash != c.hash)
      kill(*seen, fmt::format("Container {} definition changed, will be restarted", c.name), pod.grace_s);
    else if (failed(probes.startup))
      kill(*seen, fmt::format("Container {} failed startup probe, will be restarted", c.name), probe_grace(pod, c, "startupProbe"));
    else if (failed(probes.liveness))
      kill(*seen, fmt::format("Container {} failed liveness probe, will be restarted", c.name), probe_grace(pod, c, "livenessProbe"));
    if (!initialized && (!is_started(pod, c, *seen, probes) || memory.starting == c.name)) return false;
  }
  return true;
}

void Planner::regular(const std::string& sandbox) {
  for (const ContainerView& c : pod.containers) {
    if (c.role != Role::regular) continue;
    const ObservedContainer* seen = runtime.newest(c.name, sandbox);
    if (memory.starting == c.name && (seen == nullptr || seen->state != ContainerState::running)) continue;
    if (seen == nullptr) {
      const ObservedContainer* before = runtime.newest(c.name);  // in an older sandbox: finished work is not done again
      if (before != nullptr && before->state == ContainerState::exited && !c.restarts_after(before->exit_code)) continue;
      start(c, nullptr);
      continue;
    }
    if (seen->state == ContainerState::exited) {
      if (c.restarts_after(seen->exit_code)) start(c, seen);
      continue;
    }
    if (seen->state == ContainerState::unknown) {
      kill(*seen, fmt::format("Container {} is in unknown state, try killing it before restart", c.name), pod.grace_s);
      continue;
    }
    if (seen->state == ContainerState::created) {
      start(c, nullptr);
      continue;
    }
    std::string why;
    std::int64_t grace = pod.grace_s;
    bool again = c.restarts_after(137);
    auto live = probes.liveness.find(seen->id), up = probes.startup.find(seen->id);
    if (!seen->hash.empty() && seen->hash != c.hash) {
      why = fmt::format("Container {} definition changed", c.name);
      again = true;
    } else if (live != probes.liveness.end() && !live->second) {
      why = fmt::format("Container {} failed liveness probe", c.name);
      grace = probe_grace(pod, c, "livenessProbe");
    } else if (up != probes.startup.end() && !up->second) {
      why = fmt::format("Container {} failed startup probe", c.name);
      grace = probe_grace(pod, c, "startupProbe");
    }
    if (!why.empty()) kill(*seen, again ? why + ", will be restarted" : why, grace);
  }
}

// They run once, whatever becomes of the sandbox.
void Planner::ephemeral() {
  for (const ContainerView& c : pod.containers) {
    if (c.role == Role::ephemeral && memory.starting != c.name && runtime.newest(c.name) == nullptr) start(c, nullptr);
  }
}

void Planner::running() {
  if (!memory.prepared) {
    if (!memory.preparing && may_retry(memory.prepare_problem)) act(Prepare{});
    return;
  }
  if (!sandbox_ready()) return;
  const std::string& sandbox = runtime.newest_sandbox()->id;
  ephemeral();
  if (init_done(sandbox)) regular(sandbox);
  resize(sandbox);
  pulls_in_backoff();
}

// True when a change of one of these amounts asks for a new container (resizePolicy).
bool resize_restarts(const ContainerView& c, Value before) {
  for (Value policy : c.spec["resizePolicy"].items()) {
    if (policy["restartPolicy"].as_string() != "RestartContainer") continue;
    std::string_view name = policy["resourceName"].as_string();
    for (const char* kind : {"limits", "requests"}) {
      if (Quantity::of(before[kind][name]) != Quantity::of(c.spec["resources"][kind][name])) return true;
    }
  }
  return false;
}

// What is granted but not applied: in place where that is allowed, else by a new container.
void Planner::resize(const std::string& sandbox) {
  ResizeContainers action;
  for (const ContainerView& c : pod.containers) {
    const ObservedContainer* seen = runtime.newest(c.name, sandbox);
    if (seen == nullptr || memory.starting == c.name || !resize_due(c, *seen, memory)) continue;
    if (resize_restarts(c, memory.applied.at(seen->id).resources))
      kill(*seen, fmt::format("Container {} resize requires restart", c.name), pod.grace_s);
    else action.ids.push_back(seen->id);
  }
  if (!action.ids.empty() && may_retry(memory.resize_problem)) act(std::move(action));
}

// An image that cannot be pulled is told as ErrImagePull at first and as ImagePullBackOff while the next try is waited for.
void Planner::pulls_in_backoff() {
  for (const auto& [name, problem] : memory.problems) {
    const ContainerView* c = pod.find(name);
    if (problem.reason != "ErrImagePull" || problem.retry_at <= now || c == nullptr || problem_of(*c, memory) == nullptr) continue;
    if (problem.backs_off_at() > now) {
      wake(problem.backs_off_at() - now);
      continue;
    }
    std::string about = fmt::format("{} {}", name, problem.retry_at.time_since_epoch().count());
    if (memory.told_backoff.contains(about)) continue;
    act(Tell{"Normal", "BackOff", fmt::format("Back-off pulling image \"{}\"", c->image), name, about});
    act(Tell{"Warning", "Failed", "Error: ImagePullBackOff", name, about});
  }
}

// Containers first (sidecars after the others, the last one first), then sandboxes, then volumes and cgroup, then the
// object, and what the runtime still remembers at the very end.
void Planner::stopping() {
  plan.stopping = true;
  std::int64_t grace = pod.grace_s;
  const std::optional<Ending>& ending = memory.ending ? memory.ending : plan.ending;
  if (ending && ending->grace_s) grace = *ending->grace_s;
  if (pod.deleted_at && pod.deletion_grace_s) grace = std::min(grace, *pod.deletion_grace_s);
  if (pod.deleted_at && !ending) grace = pod.deletion_grace_s.value_or(pod.grace_s);
  grace = std::max<std::int64_t>(grace, 1);
  bool alive = false;
  auto alive_of = [&](const ContainerView* c) {
    return c != nullptr && std::any_of(runtime.containers.begin(), runtime.containers.end(),
                                       [&](const ObservedContainer& o) { return o.name == c->name && lives(o); });
  };
  auto kill_all = [&](const std::string& name, std::int64_t seconds_left) {
    for (const ObservedContainer& o : runtime.containers) {
      if (o.name == name && lives(o)) {
        alive = true;
        kill(o, fmt::format("Stopping container {}", o.name), seconds_left);
      }
    }
  };
  for (const ObservedContainer& o : runtime.containers) {
    const ContainerView* c = pod.find(o.name);
    if (c == nullptr || c->role != Role::sidecar) kill_all(o.name, grace);
  }
  std::int64_t left = grace;
  if (memory.stopping_since) left = grace - std::chrono::duration_cast<seconds>(now - *memory.stopping_since).count();
  left = std::clamp(left, std::min(grace, minimum_grace_s), grace);
  for (auto c = pod.containers.rbegin(); c != pod.containers.rend() && !alive; ++c) {
    if (c->role == Role::sidecar && alive_of(&*c)) kill_all(c->name, left);
  }
  if (alive) return;
  for (const ObservedSandbox& s : runtime.sandboxes) {
    if (!s.ready) continue;
    alive = true;
    if (!memory.stopping_sandboxes.contains(s.id)) act(StopSandbox{s.id});
  }
  if (alive || memory.making_sandbox || memory.preparing || !memory.starting.empty()) return;
  if (!memory.finished) {
    if (!memory.finishing) act(Finish{});
    return;
  }
  bool gone = memory.removed;
  if (pod.deleted_at && !memory.removed && !memory.delete_asked) act(DeletePod{});
  if (gone) {
    for (const ObservedSandbox& s : runtime.sandboxes) act(RemoveSandbox{s.id});
  }
}

void Planner::check_deadline() {
  if (!pod.active_deadline_s || memory.ending || is_terminal_phase(pod.status()["phase"].as_string())) return;
  auto started = parse_rfc3339(pod.status()["startTime"].as_string());
  if (!started) return;
  Duration left = *started + seconds(*pod.active_deadline_s) - now;
  if (left > Duration()) return wake(left);
  plan.ending = Ending{"DeadlineExceeded", "Pod was active on the node longer than the specified deadline", std::nullopt};
}

// Ended instances are of use for their log and last state: the newest and one more of each container stay.
void Planner::collect_garbage() {
  std::map<std::string, std::size_t> seen;
  for (const ObservedContainer& c : runtime.containers) {
    if (seen[c.name]++ > kept_dead_instances && c.state == ContainerState::exited && !memory.killing.contains(c.id))
      act(RemoveContainer{c.id});
  }
  bool first = true;
  for (const ObservedSandbox& s : runtime.sandboxes) {
    bool used =
        std::any_of(runtime.containers.begin(), runtime.containers.end(), [&](const ObservedContainer& c) { return c.sandbox_id == s.id; });
    if (!first && !s.ready && !used) act(RemoveSandbox{s.id});
    first = false;
  }
}

}  // namespace

Value told_of(const PodView& pod, const ContainerView& c, const ObservedContainer& instance) {
  const char* list = c.is_init() ? "initContainerStatuses" : c.role == Role::ephemeral ? "ephemeralContainerStatuses" : "containerStatuses";
  for (Value s : pod.status()[list].items()) {
    if (s["name"].as_string() == c.name && s["containerID"].as_string().ends_with("://" + instance.id)) return s;
  }
  return Value();
}

bool is_started(const PodView& pod, const ContainerView& c, const ObservedContainer& instance, const ProbeResults& probes) {
  if (instance.state != ContainerState::running) return false;
  if (!c.startup) return true;
  auto found = probes.startup.find(instance.id);
  return found != probes.startup.end() ? found->second : told_of(pod, c, instance)["started"].as_bool();
}

const Problem* problem_of(const ContainerView& c, const PodMemory& memory) {
  auto found = memory.problems.find(c.name);
  if (found == memory.problems.end() || (!found->second.image.empty() && found->second.image != c.image)) return nullptr;
  return &found->second;
}

bool resize_due(const ContainerView& c, const ObservedContainer& instance, const PodMemory& memory) {
  auto applied = memory.applied.find(instance.id);
  return instance.state == ContainerState::running && applied != memory.applied.end() && applied->second.figures != container_figures(c);
}

Duration crash_delay(const ObservedContainer& instance, const PodMemory& memory, Time now) {
  auto found = memory.crashes.find(instance.name);
  return found == memory.crashes.end() ? Duration() : found->second.remaining(instance.finished_at, now);
}

bool anything_runs(const RuntimeState& runtime) {
  return std::any_of(runtime.containers.begin(), runtime.containers.end(),
                     [](const ObservedContainer& c) { return c.state != ContainerState::exited; }) ||
         std::any_of(runtime.sandboxes.begin(), runtime.sandboxes.end(), [](const ObservedSandbox& s) { return s.ready; });
}

bool is_terminal_phase(std::string_view phase) { return phase == "Succeeded" || phase == "Failed"; }

bool is_complete(const PodView& pod, const RuntimeState& runtime) {
  std::string sandbox = runtime.sandboxes.empty() ? std::string() : runtime.sandboxes.front().id;
  std::size_t regular = 0, ended = 0;
  for (const ContainerView& c : pod.containers) {
    const ObservedContainer* seen = runtime.newest(c.name);
    bool over = seen != nullptr && seen->state == ContainerState::exited && !c.restarts_after(seen->exit_code);
    if (c.role == Role::init && over && seen->exit_code != 0 && seen->sandbox_id == sandbox) return true;
    if (c.role != Role::regular) continue;
    ++regular;
    if (over) ++ended;
  }
  return regular > 0 && ended == regular;
}

std::uint32_t next_attempt(const PodView& pod, const ContainerView& c, const RuntimeState& runtime) {
  std::uint32_t next = 0;
  for (const ObservedContainer& o : runtime.containers) {
    if (o.name == c.name) next = std::max(next, o.attempt + 1);
  }
  if (next > 0) return next;
  const char* list = c.is_init() ? "initContainerStatuses" : c.role == Role::ephemeral ? "ephemeralContainerStatuses" : "containerStatuses";
  for (Value s : pod.status()[list].items()) {  // the runtime lost what the API still knows
    if (s["name"].as_string() == c.name && !s["containerID"].as_string().empty())
      next = static_cast<std::uint32_t>(s["restartCount"].as_int()) + 1;
  }
  return next;
}

Plan plan_pod(const PodView& pod, const RuntimeState& runtime, const ProbeResults& probes, const PodMemory& memory, const NodeFacts& node,
              Time now) {
  Planner p{pod, runtime, probes, memory, now, {}};
  p.check_deadline();
  bool stop = pod.deleted_at || memory.removed || memory.ending || p.plan.ending || memory.finished ||
              is_terminal_phase(pod.status()["phase"].as_string()) || is_complete(pod, runtime);
  if (stop) {
    p.stopping();
  } else {
    p.running();
    p.collect_garbage();
  }
  const std::optional<Ending>& ending = memory.ending ? memory.ending : p.plan.ending;
  p.plan.status = make_status(pod, runtime, probes, memory, node, ending, stop, now);
  return std::move(p.plan);
}

std::string describe(const Action& action) {
  struct Describe {
    std::string operator()(const Prepare&) const { return "Prepare"; }
    std::string operator()(const CreateSandbox& a) const { return fmt::format("CreateSandbox {}", a.attempt); }
    std::string operator()(const StopSandbox& a) const { return fmt::format("StopSandbox {}", a.id); }
    std::string operator()(const RemoveSandbox& a) const { return fmt::format("RemoveSandbox {}", a.id); }
    std::string operator()(const StartContainer& a) const { return fmt::format("StartContainer {} {}", a.name, a.attempt); }
    std::string operator()(const KillContainer& a) const { return fmt::format("KillContainer {} {}s: {}", a.id, a.grace_s, a.message); }
    std::string operator()(const RemoveContainer& a) const { return fmt::format("RemoveContainer {}", a.id); }
    std::string operator()(const ResizeContainers& a) const { return fmt::format("ResizeContainers {}", join(a.ids, " ")); }
    std::string operator()(const Finish&) const { return "Finish"; }
    std::string operator()(const DeletePod&) const { return "DeletePod"; }
    std::string operator()(const Tell& a) const { return fmt::format("Tell {} {}: {}", a.type, a.reason, a.message); }
  };
  return std::visit(Describe{}, action);
}

}  // namespace kybern::kubelet
