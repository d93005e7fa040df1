// What the scheduler knows, in the form in which it is asked: amounts as integers, ports as a set. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"

namespace kybern::scheduler {

// cpu in thousandths of a core, everything else in whole units (bytes, devices).
struct Resources {
  std::int64_t cpu_milli = 0, memory = 0, ephemeral_storage = 0;
  std::vector<std::pair<std::string, std::int64_t>> extended;  // sorted by name: devices, huge pages

  std::int64_t* find(std::string_view name);
  std::int64_t get(std::string_view name) const;
  void add(const Resources& other, int sign);
};

struct HostPort {
  std::string ip, protocol;  // ip "0.0.0.0": all addresses
  std::int64_t port = 0;
  auto operator<=>(const HostPort&) const = default;
};

// What a pod asks for, read once. Values point into `pod`, which is kept.
struct PodNeeds {
  Document pod;
  std::string key;  // namespace/name
  std::string_view node_name, scheduler_name;
  std::int64_t priority = 0;
  Resources requests;                                    // as upstream: max(sum of containers + sidecars, each init container) + overhead
  std::int64_t scored_cpu_milli = 0, scored_memory = 0;  // with 100m and 200Mi for containers that ask for nothing
  std::vector<HostPort> ports;
  Value tolerations, node_selector, required_terms, preferred_terms;
};
PodNeeds read_pod(Document pod);

struct Taint {
  std::string_view key, value, effect;
};

// One node with the pods that are bound to it (or about to be).
struct NodeState {
  Document node;
  std::string name;
  Resources allocatable, requested;
  std::int64_t scored_cpu_milli = 0, scored_memory = 0;
  std::int64_t pods_allowed = 0, pods = 0;
  std::multiset<HostPort> ports;
  std::vector<Taint> taints;  // of `node`
  bool unschedulable = false;

  void set_node(Document document);
  void add(const PodNeeds& pod, int sign);
};

// A pod that takes room: not finished.
bool occupies(Value pod);

}  // namespace kybern::scheduler
