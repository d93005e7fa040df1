#include "apiserver/registry/eviction.h"

#include <fmt/format.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/plugins.h"
#include "apiserver/registry/decode.h"
#include "base/strings.h"
#include "machinery/budget.h"
#include "machinery/labels.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t most_disrupted_pods = 2000;  // evictions that the controller has not confirmed yet
constexpr int most_attempts = 20;                  // against writers of a pod whose eviction needs no budget
constexpr std::string_view refusal = "Cannot evict pod as it would violate the pod's disruption budget.";

Status refused(std::string why, int retry_after_seconds) {
  Status status = too_many_requests(std::string(refusal), retry_after_seconds);
  status.causes = {{"DisruptionBudget", std::move(why), ""}};
  return status;
}
Status still_processed(std::string_view budget) {
  return refused(fmt::format("The disruption budget {} is still being processed by the server.", budget), 10);
}

bool is_ready(Value pod) {
  for (Value c : pod["status"]["conditions"].items())
    if (c["type"].as_string() == "Ready") return c["status"].as_string() == "True";
  return false;
}

// Pods that are done, going, or not begun disrupt nobody any more.
bool needs_no_budget(Value pod) {
  std::string_view phase = pod["status"]["phase"].as_string();
  return phase == "Succeeded" || phase == "Failed" || phase == "Pending" || pod["metadata"]["deletionTimestamp"].exists();
}
bool may_still_begin(Value pod) {
  std::string_view phase = pod["status"]["phase"].as_string();
  return phase != "Succeeded" && phase != "Failed" && !pod["metadata"]["deletionTimestamp"].exists();
}

// The condition, and the deletion under the preconditions of both.
ApiResult<void> mark_and_delete(Work& work, DeleteOptions options) {
  if (!work.dry_run) {
    Work marking{
        .registry = work.registry, .world = work.world, .user = work.user, .served = work.served, .ns = work.ns, .name = work.name};
    marking.subresource = "status";
    marking.verb = "update";
    marking.untracked = true;
    auto marked = work.registry.modify(
        marking,
        [&](Value pod) -> ApiResult<Draft> {
          Value m = pod["metadata"];
          if (!options.uid.empty() && options.uid != m["uid"].as_string())
            return fail(conflict("", "Pod", work.name,
                                 fmt::format("the UID in the precondition ({}) does not match the UID in record ({}). The pod might have "
                                             "been deleted and then recreated",
                                             options.uid, m["uid"].as_string())));
          if (!options.resource_version.empty() && options.resource_version != m["resourceVersion"].as_string())
            return fail(conflict("", "Pod", work.name,
                                 fmt::format("the ResourceVersion in the precondition ({}) does not match the ResourceVersion in record "
                                             "({}). The object might have been modified",
                                             options.resource_version, m["resourceVersion"].as_string())));
          Draft condition = Draft::object({{"type", "DisruptionTarget"},
                                           {"status", "True"},
                                           {"lastProbeTime", nullptr},
                                           {"lastTransitionTime", format_rfc3339(work.world.clock.now())},
                                           {"reason", "EvictionByEvictionAPI"},
                                           {"message", "Eviction API: evicting"}});
          if (m["generation"].exists()) condition["observedGeneration"] = m["generation"];
          Draft now(pod), conditions = Draft::array();
          for (Value c : pod["status"]["conditions"].items()) {
            if (c["type"].as_string() != "DisruptionTarget") conditions.push_back(c);
            else if (c["status"].as_string() == "True") condition["lastTransitionTime"] = c["lastTransitionTime"];
          }
          conditions.push_back(std::move(condition));
          now["status"]["conditions"] = std::move(conditions);
          return now;
        },
        true);
    if (!marked) return fail(std::move(marked.error()));
    if (!options.resource_version.empty()) options.resource_version = marked->object["metadata"]["resourceVersion"].str();
  }
  Work removal{.registry = work.registry, .world = work.world, .user = work.user, .served = work.served, .ns = work.ns, .name = work.name};
  removal.verb = "delete";
  removal.dry_run = work.dry_run;
  auto removed = work.registry.remove(removal, options);
  if (!removed) return fail(std::move(removed.error()));
  return {};
}

// Takes one disruption off the budget before the pod goes, so that two evictions never share one.
ApiResult<void> take_disruption(Work& work, const std::string& name) {
  Work budget{.registry = work.registry,
              .world = work.world,
              .user = work.user,
              .served = work.registry.catalog().find("policy", "v1", "poddisruptionbudgets"),
              .ns = work.ns,
              .name = name};
  budget.subresource = "status";
  budget.verb = "update";
  budget.dry_run = work.dry_run;
  budget.untracked = true;
  auto taken = budget.registry.modify(
      budget,
      [&](Value b) -> ApiResult<Draft> {
        Value status = b["status"];
        if (status["observedGeneration"].as_int() < b["metadata"]["generation"].as_int()) return fail(still_processed(name));
        std::int64_t allowed = status["disruptionsAllowed"].as_int();
        if (allowed < 0) return fail(forbidden("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative"));
        if (status["disruptedPods"].size() > most_disrupted_pods)
          return fail(forbidden("policy", "poddisruptionbudget", name,
                                "DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
        if (allowed == 0) {
          for (Value c : status["conditions"].items())
            if (c["type"].as_string() == "DisruptionAllowed" && c["reason"].as_string() == "SyncFailed")
              return fail(refused(fmt::format("The disruption budget {} does not allow evicting pods currently because it failed sync: {}",
                                              name, c["message"].as_string()),
                                  0));
          return fail(refused(fmt::format("The disruption budget {} needs {} healthy pods and has {} currently", name,
                                          status["desiredHealthy"].as_int(), status["currentHealthy"].as_int()),
                              0));
        }
        Draft now(b);
        now["status"]["disruptionsAllowed"] = allowed - 1;
        if (allowed == 1) set_disruption_allowed(now["status"], work.world.clock.now());
        now["status"]["disruptedPods"][work.name] = format_rfc3339(work.world.clock.now());
        return now;
      },
      true);
  if (taken) return {};
  if (taken.error().reason == "Conflict")
    return fail(timeout(fmt::format("couldn't update PodDisruptionBudget {} due to conflicts", go_quote(name)), 10));
  return fail(std::move(taken.error()));
}

// Empty `budget`: none covers the pod.
ApiResult<Document> budget_of(const Work& work, Value pod) {
  std::vector<Document> found;
  work.registry.each("policy", "v1", "poddisruptionbudgets", work.ns, [&](Value b) {
    auto selector = LabelSelector::from(b["spec"]["selector"]);
    if (selector && selector->matches(pod["metadata"]["labels"])) found.push_back(b.document());
    return found.size() < 2;
  });
  if (found.empty()) return Document();
  if (found.size() == 1) return found.front();
  Status status;
  status.code = 500;
  status.message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
  return fail(std::move(status));
}

// Dry-run may be asked for in the query and in the body, but not differently.
ApiResult<DeleteOptions> options_of(Work& work, Value body) {
  auto options = read_delete_options(body["deleteOptions"], Query());
  if (!options) return options;
  bool in_body = body["deleteOptions"]["dryRun"].size() > 0;
  work.dry_run = work.dry_run || in_body;
  return options;
}

}  // namespace

ApiResult<Answer> evict(SubresourceCall& call) {
  Work& work = call.work;
  // Both versions are taken; their fields are the same.
  bool old_version = call.body["apiVersion"].as_string() == "policy/v1beta1";
  Draft renamed(call.body);
  if (old_version) renamed["apiVersion"] = "policy/v1";
  auto body = typed_body("policy/v1", "Eviction", old_version ? renamed.freeze() : call.body);
  if (!body) return fail(std::move(body.error()));
  if (std::string_view name = (*body)["metadata"]["name"].as_string(); name != work.name)
    return fail(bad_request("name in URL does not match name in Eviction object"));
  auto asked = options_of(work, body->root());
  if (!asked) return fail(std::move(asked.error()));
  body = admit_body(work, "CREATE", "eviction", std::move(*body));
  if (!body) return fail(std::move(body.error()));
  asked = options_of(work, body->root());
  if (!asked) return fail(std::move(asked.error()));
  work.subresource.clear();
  Document pod;
  for (int attempt = 1;; ++attempt) {
    auto current = work.registry.get(work);
    if (!current) return current;
    pod = std::move(current->object);
    if (attempt == 1)
      if (auto ok = admission::node_restriction_of_eviction(work, pod.root()); !ok) return fail(std::move(ok.error()));
    if (!needs_no_budget(pod)) break;
    DeleteOptions options = *asked;
    if (may_still_begin(pod) && options.resource_version.empty()) options.resource_version = pod["metadata"]["resourceVersion"].str();
    auto done = mark_and_delete(work, std::move(options));
    if (done) return Answer{201, success_status()};
    if (done.error().reason != "Conflict" || !asked->resource_version.empty() || attempt == most_attempts)
      return fail(std::move(done.error()));
  }
  auto budget = budget_of(work, pod.root());
  if (!budget) return fail(std::move(budget.error()));
  DeleteOptions options = *asked;
  bool pinned = false;
  if (*budget) {
    const std::string name = (*budget)["metadata"]["name"].str();
    if (!is_ready(pod)) {
      Value status = (*budget)["status"];
      std::int64_t wanted = status["desiredHealthy"].as_int();
      // A pod that does not count as healthy takes nothing away from those that do.
      pinned = (*budget)["spec"]["unhealthyPodEvictionPolicy"].as_string() == "AlwaysAllow" ||
               (wanted > 0 && status["currentHealthy"].as_int() >= wanted);
    }
    if (pinned) options.resource_version = pod["metadata"]["resourceVersion"].str();
    else if (auto taken = take_disruption(work, name); !taken) return fail(std::move(taken.error()));
  }
  auto done = mark_and_delete(work, std::move(options));
  if (done) return Answer{201, success_status()};
  // It has become ready meanwhile: the client is to try again.
  if (done.error().reason == "Conflict" && pinned && asked->resource_version.empty())
    return fail(still_processed((*budget)["metadata"]["name"].as_string()));
  return fail(std::move(done.error()));
}

}  // namespace kybern::apiserver
