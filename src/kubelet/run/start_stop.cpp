// Starting and stopping one container, with its image and its hooks: what takes long and therefore runs aside.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/files.h"
#include "kubelet/measures.h"
#include "kubelet/plan/cri_config.h"
#include "kubelet/probes/checks.h"
#include "kubelet/run/worker.h"
#include "kubelet/runtime/import.h"
#include "kubelet/text.h"

namespace kybern::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration start_retry = seconds(10);  // after an error that is no crash and no failed pull
constexpr Duration kill_retry = seconds(1);
constexpr seconds least_grace_after_hook{2};
constexpr seconds hook_http_limit{30};

std::vector<std::string> command_of(Value exec) {
  std::vector<std::string> out;
  for (Value v : exec["command"].items()) out.push_back(v.str());
  return out;
}

bool mounts_at(const ContainerView& c, std::string_view path) {
  for (Value m : c.spec["volumeMounts"].items()) {
    if (m["mountPath"].as_string() == path) return true;
  }
  return false;
}

}  // namespace

void PodWorker::start_container(const StartJob& job) {
  auto problem = try_start(job);
  const ContainerView* c = job.pod.find(job.action.name);
  measures::container_started(c->is_init()                                ? "init_container"
                              : c->role == ContainerView::Role::ephemeral ? "ephemeral_container"
                                                                          : "container",
                              problem ? problem->reason : "");
  {
    std::lock_guard lock(mutex_);
    look_ = true;
    if (job.generation == start_generation_) {
      memory_.starting.clear();
      if (problem) {
        problem->message = to_valid_utf8(std::move(problem->message));  // what a hook wrote is in it
        problem->image = c->image;
        memory_.problems[job.action.name] = std::move(*problem);
      } else {
        memory_.problems.erase(job.action.name);
      }
    }
  }
  poke();
}

std::optional<Problem> PodWorker::try_start(const StartJob& job) {
  const PodView& pod = job.pod;
  const ContainerView& c = *pod.find(job.action.name);
  auto now = [&] { return tools_.world.clock.now(); };
  auto failed = [&](std::string reason, std::string message, const char* event = "Failed") {
    tell(pod, "Warning", event, fmt::format("Error: {}", message.empty() ? reason : message), c.name);
    return Problem{std::move(reason), std::move(message), now(), now() + start_retry};
  };
  const ObservedSandbox* sandbox = job.runtime.newest_sandbox();
  if (sandbox == nullptr) return failed("CreateContainerError", "the pod has no sandbox");
  Document sandbox_config = sandbox_config_of(pod, sandbox->attempt);

  std::vector<Document> secrets;
  for (Value ref : pod.spec()["imagePullSecrets"].items()) {
    auto secret = tools_.objects.get({true, pod.ns, ref["name"].str()});
    if (secret) secrets.push_back(*secret);
    else
      tell(pod, "Warning", "FailedToRetrieveImagePullSecret",
           fmt::format("Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                       ref["name"].as_string()));
  }
  auto image = ensure_image(job, {c.image, c.spec["imagePullPolicy"].str(), c.field_path()}, secrets, sandbox_config);
  if (!image) return image.error();
  if (auto problem = mount_image_volumes(job, c, secrets, sandbox_config)) return problem;
  if (abandoned(job.generation)) return std::nullopt;

  auto environment = make_environment(pod, c, environment_facts(pod, sandbox->ips));
  if (!environment) return failed("CreateContainerConfigError", environment.error().message);
  auto mounts = container_mounts(job, c, *environment, sandbox->ips);
  if (!mounts) return failed("CreateContainerConfigError", mounts.error().message);
  ContainerFacts facts;
  facts.attempt = job.action.attempt;
  facts.image_ref = image->ref;
  facts.image_uid = image->uid;
  facts.image_username = image->username;
  facts.environment = std::move(*environment);
  facts.mounts = std::move(*mounts);
  facts.node_memory_bytes = tools_.node_memory_bytes;
  facts.cgroup_v2 = tools_.cgroups.v2();
  if (std::string target = c.spec["targetContainerName"].str(); !target.empty()) {
    if (const ObservedContainer* seen = job.runtime.newest(target); seen != nullptr && seen->state == ContainerState::running)
      facts.target_container_id = seen->id;
    else return failed("CreateContainerConfigError", fmt::format("unable to find target container {}", target));
  }
  auto config = container_config(pod, c, facts);
  if (!config) return failed("CreateContainerConfigError", config.error().message);
  if (auto made = make_dirs(fmt::format("{}/{}/{}", tools_.log_root, pod_log_folder(pod), c.name)); !made) {
    return failed("CreateContainerError", made.error().message);
  }
  auto id = tools_.cri.create_container(sandbox->id, *config, sandbox_config);
  if (!id) return failed("CreateContainerError", id.error().message);
  tell(pod, "Normal", "Created", "Container created", c.name);
  if (abandoned(job.generation)) {
    (void)tools_.cri.remove_container(*id);
    return std::nullopt;
  }
  if (auto started = tools_.cri.start_container(*id); !started) return failed("RunContainerError", started.error().message);
  {
    std::lock_guard lock(mutex_);
    memory_.applied[*id] =
        Applied{container_figures(c), c.spec["resources"].is_object() ? c.spec["resources"].document() : Draft::object().freeze()};
  }
  tell(pod, "Normal", "Started", "Container started", c.name);
  if (c.post_start) return run_post_start(job, c, *id);
  return std::nullopt;
}

std::expected<ImageOutcome, Problem> PodWorker::ensure_image(const StartJob& job, const ImageWish& wish,
                                                             const std::vector<Document>& secrets, const Document& sandbox_config) {
  auto image = tools_.images.ensure(job.pod, wish, secrets, sandbox_config);
  if (image) return *image;
  tell(job.pod, "Warning", "Failed", fmt::format("Error: {}", image.error().reason), job.action.name);
  Time now = tools_.world.clock.now();
  Problem problem{image.error().reason, image.error().message, now, now + start_retry};
  if (image.error().backs_off) {
    std::lock_guard lock(mutex_);
    Backoff& backoff = pulls_[wish.image];
    backoff.next(now, now);
    problem.retry_at = now + backoff.delay;
  }
  return std::unexpected(std::move(problem));
}

// Volumes that are images (KEP-4639), of those that this container mounts.
std::optional<Problem> PodWorker::mount_image_volumes(const StartJob& job, const ContainerView& c, const std::vector<Document>& secrets,
                                                      const Document& sandbox_config) {
  for (Value volume : job.pod.spec()["volumes"].items()) {
    Value spec = volume["image"];
    bool used = false;
    for (Value m : c.spec["volumeMounts"].items()) used = used || m["name"].as_string() == volume["name"].as_string();
    if (!spec.is_object() || !used) continue;
    std::string folder = tools_.volumes.volume_folder(job.pod, volume);
    if (is_mount_point(folder)) continue;
    auto image = ensure_image(job, {spec["reference"].str(), spec["pullPolicy"].str(), c.field_path()}, secrets, sandbox_config);
    if (!image) return image.error();
    auto mounted = mount_image(tools_.runtime_endpoint, image->ref, folder);
    if (mounted) continue;
    tell(job.pod, "Warning", "Failed", fmt::format("Error: {}", mounted.error().message), c.name);
    Time now = tools_.world.clock.now();
    return Problem{"CreateContainerError", mounted.error().message, now, now + start_retry};
  }
  return std::nullopt;
}

std::optional<Problem> PodWorker::run_post_start(const StartJob& job, const ContainerView& c, const std::string& id) {
  poke();  // it runs: its probes may begin
  std::string why = run_hook(job.pod, c, id, c.spec["lifecycle"]["postStart"], seconds(0));
  if (why.empty() || abandoned(job.generation)) return std::nullopt;
  tell(job.pod, "Warning", "FailedPostStartHook", "PostStartHook failed", c.name);
  tell(job.pod, "Normal", "Killing", "FailedPostStartHook", c.name);
  (void)tools_.cri.stop_container(id, seconds(job.pod.grace_s));
  Time now = tools_.world.clock.now();
  return Problem{"PostStartHookError", why, now, now};
}

Result<std::vector<MountSpec>> PodWorker::container_mounts(const StartJob& job, const ContainerView& c, const Environment& environment,
                                                           const std::vector<std::string>& ips) {
  const PodView& pod = job.pod;
  auto mounts = tools_.volumes.mounts(pod, c, environment, volume_sources(pod, ips));
  if (!mounts) return mounts;
  std::string folder = tools_.volumes.pod_folder(pod.uid);
  if (!mounts_at(c, "/etc/hosts")) {
    std::string path = folder + "/etc-hosts", text;
    if (pod.host_network) text = hosts_file_of_node(pod, read_file("/etc/hosts").value_or(""));
    else text = hosts_file(pod, ips, pod_host_name(pod, tools_.dns.cluster_domain));
    // In place: containers that run have this very file mounted.
    if (auto wrote = write_file(path, text, 0644); !wrote) return std::unexpected(wrote.error());
    mounts->push_back({"/etc/hosts", path, false, false, 0});
  }
  std::string termination =
      c.spec["terminationMessagePath"].as_string("/dev/termination-log").empty() ? "" : c.spec["terminationMessagePath"].str();
  if (termination.empty()) termination = "/dev/termination-log";
  std::string path = fmt::format("{}/containers/{}/{:08x}", folder, c.name, static_cast<std::uint32_t>(tools_.world.random.next()));
  if (auto made = make_dirs(dir_name(path), 0750); !made) return std::unexpected(made.error());
  if (auto wrote = write_file(path, "", 0666); !wrote) return std::unexpected(wrote.error());
  mounts->push_back({termination, path, false, false, 0});
  return mounts;
}

// Runs a lifecycle handler; `limit` 0: as long as it takes. Returns why it failed, or "".
std::string PodWorker::run_hook(const PodView& pod, const ContainerView& c, const std::string& id, Value handler, seconds limit) {
  if (Value exec = handler["exec"]; exec.is_object()) {
    std::vector<std::string> command = command_of(exec);
    auto result = tools_.cri.exec_sync(id, command, limit);
    std::string why;
    if (!result) why = result.error().message;
    else if (result->exit_code != 0)
      why = fmt::format("command '{}' exited with {}: {}", join(command, " "), result->exit_code, result->output_stderr);
    if (why.empty()) return {};
    return fmt::format("Exec lifecycle hook ([{}]) for Container \"{}\" in Pod \"{}\" failed - error: {}, message: {}", join(command, " "),
                       c.name, pod.full_name(), why, go_quote(result ? result->output_stdout + result->output_stderr : ""));
  }
  if (Value get = handler["httpGet"]; get.is_object()) {
    RuntimeState state = runtime();
    std::string ip = pod.host_network && !tools_.node.ips.empty()                       ? tools_.node.ips.front()
                     : !state.sandboxes.empty() && !state.sandboxes.front().ips.empty() ? state.sandboxes.front().ips.front()
                                                                                        : "";
    auto target = http_target(get, c, ip);
    if (!target)
      return fmt::format("HTTP lifecycle hook for Container \"{}\" in Pod \"{}\" failed - error: invalid port", c.name, pod.full_name());
    CheckOutcome outcome = check_http(*target, limit.count() > 0 ? std::min(limit, hook_http_limit) : hook_http_limit);
    if (outcome.result == CheckOutcome::Result::success) return {};
    return fmt::format("HTTP lifecycle hook ({}) for Container \"{}\" in Pod \"{}\" failed - error: {}, message: \"\"", target->path,
                       c.name, pod.full_name(), outcome.output);
  }
  if (Value sleep = handler["sleep"]; sleep.is_object()) {
    seconds wanted(sleep["seconds"].as_int());
    if (limit.count() > 0) wanted = std::min(wanted, limit);
    auto end = tools_.world.clock.steady() + wanted;
    while (tools_.world.clock.steady() < end) {  // the container may end meanwhile
      tools_.world.executor.wait(std::min<Duration>(milliseconds(100), end - tools_.world.clock.steady()));
      {
        std::lock_guard lock(mutex_);
        if (stopped_) return "the kubelet ends";
      }
      auto state = tools_.cri.container_status(id);
      if (state && state->state != ContainerState::running) return "container terminated before sleep hook finished";
    }
    return {};
  }
  return fmt::format("invalid handler: {}", c.name);
}

void PodWorker::kill_container(const KillContainer& a, const PodView& pod, bool again) {
  const ContainerView* c = pod.find(a.name);
  Instant begin = tools_.world.clock.steady();
  seconds grace(a.grace_s);
  if (!again) {
    tell(pod, "Normal", "Killing", a.message, a.name);
    if (c != nullptr && c->pre_stop && a.grace_s > 0) {
      std::string why = run_hook(pod, *c, a.id, c->spec["lifecycle"]["preStop"], grace);
      if (!why.empty()) tell(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", a.name);
      auto used = std::chrono::duration_cast<seconds>(tools_.world.clock.steady() - begin);
      grace = std::max(grace - used, std::min(grace, least_grace_after_hook));
    }
  }
  auto stopped = tools_.cri.stop_container(a.id, grace);
  if (!stopped && stopped.error().code != Code::not_found) {
    tell(pod, "Warning", "FailedKillPod",
         fmt::format("error killing pod: failed to \"KillContainer\" for \"{}\" with KillContainerError: \"{}\"", a.name,
                     stopped.error().message));
    std::weak_ptr<PodWorker> weak = weak_from_this();
    tools_.world.executor.post_after(kill_retry, [weak, id = a.id] {
      auto self = weak.lock();
      if (!self) return;
      {
        std::lock_guard lock(self->mutex_);
        self->look_ = true;
        if (--self->kill_calls_[id] <= 0) {
          self->kill_calls_.erase(id);
          self->memory_.killing.erase(id);
        }
      }
      self->poke();
    });
    return;
  }
  {
    std::lock_guard lock(mutex_);
    look_ = true;
    if (--kill_calls_[a.id] <= 0) {
      kill_calls_.erase(a.id);
      memory_.killing.erase(a.id);
    }
  }
  poke();
}

}  // namespace kybern::kubelet
