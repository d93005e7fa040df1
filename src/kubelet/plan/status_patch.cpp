#include "kubelet/plan/status_patch.h"

namespace kybern::kubelet {
namespace {

constexpr const char* replaced_fields[] = {"phase",
                                           "hostIP",
                                           "podIP",
                                           "startTime",
                                           "qosClass",
                                           "observedGeneration",
                                           "containerStatuses",
                                           "initContainerStatuses",
                                           "ephemeralContainerStatuses"};
constexpr const char* removable_fields[] = {"reason", "message"};
constexpr std::string_view passing_conditions[] = {"PodResizePending",
                                                   "PodResizeInProgress"};  // the kubelet's, and gone when they do not hold
constexpr const char* merged_lists[] = {"hostIPs", "podIPs"};               // by ip: an address that went away must be replaced explicitly

Value condition_of(Value status, std::string_view type) {
  for (Value c : status["conditions"].items()) {
    if (c["type"].as_string() == type) return c;
  }
  return Value();
}

// lastProbeTime is null or absent, which means the same.
bool same_condition(Value a, Value b) {
  for (const char* key : {"status", "reason", "message", "lastTransitionTime"}) {
    if (a[key].as_string() != b[key].as_string()) return false;
  }
  return a["observedGeneration"].as_int() == b["observedGeneration"].as_int();
}

}  // namespace

std::optional<Document> status_patch(Value before, Value now, std::string_view uid) {
  Draft status = Draft::object();
  for (const char* key : replaced_fields) {
    if (now[key].exists() && !(now[key] == before[key])) status[key] = now[key];
  }
  for (const char* key : removable_fields) {
    if (now[key].exists() && !(now[key] == before[key])) status[key] = now[key];
    if (!now[key].exists() && !before[key].is_null()) status[key] = nullptr;
  }
  for (const char* key : merged_lists) {
    if (!now[key].exists() || now[key] == before[key]) continue;
    Draft list = Draft::array();
    for (Value v : now[key].items()) list.push_back(v);
    if (!before[key].empty()) list.push_back(Draft::object({{"$patch", "replace"}}));
    status[key] = std::move(list);
  }
  Draft conditions = Draft::array();
  for (Value c : now["conditions"].items()) {
    Value old = condition_of(before, c["type"].as_string());
    if (old.is_object() && same_condition(old, c)) continue;
    Draft changed(c);
    for (const char* key : {"reason", "message"}) {
      if (!c[key].exists() && old[key].exists()) changed[key] = nullptr;
    }
    conditions.push_back(std::move(changed));
  }
  for (std::string_view type : passing_conditions) {
    if (condition_of(before, type).is_object() && !condition_of(now, type).is_object())
      conditions.push_back(Draft::object({{"$patch", "delete"}, {"type", type}}));
  }
  if (!conditions.empty()) status["conditions"] = std::move(conditions);
  if (status.empty()) return std::nullopt;
  return Draft::object({{"metadata", Draft::object({{"uid", uid}})}, {"status", std::move(status)}}).freeze();
}

}  // namespace kybern::kubelet
