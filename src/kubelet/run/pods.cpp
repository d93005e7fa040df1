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

constexpr Duration mirror_retry = std::chrono::seconds(1);

bool is_mirror(const Document& pod) { return pod["metadata"]["annotations"][annotation_config_mirror].is_string(); }

// What is known of a pod that only the runtime has: enough to end it.
Document orphan(const ListedSandbox& s) {
  Draft meta = Draft::object({{"name", s.pod}, {"namespace", s.ns}, {"uid", s.uid}});
  return Draft::object(
             {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", meta}, {"spec", Draft::object({{"terminationGracePeriodSeconds", 1}})}})
      .freeze();
}

}  // namespace

std::shared_ptr<PodWorker> Pods::add(Document pod) {
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
  if (stopped_) return nullptr;
  auto [at, fresh] = workers_.emplace(uid, worker);
  return fresh ? worker : at->second;
}

void Pods::gone(const std::string& uid) {
  std::shared_ptr<PodWorker> worker;
  {
    std::lock_guard lock(mutex_);
    auto found = workers_.find(uid);
    if (found == workers_.end()) return;
    worker = std::move(found->second);
    workers_.erase(found);
  }
  PodView pod = worker->view();
  (void)remove_tree(fmt::format("{}/{}", tools_.log_root, pod_log_folder(pod)));
  tools_.probers.forget(uid);
  log_info("kubelet", "pod is gone", {{"pod", pod.key()}, {"uid", uid}});
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
  if (auto worker = add(now)) {
    admit(worker);
    worker->poke();
  }
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
    if (other != worker && !other->is_finished()) others.push_back(other->view());
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
    if (pod.uid != wanted.uid && !other->is_finished()) others.push_back(std::move(pod));
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

void Pods::adopt_orphans() {
  if (auto sandboxes = tools_.cri.list_sandboxes()) {
    for (const ListedSandbox& s : *sandboxes) {
      if (s.uid.empty() || find_uid(s.uid)) continue;
      log_info("kubelet", "a pod runs that no source has; it is ended", {{"pod", s.ns + "/" + s.pod}, {"uid", s.uid}});
      if (auto worker = add(orphan(s))) worker->removed();
    }
  }
  for (const std::string& uid : tools_.volumes.pods_on_disk()) {
    if (find_uid(uid)) continue;
    if (auto removed = tools_.volumes.remove(uid); !removed)
      log_warn("kubelet", "left-over volumes stay", {{"uid", uid}, {"error", removed.error().message}});
  }
  for (const auto& [uid, path] : tools_.cgroups.pods()) {
    if (find_uid(uid)) continue;
    if (auto removed = tools_.cgroups.remove(path); !removed)
      log_warn("kubelet", "a left-over cgroup stays", {{"path", path}, {"error", removed.error().message}});
  }
}

// ---- static pods and their mirrors

void Pods::set_static(const std::vector<Document>& pods) {
  std::set<std::string> wanted;
  for (const Document& pod : pods) {
    std::string uid = pod["metadata"]["uid"].str();
    wanted.insert(uid);
    auto worker = find_uid(uid);
    if (worker) continue;
    worker = add(pod);
    if (!worker) return;
    Document mirror;
    {
      std::lock_guard lock(mutex_);
      static_uids_[client::key_of(pod.root())] = uid;
      auto found = mirrors_.find(client::key_of(pod.root()));
      if (found != mirrors_.end()) mirror = found->second;
    }
    if (mirror) mirror_changed(mirror, mirror);  // it may be of what the file said before
    else make_mirror(worker);
    worker->poke();
  }
  for (const auto& worker : all()) {
    PodView pod = worker->view();
    if (!pod.is_static || wanted.contains(pod.uid)) continue;
    worker->removed();
    Document mirror;
    {
      std::lock_guard lock(mutex_);
      auto known = static_uids_.find(pod.key());
      if (known != static_uids_.end() && known->second == pod.uid) static_uids_.erase(known);
      if (auto found = mirrors_.find(pod.key()); found != mirrors_.end() && !static_uids_.contains(pod.key())) mirror = found->second;
    }
    if (!mirror) continue;
    Draft options = Draft::object({{"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"gracePeriodSeconds", 0}});
    options["preconditions"]["uid"] = mirror["metadata"]["uid"];
    (void)tools_.api.call({.method = "DELETE",
                           .path = client::object_path("v1", "pods", pod.ns, pod.name),
                           .query = {},
                           .body = options.freeze(),
                           .patch = {}});
  }
}

// A mirror whose static pod is another one by now, or none, goes; a static pod without a mirror gets one.
void Pods::mirror_changed(const Document& before, const Document& now) {
  const Document& mirror = now ? now : before;
  std::string key = client::key_of(mirror.root()), uid;
  {
    std::lock_guard lock(mutex_);
    if (now) mirrors_[key] = now;
    else mirrors_.erase(key);
    auto known = static_uids_.find(key);
    if (known != static_uids_.end()) uid = known->second;
  }
  auto worker = uid.empty() ? nullptr : find_uid(uid);
  bool matches = worker && now &&
                 now["metadata"]["annotations"][annotation_config_mirror].as_string() ==
                     worker->view().meta()["annotations"][annotation_config_hash].as_string();
  if (matches && !now["metadata"]["deletionTimestamp"].is_string()) {
    worker->set_mirror(now);
    return;
  }
  if (worker && !now) worker->set_mirror(Document());
  if (now) {
    Draft options = Draft::object({{"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"gracePeriodSeconds", 0}});
    options["preconditions"]["uid"] = now["metadata"]["uid"];
    tools_.tasks.post(
        [this, self = shared_from_this(), options = options.freeze(),
         path = client::object_path("v1", "pods", now["metadata"]["namespace"].as_string(), now["metadata"]["name"].as_string())] {
          (void)tools_.api.call({.method = "DELETE", .path = path, .query = {}, .body = options, .patch = {}});
        });
  } else if (worker) {
    tools_.tasks.post([this, self = shared_from_this(), worker] { make_mirror(worker); });
  }
}

void Pods::make_mirror(const std::shared_ptr<PodWorker>& worker) {
  PodView pod = worker->view();
  Document node;
  {
    std::lock_guard lock(mutex_);
    if (stopped_ || mirrors_.contains(pod.key())) return;
    node = node_;
  }
  if (!node) {  // its owner: a mirror waits until the node is registered
    if (auto found = tools_.api.call(
            {.method = "GET", .path = client::object_path("v1", "nodes", "", tools_.node_name), .query = {}, .body = {}, .patch = {}}))
      set_node(node = *found);
  }
  if (node) {
    auto made = tools_.api.call({.method = "POST",
                                 .path = client::object_path("v1", "pods", pod.ns, ""),
                                 .query = {},
                                 .body = mirror_of(pod.document, node),
                                 .patch = {}});
    if (made || made.error().code == 409 || made.error().code == 403) return;
  }
  std::weak_ptr<PodWorker> weak = worker;
  tools_.world.executor.post_after(mirror_retry, [weak, weak_pods = weak_from_this()] {
    auto pods = weak_pods.lock();
    auto again = weak.lock();
    if (pods && again && pods->find_uid(again->view().uid)) pods->tools_.tasks.post([pods, again] { pods->make_mirror(again); });
  });
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
