// The environment, command and arguments of a container, and the values that a pod can ask about itself.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kubelet/plan/pod_view.h"
#include "kubelet/plan/resources.h"

namespace kybern::kubelet {

// What a container's environment is made of besides its pod.
struct EnvironmentFacts {
  // Config maps and secrets of the pod's namespace; an absent one is Code::not_found with the API's message.
  std::function<Result<Document>(std::string_view name)> config_map, secret;
  std::vector<Document> services;  // of the pod's namespace, and default/kubernetes
  std::vector<std::string> pod_ips, host_ips;
  std::string node_name;
  Amounts node_allocatable;
};

using Environment = std::map<std::string, std::string, std::less<>>;

// Errors are those that become CreateContainerConfigError: `configmap "x" not found`, `couldn't find key k in ConfigMap ns/x`.
Result<Environment> make_environment(const PodView& pod, const ContainerView& c, const EnvironmentFacts& facts);
// FOO_SERVICE_HOST and the like. With enableServiceLinks false only those of default/kubernetes.
Environment service_environment(const PodView& pod, const std::vector<Document>& services);

// "$(VAR)" -> its value when it has one, else kept; "$$" -> "$".
std::string expand(std::string_view text, const std::function<const std::string*(std::string_view name)>& value);
std::vector<std::string> expand_all(Value list, const Environment& environment);

// A fieldRef: metadata.name, metadata.labels['x'], metadata.annotations, spec.nodeName, status.podIP, ...
Result<std::string> field_value(const PodView& pod, std::string_view path, const EnvironmentFacts& facts);
bool valid_environment_name(std::string_view name);

}  // namespace kybern::kubelet
