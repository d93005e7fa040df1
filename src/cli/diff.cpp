// diff: what `apply` would change, shown by diff(1) or $KUBECTL_EXTERNAL_DIFF on two folders. Exit status 1: there is something.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "cli/apply.h"
#include "cli/command.h"
#include "cli/manifest.h"
#include "cli/output.h"
#include "document/yaml.h"
#include "machinery/labels.h"

namespace kybern::cli {
namespace {

namespace fs = std::filesystem;

class Folder {  // removed with all that is in it
 public:
  explicit Folder(const char* name) {
    std::string pattern = (fs::temp_directory_path() / (std::string(name) + "-XXXXXX")).string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~Folder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void mask(Draft& data, const Draft* other, bool before) {  // values that differ look different
  for (auto& [key, value] : data.fields()) {
    const Draft* counterpart = other ? other->find(key) : nullptr;
    value = Draft(counterpart && !(*counterpart == value) ? before ? "*** (before)" : "*** (after)" : "***");
  }
}

void mask_secrets(Draft& live, Draft& merged) {
  const Draft old = live, fresh = merged;
  const auto data = [](const Draft& object) {
    return object.find("data") && object.find("data")->is_object() ? object.find("data") : nullptr;
  };
  if (data(live)) mask(*live.find("data"), data(fresh), true);
  if (data(merged)) mask(*merged.find("data"), data(old), false);
}

Result<void> write(const std::string& folder, const std::string& name, const Draft& object) {
  std::ofstream out(fs::path(folder) / name, std::ios::binary);
  if (object.is_object()) {
    std::string text;
    write_yaml(sorted(object.freeze()), text);
    out << text;
  }
  if (!out.flush()) return refuse("cannot write to " + folder);
  return {};
}

// The status of the program that compares: its words split at spaces, as upstream does.
Result<int> compare(const std::string& live, const std::string& merged) {
  const char* external = std::getenv("KUBECTL_EXTERNAL_DIFF");
  std::vector<std::string> words;
  if (external && *external) {
    for (std::string_view word : split(external, ' '))
      if (!word.empty()) words.emplace_back(word);
  } else {
    words = {"diff", "-u", "-N"};
  }
  words.push_back(live);
  words.push_back(merged);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child < 0) return refuse("cannot start " + words[0]);
  if (child == 0) {
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  if (code == 127) return refuse("failed to run " + go_quote(words[0]) + ": executable file not found in $PATH");
  return code;
}

Result<int> diff(Session& session, const Arguments& arguments) {
  if (!arguments.words.empty()) return refuse_usage(arguments, "Unexpected args: [" + join(arguments.words, " ") + "]");
  if (!arguments.given("filename")) return refuse("must specify one of -f and -k");
  auto manifests = read_manifests(arguments.list("filename"), arguments.on("recursive"));
  if (!manifests) return std::unexpected(manifests.error());
  auto selector = LabelSelector::parse(arguments.text("selector"));
  if (!selector) return refuse(selector.error().message);
  const Folder live("LIVE"), merged("MERGED");
  if (live.path().empty() || merged.path().empty()) return refuse("cannot make a temporary folder");
  for (const Manifest& manifest : *manifests) {
    if (!selector->matches(manifest.object["metadata"]["labels"])) continue;
    auto subject = manifest_subject(session, manifest.object, manifest.source);
    if (!subject) return std::unexpected(subject.error());
    auto now = session.call("GET", subject->path());
    if (!now && now.error().code != 404) return std::unexpected(shown(now.error()));
    auto then = would_be(session, arguments, *subject);
    if (!then) return std::unexpected(then.error());
    const bool fields = arguments.on("show-managed-fields");
    const auto shown_of = [&](Value object) { return Draft(fields ? object.document() : without_managed_fields(object)); };
    Draft before = now ? shown_of(*now) : Draft(), after = shown_of(*then);
    if (subject->type->kind == "Secret" && subject->type->group.empty()) mask_secrets(before, after);
    const ApiResource& type = *subject->type;
    const std::string name =
        (type.group.empty() ? "" : type.group + ".") + fmt::format("{}.{}.{}.{}", type.version, type.kind, subject->ns, subject->name);
    if (now)
      if (auto done = write(live.path(), name, before); !done) return std::unexpected(done.error());
    if (auto done = write(merged.path(), name, after); !done) return std::unexpected(done.error());
  }
  return compare(live.path(), merged.path());
}

}  // namespace

Command diff_command() {
  using namespace flags;
  Command out{
      "diff",
      "what apply would change",
      "-f FILE [flags]",
      {filename(), recursive(), selector(), field_manager("kubectl-client-side-apply"), boolean("server-side", "as apply --server-side"),
       boolean("force-conflicts", "with --server-side: take over fields that others own"),
       boolean("force", "delete and make again what cannot be changed"), boolean("show-managed-fields", "with metadata.managedFields"),
       number("concurrency", "accepted for compatibility", "1"), boolean("prune", "accepted for compatibility")},
      diff};
  out.failure = 2;
  return out;
}

}  // namespace kybern::cli
