// edit: objects in the user's editor; what was changed is sent as a patch.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/apply_plan.h"
#include "cli/command.h"
#include "cli/editor.h"
#include "cli/manifest.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "document/json.h"
#include "document/yaml.h"
#include "machinery/patch/patch.h"
#include "schema/schema.h"

namespace kybern::cli {
namespace {

constexpr std::string_view preface =
    "# Please edit the object below. Lines beginning with a '#' will be ignored,\n"
    "# and an empty file will abort the edit. If an error occurs while saving this file will be\n"
    "# reopened with the relevant failures.\n#\n";

std::string without_comments(std::string_view text) {
  std::string out;
  for (std::string_view line : split(text, '\n'))
    if (!line.starts_with('#')) out += std::string(line) + "\n";
  return std::string(trim(out));
}

std::string text_of(const std::vector<Subject>& subjects, const Output& output) {
  std::vector<Document> objects;
  for (const Subject& subject : subjects) objects.push_back(without_managed_fields(subject.object));
  if (output.type == Output::Type::json) return *output.print(objects, objects.size() > 1, nullptr);
  std::string out;
  if (objects.size() == 1) {
    write_yaml(sorted(objects[0]), out);
    return out;
  }
  Draft items = Draft::array();
  for (const Document& object : objects) items.push_back(Draft(object));
  write_yaml(
      sorted(Draft::object({{"apiVersion", "v1"}, {"items", std::move(items)}, {"kind", "List"}, {"metadata", Draft::object()}}).freeze()),
      out);
  return out;
}

Result<std::optional<Document>> save(Session& session, const Arguments& arguments, const Subject& subject, Value edited) {
  const Document before = without_managed_fields(subject.object);
  if (edited == before.root()) return std::optional<Document>();
  const Document wanted = arguments.on("save-config") ? with_last_applied(edited) : edited.document();
  const schema::Type* type = schema::find_type(before["apiVersion"].as_string(), before["kind"].as_string());
  Result<Draft> patch = type ? create_strategic_patch(before, wanted, *type) : Result<Draft>(create_merge_patch(before, wanted));
  if (!patch) return refuse(patch.error().message);
  if (patch->empty()) return std::optional<Document>();
  auto done = session.call("PATCH", subject.path(arguments.text("subresource")),
                           query_of({{"fieldManager", arguments.text("field-manager")}, {"fieldValidation", "Strict"}}), patch->freeze(),
                           type ? strategic_type : merge_type);
  if (!done) return std::unexpected(shown(done.error()));
  return std::optional<Document>(*std::move(done));
}

struct Edit {
  Session& session;
  const Arguments& arguments;
  Output output;
  std::vector<Subject> subjects;

  const Subject* subject_of(Value object) const {
    for (const Subject& subject : subjects)
      if (object["metadata"]["name"].as_string() == subject.name && object["kind"].as_string() == subject.type->kind &&
          (subject.ns.empty() || object["metadata"]["namespace"].as_string() == subject.ns))
        return &subject;
    return nullptr;
  }
  // What could not be saved, one line each; "" when all was.
  Result<std::string> save_all(const std::vector<Manifest>& manifests) {
    std::string problems;
    for (const Manifest& manifest : manifests) {
      const Subject* subject = subject_of(manifest.object);
      if (!subject) {
        problems += "error: At least one of apiVersion, kind and name was changed\n";
        continue;
      }
      auto saved = save(session, arguments, *subject, manifest.object);
      if (!saved) problems += saved.error().message + "\n";
      else if (*saved) {
        if (auto printed = print_change(session, arguments, **saved, *subject->type, "edited"); !printed)
          return std::unexpected(printed.error());
      } else if (manifests.size() > 1) {
        if (auto printed = print_change(session, arguments, subject->object, *subject->type, "skipped"); !printed)
          return std::unexpected(printed.error());
      }
    }
    return problems;
  }
};

Result<int> edit(Session& session, const Arguments& arguments) {
  auto output = Output::parse(arguments.text("output"));
  if (!output || !(output->type == Output::Type::human || output->type == Output::Type::json || output->type == Output::Type::yaml))
    return refuse("unable to match a printer suitable for the output format " + go_quote(arguments.text("output")) +
                  ", allowed formats are: json,yaml");
  auto subjects = select(session, arguments, arguments.words, {});
  if (!subjects) return std::unexpected(subjects.error());
  Edit work{session, arguments, *output, *std::move(subjects)};
  auto file = EditedFile::make();
  if (!file) return std::unexpected(file.error());
  const std::string original = text_of(work.subjects, *output);
  std::string text = original, last = original, problems;
  while (true) {
    std::string head(preface);
    for (std::string_view line : split(trim(problems), '\n'))
      if (!line.empty()) head += "# " + std::string(line) + "\n";
    auto edited = file->edit(head + (problems.empty() ? "" : "#\n") + text);
    if (!edited) return std::unexpected(edited.error());
    const std::string plain = without_comments(*edited);
    if (plain.empty() || plain == without_comments(last)) {
      if (problems.empty())
        return fmt::print(stderr, "Edit cancelled, {}\n", plain.empty() ? "saved file was empty." : "no changes made."), 0;
      const std::string kept = file->path();
      file->keep();
      return fail(Code::invalid,
                  fmt::format("{}A copy of your changes has been stored to {}\nerror: Edit cancelled, no valid changes were saved.",
                              problems, go_quote(kept)));
    }
    last = text = plain + "\n";
    auto manifests = parse_manifests(text, file->path());
    if (!manifests) {
      problems = manifests.error().message + "\n";
      continue;
    }
    auto saved = work.save_all(*manifests);
    if (!saved) return std::unexpected(saved.error());
    problems = *saved;
    if (problems.empty()) return 0;
  }
}

}  // namespace

Command edit_command() {
  using namespace flags;
  return {"edit",
          "change objects in an editor ($KUBE_EDITOR, $EDITOR)",
          "(TYPE NAME | TYPE/NAME | -f FILE)",
          {filename(), recursive(), selector(), output(), validate(), field_manager("kubectl-edit"),
           text("subresource", "of this subresource: status"),
           boolean("save-config", "keep the configuration in the object, for later applies"),
           boolean("show-managed-fields", "with metadata.managedFields"), boolean("output-patch", "accepted for compatibility"),
           boolean("windows-line-endings", "accepted for compatibility")},
          edit};
}

}  // namespace kybern::cli
