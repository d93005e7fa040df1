// rollout: status, restart, undo, history, pause and resume of deployments, daemon sets and stateful sets.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "base/time.h"
#include "base/world.h"
#include "cli/command.h"
#include "cli/describe_text.h"
#include "cli/output.h"
#include "cli/rollout_status.h"
#include "cli/subjects.h"
#include "cli/workload.h"
#include "document/json.h"

namespace kybern::cli {
namespace {

Result<std::vector<Subject>> workloads(Session& session, const Arguments& arguments) {
  auto subjects =
      select(session, arguments, arguments.words, {.need_names = false, .nothing_given = "error: required resource not specified"});
  if (subjects && subjects->empty()) fmt::print(stderr, "No resources found in {} namespace.\n", session.ns());
  return subjects;
}

std::string named(const Subject& subject) { return subject.type->full_plural() + " " + go_quote(subject.name); }

bool has_history(const Subject& subject) {
  return subject.type->group == "apps" &&
         (subject.type->kind == "Deployment" || subject.type->kind == "DaemonSet" || subject.type->kind == "StatefulSet");
}

Result<int> status(Session& session, const Arguments& arguments) {
  auto subjects = workloads(session, arguments);
  if (!subjects) return std::unexpected(subjects.error());
  auto revision = arguments.number("revision");
  auto timeout = arguments.duration("timeout");
  if (!revision || !timeout) return std::unexpected(revision ? timeout.error() : revision.error());
  const Deadline deadline = timeout->count() > 0 ? deadline_after(*timeout) : Deadline();
  for (const Subject& subject : *subjects) {
    Result<void> failed;
    std::string last;
    const auto seen = [&](std::string_view type, Value object) {
      if (type == "DELETED") return failed = refuse("object has been deleted"), true;
      Draft whole(object);
      whole["kind"] = subject.type->kind;
      const Document frozen = whole.freeze();
      auto state = rollout_state(frozen, *revision);
      if (!state) return failed = std::unexpected(state.error()), true;
      if (state->message != last) fmt::print("{}", state->message);
      std::fflush(stdout);
      last = state->message;
      return state->done || !arguments.on("watch");
    };
    auto done = observe(session, subject.type->path(subject.ns), name_query(subject.name), deadline, {seen, {}});
    if (!done) return std::unexpected(done.error());
    if (!*done) return refuse("timed out waiting for the condition");
    if (!failed) return std::unexpected(failed.error());
  }
  return 0;
}

Result<int> patch_all(Session& session, const Arguments& arguments, std::string_view operation,
                      const std::function<Result<Document>(const Subject&)>& patch_of) {
  auto subjects = workloads(session, arguments);
  if (!subjects) return std::unexpected(subjects.error());
  for (const Subject& subject : *subjects) {
    auto patch = patch_of(subject);
    if (!patch) return std::unexpected(patch.error());
    auto done = patch_subject(session, arguments, subject, *patch, strategic_type);
    if (!done) return std::unexpected(done.error());
    if (auto printed = print_change(session, arguments, *done, *subject.type, operation); !printed) return std::unexpected(printed.error());
  }
  return 0;
}

Result<int> restart(Session& session, const Arguments& arguments) {
  const std::string now = format_rfc3339(real_world().clock.now());
  return patch_all(session, arguments, "restarted", [&](const Subject& subject) -> Result<Document> {
    if (!subject.object["spec"]["template"].exists()) return refuse(named(subject) + " restarting is not supported");
    if (subject.object["spec"]["paused"].as_bool())
      return refuse(named(subject) + " can't restart paused deployment (run rollout resume first)");
    if (subject.object["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].as_string() == now)
      return refuse(
          fmt::format("failed to create patch for {}: if restart has already been triggered within the past second, please wait before "
                      "attempting to trigger another",
                      subject.name));
    return Draft::object(
               {{"spec",
                 Draft::object(
                     {{"template",
                       Draft::object({{"metadata", Draft::object({{"annotations",
                                                                   Draft::object({{"kubectl.kubernetes.io/restartedAt", now}})}})}})}})}})
        .freeze();
  });
}

Result<int> pause_or_resume(Session& session, const Arguments& arguments, bool pause) {
  return patch_all(session, arguments, pause ? "paused" : "resumed", [&](const Subject& subject) -> Result<Document> {
    if (subject.type->kind != "Deployment") return refuse(named(subject) + (pause ? " pausing" : " resuming") + " is not supported");
    if (subject.object["spec"]["paused"].as_bool() == pause)
      return refuse(fmt::format("{} is {} paused", named(subject), pause ? "already" : "not"));
    return Draft::object({{"spec", Draft::object({{"paused", pause ? Draft(true) : Draft()}})}}).freeze();
  });
}
Result<int> pause(Session& s, const Arguments& a) { return pause_or_resume(s, a, true); }
Result<int> resume(Session& s, const Arguments& a) { return pause_or_resume(s, a, false); }

// Revision number -> pod template (of a deployment's replica sets) or the patch kept in a ControllerRevision.
struct Revision {
  Document object;
  std::string cause;
};
Result<std::map<std::int64_t, Revision>> revisions(Session& session, const Subject& subject) {
  std::map<std::int64_t, Revision> out;
  const bool deployment = subject.type->kind == "Deployment";
  const std::string path = "/apis/apps/v1/namespaces/" + url_encode(subject.ns) + (deployment ? "/replicasets" : "/controllerrevisions");
  auto list = session.call("GET", path, query_of({{"labelSelector", selector_text(subject.object["spec"]["selector"])}}));
  if (!list) return std::unexpected(shown(list.error()));
  for (Value item : (*list)["items"].items()) {
    bool owned = false;
    for (Value owner : item["metadata"]["ownerReferences"].items()) owned = owned || owner["uid"] == subject.object["metadata"]["uid"];
    if (!owned) continue;
    const std::int64_t number =
        deployment ? parse_int(item["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_string("0")).value_or(0)
                   : item["revision"].as_int();
    out[number] = {item.document(), item["metadata"]["annotations"]["kubernetes.io/change-cause"].str()};
  }
  return out;
}

Document template_of(const Revision& revision) {
  const Value object = revision.object;
  if (object["spec"]["template"].exists()) {
    Draft out(object["spec"]["template"]);
    if (!revision.cause.empty()) out["metadata"]["annotations"]["kubernetes.io/change-cause"] = revision.cause;
    return out.freeze();
  }
  return object["data"]["spec"]["template"].document();
}

Result<int> history(Session& session, const Arguments& arguments) {
  auto subjects = workloads(session, arguments);
  if (!subjects) return std::unexpected(subjects.error());
  const std::int64_t wanted = *arguments.number("revision");
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  for (const Subject& subject : *subjects) {
    if (!has_history(subject))
      return refuse(fmt::format("error retrieving history for {}, no visitor method exists for {{{} {}}}", go_quote(subject.type->kind),
                                subject.type->group, subject.type->kind));
    auto all = revisions(session, subject);
    if (!all) return std::unexpected(all.error());
    auto found = all->find(wanted);
    if (wanted > 0 && found == all->end()) return refuse("unable to find the specified revision");
    if (!output->human()) {
      for (const auto& [number, revision] : *all)
        if (wanted == 0 || number == wanted)
          if (auto printed = print_object(session, *output, revision.object); !printed) return std::unexpected(printed.error());
      continue;
    }
    if (wanted > 0) {
      fmt::print("{} with revision #{}\n{}\n", subject.shown(), wanted, pod_template_text(template_of(found->second)));
      continue;
    }
    fmt::print("{} \nREVISION  CHANGE-CAUSE\n", subject.shown());
    for (const auto& [number, revision] : *all) fmt::print("{:<10}{}\n", number, revision.cause.empty() ? "<none>" : revision.cause);
    fmt::print("\n");
  }
  return 0;
}

// Those of the replica set that is gone back to, but for what the deployment keeps about itself.
Draft annotations_after_undo(Value deployment, Value replica_set) {
  const auto own = [](std::string_view key) {
    constexpr std::string_view keys[] = {"kubectl.kubernetes.io/last-applied-configuration",
                                         "deployment.kubernetes.io/revision",
                                         "deployment.kubernetes.io/revision-history",
                                         "deployment.kubernetes.io/desired-replicas",
                                         "deployment.kubernetes.io/max-replicas",
                                         "deprecated.deployment.rollback.to"};
    return std::ranges::find(keys, key) != std::end(keys);
  };
  Draft out = Draft::object();
  for (Member m : deployment["metadata"]["annotations"].members())
    if (own(m.key)) out[m.key] = Draft(m.value);
  for (Member m : replica_set["metadata"]["annotations"].members())
    if (!own(m.key)) out[m.key] = Draft(m.value);
  return out;
}

Result<int> undo(Session& session, const Arguments& arguments) {
  auto subjects = workloads(session, arguments);
  if (!subjects) return std::unexpected(subjects.error());
  auto wanted = arguments.number("to-revision");
  if (!wanted) return std::unexpected(wanted.error());
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  for (const Subject& subject : *subjects) {
    if (!has_history(subject))
      return refuse(fmt::format("error retrieving rollbacker for {}, no visitor method exists for {{{} {}}}", go_quote(subject.type->kind),
                                subject.type->group, subject.type->kind));
    auto all = revisions(session, subject);
    if (!all) return std::unexpected(all.error());
    if (subject.object["spec"]["paused"].as_bool())
      return refuse("you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again");
    if (*wanted == 0 && all->size() < 2)
      return refuse("no rollout history found for " + subject.type->plural.substr(0, subject.type->plural.size() - 1) + " " +
                    go_quote(subject.name));
    auto target = *wanted > 0 ? all->find(*wanted) : std::prev(std::prev(all->end()));
    if (target == all->end()) return refuse("unable to find specified revision " + std::to_string(*wanted) + " in history");
    if (*dry_run == "client") {
      fmt::print("{} {} (dry run)\n", subject.shown(), pod_template_text(template_of({target->second.object, ""})));
      continue;
    }
    const Value object = target->second.object;
    const bool deployment = subject.type->kind == "Deployment";
    const Value current = subject.object["spec"]["template"];
    Draft kept(object["spec"]["template"]);
    ApiResult<Document> done;
    if (deployment) {
      if (Draft* labels = kept.find_path({"metadata", "labels"}); labels && labels->is_object()) labels->erase("pod-template-hash");
      if (kept == Draft(current)) {
        fmt::print("{} skipped rollback (current template already matches revision {})\n", subject.shown(), target->first);
        continue;
      }
      const Document patch = Draft::array({Draft::object({{"op", "replace"}, {"path", "/spec/template"}, {"value", std::move(kept)}}),
                                           Draft::object({{"op", "add"},  // puts itself in the place of what is there
                                                          {"path", "/metadata/annotations"},
                                                          {"value", annotations_after_undo(subject.object, object)}})})
                                 .freeze();
      done = session.call("PATCH", subject.path(), query_of({{"dryRun", dry_run_query(*dry_run)}}), patch, json_patch_type);
    } else {
      done = session.call("PATCH", subject.path(), query_of({{"dryRun", dry_run_query(*dry_run)}}), object["data"], strategic_type);
    }
    if (!done) return std::unexpected(shown(done.error()));
    fmt::print("{} rolled back{}\n", subject.shown(), dry_run_suffix(*dry_run));
  }
  return 0;
}

}  // namespace

Command rollout_command() {
  using namespace flags;
  const std::vector<Flag> which{filename(),
                                recursive(),
                                selector(),
                                output(),
                                field_manager("kubectl-rollout"),
                                boolean("show-managed-fields", "with metadata.managedFields in JSON and YAML")};
  const std::string usage = "(TYPE NAME | TYPE/NAME) [flags]";
  Command out{"rollout", "follow and steer the rollout of a workload", "COMMAND"};
  out.children = {
      {"status", "wait until the rollout is done", usage,
       which + std::vector<Flag>{boolean("watch", "wait", true, 'w'), duration("timeout", "how long; 0: as long as it takes", "0s"),
                                 number("revision", "of this revision alone", "0")},
       status},
      {"restart", "make all pods anew", usage, which, restart},
      {"undo", "go back to an earlier revision", usage,
       which + std::vector<Flag>{dry_run(), number("to-revision", "which; 0: the one before", "0")}, undo},
      {"history", "the revisions", usage, which + std::vector<Flag>{number("revision", "show this one", "0")}, history},
      {"pause", "let changes wait", usage, which, pause},
      {"resume", "go on after a pause", usage, which, resume},
  };
  return out;
}

}  // namespace kybern::cli
