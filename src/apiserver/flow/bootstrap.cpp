// Upstream's FlowSchemas and PriorityLevelConfigurations, as text:
//
//   level NAME SHARES LENDABLE [QUEUES HAND LENGTH]     without queues what is too much is refused
//   schema NAME LEVEL PRECEDENCE DISTINGUISHER          (- for none)
//     subjects ...                                      u:USER, g:GROUP or s:NAMESPACE/ACCOUNT
//     VERBS GROUPS RESOURCES NAMESPACES                 `core` is the group ""; NAMESPACES +: and what has no namespace
//     VERBS url PATHS
//     all                                               every verb on everything
#include <fmt/format.h>

#include <algorithm>

#include "apiserver/bootstrap.h"
#include "apiserver/flow/flow_control.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view update_annotation = "apf.kubernetes.io/autoupdate-spec";

constexpr std::string_view objects = R"(
level catch-all 5 0
level system 30 33 64 6 50
level node-high 40 25 64 6 50
level leader-election 10 0 16 4 50
level workload-high 40 50 128 6 50
level workload-low 100 90 128 6 50
level global-default 20 50 128 6 50
schema exempt exempt 1 -
  subjects g:system:masters
  all
schema probes exempt 2 -
  subjects g:system:unauthenticated g:system:authenticated
  get url /healthz,/readyz,/livez
schema system-leader-election leader-election 100 ByUser
  subjects u:system:kube-controller-manager u:system:kube-scheduler s:kube-system/*
  get,create,update coordination.k8s.io leases *
schema endpoint-controller workload-high 150 ByUser
  subjects u:system:kube-controller-manager s:kube-system/endpoint-controller s:kube-system/endpointslicemirroring-controller
  get,create,update core endpoints *
schema workload-leader-election leader-election 200 ByUser
  subjects s:kube-system/*
  get,create,update coordination.k8s.io leases *
schema system-node-high node-high 400 ByUser
  subjects g:system:nodes
  * core nodes,nodes/status *+
  * coordination.k8s.io leases *
schema system-nodes system 500 ByUser
  subjects g:system:nodes
  all
schema kube-controller-manager workload-high 800 ByNamespace
  subjects u:system:kube-controller-manager
  all
schema kube-scheduler workload-high 800 ByNamespace
  subjects u:system:kube-scheduler
  all
schema kube-system-service-accounts workload-high 900 ByNamespace
  subjects s:kube-system/*
  all
schema service-accounts workload-low 9000 ByUser
  subjects g:system:serviceaccounts
  all
schema global-default global-default 9900 ByUser
  subjects g:system:unauthenticated g:system:authenticated
  all
schema catch-all catch-all 10000 ByUser
  subjects g:system:unauthenticated g:system:authenticated
  all
)";

Draft list_of(std::string_view commas) {
  Draft out = Draft::array();
  for (std::string_view one : split(commas, ',')) out.push_back(one == "core" ? std::string_view() : one);
  return out;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> out;
  for (std::string_view word : split(line, ' '))
    if (!word.empty()) out.push_back(word);
  return out;
}

Draft with_annotation() {
  Draft object = Draft::object();
  object["metadata"]["annotations"][update_annotation] = "true";
  return object;
}

Draft level_of(const std::vector<std::string_view>& words) {
  Draft object = with_annotation();
  object["spec"]["type"] = "Limited";
  Draft& limited = object["spec"]["limited"];
  limited["nominalConcurrencyShares"] = *parse_int(words[2]);
  limited["lendablePercent"] = *parse_int(words[3]);
  Draft& response = limited["limitResponse"];
  response["type"] = words.size() > 4 ? "Queue" : "Reject";
  if (words.size() > 4)
    response["queuing"] =
        Draft::object({{"queues", *parse_int(words[4])}, {"handSize", *parse_int(words[5])}, {"queueLengthLimit", *parse_int(words[6])}});
  return object;
}

Draft subject_of(std::string_view text) {
  std::string_view name = text.substr(2);
  if (text[0] == 'u') return Draft::object({{"kind", "User"}, {"user", Draft::object({{"name", name}})}});
  if (text[0] == 'g') return Draft::object({{"kind", "Group"}, {"group", Draft::object({{"name", name}})}});
  auto slash = name.find('/');
  return Draft::object({{"kind", "ServiceAccount"},
                        {"serviceAccount", Draft::object({{"namespace", name.substr(0, slash)}, {"name", name.substr(slash + 1)}})}});
}

Draft resource_rule(std::string_view verbs, std::string_view groups, std::string_view resources, std::string_view namespaces) {
  Draft rule = Draft::object({{"verbs", list_of(verbs)}, {"apiGroups", list_of(groups)}, {"resources", list_of(resources)}});
  if (namespaces.ends_with('+')) {
    rule["clusterScope"] = true;
    namespaces.remove_suffix(1);
  }
  rule["namespaces"] = list_of(namespaces);
  return rule;
}

void add_rule(Draft& rules, const std::vector<std::string_view>& words) {
  auto path_rule = [](std::string_view verbs, std::string_view paths) {
    return Draft::object({{"verbs", list_of(verbs)}, {"nonResourceURLs", list_of(paths)}});
  };
  if (words[0] == "subjects") {
    for (std::size_t i = 1; i < words.size(); ++i) rules["subjects"].push_back(subject_of(words[i]));
  } else if (words[0] == "all") {
    rules["resourceRules"].push_back(resource_rule("*", "*", "*", "*+"));
    rules["nonResourceRules"].push_back(path_rule("*", "*"));
  } else if (words[1] == "url") {
    rules["nonResourceRules"].push_back(path_rule(words[0], words[2]));
  } else {
    rules["resourceRules"].push_back(resource_rule(words[0], words[1], words[2], words[3]));
  }
}

struct Wanted {
  std::string_view plural;
  std::string name;
  Draft object;
};

std::vector<Wanted> read_objects() {
  std::vector<Wanted> out;
  Draft exempt = with_annotation();
  exempt["spec"] =
      Draft::object({{"type", "Exempt"}, {"exempt", Draft::object({{"nominalConcurrencyShares", 0}, {"lendablePercent", 0}})}});
  out.push_back({"prioritylevelconfigurations", "exempt", std::move(exempt)});
  for (std::string_view line : split(objects, '\n')) {
    auto words = words_of(line);
    if (words.empty()) continue;
    if (words[0] == "level") {
      out.push_back({"prioritylevelconfigurations", std::string(words[1]), level_of(words)});
    } else if (words[0] == "schema") {
      Draft object = with_annotation();
      Draft& spec = object["spec"];
      spec["priorityLevelConfiguration"]["name"] = words[2];
      spec["matchingPrecedence"] = *parse_int(words[3]);
      if (words[4] != "-") spec["distinguisherMethod"]["type"] = words[4];
      spec["rules"] = Draft::array({Draft::object()});
      out.push_back({"flowschemas", std::string(words[1]), std::move(object)});
    } else {
      add_rule(out.back().object["spec"]["rules"].items()[0], words);
    }
  }
  return out;
}

// Those that the server relies on; whoever changes them finds them as before a minute later.
bool is_mandatory(std::string_view name) { return name == "exempt" || name == "catch-all"; }

// The annotation, where it says something. Without it, what nobody has changed since it was made is ours to change.
bool follows_us(Value there) {
  std::string_view told = there["metadata"]["annotations"][update_annotation].as_string();
  for (std::string_view yes : {"true", "True", "TRUE", "t", "T", "1"})
    if (told == yes) return true;
  for (std::string_view no : {"false", "False", "FALSE", "f", "F", "0"})
    if (told == no) return false;
  return there["metadata"]["generation"].as_int() == 1;
}

Result<void> ensure_one(Registry& registry, World world, const Wanted& wanted) {
  Place place{flow_group, wanted.plural, "", wanted.name};
  Document there = registry.read(flow_group, "v1", wanted.plural, "", wanted.name);
  if (!there) return ensure(registry, world, place, wanted.object);
  const bool mandatory = is_mandatory(wanted.name), update = mandatory || follows_us(there.root());
  Draft now = Draft::object();
  now["metadata"] = there["metadata"];
  now["metadata"]["annotations"][update_annotation] = update ? "true" : "false";
  now["spec"] = there["spec"];
  if (update) {
    now["spec"] = *wanted.object.find("spec");
    // How many seats the exempt level has on paper, and lends, is the operator's.
    if (there["spec"]["exempt"].exists()) now["spec"]["exempt"] = there["spec"]["exempt"];
  }
  return ensure_fields(registry, world, place, now, {"metadata", "spec"});
}

Result<void> remove_former(Registry& registry, World world, const std::vector<Wanted>& wanted) {
  for (std::string_view plural : {"flowschemas", "prioritylevelconfigurations"}) {
    std::vector<std::string> former;
    registry.each(flow_group, "v1", plural, "", [&](Value there) {
      if (!there["metadata"]["annotations"][update_annotation].exists() || !follows_us(there)) return true;
      std::string_view name = there["metadata"]["name"].as_string();
      bool known = std::ranges::any_of(wanted, [&](const Wanted& one) { return one.plural == plural && one.name == name; });
      if (!known) former.emplace_back(name);
      return true;
    });
    for (const std::string& name : former)
      if (auto ok = remove(registry, world, {flow_group, plural, "", name}); !ok) return ok;
  }
  return {};
}

}  // namespace

Result<void> ensure_flow_objects(Registry& registry, World world) {
  const std::vector<Wanted> all = read_objects();
  for (const Wanted& wanted : all)
    if (auto ok = ensure_one(registry, world, wanted); !ok) return ok;
  if (auto ok = remove_former(registry, world, all); !ok) return ok;
  return tell_dangling(registry, world);
}

Result<void> tell_dangling(Registry& registry, World world) {
  struct Told {
    std::string name;
    Draft status;
  };
  std::vector<Told> told;
  registry.each(flow_group, "v1", "flowschemas", "", [&](Value schema) {
    std::string level = schema["spec"]["priorityLevelConfiguration"]["name"].str();
    const bool found = static_cast<bool>(registry.read(flow_group, "v1", "prioritylevelconfigurations", "", level));
    std::string message = fmt::format("This FlowSchema references the PriorityLevelConfiguration object named {} {}", go_quote(level),
                                      found ? "and it exists" : "but there is no such object");
    std::string_view status = found ? "False" : "True", reason = found ? "Found" : "NotFound";
    Draft conditions = Draft::array();
    bool said = false;
    for (Value one : schema["status"]["conditions"].items()) {
      if (one["type"].as_string() != "Dangling") conditions.push_back(one);
      else said = one["status"].as_string() == status && one["reason"].as_string() == reason && one["message"].as_string() == message;
    }
    if (said) return true;
    conditions.push_back(Draft::object({{"type", "Dangling"},
                                        {"status", status},
                                        {"lastTransitionTime", format_rfc3339(world.clock.now())},
                                        {"reason", reason},
                                        {"message", message}}));
    Draft object = Draft::object();
    object["status"]["conditions"] = std::move(conditions);
    told.push_back({schema["metadata"]["name"].str(), std::move(object)});
    return true;
  });
  for (const Told& one : told) {
    Place place{flow_group, "flowschemas", "", one.name};
    if (!registry.read(flow_group, "v1", "flowschemas", "", one.name)) continue;  // gone meanwhile
    if (auto ok = ensure_fields(registry, world, place, one.status, {"status"}, "status"); !ok) return ok;
  }
  return {};
}

}  // namespace kybern::apiserver
