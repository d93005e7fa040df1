// `kybern sim`: the control plane against simulated nodes and a simulated clock, disk and network.
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>

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

volatile std::sig_atomic_t signal_came = 0;

// The simulation stays the only thread there is, for whom the C library counts references and takes locks at no cost: it
// looks now and then whether a signal came.
void end_at_a_signal() {
  for (int number : {SIGINT, SIGTERM}) {
    ::signal(number, [](int which) { signal_came = which; });
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  }
  sim::SimulatedWorld::interrupted = [] {
    if (signal_came == 0) return;
    sim::remove_own_folders();
    ::_exit(128 + signal_came);
  };
}

// The C library keeps seven free blocks of a size at hand; a simulation that makes and drops thousands of objects at a time
// spends an eighth of its time where it looks for others. The number can be said at a program's start only.
void begin_again_with_more_free_blocks(const std::vector<std::string>& arguments) {
  constexpr const char* variable = "GLIBC_TUNABLES";
  if (::getenv(variable)) return;
  ::setenv(variable, "glibc.malloc.tcache_count=128", 1);
  std::vector<std::string> words{"kybern", "sim"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv("/proc/self/exe", pointers.data());  // where that cannot be, this one goes on
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
  flags.add("profile", &profile_file,
            "where the processor's time went, into this file: a line for each stack, for flame graphs; with --live from when all pods run");
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
  begin_again_with_more_free_blocks(arguments);
  end_at_a_signal();
  if (trials > 0) return run_trials(static_cast<std::uint64_t>(seed), trials);
  if (trial) return run_trial(static_cast<std::uint64_t>(seed), only, true);
  scale.seed = static_cast<std::uint64_t>(seed);
  scale.live = std::chrono::seconds(live_seconds);
  std::unique_ptr<CpuProfile> profile;
  std::string no_profile;
  const auto begin_profile = [&] {
    auto begun = CpuProfile::begin(profile_default_hz);
    if (begun) profile = std::move(*begun);
    else no_profile = begun.error().message;
  };
  if (!profile_file.empty() && live_seconds > 0) scale.life_begins = begin_profile;
  else if (!profile_file.empty()) begin_profile();
  if (!no_profile.empty()) return complain("sim: --profile: " + no_profile);
  bool well = false;
  fmt::print("{}", sim::run_scale(scale, well));
  if (!no_profile.empty()) return complain("sim: --profile: " + no_profile);
  if (profile) {
    std::ofstream out(profile_file);
    out << to_folded(profile->end());
    if (!out.flush()) return complain(fmt::format("sim: --profile: {} cannot be written", profile_file));
  }
  return well ? 0 : 1;
}

}  // namespace kybern::bin
