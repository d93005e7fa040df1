#include "kubelet/plan/resources.h"

#include <algorithm>

namespace kybern::kubelet {
namespace {

using Role = ContainerView::Role;

constexpr std::int64_t least_shares = 2, most_shares = 262'144, shares_per_cpu = 1024;
constexpr std::int64_t least_quota_us = 1000, default_period_us = 100'000;
constexpr std::int64_t guaranteed_score = -997, best_effort_score = 1000;
constexpr std::int64_t critical_priority = 2'000'000'000;

void add(Amounts& to, const Amounts& more) {
  for (const auto& [name, amount] : more) to[name] += amount;
}
void raise(Amounts& to, const Amounts& other) {
  for (const auto& [name, amount] : other) {
    auto [at, fresh] = to.emplace(name, amount);
    if (!fresh && at->second < amount) at->second = amount;
  }
}

Amounts requests_of(const ContainerView& c) {
  Amounts out = amounts_of(c.spec["resources"]["requests"]);
  for (auto& [name, amount] : amounts_of(c.spec["resources"]["limits"])) out.emplace(name, amount);  // a limit alone is a request too
  return out;
}
Amounts limits_of(const ContainerView& c) { return amounts_of(c.spec["resources"]["limits"]); }

template <class Of>
Amounts total(const PodView& pod, Of of) {
  Amounts together, init_peak, sidecars;
  for (const ContainerView& c : pod.containers) {
    if (c.role == Role::sidecar) {
      add(sidecars, of(c));
      raise(init_peak, sidecars);
    } else if (c.role == Role::init) {
      Amounts with = sidecars;
      add(with, of(c));
      raise(init_peak, with);
    } else if (c.role == Role::regular) {
      add(together, of(c));
    }
  }
  add(together, sidecars);
  raise(together, init_peak);
  add(together, amounts_of(pod.spec()["overhead"]));
  return together;
}

const Quantity* find(const Amounts& amounts, std::string_view name) {
  auto found = amounts.find(name);
  return found == amounts.end() ? nullptr : &found->second;
}

void cpu_limit(CgroupFigures& f, const Quantity& limit) {
  if (limit.is_zero()) return;
  f.cpu_period_us = default_period_us;
  f.cpu_quota_us = quota_of_milli(limit.milli_value());
}

}  // namespace

Amounts amounts_of(Value list) {
  Amounts out;
  for (Member m : list.members()) out.emplace(std::string(m.key), Quantity::of(m.value));
  return out;
}

std::string_view qos_class(const PodView& pod) {
  bool any = false, guaranteed = true;
  for (const ContainerView& c : pod.containers) {
    if (c.role == Role::ephemeral) continue;
    Amounts requests = amounts_of(c.spec["resources"]["requests"]), limits = limits_of(c);
    for (std::string_view name : {"cpu", "memory"}) {
      const Quantity *request = find(requests, name), *limit = find(limits, name);
      bool requested = request != nullptr && !request->is_zero(), limited = limit != nullptr && !limit->is_zero();
      any = any || requested || limited;
      if (!limited || (requested && *request != *limit)) guaranteed = false;
    }
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

Amounts pod_requests(const PodView& pod) { return total(pod, requests_of); }

Amounts pod_limits(const PodView& pod) {
  Amounts out = total(pod, limits_of);
  for (const ContainerView& c : pod.containers) {
    if (c.role == Role::ephemeral || c.role == Role::init) continue;
    Amounts own = limits_of(c);
    std::erase_if(out, [&](const auto& entry) { return !own.contains(entry.first); });
  }
  return out;
}

CgroupFigures pod_figures(const PodView& pod) {
  CgroupFigures f;
  Amounts requests = pod_requests(pod), limits = pod_limits(pod);
  const Quantity* cpu = find(requests, "cpu");
  f.cpu_shares = cpu == nullptr ? least_shares : shares_of_milli(cpu->milli_value());
  if (const Quantity* limit = find(limits, "cpu")) cpu_limit(f, *limit);
  if (const Quantity* limit = find(limits, "memory"); limit != nullptr && !limit->is_zero()) f.memory_bytes = limit->value();
  return f;
}

CgroupFigures container_figures(const ContainerView& c) {
  CgroupFigures f;
  Amounts requests = requests_of(c), limits = limits_of(c);
  const Quantity* cpu = find(requests, "cpu");
  f.cpu_shares = cpu == nullptr ? least_shares : shares_of_milli(cpu->milli_value());
  if (const Quantity* limit = find(limits, "cpu")) cpu_limit(f, *limit);
  if (const Quantity* limit = find(limits, "memory"); limit != nullptr && !limit->is_zero()) f.memory_bytes = limit->value();
  return f;
}

std::int64_t shares_of_milli(std::int64_t milli_cpu) {
  if (milli_cpu <= 0) return least_shares;
  if (milli_cpu >= most_shares * 1000 / shares_per_cpu) return most_shares;
  return std::max(least_shares, milli_cpu * shares_per_cpu / 1000);
}

std::int64_t quota_of_milli(std::int64_t milli_cpu, std::int64_t period_us) {
  return std::max(least_quota_us, milli_cpu * period_us / 1000);
}

// The straight line from [2, 262144] to [1, 10000] that KEP-2254 defines.
std::int64_t weight_of_shares(std::int64_t shares) {
  return 1 + (std::clamp(shares, least_shares, most_shares) - least_shares) * 9999 / (most_shares - least_shares);
}

std::int64_t oom_score_adj(const PodView& pod, const ContainerView& c, std::int64_t node_memory_bytes) {
  if (pod.spec()["priority"].as_int() >= critical_priority) return guaranteed_score;
  std::string_view qos = qos_class(pod);
  if (qos == "Guaranteed") return guaranteed_score;
  if (qos == "BestEffort") return best_effort_score;
  Amounts requests = requests_of(c);
  const Quantity* memory = find(requests, "memory");
  std::int64_t requested = memory == nullptr ? 0 : memory->value();
  std::int64_t score = node_memory_bytes <= 0 ? best_effort_score : 1000 - 1000 * requested / node_memory_bytes;
  return std::clamp<std::int64_t>(score, 1000 + guaranteed_score, best_effort_score - 1);
}

std::optional<std::int64_t> resource_field(const ContainerView& c, std::string_view resource, const Quantity& divisor,
                                           const Amounts& node_allocatable) {
  bool limits = resource.starts_with("limits."), requests = resource.starts_with("requests.");
  if (!limits && !requests) return std::nullopt;
  std::string_view name = resource.substr(resource.find('.') + 1);
  Amounts own = amounts_of(c.spec["resources"][limits ? "limits" : "requests"]);
  Quantity amount;
  if (const Quantity* found = find(own, name)) amount = *found;
  else if (const Quantity* all = limits ? find(node_allocatable, name) : nullptr) amount = *all;
  if (name == "cpu") {
    std::int64_t by = divisor.is_zero() ? 1000 : std::max<std::int64_t>(1, divisor.milli_value());
    return (amount.milli_value() + by - 1) / by;
  }
  std::int64_t by = divisor.is_zero() ? 1 : std::max<std::int64_t>(1, divisor.value());
  return (amount.value() + by - 1) / by;
}

}  // namespace kybern::kubelet
