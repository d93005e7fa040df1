#include "sim/fleet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "client/mirror.h"
#include "machinery/quantity.h"

namespace kybern::sim {
namespace {

constexpr Duration shortest_retry = std::chrono::seconds(1), longest_retry = std::chrono::seconds(5);
constexpr Duration delivery_gap = std::chrono::microseconds(50);
constexpr std::size_t violations_kept = 20;

bool is_terminal(Value pod) {
  const std::string_view phase = pod["status"]["phase"].as_string();
  return phase == "Failed" || phase == "Succeeded";
}

bool says_ready(Value pod) {
  for (Value c : pod["status"]["conditions"].items())
    if (c["type"].as_string() == "Ready") return c["status"].as_string() == "True";
  return false;
}

std::int64_t milli(Value quantity) {
  const auto parsed = Quantity::parse(quantity.is_string() ? quantity.str() : quantity.is_null() ? "0" : std::to_string(quantity.as_int()));
  return parsed ? parsed->milli_value() : 0;
}

struct Needs {
  std::int64_t cpu_milli = 0, memory_milli = 0;
};
Needs needs_of(Value pod) {
  Needs out;
  for (Value container : pod["spec"]["containers"].items()) {
    out.cpu_milli += milli(container["resources"]["requests"]["cpu"]);
    out.memory_milli += milli(container["resources"]["requests"]["memory"]);
  }
  return out;
}

Draft condition(std::string_view type, bool is_true, const std::string& time) {
  return Draft::object({{"type", type}, {"status", is_true ? "True" : "False"}, {"lastTransitionTime", time}});
}

bool is_gone(const Status& status) { return status.code == 404 || status.code == 409; }

}  // namespace

struct Fleet::Pod {
  enum class State { admitted, running, ready, stopping, refused } state = State::admitted;
  Document object;
  bool up = false;  // its containers run
  int restarts = 0;
  std::optional<Time> started_at;
  Needs needs;
};

struct Fleet::Node {
  std::size_t number = 0;
  std::string name, ip;
  Lane* lane = nullptr;
  std::unique_ptr<client::Transport> transport;
  bool up = true, registered = false, removed = false;
  std::uint64_t era = 0;  // of the agent: what it had in mind is gone with it
  Duration muted_until{};
  Duration last_delivery{};
  Document lease;
  std::map<std::uint64_t, Pod> pods;  // by uid
  Needs used;
  bool status_due = false;
};

Fleet::Fleet(SimulatedWorld& world, Network& network, NodeModel model)
    : world_(world),
      network_(network),
      model_(std::move(model)),
      lane_(world.lane("nodes")),
      transport_(network.connect("system:admin", lane_)) {
  begin_watch();
}

Fleet::~Fleet() { stop(); }

void Fleet::stop() {
  watch_.reset();
  nodes_watch_.reset();
  world_.kill(lane_);
  for (auto& node : nodes_) world_.kill(*node->lane);
}

std::string Fleet::name(std::size_t node) const { return nodes_[node]->name; }
bool Fleet::is_up(std::size_t node) const { return nodes_[node]->up; }
std::size_t Fleet::find(std::string_view name) const {
  auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nodes_.size() : found->second;
}
std::string Fleet::zone_of(std::size_t node) const {
  return fmt::format("zone-{}", node % static_cast<std::size_t>(std::max(1, model_.zones)));
}

void Fleet::add_nodes(int count, Duration within) {
  for (int i = 0; i < count; ++i) {
    auto node = std::make_unique<Node>();
    node->number = nodes_.size();
    node->name = fmt::format("node-{:05}", node->number);
    node->ip = fmt::format("10.{}.{}.{}", 64 + node->number / 62500, node->number / 250 % 250, node->number % 250 + 1);
    node->lane = &world_.lane(node->name);
    node->transport = network_.connect("system:node:" + node->name, *node->lane);
    by_name_[node->name] = node->number;
    nodes_.push_back(std::move(node));
    Node& added = *nodes_.back();
    arm(added, world_.random().between(Duration(0), within), &Fleet::register_node);
  }
}

// --- the node itself -------------------------------------------------------------------------------------------------

void Fleet::arm(Node& node, Duration delay, void (Fleet::*what)(Node&)) {
  node.lane->post_after(delay, [this, &node, what, era = node.era] {
    if (node.era == era && node.up) (this->*what)(node);
  });
}

void Fleet::register_node(Node& node) {
  const std::string time = format_rfc3339(world_.now());
  Draft body = Draft::object({{"kind", "Node"}, {"apiVersion", "v1"}});
  body["metadata"]["name"] = node.name;
  body["metadata"]["labels"] = Draft::object(
      {{"kubernetes.io/hostname", node.name}, {"kubernetes.io/os", "linux"}, {"topology.kubernetes.io/zone", zone_of(node.number)}});
  Draft capacity = Draft::object({{"cpu", model_.cpu}, {"memory", model_.memory}, {"pods", std::to_string(model_.pods)}});
  body["status"]["capacity"] = capacity;
  body["status"]["allocatable"] = std::move(capacity);
  body["status"]["conditions"].push_back(Draft::object(
      {{"type", "Ready"}, {"status", "True"}, {"reason", "KubeletReady"}, {"lastHeartbeatTime", time}, {"lastTransitionTime", time}}));
  body["status"]["addresses"].push_back(Draft::object({{"type", "InternalIP"}, {"address", node.ip}}));
  const auto answer = node.transport->call({.method = "POST", .path = "/api/v1/nodes", .query = {}, .body = body.freeze()});
  if (!answer && answer.error().code != 409)
    return arm(node, world_.random().between(shortest_retry, longest_retry), &Fleet::register_node);
  node.registered = true;
  if (!answer) node.status_due = true;  // it was here before
  heartbeat(node);
  arm(node, world_.random().between(Duration(0), model_.status_interval), &Fleet::report_status);
  reconcile(node);
}

void Fleet::heartbeat(Node& node) {
  // The interval has some jitter, so that thousands do not come at once.
  arm(node, std::chrono::duration_cast<Duration>(model_.lease_interval * (1 + 0.04 * random_unit(world_.random()))), &Fleet::heartbeat);
  if (world_.elapsed() < node.muted_until) return;
  if (node.status_due) report_status_now(node);
  const std::string now = format_rfc3339_micro(world_.now());
  const std::string path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
  // As a kubelet does: one that does not know its lease any more, since an answer was lost, reads it and renews it at once.
  if (!node.lease) {
    auto found = node.transport->call({.method = "GET", .path = path + "/" + node.name, .query = {}, .body = {}});
    if (!found && found.error().code != 404) return;
    if (!found) {
      Draft body = Draft::object({{"kind", "Lease"}, {"apiVersion", "coordination.k8s.io/v1"}});
      body["metadata"] = Draft::object({{"name", node.name}, {"namespace", "kube-node-lease"}});
      body["spec"] = Draft::object({{"holderIdentity", node.name}, {"leaseDurationSeconds", 40}, {"renewTime", now}});
      auto made = node.transport->call({.method = "POST", .path = path, .query = {}, .body = body.freeze()});
      if (made) node.lease = std::move(*made);
      return;
    }
    node.lease = std::move(*found);
  }
  Draft body(node.lease);
  body["spec"]["renewTime"] = now;
  auto answer = node.transport->call({.method = "PUT", .path = path + "/" + node.name, .query = {}, .body = body.freeze()});
  node.lease = answer ? std::move(*answer) : Document();
}

void Fleet::report_status(Node& node) {
  arm(node, model_.status_interval, &Fleet::report_status);
  if (world_.elapsed() >= node.muted_until) report_status_now(node);
}

void Fleet::report_status_now(Node& node) {
  node.status_due = false;
  const std::string time = format_rfc3339(world_.now());
  Draft patch = Draft::object();
  patch["status"]["conditions"].push_back(Draft::object({{"type", "Ready"},
                                                         {"status", "True"},
                                                         {"reason", "KubeletReady"},
                                                         {"message", "kubelet is posting ready status"},
                                                         {"lastHeartbeatTime", time},
                                                         {"lastTransitionTime", time}}));
  const auto answer = node.transport->call({.method = "PATCH",
                                            .path = "/api/v1/nodes/" + node.name + "/status",
                                            .query = {},
                                            .body = patch.freeze(),
                                            .patch = client::PatchType::strategic});
  if (!answer && answer.error().code != 404) node.status_due = true;  // with the next heartbeat
}

// --- what the API says -----------------------------------------------------------------------------------------------

void Fleet::begin_watch() {
  client::Listener listener;
  listener.replaced = [this](std::vector<Document> objects) {
    std::unordered_map<std::uint64_t, Document> before = std::exchange(seen_, {});
    for (Document& pod : objects) {
      const std::uint64_t key = number_of(client::key_of(pod));
      auto old = before.find(key);
      Document was = old == before.end() ? Document() : old->second;
      if (old != before.end()) before.erase(old);
      const bool other = was && uid_of(was) != uid_of(pod);
      if (other) hand_over(was, {});
      if (!was || other || client::resource_version_of(was) != client::resource_version_of(pod)) hand_over({}, pod);
      seen_[key] = std::move(pod);
    }
    std::map<std::string, Document> gone;
    for (auto& [key, pod] : before) gone.emplace(client::key_of(pod), pod);
    for (const auto& [key, pod] : gone) hand_over(pod, {});
  };
  listener.changed = [this](std::vector<client::Event> events) {
    for (client::Event& event : events) {
      const std::uint64_t key = number_of(client::key_of(event.object));
      if (event.type == client::Event::Type::erased) {
        seen_.erase(key);
        hand_over(event.object, {});
      } else {
        hand_over({}, event.object);
        seen_[key] = std::move(event.object);
      }
    }
  };
  watch_ = transport_->subscribe("/api/v1/pods", "", std::move(listener));
  client::Listener nodes;
  nodes.replaced = [this](std::vector<Document> objects) {
    for (const Document& object : objects) saw_node(object);
  };
  nodes.changed = [this](std::vector<client::Event> events) {
    for (const client::Event& event : events)
      if (event.type == client::Event::Type::put) saw_node(event.object);
  };
  nodes_watch_ = transport_->subscribe("/api/v1/nodes", "", std::move(nodes));
}

// An agent finds out that others think it dead when it looks at its Node, with its next heartbeat.
void Fleet::saw_node(const Document& object) {
  auto found = by_name_.find(object["metadata"]["name"].str());
  if (found == by_name_.end()) return;
  for (Value c : object["status"]["conditions"].items())
    if (c["type"].as_string() == "Ready" && c["status"].as_string() != "True") nodes_[found->second]->status_due = true;
}

void Fleet::hand_over(const Document& before, const Document& now) {
  const Document& pod = now ? now : before;
  const std::string_view where = pod["spec"]["nodeName"].as_string();
  if (where.empty()) return;
  auto found = by_name_.find(std::string(where));
  if (found == by_name_.end()) return;
  Node& node = *nodes_[found->second];
  if (!node.up || !node.registered) return;  // it will read everything when it is back
  const Duration way = world_.random().between(Duration(0), model_.delivery);
  node.last_delivery = std::max(node.last_delivery + delivery_gap, world_.elapsed() + way);
  node.lane->post_after(node.last_delivery - world_.elapsed(), [this, &node, pod, erased = !now, era = node.era] {
    if (node.up && node.era == era) deliver(node, pod, erased);
  });
}

void Fleet::deliver(Node& node, Document pod, bool erased) {
  if (!erased) return look(node, pod);
  forget(node, number_of(uid_of(pod)));
}

void Fleet::reconcile(Node& node) {
  std::map<std::string, std::uint64_t> keys;
  for (const auto& [key, pod] : seen_)
    if (pod["spec"]["nodeName"].as_string() == node.name) keys.emplace(client::key_of(pod), key);
  std::vector<std::uint64_t> unknown;
  for (const auto& [uid, pod] : node.pods) {
    auto found = seen_.find(number_of(client::key_of(pod.object)));
    if (found == seen_.end() || number_of(uid_of(found->second)) != uid) unknown.push_back(uid);
  }
  for (std::uint64_t uid : unknown) forget(node, uid);
  for (const auto& [name, key] : keys)
    if (auto found = seen_.find(key); found != seen_.end()) look(node, Document(found->second));
}

void Fleet::look(Node& node, const Document& pod) {
  const std::uint64_t uid = number_of(uid_of(pod));
  auto found = node.pods.find(uid);
  if (found == node.pods.end()) {
    if (is_terminal(pod) && !is_deleting(pod)) return;
    Pod& added = node.pods[uid];
    added.object = pod;
    if (is_deleting(pod) || is_terminal(pod)) {  // it never ran here, or not since the machine began
      added.state = Pod::State::stopping;
      return later(node, uid, delivery_gap, &Fleet::finish);
    }
    return admit(node, added);
  }
  Pod& known = found->second;
  known.object = pod;
  if (known.state == Pod::State::stopping) return;
  if (!is_deleting(pod)) {
    // Somebody else has written that it is not ready (its node was thought dead): the agent knows better.
    if (known.state == Pod::State::ready && !says_ready(pod)) {
      known.state = Pod::State::running;
      later(node, uid, world_.random().between(std::chrono::milliseconds(10), std::chrono::seconds(1)), &Fleet::ready);
    }
    return;
  }
  known.state = Pod::State::stopping;
  const std::int64_t grace = pod["metadata"]["deletionGracePeriodSeconds"].as_int();
  Duration stop = world_.random().between(model_.shortest_stop, model_.longest_stop);
  later(node, uid, std::min<Duration>(stop, std::chrono::seconds(grace) + delivery_gap), &Fleet::finish);
}

// --- pods ------------------------------------------------------------------------------------------------------------

void Fleet::later(Node& node, std::uint64_t uid, Duration delay, void (Fleet::*what)(Node&, std::uint64_t)) {
  node.lane->post_after(delay, [this, &node, uid, what, era = node.era] {
    if (node.up && node.era == era && node.pods.contains(uid)) (this->*what)(node, uid);
  });
}

void Fleet::retry(Node& node, std::uint64_t uid, void (Fleet::*what)(Node&, std::uint64_t)) {
  later(node, uid, world_.random().between(shortest_retry, longest_retry), what);
}

void Fleet::admit(Node& node, Pod& pod) {
  pod.needs = needs_of(pod.object);
  const auto cpu = Quantity::parse(model_.cpu), memory = Quantity::parse(model_.memory);
  std::size_t live = 0;
  for (const auto& [uid, other] : node.pods) live += other.state != Pod::State::refused;
  const bool fits = node.used.cpu_milli + pod.needs.cpu_milli <= cpu->milli_value() &&
                    node.used.memory_milli + pod.needs.memory_milli <= memory->milli_value() &&
                    live <= static_cast<std::size_t>(model_.pods);
  const std::uint64_t uid = number_of(uid_of(pod.object));
  if (!fits) {
    pod.state = Pod::State::refused;
    pod.needs = {};
    ++refused_;
    Draft patch = Draft::object();
    patch["metadata"]["uid"] = uid_of(pod.object);
    patch["status"] = Draft::object({{"phase", "Failed"}, {"reason", "OutOfcpu"}, {"message", "Node didn't have enough resource"}});
    const Value meta = pod.object["metadata"];
    (void)node.transport->call(
        {.method = "PATCH",
         .path = client::object_path("v1", "pods", meta["namespace"].as_string(), meta["name"].as_string(), "status"),
         .query = {},
         .body = patch.freeze(),
         .patch = client::PatchType::strategic});
    return;
  }
  node.used.cpu_milli += pod.needs.cpu_milli;
  node.used.memory_milli += pod.needs.memory_milli;
  later(node, uid, world_.random().between(model_.shortest_start, model_.longest_start), &Fleet::start);
}

void Fleet::begins(Node& node, Pod& pod) {
  if (pod.up) return;
  pod.up = true;
  ++running_;
  ++started_;
  auto [place, is_new] = runs_on_.try_emplace(number_of(uid_of(pod.object)), static_cast<std::uint32_t>(node.number));
  if (!is_new && violations_.size() < violations_kept)
    violations_.push_back(fmt::format("pod {} runs on {} and on {}", client::key_of(pod.object), nodes_[place->second]->name, node.name));
}

void Fleet::ends(Node&, Pod& pod) {
  if (!pod.up) return;
  pod.up = false;
  --running_;
  runs_on_.erase(number_of(uid_of(pod.object)));
}

// False: try again later. A pod that is gone is forgotten.
bool Fleet::report(Node& node, Pod& pod, bool is_ready) {
  const std::string time = format_rfc3339(world_.now());
  const std::uint64_t uid = number_of(uid_of(pod.object));
  const Value meta = pod.object["metadata"];
  Draft patch = Draft::object();
  patch["metadata"]["uid"] = uid_of(pod.object);
  const std::string ip = fmt::format("10.{}.{}.{}", 128 + node.number / 256 % 64, node.number % 256, 2 + started_ % 250);
  if (!pod.started_at) {
    pod.started_at = world_.now();
    patch["status"]["startTime"] = time;
    patch["status"]["hostIP"] = node.ip;
    patch["status"]["podIP"] = ip;
    patch["status"]["podIPs"].push_back(Draft::object({{"ip", ip}}));
  }
  patch["status"]["phase"] = "Running";
  Draft conditions = Draft::array();
  conditions.push_back(condition("Initialized", true, format_rfc3339(*pod.started_at)));
  conditions.push_back(condition("ContainersReady", is_ready, time));
  conditions.push_back(condition("Ready", is_ready, time));
  patch["status"]["conditions"] = std::move(conditions);
  for (Value container : pod.object["spec"]["containers"].items()) {
    Draft status = Draft::object({{"name", container["name"]},
                                  {"image", container["image"]},
                                  {"imageID", container["image"]},
                                  {"ready", is_ready},
                                  {"started", pod.up},
                                  {"restartCount", pod.restarts}});
    if (pod.up) status["state"]["running"]["startedAt"] = time;
    else status["state"]["waiting"]["reason"] = "CrashLoopBackOff";
    patch["status"]["containerStatuses"].push_back(std::move(status));
  }
  const auto answer =
      node.transport->call({.method = "PATCH",
                            .path = client::object_path("v1", "pods", meta["namespace"].as_string(), meta["name"].as_string(), "status"),
                            .query = {},
                            .body = patch.freeze(),
                            .patch = client::PatchType::strategic});
  if (answer) return true;
  if (!is_gone(answer.error())) return false;
  if (answer.error().code == 404) forget(node, uid);
  return true;
}

void Fleet::start(Node& node, std::uint64_t uid) {
  Pod& pod = node.pods.at(uid);
  if (pod.state != Pod::State::admitted) return;
  begins(node, pod);
  const std::uint64_t era = node.era;
  if (!report(node, pod, false)) return retry(node, uid, &Fleet::start);
  auto found = node.pods.find(uid);
  if (node.era != era || found == node.pods.end() || found->second.state != Pod::State::admitted) return;
  found->second.state = Pod::State::running;
  later(node, uid, world_.random().between(model_.shortest_ready, model_.longest_ready), &Fleet::ready);
}

void Fleet::ready(Node& node, std::uint64_t uid) {
  Pod& pod = node.pods.at(uid);
  if (pod.state != Pod::State::running || !pod.up) return;
  const std::uint64_t era = node.era;
  if (!report(node, pod, true)) return retry(node, uid, &Fleet::ready);
  auto found = node.pods.find(uid);
  if (node.era != era || found == node.pods.end() || found->second.state != Pod::State::running) return;
  found->second.state = Pod::State::ready;
  if (model_.mean_life > Duration::zero()) {
    const double life = -std::log(1 - random_unit(world_.random())) * static_cast<double>(model_.mean_life.count());
    later(node, uid, Duration(static_cast<std::int64_t>(life)), &Fleet::crash_container);
  }
}

void Fleet::crash_container(Node& node, std::uint64_t uid) {
  Pod& pod = node.pods.at(uid);
  if (pod.state != Pod::State::ready) return;
  ends(node, pod);
  ++pod.restarts;
  pod.state = Pod::State::admitted;
  (void)report(node, pod, false);
  later(node, uid, world_.random().between(std::chrono::seconds(1), std::chrono::seconds(20)), &Fleet::start);
}

void Fleet::finish(Node& node, std::uint64_t uid) {
  Pod& pod = node.pods.at(uid);
  ends(node, pod);
  const Value meta = pod.object["metadata"];
  Draft options = Draft::object({{"kind", "DeleteOptions"}, {"apiVersion", "v1"}, {"gracePeriodSeconds", 0}});
  options["preconditions"]["uid"] = uid_of(pod.object);
  const std::uint64_t era = node.era;
  const auto answer =
      node.transport->call({.method = "DELETE",
                            .path = client::object_path("v1", "pods", meta["namespace"].as_string(), meta["name"].as_string()),
                            .query = {},
                            .body = options.freeze()});
  if (node.era != era || !node.pods.contains(uid)) return;
  if (!answer && !is_gone(answer.error())) return retry(node, uid, &Fleet::finish);
  forget(node, uid);
}

void Fleet::forget(Node& node, std::uint64_t uid) {
  auto found = node.pods.find(uid);
  if (found == node.pods.end()) return;
  ends(node, found->second);
  node.used.cpu_milli -= found->second.needs.cpu_milli;
  node.used.memory_milli -= found->second.needs.memory_milli;
  node.pods.erase(found);
}

// --- what happens to a node --------------------------------------------------------------------------------------------

void Fleet::crash(std::size_t number) {
  Node& node = *nodes_[number];
  if (!node.up) return;
  node.up = false;
  ++node.era;
  for (auto& [uid, pod] : node.pods) ends(node, pod);
  node.pods.clear();
  node.used = {};
  node.lease = {};
}

void Fleet::restart(std::size_t number) {
  Node& node = *nodes_[number];
  if (node.up || node.removed) return;
  node.up = true;
  ++node.era;
  node.muted_until = {};
  arm(node, world_.random().between(Duration(0), std::chrono::seconds(1)), &Fleet::register_node);
}

void Fleet::restart_agent(std::size_t number) {
  Node& node = *nodes_[number];
  if (!node.up) return;
  ++node.era;
  node.lease = {};
  // What was under way is done again from what the agent finds running.
  for (auto& [uid, pod] : node.pods) {
    if (pod.state == Pod::State::running || pod.state == Pod::State::ready) pod.state = Pod::State::admitted;
    if (pod.state == Pod::State::admitted)
      later(node, uid, world_.random().between(std::chrono::milliseconds(100), std::chrono::seconds(1)), &Fleet::start);
    if (pod.state == Pod::State::stopping)
      later(node, uid, world_.random().between(std::chrono::milliseconds(100), std::chrono::seconds(1)), &Fleet::finish);
  }
  arm(node, world_.random().between(Duration(0), std::chrono::seconds(1)), &Fleet::register_node);
}

void Fleet::mute(std::size_t number, Duration how_long) { nodes_[number]->muted_until = world_.elapsed() + how_long; }

void Fleet::remove(std::size_t number) {
  crash(number);
  nodes_[number]->removed = true;
}

}  // namespace kybern::sim
