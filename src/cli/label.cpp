// label, annotate, taint: small changes of metadata and of a node's taints.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/edit_labels.h"
#include "cli/subjects.h"

namespace kybern::cli {
namespace {

Result<int> edit_map(Session& session, const Arguments& arguments, std::string_view field, std::string_view what, std::string_view done,
                     std::string_view undone) {
  std::vector<std::string> words = arguments.words;
  auto edit = take_edits(words, what);
  if (!edit) return std::unexpected(edit.error());
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  if (edit->set.empty() && edit->removed.empty() && !arguments.on("list") && (!words.empty() || arguments.given("filename")))
    return refuse("at least one " + std::string(what) + " update is required");
  const bool local = arguments.knows("local") && arguments.on("local");
  auto subjects =
      select(session, arguments, words,
             {.local = local, .nothing_given = "error: one or more resources must be specified as <resource> <name> or <resource>/<name>"});
  if (!subjects) return std::unexpected(subjects.error());
  for (const Subject& subject : *subjects) {
    const Value current = subject.object["metadata"][field];
    Draft changes = Draft::object();
    std::string result = "not " + std::string(done);
    for (const auto& [key, value] : edit->set) {
      const Value old = current[std::string_view(key)];
      if (old.exists() && old.as_string() != value && !arguments.on("overwrite")) {
        if (field == "labels") return refuse(fmt::format("'{}' already has a value ({}), and --overwrite is false", key, old.as_string()));
        return refuse(fmt::format("--overwrite is false but found the following declared annotation(s): '{}' already has a value ({})", key,
                                  old.as_string()));
      }
      if (old.exists() && old.as_string() == value && field == "labels") continue;
      changes[key] = value;
      result = std::string(done);
    }
    for (const std::string& key : edit->removed) {
      if (current[std::string_view(key)].exists()) changes[key] = Draft();
      else if (field == "labels") fmt::print("{} {} not found.\n", what, go_quote(key));
    }
    if (!edit->removed.empty() && changes.empty()) result = std::string(done);  // as upstream says it
    if (std::any_of(edit->removed.begin(), edit->removed.end(),
                    [&](const std::string& key) { return current[std::string_view(key)].exists(); }) &&
        edit->set.empty())
      result = std::string(undone);
    if (arguments.on("list")) {
      std::vector<std::string> lines;
      for (Member m : current.members()) lines.push_back(std::string(m.key) + "=" + m.value.str());
      std::sort(lines.begin(), lines.end());
      if (subjects->size() > 1) fmt::print("Listing {}s for {}.{}:\n", what, subject.type->kind, subject.shown());
      for (const std::string& line : lines) fmt::print("{}\n", line);
      if (edit->set.empty() && edit->removed.empty()) continue;
    }
    Document object = subject.object;
    if (!changes.empty() && (local || *dry_run == "client")) {
      Draft changed(subject.object);
      for (const auto& [key, value] : changes.fields()) {
        if (value.is_null()) changed["metadata"][field].erase(key);
        else changed["metadata"][field][key] = value;
      }
      object = changed.freeze();
    } else if (!changes.empty()) {
      Draft meta = Draft::object();
      meta[field] = changes;
      if (const std::string version = arguments.text("resource-version"); !version.empty()) meta["resourceVersion"] = version;
      auto patched = patch_subject(session, arguments, subject, Draft::object({{"metadata", std::move(meta)}}).freeze(), merge_type);
      if (!patched) return std::unexpected(patched.error());
      object = *patched;
    }
    if (auto printed = print_change(session, arguments, object, *subject.type, result); !printed) return std::unexpected(printed.error());
  }
  return 0;
}

Result<int> label(Session& s, const Arguments& a) { return edit_map(s, a, "labels", "label", "labeled", "unlabeled"); }
Result<int> annotate(Session& s, const Arguments& a) { return edit_map(s, a, "annotations", "annotation", "annotated", "annotated"); }

Result<int> taint(Session& session, const Arguments& arguments) {
  std::vector<std::string> words = arguments.words;
  auto edit = take_taints(words);
  if (!edit) return std::unexpected(edit.error());
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  if (edit->set.empty() && edit->removed.empty()) return refuse("at least one taint update is required");
  if (!words.empty()) {
    const std::string type = words[0].substr(0, words[0].find('/'));
    auto discovery = session.discovery();
    if (!discovery) return std::unexpected(discovery.error());
    if (auto found = (*discovery)->find(type); found && (*found)->kind != "Node")
      return refuse("invalid resource type " + type + ", only node types are supported");
  }
  auto subjects = select(session, arguments, words,
                         {.nothing_given = "error: one or more resources must be specified as <resource> <name> or <resource>/<name>"});
  if (!subjects) return std::unexpected(subjects.error());
  for (const Subject& subject : *subjects) {
    auto taints = edited_taints(subject.object["spec"]["taints"], *edit, arguments.on("overwrite"), subject.name);
    if (!taints) return std::unexpected(taints.error());
    Document object = subject.object;
    if (*dry_run != "client") {
      const Document patch =
          Draft::object({{"metadata", Draft::object({{"resourceVersion", Draft(subject.object["metadata"]["resourceVersion"])}})},
                         {"spec", Draft::object({{"taints", *std::move(taints)}})}})
              .freeze();
      auto patched = session.call("PATCH", subject.path(),
                                  query_of({{"dryRun", dry_run_query(*dry_run)}, {"fieldManager", arguments.text("field-manager")}}), patch,
                                  merge_type);
      if (!patched) return std::unexpected(shown(patched.error()));
      object = *patched;
    }
    const bool changes = std::any_of(edit->set.begin(), edit->set.end(), [&](const auto& set) {
      for (Value taint : subject.object["spec"]["taints"].items())
        if (taint["key"].as_string() == set.key && taint["effect"].as_string() == set.effect) return true;
      return false;
    });
    const std::string_view result = edit->set.empty() ? "untainted" : edit->removed.empty() && !changes ? "tainted" : "modified";
    if (arguments.text("output").empty()) fmt::print("{} {}\n", subject.shown(), result);
    else if (auto printed = print_change(session, arguments, object, *subject.type, result); !printed)
      return std::unexpected(printed.error());
  }
  return 0;
}

std::vector<Flag> common(std::string manager) {
  using namespace flags;
  return {filename(),
          recursive(),
          selector(),
          field_selector(),
          output(),
          dry_run(),
          field_manager(std::move(manager)),
          boolean("all", "all of the type in the namespace"),
          boolean("all-namespaces", "of all namespaces", false, 'A'),
          boolean("overwrite", "a value that is there already may change"),
          boolean("list", "show what there is"),
          boolean("local", "change the files' objects and print them, without a server"),
          text("resource-version", "only when the object is of this version"),
          boolean("show-managed-fields", "with metadata.managedFields in JSON and YAML")};
}

}  // namespace

Command label_command() {
  return {"label", "set or remove labels", "(TYPE NAME | TYPE/NAME | -f FILE) KEY=VALUE... KEY-...", common("kubectl-label"), label};
}
Command annotate_command() {
  return {"annotate", "set or remove annotations", "(TYPE NAME | TYPE/NAME | -f FILE) KEY=VALUE... KEY-...", common("kubectl-annotate"),
          annotate};
}
Command taint_command() {
  return {"taint", "set or remove taints of nodes", "nodes NAME KEY=VALUE:EFFECT... KEY:EFFECT-...", common("kubectl-taint"), taint};
}

}  // namespace kybern::cli
