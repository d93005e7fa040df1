#include "controllers/namespace/reconcile.h"

#include <algorithm>
#include <chrono>

#include "controllers/objects.h"

namespace kybern::controllers::namespaces {
namespace {

constexpr std::string_view finalizer = "kubernetes";
constexpr Duration settle_wait = std::chrono::milliseconds(100);

struct Finding {
  const char* type;
  bool bad;
  std::string reason, message;
};

// As upstream prints several errors.
std::string together(const std::vector<std::string>& errors) {
  if (errors.size() == 1) return errors[0];
  std::string out = "[";
  for (const std::string& error : errors) out += (out.size() > 1 ? ", " : "") + error;
  return out + "]";
}

Finding discovery(const Observed& o) {
  constexpr const char* type = "NamespaceDeletionDiscoveryFailure";
  if (o.discovery_failures.empty()) return {type, false, "ResourcesDiscovered", "All resources successfully discovered"};
  return {
      type, true, "DiscoveryFailed",
      "Discovery failed for some groups, " + std::to_string(o.discovery_failures.size()) + " failing: " + together(o.discovery_failures)};
}

Finding deletion(const Observed& o) {
  constexpr const char* type = "NamespaceDeletionContentFailure";
  if (o.deletion_failures.empty())
    return {type, false, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"};
  return {type, true, "ContentDeletionFailed",
          "Failed to delete all resource types, " + std::to_string(o.deletion_failures.size()) +
              " remaining: " + together(o.deletion_failures)};
}

Finding content(const Observed& o) {
  constexpr const char* type = "NamespaceContentRemaining";
  if (o.remaining.empty()) return {type, false, "ContentRemoved", "All content successfully removed"};
  std::vector<std::string> each;
  for (const Remaining& r : o.remaining)
    each.push_back(r.resource + "." + r.group + " has " + std::to_string(r.count) + " resource instances");
  std::sort(each.begin(), each.end());
  std::string text = "Some resources are remaining: ";
  for (std::size_t i = 0; i < each.size(); ++i) text += (i ? ", " : "") + each[i];
  return {type, true, "SomeResourcesRemain", text};
}

Finding finalizers(const Observed& o) {
  constexpr const char* type = "NamespaceFinalizersRemaining";
  std::map<std::string, std::int64_t> sum;
  for (const Remaining& r : o.remaining)
    for (const auto& [name, count] : r.finalizers) sum[name] += count;
  if (sum.empty()) return {type, false, "ContentHasNoFinalizers", "All content-preserving finalizers finished"};
  std::string text = "Some content in the namespace has finalizers remaining: ";
  bool first = true;
  for (const auto& [name, count] : sum) {
    text += (first ? "" : ", ") + name + " in " + std::to_string(count) + " resource instances";
    first = false;
  }
  return {type, true, "SomeFinalizersRemain", text};
}

Draft conditions(Value before, const Observed& observed) {
  Draft out(before);
  if (!out.is_array()) out = Draft::array();
  const Finding parsed{"NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
                       "All legacy kube types successfully parsed"};
  for (const Finding& finding : {discovery(observed), parsed, deletion(observed), content(observed), finalizers(observed)}) {
    const Value old = condition(before, finding.type);
    const char* status = finding.bad ? "True" : "False";
    if (old["status"].as_string() == status && old["reason"].as_string() == finding.reason && old["message"].as_string() == finding.message)
      continue;
    Draft entry = Draft::object({{"type", finding.type},
                                 {"status", status},
                                 {"lastTransitionTime", format_rfc3339(observed.now)},
                                 {"reason", finding.reason},
                                 {"message", finding.message}});
    if (Draft* place = find_condition(out, finding.type)) *place = std::move(entry);
    else out.push_back(std::move(entry));
  }
  return out;
}

Action finalize(const Document& ns) {
  Draft changed(ns);
  Draft rest = Draft::array();
  for (Value entry : ns["spec"]["finalizers"].items())
    if (entry.as_string() != finalizer) rest.push_back(entry);
  changed["spec"]["finalizers"] = std::move(rest);
  Action action = replace_action("namespaces", changed.freeze(), "finalize");
  action.gone_is_fine = true;
  return action;
}

}  // namespace

bool wants_content_gone(Value ns) {
  if (!is_deleting(ns)) return false;
  for (Value entry : ns["spec"]["finalizers"].items())
    if (entry.as_string() == finalizer) return true;
  return false;
}

Plan reconcile(const Document& ns, const Observed& observed) {
  Plan plan;
  plan.about = ns;
  if (!wants_content_gone(ns)) return plan;
  const bool empty = observed.remaining.empty() && observed.discovery_failures.empty() && observed.deletion_failures.empty();
  if (empty && observed.settled) {
    plan.actions.push_back(finalize(ns));
    return plan;
  }
  Draft changed(ns);
  changed["status"]["phase"] = "Terminating";
  if (!empty) changed["status"]["conditions"] = conditions(ns["status"]["conditions"], observed);
  Document wanted = changed.freeze();
  if (!(wanted["status"] == ns["status"])) plan.status = replace_action("namespaces", wanted, "status");
  if (empty) plan.wake_after = settle_wait;
  else if (observed.graceful > Duration::zero()) plan.wake_after = observed.graceful / 2 + std::chrono::seconds(1);
  return plan;
}

}  // namespace kybern::controllers::namespaces
