// debug: a container more in a running pod, a changed copy of a pod, or a pod on a node that sees the node.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/exec_stream.h"
#include "cli/subjects.h"
#include "machinery/patch/patch.h"
#include "schema/schema.h"

namespace kybern::cli {
namespace {

std::string random_suffix() {
  constexpr std::string_view letters = "bcdfghjklmnpqrstvwxz2456789";
  std::random_device device;
  std::string out;
  for (int i = 0; i < 5; ++i) out += letters[device() % letters.size()];
  return out;
}

struct Debug {
  Session& session;
  const Arguments& arguments;
  std::vector<std::string> command;  // after --

  bool interactive() const { return arguments.on("stdin") || arguments.on("attach"); }
  Draft container(const std::string& name) const;
  Result<int> in_pod(const Subject& pod);
  Result<int> copy(const Subject& pod);
  Result<int> on_node(const Subject& node);
  Result<int> attach(const std::string& ns, const std::string& pod, const std::string& name, std::string_view statuses);
};

Draft Debug::container(const std::string& name) const {
  Draft out = Draft::object({{"name", name}, {"image", arguments.text("image")}, {"terminationMessagePolicy", "File"}});
  if (const std::string pull = arguments.text("image-pull-policy"); !pull.empty()) out["imagePullPolicy"] = pull;
  for (const std::string& word : command) out[arguments.on("arguments-only") ? "args" : "command"].push_back(word);
  for (const std::string& env : arguments.list("env"))
    out["env"].push_back(Draft::object(
        {{"name", env.substr(0, env.find('='))}, {"value", env.find('=') == std::string::npos ? "" : env.substr(env.find('=') + 1)}}));
  if (arguments.on("stdin")) out["stdin"] = true;
  if (arguments.on("tty")) out["tty"] = true;
  const std::string profile = arguments.text("profile");
  if (profile == "general" || profile == "baseline") {
    if (profile == "general")
      out["securityContext"] = Draft::object({{"capabilities", Draft::object({{"add", Draft::array({"SYS_PTRACE"})}})}});
  } else if (profile == "netadmin") {
    out["securityContext"] = Draft::object({{"capabilities", Draft::object({{"add", Draft::array({"NET_ADMIN", "NET_RAW"})}})}});
  } else if (profile == "sysadmin") {
    out["securityContext"] = Draft::object({{"privileged", true}});
  } else if (profile == "restricted") {
    out["securityContext"] = Draft::object({{"allowPrivilegeEscalation", false},
                                            {"capabilities", Draft::object({{"drop", Draft::array({"ALL"})}})},
                                            {"runAsNonRoot", true},
                                            {"seccompProfile", Draft::object({{"type", "RuntimeDefault"}})}});
  }
  return out;
}

// Waits until the container runs, and joins it.
Result<int> Debug::attach(const std::string& ns, const std::string& pod, const std::string& name, std::string_view statuses) {
  const std::string pods = "/api/v1/namespaces/" + url_encode(ns) + "/pods";
  bool ended = false;
  auto seen = observe(session, pods, name_query(pod), {},
                      {[&](std::string_view type, Value object) {
                         if (type == "DELETED") return ended = true;
                         for (Value status : object["status"][statuses].items()) {
                           if (status["name"].as_string() != name) continue;
                           if (status["state"]["terminated"].exists()) return ended = true;
                           if (status["state"]["running"].exists()) return true;
                         }
                         return false;
                       },
                       {}});
  if (!seen) return std::unexpected(seen.error());
  if (ended) {
    if (auto log = session.raw("GET", pods + "/" + url_encode(pod) + "/log", query_of({{"container", name}}), "", json_type, "*/*"))
      fmt::print("{}", *log);
    return 0;
  }
  if (!arguments.on("quiet") && arguments.on("stdin")) fmt::print(stderr, "If you don't see a command prompt, try pressing enter.\n");
  return told(converse(session, {pods + "/" + url_encode(pod), name}, "attach", {},
                       {arguments.on("stdin") ? STDIN_FILENO : -1, arguments.on("tty") && isatty(STDIN_FILENO) != 0, copy_output}));
}

Result<int> Debug::in_pod(const Subject& pod) {
  std::string name = arguments.text("container");
  if (name.empty()) {
    name = "debugger-" + random_suffix();
    if (!arguments.on("quiet")) fmt::print("Defaulting debug container name to {}.\n", name);
  }
  if (const std::string target = arguments.text("target"); !target.empty() && !arguments.on("quiet"))
    fmt::print(
        "Targeting container {}. If you don't see processes from this container it may be because the container runtime doesn't support "
        "this feature.\n",
        go_quote(target));
  Draft made = container(name);
  if (const std::string target = arguments.text("target"); !target.empty()) made["targetContainerName"] = target;
  Draft after(pod.object);  // the difference keeps the order
  after["spec"]["ephemeralContainers"].push_back(std::move(made));
  auto patch = create_strategic_patch(pod.object, after.freeze(), *schema::find_type("v1", "Pod"));
  if (!patch) return refuse(patch.error().message);
  std::fflush(stdout);
  auto done = patch_subject(session, arguments, pod, patch->freeze(), strategic_type, "ephemeralcontainers");
  if (!done) return std::unexpected(done.error());
  return interactive() ? attach(pod.ns, pod.name, name, "ephemeralContainerStatuses") : Result<int>(0);
}

Result<int> Debug::copy(const Subject& pod) {
  Draft made = Draft::object({{"apiVersion", "v1"},
                              {"kind", "Pod"},
                              {"metadata", Draft::object({{"name", arguments.text("copy-to")}, {"namespace", pod.ns}})},
                              {"spec", Draft(pod.object["spec"])}});
  if (pod.object["metadata"]["annotations"].exists()) made["metadata"]["annotations"] = Draft(pod.object["metadata"]["annotations"]);
  if (arguments.on("keep-labels") && pod.object["metadata"]["labels"].exists())
    made["metadata"]["labels"] = Draft(pod.object["metadata"]["labels"]);
  Draft& spec = made["spec"];
  spec.erase("ephemeralContainers");
  if (!arguments.on("same-node")) spec.erase("nodeName");
  if (arguments.on("share-processes")) spec["shareProcessNamespace"] = true;
  std::string name = arguments.text("container");
  for (const std::string& pair : arguments.list("set-image"))
    for (Draft& item : spec["containers"].items())
      if (const std::size_t equals = pair.find('='); item["name"].as_string() == pair.substr(0, equals) || pair.starts_with("*="))
        item["image"] = pair.substr(equals + 1);
  Draft* known = nullptr;
  for (Draft& item : spec["containers"].items())
    if (item["name"].as_string() == name) known = &item;
  if (known) {
    if (!arguments.text("image").empty()) (*known)["image"] = arguments.text("image");
    if (!command.empty()) {
      (*known)["command"] = Draft::array();
      known->erase("args");
      for (const std::string& word : command) (*known)["command"].push_back(word);
    }
  } else if (!arguments.text("image").empty()) {
    if (name.empty()) {
      name = "debugger-" + random_suffix();
      if (!arguments.on("quiet")) fmt::print("Defaulting debug container name to {}.\n", name);
    }
    spec["containers"].push_back(container(name));
  }
  auto sent = session.call("POST", "/api/v1/namespaces/" + url_encode(pod.ns) + "/pods", "fieldManager=kubectl-debug", made.freeze());
  if (!sent) return std::unexpected(shown(sent.error()));
  if (arguments.on("replace"))
    if (auto gone = session.call("DELETE", pod.path()); !gone) return std::unexpected(shown(gone.error()));
  return interactive() && !name.empty() ? attach(pod.ns, arguments.text("copy-to"), name, "containerStatuses") : Result<int>(0);
}

Result<int> Debug::on_node(const Subject& node) {
  const std::string name = arguments.text("container").empty() ? "debugger" : arguments.text("container");
  const std::string pod = fmt::format("node-debugger-{}-{}", node.name, random_suffix()), profile = arguments.text("profile");
  Draft made = container(name);
  if (profile == "general") made.erase("securityContext");
  Draft spec = Draft::object(
      {{"nodeName", node.name}, {"restartPolicy", "Never"}, {"tolerations", Draft::array({Draft::object({{"operator", "Exists"}})})}});
  if (profile != "restricted" && profile != "baseline") {
    spec["hostNetwork"] = spec["hostPID"] = true;
    if (profile != "netadmin") {
      spec["hostIPC"] = true;
      made["volumeMounts"].push_back(Draft::object({{"name", "host-root"}, {"mountPath", "/host"}}));
      spec["volumes"].push_back(Draft::object({{"name", "host-root"}, {"hostPath", Draft::object({{"path", "/"}})}}));
    }
  }
  spec["containers"].push_back(std::move(made));
  if (!arguments.on("quiet")) fmt::print("Creating debugging pod {} with container {} on node {}.\n", pod, name, node.name);
  std::fflush(stdout);
  const Document object =
      Draft::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", Draft::object({{"name", pod}})}, {"spec", std::move(spec)}})
          .freeze();
  auto sent = session.call("POST", "/api/v1/namespaces/" + url_encode(session.ns()) + "/pods", "fieldManager=kubectl-debug", object);
  if (!sent) return std::unexpected(shown(sent.error()));
  return interactive() ? attach(session.ns(), pod, name, "containerStatuses") : Result<int>(0);
}

Result<int> debug(Session& session, const Arguments& arguments) {
  Debug work{session, arguments, {}};
  std::vector<std::string> words = arguments.words;
  if (arguments.dash != Arguments::no_dash) {
    work.command.assign(words.begin() + static_cast<std::ptrdiff_t>(arguments.dash), words.end());
    words.resize(arguments.dash);
  }
  const bool copies = !arguments.text("copy-to").empty();
  if (arguments.text("image").empty() && !copies) return refuse("you must specify --image when not using --copy-to.");
  if (copies && arguments.text("image").empty() && arguments.list("set-image").empty() && work.command.empty())
    return refuse("you must specify --image, --set-image or command arguments.");
  if (!copies)
    for (const char* flag : {"replace", "same-node"})
      if (arguments.on(flag)) return refuse(fmt::format("--{} may only be used with --copy-to.", flag));
  if (arguments.on("tty") && !arguments.on("stdin")) return refuse("-i/--stdin is required for containers with -t/--tty=true");
  if (words.empty() && !arguments.given("filename")) return refuse("NAME or -f is required");
  static const std::vector<std::string> profiles{"legacy", "general", "baseline", "netadmin", "restricted", "sysadmin"};
  if (std::find(profiles.begin(), profiles.end(), arguments.text("profile")) == profiles.end())
    return refuse("unknown profile: " + arguments.text("profile"));
  for (const std::string& word : words) {
    auto subject = one_subject(session, word, "pods");
    if (!subject) return std::unexpected(subject.error());
    Result<int> done = 0;
    if (subject->type->kind == "Node") done = work.on_node(*subject);
    else if (subject->type->kind != "Pod")
      done = refuse(fmt::format("{} not supported by debug", go_quote(subject->type->api_version() + ", Kind=" + subject->type->kind)));
    else done = copies ? work.copy(*subject) : work.in_pod(*subject);
    if (!done || *done != 0) return done;
  }
  return 0;
}

}  // namespace

Command debug_command() {
  using namespace flags;
  return {"debug",
          "look into a pod or a node with a container of your own",
          "(POD | node/NAME) --image=IMAGE [flags] [-- COMMAND...]",
          {filename(),
           field_manager("kubectl-debug"),
           text("image", "the container's image"),
           text("container", "its name", "", 'c'),
           text("target", "share the processes of this container of the pod"),
           text("copy-to", "change a copy of the pod, with this name"),
           boolean("replace", "with --copy-to: delete the pod"),
           boolean("same-node", "with --copy-to: on the same node"),
           boolean("keep-labels", "with --copy-to: keep the labels"),
           boolean("share-processes", "with --copy-to: containers see each other's processes", true),
           list("set-image", "with --copy-to: CONTAINER=IMAGE"),
           texts("env", "NAME=VALUE"),
           boolean("stdin", "pass standard input on", false, 'i'),
           boolean("tty", "with a terminal", false, 't'),
           boolean("attach", "join the container"),
           boolean("quiet", "say less", false, 'q'),
           boolean("arguments-only", "the words after -- are arguments of the image's command"),
           text("image-pull-policy", "Always, IfNotPresent or Never"),
           text("profile", "legacy, general, baseline, netadmin, restricted or sysadmin", "general"),
           text("custom", "accepted for compatibility")},
          debug};
}

}  // namespace kybern::cli
