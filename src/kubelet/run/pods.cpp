#include "kubelet/run/pods.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "client/mirror.h"
#include "kubelet/files.h"
#include "kubelet/plan/admit.h"
#include "kubelet/plan/cri_config.h"

namespace kybern::kubelet {
namespace {

constexpr Duration mirror_retry = std::chrono::seconds(1), refused_mirror_retry = std::chrono::seconds(10);

bool is_mirror(const Document& pod) { return pod["metadata"]["annotations"][annotation_config_mirror].is_string(); }

// What is known of a pod that only the runtime has: enough to end it.
Document orphan(const ListedSandbox& s) {
  Draft meta = Draft::object({{"name", s.pod}, {"namespace", s.ns}, {"uid", s.uid}});
  return Draft::object(
             {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", meta}, {"spec", Draft::object({{"terminationGracePeriodSeconds", 1}})}})
      .freeze();
}

}  // namespace

std::pair<std::shared_ptr<PodWorker>, bool> Pods::add(Document pod) {
  std::string uid = pod["metadata"]["uid"].str();
  auto worker = std::make_shared<PodWorker>(
      tools_, std::move(pod),
      [weak = weak_from_this()](const std::string& id) {
        if (auto pods = weak.lock()) pods->gone(id);
      },
      [weak = weak_from_this()](const PodView& wanted) -> std::optional<Problem> {
        auto pods = weak.lock();
        return pods ? pods->in_the_way(wanted) : std::nullopt;
      });
  std::lock_guard lock(mutex_);
  if (stopped_) return {nullptr, false};
  auto [at, fresh] = workers_.emplace(uid, worker);
  return {at->second, fresh};
}

void Pods::gone(const std::string& uid) {
  std::shared_ptr<PodWorker> worker;
  {
    std::lock_guard lock(mutex_);
    auto found = workers_.find(uid);
    if (found == workers_.end()) return;
    worker = found->second;
  }
  PodView pod = worker->view();
  (void)remove_tree(fmt::format("{}/{}", tools_.log_root, pod_log_folder(pod)));
  tools_.probers.forget(uid);
  {
    std::lock_guard lock(mutex_);  // last: a static pod may come again with this uid
    workers_.erase(uid);
  }
  log_info("kubelet", "pod is gone", {{"pod", pod.key()}, {"uid", uid}});
  if (pod.is_static) start_static();  // what waited for its end
}

void Pods::api_changed(const Document& before, const Document& now) {
  if ((now && is_mirror(now)) || (!now && is_mirror(before))) return mirror_changed(before, now);
  if (before && (!now || now["metadata"]["uid"].as_string() != before["metadata"]["uid"].as_string())) {
    if (auto worker = find_uid(before["metadata"]["uid"].str())) worker->removed();
  }
  if (!now) return;
  if (auto worker = find_uid(now["metadata"]["uid"].str())) {
    worker->update(now);
    return;
  }
  log_info("kubelet", "pod is new", {{"pod", client::key_of(now.root())}, {"uid", now["metadata"]["uid"].str()}});
  auto [worker, fresh] = add(now);
  if (!worker) return;
  if (!fresh) return worker->update(now);
  admit(worker);
  worker->poke();
}

void Pods::container_event(const std::string& id) {
  for (const auto& worker : all()) {
    if (worker->knows(id)) return worker->container_event(id);
  }
}

void Pods::objects_changed(const std::string& uid) {
  if (auto worker = find_uid(uid)) worker->objects_changed();
}

void Pods::end(const std::string& uid, Ending ending) {
  if (auto worker = find_uid(uid)) worker->end(std::move(ending));
}

void Pods::runtime_ready() {
  for (const auto& worker : all()) worker->runtime_ready();
}

void Pods::set_node(Document node) {
  std::lock_guard lock(mutex_);
  node_ = std::move(node);
}

// A pod that is new here and has not begun anywhere is looked at once, against those that are here before it.
void Pods::admit(const std::shared_ptr<PodWorker>& worker) {
  PodView pod = worker->view();
  Value status = pod.status();
  bool begun = status["startTime"].is_string() || is_terminal_phase(status["phase"].as_string()) || pod.deleted_at;
  if (begun) return;
  std::vector<PodView> others;
  for (const auto& other : all()) {
    if (other != worker && !other->is_over()) others.push_back(other->view());
  }
  Document node;
  {
    std::lock_guard lock(mutex_);
    node = node_;
  }
  auto refused = refuse_pod(pod, others, tools_.node_allocatable, node);
  if (!refused) return;
  tools_.events.warning(pod.document.root(), refused->reason, refused->message);
  worker->end(std::move(*refused));
}

std::optional<Problem> Pods::in_the_way(const PodView& wanted) {
  std::vector<PodView> others;
  for (const auto& other : all()) {
    PodView pod = other->view();
    if (pod.uid != wanted.uid && !other->is_over()) others.push_back(std::move(pod));
  }
  auto problem = refuse_resize(wanted, others, tools_.node_allocatable);
  if (problem) problem->at = problem->retry_at = tools_.world.clock.now();
  return problem;
}

void Pods::balance() {
  std::int64_t milli = 0;
  for (const auto& worker : all()) {
    if (worker->is_finished()) continue;
    PodView pod = worker->view();
    if (qos_class(pod) != "Burstable") continue;
    if (Amounts requests = pod_requests(pod); requests.contains("cpu")) milli += requests["cpu"].milli_value();
  }
  std::int64_t shares = shares_of_milli(milli);
  if (shares == burstable_shares_) return;
  if (auto set = tools_.cgroups.set_burstable_shares(shares)) burstable_shares_ = shares;
}

void Pods::stop() {
  std::vector<std::shared_ptr<PodWorker>> workers = all();
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  for (const auto& worker : workers) worker->stop();
}

std::shared_ptr<PodWorker> Pods::find(std::string_view ns, std::string_view name) const {
  std::shared_ptr<PodWorker> found;
  for (const auto& worker : all()) {
    PodView pod = worker->view();
    if (pod.ns == ns && pod.name == name && (!found || !worker->is_stopping())) found = worker;
  }
  return found;
}

std::shared_ptr<PodWorker> Pods::find_uid(const std::string& uid) const {
  std::lock_guard lock(mutex_);
  auto found = workers_.find(uid);
  return found == workers_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<PodWorker>> Pods::all() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<PodWorker>> out;
  out.reserve(workers_.size());
  for (const auto& [uid, worker] : workers_) out.push_back(worker);
  return out;
}

std::size_t Pods::size() const {
  std::lock_guard lock(mutex_);
  return workers_.size();
}

void Pods::adopt_orphans(const std::set<std::string>& known) {
  auto has_source = [&](const std::string& uid) { return known.contains(uid) || find_uid(uid); };
  if (auto sandboxes = tools_.cri.list_sandboxes()) {
    for (const ListedSandbox& s : *sandboxes) {
      if (s.uid.empty() || has_source(s.uid)) continue;
      auto [worker, fresh] = add(orphan(s));
      if (!fresh) continue;  // it came just now
      log_info("kubelet", "a pod runs that no source has; it is ended", {{"pod", s.ns + "/" + s.pod}, {"uid", s.uid}});
      worker->removed();
    }
  }
  for (const std::string& uid : tools_.volumes.pods_on_disk()) {
    if (has_source(uid)) continue;
    if (auto removed = tools_.volumes.remove(uid); !removed)
      log_warn("kubelet", "left-over volumes stay", {{"uid", uid}, {"error", removed.error().message}});
  }
  for (const auto& [uid, path] : tools_.cgroups.pods()) {
    if (has_source(uid)) continue;
    if (auto removed = tools_.cgroups.remove(path); !removed)
      log_warn("kubelet", "a left-over cgroup stays", {{"path", path}, {"error", removed.error().message}});
  }
}

// ---- static pods and their mirrors

void Pods::set_static(std::vector<Document> pods) {
  std::map<std::string, std::string> uids;
  for (const Document& pod : pods) uids[client::key_of(pod.root())] = pod["metadata"]["uid"].str();
  std::set<std::string> changed;  // keys of which the mirror is another one now, or none
  {
    std::scoped_lock lock(static_mutex_, mutex_);
    for (const auto& [key, uid] : static_uids_) {
      auto now = uids.find(key);
      if (now == uids.end() || now->second != uid) changed.insert(key);
    }
    static_uids_ = uids;
    static_pods_ = std::move(pods);
  }
  for (const auto& worker : all()) {
    PodView pod = worker->view();
    if (!pod.is_static || worker->is_removed()) continue;
    auto wanted = uids.find(pod.key());
    if (wanted == uids.end() || wanted->second != pod.uid) worker->removed();
  }
  for (const std::string& key : changed) settle_mirror(key);
  start_static();
}

// Two of one name never run at once: a static pod waits for the end of the one before, which may be its own former life.
void Pods::start_static() {
  std::lock_guard one_at_a_time(static_mutex_);
  std::vector<Document> wanted;
  std::set<std::string> taken;
  for (const auto& worker : all()) {
    if (PodView pod = worker->view(); pod.is_static) taken.insert(pod.key());
  }
  {
    std::lock_guard lock(mutex_);
    for (const Document& pod : static_pods_) {
      std::string key = client::key_of(pod.root());
      // Of two files with one name the last one counts.
      if (!taken.contains(key) && static_uids_.at(key) == pod["metadata"]["uid"].as_string()) wanted.push_back(pod);
    }
  }
  for (const Document& pod : wanted) {
    auto [worker, fresh] = add(pod);
    if (!fresh) continue;
    std::string key = client::key_of(pod.root());
    Document mirror;
    {
      std::lock_guard lock(mutex_);
      if (auto found = mirrors_.find(key); found != mirrors_.end()) mirror = found->second;
    }
    if (mirror) mirror_changed(mirror, mirror);  // it may be of what the file said before
    else settle_mirror(key);
    worker->poke();
  }
}

void Pods::mirror_changed(const Document& before, const Document& now) {
  std::string key = client::key_of((now ? now : before).root());
  {
    std::lock_guard lock(mutex_);
    if (now) mirrors_[key] = now;
    else mirrors_.erase(key);
  }
  auto worker = static_worker(key);
  if (worker && !now) worker->set_mirror(Document());
  if (worker && now && stands_for(now, *worker)) worker->set_mirror(now);
  else settle_mirror(key);
}

// Of the version that its file has now.
std::shared_ptr<PodWorker> Pods::static_worker(const std::string& key) const {
  std::string uid;
  {
    std::lock_guard lock(mutex_);
    auto known = static_uids_.find(key);
    if (known == static_uids_.end()) return nullptr;
    uid = known->second;
  }
  auto worker = find_uid(uid);
  return worker && !worker->is_removed() ? worker : nullptr;
}

bool Pods::stands_for(const Document& mirror, const PodWorker& worker) {
  return !mirror["metadata"]["deletionTimestamp"].is_string() &&
         mirror["metadata"]["annotations"][annotation_config_mirror].as_string() ==
             worker.view().meta()["annotations"][annotation_config_hash].as_string();
}

// A mirror whose static pod is another one by now, or none, goes; a static pod without a mirror gets one.
void Pods::settle_mirror(const std::string& key) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    if (auto waits = settle_timers_.find(key); waits != settle_timers_.end()) {
      tools_.world.executor.cancel(waits->second);
      settle_timers_.erase(waits);
    }
    if (!settling_.insert(key).second) return;  // looked at soon, and then as it is by then
  }
  tools_.tasks.post([self = shared_from_this(), key] {
    {
      std::lock_guard lock(self->mutex_);
      self->settling_.erase(key);
    }
    auto again = self->try_settle_mirror(key);
    std::lock_guard lock(self->mutex_);
    if (!again || self->stopped_) return;
    TimerId& timer = self->settle_timers_[key];
    if (timer != 0) self->tools_.world.executor.cancel(timer);
    timer = self->tools_.world.executor.post_after(*again, [key, weak = self->weak_from_this()] {
      if (auto pods = weak.lock()) pods->settle_mirror(key);
    });
  });
}

// What is missing is tried again after the time that it returns.
std::optional<Duration> Pods::try_settle_mirror(const std::string& key) {
  auto worker = static_worker(key);
  Document mirror, node;
  {
    std::lock_guard lock(mutex_);
    if (auto found = mirrors_.find(key); found != mirrors_.end()) mirror = found->second;
    node = node_;
  }
  if (mirror) {
    if (worker && stands_for(mirror, *worker)) return std::nullopt;
    Draft options = Draft::object({{"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"gracePeriodSeconds", 0}});
    options["preconditions"]["uid"] = mirror["metadata"]["uid"];
    auto gone = tools_.api.call(
        {.method = "DELETE",
         .path = client::object_path("v1", "pods", mirror["metadata"]["namespace"].as_string(), mirror["metadata"]["name"].as_string()),
         .query = {},
         .body = options.freeze(),
         .patch = {}});
    if (gone || gone.error().code == 404 || gone.error().code == 409) return std::nullopt;
    return mirror_retry;
  }
  if (!worker) return std::nullopt;
  PodView pod = worker->view();
  if (!node) {  // its owner: a mirror waits until the node is registered
    auto found = tools_.api.call(
        {.method = "GET", .path = client::object_path("v1", "nodes", "", tools_.node_name), .query = {}, .body = {}, .patch = {}});
    if (!found) return mirror_retry;
    set_node(node = *found);
  }
  auto made = tools_.api.call({.method = "POST",
                               .path = client::object_path("v1", "pods", pod.ns, ""),
                               .query = {},
                               .body = mirror_of(pod.document, node),
                               .patch = {}});
  if (made) return std::nullopt;
  // Refused (a quota that is full, a namespace that ends) or its name is taken: that may change without our being told.
  return made.error().code == 409 || made.error().code == 403 ? refused_mirror_retry : mirror_retry;
}

Document mirror_of(const Document& pod, const Document& node) {
  Draft mirror(pod);
  mirror["metadata"]["annotations"][annotation_config_mirror] = pod["metadata"]["annotations"][annotation_config_hash];
  mirror["metadata"].erase("uid");
  mirror.erase("status");
  Draft owner = Draft::object(
      {{"apiVersion", "v1"}, {"kind", "Node"}, {"name", node["metadata"]["name"]}, {"uid", node["metadata"]["uid"]}, {"controller", true}});
  mirror["metadata"]["ownerReferences"] = Draft::array({owner});
  return mirror.freeze();
}

}  // namespace kybern::kubelet
