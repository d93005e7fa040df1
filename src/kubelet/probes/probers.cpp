#include "kubelet/probes/probers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "client/events.h"
#include "kubelet/measures.h"
#include "kubelet/probes/checks.h"
#include "kubelet/probes/counter.h"
#include "kubelet/run/tasks.h"
#include "kubelet/text.h"

namespace kybern::kubelet {
namespace {

using std::chrono::seconds;

enum class Type : std::uint8_t { startup, liveness, readiness };
constexpr Type all_types[] = {Type::startup, Type::liveness, Type::readiness};

const char* field_of(Type type) {
  return type == Type::startup ? "startupProbe" : type == Type::liveness ? "livenessProbe" : "readinessProbe";
}
const char* name_of(Type type) { return type == Type::startup ? "Startup" : type == Type::liveness ? "Liveness" : "Readiness"; }

}  // namespace

struct Probers::State : std::enable_shared_from_this<Probers::State> {
  // One probe of one container instance.
  struct Prober {
    PodView pod;  // keeps the spec alive
    std::string container, id, pod_ip;
    Type type;
    Time started_at;
    ProbeCounter counter;
    std::function<void()> changed;
    bool held_back = false;  // until the startup probe of the container has succeeded
    bool under_way = false, ended = false;
    TimerId timer = 0;
    Duration period() const { return seconds(std::max<std::int64_t>(1, spec()["periodSeconds"].as_int(10))); }
    Value spec() const { return pod.find(container)->spec[field_of(type)]; }
  };
  using Key = std::pair<std::string, Type>;  // container id
  using OfPod = std::map<Key, std::shared_ptr<Prober>>;

  Cri& cri;
  World world;
  Tasks& tasks;
  client::EventRecorder& events;
  std::mutex mutex;
  std::map<std::string, OfPod> pods;
  bool stopped = false;

  State(Cri& c, World w, Tasks& t, client::EventRecorder& e) : cri(c), world(w), tasks(t), events(e) {}

  // With the lock held.
  void schedule(const std::shared_ptr<Prober>& p, Duration after) {
    std::weak_ptr<State> weak = weak_from_this();
    p->timer = world.executor.post_after(after, [weak, p] {
      if (auto self = weak.lock())
        self->tasks.post([weak, p] {
          if (auto state = weak.lock()) state->run(p);
        });
    });
  }

  void run(const std::shared_ptr<Prober>& p) {
    {
      std::lock_guard lock(mutex);
      if (stopped || p->ended || p->under_way) return;
      if (p->held_back) return;  // started when the startup probe succeeds
      p->under_way = true;
    }
    const ContainerView* c = p->pod.find(p->container);
    CheckOutcome outcome = run_probe(cri, p->spec(), *c, p->id, p->pod_ip);
    bool changed = false;
    {
      std::lock_guard lock(mutex);
      p->under_way = false;
      if (stopped || p->ended) return;
      measures::probed(labels(*p), outcome.result == CheckOutcome::Result::success   ? "successful"
                                   : outcome.result == CheckOutcome::Result::failure ? "failed"
                                                                                     : "unknown");
      bool success = outcome.result == CheckOutcome::Result::success;
      if (outcome.result != CheckOutcome::Result::unknown) changed = p->counter.count(success);
      bool done = p->type == Type::startup && p->counter.verdict.has_value();
      bool hopeless =
          p->type == Type::liveness && p->counter.verdict == false;  // the container is killed; its successor has a prober of its own
      if (!done && !hopeless) schedule(p, p->period());
      if (p->type == Type::startup && p->counter.verdict == true) release(*p);
    }
    std::string said = to_valid_utf8(std::move(outcome.output));
    if (outcome.result == CheckOutcome::Result::failure) {
      events.record(p->pod.document.root(), "Warning", "Unhealthy", fmt::format("{} probe failed: {}", name_of(p->type), said),
                    c->field_path());
    } else if (outcome.result == CheckOutcome::Result::unknown) {
      events.record(p->pod.document.root(), "Warning", "Unhealthy",
                    fmt::format("{} probe errored and resulted in unknown state: {}", name_of(p->type), said), c->field_path());
    }
    if (changed) p->changed();
  }

  // With the lock held: the probes that waited for this startup probe.
  void release(const Prober& startup) {
    for (auto& [key, p] : pods[startup.pod.uid]) {
      if (key.first != startup.id || key.second == Type::startup) continue;
      p->held_back = false;
      if (p->under_way) continue;
      world.executor.cancel(p->timer);
      schedule(p, std::max(Duration(), p->started_at + seconds(p->spec()["initialDelaySeconds"].as_int()) - world.clock.now()));
    }
  }

  static measures::Probed labels(const Prober& p) { return {name_of(p.type), p.container, p.pod.name, p.pod.ns, p.pod.uid}; }

  void end(const std::shared_ptr<Prober>& p) {
    p->ended = true;
    measures::forget(labels(*p));
    world.executor.cancel(p->timer);
  }
};

Probers::Probers(Cri& cri, World world, Tasks& tasks, client::EventRecorder& events)
    : state_(std::make_shared<State>(cri, world, tasks, events)) {}

Probers::~Probers() {
  std::lock_guard lock(state_->mutex);
  state_->stopped = true;
  for (auto& [uid, probers] : state_->pods) {
    for (auto& [key, p] : probers) state_->end(p);
  }
}

ProbeResults Probers::follow(const PodView& pod, const RuntimeState& runtime, const std::string& pod_ip, bool stopping,
                             const std::function<void()>& changed) {
  State& s = *state_;
  ProbeResults results;
  std::lock_guard lock(s.mutex);
  State::OfPod& mine = s.pods[pod.uid];
  std::map<State::Key, const ObservedContainer*> wanted;
  std::set<std::string> starts;  // ids of containers whose startup probe has not succeeded yet
  for (const ContainerView& c : pod.containers) {
    const ObservedContainer* seen = runtime.newest(c.name);
    if (seen == nullptr || seen->state != ContainerState::running) continue;
    auto startup = mine.find({seen->id, Type::startup});
    // One that an earlier kubelet has called started is not asked again, and not killed when it no longer passes.
    bool is_asked = c.startup && (startup != mine.end() || !told_of(pod, c, *seen)["started"].as_bool());
    if (is_asked && (startup == mine.end() || startup->second->counter.verdict != true)) starts.insert(seen->id);
    for (Type type : all_types) {
      bool has = type == Type::startup ? is_asked : type == Type::liveness ? c.liveness : c.readiness;
      // A pod on its way out is still asked whether it is ready, so that it can be taken out of its services.
      if (has && (!stopping || type == Type::readiness)) wanted[{seen->id, type}] = seen;
    }
  }
  for (auto at = mine.begin(); at != mine.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    s.end(at->second);
    at = mine.erase(at);
  }
  for (const auto& [key, seen] : wanted) {
    std::shared_ptr<State::Prober>& p = mine[key];
    if (!p && !s.stopped) {
      p = std::make_shared<State::Prober>();
      p->pod = pod;
      p->container = seen->name;
      p->id = seen->id;
      p->pod_ip = pod_ip;
      p->type = key.second;
      p->started_at = seen->started_at;
      p->held_back = p->type != Type::startup && starts.contains(p->id);
      p->changed = changed;
      p->counter.failure_threshold = static_cast<int>(p->spec()["failureThreshold"].as_int(3));
      p->counter.success_threshold = static_cast<int>(p->spec()["successThreshold"].as_int(1));
      Duration delay = seen->started_at + seconds(p->spec()["initialDelaySeconds"].as_int()) - s.world.clock.now();
      s.schedule(p, std::max(delay, Duration()));
    }
    if (p && p->counter.verdict) {
      auto& list = key.second == Type::startup ? results.startup : key.second == Type::liveness ? results.liveness : results.readiness;
      list[key.first] = *p->counter.verdict;
    }
  }
  if (mine.empty()) s.pods.erase(pod.uid);
  return results;
}

void Probers::forget(const std::string& uid) {
  State& s = *state_;
  std::lock_guard lock(s.mutex);
  auto found = s.pods.find(uid);
  if (found == s.pods.end()) return;
  for (auto& [key, p] : found->second) s.end(p);
  s.pods.erase(found);
}

}  // namespace kybern::kubelet
