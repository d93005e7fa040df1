// run: one pod, perhaps with a service, perhaps joined and taken away again.
#include <fmt/format.h>
#include <unistd.h>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/exec_stream.h"
#include "cli/expose.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "cli/typed.h"
#include "document/json.h"
#include "machinery/patch/patch.h"
#include "schema/schema.h"

namespace kybern::cli {
namespace {

Result<Draft> pairs(const std::vector<std::string>& list, const char* what) {
  Draft out = Draft::object();
  for (const std::string& pair : list) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) return refuse(fmt::format("unexpected {} spec: {}", what, pair));
    out[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return out;
}

Result<Draft> new_pod(const Arguments& arguments, const std::string& name) {
  Draft container = Draft::object({{"image", arguments.text("image")}, {"name", name}, {"resources", Draft::object()}});
  for (std::size_t i = 1; i < arguments.words.size(); ++i)
    container[arguments.on("command") ? "command" : "args"].push_back(arguments.words[i]);
  for (const std::string& env : arguments.list("env")) {
    const std::size_t equals = env.find('=');
    if (equals == std::string::npos || equals == 0) return refuse("invalid env: " + env);
    container["env"].push_back(Draft::object({{"name", env.substr(0, equals)}, {"value", env.substr(equals + 1)}}));
  }
  if (const std::string port = arguments.text("port"); !port.empty()) {
    const auto number = parse_int(port);
    if (!number) return refuse("strconv.ParseInt: parsing " + go_quote(port) + ": invalid syntax");
    container["ports"].push_back(Draft::object({{"containerPort", *number}}));
  }
  if (const std::string pull = arguments.text("image-pull-policy"); !pull.empty()) container["imagePullPolicy"] = pull;
  if (arguments.on("privileged")) container["securityContext"] = Draft::object({{"privileged", true}});
  if (arguments.on("stdin")) container["stdin"] = container["stdinOnce"] = true;
  if (arguments.on("tty")) container["tty"] = true;
  auto labels = pairs(arguments.list("labels"), "label"), annotations = pairs(arguments.list("annotations"), "annotation");
  if (!labels || !annotations) return std::unexpected(labels ? annotations.error() : labels.error());
  if (labels->empty()) (*labels)["run"] = name;
  Draft meta = Draft::object({{"name", name}, {"labels", *std::move(labels)}});
  if (!annotations->empty()) meta["annotations"] = *std::move(annotations);
  return Draft::object({{"apiVersion", "v1"},
                        {"kind", "Pod"},
                        {"metadata", std::move(meta)},
                        {"spec", Draft::object({{"containers", Draft::array({std::move(container)})},
                                                {"dnsPolicy", "ClusterFirst"},
                                                {"restartPolicy", arguments.text("restart")}})}});
}

Result<Document> overridden(const Arguments& arguments, const Draft& pod) {
  const Document whole = pod.freeze();
  const std::string overrides = arguments.text("overrides"), type = arguments.text("override-type");
  if (overrides.empty()) return whole;
  auto parsed = parse_json(overrides);
  if (!parsed) return refuse("Invalid JSON Patch: " + parsed.error().message);
  if (type != "merge" && type != "json" && type != "strategic") return refuse("invalid override type: " + type);
  auto done = type == "json"        ? json_patch(whole, *parsed)
              : type == "strategic" ? strategic_merge(whole, *parsed, *schema::find_type("v1", "Pod"))
                                    : merge_patch(whole, *parsed);
  if (!done) return refuse(done.error().message);
  return done->freeze();
}

// Until the pod runs or has ended; then its streams, or what it wrote.
Result<int> attached(Session& session, const Arguments& arguments, const std::string& name) {
  const std::string pods = "/api/v1/namespaces/" + url_encode(session.ns()) + "/pods", path = pods + "/" + url_encode(name);
  std::string phase;
  auto begun = observe(session, pods, name_query(name), {},
                       {[&](std::string_view type, Value o) {
                          phase = type == "DELETED" ? "Failed" : o["status"]["phase"].str();
                          return phase == "Running" || phase == "Succeeded" || phase == "Failed";
                        },
                        {}});
  if (!begun) return std::unexpected(begun.error());
  Result<int> joined = 0;
  if (phase == "Running") {
    const bool tty = arguments.on("tty") && isatty(STDIN_FILENO);
    if (!arguments.on("quiet") && arguments.on("stdin")) fmt::print(stderr, "If you don't see a command prompt, try pressing enter.\n");
    joined = converse(session, {path, ""}, "attach", {}, {arguments.on("stdin") ? STDIN_FILENO : -1, tty, copy_output});
  }
  if (phase != "Running" || !joined)  // it was quicker: what it wrote
    if (auto log = session.raw("GET", path + "/log", "", "", json_type, "*/*")) fmt::print("{}", *log);
  if (arguments.text("restart") == "Always") return 0;
  int status = 0;
  auto ended = observe(session, pods, name_query(name), {},
                       {[&](std::string_view type, Value o) {
                          const std::string_view now = o["status"]["phase"].as_string();
                          status = static_cast<int>(o["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"].as_int());
                          return type == "DELETED" || now == "Succeeded" || now == "Failed";
                        },
                        {}});
  if (!ended) return std::unexpected(ended.error());
  if (status != 0) fmt::print(stderr, "pod {}/{} terminated (Error)\n", session.ns(), name);
  return status;
}

Result<int> run_pod(Session& session, const Arguments& arguments) {
  if (arguments.words.empty() || arguments.dash == 0) return refuse_usage(arguments, "NAME is required for run");
  const std::string name = arguments.words[0], restart = arguments.text("restart");
  if (arguments.dash > 1 && arguments.dash != Arguments::no_dash)
    return refuse_usage(arguments, "exactly one NAME is required, got " + std::to_string(arguments.dash));
  const bool interactive = arguments.on("attach") || ((arguments.on("stdin") || arguments.on("tty")) && !arguments.given("attach"));
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  if (interactive && *dry_run != "none")
    return refuse_usage(arguments,
                        "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)");
  if (arguments.on("rm") && !interactive) return refuse_usage(arguments, "--rm should only be used for attached containers");
  if (arguments.on("expose") && arguments.text("port").empty())
    return refuse_usage(arguments, "--port must be set when exposing a service");
  if (restart != "Always" && restart != "OnFailure" && restart != "Never")
    return refuse_usage(arguments, "invalid restart policy: " + restart);
  auto pod = new_pod(arguments, name);
  if (!pod) return std::unexpected(pod.error());
  auto object = overridden(arguments, *pod);
  if (!object) return std::unexpected(object.error());
  if (arguments.on("expose")) {
    Draft port = Draft::object(
        {{"port", *parse_int(arguments.text("port"))}, {"protocol", "TCP"}, {"targetPort", *parse_int(arguments.text("port"))}});
    Draft service = Draft::object(
        {{"apiVersion", "v1"},
         {"kind", "Service"},
         {"metadata", Draft::object({{"name", name}})},
         {"spec", Draft::object({{"ports", Draft::array({std::move(port)})}, {"selector", Draft((*object)["metadata"]["labels"])}})}});
    if (auto made = make_related(session, arguments, service, session.ns(), "created"); !made) return std::unexpected(made.error());
    if (!output->human() && output->type == Output::Type::yaml) fmt::print("---\n");
  }
  if (*dry_run == "client") {
    object = as_typed(*object);
  } else {
    auto made = session.call("POST", "/api/v1/namespaces/" + url_encode(session.ns()) + "/pods",
                             query_of({{"dryRun", dry_run_query(*dry_run)}, {"fieldManager", arguments.text("field-manager")}}), *object);
    if (!made) return std::unexpected(shown(made.error()));
    object = *made;
  }
  if (!output->human()) {
    if (auto printed = print_object(session, *output, *object); !printed) return std::unexpected(printed.error());
  } else if (!interactive) {
    fmt::print("pod/{} created{}\n", name, dry_run_suffix(*dry_run));
  }
  if (!interactive) return 0;
  auto status = attached(session, arguments, name);
  if (arguments.on("rm")) {
    if (auto gone = session.call("DELETE", "/api/v1/namespaces/" + url_encode(session.ns()) + "/pods/" + url_encode(name));
        !gone && gone.error().code != 404)
      return std::unexpected(shown(gone.error()));
    if (!arguments.on("quiet")) fmt::print("pod {} deleted from {} namespace\n", go_quote(name), session.ns());
  }
  return status;
}

}  // namespace

Command run_command() {
  using namespace flags;
  return {"run",
          "run one pod",
          "NAME --image=IMAGE [flags] [-- ARGUMENTS...]",
          {output(),
           dry_run(),
           field_manager("kubectl-run"),
           required(text("image", "the container's image")),
           text("restart", "Always, OnFailure or Never", "Always"),
           boolean("command", "the words after -- are the command, not its arguments"),
           texts("env", "NAME=VALUE"),
           text("port", "the port that the container listens on"),
           list("labels", "KEY=VALUE", 'l'),
           texts("annotations", "KEY=VALUE"),
           text("image-pull-policy", "Always, IfNotPresent or Never"),
           text("overrides", "a JSON patch of the pod"),
           text("override-type", "merge, json or strategic", "merge"),
           boolean("expose", "with a service for --port"),
           boolean("rm", "delete it when it has ended"),
           boolean("stdin", "pass standard input on", false, 'i'),
           boolean("tty", "give it a terminal", false, 't'),
           boolean("attach", "join it"),
           boolean("leave-stdin-open", "accepted for compatibility"),
           boolean("quiet", "say less", false, 'q'),
           boolean("privileged", "a privileged container"),
           duration("pod-running-timeout", "accepted for compatibility", "1m0s"),
           duration("timeout", "accepted for compatibility"),
           number("grace-period", "accepted for compatibility", "-1"),
           boolean("force", "accepted for compatibility"),
           boolean("wait", "accepted for compatibility"),
           boolean("save-config", "accepted for compatibility"),
           boolean("show-managed-fields", "with metadata.managedFields in JSON and YAML")},
          run_pod};
}

}  // namespace kybern::cli
