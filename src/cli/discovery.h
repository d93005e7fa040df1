// What a server serves, and how the words of a command line name it: po, pods, pod, deployments.apps, deployments.v1.apps.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern::cli {

struct ApiResource {
  std::string group, version, plural, singular, kind;
  bool namespaced = false;
  std::vector<std::string> short_names, categories, verbs, subresources;

  std::string api_version() const;  // "apps/v1", "v1"
  std::string full_plural() const;  // "deployments.apps"
  std::string shown_kind() const;   // "deployment.apps": how a changed object is named
  bool can(std::string_view verb) const;
  bool has(std::string_view subresource) const;
  // `ns` is left out when the resource is of cluster scope; with `name` empty, the collection.
  std::string path(std::string_view ns, std::string_view name = {}, std::string_view subresource = {}) const;
};

class Discovery {
 public:
  // Of one APIGroupDiscoveryList (apidiscovery.k8s.io/v2); the core group's is read first.
  void add_groups(Value group_discovery_list);
  // Of one APIResourceList of a server that has no aggregated discovery.
  void add_resources(Value api_resource_list);

  const std::vector<ApiResource>& all() const { return resources_; }  // in the server's order of preference
  std::vector<ApiResource> preferred() const;                         // each resource in one version
  std::vector<const ApiResource*> category(std::string_view name) const;
  // Complete message: error: the server doesn't have a resource type "x".
  Result<const ApiResource*> find(std::string_view word) const;
  const ApiResource* find_kind(std::string_view api_version, std::string_view kind) const;

 private:
  const ApiResource* match(std::string_view name, std::string_view group, std::string_view version) const;
  std::vector<ApiResource> resources_;
};

}  // namespace kybern::cli
