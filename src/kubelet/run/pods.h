// All pods of this node: a worker for each, from whichever source (the API, files, or found running without either).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kubelet/run/tools.h"
#include "kubelet/run/worker.h"

namespace kybern::kubelet {

class Pods : public std::enable_shared_from_this<Pods> {
 public:
  explicit Pods(Tools& tools) : tools_(tools) {}

  // A change of the API's pods of this node; `before` or `now` is empty for a new or a gone one.
  void api_changed(const Document& before, const Document& now);
  // The state of the static pods: all there are.
  void set_static(std::vector<Document> pods);
  // What runs, lies on disk or has a cgroup without a pod in any source is ended and removed. Called when the sources are
  // known; `known`: uids of the API's pods, of which some may still be on their way to api_changed().
  void adopt_orphans(const std::set<std::string>& known);
  void end(const std::string& uid, Ending ending);

  void container_event(const std::string& id);
  void objects_changed(const std::string& uid);
  void runtime_ready();
  void set_node(Document node);  // for admission
  // Cgroup shares of the burstable pods, and whatever else follows from all pods together.
  void balance();
  void stop();

  std::shared_ptr<PodWorker> find(std::string_view ns, std::string_view name) const;
  std::shared_ptr<PodWorker> find_uid(const std::string& uid) const;
  std::vector<std::shared_ptr<PodWorker>> all() const;
  std::size_t size() const;

 private:
  std::pair<std::shared_ptr<PodWorker>, bool> add(Document pod);  // false: it was there; null when stopped
  void gone(const std::string& uid);
  void mirror_changed(const Document& before, const Document& now);
  void start_static();
  void settle_mirror(const std::string& key);
  std::optional<Duration> try_settle_mirror(const std::string& key);
  std::shared_ptr<PodWorker> static_worker(const std::string& key) const;
  static bool stands_for(const Document& mirror, const PodWorker& worker);
  std::optional<Problem> in_the_way(const PodView& wanted);
  void admit(const std::shared_ptr<PodWorker>& worker);

  Tools& tools_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<PodWorker>> workers_;  // by uid
  std::map<std::string, Document> mirrors_;                    // of static pods, by namespace/name
  std::mutex static_mutex_;                                    // static pods are started by one thread at a time
  std::vector<Document> static_pods_;                          // as their files are now
  std::map<std::string, std::string> static_uids_;             // of those: namespace/name -> uid
  std::set<std::string> settling_;                             // keys whose mirror is looked at soon
  std::map<std::string, TimerId> settle_timers_;               // or later
  Document node_;
  std::int64_t burstable_shares_ = 0;
  bool stopped_ = false;
};

// The object that stands for it in the API.
Document mirror_of(const Document& static_pod, const Document& node);

}  // namespace kybern::kubelet
