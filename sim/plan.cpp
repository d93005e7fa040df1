#include "sim/plan.h"

#include <fmt/format.h>

#include <algorithm>

namespace kybern::sim {
namespace {

using Kind = Incident::Kind;

constexpr const char* names[] = {
    "make a deployment",     "scale a deployment",  "update a deployment", "erase a deployment",     "erase a pod",
    "evict a pod",           "drain a node",        "make a namespace",    "erase a namespace",      "make a pod",
    "crash the controllers", "crash the scheduler", "crash the server",    "cut the server's power", "pause the controllers",
    "pause the scheduler",   "lose requests",       "lose answers",        "delay watches",          "drop watches",
    "disk errors",           "disk full",           "the clock jumps",     "crash a node",           "restart an agent",
    "mute a node",           "lose a zone"};
static_assert(std::size(names) == static_cast<std::size_t>(Kind::count));

constexpr Kind first_fault = Kind::crash_controllers;

Incident draw(SplitMix& random, bool fault, Duration span) {
  Incident out;
  const auto low = fault ? static_cast<std::uint64_t>(first_fault) : 0;
  const auto high = static_cast<std::uint64_t>(fault ? Kind::count : first_fault);
  out.kind = static_cast<Kind>(low + random.below(high - low));
  out.at = random.between(Duration(0), span);
  out.pick = random.next();
  switch (out.kind) {
    case Kind::make:
    case Kind::scale: out.amount = static_cast<int>(random.below(25)); break;
    case Kind::lose_requests:
    case Kind::lose_answers: out.amount = static_cast<int>(1 + random.below(30)); break;
    case Kind::drop_watches: out.amount = static_cast<int>(10 + random.below(91)); break;
    case Kind::disk_errors: out.amount = static_cast<int>(1 + random.below(40)); break;
    case Kind::delay_watches: out.amount = static_cast<int>(1 + random.below(20)); break;
    case Kind::clock_jump: out.amount = static_cast<int>(random.below(240)) - 120; break;
    case Kind::cut_power: out.amount = static_cast<int>(random.below(12)); break;
    default: break;
  }
  if (fault)
    out.lasts = random.between(std::chrono::milliseconds(50), random.chance(0.2) ? std::chrono::seconds(60) : std::chrono::seconds(8));
  return out;
}

// Nothing takes pods away but rollouts and scaling: then maxUnavailable and maxSurge are kept at every change.
bool is_gentle(const Incident& i) {
  switch (i.kind) {
    case Kind::make:
    case Kind::scale:
    case Kind::update:
    case Kind::crash_controllers:
    case Kind::crash_scheduler:
    case Kind::pause_scheduler:
    case Kind::delay_watches:
    case Kind::drop_watches: return true;
    case Kind::lose_requests: return i.amount <= 10;  // more, and nodes are thought dead
    default: return false;
  }
}

}  // namespace

std::string describe(const Incident& i) {
  std::string out =
      fmt::format("#{} at {:.3f} s: {}", i.number, std::chrono::duration<double>(i.at).count(), names[static_cast<std::size_t>(i.kind)]);
  if (i.amount != 0) out += fmt::format(" ({})", i.amount);
  if (i.is_fault()) out += fmt::format(" for {:.3f} s", std::chrono::duration<double>(i.lasts).count());
  return out;
}

Plan make_plan(std::uint64_t seed, const PlanOptions& options) {
  Plan plan{seed, options, {}};
  SplitMix random(seed ^ 0x5851f42d4c957f2dULL);
  const bool gentle = seed % 5 == 1;
  const auto add = [&](bool fault) {
    Incident incident = draw(random, fault, options.span);
    while (gentle && !is_gentle(incident)) incident = draw(random, fault, options.span);
    plan.incidents.push_back(incident);
  };
  for (int i = 0; i < options.actions; ++i) add(false);
  for (int i = 0; i < options.faults; ++i) add(true);
  std::stable_sort(plan.incidents.begin(), plan.incidents.end(), [](const Incident& a, const Incident& b) { return a.at < b.at; });
  for (std::size_t i = 0; i < plan.incidents.size(); ++i) plan.incidents[i].number = i;
  return plan;
}

Plan only(const Plan& plan, const std::vector<std::size_t>& numbers) {
  Plan out = plan;
  std::erase_if(out.incidents, [&](const Incident& i) { return std::find(numbers.begin(), numbers.end(), i.number) == numbers.end(); });
  return out;
}

}  // namespace kybern::sim
