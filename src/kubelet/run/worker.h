// The life of one pod on this node: looks at the runtime, plans, acts, reports, and again after each step until there is
// nothing to do. Never does two things at once for its pod, except what takes long: starting a container (its image may
// have to be pulled) and stopping one (its grace), which run aside and are in the plan's view as under way.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "kubelet/plan/plan.h"
#include "kubelet/run/tools.h"

namespace kybern::kubelet {

class PodWorker : public std::enable_shared_from_this<PodWorker> {
 public:
  // `gone` is called once, when nothing of the pod is left on the node and it is not wanted any more.
  // `fits`: whether the node has room for the pod with other resources than it has; what is in the way, when it has not.
  using Fits = std::function<std::optional<Problem>(const PodView& wanted)>;
  PodWorker(Tools& tools, Document pod, std::function<void(const std::string& uid)> gone, Fits fits);
  ~PodWorker();

  void update(Document pod);                    // the API's newest
  void set_mirror(Document mirror);             // of a static pod: its object in the API, empty when there is none
  void removed();                               // neither API nor file has it any more
  void end(Ending ending);                      // rejected or evicted by this node
  void poke(bool look = true);                  // plan again, after a look at the runtime
  void container_event(const std::string& id);  // something happened to it; the runtime's lists may lag a little
  void objects_changed();                       // of the config maps and secrets it uses
  void runtime_ready();                         // it was not: what failed for that reason need not wait
  void stop();                                  // the kubelet ends: the pod goes on without it

  // For the server and the node's figures.
  PodView view() const;
  RuntimeState runtime() const;
  Document status() const;  // newest computed
  bool knows(const std::string& id) const;
  bool is_finished() const;
  bool is_over() const;  // its end is told, or its source has it no more: what it had is given to others
  bool is_removed() const;
  bool is_stopping() const;

 private:
  struct StartJob {
    PodView pod;
    StartContainer action;
    RuntimeState runtime;
    std::uint64_t generation = 0;
  };

  void run();
  bool step();  // true: plan again at once
  bool look();
  void arm(std::optional<Duration> after);
  bool act(const Action& action, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const Prepare&, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const CreateSandbox& a, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const StopSandbox& a, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const RemoveSandbox& a, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const StartContainer& a, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const KillContainer& a, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const RemoveContainer& a, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const ResizeContainers& a, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const Finish&, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const DeletePod&, const PodView& pod, const RuntimeState& runtime);
  bool act_on(const Tell& a, const PodView& pod, const RuntimeState& runtime);

  void start_container(const StartJob& job);
  std::optional<Problem> try_start(const StartJob& job);
  std::optional<Problem> run_post_start(const StartJob& job, const ContainerView& c, const std::string& id);
  std::string run_hook(const PodView& pod, const ContainerView& c, const std::string& id, Value handler,
                       std::chrono::seconds limit);  // "" or why it failed
  std::expected<ImageOutcome, Problem> ensure_image(const StartJob& job, const ImageWish& wish, const std::vector<Document>& secrets,
                                                    const Document& sandbox_config);
  std::optional<Problem> mount_image_volumes(const StartJob& job, const ContainerView& c, const std::vector<Document>& secrets,
                                             const Document& sandbox_config);
  Result<std::vector<MountSpec>> container_mounts(const StartJob& job, const ContainerView& c, const Environment& environment,
                                                  const std::vector<std::string>& ips);
  void kill_container(const KillContainer& a, const PodView& pod, bool again);
  bool abandoned(std::uint64_t generation) const;  // the pod is on its way out: what is being started is of no use

  VolumeSources volume_sources(const PodView& pod, const std::vector<std::string>& ips);
  EnvironmentFacts environment_facts(const PodView& pod, const std::vector<std::string>& ips);
  Document sandbox_config_of(const PodView& pod, std::uint32_t attempt);
  void refresh_volumes();
  void take(Document pod);  // with the lock held: the API's newest, as this node has granted it
  void settle_resize();
  void learn_applied();
  void resolve_message(ObservedContainer& c);

  void report(const PodView& pod, const Document& status);
  void send_status();
  bool flush_status();  // sends and waits; false when it could not be sent
  void tell(const PodView& pod, std::string_view type, std::string_view reason, std::string message, std::string_view container = {});

  Tools& tools_;
  const std::string uid_;
  std::function<void(const std::string& uid)> gone_;
  Fits fits_;

  mutable std::mutex mutex_;
  std::uint64_t api_version_ = 0;  // resourceVersion of what `pod_` was read from
  PodView pod_;
  Document wanted_;                          // as the API has it; `pod_` has the resources that are granted
  std::map<std::string, Document> granted_;  // resources by container
  bool resize_asked_ = false;
  Document mirror_;  // of a static pod
  PodMemory memory_;
  RuntimeState runtime_;
  ProbeResults probes_;
  bool looked_ = false;  // the runtime has been asked at least once
  bool running_ = false, again_ = false, look_ = true, stopped_ = false, gone_told_ = false;
  bool volumes_changed_ = false;
  TimerId timer_ = 0;
  std::uint64_t start_generation_ = 0;
  std::map<std::string, int> kill_calls_;        // under way, by container id
  std::map<std::string, Backoff> pulls_;         // by image
  std::map<std::string, std::string> messages_;  // termination messages by container id
  std::map<std::string, int> awaited_;           // ids of which an event came: how often the runtime still showed the old state
  std::optional<Instant> new_since_;             // the pod had not begun when it came
  Document status_, acked_;                      // newest computed; last one the API took
  bool sending_ = false;
};

}  // namespace kybern::kubelet
