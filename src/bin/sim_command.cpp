// `kybern sim`: the control plane against simulated nodes and a simulated clock, disk and network.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>

#include "base/log.h"
#include "base/profile.h"
#include "base/strings.h"
#include "bin/commands.h"
#include "bin/flags.h"
#include "sim/cluster.h"
#include "sim/scale.h"
#include "sim/trial.h"

namespace kybern::bin {
namespace {

// The simulation is one thread that looks at no signals: another one waits for them.
void end_at_a_signal() {
  std::thread([] {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    int number = 0;
    ::sigwait(&signals, &number);
    sim::remove_own_folders();
    ::_exit(128 + number);
  }).detach();
}

// One plan of faults; `numbers`: what is left of it.
int run_trial(std::uint64_t seed, const std::vector<std::string>& numbers, bool narrate) {
  sim::TrialOptions options;
  options.narrate = narrate;
  sim::Plan plan = sim::make_plan(seed, options.plan);
  if (!numbers.empty()) {
    std::vector<std::size_t> kept;
    for (const std::string& number : numbers)
      if (auto parsed = parse_int(number)) kept.push_back(static_cast<std::size_t>(*parsed));
    plan = sim::only(plan, kept);
  }
  const sim::TrialResult result = sim::carry_out(plan, options);
  fmt::print("seed {}: {} incidents, {} events, {} requests, {} changes, at rest after {:.0f} s, digest {:016x}\n", seed,
             plan.incidents.size(), result.events, result.calls, result.changes, std::chrono::duration<double>(result.rested_after).count(),
             result.digest);
  for (const std::string& problem : result.problems) fmt::print("  {}\n", problem);
  return result.problems.empty() ? 0 : 1;
}

// A failing seed is shortened, so that what matters is seen.
int run_trials(std::uint64_t first, int count) {
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t seed = first + static_cast<std::uint64_t>(i);
    if (run_trial(seed, {}, false) == 0) continue;
    ++failed;
    const sim::Plan shorter = sim::shorten(sim::make_plan(seed, {}), {}, 40);
    for (const sim::Incident& incident : shorter.incidents) fmt::print("    {}\n", sim::describe(incident));
    fmt::print("  again: {}\n", sim::replay_command(shorter));
    std::fflush(stdout);
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace

int run_sim(const std::vector<std::string>& arguments) {
  Flags flags("kybern sim",
              "The control plane in one thread with simulated nodes, clock, network and disk. The same seed gives the same history.");
  sim::ScaleOptions scale;
  int seed = 1, live_seconds = 0, trials = 0;
  bool trial = false, help = false;
  std::string log_level = "error", profile_file;
  std::vector<std::string> only;
  flags.add("seed", &seed, "where all randomness comes from");
  flags.add("nodes", &scale.nodes, "simulated nodes");
  flags.add("pods", &scale.pods, "pods, in deployments");
  flags.add("pods-per-deployment", &scale.pods_per_deployment, "how many pods a deployment has");
  flags.add("request-ms", &scale.request_ms, "the longest that a request travels one way; 0: no time passes meanwhile");
  flags.section("When all pods run");
  flags.add("live", &live_seconds, "simulated seconds to go on; a day is 86400");
  flags.add("changes", &scale.changes_per_minute, "what users change in a simulated minute while it goes on: scale, update, delete a pod");
  flags.add("scenario", &scale.scenario, "first: update, drain, zone, namespaces or pause");
  flags.section("Faults");
  flags.add("trial", &trial, "a small cluster with faults from the seed, everything checked");
  flags.add("trials", &trials, "so many trials, from the seed on");
  flags.add("only", &only, "of a trial only the incidents with these numbers");
  flags.section("The run");
  flags.add("profile", &profile_file, "where the processor's time went, into this file: a line for each stack, for flame graphs");
  flags.add("log-level", &log_level, "of the components: debug, info, warn, error, none");
  if (auto ok = flags.parse(arguments, help); !ok) return complain(ok.error().message);
  if (help) return fmt::print("{}", flags.help()), 0;
  if (seed < 0 || scale.nodes < 1 || scale.pods < 0 || scale.pods_per_deployment < 1)
    return complain("sim: numbers of nodes, pods and the seed are not negative");
  if (live_seconds < 0 || scale.changes_per_minute < 0 || scale.request_ms < 0) return complain("sim: times and rates are not negative");
  const std::vector<std::string> scenarios{"", "update", "drain", "zone", "namespaces", "pause"};
  if (std::find(scenarios.begin(), scenarios.end(), scale.scenario) == scenarios.end())
    return complain("sim: no scenario is called " + scale.scenario + "; there are update, drain, zone, namespaces and pause");
  const std::vector<std::string> levels{"debug", "info", "warn", "error", "none"};
  for (std::size_t i = 0; i < levels.size(); ++i)
    if (levels[i] == log_level) set_log_level(static_cast<LogLevel>(i));
  end_at_a_signal();
  if (trials > 0) return run_trials(static_cast<std::uint64_t>(seed), trials);
  if (trial) return run_trial(static_cast<std::uint64_t>(seed), only, true);
  scale.seed = static_cast<std::uint64_t>(seed);
  scale.live = std::chrono::seconds(live_seconds);
  std::unique_ptr<CpuProfile> profile;
  if (!profile_file.empty()) {
    auto begun = CpuProfile::begin(profile_default_hz);
    if (!begun) return complain("sim: --profile: " + begun.error().message);
    profile = std::move(*begun);
  }
  bool well = false;
  fmt::print("{}", sim::run_scale(scale, well));
  if (profile) {
    std::ofstream out(profile_file);
    out << to_folded(profile->end());
    if (!out.flush()) return complain(fmt::format("sim: --profile: {} cannot be written", profile_file));
  }
  return well ? 0 : 1;
}

}  // namespace kybern::bin
