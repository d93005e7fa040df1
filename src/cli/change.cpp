// scale, patch, replace, run: one call for each object.
#include <fmt/format.h>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/manifest.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "document/json.h"
#include "document/yaml.h"
#include "schema/schema.h"

namespace kybern::cli {
namespace {

Result<int> scale(Session& session, const Arguments& arguments) {
  if (!arguments.given("replicas")) return refuse("required flag(s) \"replicas\" not set");
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
    if (!subject.type->has("scale")) return refuse(fmt::format("no kind \"Scale\" is registered for {}: it cannot be scaled", subject.shown()));
    if (*current >= 0 && subject.object["spec"]["replicas"].as_int() != *current)
      return refuse(fmt::format("Expected replicas to be {}, was {}", *current, subject.object["spec"]["replicas"].as_int()));
    if (*dry_run != "client") {
      const Document patch = Draft::object({{"spec", Draft::object({{"replicas", *replicas}})}}).freeze();
      auto done = session.call("PATCH", subject.path("scale"), query_of({{"dryRun", dry_run_query(*dry_run)}}), patch, merge_type);
      if (!done) return std::unexpected(shown(done.error()));
    }
    if (timeout->count() > 0 && *dry_run == "none") {
      auto met = observe(session, subject.type->path(subject.ns), name_query(subject.name), deadline_after(*timeout),
                         {[&](std::string_view, Value o) { return o["status"]["observedGeneration"].as_int() >= o["metadata"]["generation"].as_int() && o["status"]["replicas"].as_int() == *replicas; }, {}});
      if (!met) return std::unexpected(met.error());
      if (!*met) return refuse("timed out waiting for " + go_quote(subject.name) + " to be synced");
    }
    if (auto printed = print_change(session, arguments, subject.object, *subject.type, "scaled"); !printed) return std::unexpected(printed.error());
  }
  return 0;
}

Result<int> patch(Session& session, const Arguments& arguments) {
  std::string text = arguments.text("patch");
  if (!arguments.text("patch-file").empty()) {
    auto file = read_whole_file(arguments.text("patch-file"));
    if (!file) return std::unexpected(file.error());
    text = *file;
  }
  if (text.empty()) return refuse("must specify --patch or --patch-file containing the contents of the patch");
  auto parsed = parse_yaml(text);
  if (!parsed || parsed->size() != 1) return refuse("unable to parse " + go_quote(text) + ": " + (parsed ? "one patch was expected" : parsed.error().message));
  const std::string type = arguments.text("type");
  if (type != "strategic" && type != "merge" && type != "json") return refuse("--type must be one of [json merge strategic], not " + go_quote(type));
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  if (*dry_run == "client") return refuse("patch with --dry-run=client is not supported: use --dry-run=server");
  auto subjects = select(session, arguments, arguments.words, {.fetch = false, .manifests_from_server = false});
  if (!subjects) return std::unexpected(subjects.error());
  const std::string sub = arguments.text("subresource");
  for (const Subject& subject : *subjects) {
    auto before = session.call("GET", subject.path(sub));
    if (!before) return std::unexpected(shown(before.error()));
    std::string_view media = type == "json" ? json_patch_type : type == "merge" ? merge_type : strategic_type;
    auto done = session.call("PATCH", subject.path(sub), query_of({{"dryRun", dry_run_query(*dry_run)}, {"fieldManager", arguments.text("field-manager")}}), parsed->front(), media);
    if (!done && done.error().code == 415 && type == "strategic" && !arguments.given("type") && !schema::find_kind(subject.type->group, subject.type->version, subject.type->kind))
      done = session.call("PATCH", subject.path(sub), query_of({{"dryRun", dry_run_query(*dry_run)}, {"fieldManager", arguments.text("field-manager")}}), parsed->front(), merge_type);
    if (!done) return std::unexpected(shown(done.error()));
    const bool same = (*before)["metadata"]["resourceVersion"] == (*done)["metadata"]["resourceVersion"] && *dry_run == "none";
    if (auto printed = print_change(session, arguments, *done, *subject.type, same ? "patched (no change)" : "patched"); !printed) return std::unexpected(printed.error());
  }
  return 0;
}

Result<int> replace(Session& session, const Arguments& arguments) {
  if (!arguments.given("filename")) return refuse("must specify --filename to replace");
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  auto manifests = read_manifests(arguments.list("filename"), arguments.on("recursive"));
  if (!manifests) return std::unexpected(manifests.error());
  std::string errors;
  for (const Manifest& manifest : *manifests) {
    auto subject = manifest_subject(session, manifest.object, manifest.source);
    if (!subject) return std::unexpected(subject.error());
    const std::string query = query_of({{"dryRun", dry_run_query(*dry_run)}, {"fieldManager", arguments.text("field-manager")}, {"fieldValidation", "Strict"}});
    ApiResult<Document> done = subject->object;
    if (*dry_run != "client" && arguments.on("force")) {
      auto gone = session.call("DELETE", subject->path(), query_of({{"propagationPolicy", "Background"}, {"gracePeriodSeconds", "0"}}));
      if (!gone && gone.error().code != 404) return std::unexpected(shown(gone.error()));
      auto away = observe(session, subject->type->path(subject->ns), name_query(subject->name), deadline_after(std::chrono::minutes(5)),
                          {[](std::string_view type, Value) { return type == "DELETED"; }, [](std::size_t count) { return count == 0; }});
      if (!away) return std::unexpected(away.error());
      done = session.call("POST", subject->type->path(subject->ns), query, subject->object);
    } else if (*dry_run != "client") {
      Draft wanted(subject->object);
      if (auto now = session.call("GET", subject->path()); now && !manifest.object["metadata"]["resourceVersion"].exists()) wanted["metadata"]["resourceVersion"] = Draft((*now)["metadata"]["resourceVersion"]);
      done = session.call("PUT", subject->path(), query, wanted.freeze());
    }
    if (!done) {
      errors += (errors.empty() ? "" : "\n") + shown(done.error(), "error when replacing " + go_quote(manifest.source) + ": ").message;
      continue;
    }
    if (auto printed = print_change(session, arguments, *done, *subject->type, "replaced"); !printed) return std::unexpected(printed.error());
  }
  if (!errors.empty()) return fail(Code::invalid, errors);
  return 0;
}

Result<int> run_pod(Session& session, const Arguments& arguments) {
  if (arguments.words.empty() || arguments.dash == 0) return refuse("NAME is required for run");
  const std::string name = arguments.words[0], image = arguments.text("image"), restart = arguments.text("restart");
  if (image.empty()) return refuse("required flag(s) \"image\" not set");
  if (restart != "Always" && restart != "OnFailure" && restart != "Never") return refuse("invalid restart policy: " + restart);
  Draft container = Draft::object({{"image", image}, {"name", name}, {"resources", Draft::object()}});
  for (std::size_t i = 1; i < arguments.words.size(); ++i) container[arguments.on("command") ? "command" : "args"].push_back(arguments.words[i]);
  for (const std::string& env : arguments.list("env")) {
    const std::size_t equals = env.find('=');
    if (equals == std::string::npos) return refuse("invalid env: " + env);
    container["env"].push_back(Draft::object({{"name", env.substr(0, equals)}, {"value", env.substr(equals + 1)}}));
  }
  auto port = arguments.number("port");
  if (!port) return std::unexpected(port.error());
  if (*port > 0) container["ports"].push_back(Draft::object({{"containerPort", *port}}));
  if (const std::string pull = arguments.text("image-pull-policy"); !pull.empty()) container["imagePullPolicy"] = pull;
  if (arguments.on("privileged")) container["securityContext"] = Draft::object({{"privileged", true}});
  if (arguments.on("stdin")) container["stdin"] = container["stdinOnce"] = true;
  if (arguments.on("tty")) container["tty"] = true;
  Draft labels = Draft::object();
  for (const std::string& label : arguments.list("labels")) labels[label.substr(0, label.find('='))] = label.find('=') == std::string::npos ? "" : label.substr(label.find('=') + 1);
  if (labels.empty()) labels["run"] = name;
  Draft pod = Draft::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", Draft::object({{"name", name}, {"labels", std::move(labels)}})},
                             {"spec", Draft::object({{"containers", Draft::array({std::move(container)})}, {"dnsPolicy", "ClusterFirst"}, {"restartPolicy", restart}})}});
  for (const std::string& annotation : arguments.list("annotations")) pod["metadata"]["annotations"][annotation.substr(0, annotation.find('='))] = annotation.substr(annotation.find('=') + 1);
  if (const std::string overrides = arguments.text("overrides"); !overrides.empty()) {
    auto parsed = parse_json(overrides);
    if (!parsed) return refuse("invalid overrides: " + parsed.error().message);
    if (auto account = (*parsed)["spec"]["serviceAccountName"]; account.exists()) pod["spec"]["serviceAccountName"] = Draft(account);
    for (Member m : (*parsed)["spec"].members())
      if (m.key != "containers") pod["spec"][m.key] = Draft(m.value);
    if ((*parsed)["spec"]["containers"].exists()) pod["spec"]["containers"] = Draft((*parsed)["spec"]["containers"]);
  }
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  Document object = pod.freeze();
  if (*dry_run != "client") {
    auto made = session.call("POST", "/api/v1/namespaces/" + url_encode(session.ns()) + "/pods", query_of({{"dryRun", dry_run_query(*dry_run)}, {"fieldManager", "kubectl-run"}}), object);
    if (!made) return std::unexpected(shown(made.error()));
    object = *made;
  }
  if (!output->human()) {
    auto text = output->print({object}, false, nullptr);
    if (!text) return std::unexpected(text.error());
    fmt::print("{}", *text);
  } else if (!arguments.on("rm")) {
    fmt::print("pod/{} created{}\n", name, dry_run_suffix(*dry_run));
  }
  std::fflush(stdout);
  if (!arguments.on("rm") || *dry_run != "none") return 0;
  // --rm: show what it writes, then take it away.
  const std::string pods = "/api/v1/namespaces/" + url_encode(session.ns()) + "/pods";
  auto ended = observe(session, pods, name_query(name), {}, {[](std::string_view type, Value o) {
                         const std::string_view phase = o["status"]["phase"].as_string();
                         return type == "DELETED" || phase == "Running" || phase == "Succeeded" || phase == "Failed";
                       }, {}});
  if (!ended) return std::unexpected(ended.error());
  if (auto stream = session.stream(pods + "/" + url_encode(name) + "/log", "follow=true", "*/*")) {
    while (auto piece = (*stream)->read()) {
      if (piece->empty()) break;
      std::fwrite(piece->data(), 1, piece->size(), stdout);
      std::fflush(stdout);
    }
  }
  int status = 0;
  (void)observe(session, pods, name_query(name), deadline_after(std::chrono::minutes(1)), {[&](std::string_view type, Value o) {
                  const std::string_view phase = o["status"]["phase"].as_string();
                  status = static_cast<int>(o["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"].as_int());
                  return type == "DELETED" || phase == "Succeeded" || phase == "Failed";
                }, {}});
  (void)session.call("DELETE", pods + "/" + url_encode(name));
  fmt::print("pod {} deleted from {} namespace\n", go_quote(name), session.ns());
  return status;
}

}  // namespace

Command scale_command() {
  using namespace flags;
  return {"scale", "set the number of replicas", "--replicas=COUNT (TYPE NAME | TYPE/NAME | -f FILE)",
          {filename(), recursive(), selector(), output(), dry_run(), boolean("all", "all of the type in the namespace"), text("replicas", "how many"), text("current-replicas", "only when there are so many now", "-1"),
           text("resource-version", "accepted for compatibility"), text("timeout", "wait so long until it is done; 0: do not wait", "0s")},
          scale};
}
Command patch_command() {
  using namespace flags;
  return {"patch", "change fields of an object", "(TYPE NAME | TYPE/NAME | -f FILE) -p PATCH [--type=strategic|merge|json]",
          {filename(), recursive(), output(), dry_run(), text("patch", "the patch, JSON or YAML", "", 'p'), text("patch-file", "a file with the patch"), text("type", "strategic, merge or json", "strategic"),
           text("subresource", "of this subresource: status, scale"), field_manager("kubectl-patch")},
          patch};
}
Command replace_command() {
  using namespace flags;
  return {"replace", "put manifests in the place of objects", "-f FILE [flags]",
          {filename(), recursive(), output(), dry_run(), validate(), field_manager("kubectl-replace"), boolean("force", "delete and make again")}, replace};
}
Command run_command() {
  using namespace flags;
  return {"run", "run one pod", "NAME --image=IMAGE [flags] [-- ARGUMENTS...]",
          {output(), dry_run(), text("image", "the container's image"), text("restart", "Always, OnFailure or Never", "Always"), boolean("command", "the words after -- are the command, not its arguments"),
           list("env", "NAME=VALUE"), text("port", "the port that the container listens on", "-1"), list("labels", "KEY=VALUE", 'l'), list("annotations", "KEY=VALUE"), text("image-pull-policy", "Always, IfNotPresent or Never"),
           text("overrides", "a JSON pod whose spec's fields win"), boolean("rm", "show its output and delete it when it has ended"), boolean("stdin", "keep its standard input open", false, 'i'),
           boolean("tty", "give it a terminal", false, 't'), boolean("attach", "accepted for compatibility"), boolean("quiet", "say less", false, 'q'), boolean("privileged", "a privileged container")},
          run_pod};
}

}  // namespace kybern::cli
