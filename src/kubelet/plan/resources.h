// What a pod's requests and limits mean on a node: its quality of service, its cgroups' figures, its OOM scores.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "kubelet/plan/pod_view.h"
#include "machinery/quantity.h"

namespace kybern::kubelet {

std::string_view qos_class(const PodView& pod);  // "Guaranteed", "Burstable", "BestEffort"

using Amounts = std::map<std::string, Quantity, std::less<>>;  // by resource name

Amounts amounts_of(Value resource_list);
// What the pod occupies for the scheduler and for admission: the larger of its init phase and of all that runs together,
// sidecars included, plus spec.overhead. KEP-753 has the arithmetic for sidecars.
Amounts pod_requests(const PodView& pod);
Amounts pod_limits(const PodView& pod);  // a resource is there only when every container limits it

// cgroup figures, in the units of cgroup v1. -1 or absent: no limit.
struct CgroupFigures {
  std::optional<std::int64_t> cpu_shares, cpu_quota_us, cpu_period_us, memory_bytes, pids;
  friend bool operator==(const CgroupFigures&, const CgroupFigures&) = default;
};
CgroupFigures pod_figures(const PodView& pod);
CgroupFigures container_figures(const ContainerView& c);

std::int64_t shares_of_milli(std::int64_t milli_cpu);                                   // 2 .. 262144
std::int64_t quota_of_milli(std::int64_t milli_cpu, std::int64_t period_us = 100'000);  // at least 1000
std::int64_t weight_of_shares(std::int64_t shares);                                     // cgroup v2: 1 .. 10000

// From -997 (guaranteed) to 1000 (best effort), the burstable ones between by their share of the node's memory.
std::int64_t oom_score_adj(const PodView& pod, const ContainerView& c, std::int64_t node_memory_bytes);

// The value of a resourceFieldRef (limits fall back to what the node can give), divided and rounded up.
std::optional<std::int64_t> resource_field(const ContainerView& c, std::string_view resource, const Quantity& divisor,
                                           const Amounts& node_allocatable);

}  // namespace kybern::kubelet
