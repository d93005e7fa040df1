// apply: makes the server's objects like the manifests, and leaves alone what others have set.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "cli/apply.h"
#include "cli/apply_plan.h"
#include "cli/command.h"
#include "cli/manifest.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "document/json.h"
#include "document/yaml.h"

namespace kybern::cli {
namespace {

constexpr int conflict_retries = 5;

struct Applied {
  Document object;
  std::string operation;  // created, configured, unchanged, serverside-applied
};

// What was applied, by value: an ApiResource is the discovery's, and goes with it.
struct Kept {
  std::string group, kind, ns, name;
  bool operator==(const Kept&) const = default;
};

struct Apply {
  Session& session;
  const Arguments& arguments;
  std::string dry_run, validation;
  bool keep_configuration = true;  // in the annotation

  std::string query() const {
    return query_of(
        {{"dryRun", dry_run_query(dry_run)}, {"fieldManager", arguments.text("field-manager")}, {"fieldValidation", validation}});
  }
  Result<Applied> server_side(const Subject& subject);
  Result<Applied> one(const Subject& subject);
  Result<Applied> create(const Subject& subject, Value wanted);
  Error patch_failed(const Subject& subject, const Status& status, Value patch) const;
  Result<void> prune(const std::vector<Kept>& kept);
  Result<void> prune(const std::vector<Kept>& kept, const ApiResource& type, const std::string& ns);
};

std::string_view field_validation(std::string_view validate) {
  if (validate == "true" || validate == "strict") return "Strict";
  if (validate == "warn") return "Warn";
  return "Ignore";
}

Result<Applied> Apply::server_side(const Subject& subject) {
  const std::string manager = arguments.given("field-manager") ? arguments.text("field-manager") : "kubectl";
  auto answer = session.call("PATCH", subject.path(),
                             query_of({{"dryRun", dry_run_query(dry_run)},
                                       {"fieldManager", manager},
                                       {"fieldValidation", validation},
                                       {"force", arguments.on("force-conflicts") ? "true" : "false"}}),
                             subject.object, apply_type);
  if (answer) return Applied{*std::move(answer), "serverside-applied"};
  if (!answer.error().is("Conflict")) return std::unexpected(shown(answer.error()));
  Error error = shown(answer.error());
  error.message = "error: " + answer.error().message +
                  "\nPlease review the fields above--they currently have other managers. To take them over, apply again with "
                  "--force-conflicts; to leave "
                  "them to their managers, take them out of the manifest.";
  return std::unexpected(std::move(error));
}

// As Go writes it with an indent of two.
std::string two_space_json(Value value) {
  const std::string text = pretty_json(value);
  std::string out;
  for (std::string_view line : split(trim(text), '\n')) {
    const std::size_t spaces = std::min(line.find_first_not_of(' '), line.size());
    out += std::string(spaces / 2, ' ');
    for (char c : line.substr(spaces)) {
      if (c == '<' || c == '>' || c == '&') out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
      else out += c;
    }
    out += '\n';
  }
  return out;
}

Result<Applied> Apply::create(const Subject& subject, Value wanted) {
  if (dry_run == "client") return Applied{wanted.document(), "created"};
  auto made = session.call("POST", subject.type->path(subject.ns), query(), wanted);
  if (!made) return std::unexpected(shown(made.error(), "error when creating " + go_quote(subject.source) + ": "));
  return Applied{*std::move(made), "created"};
}

Error Apply::patch_failed(const Subject& subject, const Status& status, Value patch) const {
  const ApiResource& type = *subject.type;
  return shown(status, fmt::format("error when applying patch:\n{}\nto:\nResource: \"{}, Resource={}\", GroupVersionKind: \"{}, "
                                   "Kind={}\"\nName: {}, Namespace: {}\nfor: {}: error when patching {}: ",
                                   to_json(patch), type.group + "/" + type.version, type.plural, type.group + "/" + type.version, type.kind,
                                   go_quote(subject.name), go_quote(subject.ns), go_quote(subject.source), go_quote(subject.source)));
}

Result<Applied> Apply::one(const Subject& subject) {
  const Document wanted = keep_configuration ? with_last_applied(subject.object) : subject.object;
  for (int attempt = 0;; ++attempt) {
    auto current = session.call("GET", subject.path());
    if (!current) {
      if (current.error().code != 404)
        return std::unexpected(shown(current.error(), "error when retrieving current configuration of " + go_quote(subject.source) + ": "));
      return create(subject, wanted);
    }
    auto plan = plan_apply(wanted, *current);
    if (!plan)
      return fail(plan.error().code, fmt::format("error: error when applying {}: {}", go_quote(subject.source), plan.error().message));
    if (plan->lost_annotation && attempt == 0 && keep_configuration)
      fmt::print(stderr,
                 "Warning: resource {}/{} is missing the {} annotation which is required by kubectl apply. kubectl apply should only be "
                 "used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation "
                 "will be patched automatically.\n",
                 subject.type->plural, subject.name, last_applied);
    if (dry_run == "client") return Applied{*current, "configured"};
    if (plan->patch.root().empty()) return Applied{*current, "unchanged"};
    auto patched = session.call("PATCH", subject.path(), query(), plan->patch, plan->strategic ? strategic_type : merge_type);
    if (patched) {
      // A patch that left everything as it was is no change: the server's version tells.
      const bool same = (*patched)["metadata"]["resourceVersion"] == (*current)["metadata"]["resourceVersion"] && dry_run == "none";
      return Applied{*std::move(patched), same ? "unchanged" : "configured"};
    }
    if (patched.error().is("Conflict") && attempt < conflict_retries) continue;
    const bool immutable = patched.error().code == 422 || patched.error().is("Conflict");
    if (!arguments.on("force") || !immutable) return std::unexpected(patch_failed(subject, patched.error(), plan->patch));
    if (auto gone = session.call("DELETE", subject.path(), query_of({{"propagationPolicy", "Background"}}));
        !gone && gone.error().code != 404)
      return std::unexpected(shown(gone.error()));
    auto away = observe(session, subject.type->path(subject.ns), name_query(subject.name), deadline_after(std::chrono::minutes(5)),
                        {[](std::string_view type, Value) { return type == "DELETED"; }, [](std::size_t count) { return count == 0; }});
    if (!away) return std::unexpected(away.error());
    auto made = create(subject, wanted);
    if (made) made->operation = "configured";
    return made;
  }
}

// Deletes what carries the label selector's labels, was applied, and is in no manifest any more.
Result<void> Apply::prune(const std::vector<Kept>& kept, const ApiResource& type, const std::string& ns) {
  auto found = session.call("GET", type.path(ns), query_of({{"labelSelector", arguments.text("selector")}}));
  if (!found) return std::unexpected(shown(found.error()));
  for (Value item : (*found)["items"].items()) {
    const std::string name = item["metadata"]["name"].str();
    if (!item["metadata"]["annotations"][last_applied].exists()) continue;
    if (std::ranges::find(kept, Kept{type.group, type.kind, item["metadata"]["namespace"].str(), name}) != kept.end()) continue;
    if (dry_run != "client")
      if (auto gone = session.call("DELETE", type.path(ns, name),
                                   query_of({{"dryRun", dry_run_query(dry_run)}, {"propagationPolicy", "Background"}}));
          !gone && gone.error().code != 404)
        return std::unexpected(shown(gone.error()));
    fmt::print("{}/{} pruned{}\n", type.shown_kind(), name, dry_run_suffix(dry_run));
  }
  return {};
}
Result<void> Apply::prune(const std::vector<Kept>& kept) {
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  std::vector<std::string> kinds = arguments.list("prune-allowlist");
  if (kinds.empty())
    kinds = {"v1/ConfigMap",
             "v1/Endpoints",
             "v1/Namespace",
             "v1/PersistentVolumeClaim",
             "v1/PersistentVolume",
             "v1/Pod",
             "v1/ReplicationController",
             "v1/Secret",
             "v1/Service",
             "batch/v1/Job",
             "batch/v1/CronJob",
             "networking.k8s.io/v1/Ingress",
             "apps/v1/DaemonSet",
             "apps/v1/Deployment",
             "apps/v1/ReplicaSet",
             "apps/v1/StatefulSet"};
  for (std::string kind : kinds) {
    if (kind.starts_with("core/")) kind = kind.substr(5);
    const std::size_t slash = kind.rfind('/');
    const ApiResource* type = slash == std::string::npos ? nullptr : (*discovery)->find_kind(kind.substr(0, slash), kind.substr(slash + 1));
    if (type == nullptr) continue;
    // Of namespaced kinds: where the manifests' objects lie.
    std::set<std::string> namespaces;
    if (!type->namespaced) namespaces.insert("");
    else
      for (const Kept& one : kept)
        if (!one.ns.empty()) namespaces.insert(one.ns);
    for (const std::string& ns : namespaces)
      if (auto done = prune(kept, *type, ns); !done) return done;
  }
  return {};
}

std::unexpected<Error> nameless(const Subject& subject) {
  const ApiResource& type = *subject.type;
  return refuse(
      fmt::format("error when retrieving current configuration of:\nResource: \"{0}/{1}, Resource={2}\", GroupVersionKind: \"{0}/{1}, "
                  "Kind={3}\"\nName: \"\", Namespace: {4}\nfrom server for: {5}: resource name may not be empty",
                  type.group, type.version, type.plural, type.kind, go_quote(subject.ns), go_quote(subject.source)));
}

Result<int> apply(Session& session, const Arguments& arguments) {
  if (!arguments.words.empty())
    return refuse("Unexpected args: [" + join(arguments.words, " ") + "]\nSee 'kubectl apply -h' for help and examples");
  if (!arguments.given("filename")) return refuse("must specify one of -f and -k");
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  const bool server_side = arguments.on("server-side");
  if (server_side && *dry_run == "client")
    return refuse("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)");
  if (arguments.on("force-conflicts") && !server_side) return refuse("--force-conflicts only works with --server-side");
  if (arguments.on("prune") && arguments.text("selector").empty() && !arguments.on("all"))
    return refuse(
        "all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not "
        "mean to prune all resources, specify a label selector");
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  auto manifests = read_manifests(arguments.list("filename"), arguments.on("recursive"));
  if (!manifests) return std::unexpected(manifests.error());
  if (manifests->empty()) return refuse("no objects passed to apply");
  Apply work{session, arguments, *dry_run, std::string(field_validation(arguments.text("validate"))), true};
  std::vector<Kept> done;
  std::vector<Document> objects;
  std::string errors;
  for (const Manifest& manifest : *manifests) {
    auto subject = manifest_subject(session, manifest.object, manifest.source);
    if (subject && subject->name.empty()) subject = nameless(*subject);
    Result<Applied> applied = subject ? (server_side ? work.server_side(*subject) : work.one(*subject)) : std::unexpected(subject.error());
    if (!applied) {
      errors += (errors.empty() ? "" : "\n") + applied.error().message;
      continue;
    }
    if (output->human()) {
      fmt::print("{} {}{}\n", subject->shown(), applied->operation, dry_run_suffix(*dry_run));
      std::fflush(stdout);
    } else {
      objects.push_back(applied->object);
    }
    done.push_back({subject->type->group, subject->type->kind, subject->ns, subject->name});
    if (done.back().kind == "CustomResourceDefinition") session.forget_discovery();  // its kind may follow in the same files
  }
  if (!objects.empty()) {
    auto text = output->print(objects, objects.size() > 1, nullptr);
    if (!text) return std::unexpected(text.error());
    fmt::print("{}", *text);
  }
  if (!errors.empty()) return fail(Code::invalid, errors);
  if (arguments.on("prune"))
    if (auto pruned = work.prune(done); !pruned) return std::unexpected(pruned.error());
  return 0;
}

}  // namespace

Result<Document> would_be(Session& session, const Arguments& arguments, const Subject& subject) {
  Apply work{session, arguments, "server", "Strict", false};
  auto applied = arguments.on("server-side") ? work.server_side(subject) : work.one(subject);
  if (!applied) return std::unexpected(applied.error());
  return std::move(applied->object);
}

namespace {

Result<int> view_last_applied(Session& session, const Arguments& arguments) {
  const std::string format = arguments.text("output");
  if (format != "yaml" && format != "json")
    return refuse_usage(arguments, "Unexpected -o output mode: " + format + ". We only support '-o yaml' and '-o json'.");
  auto subjects = select(session, arguments, arguments.words, {});
  if (!subjects) return std::unexpected(subjects.error());
  for (const Subject& subject : *subjects) {
    const Value text = subject.object["metadata"]["annotations"][last_applied];
    if (!text.exists()) return refuse(fmt::format("no last-applied-configuration annotation found on resource: {}", subject.name));
    auto parsed = parse_json(text.as_string());
    if (!parsed) return refuse("the annotation " + std::string(last_applied) + " is not readable");
    std::string out;
    if (format == "yaml") write_yaml(sorted(*parsed), out);
    else out = two_space_json(*parsed);
    fmt::print("{}", out);
  }
  return 0;
}

Result<int> set_last_applied(Session& session, const Arguments& arguments) {
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  if (!arguments.given("filename")) return refuse("must specify one of -f and -k");
  auto subjects = select(session, arguments, arguments.words, {.fetch = false, .manifests_from_server = false});
  if (!subjects) return std::unexpected(subjects.error());
  for (const Subject& subject : *subjects) {
    auto current = session.call("GET", subject.path());
    if (!current) return std::unexpected(shown(current.error()));
    const Value kept = (*current)["metadata"]["annotations"][last_applied];
    if (!kept.exists() && !arguments.on("create-annotation"))
      return refuse(
          fmt::format("no last-applied-configuration annotation found on resource: {}, to create the annotation, run the command with "
                      "--create-annotation",
                      subject.name));
    const Document wanted = with_last_applied(subject.object);
    Document object = *current;
    const bool same = kept == wanted["metadata"]["annotations"][last_applied];
    if (!same && *dry_run != "client") {
      Draft annotations = Draft::object();
      annotations[last_applied] = Draft(wanted["metadata"]["annotations"][last_applied]);
      auto done =
          session.call("PATCH", subject.path(), query_of({{"dryRun", dry_run_query(*dry_run)}}),
                       Draft::object({{"metadata", Draft::object({{"annotations", std::move(annotations)}})}}).freeze(), merge_type);
      if (!done) return std::unexpected(shown(done.error()));
      object = *std::move(done);
    }
    if (auto printed = print_change(session, arguments, object, *subject.type, "configured"); !printed)
      return std::unexpected(printed.error());
  }
  return 0;
}

}  // namespace

Command apply_command() {
  using namespace flags;
  Command out{
      "apply",
      "make the server's objects like the manifests",
      "-f FILE [flags]",
      {filename(), recursive(), output(), dry_run(), validate(), selector(), field_manager("kubectl-client-side-apply"),
       boolean("server-side", "let the server merge, and keep who owns which field"),
       boolean("force-conflicts", "with --server-side: take over fields that others own"),
       boolean("force", "delete and make again what cannot be changed"),
       boolean("prune", "delete applied objects of the selector that are in no manifest"),
       boolean("all", "with --prune: of the whole namespace"), list("prune-allowlist", "with --prune: the kinds, group/version/Kind"),
       boolean("overwrite", "the manifest wins over changes made otherwise", true), boolean("wait", "wait for deletions"),
       boolean("openapi-patch", "accepted for compatibility", true),
       boolean("show-managed-fields", "with metadata.managedFields in JSON and YAML")},
      apply};
  out.children = {{"view-last-applied",
                   "the configuration that was applied last",
                   "(TYPE NAME | TYPE/NAME | -f FILE)",
                   {filename(), recursive(), selector(), boolean("all", "all of the type in the namespace"),
                    text("output", "yaml or json", "yaml", 'o')},
                   view_last_applied},
                  {"set-last-applied",
                   "take manifests for what was applied last, without applying them",
                   "-f FILE",
                   {filename(), recursive(), output(), dry_run(), boolean("create-annotation", "also of what was not made by apply")},
                   set_last_applied}};
  return out;
}

}  // namespace kybern::cli
