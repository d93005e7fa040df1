#include "kubelet/run/worker.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/files.h"
#include "kubelet/measures.h"
#include "kubelet/plan/status_patch.h"
#include "kubelet/serve/log_file.h"
#include "kubelet/text.h"

namespace kybern::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration runtime_retry = seconds(1);  // while the runtime does not answer
constexpr Duration status_retry = seconds(1);   // while the API does not take the status
constexpr Duration resize_retry = seconds(10);
constexpr int event_rechecks = 8;  // an event's effect shows in the lists within 2, 4, ... 256 ms
constexpr Duration first_recheck = milliseconds(2);
constexpr std::size_t longest_message = 4096;  // bytes of a termination message file, its last ones
constexpr std::size_t log_message_lines = 80, log_message_bytes = 2048;

// What the pod's containers have been given before this kubelet began, by its status; else what its spec says.
std::map<std::string, Document> granted_resources(const Document& pod) {
  std::map<std::string, Document> out;
  for (const char* list : {"initContainers", "containers"}) {
    for (Value c : pod["spec"][list].items()) {
      Draft resources(c["resources"].is_object() ? Draft(c["resources"]) : Draft::object());
      for (const char* statuses : {"initContainerStatuses", "containerStatuses"}) {
        for (Value s : pod["status"][statuses].items()) {
          if (s["name"].as_string() != c["name"].as_string() || !s["state"]["running"].is_object()) continue;
          if (s["allocatedResources"].is_object()) resources["requests"] = s["allocatedResources"];
          if (s["resources"]["limits"].is_object()) resources["limits"] = s["resources"]["limits"];
        }
      }
      out[c["name"].str()] = resources.freeze();
    }
  }
  return out;
}

std::uint64_t version_of(const Document& object) {
  return static_cast<std::uint64_t>(parse_int(object["metadata"]["resourceVersion"].as_string()).value_or(0));
}

}  // namespace

PodWorker::PodWorker(Tools& tools, Document pod, std::function<void(const std::string& uid)> gone, Fits fits)
    : tools_(tools), uid_(pod["metadata"]["uid"].str()), gone_(std::move(gone)), fits_(std::move(fits)), api_version_(version_of(pod)) {
  granted_ = granted_resources(pod);
  if (!pod["status"]["startTime"].is_string()) new_since_ = tools_.world.clock.steady();
  take(std::move(pod));
}

// With the lock held, or in the constructor.
void PodWorker::take(Document pod) {
  wanted_ = pod;
  Document granted = with_resources(pod, granted_);
  resize_asked_ = !granted.same_block(pod);
  pod_ = PodView::read(std::move(granted));
}

PodWorker::~PodWorker() { stop(); }

void PodWorker::update(Document pod) {
  std::set<ObjectName> objects;
  {
    std::lock_guard lock(mutex_);
    std::uint64_t version = version_of(pod);
    if (version < api_version_) return;  // the answer of one of our own writes was newer
    api_version_ = version;
    bool renamed = false;
    for (const char* key : {"labels", "annotations"}) renamed = renamed || !(pod_.meta()[key] == pod["metadata"][key]);
    if (renamed) {  // they show in downwardAPI volumes, and may be what an environment lacked
      volumes_changed_ = true;
      std::erase_if(memory_.problems, [](const auto& p) { return p.second.reason == "CreateContainerConfigError"; });
    }
    take(std::move(pod));
    if (memory_.prepared && !memory_.finished) objects = objects_of(pod_);
  }
  if (!objects.empty()) tools_.objects.use(uid_, objects);
  poke(false);
}

void PodWorker::set_mirror(Document mirror) {
  {
    std::lock_guard lock(mutex_);
    mirror_ = std::move(mirror);
    // The static pod's own document plus the status that its mirror has: what was told before stays true.
    Draft merged(pod_.document);
    if (mirror_) merged["status"] = mirror_["status"].is_object() ? Draft(mirror_["status"]) : Draft::object();
    pod_ = PodView::read(merged.freeze());
    acked_ = Document();
  }
  poke();
}

void PodWorker::removed() {
  {
    std::lock_guard lock(mutex_);
    memory_.removed = true;
  }
  poke();
}

void PodWorker::end(Ending ending) {
  {
    std::lock_guard lock(mutex_);
    if (!memory_.ending) memory_.ending = std::move(ending);
  }
  poke();
}

void PodWorker::objects_changed() {
  {
    std::lock_guard lock(mutex_);
    volumes_changed_ = true;
    memory_.prepare_problem.reset();
    std::erase_if(memory_.problems, [](const auto& p) { return p.second.reason == "CreateContainerConfigError"; });
  }
  poke();
}

void PodWorker::runtime_ready() {
  {
    std::lock_guard lock(mutex_);
    memory_.sandbox_problem.reset();
  }
  poke();
}

void PodWorker::container_event(const std::string& id) {
  {
    std::lock_guard lock(mutex_);
    awaited_[id] = 0;
  }
  poke();
}

void PodWorker::poke(bool look) {
  {
    std::lock_guard lock(mutex_);
    look_ = look_ || look;
    if (stopped_) return;
    if (running_) {
      again_ = true;
      return;
    }
    running_ = true;
    if (timer_ != 0) tools_.world.executor.cancel(timer_);
    timer_ = 0;
  }
  tools_.tasks.post([self = shared_from_this()] { self->run(); });
}

void PodWorker::stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  if (timer_ != 0) tools_.world.executor.cancel(timer_);
  timer_ = 0;
}

PodView PodWorker::view() const {
  std::lock_guard lock(mutex_);
  return pod_;
}
RuntimeState PodWorker::runtime() const {
  std::lock_guard lock(mutex_);
  return runtime_;
}
Document PodWorker::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}
bool PodWorker::is_finished() const {
  std::lock_guard lock(mutex_);
  return memory_.finished;
}
bool PodWorker::is_over() const {
  std::lock_guard lock(mutex_);
  return memory_.finished || memory_.removed || is_terminal_phase(pod_.status()["phase"].as_string()) ||
         (status_ && is_terminal_phase(status_["phase"].as_string()));
}
bool PodWorker::is_removed() const {
  std::lock_guard lock(mutex_);
  return memory_.removed;
}
bool PodWorker::is_stopping() const {
  std::lock_guard lock(mutex_);
  return memory_.stopping_since.has_value();
}
bool PodWorker::knows(const std::string& id) const {
  std::lock_guard lock(mutex_);
  return std::any_of(runtime_.containers.begin(), runtime_.containers.end(), [&](const auto& c) { return c.id == id; }) ||
         std::any_of(runtime_.sandboxes.begin(), runtime_.sandboxes.end(), [&](const auto& s) { return s.id == id; });
}

bool PodWorker::abandoned(std::uint64_t generation) const {
  std::lock_guard lock(mutex_);
  return stopped_ || generation != start_generation_;
}

void PodWorker::run() {
  while (true) {
    Instant begin = tools_.world.clock.steady();
    bool more = step();
    Duration took = tools_.world.clock.steady() - begin;
    std::lock_guard lock(mutex_);
    measures::pod_worked(memory_.stopping_since.has_value(), took);
    if (stopped_ || gone_told_) {
      running_ = false;
      return;
    }
    if (!more && !again_) {
      running_ = false;
      return;
    }
    again_ = false;
  }
}

// Asks the runtime about the pod. False when it does not answer.
bool PodWorker::look() {
  auto state = tools_.cri.pod_state(uid_);
  if (!state) {
    log_warn("kubelet", "the runtime does not tell a pod's state", {{"pod", view().key()}, {"error", state.error().message}});
    return false;
  }
  for (ObservedContainer& c : state->containers) {
    if (c.state == ContainerState::exited) resolve_message(c);
  }
  std::lock_guard lock(mutex_);
  runtime_ = std::move(*state);
  looked_ = true;
  // The runtime tells of an end before it shows it in its lists.
  for (auto at = awaited_.begin(); at != awaited_.end();) {
    auto seen = std::find_if(runtime_.containers.begin(), runtime_.containers.end(), [&](const auto& c) { return c.id == at->first; });
    auto box = std::find_if(runtime_.sandboxes.begin(), runtime_.sandboxes.end(), [&](const auto& s) { return s.id == at->first; });
    bool old =
        (seen != runtime_.containers.end() && seen->state == ContainerState::running) || (box != runtime_.sandboxes.end() && box->ready);
    if (!old || ++at->second > event_rechecks) at = awaited_.erase(at);
    else ++at;
  }
  return true;
}

bool PodWorker::step() {
  bool must_look, refresh;
  PodMemory memory;
  {
    // The memory is read before the runtime: what ends in between shows in the runtime and still as under way, which only
    // makes the plan wait. The other way round a container could be started twice.
    std::lock_guard lock(mutex_);
    memory = memory_;
    must_look = std::exchange(look_, false) || !looked_;
    refresh = std::exchange(volumes_changed_, false) && memory_.prepared && !memory_.finished;
  }
  if (refresh) refresh_volumes();
  if (must_look && !look()) {
    std::lock_guard lock(mutex_);
    look_ = true;
    if (!looked_) {
      arm(runtime_retry);
      return false;
    }
  }
  settle_resize();
  learn_applied();
  PodView pod;
  RuntimeState runtime;
  bool stopping_before;
  {
    std::lock_guard lock(mutex_);
    pod = pod_;
    runtime = runtime_;
    memory.applied = memory_.applied;
    memory.resize_pending = memory_.resize_pending;
    stopping_before = memory_.stopping_since.has_value();
  }
  std::string ip = pod.host_network
                       ? (tools_.node.ips.empty() ? "" : tools_.node.ips.front())
                       : (runtime.sandboxes.empty() || runtime.sandboxes.front().ips.empty() ? "" : runtime.sandboxes.front().ips.front());
  std::weak_ptr<PodWorker> weak = weak_from_this();
  ProbeResults probes = tools_.probers.follow(pod, runtime, ip, stopping_before, [weak] {
    if (auto self = weak.lock()) self->poke(false);
  });
  {
    std::lock_guard lock(mutex_);
    probes_ = probes;
  }
  Plan plan = plan_pod(pod, runtime, probes, memory, tools_.node, tools_.world.clock.now());
  {
    std::lock_guard lock(mutex_);
    if (plan.ending && !memory_.ending) memory_.ending = plan.ending;
    if (plan.stopping && !memory_.stopping_since) {
      memory_.stopping_since = tools_.world.clock.now();
      ++start_generation_;  // what is being started is not waited for
      memory_.starting.clear();
    }
  }
  if (plan.ending && !memory.ending) tell(pod, "Normal", plan.ending->reason, plan.ending->message);
  report(pod, plan.status);
  bool more = false;
  for (const Action& action : plan.actions) {
    log_debug("kubelet", "pod action", {{"pod", pod.key()}, {"action", describe(action)}});
    more = act(action, pod, runtime) || more;
  }
  std::lock_guard lock(mutex_);
  if (memory_.removed && memory_.finished && looked_ && runtime_.sandboxes.empty() && runtime_.containers.empty() && !gone_told_) {
    gone_told_ = true;
    tools_.tasks.post([gone = gone_, uid = uid_] { gone(uid); });
    return false;
  }
  std::optional<Duration> wake = plan.wake_after;
  auto sooner = [&](Duration d) { wake = wake ? std::min(*wake, d) : d; };
  if (look_ && !again_) sooner(runtime_retry);
  if (memory_.resize_pending && memory_.resize_pending->reason == "Deferred") sooner(resize_retry);  // room may have come
  for (const auto& [id, tries] : awaited_) {
    look_ = true;
    sooner(first_recheck * (1 << tries));
  }
  if (auto renew = tools_.tokens.renew_at(uid_); renew && !memory_.finished) {
    Duration left = *renew - tools_.world.clock.now();
    if (left <= Duration()) volumes_changed_ = true;
    sooner(std::max<Duration>(left, seconds(1)));
  }
  if (!more) arm(wake);
  return more;
}

// With the lock held.
void PodWorker::arm(std::optional<Duration> after) {
  if (timer_ != 0) tools_.world.executor.cancel(timer_);
  timer_ = 0;
  if (!after || stopped_) return;
  std::weak_ptr<PodWorker> weak = weak_from_this();
  timer_ = tools_.world.executor.post_after(*after, [weak] {
    auto self = weak.lock();
    if (!self) return;
    {
      std::lock_guard lock(self->mutex_);
      self->timer_ = 0;
    }
    self->poke(false);
  });
}

// The message of an ended container: what it wrote to its termination message file, or the end of its log.
void PodWorker::resolve_message(ObservedContainer& c) {
  {
    std::lock_guard lock(mutex_);
    if (auto known = messages_.find(c.id); known != messages_.end()) {
      if (!known->second.empty()) c.message = known->second;
      return;
    }
  }
  std::string message;
  for (const ObservedMount& m : c.mounts) {
    if (c.termination_path.empty() || m.container_path != c.termination_path) continue;
    message = file_end(m.host_path, longest_message);
  }
  bool failed = c.exit_code != 0 || c.reason == "OOMKilled";
  if (message.empty() && failed && c.termination_policy == "FallbackToLogsOnError")
    message = last_log_lines(c.log_path, log_message_lines, log_message_bytes);
  message = to_valid_utf8(std::move(message));
  if (!message.empty()) c.message = message;
  std::lock_guard lock(mutex_);
  messages_[c.id] = std::move(message);
}

// ---- the status on its way to the API

void PodWorker::report(const PodView& pod, const Document& status) {
  {
    std::lock_guard lock(mutex_);
    status_ = status;
    if (new_since_ && status["phase"].as_string() == "Running")
      measures::pod_started(tools_.world.clock.steady() - *std::exchange(new_since_, std::nullopt));
    if (sending_ || stopped_ || memory_.removed || (pod.is_static && !mirror_)) return;
    if (acked_ && acked_.root() == status.root()) return;
    if (!status_patch(pod.status(), status.root(), uid_)) {
      acked_ = status;
      return;
    }
    sending_ = true;
  }
  tools_.tasks.post([self = shared_from_this()] { self->send_status(); });
}

void PodWorker::send_status() {
  bool sent = flush_status();
  {
    std::lock_guard lock(mutex_);
    sending_ = false;
    if (!sent && !stopped_) {
      std::weak_ptr<PodWorker> weak = weak_from_this();
      tools_.world.executor.post_after(status_retry, [weak] {
        if (auto self = weak.lock()) self->poke(false);
      });
      return;
    }
    if (acked_ && status_ && acked_.root() == status_.root()) return;  // nothing new meanwhile
  }
  poke(false);
}

bool PodWorker::flush_status() {
  Document status, target;
  std::string target_uid;
  {
    std::lock_guard lock(mutex_);
    status = status_;
    target = pod_.is_static ? mirror_ : pod_.document;
  }
  if (!status || !target) return true;
  target_uid = target["metadata"]["uid"].str();
  auto patch = status_patch(target["status"], status.root(), target_uid);
  if (!patch) {
    std::lock_guard lock(mutex_);
    acked_ = status;
    return true;
  }
  client::Call call;
  call.method = "PATCH";
  call.path =
      client::object_path("v1", "pods", target["metadata"]["namespace"].as_string(), target["metadata"]["name"].as_string(), "status");
  call.query = "fieldManager=kubelet";
  call.body = *patch;
  Instant begin = tools_.world.clock.steady();
  auto answer = tools_.api.call(std::move(call));
  measures::status_written(tools_.world.clock.steady() - begin);
  if (!answer) {
    bool over = answer.error().code == 404 || answer.error().code == 409;
    if (!over) {
      log_warn("kubelet", "a pod's status could not be written", {{"pod", view().key()}, {"error", answer.error().message}});
      return false;
    }
    std::lock_guard lock(mutex_);
    acked_ = status;  // it is gone, or another of that name
    return true;
  }
  std::lock_guard lock(mutex_);
  acked_ = status;
  if (pod_.is_static) {
    if (mirror_ && mirror_["metadata"]["uid"].as_string() == target_uid) {  // not another one meanwhile
      mirror_ = *answer;
      Draft merged(pod_.document);
      merged["status"] = mirror_["status"];
      pod_ = PodView::read(merged.freeze());
    }
  } else if (version_of(*answer) > api_version_ && (*answer)["metadata"]["uid"].as_string() == uid_) {
    api_version_ = version_of(*answer);
    take(*answer);
  }
  return true;
}

void PodWorker::tell(const PodView& pod, std::string_view type, std::string_view reason, std::string message, std::string_view container) {
  const ContainerView* c = container.empty() ? nullptr : pod.find(container);
  tools_.events.record(pod.document.root(), type, reason, to_valid_utf8(std::move(message)),
                       c == nullptr ? std::string() : c->field_path());
}

}  // namespace kybern::kubelet
