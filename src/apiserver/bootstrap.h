// The objects that every cluster has: made at start when they are missing.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

// Namespaces, priority classes, the `kubernetes` service with its endpoints, and the RBAC policy.
// Where an object of the server's own making lies.
struct Place {
  std::string_view group, plural, ns, name;
};
// Creates what is missing.
Result<void> ensure(Registry& registry, World world, const Place& place, Draft object);
// Creates, or brings `fields` of the object to what they should be.
Result<void> ensure_fields(Registry& registry, World world, const Place& place, const Draft& object,
                           std::initializer_list<std::string_view> fields, std::string_view subresource = {});
// Removes what is there.
Result<void> remove(Registry& registry, World world, const Place& place);
// APIService objects for the group-versions that the server itself serves (bootstrap_apiservices.cpp).
Result<void> ensure_apiservices(Registry& registry, World world);
int local_group_priority(std::string_view group);  // groupPriorityMinimum of a group that is built in
// That of a version of custom resources ("v1.example.com") comes and goes with what is served.
Result<void> follow_custom_version(Registry& registry, World world, std::string_view name);
// Told by the registry of every change of one: somebody may have taken away what is kept here.
void apiservice_committed(Work& work, Value before, Value now);

// Where the cluster is, for who has a bootstrap token (bootstrap_cluster_info.cpp).
Result<void> ensure_cluster_info(Registry& registry, World world, const std::string& url, const std::string& ca_pem);

Result<void> bootstrap_objects(Registry& registry, World world, const std::string& advertise_address, int secure_port);

}  // namespace kybern::apiserver
