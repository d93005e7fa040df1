// scale, patch, replace: one call for each object.
#include <fmt/format.h>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/manifest.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "document/json.h"
#include "document/yaml.h"
#include "machinery/patch/patch.h"
#include "schema/schema.h"

namespace kybern::cli {
namespace {

constexpr int scale_retries = 100;

// One PATCH of the scale. With a precondition it is sent for the version that fulfils it, as often as a change comes in between.
Result<void> set_replicas(Session& session, const Arguments& arguments, const Subject& subject, std::int64_t replicas, std::int64_t current,
                          const std::string& dry_run) {
  const std::string wanted_version = arguments.text("resource-version");
  const bool guarded = current >= 0 || !wanted_version.empty();
  for (int attempt = 0;; ++attempt) {
    Draft patch = Draft::object({{"spec", Draft::object({{"replicas", replicas}})}});
    if (guarded) {
      auto now = session.call("GET", subject.path("scale"));
      if (!now) return std::unexpected(shown(now.error()));
      const std::int64_t was = (*now)["spec"]["replicas"].as_int();
      const std::string version = (*now)["metadata"]["resourceVersion"].str();
      if (current >= 0 && was != current) return refuse(fmt::format("Expected replicas to be {}, was {}", current, was));
      if (!wanted_version.empty() && version != wanted_version)
        return refuse(fmt::format("Expected resource version to be {}, was {}", wanted_version, version));
      patch["metadata"]["resourceVersion"] = version;
    }
    auto done = session.call("PATCH", subject.path("scale"), query_of({{"dryRun", dry_run_query(dry_run)}}), patch.freeze(), merge_type);
    if (done) return {};
    if (!guarded || !done.error().is("Conflict") || attempt == scale_retries) return std::unexpected(shown(done.error()));
  }
}

Result<int> scale(Session& session, const Arguments& arguments) {
  auto replicas = arguments.number("replicas");
  auto current = arguments.number("current-replicas");
  auto timeout = arguments.duration("timeout");
  auto dry_run = dry_run_of(arguments);
  if (!replicas || !current) return std::unexpected(replicas ? current.error() : replicas.error());
  if (!timeout || !dry_run) return std::unexpected(timeout ? dry_run.error() : timeout.error());
  if (*replicas < 0) return refuse("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0");
  auto subjects = select(session, arguments, arguments.words, {});
  if (!subjects) return std::unexpected(subjects.error());
  if (subjects->empty()) return refuse("no objects passed to scale");
  for (const Subject& subject : *subjects) {
    if (!subject.type->has("scale")) return std::unexpected(shown(generic_not_found()));
    if (*dry_run != "client")
      if (auto set = set_replicas(session, arguments, subject, *replicas, *current, *dry_run); !set) return std::unexpected(set.error());
    if (timeout->count() > 0 && *dry_run == "none") {
      auto met = observe(session, subject.type->path(subject.ns), name_query(subject.name), deadline_after(*timeout),
                         {[&](std::string_view, Value o) {
                            return o["status"]["observedGeneration"].as_int() >= o["metadata"]["generation"].as_int() &&
                                   o["status"]["replicas"].as_int() == *replicas;
                          },
                          {}});
      if (!met) return std::unexpected(met.error());
      if (!*met) return refuse("timed out waiting for " + go_quote(subject.name) + " to be synced");
    }
    if (auto printed = print_change(session, arguments, subject.object, *subject.type, "scaled"); !printed)
      return std::unexpected(printed.error());
  }
  return 0;
}

// What the patch makes of the object here, without a server.
Result<Document> patched_here(const Subject& subject, Value patch, std::string_view type) {
  const schema::Type* known = schema::find_type(subject.object["apiVersion"].as_string(), subject.object["kind"].as_string());
  auto done = type == "json"              ? json_patch(subject.object, patch)
              : type == "merge" || !known ? merge_patch(subject.object, patch)
                                          : strategic_merge(subject.object, patch, *known);
  if (!done) return refuse(done.error().message);
  return done->freeze();
}

// Upstream does not say here that it was a dry run.
Result<void> print_patched(Session& session, const Arguments& arguments, Value object, const ApiResource& type, bool same) {
  const std::string operation = same ? "patched (no change)" : "patched";
  if (!arguments.text("output").empty()) return print_change(session, arguments, object, type, operation);
  fmt::print("{}/{} {}\n", type.shown_kind(), object["metadata"]["name"].as_string(), operation);
  return {};
}

Result<int> patch(Session& session, const Arguments& arguments) {
  std::string text = arguments.text("patch");
  if (!arguments.text("patch-file").empty()) {
    auto file = read_whole_file(arguments.text("patch-file"));
    if (!file) return std::unexpected(file.error());
    text = *file;
  }
  if (text.empty()) return refuse("must specify --patch or --patch-file containing the contents of the patch");
  const std::string type = arguments.text("type");
  if (type != "strategic" && type != "merge" && type != "json")
    return refuse("--type must be one of [json merge strategic], not " + go_quote(type));
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  const bool local = arguments.on("local");
  auto subjects = select(session, arguments, arguments.words, {.local = local});
  if (!subjects) return std::unexpected(subjects.error());
  auto parsed = parse_yaml(text);
  if (!parsed || parsed->size() != 1)
    return refuse("unable to parse " + go_quote(text) + ": " + (parsed ? "one patch was expected" : parsed.error().message));
  const Document change = parsed->front();
  const std::string sub = arguments.text("subresource");
  for (const Subject& subject : *subjects) {
    if (local || *dry_run == "client") {
      auto done = patched_here(subject, change, type);
      if (!done) return std::unexpected(done.error());
      const bool same = done->root() == subject.object.root();
      if (auto printed = print_patched(session, arguments, *done, *subject.type, same); !printed) return std::unexpected(printed.error());
      continue;
    }
    std::string_view media = type == "json" ? json_patch_type : type == "merge" ? merge_type : strategic_type;
    if (type == "strategic" && !arguments.given("type") &&
        !schema::find_kind(subject.type->group, subject.type->version, subject.type->kind))
      media = merge_type;
    auto done = patch_subject(session, arguments, subject, change, media, sub);
    if (!done) return std::unexpected(done.error());
    const bool same = subject.object["metadata"]["resourceVersion"] == (*done)["metadata"]["resourceVersion"] && *dry_run == "none";
    ApiResource shown_type = *subject.type;  // of a subresource: what came back
    if (const std::string version = (*done)["apiVersion"].str(), kind = (*done)["kind"].str(); !kind.empty() && kind != shown_type.kind) {
      shown_type.kind = kind;
      shown_type.group = version.find('/') == std::string::npos ? "" : version.substr(0, version.find('/'));
    }
    if (auto printed = print_patched(session, arguments, *done, shown_type, same); !printed) return std::unexpected(printed.error());
  }
  return 0;
}

Result<int> replace(Session& session, const Arguments& arguments) {
  if (!arguments.given("filename")) return refuse("must specify one of -f and -k");
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  auto manifests = read_manifests(arguments.list("filename"), arguments.on("recursive"));
  if (!manifests) return std::unexpected(manifests.error());
  std::string errors;
  for (const Manifest& manifest : *manifests) {
    auto subject = manifest_subject(session, manifest.object, manifest.source);
    if (!subject) return std::unexpected(subject.error());
    const std::string query =
        query_of({{"dryRun", dry_run_query(*dry_run)}, {"fieldManager", arguments.text("field-manager")}, {"fieldValidation", "Strict"}});
    ApiResult<Document> done = subject->object;
    if (*dry_run != "client" && arguments.on("force")) {
      auto gone = session.call("DELETE", subject->path(), query_of({{"propagationPolicy", "Background"}, {"gracePeriodSeconds", "0"}}));
      if (!gone && gone.error().code != 404) return std::unexpected(shown(gone.error()));
      if (gone)
        fmt::print("{} {} deleted{}\n", subject->type->shown_kind(), go_quote(subject->name),
                   subject->type->namespaced ? " from " + subject->ns + " namespace" : "");
      auto away = observe(session, subject->type->path(subject->ns), name_query(subject->name), deadline_after(std::chrono::minutes(5)),
                          {[](std::string_view type, Value) { return type == "DELETED"; }, [](std::size_t count) { return count == 0; }});
      if (!away) return std::unexpected(away.error());
      done = session.call("POST", subject->type->path(subject->ns), query, subject->object);
    } else if (*dry_run != "client") {
      Draft wanted(subject->object);
      if (auto now = session.call("GET", subject->path()); now && !manifest.object["metadata"]["resourceVersion"].exists())
        wanted["metadata"]["resourceVersion"] = Draft((*now)["metadata"]["resourceVersion"]);
      done = session.call("PUT", subject->path(), query, wanted.freeze());
    }
    if (!done) {
      errors += (errors.empty() ? "" : "\n") + shown(done.error(), "error when replacing " + go_quote(manifest.source) + ": ").message;
      continue;
    }
    if (auto printed = print_change(session, arguments, *done, *subject->type, "replaced"); !printed)
      return std::unexpected(printed.error());
  }
  if (!errors.empty()) return fail(Code::invalid, errors);
  return 0;
}

}  // namespace

Command scale_command() {
  using namespace flags;
  return {"scale",
          "set the number of replicas",
          "--replicas=COUNT (TYPE NAME | TYPE/NAME | -f FILE)",
          {filename(), recursive(), selector(), output(), dry_run(), boolean("all", "all of the type in the namespace"),
           required(number("replicas", "how many")), number("current-replicas", "only when there are so many now", "-1"),
           text("resource-version", "only when the object has this version"),
           duration("timeout", "wait so long until it is done; 0: do not wait", "0s")},
          scale};
}
Command patch_command() {
  using namespace flags;
  return {"patch",
          "change fields of an object",
          "(TYPE NAME | TYPE/NAME | -f FILE) -p PATCH [--type=strategic|merge|json]",
          {filename(), recursive(), output(), dry_run(), text("patch", "the patch, JSON or YAML", "", 'p'),
           text("patch-file", "a file with the patch"), text("type", "strategic, merge or json", "strategic"),
           text("subresource", "of this subresource: status, scale"), field_manager("kubectl-patch"),
           boolean("local", "change the files' objects and print them, without a server"),
           boolean("show-managed-fields", "with metadata.managedFields in JSON and YAML")},
          patch};
}
Command replace_command() {
  using namespace flags;
  return {"replace",
          "put manifests in the place of objects",
          "-f FILE [flags]",
          {filename(), recursive(), output(), dry_run(), validate(), field_manager("kubectl-replace"),
           boolean("force", "delete and make again")},
          replace};
}
}  // namespace kybern::cli
