#include "sim/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/log.h"
#include "sim/checks.h"
#include "sim/cluster.h"
#include "sim/follower.h"
#include "sim/user.h"

namespace kybern::sim {
namespace {

using Kind = Incident::Kind;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration look_interval = milliseconds(250);
constexpr Duration setup_limit = seconds(120);
constexpr Duration settle_limit = seconds(60);  // for what is on its way at rest, such as events that have been there for an hour

// Plays the incidents and mends what they break.
class Stage {
 public:
  Stage(const Plan& plan, const TrialOptions& options)
      : plan_(plan),
        options_(options),
        cluster_(cluster_options(plan, options)),
        user_(cluster_.user()),
        checker_(cluster_, {.rollouts = !disturbs_rollouts(plan)}) {}

  TrialResult run() {
    TrialResult result;
    cluster_.server_started = [this] { checker_.after_restart(); };
    if (auto ok = cluster_.start(); !ok) {
      result.problems.push_back("the cluster did not start: " + ok.error().message);
      return result;
    }
    watch_over();
    for (auto& follower : followers_) follower->start();
    set_up();
    const Duration begin = cluster_.world().elapsed();
    for (const Incident& incident : plan_.incidents) cluster_.user_lane().post_after(incident.at, [this, &incident] { play(incident); });
    while (cluster_.world().elapsed() < begin + plan_.options.span + seconds(1) && checker_.problems().empty())
      cluster_.run_for(look_interval);
    // What was being mended has its time; then everything is mended.
    while (broken_ > 0 && checker_.problems().empty()) cluster_.run_for(seconds(1));
    mend_all();
    const Duration mended = cluster_.world().elapsed();
    const bool rested = checker_.problems().empty() &&
                        cluster_.run_until([&] { return !checker_.problems().empty() || rests(); }, options_.rest_within, seconds(5));
    result.rested_after = cluster_.world().elapsed() - mended;
    checker_.look();
    result.problems = checker_.problems();
    if (result.problems.empty() && !rested)
      for (std::string& problem : checker_.at_rest())
        result.problems.push_back(
            fmt::format("not at rest after {} s: {}", std::chrono::duration_cast<seconds>(options_.rest_within).count(), problem));
    if (result.problems.empty()) check_leaks(result);
    // A user's request that is on its way comes back to where it was made.
    cluster_.run_until([&] { return !cluster_.user_lane().busy(); }, settle_limit, milliseconds(10));
    for (auto& follower : followers_) {
      if (result.problems.empty()) follower->compare();
      result.resumed += follower->resumed();
      result.expired += follower->expired();
    }
    if (result.problems.empty()) result.problems = checker_.problems();
    result.digest = cluster_.digest();
    result.events = cluster_.world().events();
    result.calls = cluster_.network().calls;
    result.changes = checker_.changes_seen();
    return result;
  }

 private:
  static ClusterOptions cluster_options(const Plan& plan, const TrialOptions& options) {
    ClusterOptions out;
    out.seed = plan.seed;
    out.nodes = options.nodes;
    out.elect = plan.seed % 2 == 0;
    out.node.cpu = is_crowded(plan) ? "2" : "4";
    if (options.requests_take_time) {
      out.network.shortest_request = std::chrono::microseconds(100);
      out.network.longest_request = milliseconds(4);
    }
    return out;
  }

  // Every fourth seed has a cluster with less room than its users want.
  static bool is_crowded(const Plan& plan) { return plan.seed % 4 == 3; }

  // Pods go, or are not ready, or are made twice, for other reasons than a rollout.
  static bool disturbs_rollouts(const Plan& plan) {
    return std::any_of(plan.incidents.begin(), plan.incidents.end(), [](const Incident& i) {
      switch (i.kind) {
        case Kind::erase_pod:
        case Kind::evict:
        case Kind::drain:
        case Kind::lose_answers:
        case Kind::crash_server:
        case Kind::cut_power:
        case Kind::disk_errors:
        case Kind::disk_full:
        case Kind::crash_node:
        case Kind::restart_agent:
        case Kind::mute_node:
        case Kind::pause_controllers:
        case Kind::clock_jump:
        case Kind::lose_zone: return true;
        default: return false;
      }
    });
  }

  void watch_over() {
    cluster_.user_lane().post_after(look_interval, [this] {
      checker_.look();
      for (Component c : {Component::controllers, Component::scheduler}) check_leader(c);
      watch_over();
    });
  }

  // Two at once there may be only where a process was stopped and does not know yet how late it is.
  void check_leader(Component c) {
    const bool controllers = c == Component::controllers;
    const Kind pause = controllers ? Kind::pause_controllers : Kind::pause_scheduler;
    if (std::any_of(plan_.incidents.begin(), plan_.incidents.end(), [&](const Incident& i) { return i.kind == pause; })) return;
    if (cluster_.leads(c) && cluster_.leads(controllers ? Component::controllers_standby : Component::scheduler_standby))
      checker_.complain(fmt::format("two {} lead", name_of(c)));
  }

  std::vector<std::unique_ptr<Follower>> make_followers() {
    std::vector<std::unique_ptr<Follower>> out;
    out.push_back(std::make_unique<Follower>(cluster_, checker_, "/pods/", milliseconds(500)));
    out.push_back(std::make_unique<Follower>(cluster_, checker_, "/apps/replicasets/", seconds(20)));
    out.push_back(std::make_unique<Follower>(cluster_, checker_, "/coordination.k8s.io/leases/", std::chrono::minutes(12)));
    return out;
  }

  void set_up() {
    cluster_.run_for(seconds(8));
    for (int i = 0; i < 3; ++i) make_deployment(4 + 4 * i);
    (void)user_.make_service("default", deployments_.front().second);
    cluster_.run_until([&] { return checker_.is_at_rest(); }, setup_limit, seconds(1));
    watchers_at_rest_ = cluster_.network().watches();
  }

  void make_deployment(int replicas) {
    DeploymentSpec spec;
    spec.ns = namespaces_.empty() || deployments_.size() % 3 != 2 ? "default" : namespaces_.back();
    spec.name = fmt::format("app-{}", ++serial_);
    spec.replicas = replicas;
    if (is_crowded(plan_)) spec.cpu = "700m";
    if (user_.make(spec)) deployments_.emplace_back(spec.ns, spec.name);
  }

  template <class T>
  static const T* pick(const std::vector<T>& from, std::uint64_t which) {
    return from.empty() ? nullptr : &from[which % from.size()];
  }
  const Document* any_pod(std::uint64_t which) {
    pods_ = cluster_.objects("/pods/");
    return pick(pods_, which);
  }

  void play(const Incident& i) {
    if (options_.narrate) fmt::print("{:.3f} s: {}\n", std::chrono::duration<double>(cluster_.world().elapsed()).count(), describe(i));
    if (i.is_fault()) return play_fault(i);
    const auto* deployment = pick(deployments_, i.pick);
    switch (i.kind) {
      case Kind::make: return make_deployment(i.amount);
      case Kind::scale:
        if (deployment) (void)user_.scale(deployment->first, deployment->second, i.amount);
        return;
      case Kind::update:
        if (deployment) (void)user_.update(deployment->first, deployment->second, 2 + static_cast<int>(i.number));
        return;
      case Kind::erase:
        if (deployment) (void)user_.erase(deployment->first, deployment->second, i.pick % 2 ? "Background" : "Foreground");
        return;
      case Kind::erase_pod:
        if (const Document* pod = any_pod(i.pick))
          (void)user_.erase_pod((*pod)["metadata"]["namespace"].str(), (*pod)["metadata"]["name"].str());
        return;
      case Kind::evict:
        if (const Document* pod = any_pod(i.pick))
          (void)user_.evict((*pod)["metadata"]["namespace"].str(), (*pod)["metadata"]["name"].str());
        return;
      case Kind::drain: return drain(i);
      case Kind::make_namespace: {
        const std::string name = fmt::format("space-{}", i.number);
        if (user_.make_namespace(name)) namespaces_.push_back(name);
        return;
      }
      case Kind::erase_namespace:
        if (const auto* name = pick(namespaces_, i.pick)) (void)user_.erase_namespace(*name);
        return;
      case Kind::make_pod: (void)user_.make_pod("default", fmt::format("bare-{}", i.number), "250m"); return;
      default: return;
    }
  }

  void drain(const Incident& i) {
    const std::string node = cluster_.fleet().name(i.pick % cluster_.fleet().size());
    (void)user_.cordon(node, true);
    cordoned_.push_back(node);
    for (const Document& pod : cluster_.objects("/pods/"))
      if (pod["spec"]["nodeName"].as_string() == node) (void)user_.evict(pod["metadata"]["namespace"].str(), pod["metadata"]["name"].str());
  }

  void after(Duration delay, std::function<void()> mend) {
    ++broken_;
    cluster_.user_lane().post_after(delay, [this, mend = std::move(mend)] {
      mend();
      --broken_;
    });
  }

  void crash_server(Duration lasts, bool power) {
    checker_.before_crash(false);
    for (auto& follower : followers_) follower->disconnect();
    cluster_.crash(Component::server, power);
    after(lasts, [this] { cluster_.restart(Component::server); });
  }

  void play_fault(const Incident& i) {
    Fleet& fleet = cluster_.fleet();
    Network& network = cluster_.network();
    const std::size_t node = i.pick % fleet.size();
    switch (i.kind) {
      case Kind::crash_controllers:
      case Kind::crash_scheduler: {
        const Component c = cluster_.leading(i.kind == Kind::crash_controllers ? Component::controllers : Component::scheduler);
        cluster_.crash(c);
        return after(i.lasts, [this, c] { cluster_.restart(c); });
      }
      case Kind::crash_server: return crash_server(i.lasts, false);
      case Kind::cut_power:
        if (i.amount == 0) return crash_server(i.lasts, true);
        // In the middle of a write: the machine is gone as soon as the task ends that made it.
        return cluster_.disk().cut_power_after(static_cast<std::uint64_t>(i.amount), [this, &i] {
          ++broken_;
          cluster_.user_lane().post([this, &i] {
            checker_.before_crash(true);
            for (auto& follower : followers_) follower->disconnect();
            cluster_.crash(Component::server, true);
            cluster_.user_lane().post_after(i.lasts, [this] {
              cluster_.restart(Component::server);
              --broken_;
            });
          });
        });
      case Kind::pause_controllers:
      case Kind::pause_scheduler:
        if (Lane* lane = cluster_.lane(cluster_.leading(i.kind == Kind::pause_controllers ? Component::controllers : Component::scheduler)))
          lane->pause(i.lasts);
        return;
      case Kind::lose_requests:
        network.weather.lost_requests = i.amount / 100.0;
        return after(i.lasts, [&network] { network.weather.lost_requests = 0; });
      case Kind::lose_answers:
        network.weather.lost_answers = i.amount / 100.0;
        return after(i.lasts, [&network] { network.weather.lost_answers = 0; });
      case Kind::delay_watches:
        network.weather.late_deliveries = seconds(i.amount);
        return after(i.lasts, [&network] { network.weather.late_deliveries = {}; });
      case Kind::drop_watches: return network.drop_watches(i.amount / 100.0);
      case Kind::disk_errors:
        cluster_.disk().set_fault_rate(i.amount / 100.0, i.amount / 200.0);
        return after(i.lasts, [this] { cluster_.disk().set_fault_rate(0, 0); });
      case Kind::disk_full: cluster_.disk().set_full(true); return after(i.lasts, [this] { cluster_.disk().set_full(false); });
      case Kind::clock_jump: return cluster_.world().jump(seconds(i.amount));
      case Kind::crash_node: fleet.crash(node); return after(i.lasts, [&fleet, node] { fleet.restart(node); });
      case Kind::restart_agent: return fleet.restart_agent(node);
      case Kind::mute_node: return fleet.mute(node, i.lasts);
      case Kind::lose_zone: {
        const std::string zone = fleet.zone_of(node);
        for (std::size_t n = 0; n < fleet.size(); ++n)
          if (fleet.zone_of(n) == zone) fleet.crash(n);
        return after(i.lasts, [&fleet, zone] {
          for (std::size_t n = 0; n < fleet.size(); ++n)
            if (fleet.zone_of(n) == zone) fleet.restart(n);
        });
      }
      default: return;
    }
  }

  void mend_all() {
    cluster_.network().weather = {};
    cluster_.disk().set_fault_rate(0, 0);
    cluster_.disk().set_full(false);
    for (Component c :
         {Component::server, Component::controllers, Component::scheduler, Component::controllers_standby, Component::scheduler_standby})
      cluster_.restart(c);
    for (std::size_t n = 0; n < cluster_.fleet().size(); ++n) cluster_.fleet().restart(n);
  }

  // Whoever drained a node lets it in again, and tries until the server hears it.
  bool rests() {
    std::erase_if(cordoned_, [&](const std::string& node) { return user_.cordon(node, false).has_value(); });
    return cordoned_.empty() && checker_.is_at_rest() && cluster_.network().watches() == watchers_at_rest_;
  }

  void check_leaks(TrialResult& result) {
    const std::size_t watches = cluster_.network().watches();
    if (watches != watchers_at_rest_)
      result.problems.push_back(fmt::format("{} watches, at the beginning there were {}", watches, watchers_at_rest_));
    if (!cluster_.run_until([&] { return checker_.leaks().empty(); }, settle_limit, seconds(1)))
      for (std::string& leak : checker_.leaks()) result.problems.push_back("left at rest: " + leak);
    const std::size_t pods = cluster_.objects("/pods/").size();
    const std::size_t expected = 4 * cluster_.fleet().size() + 4 * pods + 400;
    if (cluster_.world().pending() > expected)
      result.problems.push_back(fmt::format("{} timers and tasks wait in a cluster at rest", cluster_.world().pending()));
  }

  const Plan& plan_;
  const TrialOptions& options_;
  Cluster cluster_;
  User user_;
  Checker checker_;
  std::vector<std::pair<std::string, std::string>> deployments_;
  std::vector<std::string> namespaces_, cordoned_;
  std::vector<Document> pods_;
  // One is quick, one may be away for longer than changes are kept.
  std::vector<std::unique_ptr<Follower>> followers_ = make_followers();
  std::size_t watchers_at_rest_ = 0;
  int serial_ = 0, broken_ = 0;
};

}  // namespace

TrialResult carry_out(const Plan& plan, const TrialOptions& options) {
  Stage stage(plan, options);
  return stage.run();
}

// Takes away halves, then quarters, and so on, as long as what is left still fails.
Plan shorten(const Plan& plan, const TrialOptions& options, int trials) {
  Plan best = plan;
  for (std::size_t part = std::max<std::size_t>(1, best.incidents.size() / 2); trials > 0;) {
    bool shorter = false;
    for (std::size_t begin = 0; begin < best.incidents.size() && trials > 0;) {
      Plan tried = best;
      const auto first = tried.incidents.begin() + static_cast<std::ptrdiff_t>(begin);
      tried.incidents.erase(first, first + static_cast<std::ptrdiff_t>(std::min(part, tried.incidents.size() - begin)));
      --trials;
      if (!carry_out(tried, options).problems.empty()) {
        best = std::move(tried);
        shorter = true;
      } else {
        begin += part;
      }
    }
    if (part == 1 && !shorter) break;
    if (!shorter || part > best.incidents.size()) part = std::max<std::size_t>(1, part / 2);
  }
  return best;
}

std::string replay_command(const Plan& plan) {
  std::string numbers;
  for (const Incident& i : plan.incidents) numbers += (numbers.empty() ? "" : ",") + std::to_string(i.number);
  return fmt::format("kybern sim --trial --seed {} --only {}", plan.seed, numbers.empty() ? "none" : numbers);
}

}  // namespace kybern::sim
