// delete: by name, by selector or by manifest, and waits until the objects are gone.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/subjects.h"

namespace kybern::cli {
namespace {

struct Deleted {
  Subject subject;
  std::string uid;
};

Result<std::string> propagation(const Arguments& arguments) {
  const std::string cascade = arguments.text("cascade");
  if (cascade == "background" || cascade == "true") return std::string("Background");
  if (cascade == "foreground") return std::string("Foreground");
  if (cascade == "orphan" || cascade == "false") return std::string("Orphan");
  return fail(Code::invalid, "error: invalid cascade value (" + cascade + "). Must be \"background\", \"foreground\", or \"orphan\"");
}

Result<void> wait_until_gone(Session& session, const Deleted& item, Deadline deadline) {
  const auto other = [&](Value object) { return !item.uid.empty() && object["metadata"]["uid"].as_string() != item.uid; };
  auto gone = observe(session, item.subject.type->path(item.subject.ns), name_query(item.subject.name), deadline,
                      {[&](std::string_view type, Value object) { return type == "DELETED" || other(object); },
                       [](std::size_t count) { return count == 0; }});
  if (!gone)
    return gone.error().code == Code::forbidden || gone.error().code == Code::not_found ? Result<void>() : std::unexpected(gone.error());
  if (!*gone)
    return fail(Code::timeout, "error: timed out waiting for the condition on " + item.subject.type->plural + "/" + item.subject.name);
  return {};
}

Result<int> remove(Session& session, const Arguments& arguments) {
  if (const std::string raw = arguments.text("raw"); !raw.empty()) {
    auto answer = session.raw("DELETE", raw, "", "", json_type, "application/json, */*");
    if (!answer) return std::unexpected(shown(answer.error()));
    fmt::print("{}", *answer);
    return 0;
  }
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  auto policy = propagation(arguments);
  if (!policy) return std::unexpected(policy.error());
  auto grace = arguments.number("grace-period");
  if (!grace) return std::unexpected(grace.error());
  const bool force = arguments.on("force");
  std::int64_t seconds = *grace;
  if (arguments.on("now")) {
    if (arguments.given("grace-period")) return refuse("--now and --grace-period cannot be specified together");
    seconds = 1;
  }
  if (seconds == 0 && !force) seconds = 1;  // an end at once must be asked for with --force
  if (force && seconds < 0) seconds = 0;
  const bool all = arguments.on("all"), by_selector = !arguments.text("selector").empty() || !arguments.text("field-selector").empty();
  if (all && !arguments.text("selector").empty()) return refuse("cannot set --all and --selector at the same time");
  if (force && seconds == 0)
    fmt::print(stderr,
               "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may "
               "continue to run on the cluster indefinitely.\n");
  auto subjects = select(session, arguments, arguments.words, {.fetch = false, .manifests_from_server = false});
  if (!subjects) return std::unexpected(subjects.error());
  const bool ignore = arguments.on("ignore-not-found") || all || by_selector;
  auto timeout = arguments.duration("timeout");
  if (!timeout) return std::unexpected(timeout.error());
  const std::string output = arguments.text("output");
  if (!output.empty() && output != "name") return refuse("unexpected -o output mode: " + output + ". We only support '-o name'.");
  Draft options = Draft::object({{"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"propagationPolicy", *policy}});
  if (seconds >= 0) options["gracePeriodSeconds"] = seconds;
  if (*dry_run == "server") options["dryRun"] = Draft::array({"All"});
  const Document body = options.freeze();
  std::vector<Deleted> deleted;
  std::string errors;
  for (const Subject& subject : *subjects) {
    std::string uid;
    if (*dry_run != "client") {
      auto answer = session.call("DELETE", subject.path(), "", body);
      if (!answer) {
        if (answer.error().code == 404 && ignore) continue;
        const std::string source = subject.source.empty() ? "" : "error when deleting " + go_quote(subject.source) + ": ";
        errors += (errors.empty() ? "" : "\n") + shown(answer.error(), source).message;
        continue;
      }
      uid = (*answer)["kind"].as_string() == "Status" ? (*answer)["details"]["uid"].str() : (*answer)["metadata"]["uid"].str();
    }
    if (output == "name") {
      fmt::print("{}\n", subject.shown());
    } else {
      const std::string where = subject.type->namespaced ? " from " + subject.ns + " namespace" : "";
      fmt::print("{} {} {}deleted{}{}\n", subject.type->shown_kind(), go_quote(subject.name), force && seconds == 0 ? "force " : "", where,
                 dry_run_suffix(*dry_run));
    }
    std::fflush(stdout);
    deleted.push_back({subject, uid});
  }
  if (subjects->empty() && (all || by_selector)) fmt::print("No resources found\n");
  if (arguments.on("wait") && *dry_run == "none") {
    const Deadline deadline = timeout->count() > 0 ? deadline_after(*timeout) : Deadline();
    for (const Deleted& item : deleted)
      if (auto gone = wait_until_gone(session, item, deadline); !gone) errors += (errors.empty() ? "" : "\n") + gone.error().message;
  }
  if (!errors.empty()) return fail(Code::internal, errors);
  return 0;
}

}  // namespace

Command delete_command() {
  using namespace flags;
  Flag cascade = text("cascade", "what happens to what the object owns: background, foreground or orphan", "background");
  cascade.bare = "background";
  return {"delete",
          "delete objects",
          "(TYPE NAME... | TYPE/NAME... | TYPE -l SELECTOR | TYPE --all | -f FILE) [flags]",
          {filename(), recursive(), selector(), field_selector(), output(), dry_run(), boolean("all", "all of the type in the namespace"),
           boolean("all-namespaces", "of all namespaces", false, 'A'), cascade, boolean("force", "do not wait for the node's word"),
           text("raw", "DELETE this path"), number("grace-period", "seconds that a pod has to end; negative: its own setting", "-1"),
           boolean("now", "end at once: a grace period of 1"), boolean("ignore-not-found", "what does not exist is no failure"),
           boolean("wait", "wait until the objects are gone", true), duration("timeout", "how long to wait; 0: as long as it takes", "0s")},
          remove};
}

}  // namespace kybern::cli
