// Deletion of a namespace: everything in it goes, pods first, then its finalizer "kubernetes" (core/v1 Namespace, KEP-5080).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::namespaces {

// What was found of one resource after it was asked to go.
struct Remaining {
  std::string resource, group;  // "deployments", "apps"
  std::int64_t count = 0;
  std::map<std::string, std::int64_t> finalizers;  // how many objects have which
};

struct Observed {
  std::vector<std::string> discovery_failures = {}, deletion_failures = {};
  std::vector<Remaining> remaining = {};  // only those with a count
  Duration graceful{};                    // how long what remains may take to end by itself
  bool settled = true;                    // the namespace has been terminating for long enough that nothing is added any more
  Time now = {};
};

// A namespace that is not being deleted, or from which "kubernetes" is gone, gets an empty plan. The last action is the
// removal of the finalizer.
Plan reconcile(const Document& ns, const Observed& observed);
bool wants_content_gone(Value ns);

}  // namespace kybern::controllers::namespaces
