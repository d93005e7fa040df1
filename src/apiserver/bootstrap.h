// The objects that every cluster has: made at start when they are missing.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

// Namespaces, priority classes, the `kubernetes` service with its endpoints, and the RBAC policy.
Result<void> bootstrap_objects(Registry& registry, World world, const std::string& advertise_address, int secure_port);

}  // namespace kybern::apiserver
