// What a pod's worker does for each action of a plan that is quick, or that others wait for anyway.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/files.h"
#include "kubelet/measures.h"
#include "kubelet/plan/cri_config.h"
#include "kubelet/run/worker.h"

namespace kybern::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration first_mount_retry = milliseconds(500), longest_mount_retry = seconds(122);
constexpr Duration first_sandbox_retry = seconds(1), longest_sandbox_retry = seconds(15);
constexpr Duration api_retry = seconds(1);

// A failure that comes again waits twice as long as before.
Problem again(const std::optional<Problem>& last, std::string reason, std::string message, Time now, Duration first, Duration longest) {
  Duration wait = last ? std::clamp(2 * (last->retry_at - last->at), first, longest) : first;
  return Problem{std::move(reason), std::move(message), now, now + wait};
}

// As upstream's messages show an error of the runtime.
std::string rpc_error(const Error& error) {
  std::string_view code = error.code == Code::not_found     ? "NotFound"
                          : error.code == Code::timeout     ? "DeadlineExceeded"
                          : error.code == Code::unavailable ? "Unavailable"
                                                            : "Unknown";
  return fmt::format("rpc error: code = {} desc = {}", code, error.message);
}

}  // namespace

bool PodWorker::act(const Action& action, const PodView& pod, const RuntimeState& runtime) {
  return std::visit([&](const auto& a) { return act_on(a, pod, runtime); }, action);
}

bool PodWorker::act_on(const Prepare&, const PodView& pod, const RuntimeState&) {
  tools_.objects.use(uid_, objects_of(pod));
  std::vector<VolumeProblem> problems;
  CgroupFigures figures = pod_figures(pod);
  if (tools_.pod_pids_limit > 0) figures.pids = tools_.pod_pids_limit;
  if (auto made = tools_.cgroups.make_pod(tools_.cgroups.pod_path(pod), figures); !made) {
    std::string message = fmt::format("unable to ensure pod container exists: failed to create container for {} : {}",
                                      tools_.cgroups.pod_path(pod), made.error().message);
    tell(pod, "Warning", "FailedCreatePodContainer", message);
    problems.push_back({"", std::move(message)});
  } else {
    problems = tools_.volumes.prepare(pod, volume_sources(pod, {}));
    for (const VolumeProblem& p : problems) tell(pod, "Warning", "FailedMount", p.message);
  }
  if (auto made = make_dirs(fmt::format("{}/{}", tools_.log_root, pod_log_folder(pod)), 0755); !made)
    problems.push_back({"", made.error().message});
  std::lock_guard lock(mutex_);
  if (problems.empty()) {
    memory_.prepare_problem.reset();
    memory_.prepared = true;
    return true;
  }
  memory_.prepare_problem =
      again(memory_.prepare_problem, "", problems.front().message, tools_.world.clock.now(), first_mount_retry, longest_mount_retry);
  return true;  // the plan says when to try again
}

Document PodWorker::sandbox_config_of(const PodView& pod, std::uint32_t attempt) {
  SandboxFacts facts;
  facts.attempt = attempt;
  facts.log_directory = fmt::format("{}/{}", tools_.log_root, pod_log_folder(pod));
  facts.cgroup_parent = tools_.cgroups.pod_path(pod);
  facts.host = pod_host_name(pod, tools_.dns.cluster_domain);
  facts.resolver = pod_resolver(pod, tools_.dns);
  return sandbox_config(pod, facts);
}

bool PodWorker::act_on(const CreateSandbox& a, const PodView& pod, const RuntimeState&) {
  std::string handler;
  std::string problem;
  if (std::string name = pod.spec()["runtimeClassName"].str(); !name.empty()) {
    auto found = tools_.api.call(
        {.method = "GET", .path = client::object_path("node.k8s.io/v1", "runtimeclasses", "", name), .query = {}, .body = {}, .patch = {}});
    if (found) handler = (*found)["handler"].str();
    else problem = found.error().message;
  }
  if (problem.empty() && pod.spec()["hostUsers"].is_bool() && !pod.spec()["hostUsers"].as_bool()) {
    problem = "can't set `spec.hostUsers: false`, runtime does not support user namespaces";
  }
  if (problem.empty()) {
    auto made = tools_.cri.run_sandbox(sandbox_config_of(pod, a.attempt), handler);
    if (!made) problem = rpc_error(made.error());
  }
  measures::pod_sandbox_made(problem.empty());
  if (!problem.empty()) tell(pod, "Warning", "FailedCreatePodSandBox", fmt::format("Failed to create pod sandbox: {}", problem));
  std::lock_guard lock(mutex_);
  look_ = true;
  if (problem.empty()) memory_.sandbox_problem.reset();
  else
    memory_.sandbox_problem =
        again(memory_.sandbox_problem, "", problem, tools_.world.clock.now(), first_sandbox_retry, longest_sandbox_retry);
  return true;
}

bool PodWorker::act_on(const StopSandbox& a, const PodView& pod, const RuntimeState&) {
  auto stopped = tools_.cri.stop_sandbox(a.id);
  if (!stopped) tell(pod, "Warning", "FailedKillPod", fmt::format("error killing pod: {}", rpc_error(stopped.error())));
  std::lock_guard lock(mutex_);
  look_ = true;
  return stopped.has_value();
}

bool PodWorker::act_on(const RemoveSandbox& a, const PodView& pod, const RuntimeState&) {
  auto removed = tools_.cri.remove_sandbox(a.id);
  if (!removed)
    log_warn("kubelet", "a sandbox could not be removed", {{"pod", pod.key()}, {"sandbox", a.id}, {"error", removed.error().message}});
  std::lock_guard lock(mutex_);
  look_ = true;
  return removed.has_value();
}

bool PodWorker::act_on(const RemoveContainer& a, const PodView& pod, const RuntimeState& runtime) {
  auto removed = tools_.cri.remove_container(a.id);
  if (!removed) {
    log_warn("kubelet", "a container could not be removed", {{"pod", pod.key()}, {"container", a.id}, {"error", removed.error().message}});
    return false;
  }
  for (const ObservedContainer& c : runtime.containers) {
    if (c.id != a.id || c.log_path.empty()) continue;
    std::string folder = dir_name(c.log_path), name = base_name(c.log_path);
    for (const std::string& file : list_dir(folder)) {
      if (file == name || file.starts_with(name + ".")) (void)remove_tree(folder + "/" + file);  // rotated parts too
    }
  }
  std::lock_guard lock(mutex_);
  messages_.erase(a.id);
  std::erase_if(runtime_.containers, [&](const ObservedContainer& c) { return c.id == a.id; });
  return true;
}

bool PodWorker::act_on(const Finish&, const PodView& pod, const RuntimeState&) {
  tools_.probers.forget(uid_);
  auto volumes = tools_.volumes.remove(uid_);
  if (!volumes) log_warn("kubelet", "a pod's volumes could not be removed", {{"pod", pod.key()}, {"error", volumes.error().message}});
  // Where it says, and where it is: a pod that no source has any more does not tell its class, and may have been prepared in
  // another one's place before it was known to be such.
  auto cgroup = tools_.cgroups.remove(tools_.cgroups.pod_path(pod));
  auto groups = tools_.cgroups.pods();
  if (auto other = groups.find(uid_); cgroup && other != groups.end()) cgroup = tools_.cgroups.remove(other->second);
  if (!cgroup) log_warn("kubelet", "a pod's cgroup could not be removed", {{"pod", pod.key()}, {"error", cgroup.error().message}});
  tools_.objects.release(uid_);
  tools_.tokens.forget(uid_);
  std::lock_guard lock(mutex_);
  memory_.prepared = false;
  memory_.problems.clear();
  memory_.finished = volumes.has_value() && cgroup.has_value();
  if (!memory_.finished) look_ = true;
  return memory_.finished;
}

// The last status must be in the API before the object goes.
bool PodWorker::act_on(const DeletePod&, const PodView& pod, const RuntimeState&) {
  bool told = pod.is_static || flush_status();
  if (told) {
    client::Call call;
    call.method = "DELETE";
    call.path = client::object_path("v1", "pods", pod.ns, pod.name);
    call.body = Draft::object({{"apiVersion", "v1"},
                               {"kind", "DeleteOptions"},
                               {"gracePeriodSeconds", 0},
                               {"preconditions", Draft::object({{"uid", pod.uid}})}})
                    .freeze();
    auto answer = tools_.api.call(std::move(call));
    told = answer || answer.error().code == 404 || answer.error().code == 409;
    if (!told) log_warn("kubelet", "a pod could not be deleted", {{"pod", pod.key()}, {"error", answer.error().message}});
  }
  std::lock_guard lock(mutex_);
  memory_.delete_asked = told;
  if (!told) {
    std::weak_ptr<PodWorker> weak = weak_from_this();
    tools_.world.executor.post_after(api_retry, [weak] {
      if (auto self = weak.lock()) self->poke(false);
    });
  }
  return false;
}

bool PodWorker::act_on(const Tell& a, const PodView& pod, const RuntimeState&) {
  tell(pod, a.type, a.reason, a.message, a.container);
  std::lock_guard lock(mutex_);
  if (!a.about.empty()) memory_.told_backoff.insert(a.about);
  return false;
}

bool PodWorker::act_on(const StartContainer& a, const PodView& pod, const RuntimeState& runtime) {
  StartJob job{pod, a, runtime, 0};
  {
    std::lock_guard lock(mutex_);
    if (!memory_.starting.empty() || memory_.stopping_since || stopped_) return false;
    memory_.starting = a.name;
    job.generation = start_generation_;
    if (a.crashed_at) memory_.crashes[a.name].next(*a.crashed_at, tools_.world.clock.now());
  }
  tools_.tasks.post([self = shared_from_this(), job = std::move(job)] { self->start_container(job); });
  return false;
}

bool PodWorker::act_on(const KillContainer& a, const PodView& pod, const RuntimeState&) {
  bool again;
  {
    std::lock_guard lock(mutex_);
    again = memory_.killing.contains(a.id);
    memory_.killing[a.id] = a.grace_s;
    ++kill_calls_[a.id];
  }
  tools_.tasks.post([self = shared_from_this(), a, pod, again] { self->kill_container(a, pod, again); });
  return false;
}

// ---- resizing in place

// Grants what the API asks for when the node has room for it.
void PodWorker::settle_resize() {
  PodView wanted;
  {
    std::lock_guard lock(mutex_);
    if (!resize_asked_) {
      memory_.resize_pending.reset();
      return;
    }
    if (memory_.stopping_since || pod_.is_static) return;
    wanted = PodView::read(wanted_);
  }
  auto problem = fits_ ? fits_(wanted) : std::nullopt;
  std::lock_guard lock(mutex_);
  memory_.resize_pending = problem;
  if (problem) return;
  granted_.clear();
  for (const ContainerView& c : wanted.containers) {
    if (c.spec["resources"].is_object()) granted_[c.name] = c.spec["resources"].document();
  }
  take(wanted_);
}

// Containers that an earlier kubelet started: their cgroups tell what they were given.
void PodWorker::learn_applied() {
  PodView pod = view();
  RuntimeState state = runtime();
  std::map<std::string, Applied> known;
  {
    std::lock_guard lock(mutex_);
    known = memory_.applied;
  }
  std::map<std::string, Applied> now;
  for (const ContainerView& c : pod.containers) {
    const ObservedContainer* seen = state.newest(c.name);
    if (seen == nullptr || seen->state != ContainerState::running) continue;
    if (auto found = known.find(seen->id); found != known.end()) {
      now.insert(*found);
      continue;
    }
    CgroupFigures figures = container_figures(c);
    Document resources = c.spec["resources"].is_object() ? c.spec["resources"].document() : Draft::object().freeze();
    if (!tools_.cgroups.matches(fmt::format("{}/{}", tools_.cgroups.pod_path(pod), seen->id), figures)) {
      bool there = tools_.cgroups.exists(fmt::format("{}/{}", tools_.cgroups.pod_path(pod), seen->id));
      if (!there) continue;  // it has just ended
      figures = CgroupFigures{};
    }
    now[seen->id] = Applied{figures, resources};
  }
  std::lock_guard lock(mutex_);
  memory_.applied = std::move(now);
}

// The pod's group must never be narrower than its containers' in between: it is widened first and narrowed last.
bool PodWorker::act_on(const ResizeContainers& a, const PodView& pod, const RuntimeState& runtime) {
  std::string path = tools_.cgroups.pod_path(pod);
  CgroupFigures target = pod_figures(pod), wide = target;
  auto limit_now = tools_.cgroups.memory_limit(path);
  wide.memory_bytes = limit_now && target.memory_bytes ? std::max(*limit_now, *target.memory_bytes) : -1;
  wide.cpu_quota_us = -1;
  Result<void> done = tools_.cgroups.update(path, wide);
  for (const std::string& id : a.ids) {
    for (const ObservedContainer& seen : runtime.containers) {
      const ContainerView* c = seen.id == id ? pod.find(seen.name) : nullptr;
      if (c == nullptr || !done) continue;
      done = tools_.cri.update_resources(id, linux_resources(pod, *c, tools_.node_memory_bytes, tools_.cgroups.v2()));
      if (!done) continue;
      std::lock_guard lock(mutex_);
      memory_.applied[id] =
          Applied{container_figures(*c), c->spec["resources"].is_object() ? c->spec["resources"].document() : Draft::object().freeze()};
    }
  }
  if (!target.memory_bytes) target.memory_bytes = -1;
  if (!target.cpu_quota_us) target.cpu_quota_us = -1;
  Result<void> narrowed = tools_.cgroups.update(path, target);
  if (done && !narrowed) done = narrowed;
  std::lock_guard lock(mutex_);
  if (done) memory_.resize_problem.reset();
  else
    memory_.resize_problem =
        again(memory_.resize_problem, "Error", done.error().message, tools_.world.clock.now(), first_sandbox_retry, longest_sandbox_retry);
  return true;
}

// ---- what volumes and environments are made of

EnvironmentFacts PodWorker::environment_facts(const PodView& pod, const std::vector<std::string>& ips) {
  EnvironmentFacts facts;
  ObjectCache& objects = tools_.objects;
  facts.config_map = [&objects, ns = pod.ns](std::string_view name) { return objects.get({false, ns, std::string(name)}); };
  facts.secret = [&objects, ns = pod.ns](std::string_view name) { return objects.get({true, ns, std::string(name)}); };
  facts.services = tools_.services.list_namespace(pod.ns);
  if (pod.ns != "default") {
    if (Document master = tools_.services.get("default/kubernetes")) facts.services.push_back(std::move(master));
  }
  facts.pod_ips = pod.host_network ? tools_.node.ips : ips;
  facts.host_ips = tools_.node.ips;
  facts.node_name = tools_.node_name;
  facts.node_allocatable = tools_.node_allocatable;
  return facts;
}

VolumeSources PodWorker::volume_sources(const PodView& pod, const std::vector<std::string>& ips) {
  VolumeSources sources;
  sources.payload.facts = environment_facts(pod, ips);
  sources.payload.token = [this, pod](const TokenWish& wish) { return tools_.tokens.get(pod, wish); };
  auto get = [this](std::string path) -> Result<Document> {
    auto answer = tools_.api.call({.method = "GET", .path = std::move(path), .query = {}, .body = {}, .patch = {}});
    if (!answer) return fail(answer.error().code == 404 ? Code::not_found : Code::unavailable, answer.error().message);
    return *answer;
  };
  sources.claim = [get, ns = pod.ns](std::string_view name) { return get(client::object_path("v1", "persistentvolumeclaims", ns, name)); };
  sources.volume = [get](std::string_view name) { return get(client::object_path("v1", "persistentvolumes", "", name)); };
  sources.node_memory_bytes = tools_.node_memory_bytes;
  return sources;
}

void PodWorker::refresh_volumes() {
  PodView pod = view();
  RuntimeState state = runtime();
  std::vector<std::string> ips = state.sandboxes.empty() ? std::vector<std::string>() : state.sandboxes.front().ips;
  for (const VolumeProblem& p : tools_.volumes.refresh(pod, volume_sources(pod, ips))) tell(pod, "Warning", "FailedMount", p.message);
}

}  // namespace kybern::kubelet
