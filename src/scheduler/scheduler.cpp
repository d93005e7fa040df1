#include "scheduler/scheduler.h"

#include <fmt/format.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "base/debug.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/strings.h"
#include "client/events.h"
#include "client/mirror.h"
#include "scheduler/cycle/cycle.h"

namespace kybern::scheduler {
namespace {

constexpr Duration first_backoff = std::chrono::seconds(1), last_backoff = std::chrono::seconds(10);
constexpr Duration retry_unschedulable = std::chrono::minutes(5);
constexpr std::size_t decisions_per_turn = 64;

// Names, labels and bounds are upstream's.
metrics::CounterFamily attempts_total("scheduler_schedule_attempts_total", "Number of attempts to schedule pods, by the result.",
                                      {"profile", "result"});
metrics::HistogramFamily decision_seconds("scheduler_scheduling_algorithm_duration_seconds", "Scheduling algorithm latency in seconds",
                                          metrics::exponential_bounds(0.001, 2, 15));

}  // namespace

struct Scheduler::State : std::enable_shared_from_this<Scheduler::State> {
  // A pod that waits for a node. What it needs is read when its turn comes: thousands may wait.
  struct Waiting {
    Document pod;
    std::int64_t priority = 0;
    std::uint64_t order = 0;  // of arrival
    int attempts = 0;
    bool queued = false;   // in `active`
    Instant not_before{};  // of its back-off
    TimerId timer = 0;     // will look at it again
    Instant wakes{};       // then
  };

  State(client::Transport& t, World w, SchedulerOptions o)
      : transport(t), world(w), options(std::move(o)), pods(t, "/api/v1/pods"), nodes(t, "/api/v1/nodes"), events(t, w, options.name) {}

  void start() {
    std::weak_ptr<State> weak = weak_from_this();
    pods.add_handler([weak](const Document& before, const Document& now) {
      if (auto s = weak.lock()) s->pod_changed(before, now);
    });
    nodes.add_handler([weak](const Document& before, const Document& now) {
      if (auto s = weak.lock()) s->node_changed(before, now);
    });
    nodes.start();
    pods.start();
  }

  // --- what happens in the cluster

  void node_changed(const Document& before, const Document& now) {
    std::lock_guard lock(mutex);
    std::string name = (now ? now : before)["metadata"]["name"].str();
    if (!now) {
      if (auto found = node_states.find(name); found != node_states.end()) {
        std::erase(order, found->second.get());
        node_states.erase(found);
      }
      return;
    }
    auto& state = node_states[name];
    if (!state) {
      state = std::make_unique<NodeState>();
      order.push_back(state.get());
      for (const auto& [key, placed] : placed_pods)
        if (placed.node == name) state->add(read_pod(placed.pod), 1);
    }
    bool helps = !before || !(before["spec"] == now["spec"]) || !(before["status"]["allocatable"] == now["status"]["allocatable"]) ||
                 !(before["metadata"]["labels"] == now["metadata"]["labels"]);
    state->set_node(now);
    if (helps) wake_all();
  }

  void pod_changed(const Document& before, const Document& now) {
    std::lock_guard lock(mutex);
    std::string key = client::key_of(now ? now.root() : before.root());
    std::string_view node = now["spec"]["nodeName"].as_string();
    bool placed = now && !node.empty() && occupies(now.root()), helps = false;
    if (auto found = placed_pods.find(key); found != placed_pods.end()) {
      // What is assumed stays until the API says where the pod is, or that it is gone.
      bool same_pod = now && found->second.pod["metadata"]["uid"] == now["metadata"]["uid"];
      if (same_pod && !placed && node.empty() && found->second.assumed) return;
      if (same_pod && placed && found->second.node == node && !found->second.assumed && found->second.pod["spec"] == now["spec"]) {
        found->second.pod = now;  // it needs the same, and the older block can go
        return;
      }
      helps = !(same_pod && placed && found->second.node == node && found->second.assumed);  // a bound pod may take less now
      unplace(found);
    }
    if (placed) {
      forget(key);
      place(read_pod(now), key, std::string(node), false);
    }
    if (helps) wake_all();
    if (placed) return;
    if (!is_ours(now)) return forget(key);
    // Another pod of this name has neither the place in the queue nor the back-off of the one before.
    if (auto older = waiting_pods.find(key);
        older != waiting_pods.end() && !(older->second.pod["metadata"]["uid"] == now["metadata"]["uid"]))
      forget(key);
    auto& waiting = waiting_pods[key];
    bool fresh = !waiting.pod, changed = !fresh && !(waiting.pod["spec"] == now["spec"]);
    waiting.pod = now;
    waiting.priority = now["spec"]["priority"].as_int();
    if (fresh) waiting.order = ++arrivals;
    if (fresh || changed) activate(key, waiting);
  }

  // It waits for us to find a node for it.
  bool is_ours(const Document& pod) const {
    return pod && pod["spec"]["nodeName"].as_string().empty() && pod["spec"]["schedulerName"].as_string() == options.name &&
           !pod["metadata"]["deletionTimestamp"].exists() && pod["spec"]["schedulingGates"].empty() && occupies(pod.root());
  }

  // What it needs is read out of it again where that is asked for: there may be hundreds of thousands.
  struct Placed {
    Document pod;
    std::string node;
    bool assumed;
  };
  using PlacedAt = std::unordered_map<std::string, Placed>::iterator;

  void place(const PodNeeds& pod, const std::string& key, std::string node, bool assumed) {
    if (auto found = node_states.find(node); found != node_states.end()) found->second->add(pod, 1);
    placed_pods.insert_or_assign(key, Placed{pod.pod, std::move(node), assumed});
  }
  void unplace(PlacedAt at) {
    if (auto found = node_states.find(at->second.node); found != node_states.end()) found->second->add(read_pod(at->second.pod), -1);
    placed_pods.erase(at);
  }
  void forget(const std::string& key) {
    auto found = waiting_pods.find(key);
    if (found == waiting_pods.end()) return;
    if (found->second.queued) active.erase({-found->second.priority, found->second.order, key});
    world.executor.cancel(found->second.timer);
    waiting_pods.erase(found);
  }

  // --- who is next

  void activate(const std::string& key, Waiting& waiting) {
    if (waiting.queued || stopped) return;
    Instant now = world.clock.steady();
    if (waiting.not_before > now) return wake_at(key, waiting, waiting.not_before);
    world.executor.cancel(std::exchange(waiting.timer, 0));
    waiting.queued = true;
    active.insert({-waiting.priority, waiting.order, key});
    run_soon();
  }

  // One timer for each pod that waits: of two times the earlier holds.
  void wake_at(const std::string& key, Waiting& waiting, Instant at) {
    if (waiting.timer != 0 && waiting.wakes <= at) return;
    world.executor.cancel(waiting.timer);
    waiting.wakes = at;
    std::weak_ptr<State> weak = weak_from_this();
    waiting.timer = world.executor.post_after(at - world.clock.steady(), [weak, key, at] {
      auto s = weak.lock();
      if (!s) return;
      std::lock_guard lock(s->mutex);
      auto found = s->waiting_pods.find(key);
      if (found == s->waiting_pods.end() || found->second.wakes != at) return;
      found->second.timer = 0;
      s->activate(key, found->second);
    });
  }

  void wake_all() {
    for (auto& [key, waiting] : waiting_pods) activate(key, waiting);
  }

  void run_soon() {
    if (running || stopped || active.empty()) return;
    running = true;
    world.executor.post([self = shared_from_this()] { self->run(); });
  }

  void run() {
    std::unique_lock lock(mutex);
    if (stopped) return;
    // Nothing is decided before both lists are in: a node without its pods looks empty.
    if (!nodes.synced() || !pods.synced()) {
      running = false;
      std::weak_ptr<State> weak = weak_from_this();
      world.executor.post_after(std::chrono::milliseconds(20), [weak] {
        if (auto s = weak.lock()) {
          std::lock_guard again(s->mutex);
          s->run_soon();
        }
      });
      return;
    }
    for (std::size_t i = 0; i < decisions_per_turn && !active.empty() && !stopped && binding < options.binds_at_once; ++i) decide_one();
    running = false;
    if (binding < options.binds_at_once) run_soon();
  }

  void decide_one() {
    std::string key = std::get<2>(*active.begin());
    active.erase(active.begin());
    Waiting& waiting = waiting_pods.at(key);
    waiting.queued = false;
    Instant begun = world.clock.steady();
    PodNeeds pod = read_pod(waiting.pod);
    Decision decision = decide(pod, order, next_start, world.random.next());
    decision_seconds.with({}).observe(std::chrono::duration<double>(world.clock.steady() - begun).count());
    next_start = decision.next_start;
    ++waiting.attempts;
    if (!decision.node) return unschedulable(key, waiting, decision.message);
    std::string node = decision.node->name;
    int attempts = waiting.attempts;
    waiting_pods.erase(key);
    place(pod, pod.key, node, true);
    ++binding;
    world.executor.post([self = shared_from_this(), pod = std::move(pod), node = std::move(node), attempts] {
      self->calling([&] { self->bind(pod, node, attempts); });
    });
  }

  Duration backoff(int attempts) const {
    Duration d = first_backoff;
    for (int i = 1; i < attempts && d < last_backoff; ++i) d *= 2;
    return std::min(d, last_backoff);
  }

  void unschedulable(const std::string& key, Waiting& waiting, const std::string& message) {
    attempts_total.with({options.name, "unschedulable"}).add();
    waiting.not_before = world.clock.steady() + backoff(waiting.attempts);
    Document pod = waiting.pod;
    world.executor.post([self = shared_from_this(), pod, message] { self->calling([&] { self->report(pod, "Unschedulable", message); }); });
    wake_at(key, waiting, world.clock.steady() + retry_unschedulable);
  }

  // --- what is said to the API

  // Not any more once it is stopped; what is being said then is waited for.
  void calling(const std::function<void()>& say) {
    {
      std::lock_guard lock(mutex);
      if (stopped) return;
      ++calls;
    }
    say();
    std::lock_guard lock(mutex);
    --calls;
    idle.notify_all();
  }

  void report(const Document& pod, std::string_view reason, const std::string& message) {
    events.warning(pod.root(), "FailedScheduling", message);
    std::string since = format_rfc3339(world.clock.now());  // it could not be placed
    for (Value c : pod["status"]["conditions"].items()) {
      if (c["type"].as_string() != "PodScheduled" || c["status"].as_string() != "False") continue;
      if (c["reason"].as_string() == reason && c["message"].as_string() == message) return;
      if (!c["lastTransitionTime"].as_string().empty()) since = c["lastTransitionTime"].str();
    }
    Draft condition = Draft::object(
        {{"type", "PodScheduled"}, {"status", "False"}, {"reason", reason}, {"message", message}, {"lastProbeTime", nullptr}});
    condition["lastTransitionTime"] = since;
    if (pod["metadata"]["generation"].exists()) condition["observedGeneration"] = pod["metadata"]["generation"];
    Draft patch = Draft::object();
    patch["metadata"]["uid"] = pod["metadata"]["uid"];
    patch["status"]["conditions"].push_back(std::move(condition));
    std::string path =
        client::object_path("v1", "pods", pod["metadata"]["namespace"].as_string(), pod["metadata"]["name"].as_string(), "status");
    auto answer = transport.call({"PATCH", path, "", patch.freeze(), client::PatchType::strategic});
    if (!answer && answer.error().code != 404 && answer.error().code != 409)
      log_warn("scheduler", "the condition of a pod could not be written",
               {{"pod", client::key_of(pod.root())}, {"why", answer.error().message}});
  }

  void bind(const PodNeeds& pod, const std::string& node, int attempts) {
    Value meta = pod.pod["metadata"];
    Draft body = Draft::object({{"kind", "Binding"}, {"apiVersion", "v1"}});
    body["metadata"] = Draft::object({{"name", meta["name"]}, {"namespace", meta["namespace"]}, {"uid", meta["uid"]}});
    body["target"] = Draft::object({{"kind", "Node"}, {"name", node}});
    std::string path = client::object_path("v1", "pods", meta["namespace"].as_string(), meta["name"].as_string(), "binding");
    auto answer = transport.call({"POST", path, "", body.freeze(), {}});
    {
      std::lock_guard lock(mutex);
      --binding;
    }
    if (answer) return bound(pod, node);
    if (answer.error().code >= 500) return look_whether_bound(pod, node, attempts);
    not_bound(pod, node, attempts, answer.error());
  }

  void bound(const PodNeeds& pod, const std::string& node) {
    attempts_total.with({options.name, "scheduled"}).add();
    events.normal(pod.pod.root(), "Scheduled", fmt::format("Successfully assigned {} to {}", pod.key, node));
    std::lock_guard lock(mutex);
    run_soon();
  }

  // No answer came, or none that tells: it may have happened. Until that is known the place stays taken.
  void look_whether_bound(const PodNeeds& pod, const std::string& node, int attempts) {
    Value meta = pod.pod["metadata"];
    auto now =
        transport.call({"GET", client::object_path("v1", "pods", meta["namespace"].as_string(), meta["name"].as_string()), "", {}, {}});
    if (now && (*now)["metadata"]["uid"] == meta["uid"]) {
      if ((*now)["spec"]["nodeName"].as_string() == node) return bound(pod, node);
      return not_bound(pod, node, attempts, service_unavailable("the API server did not answer"));
    }
    if (now || now.error().code == 404) return not_bound(pod, node, attempts, not_found("", "pods", meta["name"].as_string()));
    std::lock_guard lock(mutex);
    run_soon();
    std::weak_ptr<State> weak = weak_from_this();
    world.executor.post_after(first_backoff, [weak, pod, node, attempts] {
      if (auto s = weak.lock()) s->calling([&] { s->look_whether_bound(pod, node, attempts); });
    });
  }

  void not_bound(const PodNeeds& pod, const std::string& node, int attempts, const Status& why) {
    attempts_total.with({options.name, "error"}).add();
    if (why.code != 404 && why.code != 409) {
      log_warn("scheduler", "binding failed", {{"pod", pod.key}, {"node", node}, {"why", why.message}});
      events.warning(pod.pod.root(), "FailedScheduling", fmt::format("binding rejected: {}", why.message));
    }
    std::lock_guard lock(mutex);
    // The place is free again, unless another pod of this name has it by now; the pod is tried anew unless the API says that
    // it is gone or bound already.
    Value uid = pod.pod["metadata"]["uid"];
    if (auto found = placed_pods.find(pod.key);
        found != placed_pods.end() && found->second.assumed && found->second.pod["metadata"]["uid"] == uid) {
      unplace(found);
      wake_all();
    }
    if (Document current = pods.get(pod.key); is_ours(current) && current["metadata"]["uid"] == uid && why.code != 404) {
      auto& waiting = waiting_pods[pod.key];
      if (!waiting.pod) {
        waiting.pod = current;
        waiting.priority = current["spec"]["priority"].as_int();
        waiting.order = ++arrivals;
        waiting.attempts = attempts;
        waiting.not_before = world.clock.steady() + backoff(attempts);
        activate(pod.key, waiting);
      }
    }
    run_soon();
  }

  void stop() {
    pods.stop();
    nodes.stop();
    std::unique_lock lock(mutex);
    stopped = true;
    idle.wait(lock, [&] { return calls == 0; });
  }

  struct Lengths {
    std::size_t active, backoff, unschedulable;
  };
  Lengths lengths() {
    std::lock_guard lock(mutex);
    Lengths out{active.size(), 0, 0};
    Instant now = world.clock.steady();
    for (const auto& [key, waiting] : waiting_pods)
      if (!waiting.queued) ++(waiting.not_before > now ? out.backoff : out.unschedulable);
    return out;
  }
  void collect(std::string& out) {
    Lengths l = lengths();
    metrics::write_header(out, "scheduler_pending_pods", "Number of pending pods, by the queue type.", metrics::Type::gauge);
    for (auto [queue, length] : {std::pair("active", l.active), {"backoff", l.backoff}, {"unschedulable", l.unschedulable}})
      metrics::write_sample(out, "scheduler_pending_pods", {{"queue", queue}}, static_cast<double>(length));
  }
  std::string describe() {
    Lengths l = lengths();
    std::lock_guard lock(mutex);
    return fmt::format(
        R"({{"type":"scheduler","name":"{}","active":{},"backoff":{},"unschedulable":{},"binding":{},"placed":{},"nodes":{}}})",
        options.name, l.active, l.backoff, l.unschedulable, binding, placed_pods.size(), node_states.size());
  }

  client::Transport& transport;
  World world;
  SchedulerOptions options;
  client::MirrorCore pods, nodes;
  client::EventRecorder events;
  std::mutex mutex;
  std::condition_variable idle;
  std::unordered_map<std::string, std::unique_ptr<NodeState>> node_states;
  std::vector<NodeState*> order;
  std::unordered_map<std::string, Placed> placed_pods;
  std::unordered_map<std::string, Waiting> waiting_pods;
  std::set<std::tuple<std::int64_t, std::uint64_t, std::string>> active;  // by priority (highest first), then arrival
  std::uint64_t arrivals = 0;
  std::size_t next_start = 0;
  std::size_t binding = 0;  // decided and not answered yet
  std::size_t calls = 0;    // tasks inside the transport
  bool running = false, stopped = false;
  metrics::Collector figures{[this](std::string& out) { collect(out); }};  // last: gone before what they tell of
  debug::Page page{"queues", [this] { return describe(); }};
};

Scheduler::Scheduler(std::shared_ptr<State> state) : state_(std::move(state)) {}
Scheduler::~Scheduler() { stop(); }
void Scheduler::stop() {
  if (state_) state_->stop();
}

Result<std::unique_ptr<Scheduler>> Scheduler::start(client::Transport& transport, World world, SchedulerOptions options) {
  auto state = std::make_shared<State>(transport, world, std::move(options));
  state->start();
  return std::unique_ptr<Scheduler>(new Scheduler(std::move(state)));
}

}  // namespace kybern::scheduler
