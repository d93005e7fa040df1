#include "sim/cluster.h"

#include <errno.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/strings.h"
#include "document/json.h"

namespace kybern::sim {
namespace {

constexpr Duration doomed_look = std::chrono::milliseconds(1);    // whether a component has left its request
constexpr Duration failed_start_retry = std::chrono::seconds(2);  // as a supervisor does
constexpr Component all_components[] = {Component::scheduler, Component::scheduler_standby, Component::controllers,
                                        Component::controllers_standby, Component::server};
bool schedules(Component c) { return c == Component::scheduler || c == Component::scheduler_standby; }

// "kybern-sim-PID-XXXXXX": what a killed simulation has left in memory is known by its process being gone.
constexpr std::string_view folder_prefix = "kybern-sim-";

std::string folders_lie_in() {
  std::error_code error;
  return std::filesystem::is_directory("/dev/shm", error) ? "/dev/shm" : "/tmp";
}

void remove_folders(const std::function<bool(int process)>& which) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folders_lie_in(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(folder_prefix)) continue;
    const std::string_view rest = std::string_view(name).substr(folder_prefix.size());
    const auto process = parse_int(rest.substr(0, rest.find('-')));
    if (process && which(static_cast<int>(*process))) std::filesystem::remove_all(entry.path(), ignored);
  }
}

std::string make_folder() {
  remove_folders([](int process) { return ::kill(process, 0) != 0 && errno == ESRCH; });
  std::string pattern = fmt::format("{}/{}{}-XXXXXX", folders_lie_in(), folder_prefix, ::getpid());
  KYBERN_CHECK(::mkdtemp(pattern.data()), "a folder for the simulated disk can be made");
  return pattern;
}

std::size_t number(Component c) { return static_cast<std::size_t>(c); }

}  // namespace

void remove_own_folders() {
  remove_folders([](int process) { return process == ::getpid(); });
}

std::string_view name_of(Component component) {
  switch (component) {
    case Component::server: return "server";
    case Component::controllers: return "controllers";
    case Component::scheduler: return "scheduler";
    case Component::controllers_standby: return "standby controllers";
    case Component::scheduler_standby: return "standby scheduler";
  }
  return "";
}

Cluster::Cluster(ClusterOptions options)
    : options_(std::move(options)),
      folder_(make_folder()),
      world_(options_.seed),
      disk_(world_.random()),
      network_(world_, options_.network),
      user_lane_(world_.lane("user")),
      user_(network_.connect("system:admin", user_lane_)) {}

Cluster::~Cluster() {
  // Whoever waits for an answer gets none, and comes to an end while what it works with is still there.
  world_.kill(user_lane_);
  if (fleet_) fleet_->stop();
  for (Process& process : processes_)
    if (process.lane) {
      network_.cut(*process.lane);
      world_.kill(*process.lane);
    }
  world_.finish_waiting();
  for (Component c : all_components)
    if (is_up(c)) end(c, false);
  fleet_.reset();
  user_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

Result<void> Cluster::start() {
  if (auto ok = start_server(); !ok) return ok;
  for (Component c : all_components)
    if (c != Component::server && exists(c)) start_process(c);
  fleet_ = std::make_unique<Fleet>(world_, network_, options_.node);
  fleet_->add_nodes(options_.nodes, options_.nodes_within);
  return {};
}

client::Transport& Cluster::connect(Process& process, const std::string& user) {
  auto& transport = process.transports[user];
  if (!transport) transport = network_.connect(user, *process.lane);
  return *transport;
}

Result<void> Cluster::start_server() {
  Process& process = processes_[number(Component::server)];
  process.lane = &world_.lane("server");
  apiserver::ServerOptions options;
  options.data_dir = folder_;
  options.advertise_address = "10.0.0.1";
  options.bind_address = "10.0.0.1";
  options.listen = false;
  auto started = apiserver::ApiServer::start(options, process.lane->world());
  if (!started) {
    world_.kill(*process.lane);
    process = {};
    return std::unexpected(started.error());
  }
  server_ = std::move(*started);
  ++server_starts_;
  if (server_started) server_started();
  network_.set_server(server_.get());
  return {};
}

bool Cluster::exists(Component component) const {
  return options_.elect || (component != Component::controllers_standby && component != Component::scheduler_standby);
}

void Cluster::start_process(Component component) {
  Process& process = processes_[number(component)];
  process.lane = &world_.lane(std::string(name_of(component)));
  if (!options_.elect) return work(component);
  const std::string user = schedules(component) ? "system:kube-scheduler" : "system:kube-controller-manager";
  client::LeaderOptions lease;
  lease.name = user.substr(std::string_view("system:").size());
  lease.identity = std::string(name_of(component)) + "_" + std::to_string(++incarnations_);
  // Who loses the lease ends, and is started again, as by a supervisor.
  const auto lost = [this, component] {
    user_lane_.post([this, component] {
      crash(component);
      user_lane_.post_after(failed_start_retry, [this, component] { restart(component); });
    });
  };
  process.election = std::make_unique<client::LeaderElection>(
      connect(process, user), process.lane->world(), std::move(lease), [this, component] { work(component); }, lost);
  process.election->start();
}

void Cluster::work(Component component) {
  Process& process = processes_[number(component)];
  if (schedules(component)) {
    auto started = scheduler::Scheduler::start(connect(process, "system:kube-scheduler"), process.lane->world(), {});
    KYBERN_CHECK(started, "a scheduler starts");
    process.scheduler = std::move(*started);
    return;
  }
  controllers::Options options;
  options.for_identity = [this, &process](const std::string& user) -> client::Transport& { return connect(process, user); };
  options.ca_bundle = [] { return std::string("-----BEGIN CERTIFICATE-----\nsimulated\n-----END CERTIFICATE-----\n"); };
  process.controllers = std::make_unique<controllers::ControllerManager>(process.lane->world(), std::move(options));
  process.controllers->start();
}

bool Cluster::leads(Component component) const {
  const Process& process = processes_[number(component)];
  return process.election && process.election->is_leader();
}

Component Cluster::leading(Component component) const {
  const Component other = schedules(component) ? Component::scheduler_standby : Component::controllers_standby;
  return leads(other) ? other : component;
}

bool Cluster::is_up(Component component) const { return processes_[number(component)].lane != nullptr; }
Lane* Cluster::lane(Component component) { return processes_[number(component)].lane; }

void Cluster::crash(Component component, bool power) {
  Process& process = processes_[number(component)];
  if (!process.lane && power) disk_.settle();  // it went before it noticed
  if (!process.lane || process.doomed) return;
  network_.cut(*process.lane);
  if (!process.lane->busy()) return end(component, power);
  process.doomed = true;
  user_lane_.post_after(doomed_look, [this, component, power] {
    processes_[number(component)].doomed = false;
    crash(component, power);
  });
}

void Cluster::end(Component component, bool power) {
  Process& process = processes_[number(component)];
  network_.cut(*process.lane);  // nobody who is killed says goodbye
  world_.kill(*process.lane);
  switch (component) {
    case Component::server:
      network_.set_server(nullptr);
      if (power) disk_.cut_power();
      server_.reset();
      if (power) disk_.settle();
      break;
    default:
      process.election.reset();
      process.controllers.reset();
      process.scheduler.reset();
  }
  process = {};
}

void Cluster::restart(Component component) {
  if (is_up(component)) {
    if (!processes_[number(component)].doomed) return;
    user_lane_.post_after(2 * doomed_look, [this, component] { restart(component); });
    return;
  }
  if (!exists(component)) return;
  if (component != Component::server) return start_process(component);
  const Result<void> started = start_server();
  if (started) return;
  log_warn("sim", "a component did not start", {{"component", std::string(name_of(component))}, {"why", started.error().message}});
  user_lane_.post_after(failed_start_retry, [this, component] { restart(component); });
}

bool Cluster::run_until(const std::function<bool()>& holds, Duration limit, Duration step) {
  const Duration end = world_.elapsed() + limit;
  while (!holds()) {
    if (world_.elapsed() >= end) return false;
    world_.run_for(std::min(step, end - world_.elapsed()));
  }
  return true;
}

std::vector<Document> Cluster::objects(std::string_view prefix) {
  std::vector<Document> out;
  if (!server_) return out;
  server_->store().snapshot().scan(prefix, "", [&](const store::EntryPtr& entry) {
    out.push_back(entry->value);
    return true;
  });
  return out;
}

std::uint64_t Cluster::digest() {
  Trace trace = world_.trace();
  if (!server_) return trace.digest();
  store::Snapshot all = server_->store().snapshot();
  trace.add(static_cast<std::uint64_t>(all.revision()));
  all.scan("", "", [&](const store::EntryPtr& entry) {
    trace.add(entry->key);
    std::string json;
    write_json(entry->value.root(), json);
    trace.add(json);
    return true;
  });
  return trace.digest();
}

}  // namespace kybern::sim
