// APIService objects (apiregistration.k8s.io/v1) of the groups that are served by this process. Clients read from them which
// group wins when two have a resource of the same name.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "apiserver/bootstrap.h"
#include "apiserver/custom/resources.h"
#include "apiserver/registry/work.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

// groupPriorityMinimum by group, and versionPriority of versions other than a group's v1 (which has 15); upstream's numbers.
struct GroupPriority {
  std::string_view group;
  int minimum;
};
constexpr GroupPriority group_priorities[] = {
    {"apiregistration.k8s.io", 20000},  // before all that it registers; it has no registration of its own
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
    {"apiextensions.k8s.io", 16700},
    {"admissionregistration.k8s.io", 16700},
    {"scheduling.k8s.io", 16600},
    {"coordination.k8s.io", 16500},
    {"node.k8s.io", 16300},
    {"discovery.k8s.io", 16200},
    {"resource.k8s.io", 16200},
    {"flowcontrol.apiserver.k8s.io", 16100},
    {"internal.apiserver.k8s.io", 16000},
    {"storagemigration.k8s.io", 15800},
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

int version_priority(std::string_view group, std::string_view version) {
  for (const VersionPriority& v : version_priorities)
    if (v.group == group && v.version == version) return v.priority;
  return version.find("alpha") != std::string_view::npos ? 1 : version.find("beta") != std::string_view::npos ? 9 : 15;
}

constexpr std::string_view managed_label = "kube-aggregator.kubernetes.io/automanaged";
constexpr std::string_view at_start = "onstart", always = "true", server_user_name = "system:apiserver";
// Of custom resources: behind every built-in group.
constexpr int custom_group_priority = 1000, custom_version_priority = 100;

struct WantedService {
  std::string_view group, version, managed;
  int group_priority, version_priority;
};

Place place_of(std::string_view name) { return {"apiregistration.k8s.io", "apiservices", "", name}; }

Result<void> ensure_one(Registry& registry, World world, const WantedService& wanted) {
  std::string name = fmt::format("{}.{}", wanted.version, wanted.group);
  Place place = place_of(name);
  Document stored = registry.read(place.group, "v1", place.plural, "", name);
  if (stored["spec"]["service"].is_object()) return {};  // somebody serves the group in our place
  if (wanted.managed == always && stored && !stored["metadata"]["labels"][managed_label].exists()) return {};  // somebody's own
  Draft object = Draft::object();
  object["metadata"]["labels"][managed_label] = wanted.managed;
  Draft& spec = object["spec"];
  if (!wanted.group.empty()) spec["group"] = wanted.group;
  spec["version"] = wanted.version;
  spec["groupPriorityMinimum"] = wanted.group_priority;
  spec["versionPriority"] = wanted.version_priority;
  if (auto ok = ensure_fields(registry, world, place, object, {"spec"}); !ok) return ok;
  stored = registry.read(place.group, "v1", place.plural, "", name);
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

int local_group_priority(std::string_view group) {
  for (const GroupPriority& g : group_priorities)
    if (g.group == group) return g.minimum;
  return other_group_priority;
}

Result<void> ensure_apiservices(Registry& registry, World world) {
  std::set<std::pair<std::string_view, std::string_view>> served;
  std::set<std::string> custom;
  for (const auto& s : registry.catalog().all()) {
    if (s->custom) custom.insert(fmt::format("{}.{}", s->resource->version, s->group()));
    else if (s->group() != "apiregistration.k8s.io") served.emplace(s->group(), s->resource->version);
  }
  for (const auto& [group, version] : served)
    if (auto ok = ensure_one(registry, world, {group, version, at_start, local_group_priority(group), version_priority(group, version)});
        !ok)
      return ok;
  registry.each("apiregistration.k8s.io", "v1", "apiservices", "", [&](Value one) {
    if (one["metadata"]["labels"][managed_label].as_string() == always) custom.insert(one["metadata"]["name"].str());
    return true;
  });
  for (const std::string& name : custom)
    if (auto ok = follow_custom_version(registry, world, name); !ok) return ok;
  return {};
}

Result<void> follow_custom_version(Registry& registry, World world, std::string_view name) {
  const std::string_view version = name.substr(0, name.find('.')), group = name.substr(std::min(version.size() + 1, name.size()));
  for (const auto& s : registry.catalog().of_group(group))
    if (s->custom && s->resource->version == version)
      return ensure_one(registry, world, {group, version, always, custom_group_priority, custom_version_priority});
  const Place place = place_of(name);
  Document stored = registry.read(place.group, "v1", place.plural, "", std::string(name));
  if (stored["metadata"]["labels"][managed_label].as_string() != always) return {};
  return remove(registry, world, place);
}

void apiservice_committed(Work& work, Value before, Value now) {
  Value one = now.exists() ? now : before;
  if (work.user.name == server_user_name || one["metadata"]["labels"][managed_label].as_string() != always) return;
  work.registry.customs().follow(one["metadata"]["name"].str());
}

}  // namespace kybern::apiserver
