// The collections that controllers read, mirrored once for all of them.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/mirror.h"

namespace kybern::controllers {

struct Mirrors {
  explicit Mirrors(client::Transport& transport);
  void start();                                                                       // after every handler is added
  void stop();                                                                        // no handler runs after it
  bool synced() const;                                                                // every first list is in
  client::MirrorCore* find(std::string_view api_version, std::string_view resource);  // nullptr: not mirrored

  // Index "controller" (pods, replica_sets): the uid of the controller, or orphans_of(namespace) for those without.
  // Index "account" (token_secrets): namespace/name of the service account.
  // Index "node" (pods): spec.nodeName. Index "service" (endpoint_slices): service_key.
  static std::string orphans_of(std::string_view ns) { return "orphans/" + std::string(ns); }
  static std::string service_key(std::string_view ns, std::string_view service) { return std::string(ns) + "/" + std::string(service); }

  client::MirrorCore pods, replication_controllers, replica_sets, deployments, services, endpoint_slices, endpoints, namespaces,
      service_accounts, root_ca_maps, nodes, node_leases, resource_quotas, certificate_requests, budgets, cluster_roles, token_secrets,
      bootstrap_secrets, cluster_info;

 private:
  struct Entry {
    std::string_view api_version, resource;
    client::MirrorCore* mirror;
  };
  std::vector<Entry> all_;
};

}  // namespace kybern::controllers
