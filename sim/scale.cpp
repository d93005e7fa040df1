#include "sim/scale.h"

#include <fmt/format.h>
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "sim/checks.h"
#include "sim/cluster.h"
#include "sim/user.h"

namespace kybern::sim {
namespace {

using std::chrono::seconds;
// Seconds of the processor: what else the machine does is not counted.
double processor_seconds() {
  timespec now;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}
double since(double begin) { return processor_seconds() - begin; }
double in_seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

double memory_mb(const char* what) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(what)) return std::strtod(line.c_str() + line.find(':') + 1, nullptr) / 1024;
  return 0;
}

class Scale {
 public:
  Scale(const ScaleOptions& options)
      : options_(options),
        cluster_(cluster_options(options)),
        user_(cluster_.user()),
        checker_(cluster_, {.rollouts = false, .budgets = options.scenario == "drain"}) {}

  ~Scale() { cluster_.world().pulse = nullptr; }  // the world runs once more when it ends, and what looks at it is gone by then

  std::string run(bool& well) {
    well = false;
    cluster_.disk().never_fails();
    if (auto ok = cluster_.start(); !ok) return "the cluster did not start: " + ok.error().message + "\n";
    watch_over();
    // A hundred pods may be made in one event: changes are looked at before they leave the window.
    cluster_.world().pulse = [this] {
      checker_.look();
      narrate();
    };
    phase("nodes register", seconds(1), [&] { return cluster_.objects("/nodes/").size() == static_cast<std::size_t>(options_.nodes); });
    make_pods();
    const std::uint64_t bound_before = bound();
    Lane* scheduler = cluster_.lane(Component::scheduler);
    const std::int64_t spent_before = scheduler->spent_ns();
    const bool filled = phase("pods run", seconds(5), [&] { return cluster_.fleet().running() == wanted_ && complete(); });
    const std::uint64_t decisions = bound() - bound_before;
    const double spent = static_cast<double>(scheduler->spent_ns() - spent_before) / 1e9;
    line("scheduler", fmt::format("{} pods bound, {:.0f} a second of its own time ({:.2f} s)", decisions,
                                  static_cast<double>(decisions) / std::max(spent, 1e-9), spent));
    if (!options_.scenario.empty()) play();
    if (options_.live > Duration::zero()) {
      phase_ = "life";
      if (options_.life_begins) options_.life_begins();
      churn();
      const double begin = processor_seconds();
      const Duration end = cluster_.world().elapsed() + options_.live;
      while (cluster_.world().elapsed() < end) {
        cluster_.run_for(std::min<Duration>(std::chrono::minutes(10), end - cluster_.world().elapsed()));
        say(fmt::format("{:.0f} s of {:.0f} s lived in {:.1f} s", in_seconds(options_.live) - in_seconds(end - cluster_.world().elapsed()),
                        in_seconds(options_.live), since(begin)));
      }
      living_ = false;
      line("life", fmt::format("{:.0f} s simulated in {:.1f} s of the processor, {:.0f} times as fast, {} changes by users",
                               in_seconds(options_.live), since(begin), in_seconds(options_.live) / since(begin), changes_));
      phase("comes to rest", seconds(5), [&] { return checker_.is_at_rest(); });
    }
    checker_.look();
    totals();
    for (const std::string& problem : checker_.problems()) line("VIOLATED", problem);
    std::vector<std::string> unrest = filled ? checker_.at_rest() : std::vector<std::string>{"the cluster was not filled"};
    for (const std::string& problem : unrest) line("not at rest", problem);
    std::vector<std::string> leaks;
    if (unrest.empty()) cluster_.run_until([&] { return (leaks = checker_.leaks()).empty(); }, seconds(60), seconds(1));
    for (const std::string& leak : leaks) line("left at rest", leak);
    cluster_.run_until([&] { return !cluster_.user_lane().busy(); }, seconds(60), std::chrono::milliseconds(10));
    well = filled && unrest.empty() && leaks.empty() && checker_.problems().empty();
    return report_;
  }

 private:
  static ClusterOptions cluster_options(const ScaleOptions& options) {
    ClusterOptions out;
    out.seed = options.seed;
    out.nodes = options.nodes;
    out.nodes_within = seconds(10);
    out.network.longest_request = std::chrono::milliseconds(options.request_ms);
    out.network.shortest_request = out.network.longest_request / 10;
    out.node.pods = std::max(110, 2 * options.pods / std::max(1, options.nodes));
    return out;
  }

  void line(std::string_view what, const std::string& text) { report_ += fmt::format("{:<16} {}\n", what, text); }
  void say(const std::string& text) const {
    if (options_.narrate) fmt::print(stderr, "{:8.1f} s  {}  ({:.0f} MB)\n", since(real_begin_), text, memory_mb("VmRSS"));
  }

  // What goes on, every few seconds of the processor.
  void narrate() {
    if (!options_.narrate || since(real_begin_) < next_word_) return;
    next_word_ = since(real_begin_) + 5;
    say(fmt::format("{}: {:.1f} s simulated, {} pods run, {} requests", phase_, in_seconds(cluster_.world().elapsed()),
                    cluster_.fleet().running(), cluster_.network().calls));
  }

  bool phase(const char* what, Duration step, const std::function<bool()>& done) {
    const double begin = processor_seconds();
    const Duration from = cluster_.world().elapsed();
    const std::uint64_t calls = cluster_.network().calls, events = cluster_.world().events();
    phase_ = what;
    const bool reached = cluster_.run_until(done, seconds(options_.fill_limit_seconds), step);
    line(what, fmt::format("{} {:.0f} s simulated, {:.1f} s of the processor, {} requests, {} events, {:.0f} MB",
                           reached ? "within" : "NOT within", in_seconds(cluster_.world().elapsed() - from), since(begin),
                           cluster_.network().calls - calls, cluster_.world().events() - events, memory_mb("VmRSS")));
    return reached;
  }

  void watch_over() {
    cluster_.user_lane().post_after(std::chrono::milliseconds(500), [this] {
      checker_.look();
      watch_over();
    });
  }

  std::uint64_t bound() { return checker_.bound(); }

  void make_pods() {
    for (int made = 0; made < options_.pods;) {
      DeploymentSpec spec;
      spec.name = fmt::format("app-{:05}", names_.size());
      spec.replicas = std::min(options_.pods_per_deployment, options_.pods - made);
      const double share = 32.0 * options_.nodes / (options_.pods * 1.6);  // of the cluster's processors, with room for an update
      spec.cpu = fmt::format("{}m", std::clamp(static_cast<int>(share * 1000), 1, 100));
      made += spec.replicas;
      if (auto ok = user_.make(spec); !ok) say("a deployment was not made: " + ok.error().message);
      names_.push_back(spec.name);
    }
    wanted_ = static_cast<std::size_t>(options_.pods);
  }

  bool complete() {
    for (const Document& deployment : cluster_.objects("/apps/deployments/"))
      if (!is_complete(deployment)) return false;
    return true;
  }

  void churn() {
    if (changes_per_minute_ <= 0) return;
    living_ = true;
    change_later();
  }
  void change_later() {
    const Duration mean = std::chrono::duration_cast<Duration>(std::chrono::minutes(1)) / changes_per_minute_;
    cluster_.user_lane().post_after(cluster_.world().random().between(Duration(0), 2 * mean), [this] {
      if (!living_) return;
      change();
      change_later();
    });
  }
  void change() {
    SplitMix& random = cluster_.world().random();
    const std::string& name = names_[random.below(names_.size())];
    ++changes_;
    switch (random.below(10)) {
      case 0: (void)user_.update("default", name, 2 + static_cast<int>(changes_)); break;
      case 1:
      case 2:
      case 3:
        (void)user_.scale("default", name,
                          options_.pods_per_deployment -
                              static_cast<int>(random.below(static_cast<std::uint64_t>(options_.pods_per_deployment / 2 + 1))));
        break;
      default: {
        store::EntryPtr pod = cluster_.store()->snapshot().next(
            "/pods/default/", "/pods/default/" + name + "-" + std::string(1, "0123456789abcdef"[random.below(16)]));
        if (pod) (void)user_.erase_pod("default", pod->value["metadata"]["name"].str());
      }
    }
  }

  void play() {
    Fleet& fleet = cluster_.fleet();
    const std::string& s = options_.scenario;
    std::vector<std::size_t> nodes;
    if (s == "update") {
      for (const std::string& name : names_) (void)user_.update("default", name, 2);
    } else if (s == "drain") {
      for (std::size_t n = 0; n < fleet.size(); n += 10) nodes.push_back(n);
      // Each deployment may miss a tenth of its pods; who drains is refused and tries again, as kubectl does.
      for (const std::string& name : names_)
        (void)user_.make_budget("default", name, options_.pods_per_deployment - std::max(1, options_.pods_per_deployment / 10));
      for (std::size_t n : nodes) (void)user_.cordon(fleet.name(n), true);
      std::size_t left = 1;
      phase("nodes drain", seconds(5), [&] { return std::exchange(left, evict_cordoned()) == 0; });
      if (refused_evictions_ == 0) checker_.complain("no budget has refused an eviction");
    } else if (s == "zone") {
      for (std::size_t n = 0; n < fleet.size(); ++n)
        if (fleet.zone_of(n) == "zone-0") nodes.push_back(n);
      for (std::size_t n : nodes) fleet.crash(n);
      phase("zone is lost", seconds(10),
            [&, end = cluster_.world().elapsed() + std::chrono::minutes(10)] { return cluster_.world().elapsed() >= end; });
      for (std::size_t n : nodes) fleet.restart(n);
    } else if (s == "namespaces") {
      for (int i = 0; i < options_.namespaces; ++i) {
        const std::string ns = fmt::format("space-{}", i);
        (void)user_.make_namespace(ns);
        DeploymentSpec spec;
        spec.ns = ns;
        spec.name = "app";
        spec.replicas = 2;
        (void)user_.make(spec);
        cluster_.run_for(std::chrono::milliseconds(50));
      }
      phase("namespaces made", seconds(2), [&] { return complete(); });
      for (int i = 0; i < options_.namespaces; ++i) (void)user_.erase_namespace(fmt::format("space-{}", i));
    } else if (s == "pause") {
      // Users and nodes go on meanwhile: all that is there to be done afterwards.
      cluster_.lane(Component::controllers)->pause(std::chrono::hours(1));
      const int rate = std::exchange(changes_per_minute_, std::max(10, options_.changes_per_minute));
      churn();
      for (std::size_t n = 0; n < fleet.size(); n += 20) fleet.crash(n);
      for (std::size_t n = 0; n < fleet.size(); n += 20)
        cluster_.user_lane().post_after(std::chrono::minutes(20), [&fleet, n] { fleet.restart(n); });
      phase("controllers stop", seconds(60),
            [&, end = cluster_.world().elapsed() + std::chrono::hours(1)] { return cluster_.world().elapsed() >= end; });
      living_ = false;
      changes_per_minute_ = rate;
    }
    phase(("rest: " + s).c_str(), seconds(5), [&] {
      if (s == "drain") {
        checker_.look();
        if (complete())
          for (std::size_t n : std::exchange(nodes, {})) (void)user_.cordon(fleet.name(n), false);
      }
      return checker_.is_at_rest();
    });
  }

  // Says how many pods are still there.
  std::size_t evict_cordoned() {
    checker_.look();
    std::size_t left = 0;
    for (const Document& pod : cluster_.objects("/pods/")) {
      if (cluster_.fleet().find(pod["spec"]["nodeName"].as_string()) % 10 != 0) continue;
      ++left;
      if (pod["metadata"]["deletionTimestamp"].exists()) continue;
      auto answer = user_.evict(pod["metadata"]["namespace"].str(), pod["metadata"]["name"].str());
      if (!answer && answer.error().code == 429) ++refused_evictions_;
    }
    return left;
  }

  void totals() {
    const auto stats = cluster_.store()->stats();
    line("memory", fmt::format("{:.0f} MB now, {:.0f} MB at most; {} objects of {:.0f} MB, {} changes kept, file {:.0f} MB",
                               memory_mb("VmRSS"), memory_mb("VmHWM"), stats.entries, static_cast<double>(stats.bytes) / 1e6,
                               stats.window_changes, static_cast<double>(stats.file_bytes) / 1e6));
    const struct mallinfo2 heap = ::mallinfo2();
    line("heap", fmt::format("{:.0f} MB in use, {:.0f} MB between them", static_cast<double>(heap.uordblks + heap.hblkhd) / 1e6,
                             static_cast<double>(heap.fordblks) / 1e6));
    line("requests", fmt::format("{}, {:.1f} us each; revision {}, {} disk writes, {} syncs", cluster_.network().calls,
                                 static_cast<double>(cluster_.network().call_ns) / 1e3 /
                                     static_cast<double>(std::max<std::uint64_t>(1, cluster_.network().calls)),
                                 cluster_.store()->revision(), cluster_.disk().writes(), cluster_.disk().syncs()));
    std::vector<std::pair<std::uint64_t, std::string>> kinds;
    for (const auto& [kind, count] : cluster_.network().calls_by_kind) kinds.emplace_back(count, kind);
    std::sort(kinds.rbegin(), kinds.rend());
    std::string most;
    for (std::size_t i = 0; i < std::min<std::size_t>(kinds.size(), 12); ++i)
      most += fmt::format("{}{} {}", most.empty() ? "" : ", ", kinds[i].second, kinds[i].first);
    line("of them", most);
    std::string spent;
    for (Component c : {Component::server, Component::controllers, Component::scheduler})
      spent += fmt::format("{} {:.1f} s, ", name_of(c), static_cast<double>(cluster_.lane(c)->spent_ns()) / 1e9);
    line("time", fmt::format("{}requests {:.1f} s, user and checks {:.1f} s, all {:.1f} s", spent,
                             static_cast<double>(cluster_.network().call_ns) / 1e9,
                             static_cast<double>(cluster_.user_lane().spent_ns()) / 1e9, since(real_begin_)));
    line("events", fmt::format("{}; {} watch events, {} watches, {} pods started, {} refused", cluster_.world().events(),
                               cluster_.network().watch_events, cluster_.network().watches(), cluster_.fleet().started(),
                               cluster_.fleet().refused()));
    line("digest", fmt::format("{:016x}", cluster_.digest()));
  }

  const ScaleOptions options_;
  const double real_begin_ = processor_seconds();
  Cluster cluster_;
  User user_;
  Checker checker_;
  std::vector<std::string> names_;
  std::size_t wanted_ = 0;
  std::uint64_t changes_ = 0, refused_evictions_ = 0;
  int changes_per_minute_ = options_.changes_per_minute;
  bool living_ = false;
  std::string report_, phase_;
  double next_word_ = 2;
};

}  // namespace

std::string run_scale(const ScaleOptions& options, bool& well) {
  Scale scale(options);
  return scale.run(well);
}

}  // namespace kybern::sim
