// APIService objects (apiregistration.k8s.io/v1) of the groups that are served by this process. Clients read from them which
// group wins when two have a resource of the same name.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "apiserver/bootstrap.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

// groupPriorityMinimum by group, and versionPriority of versions other than a group's v1 (which has 15); upstream's numbers.
struct GroupPriority {
  std::string_view group;
  int minimum;
};
constexpr GroupPriority group_priorities[] = {
    {"", 18000},
    {"apps", 17800},
    {"events.k8s.io", 17750},
    {"authentication.k8s.io", 17700},
    {"authorization.k8s.io", 17600},
    {"autoscaling", 17500},
    {"batch", 17400},
    {"certificates.k8s.io", 17300},
    {"networking.k8s.io", 17200},
    {"policy", 17100},
    {"rbac.authorization.k8s.io", 17000},
    {"storage.k8s.io", 16800},
    {"storagemigration.k8s.io", 16800},
    {"apiextensions.k8s.io", 16700},
    {"admissionregistration.k8s.io", 16700},
    {"scheduling.k8s.io", 16600},
    {"coordination.k8s.io", 16500},
    {"node.k8s.io", 16300},
    {"discovery.k8s.io", 16200},
    {"resource.k8s.io", 16200},
    {"flowcontrol.apiserver.k8s.io", 16100},
    {"internal.apiserver.k8s.io", 16000},
    {"metrics.k8s.io", 100},
};
constexpr int other_group_priority = 15000;
struct VersionPriority {
  std::string_view group, version;
  int priority;
};
constexpr VersionPriority version_priorities[] = {
    {"", "v1", 1},
    {"autoscaling", "v2", 30},
    {"flowcontrol.apiserver.k8s.io", "v1", 21},
    {"resource.k8s.io", "v1", 20},
    {"metrics.k8s.io", "v1beta1", 100},
};

int group_priority(std::string_view group) {
  for (const GroupPriority& g : group_priorities)
    if (g.group == group) return g.minimum;
  return other_group_priority;
}

int version_priority(std::string_view group, std::string_view version) {
  for (const VersionPriority& v : version_priorities)
    if (v.group == group && v.version == version) return v.priority;
  return version.find("alpha") != std::string_view::npos ? 1 : version.find("beta") != std::string_view::npos ? 9 : 15;
}

Result<void> ensure_one(Registry& registry, World world, std::string_view group, std::string_view version) {
  std::string name = fmt::format("{}.{}", version, group);
  Place place{"apiregistration.k8s.io", "apiservices", "", name};
  if (registry.read(place.group, "v1", place.plural, "", name)["spec"]["service"].is_object())
    return {};  // somebody serves the group in our place
  Draft object = Draft::object();
  object["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"] = "onstart";
  Draft& spec = object["spec"];
  if (!group.empty()) spec["group"] = group;
  spec["version"] = version;
  spec["groupPriorityMinimum"] = group_priority(group);
  spec["versionPriority"] = version_priority(group, version);
  if (auto ok = ensure_fields(registry, world, place, object, {"spec"}); !ok) return ok;
  Document stored = registry.read(place.group, "v1", place.plural, "", name);
  for (Value condition : stored["status"]["conditions"].items())
    if (condition["type"].as_string() == "Available" && condition["status"].as_string() == "True" &&
        condition["reason"].as_string() == "Local")
      return {};
  Draft status = Draft::object();
  Draft condition = Draft::object({{"type", "Available"},
                                   {"status", "True"},
                                   {"lastTransitionTime", format_rfc3339(world.clock.now())},
                                   {"reason", "Local"},
                                   {"message", "Local APIServices are always available"}});
  status["status"]["conditions"] = Draft::array({condition});
  return ensure_fields(registry, world, place, status, {"status"}, "status");
}

}  // namespace

Result<void> ensure_apiservices(Registry& registry, World world) {
  std::set<std::pair<std::string_view, std::string_view>> served;
  for (const auto& s : registry.catalog().all())
    if (s->group() != "apiregistration.k8s.io") served.emplace(s->group(), s->resource->version);
  for (const auto& [group, version] : served)
    if (auto ok = ensure_one(registry, world, group, version); !ok) return ok;
  return {};
}

}  // namespace kybern::apiserver
