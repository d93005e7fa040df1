#include "kubelet/run/node_agent.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/log.h"
#include "base/strings.h"
#include "client/events.h"
#include "client/mirror.h"
#include "kubelet/run/tasks.h"
#include "kubelet/runtime/cri.h"

namespace kybern::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration first_register_retry = milliseconds(200), longest_register_retry = seconds(7);
constexpr Duration lease_period = seconds(10);
constexpr Duration check_period = seconds(10), check_period_unready = milliseconds(500);
constexpr Duration status_period = seconds(300);
constexpr Duration images_period = seconds(60);

NodeImage image_of(const Image& image) {
  NodeImage out{{}, image.size_bytes};
  out.names.insert(out.names.end(), image.digests.begin(), image.digests.end());
  out.names.insert(out.names.end(), image.tags.begin(), image.tags.end());
  return out;
}

Document handler_of(const RuntimeHandler& h) {
  return Draft::object(
             {{"features", Draft::object({{"recursiveReadOnlyMounts", h.recursive_read_only}, {"userNamespaces", h.user_namespaces}})},
              {"name", h.name}})
      .freeze();
}

}  // namespace

struct NodeAgent::State : std::enable_shared_from_this<NodeAgent::State> {
  client::Transport& api;
  World world;
  Tasks& tasks;
  Cri& cri;
  client::EventRecorder& events;
  Options options;
  std::unique_ptr<client::MirrorCore> mirror;

  mutable std::mutex mutex;
  Document node, lease;
  std::vector<std::string> pod_cidrs;
  std::vector<NodeImage> images;
  Instant images_at{}, written_at{};
  bool registered = false, ready = false, usable = false, stopped = false, checking = false, check_again = false, renewing = false;
  Duration register_retry = first_register_retry;
  TimerId check_timer = 0, lease_timer = 0;

  State(client::Transport& a, World w, Tasks& t, Cri& c, client::EventRecorder& e, Options o)
      : api(a), world(w), tasks(t), cri(c), events(e), options(std::move(o)) {}

  std::string path(std::string_view subresource = {}) const {
    return client::object_path("v1", "nodes", "", options.machine.name, subresource);
  }
  ApiResult<Document> call(std::string method, std::string where, Document body = {},
                           client::PatchType patch = client::PatchType::strategic) {
    return api.call({.method = std::move(method), .path = std::move(where), .query = {}, .body = std::move(body), .patch = patch});
  }

  void later(Duration after, TimerId& timer, void (State::*what)()) {  // with the lock held
    if (stopped) return;
    world.executor.cancel(timer);  // one of a kind only
    std::weak_ptr<State> weak = weak_from_this();
    timer = world.executor.post_after(after, [weak, what] {
      if (auto self = weak.lock()) ((*self).*what)();
    });
  }

  void learn(const Document& object) {
    std::vector<std::string> cidrs;
    {
      std::lock_guard lock(mutex);
      node = object;
      for (Value v : object["spec"]["podCIDRs"].items()) cidrs.push_back(v.str());
      if (cidrs.empty() && object["spec"]["podCIDR"].is_string()) cidrs.push_back(object["spec"]["podCIDR"].str());
      if (cidrs.empty() || cidrs == pod_cidrs) return;
      pod_cidrs = cidrs;
    }
    if (options.pod_cidrs) options.pod_cidrs(cidrs);
  }

  // ---- registering

  void try_register() {
    tasks.post([self = shared_from_this()] {
      auto made = self->do_register();
      if (!made)
        log_warn("kubelet", "the node cannot be registered yet", {{"node", self->options.machine.name}, {"error", made.error().message}});
      else self->learn(*made);
      std::lock_guard lock(self->mutex);
      if (!made) {
        self->later(self->register_retry, self->check_timer, &State::try_register);
        self->register_retry = std::min(self->register_retry * 2, longest_register_retry);
        return;
      }
      log_info("kubelet", "node registered", {{"node", self->options.machine.name}});
      self->registered = true;
      self->later(Duration(), self->lease_timer, &State::renew);
      self->later(Duration(), self->check_timer, &State::check);
    });
  }

  ApiResult<Document> do_register() {
    Document wanted = make_node(options.machine, options.labels, options.taints, options.provider_id);
    auto there = call("GET", path());
    if (!there && there.error().code != 404) return there;
    if (!there) {
      Draft fresh(wanted);
      fresh["status"] = make_node_status(options.machine, look(), Value(), world.clock.now());
      auto made = call("POST", client::object_path("v1", "nodes", "", ""), fresh.freeze());
      if (made || made.error().code != 409) return made;
      there = call("GET", path());
      if (!there) return there;
    }
    Draft labels = Draft::object();
    for (Member m : wanted["metadata"]["labels"].members()) {
      if (!((*there)["metadata"]["labels"][m.key] == m.value)) labels[m.key] = m.value;
    }
    Draft annotations = Draft::object();
    for (Member m : wanted["metadata"]["annotations"].members()) {
      if (!((*there)["metadata"]["annotations"][m.key] == m.value)) annotations[m.key] = m.value;
    }
    if (labels.empty() && annotations.empty()) return there;
    return call("PATCH", path(), Draft::object({{"metadata", Draft::object({{"annotations", annotations}, {"labels", labels}})}}).freeze(),
                client::PatchType::merge);
  }

  // ---- the lease

  void renew() {
    Document old, about;
    {
      std::lock_guard lock(mutex);
      if (stopped || !registered || std::exchange(renewing, true)) return;
      old = lease;
      about = node;
    }
    const std::string one = client::object_path("coordination.k8s.io/v1", "leases", "kube-node-lease", options.machine.name);
    if (!old) {
      if (auto found = call("GET", one)) old = *found;
    }
    Document wanted = make_lease(options.machine.name, about["metadata"]["uid"].str(), old.root(), world.clock.now());
    auto answer = old ? call("PUT", one, wanted)
                      : call("POST", client::object_path("coordination.k8s.io/v1", "leases", "kube-node-lease", ""), wanted);
    if (!answer) log_warn("kubelet", "the node's lease could not be renewed", {{"error", answer.error().message}});
    std::lock_guard lock(mutex);
    renewing = false;
    lease = answer ? *answer : Document();  // read again next time
    if (registered) later(answer ? lease_period : lease_period / 5, lease_timer, &State::renew);
  }

  // ---- the status

  NodeState look() {
    NodeState out;
    if (auto status = cri.status()) {
      bool runtime_ready = false, network_ready = false;
      for (const RuntimeCondition& c : status->conditions) {
        if (c.type == "RuntimeReady") runtime_ready = c.status;
        if (c.type == "NetworkReady") network_ready = c.status;
        if (c.status) continue;
        std::string what = c.type == "NetworkReady" ? "container runtime network not ready" : "container runtime not ready";
        out.problems.push_back(
            {c.type, c.reason, fmt::format("{}: {}=false reason:{} message:{}", what, c.type, c.reason, c.message), false});
      }
      if (!runtime_ready && out.problems.empty())
        out.problems.push_back({"", "", "container runtime status check may not have completed yet", false});
      if (!network_ready && out.problems.empty()) out.problems.push_back({"", "", "container runtime network not ready", false});
      for (const RuntimeHandler& h : status->handlers) out.runtime_handlers.push_back(handler_of(h));
      out.supplemental_groups_policy = status->supplemental_groups_policy;
    } else {
      out.problems.push_back({"", "", "container runtime is down", false});
    }
    Instant now = world.clock.steady();
    bool fresh;
    {
      std::lock_guard lock(mutex);
      fresh = !images.empty() && now - images_at < images_period;
      out.images = images;
    }
    if (fresh) return out;
    if (auto list = cri.list_images()) {
      out.images.clear();
      for (const Image& image : *list) out.images.push_back(image_of(image));
      std::lock_guard lock(mutex);
      images = out.images;
      images_at = now;
    }
    return out;
  }

  void check() {
    {
      std::lock_guard lock(mutex);
      if (stopped || !registered) return;
      if (checking) {
        check_again = true;
        return;
      }
      checking = true;
      world.executor.cancel(check_timer);
    }
    tasks.post([self = shared_from_this()] { self->do_check(); });
  }

  void do_check() {
    NodeState state = look();
    Document old;
    bool due;
    {
      std::lock_guard lock(mutex);
      old = node;
      due = written_at == Instant{} || world.clock.steady() - written_at >= status_period;
    }
    Document status = make_node_status(options.machine, state, old["status"], world.clock.now());
    bool written = false, now_ready = state.problems.empty();
    if (now_ready && !std::exchange(usable, now_ready) && options.became_ready) options.became_ready();
    usable = now_ready;  // read and written by this one task at a time
    if (due || differs(old["status"], status.root())) written = write(status);
    std::lock_guard lock(mutex);
    if (written) {
      if (ready != now_ready) tell(now_ready);
      ready = now_ready;
      written_at = world.clock.steady();
    }
    checking = false;
    bool soon = !now_ready || !ready;
    later(std::exchange(check_again, false) ? Duration() : soon ? check_period_unready : check_period, check_timer, &State::check);
  }

  // Only of what the kubelet sets: other fields of the status are others'.
  static bool differs(Value old, Value now) {
    Draft ours = Draft::object();
    for (Member m : now.members()) {
      if (old[m.key].exists()) ours[m.key] = old[m.key];
    }
    if (old["conditions"].is_array()) {
      Draft conditions = Draft::array();
      for (Value c : now["conditions"].items()) {
        for (Value o : old["conditions"].items()) {
          if (o["type"] == c["type"]) conditions.push_back(o);
        }
      }
      ours["conditions"] = std::move(conditions);
    }
    return !same_node_status(ours.freeze().root(), now);
  }

  bool write(const Document& status) {
    Draft body(status);
    body["addresses"].push_back(Draft::object({{"$patch", "replace"}}));
    auto answer = call("PATCH", path("status"), Draft::object({{"status", std::move(body)}}).freeze());
    if (!answer) {
      log_warn("kubelet", "the node's status could not be written", {{"error", answer.error().message}});
      if (answer.error().code == 404) {  // somebody deleted the node: it is made again
        std::lock_guard lock(mutex);
        registered = false;
        later(Duration(), lease_timer, &State::try_register);
      }
      return false;
    }
    learn(*answer);
    return true;
  }

  void tell(bool now_ready) {
    std::string reason = now_ready ? "NodeReady" : "NodeNotReady";
    events.normal(node.root(), reason, fmt::format("Node {} status is now: {}", options.machine.name, reason));
  }
};

NodeAgent::NodeAgent(client::Transport& api, World world, Tasks& tasks, Cri& cri, client::EventRecorder& events, Options options)
    : state_(std::make_shared<State>(api, world, tasks, cri, events, std::move(options))) {}

NodeAgent::~NodeAgent() { stop(); }

void NodeAgent::start() {
  State& s = *state_;
  s.mirror = std::make_unique<client::MirrorCore>(s.api, "/api/v1/nodes",
                                                  "fieldSelector=" + url_encode("metadata.name=" + s.options.machine.name));
  std::weak_ptr<State> weak = state_;
  s.mirror->add_handler([weak](const Document&, const Document& now) {
    auto self = weak.lock();
    if (self && now) self->learn(now);
  });
  s.mirror->start();
  s.try_register();
}

void NodeAgent::stop() {
  State& s = *state_;
  {
    std::lock_guard lock(s.mutex);
    s.stopped = true;
    s.world.executor.cancel(s.check_timer);
    s.world.executor.cancel(s.lease_timer);
  }
  s.mirror.reset();
}

void NodeAgent::check_now() {
  {
    std::lock_guard lock(state_->mutex);
    state_->images_at = Instant{};
    state_->images.clear();
  }
  state_->check();
}

bool NodeAgent::registered() const {
  std::lock_guard lock(state_->mutex);
  return state_->registered;
}
bool NodeAgent::ready() const {
  std::lock_guard lock(state_->mutex);
  return state_->ready;
}
Document NodeAgent::node() const {
  std::lock_guard lock(state_->mutex);
  return state_->node;
}

}  // namespace kybern::kubelet
