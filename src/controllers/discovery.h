// What resources the API serves, for controllers that work on all of them (garbage collection, namespaces).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "client/transport.h"

namespace kybern::controllers {

struct ApiResource {
  std::string api_version, resource, kind;  // "apps/v1", "deployments", "Deployment"
  bool namespaced = false;
  std::vector<std::string> verbs;
  bool can(std::string_view verb) const;
  friend bool operator==(const ApiResource&, const ApiResource&) = default;
};

struct Discovered {
  // Without subresources. Each once: of its group's preferred version, or else of the first one that serves it.
  std::vector<ApiResource> resources;
  std::vector<std::string> failed;  // "group/version: why": their resources are not known, nor those of the group's later versions
};
// Code::unavailable: not even the list of groups could be had.
Result<Discovered> discover(client::Transport& transport);

}  // namespace kybern::controllers
