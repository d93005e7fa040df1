#include "kubelet/kubelet.h"

#include <fmt/format.h>

#include <mutex>
#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "client/mirror.h"
#include "kubelet/files.h"
#include "kubelet/run/log_rotation.h"
#include "kubelet/run/machine.h"
#include "kubelet/run/node_agent.h"
#include "kubelet/run/observer.h"
#include "kubelet/run/pods.h"
#include "kubelet/run/static_pods.h"
#include "kubelet/run/tools.h"
#include "kubelet/runtime/containerd.h"
#include "kubelet/runtime/import.h"
#include "kubelet/serve/server.h"

namespace kybern::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds containerd_start_limit{30'000}, runtime_answer_limit{30'000}, runtime_stop_limit{10'000};
constexpr milliseconds sources_limit{60'000};
constexpr Duration static_pods_period = seconds(2);
constexpr Duration housekeeping_period = seconds(10);

Result<RuntimeVersion> wait_for_runtime(Cri& cri, World world) {
  Instant deadline = world.clock.steady() + runtime_answer_limit;
  while (true) {
    auto version = cri.version();
    if (version || world.clock.steady() > deadline) return version;
    world.executor.wait(milliseconds(50));
  }
}

}  // namespace

struct Kubelet::State {
  client::Transport& api;
  World world;
  KubeletOptions options;
  std::unique_ptr<Containerd> containerd;
  std::unique_ptr<Cri> cri;
  std::unique_ptr<Cgroups> cgroups;
  std::unique_ptr<Tasks> tasks;
  std::unique_ptr<client::EventRecorder> events;
  std::unique_ptr<Volumes> volumes;
  std::unique_ptr<Images> images;
  std::unique_ptr<Probers> probers;
  std::unique_ptr<ObjectCache> objects;
  std::unique_ptr<Tokens> tokens;
  std::unique_ptr<client::MirrorCore> services, api_pods;
  std::unique_ptr<Tools> tools;
  std::shared_ptr<Pods> pods;
  std::unique_ptr<NodeAgent> node;
  std::unique_ptr<Observer> observer;
  std::unique_ptr<NodeServer> server;
  std::string endpoint;
  MachineFacts machine;

  std::mutex mutex;
  bool stopped = false;
  TimerId static_timer = 0, housekeeping_timer = 0;
  std::string static_fingerprint = "never read";
  std::shared_ptr<int> alive = std::make_shared<int>(0);  // timers hold it weakly

  State(client::Transport& a, World w, KubeletOptions o) : api(a), world(w), options(std::move(o)) {}

  Result<void> start_runtime();
  Result<void> make_tools();
  Result<void> start_server();
  void start_sources();
  void read_static();
  void keep_house();
  void stop();
};

Result<void> Kubelet::State::start_runtime() {
  endpoint = options.runtime_endpoint;
  if (endpoint.empty()) {
    ContainerdOptions c;
    c.dir = options.data_dir + "/containerd";
    c.sandbox_image = options.sandbox_image;
    c.bridge = options.bridge;
    c.mtu = options.pod_mtu;
    c.pod_cidrs = options.pod_cidrs;
    // For whoever cleans up.
    if (auto noted = write_file(options.data_dir + "/kubelet/bridge", options.bridge); !noted) return noted;
    if (auto noted = write_file(options.data_dir + "/kubelet/cgroup-root", options.cgroup_base); !noted) return noted;
    auto started = Containerd::start(std::move(c), containerd_start_limit);
    if (!started) return std::unexpected(started.error());
    containerd = std::move(*started);
    endpoint = containerd->endpoint();
  }
  auto connected = Cri::connect(endpoint);
  if (!connected) return std::unexpected(connected.error());
  cri = std::move(*connected);
  auto version = wait_for_runtime(*cri, world);
  if (!version)
    return fail(version.error().code, fmt::format("the container runtime at {} does not answer: {}", endpoint, version.error().message));
  machine.runtime_version = fmt::format("{}://{}", version->name, version->version);
  log_info("kubelet", "container runtime", {{"name", version->name}, {"version", version->version}, {"endpoint", endpoint}});
  for (const std::string& archive : options.image_archives) {
    auto name = archive_image_name(archive);
    if (name) {
      auto there = cri->image_status(*name);
      if (there && *there) continue;
    }
    auto imported = import_archive(endpoint, archive);
    if (!imported)
      log_error("kubelet", "an image archive could not be imported", {{"archive", archive}, {"error", imported.error().message}});
  }
  return {};
}

Result<void> Kubelet::State::make_tools() {
  auto groups = Cgroups::open(options.cgroup_base);
  if (!groups) return std::unexpected(groups.error());
  cgroups = std::move(*groups);
  Amounts allocatable = node_allocatable(machine);
  if (auto made = cgroups->make_roots(allocatable["cpu"].milli_value(), allocatable["memory"].value()); !made) {
    return fail(made.error().code, fmt::format("the pods' cgroups cannot be made: {}", made.error().message));
  }
  tasks = std::make_unique<Tasks>(world, options.threads);
  events = std::make_unique<client::EventRecorder>(api, world, "kubelet", options.node_name);
  volumes = std::make_unique<Volumes>(options.data_dir + "/kubelet", world);
  images = std::make_unique<Images>(*cri, world, *events, [this] {
    if (node) node->check_now();
  });
  probers = std::make_unique<Probers>(*cri, world, *tasks, *events);
  tokens = std::make_unique<Tokens>(api, world);
  objects = std::make_unique<ObjectCache>(api, [this](const std::string& uid) { pods->objects_changed(uid); });
  services = std::make_unique<client::MirrorCore>(api, "/api/v1/services");
  tools = std::make_unique<Tools>(Tools{world,  api,       *cri, *events, *cgroups, *volumes, *images, *probers, *objects, *tokens,
                                        *tasks, *services, {},   {},      {},       {},       0,       {},       -1,       {}});
  tools->node.ips = options.node_ips;
  tools->node.runtime = machine.runtime_version.substr(0, machine.runtime_version.find(':'));
  tools->node_name = options.node_name;
  tools->dns.cluster_servers = options.cluster_dns;
  tools->dns.cluster_domain = options.cluster_domain;
  tools->dns.node = parse_resolv_conf(read_file(options.resolv_conf).value_or(""));
  tools->log_root = options.data_dir + "/logs/pods";
  tools->node_memory_bytes = machine.memory_bytes;
  tools->node_allocatable = std::move(allocatable);
  tools->pod_pids_limit = options.pod_pids_limit;
  tools->runtime_endpoint = endpoint;
  pods = std::make_shared<Pods>(*tools);
  return {};
}

Result<void> Kubelet::State::start_server() {
  if (options.tls_certificate_file.empty()) return {};
  NodeServerOptions o;
  o.bind_address = options.bind_address;
  o.port = options.port;
  o.certificate_file = options.tls_certificate_file;
  o.key_file = options.tls_key_file;
  o.client_ca_file = options.client_ca_file;
  o.data_dir = options.data_dir;
  auto started = NodeServer::start(std::move(o), *tools, pods);
  if (!started) return fail(started.error().code, fmt::format("the kubelet's server cannot be started: {}", started.error().message));
  server = std::move(*started);
  machine.port = server->port();
  return {};
}

// Pods of files and of the API; when both are known, what runs without belonging to either is ended.
void Kubelet::State::start_sources() {
  services->start();
  api_pods = std::make_unique<client::MirrorCore>(api, "/api/v1/pods", "fieldSelector=" + url_encode("spec.nodeName=" + options.node_name));
  api_pods->add_handler([this](const Document& before, const Document& now) { pods->api_changed(before, now); });
  if (!options.static_pod_path.empty()) read_static();
  tasks->post([this] {
    (void)services->wait_synced(sources_limit);  // pods see the services that are there before them
    api_pods->start();
    while (!api_pods->wait_synced(milliseconds(500))) {
      std::lock_guard lock(mutex);
      if (stopped) return;
    }
    // The mirror knows its first list before its handlers have been told all of it.
    std::set<std::string> known;
    for (const Document& pod : api_pods->list()) known.insert(pod["metadata"]["uid"].str());
    pods->adopt_orphans(known);
    keep_house();
  });
}

void Kubelet::State::read_static() {
  std::string now = static_pods_fingerprint(options.static_pod_path);
  if (now != static_fingerprint) {
    static_fingerprint = now;
    pods->set_static(read_static_pods(options.static_pod_path, options.node_name, world.clock.now()));
  }
  std::lock_guard lock(mutex);
  if (stopped) return;
  static_timer = world.executor.post_after(static_pods_period, [this, weak = std::weak_ptr<int>(alive)] {
    if (auto held = weak.lock()) tasks->post([this] { read_static(); });
  });
}

// What is looked at every now and then: sizes of logs, shares of pods.
void Kubelet::State::keep_house() {
  if (node) pods->set_node(node->node());
  pods->balance();
  for (const auto& worker : pods->all()) {
    for (const ObservedContainer& c : worker->runtime().containers) {
      if (c.state != ContainerState::running || c.log_path.empty()) continue;
      auto rotated =
          rotate_log(*cri, c.id, c.log_path, {options.container_log_max_bytes, options.container_log_max_files}, world.clock.now());
      if (!rotated)
        log_warn("kubelet", "a container's log could not be rotated", {{"log", c.log_path}, {"error", rotated.error().message}});
    }
  }
  std::lock_guard lock(mutex);
  if (stopped) return;
  housekeeping_timer = world.executor.post_after(housekeeping_period, [this, weak = std::weak_ptr<int>(alive)] {
    if (auto held = weak.lock()) tasks->post([this] { keep_house(); });
  });
}

void Kubelet::State::stop() {
  {
    std::lock_guard lock(mutex);
    if (stopped) return;
    stopped = true;
    world.executor.cancel(static_timer);
    world.executor.cancel(housekeeping_timer);
  }
  if (server) server->stop();
  if (observer) observer->stop();
  if (node) node->stop();
  if (pods) pods->stop();
  api_pods.reset();
  if (tasks) tasks->stop();
  alive.reset();
  probers.reset();
  objects.reset();
  services.reset();
  if (events) events->flush();
  pods.reset();
}

Kubelet::Kubelet(std::unique_ptr<State> state) : state_(std::move(state)) {}
Kubelet::~Kubelet() { stop(); }
void Kubelet::stop() { state_->stop(); }
int Kubelet::port() const { return state_->server ? state_->server->port() : 0; }
std::string Kubelet::runtime_endpoint() const { return state_->endpoint; }

Result<void> Kubelet::shut_down_runtime(const std::string& data_dir) {
  return Containerd::shut_down(data_dir + "/containerd", runtime_stop_limit);
}

Result<std::unique_ptr<Kubelet>> Kubelet::start(client::Transport& transport, World world, KubeletOptions options) {
  if (options.node_name.empty() || options.node_ips.empty() || options.data_dir.empty()) {
    return fail(Code::invalid, "a kubelet needs a node name, a node address and a data folder");
  }
  if (auto made = make_dirs(options.data_dir + "/kubelet", 0711); !made) return std::unexpected(made.error());
  auto state = std::make_unique<State>(transport, world, std::move(options));
  State& s = *state;
  auto kubelet = std::unique_ptr<Kubelet>(new Kubelet(std::move(state)));
  s.machine = read_machine(s.options.data_dir);
  s.machine.name = s.options.node_name;
  s.machine.ips = s.options.node_ips;
  s.machine.max_pods = s.options.max_pods;
  s.machine.kubelet_version = s.options.version;
  s.machine.port = s.options.port;
  if (s.options.cpu_milli > 0) s.machine.cpu_milli = s.options.cpu_milli;
  if (s.options.memory_bytes > 0) s.machine.memory_bytes = s.options.memory_bytes;
  if (auto up = s.start_runtime(); !up) return std::unexpected(up.error());
  if (auto made = s.make_tools(); !made) return std::unexpected(made.error());
  if (auto served = s.start_server(); !served) return std::unexpected(served.error());

  NodeAgent::Options n;
  n.machine = s.machine;
  n.labels = s.options.node_labels;
  n.taints = s.options.node_taints;
  n.provider_id = s.options.provider_id;
  if (s.containerd && s.options.pod_cidrs.empty()) {
    n.pod_cidrs = [&s](const std::vector<std::string>& cidrs) {
      if (auto set = s.containerd->set_pod_cidrs(cidrs); !set)
        log_error("kubelet", "the pod network cannot be configured", {{"error", set.error().message}});
      else log_info("kubelet", "pod network", {{"cidrs", join(cidrs, ",")}});
    };
  }
  n.became_ready = [pods = s.pods] { pods->runtime_ready(); };
  s.node = std::make_unique<NodeAgent>(transport, world, *s.tasks, *s.cri, *s.events, std::move(n));
  s.observer = std::make_unique<Observer>(*s.cri, world,
                                          Observer::Callbacks{[&s](const std::string& id) { s.pods->container_event(id); },
                                                              [&s](const std::string& uid) {
                                                                if (auto worker = s.pods->find_uid(uid)) worker->poke();
                                                              },
                                                              [&s] { return s.pods->size() > 0; }});
  s.node->start();
  s.observer->start();
  s.start_sources();
  return kubelet;
}

}  // namespace kybern::kubelet
