// Seeds that failed once, and fresh ones for as long as there is time. A failing seed is shortened and its replay printed.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "base/log.h"
#include "sim/trial.h"

namespace kybern::sim {
namespace {

constexpr auto fresh_budget = std::chrono::seconds(25);
constexpr int shortening_trials = 24;

// False when it failed; says how to see it again.
bool succeeds(std::uint64_t seed, const TrialOptions& options) {
  const Plan plan = make_plan(seed, options.plan);
  const TrialResult result = carry_out(plan, options);
  if (result.problems.empty()) return true;
  std::string text = "seed " + std::to_string(seed) + ":\n";
  for (const std::string& problem : result.problems) text += "  " + problem + "\n";
  const Plan shorter = shorten(plan, options, shortening_trials);
  for (const Incident& incident : shorter.incidents) text += "    " + describe(incident) + "\n";
  ADD_FAILURE() << text << "  again: " << replay_command(shorter);
  return false;
}

// tests/sim_seeds.txt: a seed a line, and why it is there.
TEST(Seeds, ThatFailedOnce) {
  set_log_level(static_cast<LogLevel>(static_cast<int>(LogLevel::error) + 1));
  std::ifstream file(KYBERN_SOURCE_DIR "/tests/sim_seeds.txt");
  ASSERT_TRUE(file);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::uint64_t seed = 0;
    if (words >> seed) succeeds(seed, {});
  }
}

TEST(Seeds, Fresh) {
  set_log_level(static_cast<LogLevel>(static_cast<int>(LogLevel::error) + 1));
  const auto begin = std::chrono::steady_clock::now();
  const auto first =
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1)) % 1'000'000'000;
  int tried = 0;
  while (std::chrono::steady_clock::now() - begin < fresh_budget && succeeds(first + static_cast<std::uint64_t>(tried), {})) ++tried;
  std::printf("%d seeds from %llu on\n", tried, static_cast<unsigned long long>(first));
}

}  // namespace
}  // namespace kybern::sim
