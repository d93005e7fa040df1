// Which objects a pod refers to by name: what its kubelet may read, and what is in use by it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "document/document.h"

namespace kybern {

// The names by kind, all in the pod's namespace; each may come more than once.
struct PodReferences {
  std::vector<std::string> secrets, config_maps, claims, resource_claims;
  std::string service_account;
};
PodReferences pod_references(Value pod);

// The secrets of a PersistentVolume that its node is given: (namespace, name). Those for the driver's controller are not
// among them.
std::vector<std::pair<std::string, std::string>> secrets_of_volume(Value volume);

}  // namespace kybern
