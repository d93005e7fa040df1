#include "cli/describe_text.h"

#include <algorithm>
#include <string_view>

#include "cli/describe_page.h"
#include "cli/table.h"

namespace kybern::cli {
namespace {

// Groups whose kinds have pages of their own; elsewhere a kind of the same name is another one.
constexpr std::string_view known_versions[] = {
    "v1", "apps/v1", "batch/v1", "policy/v1", "rbac.authorization.k8s.io/v1", "scheduling.k8s.io/v1", "storage.k8s.io/v1"};
constexpr std::string_view without_events[] = {"Secret",      "Namespace",          "Role",          "ClusterRole",
                                               "RoleBinding", "ClusterRoleBinding", "ResourceQuota", "LimitRange"};

void any(Page& page, Value o) {
  page.head(o);
  page.labels(o);
  Draft rest(o), meta(o["metadata"]);
  for (const char* key : {"name", "namespace", "labels", "annotations", "managedFields"}) meta.erase(key);
  rest["metadata"] = std::move(meta);
  page.generic(0, rest.freeze());
}

}  // namespace

std::string describe(Value object, const std::vector<Document>& related, const std::vector<Document>* events, Time now) {
  Page page{{}, now};
  const std::string_view kind = object["kind"].as_string(), version = object["apiVersion"].as_string();
  const bool known = std::find(std::begin(known_versions), std::end(known_versions), version) != std::end(known_versions);
  bool shown_events =
      events != nullptr && std::find(std::begin(without_events), std::end(without_events), kind) == std::end(without_events);
  if (known && kind == "Pod") describe_pod(page, object);
  else if (known && kind == "Node") describe_node(page, object, related);
  else if (!known || (!describe_workload(page, object, related) && !describe_other(page, object, related))) any(page, object);
  if (shown_events) page.events(*events);
  return align_tabs(page.text, 0, 2);
}

}  // namespace kybern::cli
